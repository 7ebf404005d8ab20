//! Replicas and their ZooKeeper.

use probity_probes::{Outcome, Status};
use serde_json::json;

use super::{SOON, expect, fact, looking};
use crate::support::servers::clickhouse::{self, Clickhouse};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "clickhouse":
    FOLLOWING = "a replica that is well", "a replicated table and its ZooKeeper" => Expected::HEALTHY;
    WITHOUT = "no replica, and no ZooKeeper needed", "a server alone" => Expected::HEALTHY;
    KEEPER_LOST = "ZooKeeper lost", "kill -9 of it" => Expected::degraded("keeper_lost");
    READ_ONLY = "tables that are read-only", "the same" => Expected::degraded("readonly_replicas");
    KEEPER_LOST_WRITABLE = "ZooKeeper lost, and writes must be possible", "the same with expect.writable" => Expected::unfit("keeper_lost");
    DELAYED = "a replica that is behind", "SYSTEM STOP FETCHES, degraded.replica_delay = 1s" => Expected::degraded("replica_delay");
    DELAYED_FRESH = "a replica that is far behind, and reads must be fresh", "ten times the limit with expect.fresh_reads" => Expected::unfit("replica_delay");
}

fn sees(finding: &str, outcome: &Outcome) -> bool {
    outcome.findings.iter().any(|seen| seen.code == finding)
}

#[test]
fn a_replica_without_its_keeper_reads_and_does_not_write() {
    if !["clickhouse", "zookeeper"].into_iter().all(require) {
        return;
    }
    let (keeper, server) = clickhouse::replicated();
    let probe = |keys| looking(&server, keys);
    let well = expect(&FOLLOWING, &server, json!({ "expect": { "writable": true, "fresh_reads": true } }));
    for (name, value) in [
        ("keeper_connected", "true"),
        ("replicated_tables", "1"),
        ("readonly_replicas", "0"),
        ("shard", "one"),
        ("replica", "first"),
    ] {
        assert_eq!(fact(&well, name), value, "{name}: {well:#?}");
    }
    let warm = probe(json!({}));
    check(&FOLLOWING, &warm.run());

    keeper.process().kill9();
    let writable = probe(json!({ "expect": { "writable": true } }));
    let lost = eventually(SOON, "the loss of ZooKeeper is seen", || Some(writable.run()).filter(|run| sees("keeper_lost", run)));
    check(&KEEPER_LOST_WRITABLE, &lost);
    assert_eq!(fact(&lost, "keeper_connected"), "false");
    check(&KEEPER_LOST, &expect(&KEEPER_LOST, &server, json!({})));
    let readonly = eventually(SOON, "the tables are read-only", || {
        Some(probe(json!({})).run()).filter(|run| sees("readonly_replicas", run))
    });
    check(&READ_ONLY, &readonly);
    let observed = readonly.findings.iter().find(|finding| finding.code == "readonly_replicas");
    assert_eq!(observed.map(|finding| finding.observed.to_string()).as_deref(), Some("1 of 1: default.orders"));

    keeper.restart();
    let healed = || (probe(json!({ "expect": { "writable": true } })).run().status == Status::Healthy).then_some(());
    eventually(super::SOON * 3, "it recovers", healed);
}

#[test]
fn a_replica_that_does_not_fetch_is_behind() {
    if !["clickhouse", "zookeeper"].into_iter().all(require) {
        return;
    }
    let (_keeper, server) = clickhouse::replicated();
    server.query(
        "CREATE TABLE copies (day Date, id UInt32) ENGINE = ReplicatedMergeTree('/tables/orders', 'second', day, id, 8192)",
    );
    server.query("SYSTEM STOP FETCHES");
    server.query("INSERT INTO orders VALUES ('2026-11-21', 2)");
    let degraded = json!({ "replica_delay": "1s" });
    let probe = looking(&server, json!({ "degraded": degraded }));
    let delayed = eventually(SOON, "it is behind", || Some(probe.run()).filter(|run| sees("replica_delay", run)));
    check(&DELAYED, &delayed);
    assert!(fact(&delayed, "max_queue_size").parse::<u64>().is_ok_and(|length| length > 0), "{delayed:#?}");
    let probe = looking(&server, json!({ "degraded": degraded, "expect": { "fresh_reads": true } }));
    let stale = eventually(SOON, "it is far behind", || Some(probe.run()).filter(|run| run.status == Status::Unhealthy));
    check(&DELAYED_FRESH, &stale);
}

#[test]
fn a_server_without_replicas_needs_no_keeper() {
    if !["clickhouse", "zookeeper"].into_iter().all(require) {
        return;
    }
    let outcome = expect(&WITHOUT, &Clickhouse::start(), json!({ "expect": { "writable": true } }));
    assert_eq!((fact(&outcome, "keeper_connected").as_str(), fact(&outcome, "replicated_tables").as_str()), ("false", "0"));
}
