//! Full of connections, full of items, and judged by how it fares.

use std::net::TcpStream;
use std::time::Duration;

use probity_probes::{FailureKind, Options};
use serde_json::json;

use super::{SOON, code, deep, entry, expect, fact};
use crate::support::probe::Asked;
use crate::support::servers::memcached::{Memcached, shared};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "memcached":
    WELL = "well", "a server as it starts" => Expected::HEALTHY;
    NO_ROOM = "at its limit of connections", "-c 20, all in use, then a fresh session" => Expected::fails(FailureKind::Overload);
    NO_ROOM_TLS = "at its limit of connections, with TLS", "the same with -Z" => Expected::fails(FailureKind::Overload);
    NO_ROOM_WARM = "at its limit of connections, with a warm session", "the same beside a session of ours" => Expected::degraded("new_connections_failing");
    REFUSING = "refuses connections", "rejected_connections grows" => Expected::degraded("rejecting_connections");
    STALLING = "at its limit, and lets connections wait", "no_maxconns_fast, then a fresh session" => Expected::fails(FailureKind::ConnectTimeout);
    STALLING_WARM = "at its limit, and lets connections wait, with a warm session", "the same beside a session of ours" => Expected::unfit("not_accepting");
    CROWDED = "nearly at its limit of connections", "degraded.connections = 0.01" => Expected::degraded("connections");
    FULL = "memory full, and may not evict", "-M -m 2 and 20 items of 100 kB" => Expected::degraded("memory");
    LOSING = "writes are refused", "the same while somebody writes" => Expected::degraded("out_of_memory");
    LOSING_WRITABLE = "writes are refused, and must be possible", "the same with expect.writable" => Expected::unfit("out_of_memory");
    EVICTING = "memory full, and may evict", "-m 2 and 30 items of 100 kB" => Expected::HEALTHY;
    EVICTING_FAST = "evicts faster than allowed", "the same with degraded.evictions_per_second" => Expected::degraded("evictions");
    MISSING = "fewer reads hit than they should", "200 reads of nothing with degraded.hit_ratio" => Expected::degraded("hit_ratio");
    COLD = "just started", "degraded.cold = 1h" => Expected::degraded("cold");
}

#[test]
fn a_server_that_is_well_tells_what_it_is() {
    if !require("memcached") {
        return;
    }
    let outcome = expect(&WELL, shared(), json!({ "expect": { "writable": true } }));
    for (name, value) in [("accepting_conns", "true"), ("evicts", "true"), ("max_connections", "1024")] {
        assert_eq!(fact(&outcome, name), value, "{name}");
    }
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn a_full_server_refuses_in_words() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-c", "20"]).start();
    let renewing = Options { fresh_every: Duration::ZERO, deep_interval: Duration::ZERO, ..Options::default() };
    let warm = Asked::with("memcached", entry(server.addr(), json!({})), renewing);
    let warm_deep = deep(&server, json!({}));
    check(&WELL, &warm_deep.run());
    check(&WELL, &warm.run());
    let held = server.fill_with_clients();
    let outcome = expect(&NO_ROOM, &server, json!({}));
    assert_eq!(code(&outcome), Some("ERROR Too many open connections"));
    assert_eq!(fact(&outcome, "process_alive"), "true");
    check(&REFUSING, &warm_deep.run());
    check(&NO_ROOM_WARM, &warm.run());
    drop(held);
    eventually(SOON, "it recovers with room", || warm.run().findings.is_empty().then_some(()));
}

#[test]
fn a_full_server_with_tls_refuses_before_tls() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().tls().args(["-c", "20"]).start();
    let held: Vec<_> = (0..20).map(|_| TcpStream::connect(server.addr()).expect("it listens")).collect();
    let keys = json!({ "url": format!("memcached+tls://{}", server.addr()), "tls": { "ca": Ca::shared().certificate() } });
    // It counts a connection when a thread of it takes it on, a moment after the kernel did.
    let outcome = eventually(SOON, "it is full", || {
        let outcome = Asked::new("memcached", keys.clone()).run();
        outcome.failure.is_some().then_some(outcome)
    });
    check(&NO_ROOM_TLS, &outcome);
    assert_eq!(code(&outcome), Some("ERROR Too many open connections"));
    drop(held);
}

#[test]
fn a_full_server_that_lets_connections_wait_is_unhealthy() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-c", "20", "-o", "no_maxconns_fast"]).start();
    let warm = deep(&server, json!({}));
    check(&WELL, &warm.run());
    let held = server.fill_with_clients();
    check(&STALLING, &super::probe(&server, json!({})).run());
    check(&STALLING_WARM, &warm.run());
    drop(held);
    eventually(SOON, "it recovers with room", || warm.run().findings.is_empty().then_some(()));
}

#[test]
fn a_crowded_server_is_degraded() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-c", "100"]).start();
    expect(&CROWDED, &server, json!({ "degraded": { "connections": 0.01 } }));
}

#[test]
fn a_server_without_memory_is_degraded_unless_it_must_be_writable() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-M", "-m", "2"]).start();
    let writable = deep(&server, json!({ "expect": { "writable": true } }));
    let probe = deep(&server, json!({}));
    check(&WELL, &probe.run());
    check(&WELL, &writable.run());
    assert!(server.write_items(30) > 0, "it takes everything");
    let outcome = probe.run();
    check(&LOSING, &outcome);
    check(&LOSING_WRITABLE, &writable.run());
    let outcome = expect(&FULL, &server, json!({ "expect": { "writable": true } }));
    assert_eq!(fact(&outcome, "evicts"), "false");
}

#[test]
fn a_full_cache_that_may_evict_is_as_it_should_be() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-m", "2"]).start();
    let limited = deep(&server, json!({ "degraded": { "evictions_per_second": 0.01 } }));
    check(&WELL, &limited.run());
    assert_eq!(server.write_items(30), 0);
    expect(&EVICTING, &server, json!({ "expect": { "writable": true } }));
    // The server's clock goes by whole seconds.
    let outcome = eventually(SOON, "a second goes by", || {
        server.write_items(30);
        let outcome = limited.run();
        (!outcome.findings.is_empty()).then_some(outcome)
    });
    check(&EVICTING_FAST, &outcome);
}

#[test]
fn reads_that_miss_are_judged_where_it_is_asked_for() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let probe = deep(&server, json!({ "degraded": { "hit_ratio": 0.5 } }));
    check(&WELL, &probe.run());
    let mut client = server.connect().expect("it answers");
    for _ in 0..200 {
        client.ask("get nothing\r\n").expect("it answers");
    }
    let outcome = probe.run();
    check(&MISSING, &outcome);
    assert_eq!(fact(&outcome, "hit_ratio"), "0");
    expect(&COLD, &server, json!({ "degraded": { "cold": "1h" } }));
}
