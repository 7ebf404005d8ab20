//! Who may ask, and how he gets there.

use std::net::SocketAddr;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact, probe};
use crate::live::sockets::Subject;
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::servers::memcached::{Memcached, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{free_port, require};

states! { "memcached":
    KNOWN = "the right password", "-Y" => Expected::HEALTHY;
    WRONG = "a wrong password", "-Y, and another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown user", "-Y, and another user in the entry" => Expected::fails(FailureKind::Auth);
    NONE = "no password where one is needed", "-Y, and none in the entry" => Expected::fails(FailureKind::Auth);
    NEEDLESS = "a password where none is needed", "a password in the entry alone" => Expected::fails(FailureKind::Config);
    ABSENT = "nobody listens", "a free port" => Expected::fails(FailureKind::ConnectRefused);
    TLS_PORT = "plain text to a TLS port", "memcached:// to a server with -Z" => Expected::fails(FailureKind::ConnectionLost);
    PLAIN_PORT = "TLS to a plain-text port", "memcached+tls:// to a server without -Z" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: "memcached",
    start: |identity| {
        let server = Memcached::builder().identity(identity).start();
        let addr = server.addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    json!({ "url": format!("memcached+tls://{addr}"), "tls": tls })
}

#[test]
fn passwords_are_right_wrong_or_missing() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().login().start();
    let outcome = expect(&KNOWN, &server, json!({ "username": USER, "password": PASSWORD }));
    assert!(fact(&outcome, "version").starts_with("1."), "{outcome:#?}");
    let refused = expect(&WRONG, &server, json!({ "username": USER, "password": "not-the-password" }));
    assert_eq!(code(&refused), Some("CLIENT_ERROR authentication failure"));
    assert_eq!(fact(&refused, "process_alive"), "true");
    expect(&UNKNOWN_USER, &server, json!({ "username": "nobody", "password": PASSWORD }));
    let none = expect(&NONE, &server, json!({}));
    assert_eq!(
        (code(&none), none.failure.as_ref().and_then(|f| f.phase)),
        (Some("CLIENT_ERROR unauthenticated"), Some(Phase::Auth))
    );
}

#[test]
fn a_password_is_never_stored_in_a_server_that_wants_none() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let outcome = expect(&NEEDLESS, &server, json!({ "username": USER, "password": PASSWORD }));
    assert_eq!(outcome.failure.map(|failure| failure.fault_domain), Some(FaultDomain::Probe));
    assert_eq!((server.stat("total_items"), server.stat("cmd_set")), (0, 0));
}

#[test]
fn a_unix_socket_is_a_way_too() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().socket().start();
    let subject = Subject {
        kind: "memcached",
        process: server.process(),
        socket: server.socket().clone(),
        entry: |socket| json!({ "url": format!("unix://{}", socket.display()) }),
    };
    subject.all();
}

#[test]
fn nobody_there_is_refused() {
    let outcome = Asked::new("memcached", entry((std::net::Ipv4Addr::LOCALHOST, free_port()).into(), json!({}))).run();
    check(&ABSENT, &outcome);
}

#[test]
fn tls_and_plain_text_are_told_apart() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().tls().start();
    let outcome = probe(&server, json!({})).run();
    check(&TLS_PORT, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
    let outcome = Asked::new("memcached", secured(shared().addr(), &json!({ "ca": Ca::shared().certificate() }))).run();
    check(&PLAIN_PORT, &outcome);
}
