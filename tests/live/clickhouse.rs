//! ClickHouse 18.16, well and sick.

mod access;
mod faults;
mod newer;
mod question;
mod replicas;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::clickhouse::Clickhouse;
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, newer::STATES, question::STATES, replicas::STATES, serving::STATES, tls::STATES];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a server in plain text, as its ordinary user, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("http://{USER}@{addr}"), "password": PASSWORD }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Clickhouse, keys: Json) -> Asked {
    Asked::new("clickhouse", entry(server.addr(), keys))
}

/// A probe that puts its deep questions in every run.
fn looking(server: &Clickhouse, keys: Json) -> Asked {
    Asked::with("clickhouse", entry(server.addr(), keys), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, server: &Clickhouse, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}
