//! What is asked of every backend, for free: a new row of the registry is held against all of it.

mod addresses;
mod bad_peers;
mod bolt;
mod bombs;
mod cql;
mod deadline;
mod declared;
mod leaks;
mod names;
mod nesting;
mod scripted;
mod secrets;
mod sessions;

use std::net::SocketAddr;

use probity_probes::{Entry, Options, Outcome, registry};
use serde_json::Value;

use crate::support::probe::{Asked, example_at};

/// Every backend of this build.
pub(crate) fn backends() -> impl Iterator<Item = (&'static str, Entry)> {
    registry().iter().filter_map(|row| Some((row.kind, row.entry?)))
}

/// The example of a backend without the keys that are not its own.
fn example(entry: &Entry) -> Value {
    own_keys(entry.example)
}

fn own_keys(example: &str) -> Value {
    let mut example: Value = toml::from_str(example).expect("an example is TOML");
    let kind = example.as_object_mut().and_then(|table| table.remove("backend"));
    assert!(kind.is_some(), "an example names its backend");
    example
}

/// The example at another `HOST:PORT`.
fn at(entry: &Entry, place: &str) -> Value {
    own_keys(&example_at(entry, place))
}

/// A probe of a backend at an address.
fn probe(kind: &str, entry: &Entry, addr: SocketAddr) -> Asked {
    Asked::new(kind, at(entry, &addr.to_string()))
}

/// A probe of a backend at a place, with options.
fn probe_with(kind: &str, entry: &Entry, place: &str, options: Options) -> Asked {
    Asked::with(kind, at(entry, place), options)
}

/// Kind, phase and code of a failure, as words.
fn words(outcome: &Outcome) -> (&'static str, &'static str, &str) {
    outcome.failure.as_ref().map_or(("", "", ""), |failure| {
        let phase = failure.phase.map_or("", probity_probes::Phase::as_str);
        (failure.kind.as_str(), phase, failure.code.as_deref().unwrap_or_default())
    })
}
