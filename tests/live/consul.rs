//! Consul 1.22, well and sick.

mod access;
mod checks;
mod faults;
mod quorum;
mod sessions;

use std::net::SocketAddr;

use probity_probes::{Outcome, Value};
use serde_json::{Value as Json, json};

use crate::support::probe::Asked;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, checks::STATES, quorum::STATES];

/// A catalog entry for a server, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    let mut entry = json!({ "url": format!("http://{addr}") });
    if let (Some(entry), Json::Object(keys)) = (entry.as_object_mut(), keys) {
        entry.extend(keys);
    }
    entry
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, addr: SocketAddr, keys: Json) -> Outcome {
    let outcome = Asked::new("consul", entry(addr, keys)).run();
    check(state, &outcome);
    outcome
}

/// The server's own code in a failure.
fn code(outcome: &Outcome) -> &str {
    outcome.failure.as_ref().and_then(|failure| failure.code.as_deref()).unwrap_or_default()
}

/// A fact as text.
fn fact(outcome: &Outcome, name: &str) -> String {
    outcome.facts.get(name).map(Value::to_string).unwrap_or_default()
}
