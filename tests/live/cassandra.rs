//! Cassandra 5.0, well and sick.

mod access;
mod faults;
mod limits;
mod questions;
mod ring;
mod roundtrips;
mod serving;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome, Value};
use serde_json::{Value as Json, json};

use crate::support::probe::Asked;
use crate::support::servers::PASSWORD;
use crate::support::servers::cassandra::{CANARY, READER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, serving::STATES, ring::STATES, limits::STATES, questions::STATES, roundtrips::STATES];

/// A catalog entry for a node, with more keys, or others.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    let url = format!("cassandra://{addr}");
    let mut entry = json!({ "url": url, "username": READER, "password": PASSWORD, "canary": CANARY });
    if let (Some(entry), Json::Object(keys)) = (entry.as_object_mut(), keys) {
        entry.extend(keys);
    }
    entry
}

/// A probe that asks the deep questions in every run.
fn deep(addr: SocketAddr, keys: Json) -> Asked {
    Asked::with("cassandra", entry(addr, keys), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

/// One fresh run against a node, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = Asked::new("cassandra", entry(addr, keys)).run();
    check(state, &outcome);
    outcome
}

/// The server's own code in a failure.
fn code(outcome: &Outcome) -> Option<&str> {
    outcome.failure.as_ref()?.code.as_deref()
}

/// What a finding observed, as text.
fn observed(outcome: &Outcome, code: &str) -> String {
    let found = outcome.findings.iter().find(|finding| finding.code == code);
    found.map(|finding| finding.observed.to_string()).unwrap_or_default()
}

/// A fact as text.
fn fact(outcome: &Outcome, name: &str) -> String {
    outcome.facts.get(name).map(Value::to_string).unwrap_or_default()
}
