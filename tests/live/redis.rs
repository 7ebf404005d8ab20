//! Redis 7, well and sick.

use std::time::Duration;

use probity_probes::{FailureKind, Status};
use serde_json::json;

use crate::support::{probe::Asked, require, servers};

#[test]
fn a_server_that_is_well_is_healthy() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::shared();
    let probe = Asked::new("redis", json!({ "url": format!("redis://{}", server.addr()), "password": servers::PASSWORD }));
    let outcome = probe.run();
    assert_eq!((outcome.status, &outcome.failure), (Status::Healthy, &None));
}

#[test]
fn the_end_of_the_server_is_noticed_at_once() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::builder().start();
    let probe = Asked::new("redis", json!({ "url": format!("redis://{}", server.addr()) }));
    assert_eq!(probe.run().status, Status::Healthy);
    server.process().kill9();
    assert!(probe.lost_within(Duration::from_secs(1)), "the loss of the session was not noticed");
    let outcome = probe.run();
    assert_eq!(outcome.failure.map(|failure| failure.kind), Some(FailureKind::ConnectRefused));
}
