//! TLS from the first byte, and log-ins by certificate.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::mongodb::{MongoDb, shared};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "mongodb":
    TLS_WANTED = "the server requires TLS", "plain text to a server with TLS" => Expected::fails(FailureKind::ConnectionLost);
    NO_TLS = "the server has no TLS", "tls=true to one that waits for the rest of a message" => Expected::fails(FailureKind::Timeout);
    CERTIFIED = "a log-in by certificate", "authMechanism=MONGODB-X509" => Expected::HEALTHY;
    STRANGER = "a certificate of somebody else", "one for a user who was never made" => Expected::fails(FailureKind::Auth);
    UNCERTIFIED = "no client certificate where one is wanted", "tls without cert" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
}

certificate_tests! { Secured {
    kind: "mongodb",
    start: |identity| {
        let server = MongoDb::builder().identity(identity).start();
        let addr = server.addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "tls": tls }))
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::builder().tls().start();
    let outcome = expect(&TLS_WANTED, server.addr(), json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
    // What a hello of TLS begins with is a length of 16 million, for which a real one would close.
    let url = format!("mongodb://{}/?tls=true", shared().addr());
    let within = Duration::from_secs(1);
    let outcome = probe(shared().addr(), json!({ "url": url, "tls": { "ca": Ca::shared().certificate() } })).run_within(within);
    check(&NO_TLS.within(within), &outcome);
    let failure = outcome.failure.expect("it failed");
    assert_eq!(failure.phase, Some(Phase::Tls));
    assert!(failure.remedy.contains("plain text"), "{failure:?}");
}

#[test]
fn a_certificate_logs_in() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::builder().auth().mutual().start();
    let url = format!("mongodb://{}/?authMechanism=MONGODB-X509", server.addr());
    let certified = |name: &str| {
        let client = Ca::shared().issue(&Leaf::client(name));
        json!({ "url": url, "tls": { "ca": Ca::shared().certificate(), "cert": client.certificate, "key": client.key } })
    };
    let outcome = expect(&CERTIFIED, server.addr(), certified(USER));
    assert_eq!(outcome.missing, ["serverStatus"], "{outcome:#?}");
    let mut named = certified(USER);
    named["username"] = format!("CN={USER}").into();
    expect(&CERTIFIED, server.addr(), named);
    assert_eq!(code(&expect(&STRANGER, server.addr(), certified("stranger"))), Some("18"));
    let outcome = expect(&UNCERTIFIED, server.addr(), json!({ "tls": { "ca": Ca::shared().certificate() } }));
    assert_eq!(code(&outcome), Some("client_cert"));
}
