//! MongoDB as SecantusDB and FerretDB play it, well and sick; the rest of a replica set is played by scripts.

mod access;
mod faults;
mod members;
mod questions;
mod roundtrips;
mod seedlist;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[
    access::STATES,
    members::STATES,
    questions::STATES,
    roundtrips::STATES,
    seedlist::STATES,
    serving::STATES,
    sessions::STATES,
    tls::STATES,
];

/// A catalog entry with more keys; one of them may be another `url`. SecantusDB says that it takes no more connections,
/// however many there are.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("mongodb://{addr}"), "degraded": { "connections": 1.0 } }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(addr: SocketAddr, keys: Json) -> Asked {
    Asked::new("mongodb", entry(addr, keys))
}

/// A probe that asks everything in every run.
fn always_deep(addr: SocketAddr, keys: Json) -> Asked {
    Asked::with("mongodb", entry(addr, keys), Options { deep_interval: std::time::Duration::ZERO, ..Options::default() })
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = probe(addr, keys).run();
    check(state, &outcome);
    outcome
}
