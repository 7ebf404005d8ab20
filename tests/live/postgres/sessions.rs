//! Sessions that are kept, lost, renewed and ended.

use std::time::Duration;

use probity_probes::{ConnectionPolicy, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{SOON, always_renewing, entry, probe};
use crate::support::probe::Asked;
use crate::support::servers::postgres::Postgres;
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    UNHARMED = "its backend process was ended", "pg_terminate_backend of the warm session" => Expected::HEALTHY;
    IDLE = "it ends idle sessions", "idle_session_timeout = 100ms" => Expected::HEALTHY;
    RESTARTED = "restarted", "kill -9 and a new start" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
}

/// A probe of a server of its own whose session is warm.
fn warmed_up() -> (Postgres, Asked) {
    let server = Postgres::start();
    let probe = probe(&server, json!({}));
    check(&State { state: "well", ..RESTARTED }, &probe.run());
    (server, probe)
}

/// The backend processes that serve us.
fn backends(server: &Postgres) -> Vec<String> {
    let ours = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'probity'");
    ours.lines().map(str::to_owned).collect()
}

#[test]
fn the_end_of_the_server_is_noticed_at_once_and_its_return_too() {
    if !require("postgres") {
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
fn a_session_that_the_server_ended_comes_back_silently() {
    if !require("postgres") {
        return;
    }
    let (server, probe) = warmed_up();
    server.terminate_clients();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&UNHARMED, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

#[test]
fn a_session_that_was_idle_for_too_long_comes_back_silently() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("idle_session_timeout", "100ms").start();
    let probe = probe(&server, json!({}));
    check(&IDLE, &probe.run());
    assert!(probe.lost_within(SOON), "the session was not ended");
    let outcome = probe.run();
    check(&IDLE, &outcome);
    assert!(outcome.reconnected);
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("postgres") {
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
    eventually(SOON, "nothing of the cut runs is left at the server", || backends(&server).is_empty().then_some(()));
}

#[test]
fn a_renewed_session_replaces_the_old_one() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let probe = always_renewing(&server);
    probe.run();
    let first = backends(&server);
    let outcome = probe.run();
    assert_eq!(outcome.session, Some(SessionKind::Warm), "the question went by the warm session");
    let second = eventually(SOON, "the old session is gone", || {
        let now = backends(&server);
        (now.len() == 1).then_some(now)
    });
    assert_eq!(first.len(), 1);
    assert_ne!(first, second, "the fresh session was thrown away");
}

#[test]
fn runs_leave_no_line_in_the_log_of_the_server() {
    if !require("postgres") {
        return;
    }
    let (server, warm) = warmed_up();
    let fresh = Asked::with(
        "postgres",
        entry(server.addr(), json!({})),
        Options { connection: ConnectionPolicy::Fresh, ..Options::default() },
    );
    let tls = json!({ "tls": { "ca": crate::support::tls::Ca::shared().certificate() } });
    let (secure, dialled) = (
        probe(&server, tls),
        Asked::with(
            "postgres",
            entry(server.addr(), json!({})),
            Options { depth: probity_probes::Depth::Connect, ..Options::default() },
        ),
    );
    let log = server.process().log();
    for _ in 0..200 {
        assert_eq!(warm.run().session, Some(SessionKind::Warm));
    }
    for probe in [&fresh, &secure, &dialled].repeat(3) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in [warm, fresh, secure] {
        probe.close();
    }
    eventually(SOON, "every session is ended", || backends(&server).is_empty().then_some(()));
    assert_eq!(server.process().log(), log);
}
