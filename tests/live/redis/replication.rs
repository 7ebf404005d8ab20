//! Primaries and their replicas.

use std::time::Duration;

use probity_probes::{FailureKind, Options};
use serde_json::json;

use super::{code, entry, expect, fact, probe, until_info_says};
use crate::support::fault::{Fault, FaultProxy};
use crate::support::probe::Asked;
use crate::support::servers::redis::{self, Redis};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "redis":
    REPLICA = "a replica that is well", "replicaof a primary, link up" => Expected::HEALTHY;
    NOT_A_REPLICA = "a primary where a replica is expected", "expect.role = replica" => Expected::unfit("role_mismatch");
    NOT_A_PRIMARY = "a replica where a primary is expected", "expect.role = primary" => Expected::unfit("role_mismatch");
    NOT_WRITABLE = "a replica that must be writable", "expect.writable" => Expected::unfit("role_mismatch");
    LINK_DOWN = "a replica without its primary", "kill -9 of the primary" => Expected::degraded("replication_broken");
    LINK_DOWN_FRESH = "a replica without its primary, and reads must be fresh", "the same with expect.fresh_reads" => Expected::unfit("replication_broken");
    NO_STALE_DATA = "a replica without its primary that serves no stale data", "replica-serve-stale-data no" => Expected::fails(FailureKind::NotReady);
    SYNCING = "a replica that copies everything", "a primary behind a slow network" => Expected::degraded("replication_syncing");
    SILENT = "a replica that hears nothing", "SIGSTOP of the primary, a limit of 1 s" => Expected::degraded("replication_silent");
    BEHIND = "a replica that does not apply what it reads", "CLIENT PAUSE WRITE, a limit of 1000 bytes" => Expected::degraded("replication_lag");
    ALONE = "a primary with too few replicas", "min-replicas-to-write 1 without a replica" => Expected::degraded("min_replicas_unmet");
    ALONE_WRITABLE = "a primary with too few replicas, and must be writable", "the same with expect.writable" => Expected::unfit("min_replicas_unmet");
}

#[test]
fn roles_are_held_against_the_expectation_only() {
    if !require("redis") {
        return;
    }
    let (primary, replica) = redis::replicated();
    let outcome = expect(&REPLICA, &replica, json!({ "expect": { "role": "replica", "fresh_reads": true } }));
    assert_eq!((fact(&outcome, "role").as_str(), fact(&outcome, "master_link_up").as_str()), ("replica", "true"));
    assert_eq!(fact(&outcome, "replication_lag_bytes"), "0");
    expect(&NOT_A_PRIMARY, &replica, json!({ "expect": { "role": "primary" } }));
    expect(&NOT_WRITABLE, &replica, json!({ "expect": { "writable": true } }));
    let outcome = expect(&NOT_A_REPLICA, &primary, json!({ "expect": { "role": "replica" } }));
    assert_eq!(fact(&outcome, "connected_replicas"), "1");
}

#[test]
fn a_replica_does_not_answer_for_replicas_of_its_own() {
    if !require("redis") {
        return;
    }
    let (_primary, replica) = redis::replicated();
    replica.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    expect(&REPLICA, &replica, json!({}));
}

#[test]
fn a_replica_without_its_primary_is_degraded_unless_reads_must_be_fresh() {
    if !require("redis") {
        return;
    }
    let (primary, replica) = redis::replicated();
    primary.process().kill9();
    until_info_says(&replica, "master_link_status:down");
    expect(&LINK_DOWN, &replica, json!({}));
    expect(&LINK_DOWN_FRESH, &replica, json!({ "expect": { "fresh_reads": true } }));
}

#[test]
fn a_replica_that_serves_no_stale_data_is_not_ready_without_its_primary() {
    if !require("redis") {
        return;
    }
    let outcome = expect(&NO_STALE_DATA, &redis::master_down(), json!({}));
    assert_eq!(code(&outcome), Some("MASTERDOWN"));
}

#[test]
fn a_replica_that_copies_everything_is_degraded() {
    if !require("redis") {
        return;
    }
    let primary = Redis::start();
    primary.command(&["DEBUG", "POPULATE", "2000", "key", "1000"]);
    let network = FaultProxy::start(primary.addr());
    network.set(Fault::Drip { bytes: 64, every: Duration::from_millis(10) });
    let replica = Redis::builder().setting(format!("replicaof 127.0.0.1 {}", network.addr().port())).start();
    until_info_says(&replica, "master_sync_in_progress:1");
    expect(&SYNCING, &replica, json!({}));
}

#[test]
fn a_replica_that_hears_nothing_is_degraded() {
    if !require("redis") {
        return;
    }
    let (primary, replica) = redis::replicated();
    primary.process().freeze();
    eventually(super::SOON, "the silence lasts", || {
        let info = replica.command(&["INFO", "replication"]);
        let silence = info.lines().find_map(|line| line.strip_prefix("master_last_io_seconds_ago:"))?;
        silence.trim().parse::<i64>().is_ok_and(|seconds| seconds >= 1).then_some(())
    });
    expect(&SILENT, &replica, json!({ "degraded": { "replication_silence": "1s" } }));
}

#[test]
fn a_replica_that_does_not_apply_what_it_reads_is_degraded() {
    if !require("redis") {
        return;
    }
    let (primary, replica) = redis::replicated();
    replica.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    primary.command(&["SET", "key", &"x".repeat(2000)]);
    let probe = probe(&replica, json!({ "degraded": { "replication_lag_bytes": 1000 } }));
    let outcome = eventually(super::SOON, "the replica has read it", || {
        let deep = Asked::new("redis", entry(replica.addr(), json!({}))).run();
        (fact(&deep, "replication_lag_bytes") != "0").then(|| probe.run())
    });
    check(&BEHIND, &outcome);
}

#[test]
fn a_primary_with_too_few_replicas_is_degraded_unless_it_must_be_writable() {
    if !require("redis") {
        return;
    }
    let server = redis::too_few_replicas();
    assert!(server.command(&["SET", "key", "value"]).starts_with("-NOREPLICAS"));
    expect(&ALONE, &server, json!({}));
    expect(&ALONE_WRITABLE, &server, json!({ "expect": { "writable": true } }));
}

#[test]
fn a_fail_over_behind_a_reconnect_is_seen_at_once() {
    if !require("redis") {
        return;
    }
    let (_primary, replica) = redis::replicated();
    let keys = json!({ "expect": { "role": "replica" } });
    // The deep questions are not due for an hour: only the reconnect can bring them forward.
    let options = Options { deep_interval: Duration::from_hours(1), ..Options::default() };
    let probe = Asked::with("redis", entry(replica.addr(), keys), options);
    check(&REPLICA, &probe.run());
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    replica.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(probe.lost_within(super::SOON), "the loss was not noticed");
    let outcome = probe.run();
    check(&NOT_A_REPLICA, &outcome);
    assert!(outcome.reconnected);
}
