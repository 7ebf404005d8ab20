//! Who may log in, and what he may ask.

use probity_probes::{FailureKind, Options, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact, probe};
use crate::live::sockets::Subject;
use crate::support::probe::Asked;
use crate::support::servers::redis::{self, Redis};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{require, scratch};

states! { "redis":
    KNOWN = "the right password", "requirepass" => Expected::HEALTHY;
    WRONG = "a wrong password", "requirepass, and another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown user", "an ACL user that the server does not have" => Expected::fails(FailureKind::Auth);
    NONE = "no password where one is needed", "requirepass, and none in the entry" => Expected::fails(FailureKind::Auth);
    NEEDLESS = "a password where none is needed", "a password in the entry alone" => Expected::fails(FailureKind::Config);
    LEAST = "a user with the least rights", "+@connection +info +ping +role" => Expected::HEALTHY;
    BLIND = "a user without INFO", "+@connection +ping" => Expected::HEALTHY;
    BLIND_STRICT = "a user without INFO, and coverage is required", "the same with require_coverage" => Expected::degraded("partial_coverage");
    MUTE = "a user without PING", "+@connection -ping" => Expected::fails(FailureKind::Permission);
    NO_DATABASE = "a database that does not exist", "database 99 of 16" => Expected::fails(FailureKind::Config);
}

/// Logs in as the ordinary user.
fn as_user() -> Json {
    json!({ "username": USER, "password": PASSWORD })
}

#[test]
fn passwords_are_right_wrong_or_missing() {
    if !require("redis") {
        return;
    }
    let server = redis::shared();
    expect(&KNOWN, server, json!({ "password": PASSWORD }));
    let refused = expect(&WRONG, server, json!({ "password": "not-the-password" }));
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("WRONGPASS"), Some(Phase::Auth)));
    assert_eq!(fact(&refused, "process_alive"), "true");
    let unknown = expect(&UNKNOWN_USER, server, json!({ "username": "nobody", "password": PASSWORD }));
    assert_eq!(code(&unknown), Some("WRONGPASS"));
    assert_eq!(code(&expect(&NONE, server, json!({}))), Some("NOAUTH"));
}

#[test]
fn a_password_that_the_server_does_not_want_is_a_mistake_of_the_catalog() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let outcome = expect(&NEEDLESS, &server, json!({ "password": PASSWORD }));
    assert!(code(&outcome).is_some_and(|code| code.starts_with("ERR AUTH <password> called without")), "{outcome:#?}");
}

#[test]
fn rejected_credentials_are_not_tried_again_until_their_file_changes() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().password().start();
    let folder = scratch();
    let file = folder.path().join("password");
    std::fs::write(&file, "not-the-password\n").expect("a file can be written");
    let probe = probe(&server, json!({ "password": { "file": file } }));
    let refused = || {
        server.command(&["INFO", "errorstats"]).lines().find_map(|line| {
            line.trim_end().strip_prefix("errorstat_WRONGPASS:count=").and_then(|count| count.parse::<u32>().ok())
        })
    };
    for _ in 0..3 {
        check(&WRONG, &probe.run());
    }
    assert_eq!(refused(), Some(1));
    assert!(fact(&probe.run(), "next_attempt_in_seconds").parse::<u64>().is_ok_and(|seconds| seconds >= 40));
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file can be written");
    check(&KNOWN, &probe.run());
}

#[test]
fn the_least_rights_are_enough_and_fewer_lower_coverage() {
    if !require("redis") {
        return;
    }
    let outcome = expect(&LEAST, redis::shared(), as_user());
    assert!(outcome.missing.is_empty(), "{outcome:#?}");

    let server = Redis::builder().user("~* +@connection +ping").start();
    let outcome = expect(&BLIND, &server, as_user());
    assert_eq!(outcome.missing, ["INFO"]);
    assert_eq!(fact(&outcome, "mode"), "standalone");
    let strict = Options { require_coverage: true, ..Options::default() };
    check(&BLIND_STRICT, &Asked::with("redis", entry(server.addr(), as_user()), strict).run());
}

#[test]
fn a_user_who_may_not_even_ping_is_refused_in_the_query() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().user("~* +@connection -ping").start();
    let outcome = expect(&MUTE, &server, as_user());
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("NOPERM"), Some(Phase::Query)));
}

#[test]
fn a_database_that_does_not_exist_is_a_mistake_of_the_catalog() {
    if !require("redis") {
        return;
    }
    let asking = |server: &Redis, database: u32| {
        Asked::new("redis", json!({ "url": format!("redis://{}/{database}", server.addr()) })).run()
    };
    let server = Redis::start();
    check(&NO_DATABASE, &asking(&server, 99));
    check(&super::serving::WELL, &asking(&server, 15));
}

#[test]
fn a_unix_socket_is_a_way_too() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().setting("unixsocket redis.sock").start();
    let subject = Subject {
        kind: "redis",
        process: server.process(),
        socket: server.folder().join("redis.sock"),
        entry: |socket| json!({ "url": format!("unix://{}?db=3", socket.display()) }),
    };
    subject.all();
}
