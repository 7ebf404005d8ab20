//! Round trips: messages to a queue of our own.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{SOON, code, entry, fact, observed};
use crate::support::probe::Asked;
use crate::support::servers::PASSWORD;
use crate::support::servers::rabbitmq::{Rabbitmq, shared};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "rabbitmq":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    BLOCKED = "a round trip while publishers are blocked", "a memory alarm" => Expected::unfit("blocked");
    FORBIDDEN = "a round trip of a user who may do nothing", "permissions on nothing" => Expected::fails(FailureKind::Permission);
    UNWRITTEN = "a round trip of a user who may not publish", "write permission on nothing" => Expected::fails(FailureKind::Permission);
    LEAST = "a round trip of a user with the least rights", "permissions on amq.gen and amq.default" => Expected::HEALTHY;
}

/// One that makes a round trip in every run.
fn writer(server: &Rabbitmq, keys: Json) -> Asked {
    Asked::with("rabbitmq", entry(server.addr(), keys), always())
}

fn always() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

/// How many of something the management API lists.
fn count(server: &Rabbitmq, path: &str) -> usize {
    let answer = server.api("GET", path, "").expect("the management API answers");
    let list: Vec<Json> = serde_json::from_str(&answer.body).expect("it is a list");
    list.len()
}

#[test]
fn round_trips_leave_nothing_behind_and_an_alarm_blocks_them() {
    if !require("rabbitmq") {
        return;
    }
    let server = Rabbitmq::start();
    // Only the second connection ever publishes, and it is there only where that is asked for.
    let connections = || server.process().log().matches("granted access to vhost").count();
    let deep = super::deep(&server, json!({}));
    for _ in 0..5 {
        check(&WELL, &deep.run());
    }
    eventually(SOON, "it is logged", || (connections() == 1).then_some(()));
    deep.close();

    let probe = writer(&server, json!({}));
    for _ in 0..50 {
        let outcome = probe.run();
        check(&WELL, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
    }
    assert_eq!(count(&server, "/api/queues"), 0);
    eventually(SOON, "both connections are logged", || (connections() == 3).then_some(()));

    let writable = writer(&server, json!({ "expect": { "writable": true } }));
    check(&WELL, &writable.run());
    server.memory_alarm(true);
    for _ in 0..5 {
        for probe in [&probe, &writable] {
            let outcome = probe.run();
            check(&BLOCKED, &outcome);
            assert_eq!((outcome.findings.len(), observed(&outcome, "blocked").as_str()), (1, "low on memory"));
            assert_eq!((outcome.session, fact(&outcome, "blocked").as_str()), (Some(SessionKind::Warm), "true"));
        }
    }
    // A fresh one hears of it too.
    check(&BLOCKED, &writer(&server, json!({})).run());
    server.memory_alarm(false);
    for probe in [&probe, &writable] {
        let outcome = eventually(SOON, "round trips go on", || {
            let outcome = probe.run();
            outcome.findings.is_empty().then_some(outcome)
        });
        check(&WELL, &outcome);
        assert!(!outcome.reconnected, "{outcome:#?}");
    }
    eventually(SOON, "no queue is left", || (count(&server, "/api/queues") == 0).then_some(()));
    for probe in [probe, writable] {
        probe.close();
    }

    let probe = writer(&server, json!({}));
    check(&WELL, &probe.run());
    server.restart();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&WELL, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

#[test]
fn permissions_are_needed_on_the_own_queue() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    for (state, user, [configure, write, read]) in [
        (&FORBIDDEN, "idle", ["^$", "^$", "^$"]),
        (&UNWRITTEN, "reader", ["^amq\\.gen", "^$", "^amq\\.gen"]),
        (&LEAST, "traveller", ["^amq\\.gen", "^amq\\.default$", "^amq\\.gen"]),
    ] {
        server.set("PUT", &format!("/api/users/{user}"), &json!({ "password": PASSWORD, "tags": "" }).to_string());
        let permissions = json!({ "configure": configure, "write": write, "read": read });
        server.set("PUT", &format!("/api/permissions/%2f/{user}"), &permissions.to_string());
        let outcome = writer(server, json!({ "username": user })).run();
        check(state, &outcome);
        if outcome.failure.is_some() {
            assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("403"), Some(Phase::Roundtrip)));
        }
    }
}

#[test]
fn a_round_trip_goes_by_tls_too() {
    if !require("rabbitmq") {
        return;
    }
    let url = format!("amqps://{}", shared().tls_addr());
    check(&WELL, &writer(shared(), json!({ "url": url, "tls": { "ca": Ca::shared().certificate() } })).run());
}
