//! MQTT 5 and 3.1.1 with Mosquitto 2.0, well and sick.

mod access;
mod faults;
mod roundtrips;
mod sessions;
mod versions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::mosquitto::Mosquitto;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[access::STATES, faults::STATES, roundtrips::STATES, sessions::STATES, versions::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a broker, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("mqtt://{addr}") }), keys)
}

/// A probe of a broker, with more keys in its entry.
fn probe(server: &Mosquitto, keys: Json) -> Asked {
    Asked::new("mqtt", entry(server.addr(), keys))
}

/// A probe that asks the deep questions, and opens a fresh session beside the warm one, in every run.
fn eager(server: &Mosquitto, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, fresh_every: Duration::ZERO, ..Options::default() };
    Asked::with("mqtt", entry(server.addr(), keys), options)
}

/// One fresh run against a broker, held against a state.
#[track_caller]
fn expect(state: &State, server: &Mosquitto, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}
