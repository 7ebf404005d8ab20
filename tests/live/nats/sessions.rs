//! Sessions that live, hang, end, and are not left behind.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{always_renewing, entry, probe};
use crate::support::alone::alone;
use crate::support::probe::Asked;
use crate::support::procfs::{fds, threads};
use crate::support::servers::nats::Nats;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "nats":
    HUNG = "the server hangs", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
    KILLED = "the server is killed", "kill -9 of a warm server" => Expected::fails(FailureKind::ConnectRefused);
    RETURNED = "the server was restarted", "kill -9 and a new start" => Expected::HEALTHY;
}

const SHORT: Duration = Duration::from_millis(500);

#[test]
fn a_session_is_kept_and_asked_again() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let probe = probe(server.addr(), json!({}));
    assert_eq!(probe.run().session, Some(SessionKind::Fresh));
    let before = server.process().log_lines().len();
    for _ in 0..50 {
        let outcome = probe.run();
        assert_eq!((outcome.session, outcome.failure.as_ref(), outcome.reconnected), (Some(SessionKind::Warm), None, false));
    }
    assert_eq!(server.process().log_lines().len(), before, "{}", server.process().log());
    let connections = server.watch("/varz").expect("the monitor answers").json();
    // The probe's own, and none from before: the readiness check had one, too.
    assert_eq!((&connections["connections"], &connections["total_connections"]), (&json!(1), &json!(2)));
    probe.close();
    eventually(Duration::from_secs(5), "the session has ended", || {
        (server.watch("/varz").ok()?.json()["connections"] == json!(0)).then_some(())
    });
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let (warm, fresh) = (probe(server.addr(), json!({})), probe(server.addr(), json!({})));
    assert_eq!(warm.run().failure, None);
    server.process().freeze();
    for (probe, phase) in [(&warm, Phase::Query), (&fresh, Phase::Auth)] {
        let outcome = probe.run_within(SHORT);
        check(&HUNG.within(SHORT), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
    }
    server.process().thaw();
    eventually(Duration::from_secs(5), "it answers again", || warm.run().failure.is_none().then_some(()));
}

/// A session that is opened and not asked anything must not count as a proof later.
#[test]
fn a_hung_server_is_seen_at_every_depth_that_asks() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let at = |depth| Asked::with("nats", entry(server.addr(), json!({})), Options { depth, ..Options::default() });
    let probes = [(Depth::Handshake, Phase::Auth), (Depth::Query, Phase::Query)].map(|(depth, phase)| (at(depth), phase));
    assert!(probes.iter().all(|(probe, _)| probe.run().failure.is_none()));
    server.process().freeze();
    for (probe, phase) in &probes {
        let outcome = probe.run_within(SHORT);
        check(&HUNG.within(SHORT), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(*phase));
    }
    // The kernel still accepts: the depth that proves least.
    assert_eq!(at(Depth::Connect).run_within(SHORT).failure, None);
}

#[test]
fn the_end_of_the_server_is_noticed_at_once_and_its_return_too() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let probe = probe(server.addr(), json!({}));
    assert_eq!(probe.run().failure, None);
    server.process().kill9();
    assert!(probe.lost_within(Duration::from_secs(1)), "the loss of the session was not noticed");
    check(&KILLED, &probe.run());
    server.restart();
    check(&RETURNED, &probe.run());
}

#[test]
fn a_renewed_session_leaves_none_behind() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let probe = always_renewing(server.addr());
    for _ in 0..20 {
        assert_eq!(probe.run().failure, None);
    }
    eventually(Duration::from_secs(5), "one session is left", || {
        (server.watch("/varz").ok()?.json()["connections"] == json!(1)).then_some(())
    });
}

/// The client library has tasks and a socket of its own, which must end with a run that was cut.
#[test]
fn hung_runs_leave_nothing_behind() {
    if !(require("nats") && alone("live::nats::sessions::hung_runs_leave_nothing_behind")) {
        return;
    }
    let server = Nats::start();
    let probe = probe(server.addr(), json!({}));
    assert_eq!(probe.run().failure, None);
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
