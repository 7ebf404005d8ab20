//! `RabbitMQ` 3.10, well and sick.

mod access;
mod alarms;
mod faults;
mod queues;
mod roundtrips;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::rabbitmq::Rabbitmq;
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, alarms::STATES, faults::STATES, queues::STATES, roundtrips::STATES, sessions::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A catalog entry for a broker, with more keys, or others.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("amqp://{addr}"), "username": USER, "password": PASSWORD }), keys)
}

/// A probe of a broker, with more keys in its entry.
fn probe(server: &Rabbitmq, keys: Json) -> Asked {
    Asked::new("rabbitmq", entry(server.addr(), keys))
}

/// A probe that asks the deep questions in every run.
fn deep(server: &Rabbitmq, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
    Asked::with("rabbitmq", entry(server.addr(), keys), options)
}

/// One fresh run against a broker, held against a state.
#[track_caller]
fn expect(state: &State, server: &Rabbitmq, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}

/// The keys for the management API.
fn managed(server: &Rabbitmq) -> Json {
    json!({ "management": format!("http://{}", server.management()) })
}

/// What a finding observed, as text.
fn observed(outcome: &Outcome, code: &str) -> String {
    let found = outcome.findings.iter().find(|finding| finding.code == code);
    found.map(|finding| finding.observed.to_string()).unwrap_or_default()
}
