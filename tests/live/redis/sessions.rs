//! Sessions that are kept, lost, renewed and ended.

use std::time::Duration;

use probity_probes::{ConnectionPolicy, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{SOON, always_renewing, entry, probe};
use crate::support::probe::Asked;
use crate::support::servers::redis::Redis;
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "redis":
    UNHARMED = "its client was killed", "CLIENT KILL of the warm session" => Expected::HEALTHY;
    RESTARTED = "restarted", "kill -9 and a new start" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
    SLOW = "slow", "DEBUG SLEEP 0.7" => Expected::degraded("latency");
}

/// A probe of a server of its own whose session is warm.
fn warmed_up() -> (Redis, Asked) {
    let server = Redis::start();
    let probe = probe(&server, json!({}));
    check(&State { state: "well", ..RESTARTED }, &probe.run());
    (server, probe)
}

/// The ids of our clients at the server.
fn clients(server: &Redis) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]);
    let ours = list.lines().filter(|line| line.contains(" name=probity "));
    ours.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[test]
fn the_end_of_the_server_is_noticed_at_once_and_its_return_too() {
    if !require("redis") {
        return;
    }
    let (server, probe) = warmed_up();
    server.process().kill9();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&KILLED, &outcome);
    assert_eq!((outcome.reconnected, outcome.failure.and_then(|failure| failure.phase)), (false, Some(Phase::Connect)));
    server.restart();
    check(&RESTARTED, &probe.run());
}

#[test]
fn a_client_that_the_server_closed_comes_back_silently() {
    if !require("redis") {
        return;
    }
    let (server, probe) = warmed_up();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&UNHARMED, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("redis") {
        return;
    }
    let (server, warm) = warmed_up();
    let fresh = probe(&server, json!({}));
    server.process().freeze();
    let within = Duration::from_secs(1);
    for (probe, phase) in [(warm, Phase::Query), (fresh, Phase::Auth)] {
        let outcome = probe.run_within(within);
        check(&HUNG.within(within), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
        assert!(outcome.duration >= within, "it gave up early: {:?}", outcome.duration);
    }
    server.process().thaw();
    eventually(SOON, "nothing of the cut runs is left at the server", || clients(&server).is_empty().then_some(()));
}

#[test]
fn a_slow_server_is_degraded() {
    if !require("redis") {
        return;
    }
    let (server, probe) = warmed_up();
    let outcome = eventually(SOON, "a run meets the sleep", || {
        server.sleep(Duration::from_millis(700)).expect("Redis can be told to sleep");
        let outcome = probe.run();
        outcome.latency().filter(|latency| *latency > Duration::from_millis(250)).map(|_| outcome)
    });
    check(&SLOW, &outcome);
}

#[test]
fn a_renewed_session_replaces_the_old_one() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let probe = always_renewing(&server);
    probe.run();
    let first = clients(&server);
    let outcome = probe.run();
    assert_eq!(outcome.session, Some(SessionKind::Warm), "the question went by the warm session");
    let second = eventually(SOON, "the old session is gone", || {
        let now = clients(&server);
        (now.len() == 1).then_some(now)
    });
    assert_eq!(first.len(), 1);
    assert_ne!(first, second, "the fresh session was thrown away");
}

#[test]
fn fresh_runs_leave_nothing_behind() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let options = Options { connection: ConnectionPolicy::Fresh, ..Options::default() };
    let probe = Asked::with("redis", entry(server.addr(), json!({})), options);
    for _ in 0..3 {
        assert_eq!(probe.run().session, Some(SessionKind::Fresh));
    }
    probe.close();
    eventually(SOON, "every session is ended", || clients(&server).is_empty().then_some(()));
}

#[test]
fn warm_runs_cost_the_server_no_connection_and_no_line_of_log() {
    if !require("redis") {
        return;
    }
    let (server, probe) = warmed_up();
    let (ours, log) = (clients(&server), server.process().log());
    for _ in 0..200 {
        assert_eq!(probe.run().session, Some(SessionKind::Warm));
    }
    assert_eq!((clients(&server), server.process().log()), (ours, log));
    probe.close();
    eventually(SOON, "the session is ended", || clients(&server).is_empty().then_some(()));
}
