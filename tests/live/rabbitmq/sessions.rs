//! Brokers that stop, drain, hang and come back.

use std::time::Duration;

use probity_probes::{FailureKind, SessionKind};
use serde_json::json;

use super::access::STATES as WELL;
use super::{SOON, entry, probe};
use crate::live::sessions::specimen;
use crate::support::servers::rabbitmq::Rabbitmq;
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "rabbitmq":
    DRAINED = "drained", "rabbitmq-upgrade drain" => Expected::fails(FailureKind::ConnectRefused);
    REVIVED = "revived", "rabbitmq-upgrade revive" => Expected::HEALTHY;
    STOPPED = "its application is stopped", "stop_app" => Expected::fails(FailureKind::ConnectRefused);
    STARTED = "its application is started again", "start_app" => Expected::HEALTHY;
}

specimen! { "rabbitmq", Rabbitmq, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        self.control(&["close_all_connections", "told to"]);
    }
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
}
