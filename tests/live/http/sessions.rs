//! Connections that are kept, closed by the server, hung, and not left behind.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{FailureKind, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{entry, probe, secured};
use crate::live::sessions::{Specimen, session_tests};
use crate::support::alone::alone;
use crate::support::process::Server;
use crate::support::procfs::{fds, threads};
use crate::support::servers::nginx::Nginx;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "http":
    KEPT = "well, and the connection is kept", "keep-alive" => Expected::HEALTHY;
    HUNG = "hung, under TLS", "SIGSTOP, then a fresh session" => Expected::fails(FailureKind::Timeout);
    KILLED = "killed, under HTTP/2", "kill -9 beside a warm session" => Expected::fails(FailureKind::ConnectRefused);
}

const SHORT: Duration = Duration::from_millis(500);

impl Specimen for Nginx {
    const KIND: &'static str = "http";
    /// There is neither greeting nor log-in.
    const OPENING: Phase = Phase::Query;

    /// Usually it closes a connection after a thousand requests.
    fn start() -> Self {
        Self::builder().location("= /kept", "keepalive_requests 100000; return 200;").start()
    }

    fn start_impatient() -> Self {
        Self::builder().location("= /kept", "keepalive_timeout 1s; return 200;").start()
    }

    fn addr(&self) -> SocketAddr {
        self.addr()
    }

    fn process(&self) -> &Server {
        self.process()
    }

    fn restart(&self) {
        self.restart();
    }

    fn entry(addr: SocketAddr) -> Json {
        entry(addr, "/kept", json!({}))
    }
}

session_tests! { Nginx }

#[test]
fn the_end_of_a_server_under_tls_is_noticed_at_once() {
    if !require("http") {
        return;
    }
    let server = Nginx::builder().http2().start();
    let tls = || probe(secured(server.https(), "/health", json!({})));
    let (warm, fresh) = (tls(), tls());
    check(&KEPT, &warm.run());
    server.process().freeze();
    let outcome = fresh.run_within(SHORT);
    check(&HUNG.within(SHORT), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Tls));
    server.process().thaw();
    server.process().kill9();
    assert!(warm.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    check(&KILLED, &warm.run());
}

#[test]
fn a_connection_is_kept_and_used_again() {
    if !require("http") {
        return;
    }
    let server = Nginx::builder().location("= /connection", "return 200 \"$connection $connection_requests\";").start();
    let keys = json!({ "expect": { "regex": "^\\d+ (1|2|3)$" } });
    let probe = probe(entry(server.http(), "/connection", keys));
    for session in [SessionKind::Fresh, SessionKind::Warm, SessionKind::Warm] {
        let outcome = probe.run();
        check(&KEPT, &outcome);
        assert_eq!((outcome.session, outcome.reconnected), (Some(session), false));
    }
    // It counts its requests: a fourth one on the same connection is not expected.
    assert_eq!(probe.run().findings.len(), 1);
}

/// A server that announces the close of its connection loses no session by it.
#[test]
fn a_connection_that_is_to_be_closed_is_not_kept() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    for answer in [closing, old] {
        let peer = Peer::start([Script::new().wait_for("\r\n\r\n").say(answer).close()]);
        let probe = probe(entry(peer.addr(), "/", json!({})));
        for _ in 0..2 {
            let outcome = probe.run();
            check(&KEPT, &outcome);
            assert_eq!((outcome.session, outcome.reconnected), (Some(SessionKind::Fresh), false));
            assert!(!probe.lost_within(Duration::from_millis(50)), "there is nothing to lose");
        }
    }
}

#[test]
fn hung_runs_leave_nothing_behind() {
    if !(require("http") && alone("live::http::sessions::hung_runs_leave_nothing_behind")) {
        return;
    }
    let server = Nginx::builder().http2().start();
    let probe = probe(secured(server.https(), "/health", json!({})));
    check(&KEPT, &probe.run());
    let own = std::process::id();
    server.process().freeze();
    let brief = Duration::from_millis(100);
    probe.run_within(brief);
    let (held, workers, tasks) = (fds(own), threads(own), probe.tasks());
    for _ in 0..30 {
        assert!(probe.run_within(brief).failure.is_some());
    }
    eventually(Duration::from_secs(5), "descriptors are given back", || (fds(own) <= held).then_some(()));
    eventually(Duration::from_secs(5), "tasks have ended", || (probe.tasks() <= tasks).then_some(()));
    assert!(threads(own) <= workers, "{} threads, {workers} before", threads(own));
}
