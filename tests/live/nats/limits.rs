//! Servers that take nobody any more: full, or about to leave.

use std::time::Duration;

use probity_probes::{FailureKind, SessionKind};
use serde_json::json;

use super::{always_renewing, code, expect, fact, probe};
use crate::support::servers::nats::Nats;
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "nats":
    FULL = "too many connections", "max_connections reached, fresh" => Expected::fails(FailureKind::Overload);
    FULL_SECURED = "too many connections, with TLS", "max_connections reached, tls://"
        => Expected::fails(FailureKind::Overload);
    FULL_FOR_OTHERS = "too many connections, and ours is one of them", "max_connections reached, warm"
        => Expected::degraded("new_connections_failing");
    LEAVING = "lame duck", "SIGUSR2, seen by the live connection" => Expected::degraded("lame_duck");
    LEFT = "lame duck, for a newcomer", "SIGUSR2, the listener is closed" => Expected::fails(FailureKind::ConnectRefused);
}

#[test]
fn a_full_server_is_overloaded() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().max_connections(2).start();
    let _held = server.hold_clients(2);
    let outcome = expect(&FULL, server.addr(), json!({}));
    assert_eq!(code(&outcome), Some("maximum connections exceeded"));
    assert_eq!(fact(&outcome, "process_alive"), "true");
}

/// It refuses in plain text whoever is about to begin with TLS.
#[test]
fn a_full_server_with_tls_is_overloaded_too() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().tls().max_connections(1).start();
    eventually(PATIENCE, "who looked whether it is ready is gone", || {
        (server.watch("/varz").ok()?.json()["connections"] == 0).then_some(())
    });
    let keys = json!({ "url": format!("tls://{}", server.addr()), "tls": { "ca": Ca::shared().certificate() } });
    let first = probe(server.addr(), keys.clone());
    assert_eq!(first.run().failure, None);
    let outcome = expect(&FULL_SECURED, server.addr(), keys);
    assert_eq!(code(&outcome), Some("maximum connections exceeded"));
}

#[test]
fn a_warm_session_in_a_full_server_is_degraded() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().max_connections(2).start();
    let probe = always_renewing(server.addr());
    assert_eq!(probe.run().failure, None);
    let held = server.hold_clients(1);
    let outcome = probe.run();
    check(&FULL_FOR_OTHERS, &outcome);
    assert_eq!(outcome.session, Some(SessionKind::Warm));
    assert_eq!(outcome.findings[0].observed.to_string(), "overload");
    drop(held);
    let outcome = eventually(Duration::from_secs(10), "there is room again", || {
        Some(probe.run()).filter(|outcome| outcome.findings.is_empty())
    });
    assert_eq!(outcome.failure, None);
}

#[test]
fn a_lame_duck_is_seen_by_the_warm_session_only() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let (warm, renewing) = (probe(server.addr(), json!({})), always_renewing(server.addr()));
    assert_eq!((warm.run().failure, renewing.run().failure), (None, None));
    server.lame_duck();
    let outcome = eventually(Duration::from_secs(5), "the live connection is told", || {
        Some(warm.run()).filter(|outcome| !outcome.findings.is_empty())
    });
    check(&LEAVING, &outcome);
    assert_eq!(fact(&outcome, "lame_duck"), "true");
    let outcome = renewing.run();
    check(&LEAVING, &outcome);
    assert!(outcome.findings.iter().any(|finding| finding.code == "new_connections_failing"), "{outcome:#?}");
    expect(&LEFT, server.addr(), json!({}));
}
