//! Who may log in, and where to.

use std::time::Duration;

use probity_probes::{FailureKind, Phase, Status};
use serde_json::json;

use super::{code, expect, fact, probe};
use crate::live::sockets::Subject;
use crate::support::servers::postgres::{self, DATABASE, Postgres};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{require, scratch};

states! { "postgres":
    KNOWN = "the right password", "SCRAM" => Expected::HEALTHY;
    KNOWN_MD5 = "the right password, hashed the old way", "password_encryption = md5" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown user", "a user that the server does not have" => Expected::fails(FailureKind::Auth);
    NONE = "no password where one is needed", "none in the entry" => Expected::fails(FailureKind::Auth);
    NO_ENTRY = "no line in pg_hba.conf", "host all probe all reject" => Expected::fails(FailureKind::Auth);
    EXPIRED = "an expired password", "VALID UNTIL yesterday" => Expected::fails(FailureKind::Auth);
    LOCKED = "a user who may not log in", "NOLOGIN" => Expected::fails(FailureKind::Auth);
    NO_DATABASE = "a database that does not exist", "another path in the URL" => Expected::fails(FailureKind::Config);
    NO_CONNECT = "a database that the user may not enter", "REVOKE CONNECT" => Expected::fails(FailureKind::Permission);
    NO_MORE = "a user with all the connections he may have", "CONNECTION LIMIT 0" => Expected::fails(FailureKind::Overload);
}

#[test]
fn passwords_are_right_wrong_or_missing() {
    if !require("postgres") {
        return;
    }
    let server = postgres::shared();
    expect(&KNOWN, server, json!({}));
    let refused = expect(&WRONG, server, json!({ "password": "not-the-password" }));
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("28P01"), Some(Phase::Auth)));
    assert_eq!(fact(&refused, "process_alive"), "true");
    let url = |user: &str, database: &str| format!("postgres://{user}@{}/{database}", server.addr());
    let unknown = expect(&UNKNOWN_USER, server, json!({ "url": url("nobody", DATABASE) }));
    assert_eq!(code(&unknown), Some("28P01"));
    assert_eq!(code(&expect(&NO_DATABASE, server, json!({ "url": url(USER, "nowhere") }))), Some("3D000"));
    let none = expect(&NONE, server, json!({ "password": null }));
    assert!(none.failure.is_some_and(|failure| failure.message.contains("wants a password")));
}

#[test]
fn what_the_administrator_forbids_is_told_apart() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let alter = |what: &str| server.sql(&format!("ALTER ROLE {USER} {what}"));
    alter("VALID UNTIL '2001-01-01'");
    assert_eq!(code(&expect(&EXPIRED, &server, json!({}))), Some("28P01"));
    alter("VALID UNTIL 'infinity' NOLOGIN");
    assert_eq!(code(&expect(&LOCKED, &server, json!({}))), Some("28000"));
    alter("LOGIN CONNECTION LIMIT 0");
    assert_eq!(code(&expect(&NO_MORE, &server, json!({}))), Some("53300"));
    alter("CONNECTION LIMIT -1");
    server.sql(&format!("ALTER DATABASE {DATABASE} OWNER TO postgres"));
    server.sql(&format!("REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC, {USER}"));
    assert_eq!(code(&expect(&NO_CONNECT, &server, json!({}))), Some("42501"));
}

#[test]
fn a_server_that_knows_us_only_by_md5_lets_us_in() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().hba(&format!("host all {USER} all md5")).start();
    server.sql(&format!("SET password_encryption = md5; ALTER ROLE {USER} PASSWORD '{PASSWORD}'"));
    expect(&KNOWN_MD5, &server, json!({}));
}

/// The verifier is made by hand (RFC 5803), because servers before 16 always hash 4096 times.
#[test]
fn a_password_that_is_hashed_six_hundred_thousand_times_lets_us_in() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let verifier = "SCRAM-SHA-256$600000:MDEyMzQ1Njc4OWFiY2RlZg==$PVGE2J2WaZo5zpXCyzHby+qs+3ZNaLCyqgmrivao4Gw=:\
                    s91t4yafJ4RVXELm7WHecUfznnyiz+74pgUIX7LwEYE=";
    server.sql(&format!("ALTER ROLE {USER} PASSWORD '{verifier}'"));
    let outcome = probe(&server, json!({ "password": "six hundred thousand" })).run_within(Duration::from_secs(20));
    assert_eq!((outcome.status, outcome.failure), (Status::Healthy, None));
    let refused = probe(&server, json!({ "password": "six hundred and one" })).run_within(Duration::from_secs(20));
    assert_eq!(code(&refused), Some("28P01"));
}

#[test]
fn a_host_without_an_entry_is_refused_with_a_hint() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().hba(&format!("host all {USER} all reject")).start();
    let outcome = expect(&NO_ENTRY, &server, json!({}));
    assert_eq!(code(&outcome), Some("28000"));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("pg_hba.conf")));
}

#[test]
fn rejected_credentials_are_not_tried_again_until_their_file_changes() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let folder = scratch();
    let file = folder.path().join("password");
    std::fs::write(&file, "not-the-password\n").expect("a file can be written");
    let probe = probe(&server, json!({ "password": { "file": file } }));
    for _ in 0..3 {
        check(&WRONG, &probe.run());
    }
    assert_eq!(server.process().log().matches("password authentication failed").count(), 1);
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file can be written");
    check(&KNOWN, &probe.run());
}

#[test]
fn a_unix_socket_is_a_way_too() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("unix_socket_directories", ".").start();
    let subject = Subject {
        kind: "postgres",
        process: server.process(),
        socket: server.socket(),
        entry: |socket| {
            let (folder, name) = (socket.parent().expect("a folder"), socket.extension().expect("a number"));
            let url = format!("postgres://{USER}@/{DATABASE}?host={}&port={}", folder.display(), name.display());
            json!({ "url": url, "password": PASSWORD })
        },
    };
    subject.all();
}
