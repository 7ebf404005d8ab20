//! Credentials and secret headers.

use std::fs;

use probity_probes::testing::{Peer, Script};
use probity_probes::{FailureKind, Outcome};
use serde_json::{Value, json};

use super::{code, entry, expect, fact, probe};
use crate::support::servers::nginx::shared;
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{require, scratch};

states! { "http":
    KNOWN = "known to the server", "basic, bearer, a secret header" => Expected::HEALTHY;
    UNKNOWN = "wrong password", "401 with basic authentication" => Expected::fails(FailureKind::Auth);
    NOBODY = "no credentials", "401 without any" => Expected::fails(FailureKind::Auth);
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn basic_authentication_from_keys_and_from_the_url() {
    if !require("http") {
        return;
    }
    let addr = shared().http();
    expect(&KNOWN, entry(addr, "/auth", json!({ "username": USER, "password": PASSWORD })));
    expect(&KNOWN, json!({ "url": format!("http://{USER}:{PASSWORD}@{addr}/auth") }));
}

#[test]
fn a_bearer_token_and_a_secret_header_are_sent_from_files() {
    let folder = scratch();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        json!({ "file": path })
    };
    for (keys, line) in [
        (json!({ "token": file("token", "abc-123\n") }), "authorization: Bearer abc-123\r\n"),
        (json!({ "headers": { "X-Api-Key": file("key", "k3y") } }), "x-api-key: k3y\r\n"),
    ] {
        let peer = Peer::start([Script::new().wait_for(line).wait_for("\r\n\r\n").say(OK)]);
        expect(&KNOWN, entry(peer.addr(), "/", keys));
    }
}

fn next_attempt(outcome: &Outcome) -> Option<u64> {
    fact(outcome, "next_attempt_in_seconds").parse().ok()
}

#[test]
fn rejected_credentials_rest_until_the_file_changes() {
    if !require("http") {
        return;
    }
    let folder = scratch();
    let path = folder.path().join("password");
    fs::write(&path, "probe-wrong-pw").expect("a file can be written");
    let probe = probe(entry(shared().http(), "/auth", json!({ "username": USER, "password": { "file": path } })));
    let first = probe.run();
    check(&UNKNOWN, &first);
    assert_eq!((code(&first), next_attempt(&first)), (Some("401"), None));
    let again = probe.run();
    check(&UNKNOWN, &again);
    assert!(next_attempt(&again).is_some_and(|left| (40..=72).contains(&left)), "{again:#?}");
    fs::write(&path, PASSWORD).expect("a file can be written");
    check(&KNOWN, &probe.run());
}

/// The server may change its mind about a session that is warm.
#[test]
fn a_rejection_of_a_warm_session_rests_too() {
    let refused = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    let script = Script::new().wait_for("\r\n\r\n").say(OK).wait_for("\r\n\r\n").say(refused);
    let peer = Peer::start([script, Script::new()]);
    let keys: Value = json!({ "username": USER, "password": PASSWORD });
    let probe = probe(entry(peer.addr(), "/", keys));
    check(&KNOWN, &probe.run());
    check(&UNKNOWN, &probe.run());
    let again = probe.run();
    check(&UNKNOWN, &again);
    assert!(next_attempt(&again).is_some(), "{again:#?}");
}

#[test]
fn without_credentials_every_run_asks() {
    if !require("http") {
        return;
    }
    let probe = probe(entry(shared().http(), "/auth", json!({})));
    for _ in 0..3 {
        let outcome = probe.run();
        check(&NOBODY, &outcome);
        assert_eq!((code(&outcome), next_attempt(&outcome)), (Some("401"), None));
    }
}
