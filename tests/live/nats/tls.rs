//! TLS behind the greeting, before it, missing, and with certificates of every kind.

use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::json;

use super::{code, expect, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::nats::{Nats, shared};
use crate::support::servers::nginx;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { "nats":
    TLS_FIRST = "well, with TLS first", "handshake_first, TLS in front of the server" => Expected::HEALTHY;
    TLS_WANTED = "the server requires TLS", "nats:// to a server with TLS"
        => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    NO_TLS = "the server has no TLS", "tls:// to a server without" => Expected::fails(FailureKind::Tls);
    TOO_EARLY = "we begin with TLS and the server greets", "handshake_first to a server without it"
        => Expected::fails(FailureKind::Tls);
    TOO_LATE = "we wait and the server waits for TLS", "no handshake_first to a server with it"
        => Expected::fails(FailureKind::Timeout);
}

certificate_tests! {
    Secured {
        kind: "nats",
        start: |identity| {
            let server = Nats::builder().identity(identity).start();
            let addr = server.addr();
            (Box::new(server), addr)
        },
        entry: |addr, tls| json!({ "url": format!("tls://{addr}"), "tls": tls }),
    }
}

/// The keys for a server with TLS.
fn tls(addr: std::net::SocketAddr) -> serde_json::Value {
    json!({ "url": format!("tls://{addr}"), "tls": { "ca": Ca::shared().certificate() } })
}

#[test]
fn a_server_that_greets_before_tls_says_what_is_wrong() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().tls().start();
    let outcome = expect(&TLS_WANTED, server.addr(), json!({}));
    assert_eq!(code(&outcome), Some("tls_expected"));
    let outcome = expect(&TOO_EARLY, server.addr(), {
        let mut keys = tls(server.addr());
        keys["handshake_first"] = true.into();
        keys
    });
    let failure = outcome.failure.expect("it failed");
    assert_eq!(failure.code.as_deref(), Some("plaintext"));
    assert!(failure.remedy.contains("handshake_first"), "{failure:?}");
}

#[test]
fn a_server_without_tls_is_not_logged_in_to() {
    if !require("nats") {
        return;
    }
    let mut keys = tls(shared().addr());
    keys["username"] = USER.into();
    keys["password"] = PASSWORD.into();
    let outcome = expect(&NO_TLS, shared().addr(), keys);
    assert_eq!(code(&outcome), Some("plaintext"));
}

#[test]
fn tls_first_needs_both_sides_to_agree() {
    if !(require("nats") && require("http")) {
        return;
    }
    let server = Nats::start();
    let front = TlsFront::start(server.addr(), &Ca::shared().issue(&Leaf::server()));
    let mut keys = tls(front.addr());
    keys["handshake_first"] = true.into();
    expect(&TLS_FIRST, front.addr(), keys);
    // Any server that begins with TLS waits as silently.
    let within = Duration::from_millis(700);
    let outcome = probe(front.addr(), tls(nginx::shared().https())).run_within(within);
    check(&TOO_LATE.within(within), &outcome);
    let failure = outcome.failure.expect("it failed");
    assert_eq!(failure.phase, Some(Phase::Auth));
    assert!(failure.remedy.contains("handshake_first"), "{failure:?}");
}
