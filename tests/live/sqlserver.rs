//! SQL Server as pysqlbridge and a stand-in of our own play it, well and sick. No real one can be had here.

mod access;
mod clients;
mod faults;
mod questions;
mod replicas;
mod roundtrips;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::sqlserver::standin::StandIn;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[
    access::STATES,
    clients::STATES,
    questions::STATES,
    replicas::STATES,
    roundtrips::STATES,
    serving::STATES,
    sessions::STATES,
    tls::STATES,
];

/// A catalog entry for a server with TLS, with more keys, or others.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    let url = format!("sqlserver://{addr}?database=master");
    let tls = json!({ "ca": Ca::shared().certificate() });
    with(json!({ "url": url, "username": USER, "password": PASSWORD, "tls": tls }), keys)
}

/// A catalog entry for a stand-in without TLS, with more keys, or others.
fn plain(addr: SocketAddr, keys: Json) -> Json {
    let url = format!("sqlserver://{addr}?database=orders&encrypt=disable");
    with(json!({ "url": url, "username": USER, "password": PASSWORD }), keys)
}

/// A probe of a stand-in that asks everything in every run.
fn deep(server: &StandIn, keys: Json) -> Asked {
    let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
    Asked::with("sqlserver", plain(server.addr(), keys), options)
}

/// One fresh run against a stand-in, held against a state.
#[track_caller]
fn expect(state: &State, server: &StandIn, keys: Json) -> Outcome {
    let outcome = deep(server, keys).run();
    check(state, &outcome);
    outcome
}

/// What a finding observed, as text.
fn observed(outcome: &Outcome, code: &str) -> String {
    let found = outcome.findings.iter().find(|finding| finding.code == code);
    found.map(|finding| finding.observed.to_string()).unwrap_or_default()
}
