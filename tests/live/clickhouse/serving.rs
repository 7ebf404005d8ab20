//! Whether it serves, and how well.

use probity_probes::{FailureKind, Outcome, Phase, SessionKind};
use serde_json::json;

use super::{SOON, code, fact, looking, probe};
use crate::support::servers::clickhouse::Clickhouse;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "clickhouse":
    WELL = "well", "a server as it starts" => Expected::HEALTHY;
    STUCK = "a mutation that is not done", "SYSTEM STOP MERGES, degraded.mutation_age = 1s" => Expected::degraded("mutations_stuck");
    PRESSED = "inserts that are rejected", "more parts than parts_to_throw_insert" => Expected::degraded("insert_backpressure");
    CROWDED = "too many queries at the same time", "max_concurrent_queries = 1, and one that sleeps" => Expected::fails(FailureKind::Overload);
}

#[test]
fn a_server_that_is_well_tells_what_it_is() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::start();
    let probe = probe(&server, json!({}));
    let fresh = probe.run();
    check(&WELL, &fresh);
    assert!(fact(&fresh, "version").starts_with("18."), "{fresh:#?}");
    for name in ["timezone", "uptime_seconds", "connections_http", "connections_tcp", "delayed_inserts"] {
        assert!(!fact(&fresh, name).is_empty(), "{name}: {fresh:#?}");
    }
    assert_eq!(fresh.missing, ["system.disks"], "this version does not know of disks");

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
fn a_mutation_that_is_never_done_is_a_finding() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::start();
    server.query("CREATE TABLE t (day Date, id UInt32) ENGINE = MergeTree(day, id, 8192)");
    server.query("INSERT INTO t VALUES ('2026-11-21', 1)");
    server.query("SYSTEM STOP MERGES");
    server.query("ALTER TABLE t DELETE WHERE id = 1");
    let young = probe(&server, json!({}));
    check(&WELL, &young.run());
    let short = looking(&server, json!({ "degraded": { "mutation_age": "1s" } }));
    let stuck = |outcome: &Outcome| !outcome.findings.is_empty();
    check(&STUCK, &eventually(SOON, "it is stuck", || Some(short.run()).filter(stuck)));
}

#[test]
fn inserts_that_are_rejected_are_counted_from_one_deep_question_to_the_next() {
    if !require("clickhouse") {
        return;
    }
    let limits = "<merge_tree><parts_to_throw_insert>3</parts_to_throw_insert></merge_tree>";
    let server = Clickhouse::builder().setting(limits).start();
    server.query("CREATE TABLE t (day Date, id UInt32) ENGINE = MergeTree(day, id, 8192)");
    server.query("SYSTEM STOP MERGES");
    let probe = looking(&server, json!({}));
    check(&WELL, &probe.run());
    let reject = || server.try_query("INSERT INTO t VALUES ('2026-11-21', 1)").err();
    let refused = eventually(SOON, "an insert is rejected", reject);
    assert!(refused.to_string().contains("Code: 252"), "{refused}");
    check(&PRESSED, &probe.run());
    check(&WELL, &probe.run());
}

#[test]
fn too_many_queries_are_an_overload() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::builder().setting("<max_concurrent_queries>1</max_concurrent_queries>").start();
    std::thread::scope(|scope| {
        scope.spawn(|| server.try_query("SELECT sleep(3)"));
        let full = || Some(probe(&server, json!({})).run()).filter(|outcome| outcome.failure.is_some());
        let outcome = eventually(SOON, "it is full", full);
        check(&CROWDED, &outcome);
        assert_eq!(code(&outcome), Some("202"));
    });
}
