//! TLS from the first byte, and log-ins by certificate.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain};
use serde_json::{Value as Json, json};

use super::{entry, expect, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::kafka::{Kafka, shared};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "kafka":
    CERTIFIED = "a client certificate", "a listener that wants one" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "tls without cert" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    TLS_WANTED = "the listener has TLS", "kafka:// to it" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    NO_TLS = "the listener has no TLS", "kafka+ssl:// to a plain one" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: "kafka",
    start: |identity| {
        let server = Kafka::builder().identity(identity).start();
        let addr = server.at("TLS");
        // A JVM takes a second for its first handshake.
        probe(addr, secured(addr, &json!({ "insecure": true }))).run();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a listener with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "url": format!("kafka+ssl://{addr}"), "tls": tls }))
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    if !require("kafka") {
        return;
    }
    let mutual = shared().at("MUTUAL");
    let client = Ca::shared().issue(&Leaf::client(USER));
    let files = json!({ "ca": client.ca, "cert": client.certificate, "key": client.key });
    let outcome = expect(&CERTIFIED, mutual, secured(mutual, &files));
    assert!(!outcome.facts.contains_key("brokers_reachable") || outcome.facts["brokers_reachable"].to_string() == "1");
    let outcome = expect(&UNCERTIFIED, mutual, secured(mutual, &json!({ "ca": client.ca })));
    assert_eq!(super::code(&outcome), Some("client_cert"));
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("kafka") {
        return;
    }
    let outcome = expect(&TLS_WANTED, shared().at("TLS"), json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.message.contains("TLS")));
    let within = Duration::from_secs(1);
    let keys = secured(shared().addr(), &json!({ "ca": Ca::shared().certificate() }));
    let outcome = probe(shared().addr(), keys).run_within(within);
    check(&NO_TLS, &outcome);
}
