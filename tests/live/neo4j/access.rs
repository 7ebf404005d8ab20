//! Who may ask, and how he gets there.

use std::net::SocketAddr;

use probity_probes::{Depth, FailureKind, FaultDomain, Options, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::PASSWORD;
use crate::support::servers::neo4j::{ADMIN, Client, Neo4j, shared};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { "neo4j":
    KNOWN = "the right password", "bolt://" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown user", "another user in the entry" => Expected::fails(FailureKind::Auth);
    NOBODY = "no log-in where one is needed", "none in the entry" => Expected::fails(FailureKind::Auth);
    NEEDLESS = "a log-in where none is needed", "dbms.security.auth_enabled=false" => Expected::HEALTHY;
    OPEN = "no log-in where none is needed", "the same" => Expected::HEALTHY;
    EXPIRED = "a password that must be changed", "CREATE USER … CHANGE REQUIRED" => Expected::fails(FailureKind::Auth);
    LOCKED = "the right password after three wrong ones of somebody else", "three log-ins" => Expected::fails(FailureKind::Auth);
    TLS_PORT = "plain text to a TLS port", "bolt:// and tls_level=REQUIRED" => Expected::fails(FailureKind::ConnectionLost);
    PLAIN_PORT = "TLS to a plain-text port", "bolt+s:// and no TLS" => Expected::fails(FailureKind::Tls);
    TLS_OPTIONAL = "TLS where it is optional", "bolt+s:// and tls_level=OPTIONAL" => Expected::HEALTHY;
    PLAIN_OPTIONAL = "plain text where TLS is optional", "bolt:// and the same" => Expected::HEALTHY;
    STRANGER = "a server of an unknown CA", "bolt+s:// and another CA in tls.ca" => Expected::fails(FailureKind::Tls);
    CERTIFIED = "a client certificate", "client_auth=REQUIRE, tls.cert" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "client_auth=REQUIRE"
        => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
}

certificate_tests! { Secured {
    kind: "neo4j",
    // The server itself shows only the certificate that it was started with: it is asked for below.
    start: |identity| {
        let front = TlsFront::start(shared().addr(), identity);
        let addr = front.addr();
        (Box::new(front), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "url": format!("bolt+s://{addr}"), "tls": tls }))
}

/// A user of the shared server, with [`PASSWORD`], whom no other test knows.
fn user(name: &str, change: &str) -> Json {
    shared().rows("system", &format!("CREATE USER {name} SET PASSWORD '{PASSWORD}' {change}"));
    json!({ "username": name })
}

#[test]
fn a_user_is_known_or_not() {
    if !require("neo4j") {
        return;
    }
    let outcome = expect(&KNOWN, shared(), json!({}));
    assert!(fact(&outcome, "version").starts_with("5.26."), "{outcome:#?}");
    assert_eq!(
        ["bolt_version", "database", "role", "writer"].map(|name| fact(&outcome, name)),
        ["5.8", "neo4j", "primary", "true"]
    );
    let refused = expect(&UNKNOWN_USER, shared(), json!({ "username": "nobody" }));
    assert_eq!(code(&refused), Some("ClientError.Security.Unauthorized"));
    assert_eq!(
        (fact(&refused, "process_alive"), refused.failure.and_then(|failure| failure.phase)),
        ("true".into(), Some(Phase::Auth))
    );
    let nobody = Asked::new("neo4j", json!({ "url": format!("bolt://{}", shared().addr()) })).run();
    check(&NOBODY, &nobody);
}

#[test]
fn where_nobody_needs_a_log_in_any_will_do() {
    if !require("neo4j") {
        return;
    }
    let server = Neo4j::builder().setting("dbms.security.auth_enabled=false").start();
    expect(&NEEDLESS, &server, json!({ "password": "anything" }));
    check(&OPEN, &Asked::new("neo4j", json!({ "url": format!("bolt://{}", server.addr()) })).run());
}

/// Three wrong log-ins lock the right password out, and each further one prolongs it.
#[test]
fn a_wrong_password_is_tried_once_and_locks_nobody_out() {
    if !require("neo4j") {
        return;
    }
    let mut keys = user("careless", "CHANGE NOT REQUIRED");
    keys["password"] = "not-the-password".into();
    let probe = probe(shared(), keys);
    for _ in 0..10 {
        let outcome = probe.run();
        check(&WRONG, &outcome);
        assert_eq!(code(&outcome), Some("ClientError.Security.Unauthorized"));
    }
    Client::log_in(shared().addr(), "careless", PASSWORD).expect("it is not locked");
}

#[test]
fn a_user_whom_somebody_else_has_locked_out_is_told_so() {
    if !require("neo4j") {
        return;
    }
    let keys = user("locked", "CHANGE NOT REQUIRED");
    expect(&KNOWN, shared(), keys.clone());
    for _ in 0..3 {
        Client::log_in(shared().addr(), "locked", "not-the-password").expect_err("it is wrong");
    }
    assert_eq!(code(&expect(&LOCKED, shared(), keys)), Some("ClientError.Security.AuthenticationRateLimit"));
}

/// The log-in is a success, and so is `ROUTE`.
#[test]
fn a_log_in_that_succeeds_with_an_expired_password_is_no_success() {
    if !require("neo4j") {
        return;
    }
    let keys = user("expired", "CHANGE REQUIRED");
    let mut client = Client::log_in(shared().addr(), "expired", PASSWORD).expect("the server lets it in");
    client.route("neo4j").expect("the server routes it");
    let outcome = expect(&EXPIRED, shared(), keys.clone());
    assert_eq!(code(&outcome), Some("ClientError.Security.CredentialsExpired"));
    // Where no question follows that would be refused, too.
    let options = Options { depth: Depth::Handshake, ..Options::default() };
    let outcome = Asked::with("neo4j", entry(shared().addr(), keys), options).run();
    check(&EXPIRED, &outcome);
    assert_eq!(code(&outcome), Some("ClientError.Security.CredentialsExpired"));
}

#[test]
fn tls_is_required_with_a_certificate_of_ours() {
    if !require("neo4j") {
        return;
    }
    let ca = Ca::shared();
    let server = Neo4j::builder().tls(&ca.issue(&Leaf::server()), "REQUIRED", "REQUIRE").start();
    let own = ca.issue(&Leaf::client(ADMIN));
    let tls = json!({ "ca": ca.certificate(), "cert": own.certificate, "key": own.key });
    let certified = Asked::new("neo4j", secured(server.addr(), &tls));
    // Nobody has asked it anything yet.
    assert_eq!(certified.run_within(super::SOON).failure, None);
    check(&CERTIFIED, &certified.run());
    let outcome = Asked::new("neo4j", secured(server.addr(), &json!({ "ca": ca.certificate() }))).run();
    check(&UNCERTIFIED, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.code).as_deref(), Some("client_cert"));
    let outcome = expect(&TLS_PORT, &server, json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}

#[test]
fn tls_is_optional_or_not_there() {
    if !require("neo4j") {
        return;
    }
    let ca = Ca::shared();
    let server = Neo4j::builder().tls(&ca.issue(&Leaf::server()), "OPTIONAL", "NONE").start();
    let at = |addr, ca: &Ca| Asked::new("neo4j", secured(addr, &json!({ "ca": ca.certificate() }))).run();
    let outcome = at(server.addr(), ca);
    check(&TLS_OPTIONAL, &outcome);
    assert_eq!(fact(&outcome, "tls_version"), "1.3");
    expect(&PLAIN_OPTIONAL, &server, json!({}));
    check(&STRANGER, &at(server.addr(), &Ca::new()));
    check(&PLAIN_PORT, &at(shared().addr(), ca));
}
