//! Redis 7, well and sick.

mod access;
mod cluster;
mod faults;
mod keys;
mod replication;
mod roundtrips;
mod sentinel;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::eventually;
use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::redis::Redis;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[
    access::STATES,
    cluster::STATES,
    keys::STATES,
    replication::STATES,
    roundtrips::STATES,
    sentinel::STATES,
    serving::STATES,
    sessions::STATES,
    tls::STATES,
];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a server without a password, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("redis://{addr}") }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Redis, keys: Json) -> Asked {
    Asked::new("redis", entry(server.addr(), keys))
}

/// A probe that opens a fresh session in every run beside the warm one.
fn always_renewing(server: &Redis) -> Asked {
    Asked::with("redis", entry(server.addr(), json!({})), Options { fresh_every: Duration::ZERO, ..Options::default() })
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, server: &Redis, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}

/// Waits until `INFO` says this.
#[track_caller]
fn until_info_says(server: &Redis, line: &str) {
    eventually(SOON, line, || server.command(&["INFO"]).contains(line).then_some(()));
}
