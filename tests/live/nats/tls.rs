//! TLS behind the greeting, before it, missing, and with certificates of every kind.

use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::json;

use super::{code, expect, fact, probe};
use crate::support::require;
use crate::support::servers::nats::{Nats, shared};
use crate::support::servers::nginx;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { "nats":
    SECURED = "well, with TLS", "tls:// and our own CA" => Expected::HEALTHY;
    TLS_FIRST = "well, with TLS first", "handshake_first, TLS in front of the server" => Expected::HEALTHY;
    NOT_TRUSTED = "unknown authority", "a CA that nobody trusts" => Expected::fails(FailureKind::Tls);
    OTHER_HOST = "certificate of another host", "a name that was not dialled" => Expected::fails(FailureKind::Tls);
    EXPIRED = "expired certificate", "it ended yesterday" => Expected::fails(FailureKind::Tls);
    EXPIRING = "certificate near its end", "five days left" => Expected::degraded("certificate_expiring");
    TLS_WANTED = "the server requires TLS", "nats:// to a server with TLS"
        => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    NO_TLS = "the server has no TLS", "tls:// to a server without" => Expected::fails(FailureKind::Tls);
    TOO_EARLY = "we begin with TLS and the server greets", "handshake_first to a server without it"
        => Expected::fails(FailureKind::Tls);
    TOO_LATE = "we wait and the server waits for TLS", "no handshake_first to a server with it"
        => Expected::fails(FailureKind::Timeout);
}

/// The keys for a server with TLS.
fn tls(addr: std::net::SocketAddr) -> serde_json::Value {
    json!({ "url": format!("tls://{addr}"), "tls": { "ca": Ca::shared().certificate() } })
}

#[test]
fn a_server_with_a_good_certificate_is_healthy() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().tls().start();
    let outcome = expect(&SECURED, server.addr(), tls(server.addr()));
    assert_eq!(fact(&outcome, "tls_version"), "1.3");
    assert!(outcome.phases.get(Phase::Tls).is_some(), "{outcome:#?}");
    expect(&NOT_TRUSTED, server.addr(), json!({ "url": format!("tls://{}", server.addr()) }));
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
fn bad_certificates_have_codes() {
    if !require("nats") {
        return;
    }
    for (state, leaf, expected) in [
        (OTHER_HOST, Leaf::server().names(&["elsewhere.example"]), Some("hostname")),
        (EXPIRED, Leaf::server().expired(), Some("expired")),
        (EXPIRING, Leaf::server().days_left(5), None),
    ] {
        let server = Nats::builder().identity(&Ca::shared().issue(&leaf)).start();
        let outcome = expect(&state, server.addr(), tls(server.addr()));
        assert_eq!(code(&outcome), expected, "{outcome:#?}");
    }
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
