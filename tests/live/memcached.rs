//! Memcached 1.6, well and sick.

mod access;
mod faults;
mod keys;
mod limits;
mod roundtrips;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::memcached::Memcached;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, keys::STATES, limits::STATES, roundtrips::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a server, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("memcached://{addr}") }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Memcached, keys: Json) -> Asked {
    Asked::new("memcached", entry(server.addr(), keys))
}

/// A probe that asks the deep questions in every run.
fn deep(server: &Memcached, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
    Asked::with("memcached", entry(server.addr(), keys), options)
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, server: &Memcached, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}
