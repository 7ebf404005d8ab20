//! Memcached 1.6, well and sick.

mod access;
mod faults;
mod keys;
mod limits;
mod roundtrips;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome, Value};
use serde_json::{Value as Json, json};

use crate::support::probe::Asked;
use crate::support::servers::memcached::Memcached;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, keys::STATES, limits::STATES, roundtrips::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a server, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    let mut entry = json!({ "url": format!("memcached://{addr}") });
    if let (Some(entry), Json::Object(keys)) = (entry.as_object_mut(), keys) {
        entry.extend(keys);
    }
    entry
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

/// The server's own code in a failure.
fn code(outcome: &Outcome) -> Option<&str> {
    outcome.failure.as_ref()?.code.as_deref()
}

/// A fact as text.
fn fact(outcome: &Outcome, name: &str) -> String {
    outcome.facts.get(name).map(Value::to_string).unwrap_or_default()
}
