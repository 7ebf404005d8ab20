//! Neo4j 5.26, well and sick.

mod access;
mod faults;
mod limits;
mod questions;
mod roundtrips;
mod serving;
mod sessions;
mod versions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{self, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::PASSWORD;
use crate::support::servers::neo4j::{ADMIN, Neo4j};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, serving::STATES, limits::STATES, questions::STATES, roundtrips::STATES, versions::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A catalog entry for a server, with more keys, or others.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("bolt://{addr}"), "username": ADMIN, "password": PASSWORD }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Neo4j, keys: Json) -> Asked {
    Asked::new("neo4j", entry(server.addr(), keys))
}

/// A probe that asks the deep questions in every run.
fn deep(server: &Neo4j, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
    Asked::with("neo4j", entry(server.addr(), keys), options)
}

/// One fresh run against a server, held against a state. Nothing is left out for lack of time.
#[track_caller]
fn expect(state: &State, server: &Neo4j, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run_within(SOON);
    check(state, &outcome);
    outcome
}

/// The server's own code in a failure, without what all of them begin with.
fn code(outcome: &Outcome) -> Option<&str> {
    outcome::code(outcome)?.strip_prefix("Neo.")
}

/// What a finding observed, as text.
fn observed(outcome: &Outcome, code: &str) -> String {
    let found = outcome.findings.iter().find(|finding| finding.code == code);
    found.map(|finding| finding.observed.to_string()).unwrap_or_default()
}
