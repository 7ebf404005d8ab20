//! Sessions that end.

use std::time::Duration;

use probity_probes::SessionKind;
use serde_json::json;

use super::{deep, entry};
use crate::live::sessions::specimen;
use crate::support::servers::sqlserver::Bridge;
use crate::support::servers::sqlserver::standin::StandIn;
use crate::support::truth::{Expected, check, states};

states! { "sqlserver":
    ENDED = "the server ended our session", "a stand-in that closes all connections, and listens" => Expected::HEALTHY;
}

specimen! { "sqlserver", Bridge, |addr| entry(addr, json!({})); }

#[test]
fn a_session_that_a_stand_in_ended_comes_back_silently() {
    let server = StandIn::start();
    let probe = deep(&server, json!({}));
    assert_eq!(probe.run().failure, None);
    server.end_sessions();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&ENDED, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}
