//! Sessions that are kept, lost, renewed and ended.

use std::time::Duration;

use probity_probes::{ConnectionPolicy, Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{SOON, always_renewing, entry, probe};
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::mysql::Mysql;
use crate::support::tls::Ca;
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "mysql":
    UNHARMED = "its connection was ended", "KILL of the warm session" => Expected::HEALTHY;
    IDLE = "it ends idle sessions", "wait_timeout = 1" => Expected::HEALTHY;
    RESTARTED = "restarted", "kill -9 and a new start" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
}

/// A probe of a server of its own whose session is warm.
fn warmed_up() -> (Mysql, Asked) {
    let server = Mysql::start();
    let probe = probe(&server, json!({}));
    check(&State { state: "well", ..RESTARTED }, &probe.run());
    (server, probe)
}

/// The connections that serve us.
fn connections(server: &Mysql) -> Vec<String> {
    let ours = server.sql(&format!("SELECT id FROM information_schema.processlist WHERE user = '{USER}'"));
    ours.lines().map(str::to_owned).collect()
}

#[test]
fn the_end_of_the_server_is_noticed_at_once_and_its_return_too() {
    if !require("mysql") {
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
    if !require("mysql") {
        return;
    }
    let (server, probe) = warmed_up();
    server.sql(&format!("KILL USER {USER}"));
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&UNHARMED, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

#[test]
fn a_session_that_was_idle_for_too_long_comes_back_silently() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::builder().setting("wait-timeout=1").start();
    let probe = probe(&server, json!({}));
    check(&IDLE, &probe.run());
    assert!(probe.lost_within(SOON), "the session was not ended");
    let outcome = probe.run();
    check(&IDLE, &outcome);
    assert!(outcome.reconnected);
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("mysql") {
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
    eventually(SOON, "nothing of the cut runs is left at the server", || connections(&server).is_empty().then_some(()));
}

#[test]
fn a_renewed_session_replaces_the_old_one() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let probe = always_renewing(&server);
    probe.run();
    let first = connections(&server);
    let outcome = probe.run();
    assert_eq!(outcome.session, Some(SessionKind::Warm), "the question went by the warm session");
    let second = eventually(SOON, "the old session is gone", || {
        let now = connections(&server);
        (now.len() == 1).then_some(now)
    });
    assert_eq!(first.len(), 1);
    assert_ne!(first, second, "the fresh session was thrown away");
}

/// The server counts what breaks off, and blocks hosts for it: nothing of ours ever counts.
#[test]
fn runs_leave_no_line_in_the_log_of_the_server_and_nothing_aborted() {
    if !require("mysql") {
        return;
    }
    // At this level every connection that does not end with COM_QUIT is a line.
    let server = Mysql::builder().setting("log-warnings=9").start();
    let with = |keys, options| Asked::with("mysql", entry(server.addr(), keys), options);
    let trusting = json!({ "tls": { "ca": Ca::shared().certificate() } });
    let fresh = || Options { connection: ConnectionPolicy::Fresh, ..Options::default() };
    let warm = with(json!({}), Options::default());
    let others = [
        with(json!({}), fresh()),
        with(trusting.clone(), fresh()),
        with(trusting.clone(), Options::default()),
        with(json!({}), Options { depth: Depth::Connect, ..Options::default() }),
        with(trusting, Options { depth: Depth::Handshake, ..Options::default() }),
    ];
    warm.run();
    let log = server.process().log();
    for _ in 0..200 {
        assert_eq!(warm.run().session, Some(SessionKind::Warm));
    }
    for probe in others.iter().cycle().take(3 * others.len()) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in others.iter().chain([&warm]) {
        probe.close();
    }
    eventually(SOON, "every session is ended", || connections(&server).is_empty().then_some(()));
    assert_eq!(server.process().log(), log);
    assert_eq!((server.status("Aborted_connects"), server.status("Aborted_clients")), (0, 0));
}
