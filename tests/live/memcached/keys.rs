//! Own questions: a key and its value.

use probity_probes::testing::{Peer, Script};
use serde_json::{Value as Json, json};

use super::{entry, expect, probe};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::memcached::Memcached;
use crate::support::truth::{Expected, check, states};

states! { "memcached":
    RIGHT = "a key with the expected value", "query, expect.value" => Expected::HEALTHY;
    OTHER = "a key with another value", "the same" => Expected::unfit("unexpected_value");
    GONE = "a key that is gone", "the same, and no such key" => Expected::unfit("unexpected_value");
    UNWANTED = "a key that should not exist", "query, expect.rows = 0" => Expected::unfit("unexpected_rows");
    LONG = "a value of 1 MB where a short one is expected", "the same" => Expected::unfit("unexpected_value");
    OLD = "a key of an old server", "a peer that does not know mg" => Expected::HEALTHY;
}

/// The keys that ask for a key.
fn asking(key: &str, expect: &Json) -> Json {
    json!({ "query": key, "expect": expect })
}

#[test]
fn a_value_is_right_wrong_or_missing_and_grows_no_younger() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let mut client = server.connect().expect("it answers");
    client.ask("set switch 0 0 4\r\nopen\r\n").expect("it answers");
    let warm = probe(&server, asking("switch", &json!({ "value": "open", "rows": 1 })));
    for _ in 0..5 {
        check(&RIGHT, &warm.run());
    }
    let outcome = expect(&OTHER, &server, asking("switch", &json!({ "value": "shut" })));
    assert_eq!(outcome.findings[0].observed.to_string(), "open");
    expect(&UNWANTED, &server, asking("switch", &json!({ "rows": 0 })));
    // Never read, as far as its place in the line for eviction is concerned.
    assert_eq!(client.ask("mg switch h\r\n").expect("it answers"), "HD h0");
    client.ask("delete switch\r\n").expect("it answers");
    let outcome = warm.run();
    check(&GONE, &outcome);
    assert!(outcome.findings.iter().any(|finding| finding.observed.to_string() == "nothing"), "{outcome:#?}");
    expect(&RIGHT, &server, asking("switch", &json!({ "rows": 0 })));
    expect(&RIGHT, &server, asking("switch", &json!({})));
}

#[test]
fn a_long_value_is_not_fetched() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let mut client = server.connect().expect("it answers");
    client.ask(&format!("set long 0 0 1000000\r\n{}\r\n", "x".repeat(1_000_000))).expect("it answers");
    let before = server.stat("bytes_written");
    let outcome = expect(&LONG, &server, asking("long", &json!({ "value": "short", "rows": 1 })));
    assert_eq!(outcome.findings[0].observed.to_string(), "(1000000 bytes)");
    assert!(server.stat("bytes_written") - before < 20_000);
    client.ask(&format!("set longest 0 0 4096\r\n{}\r\n", "x".repeat(4096))).expect("it answers");
    expect(&RIGHT, &server, asking("longest", &json!({ "value": "x".repeat(4096) })));
}

#[test]
fn a_server_that_knows_only_get_is_asked_so() {
    let script = Script::new().expect("version\r\n").say("VERSION 1.5.4\r\n").expect("mg switch s u\r\n").say("ERROR\r\n");
    let script = script.expect("get switch\r\n").say("VALUE switch 0 4\r\nopen\r\nEND\r\n").expect("stats\r\n").say("END\r\n");
    let script = script.expect("stats settings\r\n").say("END\r\n");
    let peer = Peer::start([script.expect("get switch\r\n").say("END\r\n")]);
    let probe = Asked::new("memcached", entry(peer.addr(), asking("switch", &json!({ "value": "open" }))));
    check(&OLD, &probe.run());
    check(&GONE, &probe.run());
    assert_eq!(peer.mistakes(), Vec::<String>::new());
}
