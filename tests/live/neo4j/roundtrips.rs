//! Round trips: a node is written, read and removed.

use std::time::Duration;

use probity_probes::{Depth, Options, Phase};
use serde_json::json;

use super::{entry, expect};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::neo4j::{DATABASE, Neo4j, shared};
use crate::support::truth::{Expected, check, states};

states! { "neo4j":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    READ_ONLY = "nothing is written unless it is asked for", "depth = deep" => Expected::HEALTHY;
}

/// One that makes a round trip in every run.
fn writer(server: &Neo4j, name: &str) -> Asked {
    let options =
        Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, name: name.into(), ..Options::default() };
    let probe = Asked::with("neo4j", entry(server.addr(), json!({})), options);
    // The first needs plans that nobody has made yet.
    assert_eq!(probe.run_within(super::SOON).failure, None);
    probe
}

fn canaries() -> serde_json::Value {
    shared().rows(DATABASE, "MATCH (c:ProbityCanary) RETURN count(c)")[0][0].clone()
}

#[test]
fn round_trips_leave_nothing_behind_and_do_not_disturb_each_other() {
    if !require("neo4j") {
        return;
    }
    expect(&READ_ONLY, shared(), json!({}));
    assert_eq!(canaries(), json!(0));
    // What a probe has left behind that died.
    shared().rows(DATABASE, "MERGE (c:ProbityCanary {probe: 'another', nonce: 'old', at: 0})");
    // As `--check` beside an agent: both have the same canary.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writer(shared(), "same");
                for _ in 0..20 {
                    let outcome = probe.run();
                    check(&WELL, &outcome);
                    assert!(outcome.phases.get(Phase::Roundtrip).is_some(), "{outcome:#?}");
                }
            });
        }
    });
    assert_eq!(canaries(), json!(0));
}
