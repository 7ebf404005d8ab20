//! Who may connect, and what he may read.

use std::net::SocketAddr;

use probity_probes::{FailureKind, FaultDomain, Options, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::mosquitto::{Mosquitto, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "mqtt":
    KNOWN = "the right password", "password_file" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    WRONG_3 = "a wrong password, in MQTT 3.1.1", "the same with version = 3.1.1" => Expected::fails(FailureKind::Auth);
    NONE = "no password where one is needed", "allow_anonymous false" => Expected::fails(FailureKind::Auth);
    BLIND = "a user who may not read $SYS", "an access list without it" => Expected::HEALTHY;
    BLIND_STRICT = "a user who may not read $SYS, and coverage is required", "the same with require_coverage" => Expected::degraded("partial_coverage");
    CERTIFIED = "a client certificate that is wanted", "require_certificate, tls.cert and tls.key" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "require_certificate" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    PLAIN_PORT = "TLS to a plain-text port", "mqtts:// to the port without TLS" => Expected::fails(FailureKind::Tls);
    TLS_PORT = "plain text to a TLS port", "mqtt:// to the port with TLS" => Expected::fails(FailureKind::Overload);
}

certificate_tests! { Secured {
    kind: "mqtt",
    start: |identity| {
        let server = Mosquitto::builder().identity(identity).start();
        let addr = server.tls_addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a broker at its TLS port.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    json!({ "url": format!("mqtts://{addr}"), "tls": tls })
}

#[test]
fn passwords_are_right_wrong_or_missing() {
    if !require("mqtt") {
        return;
    }
    let server = shared();
    expect(&KNOWN, server, json!({ "username": USER, "password": PASSWORD }));
    expect(&KNOWN, server, json!({ "username": USER, "password": PASSWORD, "version": "3.1.1" }));
    let refused = expect(&WRONG, server, json!({ "username": USER, "password": "not-the-password" }));
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("0x87"), Some(Phase::Auth)));
    assert_eq!(fact(&refused, "process_alive"), "true");
    let refused = expect(&WRONG_3, server, json!({ "username": USER, "password": "no", "version": "3.1.1" }));
    assert_eq!(code(&refused), Some("5"));
    assert_eq!(code(&expect(&NONE, server, json!({}))), Some("0x87"));
}

#[test]
fn an_access_list_lowers_coverage_and_no_more() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().access("topic readwrite probity/#\n").start();
    for version in ["5", "3.1.1"] {
        let outcome = expect(&BLIND, &server, json!({ "version": version }));
        assert_eq!(outcome.missing, ["$SYS"], "{outcome:#?}");
    }
    let strict = Options { require_coverage: true, ..Options::default() };
    check(&BLIND_STRICT, &Asked::with("mqtt", entry(server.addr(), json!({})), strict).run());
}

#[test]
fn a_client_certificate_says_who_we_are() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().tls().mutual().start();
    let client = Ca::shared().issue(&Leaf::client(USER));
    let tls = json!({ "ca": Ca::shared().certificate(), "cert": client.certificate, "key": client.key });
    check(&CERTIFIED, &Asked::new("mqtt", secured(server.tls_addr(), &tls)).run());
    let without = json!({ "ca": Ca::shared().certificate() });
    let outcome = Asked::new("mqtt", secured(server.tls_addr(), &without)).run();
    check(&UNCERTIFIED, &outcome);
    assert_eq!(code(&outcome), Some("client_cert"));
}

#[test]
fn tls_and_plain_text_are_told_apart() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().tls().start();
    let ca = json!({ "ca": Ca::shared().certificate() });
    check(&PLAIN_PORT, &Asked::new("mqtt", secured(server.addr(), &ca)).run());
    // It just closes, as it does when it is full.
    let outcome = Asked::new("mqtt", entry(server.tls_addr(), json!({}))).run();
    check(&TLS_PORT, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}
