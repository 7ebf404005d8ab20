//! Sessions that are kept, lost, taken over, refused and ended.

use std::time::Duration;

use probity_probes::FailureKind;
use probity_probes::testing::{Peer, Script};
use serde_json::json;

use super::versions::STATES as WELL;
use super::{SOON, eager, entry, expect, fact, probe};
use crate::live::sessions::specimen;
use crate::support::probe::Asked;
use crate::support::servers::mosquitto::Mosquitto;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mqtt":
    NO_ROOM = "at its limit of connections", "max_connections reached, then a fresh session" => Expected::fails(FailureKind::Overload);
    NO_ROOM_WARM = "at its limit of connections, with a warm session", "the same beside a session of ours" => Expected::degraded("new_connections_failing");
    TAKEN_OVER_SILENTLY = "another client has our id, and the broker does not say so", "a client with the same id" => Expected::HEALTHY;
    TAKEN_OVER = "another client has our id", "a peer that says DISCONNECT 0x8E" => Expected::degraded("session_taken_over");
}

specimen! { "mqtt", Mosquitto, |addr| entry(addr, json!({})); }

#[test]
fn a_full_broker_closes_without_a_word() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().setting("max_connections 3").start();
    let warm = eager(&server, json!({}));
    check(&WELL[0], &warm.run());
    let mut held = Vec::new();
    eventually(SOON, "it is full", || match server.connect("") {
        Ok(client) => {
            held.push(client);
            None
        }
        Err(_) => Some(()),
    });
    let outcome = expect(&NO_ROOM, &server, json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("limit")));
    check(&NO_ROOM_WARM, &warm.run());
    drop(held);
    eventually(SOON, "it recovers with room", || warm.run().findings.is_empty().then_some(()));
}

#[test]
fn a_client_with_our_id_throws_us_out() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::start();
    let probe = probe(&server, json!({ "client_id": "orders" }));
    check(&WELL[0], &probe.run());
    let _other = server.connect("orders").expect("it lets us in");
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    // Mosquitto 2.0 keeps to itself why it closed.
    let outcome = probe.run();
    check(&TAKEN_OVER_SILENTLY, &outcome);
    assert!(outcome.reconnected, "{outcome:#?}");
}

#[test]
fn a_broker_that_says_who_threw_us_out_is_heard() {
    let serving = || {
        let asked = Script::new().wait_for("orders").say([0x20, 3, 0, 0, 0]).wait_for([0xc0, 0]).say([0xd0, 0]);
        asked.wait_for([0xc0, 0]).say([0xd0, 0]).wait_for([0xa2]).say([0xb0, 4, 0, 2, 0, 0])
    };
    let peer = Peer::start([serving().say([0xe0, 2, 0x8e, 0]).close(), serving()]);
    let probe = Asked::new("mqtt", entry(peer.addr(), json!({ "client_id": "orders" })));
    let outcome = probe.run();
    assert_eq!((outcome.failure.as_ref(), fact(&outcome, "session_takeovers_total").as_str()), (None, "0"));
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&TAKEN_OVER, &outcome);
    assert_eq!((fact(&outcome, "session_takeovers_total").as_str(), outcome.reconnected), ("1", true));
}

#[test]
fn fresh_sessions_of_ours_do_not_take_each_other_over() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::start();
    for keys in [json!({}), json!({ "client_id": "orders" })] {
        let probe = eager(&server, keys);
        for _ in 0..3 {
            check(&WELL[0], &probe.run());
        }
        probe.close();
    }
    let log = server.process().log();
    let randoms = log.lines().filter(|line| line.contains("as probity") && line.contains("New client connected"));
    // One for each run: the first opens it, the others renew it.
    assert_eq!(randoms.count(), 3, "{log}");
}
