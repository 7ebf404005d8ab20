//! Apache Kafka 4.3, alone, three of them, and apart from its controller.

mod access;
mod cluster;
mod faults;
mod roundtrips;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;

use probity_probes::Outcome;
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::kafka::BARE;
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, cluster::STATES, roundtrips::STATES, serving::STATES, tls::STATES];

/// A catalog entry with more keys; one of them may be another `url`.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("kafka://{addr}"), "degraded": { "disk_free": 0.0 } }), keys)
}

/// A probe of a broker, with more keys in its entry.
fn probe(addr: SocketAddr, keys: Json) -> Asked {
    Asked::new("kafka", entry(addr, keys))
}

/// The keys of a user.
fn as_user(user: &str) -> Json {
    json!({ "username": user, "password": PASSWORD })
}

/// One fresh run against a broker, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = probe(addr, keys).run();
    check(state, &outcome);
    outcome
}

/// What was seen of a finding.
fn seen(outcome: &Outcome, code: &str) -> String {
    let finding = outcome.findings.iter().find(|finding| finding.code == code);
    finding.map(|finding| finding.observed.to_string()).unwrap_or_default()
}
