//! TLS from the first byte.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::redis::Redis;
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "redis":
    PLAIN_PORT = "TLS to a plain-text port", "rediss:// to the port without TLS" => Expected::fails(FailureKind::Timeout);
    TLS_PORT = "plain text to a TLS port", "redis:// to the port with TLS" => Expected::fails(FailureKind::ConnectionLost);
    CERTIFIED = "a client certificate that is wanted", "tls-auth-clients yes, tls.cert and tls.key" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "tls-auth-clients yes, TLS 1.3" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    UNCERTIFIED_1_2 = "no client certificate where one is wanted, in TLS 1.2", "the same with tls-protocols TLSv1.2" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    MISCERTIFIED = "a client certificate of an unknown CA", "tls-auth-clients yes, signed by another CA" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    HUNG = "hung before TLS", "SIGSTOP, then a fresh session" => Expected::fails(FailureKind::Timeout);
}

certificate_tests! { Secured {
    kind: "redis",
    start: |identity| {
        let server = Redis::builder().identity(identity).start();
        let addr = server.tls_addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server at its TLS port.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    json!({ "url": format!("rediss://{addr}"), "tls": tls })
}

/// A `tls` table with a client certificate of an authority.
fn certified(by: &Ca) -> Json {
    let client = by.issue(&Leaf::client("probe"));
    json!({ "ca": Ca::shared().certificate(), "cert": client.certificate, "key": client.key })
}

#[test]
fn tls_and_plain_text_are_told_apart() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().tls().start();
    // To Redis a TLS record is the start of a command that does not end: it waits for more, and so do we.
    let within = Duration::from_secs(1);
    let outcome = Asked::new("redis", secured(server.addr(), &json!({ "ca": Ca::shared().certificate() }))).run_within(within);
    check(&PLAIN_PORT.within(within), &outcome);
    let failure = outcome.failure.expect("it timed out");
    assert!(failure.phase == Some(Phase::Tls) && failure.remedy.contains("plain text"), "{failure:#?}");
    let outcome = Asked::new("redis", entry(server.tls_addr(), json!({}))).run();
    // Redis just closes.
    check(&TLS_PORT, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    if !require("redis") {
        return;
    }
    let wanting = || Redis::builder().tls().setting("tls-auth-clients yes");
    let server = wanting().start();
    let asked = |tls: Json| Asked::new("redis", secured(server.tls_addr(), &tls)).run();
    check(&CERTIFIED, &asked(certified(Ca::shared())));
    let none = asked(json!({ "ca": Ca::shared().certificate() }));
    check(&UNCERTIFIED, &none);
    // In TLS 1.3 the refusal comes after the handshake, with the first answer.
    assert_eq!((code(&none), none.failure.as_ref().and_then(|f| f.phase)), (Some("client_cert"), Some(Phase::Auth)));
    let other = asked(certified(&Ca::new()));
    check(&MISCERTIFIED, &other);
    assert_eq!(code(&other), Some("client_cert"));

    let server = wanting().setting("tls-protocols TLSv1.2").start();
    let none = Asked::new("redis", secured(server.tls_addr(), &json!({ "ca": Ca::shared().certificate() }))).run();
    check(&UNCERTIFIED_1_2, &none);
    assert_eq!((code(&none), none.failure.as_ref().and_then(|f| f.phase)), (Some("client_cert"), Some(Phase::Tls)));
}

#[test]
fn a_hung_server_is_a_timeout_of_the_handshake() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().tls().start();
    let probe = Asked::new("redis", secured(server.tls_addr(), &json!({ "ca": Ca::shared().certificate() })));
    server.process().freeze();
    let within = Duration::from_secs(1);
    let outcome = probe.run_within(within);
    check(&HUNG.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Tls));
}
