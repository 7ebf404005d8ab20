//! Round trips: a row is written, read and removed.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::cassandra::{CANARY, shared};
use crate::support::truth::{Expected, check, states};

states! { "cassandra":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    READS = "nothing is written unless it is asked for", "depth = deep" => Expected::HEALTHY;
    NOWHERE = "a round trip without a table", "no canary in the entry" => Expected::fails(FailureKind::Config);
    FORBIDDEN = "a round trip of a role that may not write", "nothing is granted to it" => Expected::fails(FailureKind::Permission);
}

/// One that makes a round trip in every run.
fn writer(name: &str, keys: Json) -> Asked {
    let options =
        Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, name: name.into(), ..Options::default() };
    Asked::with("cassandra", entry(shared().addr(), keys), options)
}

fn canaries() -> usize {
    shared().rows(&format!("SELECT JSON * FROM {CANARY}")).len()
}

#[test]
fn round_trips_leave_nothing_behind_and_do_not_disturb_each_other() {
    if !require("cassandra") {
        return;
    }
    expect(&READS, shared().addr(), json!({}));
    assert_eq!(canaries(), 0);
    // As two checks at once: both have the same canary.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writer("same", json!({}));
                for _ in 0..20 {
                    let outcome = probe.run();
                    check(&WELL, &outcome);
                    assert!(outcome.phases.get(Phase::Roundtrip).is_some(), "{outcome:#?}");
                }
            });
        }
    });
    assert_eq!(canaries(), 0);
}

#[test]
fn a_round_trip_needs_a_table_and_the_right_to_write() {
    if !require("cassandra") {
        return;
    }
    let mut nowhere = entry(shared().addr(), json!({}));
    nowhere.as_object_mut().and_then(|entry| entry.remove("canary")).expect("it is there");
    let options = Options { depth: Depth::Roundtrip, ..Options::default() };
    let outcome = Asked::with("cassandra", nowhere, options).run();
    check(&NOWHERE, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("canary")));
    let outcome = writer("forbidden", json!({ "username": USER })).run();
    check(&FORBIDDEN, &outcome);
    assert_eq!(code(&outcome), Some("0x2100"));
}
