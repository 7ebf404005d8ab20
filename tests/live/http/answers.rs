//! Statuses and headers.

use probity_probes::FailureKind;
use serde_json::json;

use super::{code, entry, expect, fact};
use crate::support::require;
use crate::support::servers::nginx::shared;
use crate::support::truth::{Expected, State, states};

states! { "http":
    WELL = "well", "200" => Expected::HEALTHY;
    LISTED = "an expected status", "204, 404 and 302 where `expect.status` lists them" => Expected::HEALTHY;
    UNLISTED = "an unexpected status", "200 where 204 is expected" => Expected::fails(FailureKind::Query);
    BAD_REQUEST = "a refused request", "400" => Expected::fails(FailureKind::Query);
    UNAUTHORIZED = "credentials are wanted", "401" => Expected::fails(FailureKind::Auth);
    FORBIDDEN = "access is denied", "403" => Expected::fails(FailureKind::Permission);
    NOT_FOUND = "there is no such page", "404" => Expected::fails(FailureKind::Config);
    BROKEN = "an error of the service", "500" => Expected::fails(FailureKind::Query);
    BAD_GATEWAY = "a proxy reaches nobody", "502" => Expected::fails(FailureKind::NotReady);
    UNAVAILABLE = "not serving", "a peer that says 503 without Retry-After" => Expected::fails(FailureKind::NotReady);
    GATEWAY_TIMEOUT = "a proxy waits in vain", "504" => Expected::fails(FailureKind::Timeout);
    COME_BACK = "not serving for a while", "503 with Retry-After" => Expected::degraded("retry_later");
    SLOW_DOWN = "asked too often", "429 with Retry-After" => Expected::degraded("retry_later");
    HEADER = "the right header", "X-Region: eu, as expected" => Expected::HEALTHY;
    OTHER_HEADER = "another header", "X-Region: eu where us is expected" => Expected::unfit("header_mismatch");
    NO_HEADER = "a missing header", "no X-Region where one is expected" => Expected::unfit("header_mismatch");
}

#[test]
fn a_page_tells_what_it_is() {
    if !require("http") {
        return;
    }
    let outcome = expect(&WELL, entry(shared().http(), "/health", json!({})));
    for (name, value) in
        [("status_code", "200"), ("http_version", "1.1"), ("redirects", "0"), ("body_bytes", "15"), ("server_header", "nginx/")]
    {
        assert!(fact(&outcome, name).starts_with(value), "{name}: {outcome:#?}");
    }
}

#[test]
fn every_status_has_its_kind() {
    if !require("http") {
        return;
    }
    for (status, state) in [
        (400, BAD_REQUEST),
        (401, UNAUTHORIZED),
        (403, FORBIDDEN),
        (404, NOT_FOUND),
        (500, BROKEN),
        (502, BAD_GATEWAY),
        (504, GATEWAY_TIMEOUT),
    ] {
        let outcome = expect(&state, entry(shared().http(), &format!("/{status}"), json!({})));
        assert_eq!(code(&outcome), Some(status.to_string().as_str()));
    }
}

#[test]
fn statuses_and_ranges_can_be_expected() {
    if !require("http") {
        return;
    }
    let at = |path: &str, status: serde_json::Value| entry(shared().http(), path, json!({ "expect": { "status": status } }));
    expect(&LISTED, at("/204", json!([204])));
    expect(&LISTED, at("/404", json!([200, "400-404"])));
    expect(&LISTED, at("/redir", json!(["200-399"])));
    let outcome = expect(&UNLISTED, at("/health", json!([204])));
    assert_eq!(code(&outcome), Some("200"));
}

#[test]
fn retry_after_says_that_it_lives() {
    if !require("http") {
        return;
    }
    for (state, path) in [(COME_BACK, "/503"), (SLOW_DOWN, "/429")] {
        let outcome = expect(&state, entry(shared().http(), path, json!({})));
        assert_eq!(outcome.findings[0].observed.to_string(), format!("{}, Retry-After: 5", &path[1..]));
    }
}

#[test]
fn a_status_without_retry_after_is_a_failure() {
    let peer = crate::support::peers::answers("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    let outcome = expect(&UNAVAILABLE, entry(peer.addr(), "/", json!({})));
    assert_eq!(fact(&outcome, "process_alive"), "true");
}

#[test]
fn headers_are_held_against_their_value() {
    if !require("http") {
        return;
    }
    let at = |path: &str, value: &str| entry(shared().http(), path, json!({ "expect": { "headers": { "x-region": value } } }));
    let check = |state: &State, path: &str, value: &str| expect(state, at(path, value));
    check(&HEADER, "/headers", "eu");
    let other = check(&OTHER_HEADER, "/headers", "us");
    assert_eq!(other.findings[0].to_string(), "header_mismatch x-region: another value of us");
    let none = check(&NO_HEADER, "/health", "eu");
    assert_eq!(none.findings[0].to_string(), "header_mismatch x-region: absent of eu");
}

#[test]
fn methods_and_bodies_are_sent() {
    if !require("http") {
        return;
    }
    let outcome = expect(&WELL, entry(shared().http(), "/health", json!({ "method": "HEAD" })));
    assert_eq!(fact(&outcome, "body_bytes"), "0");
    let head = "POST /deep?x=1 HTTP/1.1\r\n";
    let script = probity_probes::testing::Script::new().expect(head).wait_for("\r\n\r\nall well?");
    let peer = probity_probes::testing::Peer::start([script.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]);
    expect(&WELL, entry(peer.addr(), "/deep?x=1", json!({ "method": "POST", "body": "all well?" })));
    assert!(peer.mistakes().is_empty(), "{:?}", peer.mistakes());
}
