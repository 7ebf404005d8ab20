//! Errors of a server that is there, and the window after a step-down.

use std::time::Duration;

use mongodb::bson::doc;
use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{always_deep, code, entry, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::mongodb::MongoDb;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mongodb":
    WELL = "well again", "the failpoint is off, the window is over" => Expected::HEALTHY;
    NEITHER = "neither primary nor secondary", "failCommand 13436" => Expected::fails(FailureKind::NotReady);
    INTERRUPTED = "interrupted by a change of state", "failCommand 11602" => Expected::fails(FailureKind::NotReady);
    GAVE_UP = "the server gave up at our limit", "failCommand 50" => Expected::fails(FailureKind::Timeout);
    ODD = "an error that nobody knows", "failCommand 4242" => Expected::fails(FailureKind::Query);
    CLOSES = "the server closes instead of an answer", "failCommand closeConnection" => Expected::fails(FailureKind::ConnectionLost);
    SLOW = "the server is slow", "failCommand blockConnection for 300 ms, 150 ms allowed" => Expected::degraded("latency");
    BLOCKED = "the server does not answer in time", "failCommand blockConnection for 5 s" => Expected::fails(FailureKind::Timeout);
    DEEP_BROKEN = "a deep question fails", "failCommand 11602 of replSetGetStatus" => Expected::fails(FailureKind::NotReady);
    STEPPED_DOWN = "after a step-down", "replSetStepDown, force" => Expected::degraded("no_primary");
    STEPPED_DOWN_WRITABLE = "after a step-down, where writes are expected", "expect.writable" => Expected::unfit("no_primary");
    STEPPED_DOWN_ROLE = "after a step-down, where the primary is expected", "expect.role = primary" => Expected::unfit("role_mismatch");
    STEPPED_DOWN_WRITING = "a round trip after a step-down", "depth = roundtrip" => Expected::fails(FailureKind::NotReady);
}

#[test]
fn errors_of_the_server_keep_their_code() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    for (state, error) in [(&NEITHER, 13436), (&INTERRUPTED, 11602), (&GAVE_UP, 50), (&ODD, 4242)] {
        server.heal();
        let (fresh, warm) = (probe(server.addr(), json!({})), probe(server.addr(), json!({})));
        check(&WELL, &warm.run());
        server.fail("hello", doc! { "errorCode": error });
        for (probe, phase) in [(fresh, Phase::Auth), (warm, Phase::Query)] {
            let outcome = probe.run();
            check(state, &outcome);
            assert_eq!(code(&outcome), Some(error.to_string().as_str()));
            assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
        }
    }
    server.heal();
    check(&WELL, &probe(server.addr(), json!({})).run());
}

#[test]
fn an_error_of_a_deep_question_is_one_of_the_server() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    server.fail("replSetGetStatus", doc! { "errorCode": 11602 });
    let outcome = probe(server.addr(), json!({})).run();
    check(&DEEP_BROKEN, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Deep));
}

#[test]
fn a_connection_that_is_closed_in_mid_exchange_is_lost() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let warm = probe(server.addr(), json!({}));
    check(&WELL, &warm.run());
    server.fail("hello", doc! { "closeConnection": true });
    for probe in [probe(server.addr(), json!({})), warm] {
        check(&CLOSES, &probe.run());
    }
}

#[test]
fn a_server_that_is_slow_is_told_from_one_that_hangs() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let slow = Options { latency: Some(Duration::from_millis(150)), ..Options::default() };
    let slow = Asked::with("mongodb", entry(server.addr(), json!({})), slow);
    check(&WELL, &slow.run());
    server.fail("hello", doc! { "blockConnection": true, "blockTimeMS": 300 });
    check(&SLOW, &slow.run());
    server.fail("hello", doc! { "blockConnection": true, "blockTimeMS": 5000 });
    let within = Duration::from_millis(700);
    let outcome = slow.run_within(within);
    check(&BLOCKED.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Query));
}

/// `replSetGetStatus` of this server calls it the primary all the time.
#[test]
fn a_step_down_is_seen_in_the_next_run_although_the_set_says_it_has_a_primary() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let with = |expect| probe(server.addr(), json!({ "expect": expect }));
    let (plain, writable, role) = (with(json!({})), with(json!({ "writable": true })), with(json!({ "role": "primary" })));
    let writing = Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() };
    let writing = Asked::with("mongodb", entry(server.addr(), json!({})), writing);
    for probe in [&plain, &writable, &role, &writing] {
        check(&WELL, &probe.run());
    }
    server.step_down(5);
    for (probe, state) in [
        (&plain, &STEPPED_DOWN),
        (&writable, &STEPPED_DOWN_WRITABLE),
        (&role, &STEPPED_DOWN_ROLE),
        (&writing, &STEPPED_DOWN_WRITING),
    ] {
        let outcome = probe.run();
        check(state, &outcome);
        assert_eq!(outcome.session, Some(SessionKind::Warm));
        assert_eq!(fact(&outcome, "role"), "secondary");
        assert!(matches!(code(&outcome), None | Some("10107")), "{outcome:#?}");
    }
    eventually(Duration::from_secs(15), "it is the primary again", || writable.run().findings.is_empty().then_some(()));
    let deep = always_deep(server.addr(), json!({}));
    check(&WELL, &deep.run());
}
