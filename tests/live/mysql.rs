//! MariaDB 10.11, well and sick, and Oracle's MySQL where it can be had.

mod access;
mod faults;
mod oracle;
mod question;
mod replication;
mod roundtrip;
mod serving;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::mysql::{DATABASE, Mysql};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] = &[
    access::STATES,
    oracle::STATES,
    question::STATES,
    replication::STATES,
    roundtrip::STATES,
    serving::STATES,
    sessions::STATES,
    tls::STATES,
];

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A catalog entry for a server in plain text, as its ordinary user, with more keys.
fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("mysql://{USER}@{addr}/{DATABASE}"), "password": PASSWORD }), keys)
}

/// A probe of a server, with more keys in its entry.
fn probe(server: &Mysql, keys: Json) -> Asked {
    Asked::new("mysql", entry(server.addr(), keys))
}

/// A probe that opens a fresh session in every run beside the warm one.
fn always_renewing(server: &Mysql) -> Asked {
    Asked::with("mysql", entry(server.addr(), json!({})), Options { fresh_every: Duration::ZERO, ..Options::default() })
}

/// A probe that puts its deep questions in every run.
fn looking(server: &Mysql, keys: Json) -> Asked {
    Asked::with("mysql", entry(server.addr(), keys), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

/// One fresh run against a server, held against a state.
#[track_caller]
fn expect(state: &State, server: &Mysql, keys: Json) -> Outcome {
    let outcome = probe(server, keys).run();
    check(state, &outcome);
    outcome
}
