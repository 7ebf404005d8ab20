//! Brokers that stop, drain, hang and come back.

use std::time::Duration;

use probity_probes::{FailureKind, Phase, SessionKind};
use serde_json::json;

use super::access::STATES as WELL;
use super::{SOON, probe};
use crate::support::servers::rabbitmq::Rabbitmq;
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "rabbitmq":
    DRAINED = "drained", "rabbitmq-upgrade drain" => Expected::fails(FailureKind::ConnectRefused);
    REVIVED = "revived", "rabbitmq-upgrade revive" => Expected::HEALTHY;
    STOPPED = "its application is stopped", "stop_app" => Expected::fails(FailureKind::ConnectRefused);
    STARTED = "its application is started again", "start_app" => Expected::HEALTHY;
    KILLED = "killed", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
    HUNG = "hung", "SIGSTOP" => Expected::fails(FailureKind::Timeout);
}

#[test]
fn a_broker_that_leaves_is_noticed_at_once_and_found_again() {
    if !require("rabbitmq") {
        return;
    }
    let server = Rabbitmq::start();
    let probe = probe(&server, json!({}));
    check(&WELL[0], &probe.run());
    let leave = |state: &State, leave: &dyn Fn()| {
        leave();
        assert!(probe.lost_within(Duration::from_secs(5)), "{}: the loss of the session was not noticed", state.state);
        check(state, &probe.run());
    };
    leave(&DRAINED, &|| server.upgrade("drain"));
    server.upgrade("revive");
    let outcome = eventually(SOON, "it listens again", || Some(probe.run()).filter(|outcome| outcome.failure.is_none()));
    check(&REVIVED, &outcome);
    leave(&STOPPED, &|| server.control(&["stop_app"]));
    server.control(&["start_app"]);
    let outcome = eventually(SOON, "it listens again", || Some(probe.run()).filter(|outcome| outcome.failure.is_none()));
    check(&STARTED, &outcome);
    assert_eq!(outcome.session, Some(SessionKind::Fresh));

    let fresh = super::probe(&server, json!({}));
    server.process().freeze();
    let within = Duration::from_secs(1);
    for (probe, phase) in [(&probe, Phase::Query), (&fresh, Phase::Auth)] {
        let outcome = probe.run_within(within);
        check(&HUNG.within(within), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
    }
    server.process().thaw();
    let outcome = eventually(SOON, "it goes on", || Some(probe.run()).filter(|outcome| outcome.failure.is_none()));
    check(&WELL[0], &outcome);
    leave(&KILLED, &|| server.process().kill9());
}

#[test]
fn warm_runs_cost_the_broker_no_connection_and_no_line_of_log() {
    if !require("rabbitmq") {
        return;
    }
    let server = Rabbitmq::start();
    let probe = probe(&server, json!({ "expect": { "writable": true } }));
    assert_eq!(probe.run().failure, None);
    // It logs a moment later.
    let log = eventually(SOON, "both sessions are logged", || {
        let log = server.process().log();
        (log.matches("granted access to vhost").count() == 2).then_some(log)
    });
    for _ in 0..1000 {
        assert_eq!(probe.run().session, Some(SessionKind::Warm));
    }
    assert_eq!(server.process().log()[log.len()..], *"");
    probe.close();
    let after = eventually(SOON, "both sessions are ended", || {
        let after = server.process().log()[log.len()..].to_owned();
        (after.matches("closing AMQP connection").count() == 2).then_some(after)
    });
    assert!(!after.contains("warning") && !after.contains("error"), "it was not polite: {after}");
}
