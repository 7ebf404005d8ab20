//! Consul 1.22, well and sick.

mod access;
mod checks;
mod faults;
mod quorum;
mod sessions;

use std::net::SocketAddr;

use probity_probes::Outcome;
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, checks::STATES, quorum::STATES];

/// A catalog entry for a server, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("http://{addr}") }), keys)
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = Asked::new("consul", entry(addr, keys)).run();
    check(state, &outcome);
    outcome
}
