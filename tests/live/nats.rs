//! NATS 2.9, and 2.15 where it answers what is not so, well and sick.

mod faults;
mod jetstream;
mod lies;
mod limits;
mod login;
mod monitor;
mod roundtrips;
mod sessions;
mod tls;

use std::net::SocketAddr;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[
    jetstream::STATES,
    lies::STATES,
    limits::STATES,
    login::STATES,
    monitor::STATES,
    roundtrips::STATES,
    sessions::STATES,
    tls::STATES,
];

/// A catalog entry with more keys; one of them may be another `url`.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("nats://{addr}") }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(addr: SocketAddr, keys: Json) -> Asked {
    Asked::new("nats", entry(addr, keys))
}

/// A probe that opens a fresh session in every run beside the warm one.
fn always_renewing(addr: SocketAddr) -> Asked {
    Asked::with("nats", entry(addr, json!({})), Options { fresh_every: std::time::Duration::ZERO, ..Options::default() })
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = probe(addr, keys).run();
    check(state, &outcome);
    outcome
}
