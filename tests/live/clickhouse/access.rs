//! Who may log in, and what he may ask.

use probity_probes::{FailureKind, Options};
use serde_json::json;

use super::{code, entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::clickhouse::{CONFINED, Clickhouse, ELSEWHERE, READER, SPENT, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{free_port, require};

states! { "clickhouse":
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN = "an unknown user", "another user in the entry" => Expected::fails(FailureKind::Auth);
    ELSEWHERE_ONLY = "a user who may come from elsewhere only", "networks of another machine" => Expected::fails(FailureKind::Auth);
    READ_ONLY = "a user who may change no settings", "a profile with readonly = 1" => Expected::HEALTHY;
    EXHAUSTED = "a user whose quota is used up", "one query an hour" => Expected::fails(FailureKind::Overload);
    NO_DATABASE = "a database that does not exist", "?database=nowhere" => Expected::fails(FailureKind::Config);
    NO_ACCESS = "a database that is not ours", "allow_databases names another" => Expected::fails(FailureKind::Permission);
    NATIVE = "the port of the native protocol", "tcp_port in the entry" => Expected::fails(FailureKind::Protocol);
    NOBODY = "nobody there", "a port that nobody listens on" => Expected::fails(FailureKind::ConnectRefused);
}

#[test]
fn credentials_that_the_server_rejects() {
    if !require("clickhouse") {
        return;
    }
    let server = shared();
    let user = |name: &str| json!({ "url": format!("http://{name}@{}", server.addr()) });
    let outcome = expect(&WRONG, server, json!({ "password": "another" }));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("193"), "true"));
    assert_eq!(code(&expect(&UNKNOWN, server, user("nobody"))), Some("192"));
    assert_eq!(code(&expect(&ELSEWHERE_ONLY, server, user(ELSEWHERE))), Some("195"));
}

#[test]
fn a_profile_that_allows_no_settings_is_asked_without() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::start();
    let reader = json!({ "url": format!("http://{READER}@{}", server.addr()) });
    let probe = probe(&server, reader);
    let outcome = probe.run();
    check(&READ_ONLY, &outcome);
    assert!(!fact(&outcome, "uptime_seconds").is_empty(), "{outcome:#?}");
    // It is learned once, not in every session.
    server.restart();
    let log = server.process().log();
    check(&READ_ONLY, &probe.run());
    assert_eq!(server.process().log(), log);
}

#[test]
fn quotas_and_databases() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::start();
    let at = |user: &str, rest: &str| json!({ "url": format!("http://{user}@{}/{rest}", server.addr()) });
    let outcome = expect(&EXHAUSTED, &server, at(SPENT, ""));
    assert_eq!(code(&outcome), Some("201"));
    assert_eq!(code(&expect(&NO_DATABASE, &server, at(USER, "?database=nowhere"))), Some("81"));
    assert_eq!(code(&expect(&NO_ACCESS, &server, at(CONFINED, "?database=default"))), Some("291"));
}

#[test]
fn other_ports_are_told_apart() {
    if !require("clickhouse") {
        return;
    }
    let at = |addr| Asked::new("clickhouse", entry(addr, json!({}))).run();
    let native = at(shared().native_addr());
    check(&NATIVE, &native);
    assert_eq!(code(&native), Some("native_port"));
    check(&NOBODY, &at(([127, 0, 0, 1], free_port()).into()));
}

#[test]
fn addresses_of_the_native_protocol_are_refused_with_the_right_ones() {
    let build = |url: &str| {
        let config = json!({ "url": url, "password": PASSWORD });
        let built = probity_probes::find("clickhouse").expect("it is built in").build(config, Options::default());
        built.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(build("clickhouse://h:9000").contains("8123"));
    assert!(build("http://h?databas=x").contains("database"));
    for url in ["http://h", "https://u@h?database=x", "http://[::1]:1"] {
        assert_eq!(build(url), "");
    }
}
