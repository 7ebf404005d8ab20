//! TLS after a request in plain text.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::postgres::Postgres;
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "postgres":
    NOT_OFFERED = "TLS that is not offered", "ssl = off" => Expected::fails(FailureKind::Tls);
    DEMANDED = "plain text where TLS is demanded", "hostnossl all probe all reject" => Expected::fails(FailureKind::Auth);
    CERTIFIED = "a client certificate that is wanted", "hostssl … cert, tls.cert and tls.key" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "hostssl … cert" => Expected::fails(FailureKind::Auth);
    MISCERTIFIED = "a client certificate of an unknown CA", "hostssl … cert, signed by another CA" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    STRANGER = "a client certificate of another user", "hostssl … cert, for somebody else" => Expected::fails(FailureKind::Auth);
    BOTH = "a password and a client certificate", "hostssl … scram-sha-256 clientcert=verify-full" => Expected::HEALTHY;
    HUNG = "hung before TLS", "SIGSTOP, then a fresh session" => Expected::fails(FailureKind::Timeout);
}

certificate_tests! { Secured {
    kind: "postgres",
    start: |identity| {
        let server = Postgres::builder().identity(identity).start();
        let addr = server.addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "tls": tls }))
}

/// A `tls` table that trusts the server and has no certificate of its own.
fn trusting() -> Json {
    json!({ "tls": { "ca": Ca::shared().certificate() } })
}

/// A `tls` table with a client certificate of an authority.
fn certified(by: &Ca, user: &str) -> Json {
    let client = by.issue(&Leaf::client(user));
    json!({ "tls": { "ca": Ca::shared().certificate(), "cert": client.certificate, "key": client.key } })
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("ssl", "off").start();
    let outcome = expect(&NOT_OFFERED, &server, trusting());
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("refused"), Some(Phase::Tls)));

    let server = Postgres::builder().hba(&format!("hostnossl all {USER} all reject")).start();
    let outcome = expect(&DEMANDED, &server, json!({}));
    assert_eq!(code(&outcome), Some("28000"));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().hba(&format!("hostssl all {USER} all cert")).start();
    let mut own = certified(Ca::shared(), USER);
    own["password"] = Json::Null;
    expect(&CERTIFIED, &server, own);
    let none = expect(&UNCERTIFIED, &server, trusting());
    assert_eq!(code(&none), Some("28000"));
    assert!(none.failure.is_some_and(|failure| failure.remedy.contains("client certificate")));
    assert_eq!(code(&expect(&STRANGER, &server, certified(Ca::shared(), "somebody"))), Some("28000"));
    let other = Ca::new();
    // In TLS 1.3 the refusal comes after the handshake, with the first answer.
    let refused = expect(&MISCERTIFIED, &server, certified(&other, USER));
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("client_cert"), Some(Phase::Auth)));
}

#[test]
fn a_password_and_a_client_certificate_go_together() {
    if !require("postgres") {
        return;
    }
    let line = format!("hostssl all {USER} all scram-sha-256 clientcert=verify-full");
    expect(&BOTH, &Postgres::builder().hba(&line).start(), certified(Ca::shared(), USER));
}

#[test]
fn a_hung_server_is_a_timeout_of_the_handshake() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let probe = super::probe(&server, trusting());
    server.process().freeze();
    let within = Duration::from_secs(1);
    let outcome = probe.run_within(within);
    check(&HUNG.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Tls));
}
