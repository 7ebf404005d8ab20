//! Sessions that are kept, lost and ended.

use std::time::Duration;

use probity_probes::{ConnectionPolicy, Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{SOON, entry, looking, probe};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::clickhouse::Clickhouse;
use crate::support::truth::{Expected, State, check, states};

states! { "clickhouse":
    IDLE = "it ends idle connections", "keep_alive_timeout = 1" => Expected::HEALTHY;
    RESTARTED = "restarted", "kill -9 and a new start" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
}

/// A probe of a server of its own whose session is warm.
fn warmed_up() -> (Clickhouse, Asked) {
    let server = Clickhouse::start();
    let probe = probe(&server, json!({}));
    check(&State { state: "well", ..RESTARTED }, &probe.run());
    (server, probe)
}

#[test]
fn the_end_of_the_server_is_noticed_at_once_and_its_return_too() {
    if !require("clickhouse") {
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
fn a_connection_that_was_idle_for_too_long_comes_back_silently() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::builder().setting("<keep_alive_timeout>1</keep_alive_timeout>").start();
    let probe = probe(&server, json!({}));
    check(&IDLE, &probe.run());
    assert!(probe.lost_within(SOON), "the connection was not ended");
    let outcome = probe.run();
    check(&IDLE, &outcome);
    assert!(outcome.reconnected);
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("clickhouse") {
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
}

#[test]
fn runs_leave_no_line_in_the_log_of_the_server() {
    if !require("clickhouse") {
        return;
    }
    let (server, warm) = warmed_up();
    let with = |options| Asked::with("clickhouse", entry(server.addr(), json!({})), options);
    let fresh = with(Options { connection: ConnectionPolicy::Fresh, ..Options::default() });
    let dialled = with(Options { depth: Depth::Connect, ..Options::default() });
    let deep = looking(&server, json!({}));
    let log = server.process().log();
    for _ in 0..200 {
        assert_eq!(warm.run().session, Some(SessionKind::Warm));
    }
    for probe in [&fresh, &dialled, &deep].repeat(3) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in [warm, fresh, deep] {
        probe.close();
    }
    assert_eq!(server.process().log(), log);
}
