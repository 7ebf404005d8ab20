//! HTTP and HTTPS, asked of nginx, and of peers where nginx cannot be as bad.

mod answers;
mod bodies;
mod faults;
mod login;
mod question;
mod redirects;
mod sessions;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;

use probity_probes::Outcome;
use serde_json::{Value as Json, json};

use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::tls::Ca;
use crate::support::truth::{State, check};

pub(crate) const STATES: &[&[State]] =
    &[answers::STATES, bodies::STATES, login::STATES, question::STATES, redirects::STATES, sessions::STATES, tls::STATES];

/// A catalog entry for a page, with more keys.
fn entry(addr: SocketAddr, path: &str, keys: Json) -> Json {
    with(json!({ "url": format!("http://{addr}{path}") }), keys)
}

/// A catalog entry for a page under TLS, with more keys.
fn secured(addr: SocketAddr, path: &str, keys: Json) -> Json {
    with(json!({ "url": format!("https://{addr}{path}"), "tls": { "ca": ca() } }), keys)
}

fn ca() -> PathBuf {
    Ca::shared().certificate()
}

fn probe(entry: Json) -> Asked {
    Asked::new("http", entry)
}

/// One fresh run, held against a state.
#[track_caller]
fn expect(state: &State, entry: Json) -> Outcome {
    let outcome = probe(entry).run();
    check(state, &outcome);
    outcome
}
