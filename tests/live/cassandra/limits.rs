//! A server that takes no more.

use probity_probes::FailureKind;
use serde_json::json;

use super::code;
use crate::support::probe::Asked;
use crate::support::servers::cassandra::Cassandra;
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "cassandra":
    SHEDDING = "more requests than the server takes", "native_transport_max_requests_per_second: 1" => Expected::fails(FailureKind::Overload);
    FULL = "no connection left", "native_transport_max_concurrent_connections: 1" => Expected::fails(FailureKind::ConnectionLost);
    FULL_WARM = "no connection left, and ours is the last", "the same, warm" => Expected::HEALTHY;
}

fn probe(server: &Cassandra) -> Asked {
    Asked::new("cassandra", json!({ "url": format!("cassandra://{}", server.addr()) }))
}

/// Without `THROW_ON_OVERLOAD` it is only slow.
#[test]
fn a_server_that_sheds_load_says_so() {
    if !require("cassandra") {
        return;
    }
    let server = Cassandra::builder()
        .line("native_transport_rate_limiting_enabled: true")
        .line("native_transport_max_requests_per_second: 1")
        .start();
    let probe = probe(&server);
    let outcome = eventually(PATIENCE, "its limit is reached", || Some(probe.run()).filter(|outcome| outcome.failure.is_some()));
    check(&SHEDDING, &outcome);
    assert_eq!(code(&outcome), Some("0x1001"));
}

/// A reset is all that it says.
#[test]
fn a_full_server_resets_who_comes_and_keeps_who_is_there() {
    if !require("cassandra") {
        return;
    }
    let server = Cassandra::builder().line("native_transport_max_concurrent_connections: 1").start();
    let warm = probe(&server);
    eventually(PATIENCE, "the one that looked whether it is ready is gone", || warm.run().failure.is_none().then_some(()));
    let outcome = probe(&server).run();
    check(&FULL, &outcome);
    assert_eq!(code(&outcome), None);
    check(&FULL_WARM, &warm.run());
}
