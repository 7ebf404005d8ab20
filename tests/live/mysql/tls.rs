//! TLS in the middle of the log-in.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::mysql::Mysql;
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "mysql":
    NOT_OFFERED = "TLS that is not offered", "skip-ssl" => Expected::fails(FailureKind::Tls);
    DEMANDED = "plain text where TLS is demanded", "require_secure_transport on a MariaDB" => Expected::fails(FailureKind::Auth);
    CERTIFIED = "a client certificate that is wanted", "REQUIRE SUBJECT, tls.cert and tls.key" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "REQUIRE X509" => Expected::fails(FailureKind::Auth);
    MISCERTIFIED = "a client certificate of an unknown CA", "one that another CA signed" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    HUNG = "hung before TLS", "SIGSTOP, then a fresh session" => Expected::fails(FailureKind::Timeout);
}

certificate_tests! { Secured {
    kind: "mysql",
    start: |identity| {
        let server = Mysql::builder().identity(identity).start();
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
    if !require("mysql") {
        return;
    }
    let server = Mysql::builder().plain().start();
    let outcome = expect(&NOT_OFFERED, &server, trusting());
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("refused"), Some(Phase::Tls)));

    let server = Mysql::builder().setting("require-secure-transport=ON").start();
    let outcome = expect(&DEMANDED, &server, json!({}));
    assert_eq!(code(&outcome), Some("1045"));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    server.sql(&format!("ALTER USER {USER}@'%' REQUIRE SUBJECT '/CN={USER}'"));
    expect(&CERTIFIED, &server, certified(Ca::shared(), USER));
    assert_eq!(code(&expect(&UNCERTIFIED, &server, trusting())), Some("1045"));
    let other = Ca::new();
    let refused = expect(&MISCERTIFIED, &server, certified(&other, USER));
    assert_eq!(code(&refused), Some("client_cert"));
}

/// A failed handshake counts towards the server's limit for this machine.
#[test]
fn a_failed_handshake_is_not_repeated() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let other = Ca::new();
    let probe = probe(&server, json!({ "tls": { "ca": other.certificate() } }));
    let first = probe.run();
    let before = server.status("Connections");
    for _ in 0..3 {
        let again = probe.run();
        assert_eq!(again.failure, first.failure);
        assert!(fact(&again, "next_attempt_in_seconds").parse::<u64>().is_ok_and(|seconds| seconds > 30), "{again:#?}");
    }
    assert_eq!(server.status("Connections"), before + 1);
}

#[test]
fn a_hung_server_is_a_timeout_of_the_log_in() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let probe = probe(&server, trusting());
    server.process().freeze();
    let within = Duration::from_secs(1);
    let outcome = probe.run_within(within);
    check(&HUNG.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth));
}
