//! Whether it serves, and how well.

use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome, Phase, SessionKind};
use serde_json::json;

use super::{SOON, always_renewing, code, entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::redis::{self, Redis};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "redis":
    WELL = "well", "a server as it starts" => Expected::HEALTHY;
    LOADING = "loading its data set", "a restart with 20 000 keys that load slowly" => Expected::fails(FailureKind::NotReady);
    BUSY = "busy with a script", "EVAL of an endless loop" => Expected::fails(FailureKind::NotReady);
    UNSAVED = "cannot persist", "BGSAVE into /proc" => Expected::degraded("persistence_blocks_writes");
    UNSAVED_WRITABLE = "cannot persist, and must be writable", "the same with expect.writable" => Expected::fails(FailureKind::NotReady);
    FULL = "memory full", "maxmemory below what it uses, noeviction" => Expected::degraded("memory");
    FULL_WRITABLE = "memory full, and must be writable", "the same with expect.writable" => Expected::unfit("memory");
    EVICTING = "memory full, and may evict", "the same with allkeys-lru" => Expected::HEALTHY;
    CROWDED = "nearly at its limit of clients", "9 of 10 connected" => Expected::degraded("connections");
    NO_ROOM = "at its limit of clients", "maxclients reached, then a fresh session" => Expected::fails(FailureKind::Overload);
    NO_ROOM_WARM = "at its limit of clients, with a warm session", "the same beside a session of ours" => Expected::degraded("new_connections_failing");
    UNSAVED_LENIENT = "cannot persist, and writes on", "the same with stop-writes-on-bgsave-error no" => Expected::degraded("persistence_failing");
    TURNING_AWAY = "turns clients away", "maxclients reached, and one more" => Expected::degraded("rejecting_connections");
    OLD = "an old server", "without HELLO" => Expected::HEALTHY;
    NAMELESS = "a server whose PING has another name", "rename-command PING" => Expected::fails(FailureKind::Permission);
}

#[test]
fn a_server_that_is_well_tells_what_it_is() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let probe = probe(&server, json!({ "expect": { "role": "primary", "writable": true } }));
    let fresh = probe.run();
    check(&WELL, &fresh);
    for (name, value) in
        [("mode", "standalone"), ("role", "primary"), ("server", "redis"), ("loading", "false"), ("maxmemory_bytes", "0")]
    {
        assert_eq!(fact(&fresh, name), value, "{name}");
    }
    assert_eq!(fact(&fresh, "remote_address"), server.addr().to_string());
    assert!(fact(&fresh, "version").starts_with("7."), "{fresh:#?}");
    for name in ["used_memory_bytes", "connected_clients", "maxclients"] {
        assert!(fact(&fresh, name).parse::<u64>().is_ok_and(|number| number > 0), "{name}: {fresh:#?}");
    }
    assert!(fresh.missing.is_empty(), "{fresh:#?}");

    let warm = probe.run();
    check(&WELL, &warm);
    let phases = |outcome: &Outcome| outcome.phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>();
    assert_eq!(
        (fresh.session, phases(&fresh)),
        (Some(SessionKind::Fresh), vec![Phase::Connect, Phase::Auth, Phase::Query, Phase::Deep])
    );
    assert_eq!((warm.session, phases(&warm)), (Some(SessionKind::Warm), vec![Phase::Query]));
    assert_eq!(fact(&warm, "role"), "primary", "deep facts stay between deep questions");
}

#[test]
fn a_server_that_loads_is_not_ready() {
    if !require("redis") {
        return;
    }
    let server = redis::loading();
    let outcome = expect(&LOADING, &server, json!({}));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("LOADING"), "true"));
}

#[test]
fn a_server_that_is_busy_with_a_script_is_not_ready() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().setting("busy-reply-threshold 50").start();
    std::thread::scope(|scope| {
        let script = scope.spawn(|| server.try_command(&["EVAL", "while true do end", "0"]));
        server.process().wait_until("PING is refused", || server.command(&["PING"]).starts_with("-BUSY").then_some(()));
        let outcome = probe(&server, json!({})).run();
        server.command(&["SCRIPT", "KILL"]);
        let _ = script.join();
        check(&BUSY, &outcome);
        assert_eq!(code(&outcome), Some("BUSY"));
    });
}

#[test]
fn a_server_that_cannot_persist_is_degraded_unless_it_must_be_writable() {
    if !require("redis") {
        return;
    }
    let server = redis::misconfigured();
    let outcome = expect(&UNSAVED, &server, json!({}));
    assert_eq!(fact(&outcome, "rdb_last_save_ok"), "false");
    let outcome = expect(&UNSAVED_WRITABLE, &server, json!({ "expect": { "writable": true } }));
    assert_eq!(code(&outcome), Some("MISCONF"));
    server.command(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    expect(&UNSAVED_LENIENT, &server, json!({ "expect": { "writable": true } }));
}

#[test]
fn a_server_without_memory_is_degraded_unless_it_must_be_writable() {
    if !require("redis") {
        return;
    }
    let server = redis::out_of_memory();
    assert!(server.command(&["SET", "key", "value"]).starts_with("-OOM"));
    expect(&FULL, &server, json!({}));
    expect(&FULL_WRITABLE, &server, json!({ "expect": { "writable": true } }));
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    expect(&EVICTING, &server, json!({ "expect": { "writable": true } }));
}

#[test]
fn a_crowded_server_is_degraded() {
    if !require("redis") {
        return;
    }
    let server = redis::max_clients(10);
    let held = server.hold_clients(8);
    let outcome = expect(&CROWDED, &server, json!({}));
    drop(held);
    assert_eq!(fact(&outcome, "maxclients"), "10");
}

#[test]
fn a_full_server_refuses_fresh_sessions_with_and_without_a_password() {
    if !require("redis") {
        return;
    }
    let server = redis::max_clients(2);
    let held = server.hold_clients(2);
    let full = || server.command(&["PING"]).starts_with("-ERR max number").then_some(());
    server.process().wait_until("it is full", full);
    for keys in [json!({}), json!({ "password": "whatever" })] {
        let outcome = expect(&NO_ROOM, &server, keys);
        assert_eq!(code(&outcome), Some("ERR max number of clients"));
    }
    drop(held);
}

#[test]
fn a_full_server_degrades_what_a_warm_session_says() {
    if !require("redis") {
        return;
    }
    let server = redis::max_clients(3);
    let probe = always_renewing(&server);
    check(&WELL, &probe.run());
    // The session that was replaced may still be on its way out, and hold a place.
    let mut held = server.hold_clients(2);
    let full = || {
        held.extend(server.hold_clients(1));
        server.command(&["PING"]).starts_with("-ERR max number").then_some(())
    };
    server.process().wait_until("it is full", full);
    let outcome = probe.run();
    check(&NO_ROOM_WARM, &outcome);
    assert_eq!((outcome.session, outcome.failure), (Some(SessionKind::Warm), None));
    let observed = outcome.findings.iter().find(|finding| finding.code == "new_connections_failing");
    assert_eq!(observed.map(|finding| finding.observed.to_string()).as_deref(), Some("overload"));
    drop(held);
    eventually(SOON, "it recovers with room", || probe.run().findings.is_empty().then_some(()));
}

#[test]
fn a_server_that_turns_clients_away_is_degraded() {
    if !require("redis") {
        return;
    }
    let server = redis::max_clients(4);
    let always_deep = Options { deep_interval: Duration::ZERO, ..Options::default() };
    let probe = Asked::with("redis", entry(server.addr(), json!({})), always_deep);
    check(&WELL, &probe.run());
    let held = server.hold_clients(3);
    let full = || server.command(&["PING"]).starts_with("-ERR max number").then_some(());
    server.process().wait_until("it is full", full);
    drop(held);
    let outcome = probe.run();
    check(&TURNING_AWAY, &outcome);
    assert_ne!(fact(&outcome, "rejected_connections_total"), "0");
}

#[test]
fn commands_that_are_gone_matter_only_where_they_are_needed() {
    if !require("redis") {
        return;
    }
    let without = |command: &str| Redis::builder().setting(format!("rename-command {command} \"\"")).start();
    let outcome = expect(&OLD, &without("HELLO"), json!({}));
    assert!(fact(&outcome, "version").starts_with("7."), "INFO tells it as well: {outcome:#?}");
    expect(&NAMELESS, &without("PING"), json!({}));
}
