//! Sessions that are kept, lost and ended.

use std::time::Duration;

use probity_probes::{FailureKind, Phase, SessionKind};
use serde_json::json;

use super::{SOON, probe};
use crate::support::servers::memcached::Memcached;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "memcached":
    RESTARTED = "restarted", "kill -9 and a new start" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
}

#[test]
fn a_killed_server_is_noticed_at_once_and_found_again() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let probe = probe(&server, json!({}));
    check(&super::limits::STATES[0], &probe.run());
    server.process().kill9();
    assert!(probe.lost_within(Duration::from_secs(1)), "the loss of the session was not noticed");
    check(&KILLED, &probe.run());
    server.restart();
    let outcome = probe.run();
    check(&RESTARTED, &outcome);
    assert_eq!(outcome.session, Some(SessionKind::Fresh));
}

#[test]
fn a_hung_server_is_a_timeout_of_the_phase_that_waits() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let (warm, fresh) = (probe(&server, json!({})), probe(&server, json!({})));
    assert_eq!(warm.run().failure, None);
    server.process().freeze();
    let within = Duration::from_secs(1);
    for (probe, phase) in [(warm, Phase::Query), (fresh, Phase::Auth)] {
        let outcome = probe.run_within(within);
        check(&HUNG.within(within), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
    }
    server.process().thaw();
    eventually(SOON, "nothing of the cut runs is left", || (server.stat("curr_connections") <= 2).then_some(()));
}

#[test]
fn warm_runs_cost_the_server_no_connection_and_no_line_of_log() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let probe = probe(&server, json!({}));
    assert_eq!(probe.run().failure, None);
    let (opened, log) = (server.stat("total_connections"), server.process().log());
    for _ in 0..1000 {
        assert_eq!(probe.run().session, Some(SessionKind::Warm));
    }
    probe.close();
    // The one is the client that looks.
    assert_eq!((server.stat("total_connections"), server.process().log()), (opened + 1, log));
    eventually(SOON, "the session is ended", || (server.stat("curr_connections") <= 2).then_some(()));
}
