//! What a body must say.

use std::time::Duration;

use probity_probes::FailureKind;
use probity_probes::testing::{Peer, Script};
use serde_json::json;

use super::{code, entry, expect, probe};
use crate::support::servers::nginx::{Nginx, shared};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, peers, require};

states! { "http":
    SAYS_SO = "the right body", "contains, regex, not_regex, json" => Expected::HEALTHY;
    SAYS_ELSE = "another body", "contains, regex, not_regex, json" => Expected::unfit("body_mismatch");
    NO_JSON = "no JSON where some is expected", "text" => Expected::unfit("body_mismatch");
    REPORTS_WELL = "a health document says well", "pass, UP, Healthy" => Expected::HEALTHY;
    REPORTS_WARN = "a health document warns", "warn, UNKNOWN, Degraded" => Expected::degraded("reported_status");
    REPORTS_DOWN = "a health document says down", "fail, OUT_OF_SERVICE, Unhealthy" => Expected::unfit("reported_status");
    NO_DOCUMENT = "a health document of another form", "a word that it does not know" => Expected::unfit("body_mismatch");
    TOO_LARGE = "a body that is too large", "3 MiB" => Expected::fails(FailureKind::Protocol);
    ENDLESS = "a body without end", "a peer that sends chunks and chunks" => Expected::fails(FailureKind::Protocol);
    CUT_SHORT = "a body that is cut short", "a peer that announces 100 bytes and sends 3" => Expected::fails(FailureKind::ConnectionLost);
    BAD_CHUNK = "a body that breaks the rules", "a peer that sends a chunk without a size" => Expected::fails(FailureKind::Protocol);
}

#[test]
fn a_body_is_held_against_every_rule() {
    if !require("http") {
        return;
    }
    let at = |path: &str, rules| entry(shared().http(), path, json!({ "expect": rules }));
    for rules in
        [json!({ "contains": "well" }), json!({ "regex": "^I am (well|fine)$" }), json!({ "not_regex": "(?i)maintenance" })]
    {
        expect(&SAYS_SO, at("/text", rules));
    }
    expect(&SAYS_SO, at("/health", json!({ "json": { "/status": "UP" } })));
    for (path, rules, words) in [
        ("/text", json!({ "contains": "sick" }), "does not contain `expect.contains`"),
        ("/text", json!({ "regex": "^sick" }), "does not match `expect.regex`"),
        ("/text", json!({ "not_regex": "WELL|well" }), "matches `expect.not_regex`"),
        ("/health", json!({ "json": { "/status": "DOWN" } }), "/status has another value"),
        ("/health", json!({ "json": { "/depth/0": 1 } }), "/depth/0 is absent"),
    ] {
        let outcome = expect(&SAYS_ELSE, at(path, rules));
        assert_eq!(outcome.findings[0].observed.to_string(), words);
    }
    let outcome = expect(&NO_JSON, at("/text", json!({ "json": { "/status": "UP" } })));
    assert_eq!(outcome.findings[0].observed.to_string(), "is not JSON");
}

/// It may be private, so no surface may repeat it.
#[test]
fn the_body_itself_is_never_shown() {
    if !require("http") {
        return;
    }
    let outcome = expect(&SAYS_ELSE, entry(shared().http(), "/text", json!({ "expect": { "contains": "sick" } })));
    assert!(!format!("{outcome:?}").contains("I am"), "{outcome:#?}");
}

#[test]
fn health_documents_are_understood() {
    if !require("http") {
        return;
    }
    let documents = [
        ("ietf", "{\"status\":\"pass\"}", "{\"status\":\"warn\"}", "{\"status\":\"fail\"}"),
        ("spring", "{\"status\":\"UP\"}", "{\"status\":\"UNKNOWN\"}", "{\"status\":\"OUT_OF_SERVICE\"}"),
        ("aspnet", "Healthy", "Degraded", "Unhealthy"),
    ];
    let mut server = Nginx::builder();
    for (schema, well, warn, down) in documents {
        for (word, body) in [("well", well), ("warn", warn), ("down", down)] {
            server = server.location(&format!("= /{schema}/{word}"), &format!("return 200 '{body}';"));
        }
    }
    let server = server.start();
    for (schema, ..) in documents {
        for (word, state) in [("well", REPORTS_WELL), ("warn", REPORTS_WARN), ("down", REPORTS_DOWN)] {
            expect(&state, entry(server.http(), &format!("/{schema}/{word}"), json!({ "body_schema": schema })));
        }
        expect(&NO_DOCUMENT, entry(server.http(), "/text", json!({ "body_schema": schema })));
    }
}

#[test]
fn a_large_body_is_not_read_to_its_end() {
    if !require("http") {
        return;
    }
    let server = Nginx::builder().location("= /big", "try_files /big =404;").start();
    let outcome = expect(&TOO_LARGE, entry(server.http(), "/big", json!({})));
    assert_eq!(code(&outcome), Some("body_too_large"));
}

#[test]
fn a_body_that_never_ends_or_lies_is_cut_off() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
    let endless = peers::flood(format!("{chunked}7fffffff\r\n"));
    // It does not wait for the request: that alone breaks the rules, if it is noticed before the length.
    expect(&ENDLESS, entry(endless.addr(), "/", json!({})));
    eventually(Duration::from_secs(5), "the flood is closed", || (endless.open() == 0).then_some(()));
    assert!(endless.sent() < 32 << 20, "{} bytes were taken in", endless.sent());
    expect(&CUT_SHORT, entry(peers::answers(head).addr(), "/", json!({})));
    expect(&BAD_CHUNK, entry(peers::answers(format!("{chunked}what?\r\n")).addr(), "/", json!({})));
}

/// One that drips is a timeout, however busy it looks.
#[test]
fn a_body_that_does_not_come_is_a_timeout() {
    let within = Duration::from_millis(400);
    let peer = Peer::start([Script::new().wait_for("\r\n\r\n").say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")]);
    let outcome = probe(entry(peer.addr(), "/", json!({}))).run_within(within);
    check(&super::sessions::HUNG.within(within), &outcome);
}
