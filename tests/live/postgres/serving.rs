//! Whether it serves, and how well.

use probity_probes::{FailureKind, Outcome, Phase, SessionKind};
use serde_json::json;

use super::{SOON, always_renewing, code, expect, fact, probe};
use crate::support::servers::postgres::{self, Postgres};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    WELL = "well", "a primary as it starts" => Expected::HEALTHY;
    STARTING = "starting up", "a restore command that does not end" => Expected::fails(FailureKind::NotReady);
    READ_ONLY = "read-only", "default_transaction_read_only = on" => Expected::HEALTHY;
    READ_ONLY_WRITABLE = "read-only, and must be writable", "the same with expect.writable" => Expected::unfit("role_mismatch");
    READ_ONLY_PRIMARY = "read-only, and must be a primary", "the same with expect.role = primary" => Expected::unfit("role_mismatch");
    CROWDED = "nearly out of connection slots", "7 of 7 ordinary ones, one of them ours" => Expected::degraded("connections");
    NO_ROOM = "out of connection slots", "7 of 7 ordinary ones, then a fresh session" => Expected::fails(FailureKind::Overload);
    NO_ROOM_WARM = "out of connection slots, with a warm session", "the same beside a session of ours" => Expected::degraded("new_connections_failing");
    SLOT_LOST = "a replication slot has lost its WAL", "max_slot_wal_keep_size = 1MB and 10 MB of WAL" => Expected::degraded("replication_slot_lost");
}

#[test]
fn a_primary_that_is_well_tells_what_it_is() {
    if !require("postgres") {
        return;
    }
    let server = postgres::shared();
    let probe = probe(server, json!({ "expect": { "role": "primary", "writable": true } }));
    let fresh = probe.run();
    check(&WELL, &fresh);
    for (name, value) in [
        ("role", "primary"),
        ("in_recovery", "false"),
        ("read_only", "false"),
        ("connections_max", "97"),
        ("standbys_connected", "0"),
    ] {
        assert_eq!(fact(&fresh, name), value, "{name}");
    }
    assert!(fact(&fresh, "server_version_num").starts_with(fact(&fresh, "version").split('.').next().unwrap_or("?")));
    for name in ["connections", "uptime_seconds"] {
        assert!(fact(&fresh, name).parse::<u64>().is_ok(), "{name}: {fresh:#?}");
    }
    assert!(fresh.missing.is_empty() && !fresh.facts.contains_key("pooler"), "{fresh:#?}");

    let warm = probe.run();
    check(&WELL, &warm);
    let phases = |outcome: &Outcome| outcome.phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>();
    assert_eq!(
        (fresh.session, phases(&fresh)),
        (Some(SessionKind::Fresh), vec![Phase::Connect, Phase::Auth, Phase::Query, Phase::Deep])
    );
    assert_eq!((warm.session, phases(&warm)), (Some(SessionKind::Warm), vec![Phase::Query]));
}

#[test]
fn a_server_that_starts_up_is_not_ready() {
    if !require("postgres") {
        return;
    }
    let outcome = expect(&STARTING, &postgres::starting_up(), json!({}));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("57P03"), "true"));
}

#[test]
fn a_read_only_server_is_healthy_unless_it_must_be_writable() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let warm = probe(&server, json!({ "expect": { "writable": true } }));
    check(&WELL, &warm.run());
    server.set_read_only(true);
    assert_eq!(fact(&expect(&READ_ONLY, &server, json!({})), "read_only"), "true");
    expect(&READ_ONLY_WRITABLE, &server, json!({ "expect": { "writable": true } }));
    expect(&READ_ONLY_PRIMARY, &server, json!({ "expect": { "role": "primary" } }));
    server.set_read_only(false);
    expect(&WELL, &server, json!({ "expect": { "writable": true } }));
}

#[test]
fn a_server_without_slots_refuses_fresh_sessions_and_degrades_warm_ones() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().max_connections(10).start();
    let (warm, mut full) = (always_renewing(&server), Vec::new());
    check(&WELL, &warm.run());
    let refused = eventually(SOON, "a fresh session is refused", || {
        // The client that counts the free slots may itself still hold one.
        full.push(server.exhaust());
        let outcome = probe(&server, json!({})).run();
        outcome.failure.is_some().then_some(outcome)
    });
    check(&NO_ROOM, &refused);
    assert_eq!(code(&refused), Some("53300"));

    let outcome = warm.run();
    check(&NO_ROOM_WARM, &outcome);
    assert_eq!((outcome.session, outcome.failure), (Some(SessionKind::Warm), None));
    let observed = outcome.findings.iter().find(|finding| finding.code == "new_connections_failing");
    assert_eq!(observed.map(|finding| finding.observed.to_string()).as_deref(), Some("overload"));
    drop(full);
    eventually(SOON, "it recovers with room", || warm.run().findings.is_empty().then_some(()));
}

#[test]
fn a_crowded_server_is_degraded() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().max_connections(10).start();
    let _held = server.hold_clients(6);
    // Whoever watches is counted too, so nobody looks before the probe.
    let outcome = expect(&CROWDED, &server, json!({}));
    assert_eq!(fact(&outcome, "connections_max"), "7");
}

#[test]
fn a_lost_replication_slot_is_degraded() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("max_slot_wal_keep_size", "1MB").start();
    server.sql("SELECT pg_create_physical_replication_slot('gone', true)");
    eventually(SOON, "the slot has lost its WAL", || {
        server.sql("CREATE TABLE IF NOT EXISTS much AS SELECT repeat('x', 1000) FROM generate_series(1, 5000); DROP TABLE much");
        server.sql("SELECT pg_switch_wal(); CHECKPOINT");
        let status = server.sql("SELECT wal_status FROM pg_replication_slots");
        ["lost", "unreserved"].contains(&status.as_str()).then_some(())
    });
    expect(&SLOT_LOST, &server, json!({}));
}
