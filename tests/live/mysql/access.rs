//! Who may log in, and what he may ask.

use probity_probes::testing::{Peer, Script};
use probity_probes::{FailureKind, Options, Phase, Status};
use serde_json::json;

use super::{code, entry, expect, fact, probe};
use crate::live::sockets::Subject;
use crate::support::probe::Asked;
use crate::support::servers::mysql::{BARE, DATABASE, Mysql, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{free_port, require};

states! { "mysql":
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    LOCKED = "a locked account", "ALTER USER … ACCOUNT LOCK" => Expected::fails(FailureKind::Auth);
    EXPIRED = "an expired password", "ALTER USER … PASSWORD EXPIRE" => Expected::fails(FailureKind::Auth);
    ED25519 = "an account with another way to log in", "IDENTIFIED VIA ed25519" => Expected::HEALTHY;
    SOCKET_ONLY = "an account that logs in by its socket only", "IDENTIFIED VIA unix_socket" => Expected::fails(FailureKind::Auth);
    NO_DATABASE = "a database that does not exist", "another path in the URL" => Expected::fails(FailureKind::Config);
    NO_ACCESS = "a database that is not ours", "the path is mysql" => Expected::fails(FailureKind::Permission);
    UNPRIVILEGED = "an account without privileges", "a user with USAGE" => Expected::HEALTHY;
    UNPRIVILEGED_STRICT = "an account without privileges, and coverage is required", "the same with require_coverage" => Expected::degraded("partial_coverage");
    USED_UP = "an account at its own limit of connections", "MAX_USER_CONNECTIONS 1" => Expected::fails(FailureKind::Overload);
    BLOCKED = "this machine is blocked", "a peer that says 1129 in the place of a greeting" => Expected::fails(FailureKind::Overload);
    STRANGER = "this machine is not let in", "a peer that says 1130 in the place of a greeting" => Expected::fails(FailureKind::Auth);
    X_PROTOCOL = "the port of the X protocol", "a peer that begins with a notice of it" => Expected::fails(FailureKind::Protocol);
    NOBODY = "nobody there", "a port that nobody listens on" => Expected::fails(FailureKind::ConnectRefused);
}

#[test]
fn credentials_that_the_server_rejects() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let outcome = expect(&WRONG, &server, json!({ "password": "another" }));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("1045"), "true"));
    assert_eq!(outcome.failure.as_ref().and_then(|failure| failure.phase), Some(Phase::Auth));
    server.sql(&format!("ALTER USER {BARE}@'%' ACCOUNT LOCK; ALTER USER {USER}@'%' PASSWORD EXPIRE"));
    let url = format!("mysql://{BARE}@{}", server.addr());
    assert_eq!(code(&expect(&LOCKED, &server, json!({ "url": url }))), Some("4151"));
    assert_eq!(code(&expect(&EXPIRED, &server, json!({}))), Some("1820"));
}

#[test]
fn other_ways_to_log_in() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::builder().setting("plugin-load-add=auth_ed25519").start();
    server.sql(&format!(
        "CREATE USER curve@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}'); GRANT REPLICA MONITOR ON *.* TO curve@'%';
         CREATE USER socket@'%' IDENTIFIED VIA unix_socket"
    ));
    let url = |user: &str| json!({ "url": format!("mariadb://{user}@{}", server.addr()) });
    expect(&ED25519, &server, url("curve"));
    expect(&SOCKET_ONLY, &server, url("socket"));
}

#[test]
fn a_rejection_is_not_repeated_and_the_server_not_even_dialled() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let probe = probe(&server, json!({ "password": "another" }));
    check(&WRONG, &probe.run());
    let before = server.status("Connections");
    for _ in 0..5 {
        let outcome = probe.run();
        check(&WRONG, &outcome);
        assert!(fact(&outcome, "next_attempt_in_seconds").parse::<u64>().is_ok_and(|seconds| seconds > 30), "{outcome:#?}");
    }
    // The administrator's own client is the only one that came.
    assert_eq!(server.status("Connections"), before + 1);
    assert_eq!(server.status("Aborted_connects"), 1);
}

#[test]
fn databases_that_are_not_there_or_not_ours() {
    if !require("mysql") {
        return;
    }
    let server = shared();
    let url = |database: &str| json!({ "url": format!("mysql://{USER}@{}/{database}", server.addr()) });
    // Whoever may see no database at all is not told which exist.
    let none = Mysql::start();
    none.sql(&format!("GRANT SELECT ON *.* TO {USER}@'%'"));
    let missing = json!({ "url": format!("mysql://{USER}@{}/nowhere", none.addr()) });
    assert_eq!(code(&expect(&NO_DATABASE, &none, missing)), Some("1049"));
    assert_eq!(code(&expect(&NO_ACCESS, server, url("mysql"))), Some("1044"));
}

#[test]
fn an_account_without_privileges_is_healthy_as_far_as_it_sees() {
    if !require("mysql") {
        return;
    }
    let server = shared();
    let bare = json!({ "url": format!("mysql://{BARE}@{}", server.addr()) });
    let outcome = expect(&UNPRIVILEGED, server, bare.clone());
    assert_eq!(outcome.missing, ["SHOW REPLICA STATUS"]);
    assert!(fact(&outcome, "max_connections").parse::<u64>().is_ok(), "{outcome:#?}");
    let strict = Options { require_coverage: true, ..Options::default() };
    check(&UNPRIVILEGED_STRICT, &Asked::with("mysql", entry(server.addr(), bare), strict).run());
}

#[test]
fn an_account_has_limits_of_its_own() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    server.sql(&format!("ALTER USER {USER}@'%' WITH MAX_USER_CONNECTIONS 1"));
    let first = probe(&server, json!({}));
    assert_eq!(first.run().status, Status::Healthy);
    assert_eq!(code(&expect(&USED_UP, &server, json!({}))), Some("1226"));
}

#[test]
fn what_a_server_says_in_the_place_of_a_greeting() {
    let says = |body: &[u8]| {
        let header = [u8::try_from(body.len()).expect("a short packet"), 0, 0, 0];
        let peer = Peer::start([Script::new().say([&header, body].concat()).close()]);
        Asked::new("mysql", entry(peer.addr(), json!({}))).run()
    };
    let blocked = says(b"\xff\x69\x04Host '192.0.2.7' is blocked because of many connection errors");
    check(&BLOCKED, &blocked);
    assert_eq!(code(&blocked), Some("1129"));
    let stranger = says(b"\xff\x6a\x04Host '192.0.2.7' is not allowed to connect");
    check(&STRANGER, &stranger);
    assert_eq!(code(&stranger), Some("1130"));
    let other = says(b"\x0b\x08\x05\x1a\0");
    check(&X_PROTOCOL, &other);
    assert_eq!(code(&other), Some("x_protocol"));
    check(&NOBODY, &Asked::new("mysql", entry(([127, 0, 0, 1], free_port()).into(), json!({}))).run());
}

#[test]
fn modes_of_tls_that_would_be_unsafe_are_refused() {
    let build = |url: &str| {
        let built = probity_probes::find("mysql").expect("it is built in").build(json!({ "url": url }), Options::default());
        built.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(build("mysql://h/?ssl-mode=preferred").contains("fall back"));
    assert!(build("mysql://h/?ssl-mode=VERIFY").contains("ssl-mode"));
    assert!(build("mysql://h/?charset=utf8").contains("charset"));
    assert!(build(&format!("postgres://h/{DATABASE}")).contains("scheme"));
    for mode in ["DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY", "verify-identity"] {
        assert_eq!(build(&format!("mysql://h/?ssl-mode={mode}")), "");
    }
}

#[test]
fn a_unix_socket_is_a_way_too() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let subject = Subject {
        kind: "mysql",
        process: server.process(),
        socket: server.socket(),
        entry: |socket| json!({ "url": format!("mysql:///{DATABASE}?socket={}", socket.display()), "username": USER, "password": PASSWORD }),
    };
    subject.all();
}
