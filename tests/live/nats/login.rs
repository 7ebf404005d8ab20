//! Who may come in, and what they may do.

use std::time::Duration;

use probity_probes::{FailureKind, Status};
use serde_json::json;

use super::{code, entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::nats::{Nats, TOKEN, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};

states! { "nats":
    WELL = "well", "user and password" => Expected::HEALTHY;
    TOKEN_OK = "well, with a token", "authorization by token" => Expected::HEALTHY;
    WRONG_PASSWORD = "wrong password", "another password" => Expected::fails(FailureKind::Auth);
    WRONG_TOKEN = "wrong token", "another token" => Expected::fails(FailureKind::Auth);
    NO_LOGIN = "no credentials", "a server that wants some" => Expected::fails(FailureKind::Auth);
    NO_PUBLISH = "may not ask for JetStream", "publish $JS.API.INFO denied" => Expected::HEALTHY;
    NO_SUBSCRIBE = "may not hear the answer", "subscribe _INBOX.> denied" => Expected::HEALTHY;
}

fn logged_in() -> serde_json::Value {
    json!({ "username": USER, "password": PASSWORD })
}

#[test]
fn a_user_learns_what_the_server_is() {
    if !require("nats") {
        return;
    }
    let outcome = expect(&WELL, shared().addr(), logged_in());
    for (name, value) in [
        ("server_name", "probity"),
        ("version", "2.9.10"),
        ("jetstream", "true"),
        ("max_payload_bytes", "1048576"),
        ("lame_duck", "false"),
        ("connect_urls", "0"),
        ("js_memory_bytes", "0"),
        ("js_storage_bytes", "0"),
        ("js_streams", "0"),
    ] {
        // Another version is as good.
        assert!(fact(&outcome, name) == value || name == "version" && !fact(&outcome, name).is_empty(), "{name}: {outcome:#?}");
    }
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn a_user_in_the_url_is_as_good() {
    if !require("nats") {
        return;
    }
    let addr = shared().addr();
    expect(&WELL, addr, json!({ "url": format!("nats://{USER}:{PASSWORD}@{addr}") }));
}

#[test]
fn a_token_is_taken_from_its_key_or_from_the_url() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().token().start();
    let addr = server.addr();
    expect(&TOKEN_OK, addr, json!({ "token": TOKEN }));
    expect(&TOKEN_OK, addr, json!({ "url": format!("nats://{TOKEN}@{addr}") }));
    let outcome = expect(&WRONG_TOKEN, addr, json!({ "token": "probe-wrong-token" }));
    assert!(!format!("{outcome:?}").contains("probe-wrong-token"), "{outcome:#?}");
}

#[test]
fn a_wrong_password_is_tried_once_and_logged_once() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().user().start();
    let probe = probe(server.addr(), json!({ "username": USER, "password": "probe-wrong-pw" }));
    let outcome = probe.run();
    check(&WRONG_PASSWORD, &outcome);
    assert_eq!(code(&outcome), Some("Authorization Violation"));
    assert_eq!(fact(&outcome, "process_alive"), "true");
    // Until the pause is over only the dial is tried: a line in the server's log each would be five a minute.
    for _ in 0..3 {
        let again = probe.run();
        check(&WRONG_PASSWORD, &again);
        assert!(fact(&again, "next_attempt_in_seconds").parse::<u64>().is_ok_and(|left| (40..=72).contains(&left)), "{again:#?}");
    }
    server
        .process()
        .wait_until("the refusal is logged", || server.process().log().contains("authentication error").then_some(()));
    let refusals = server.process().log_lines().iter().filter(|line| line.contains("[ERR]")).count();
    assert_eq!(refusals, 1, "{}", server.process().log());
}

#[test]
fn missing_credentials_lock_nobody_out_and_are_tried_each_time() {
    if !require("nats") {
        return;
    }
    let probe = probe(shared().addr(), json!({}));
    for _ in 0..2 {
        let outcome = probe.run();
        check(&NO_LOGIN, &outcome);
        assert_eq!(fact(&outcome, "next_attempt_in_seconds"), "");
    }
}

#[test]
fn a_denied_question_lowers_coverage_at_once_and_is_not_repeated() {
    if !require("nats") {
        return;
    }
    for (state, permissions) in
        [(NO_PUBLISH, "publish: { deny: \"$JS.API.INFO\" }"), (NO_SUBSCRIBE, "subscribe: { deny: \"_INBOX.>\" }")]
    {
        let server = Nats::builder().user_with(permissions).jetstream().start();
        let options = probity_probes::Options { deep_interval: Duration::ZERO, ..probity_probes::Options::default() };
        let probe = Asked::with("nats", entry(server.addr(), logged_in()), options);
        for _ in 0..3 {
            let outcome = probe.run();
            check(&state, &outcome);
            assert_eq!(outcome.missing, ["$JS.API.INFO"], "{state:?}");
            assert!(outcome.duration < Duration::from_millis(500), "{state:?}: {outcome:#?}");
        }
        let violations = server.process().log_lines().iter().filter(|line| line.contains("Violation")).count();
        assert!(violations <= 1, "{}", server.process().log());
    }
}

#[test]
fn a_denied_question_is_degraded_where_coverage_is_required() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().user_with("publish: { deny: \"$JS.API.INFO\" }").jetstream().start();
    let options = probity_probes::Options { require_coverage: true, ..probity_probes::Options::default() };
    let outcome = Asked::with("nats", entry(server.addr(), logged_in()), options).run();
    assert_eq!((outcome.status, outcome.findings[0].code.as_ref()), (Status::Degraded, "partial_coverage"));
}
