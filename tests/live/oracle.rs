//! Oracle Database, as far as a stand-in can be well and sick.

mod access;
mod faults;
mod harm;
mod questions;
mod roundtrips;
mod serving;
mod sessions;
mod tls;
mod vendors;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::probe::{Asked, with};
use crate::support::servers::oracle::{Oracle, SERVICE};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, serving::STATES, questions::STATES, roundtrips::STATES, harm::STATES, tls::STATES, vendors::STATES];

/// A catalog entry for a server, with more keys, or others.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("oracle://{addr}/{SERVICE}"), "username": USER, "password": PASSWORD }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Oracle, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
    Asked::with("oracle", entry(server.addr(), keys), options)
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, server: &Oracle, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}
