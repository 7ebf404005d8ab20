//! Redirects, which are followed only where the catalog says so.

use probity_probes::FailureKind;
use probity_probes::testing::{Peer, Script};
use serde_json::{Value, json};

use super::{code, entry, expect, fact};
use crate::support::require;
use crate::support::servers::nginx::{Nginx, shared};
use crate::support::truth::{Expected, states};

states! { "http":
    REDIRECTED = "a redirect", "302, not followed" => Expected::fails(FailureKind::Config);
    FOLLOWED = "a redirect that is followed", "302 to a good page, follow = 1" => Expected::HEALTHY;
    CIRCLE = "a redirect in a circle", "302 to itself, follow = 5" => Expected::fails(FailureKind::Config);
    ELSEWHERE = "a redirect to another host", "302 to another port, follow = 5" => Expected::fails(FailureKind::Config);
    TOO_MANY = "too many redirects", "three, follow = 2" => Expected::fails(FailureKind::Config);
}

fn follow(times: u8) -> Value {
    json!({ "follow": times })
}

#[test]
fn a_redirect_is_not_health() {
    if !require("http") {
        return;
    }
    let outcome = expect(&REDIRECTED, entry(shared().http(), "/redir", json!({})));
    assert_eq!(code(&outcome), Some("302"));
}

#[test]
fn a_redirect_can_be_followed_but_not_forever_nor_anywhere() {
    if !require("http") {
        return;
    }
    let other = shared().http();
    let server = Nginx::builder()
        .location("= /a", "return 301 /b;")
        .location("= /b", "return 302 c;")
        .location("= /c", "return 307 /health;")
        .location("= /away", &format!("return 302 http://{other}/health;"))
        .start();
    let outcome = expect(&FOLLOWED, entry(server.http(), "/redir", follow(1)));
    assert_eq!((fact(&outcome, "redirects"), fact(&outcome, "status_code")), ("1".into(), "200".into()));
    let outcome = expect(&FOLLOWED, entry(server.http(), "/a", follow(3)));
    assert_eq!(fact(&outcome, "redirects"), "3");
    for (state, path, times, expected) in [
        (TOO_MANY, "/a", 2, "redirect_limit"),
        (CIRCLE, "/loop", 5, "redirect_circle"),
        (ELSEWHERE, "/away", 5, "redirect_elsewhere"),
    ] {
        let outcome = expect(&state, entry(server.http(), path, follow(times)));
        assert_eq!(code(&outcome), Some(expected));
    }
}

/// What was posted is not posted again, and a server may close behind its redirect.
#[test]
fn a_post_becomes_a_get_on_a_new_connection() {
    let moved = "HTTP/1.1 303 See Other\r\nLocation: /done\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let done = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::start([
        Script::new().expect("POST / HTTP/1.1\r\n").wait_for("\r\n\r\nx").say(moved).close(),
        Script::new().expect("GET /done HTTP/1.1\r\n").wait_for("\r\n\r\n").say(done),
    ]);
    let mut keys = follow(1);
    keys["method"] = "POST".into();
    keys["body"] = "x".into();
    let outcome = expect(&FOLLOWED, entry(peer.addr(), "/", keys));
    assert_eq!((fact(&outcome, "redirects"), peer.mistakes()), ("1".into(), vec![]));
}
