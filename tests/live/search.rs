//! What Elasticsearch and OpenSearch are asked alike. Each product is held against the same files, beside this one.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Depth, Options, Outcome};
use serde_json::{Value as Json, json};

use crate::support::probe::{Asked, with};
use crate::support::servers::search::{Node, Product};
use crate::support::truth::{State, check};

/// How long something that is under way may take on a busy machine.
pub(super) const SOON: Duration = Duration::from_mins(1);

/// A catalog entry for a server in plain text, with more keys.
pub(super) fn entry(addr: SocketAddr, keys: Json) -> Json {
    with(json!({ "url": format!("http://{addr}") }), keys)
}

/// A probe of a node, with more keys in its entry.
pub(super) fn probe<P: Product>(node: &Node<P>, keys: Json) -> Asked {
    Asked::new(P::KIND, entry(node.addr(), keys))
}

/// A probe that puts its deep questions in every run.
pub(super) fn looking<P: Product>(node: &Node<P>, keys: Json) -> Asked {
    Asked::with(P::KIND, entry(node.addr(), keys), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

/// A probe that makes round trips.
pub(super) fn tripping<P: Product>(node: &Node<P>) -> Asked {
    let options = Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() };
    Asked::with(P::KIND, entry(node.addr(), json!({})), options)
}

/// One fresh run against a node, held against a state.
#[track_caller]
pub(super) fn expect<P: Product>(state: &State, node: &Node<P>, keys: Json) -> Outcome {
    let outcome = probe(node, keys).run();
    check(state, &outcome);
    outcome
}

/// What health says of itself.
#[track_caller]
pub(super) fn colour<P: Product>(node: &Node<P>) -> String {
    let health = node.get("/_cluster/health").expect("health is answered").json();
    health["status"].as_str().unwrap_or_default().to_owned()
}
