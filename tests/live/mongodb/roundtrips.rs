//! Round trips: a document of our own, written, read and removed by the majority.

use std::net::SocketAddr;
use std::time::Duration;

use mongodb::bson::{DateTime, doc};
use probity_probes::{Depth, FailureKind, Options, Phase};
use serde_json::{Value as Json, json};

use super::access::as_user;
use super::{code, entry};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::mongodb::{BARE, MongoDb, Scripted, shared};
use crate::support::truth::{Expected, check, states};

states! { "mongodb":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    FORBIDDEN = "a round trip of a user who may not write", "a user without roles" => Expected::fails(FailureKind::Permission);
    UNCONFIRMED = "the majority does not confirm", "a member that answers writeConcernError 64" => Expected::fails(FailureKind::NotReady);
    FULL = "a write fails", "a member that answers writeErrors 14031" => Expected::fails(FailureKind::Overload);
    LOST = "what was written is not read", "a member that answers writes and holds nothing" => Expected::unfit("roundtrip_lost");
}

/// One that makes a round trip in every run.
fn writer(addr: SocketAddr, keys: Json) -> Asked {
    let always = Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() };
    Asked::with("mongodb", entry(addr, keys), always)
}

fn canaries(server: &MongoDb) -> i32 {
    server.ask("probity", &doc! { "count": "canary" }).get_i32("n").expect("a count")
}

#[test]
fn round_trips_leave_nothing_behind_not_even_of_runs_that_were_cut() {
    if !(require("mongodb") && require("ferretdb")) {
        return;
    }
    for server in [MongoDb::start(), MongoDb::builder().standalone().start(), MongoDb::ferretdb(false)] {
        let probe = writer(server.addr(), json!({}));
        for _ in 0..20 {
            let outcome = probe.run();
            check(&WELL, &outcome);
            assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
        }
        assert_eq!(canaries(&server), 0);
    }
}

/// As `--check` beside an agent: both have the same canary.
#[test]
fn probes_of_one_name_do_not_disturb_each_other() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writer(server.addr(), json!({}));
                (0..20).for_each(|_| check(&WELL, &probe.run()));
            });
        }
    });
    assert_eq!(canaries(&server), 0);
}

#[test]
fn what_a_cut_run_left_behind_is_removed_by_a_later_one() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let probe = writer(server.addr(), json!({}));
    server.fail("delete", doc! { "errorCode": 91 });
    assert!(probe.run().failure.is_some());
    server.heal();
    check(&WELL, &probe.run());
    assert_eq!(canaries(&server), 1, "it is not old enough");
    let old = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_700_000);
    let others = doc! { "_id": "somebody else's", "at": old };
    server.ask("probity", &doc! { "update": "canary", "updates": [{ "q": {}, "u": { "$set": { "at": old } } }] });
    server.ask("probity", &doc! { "insert": "canary", "documents": [others] });
    check(&WELL, &probe.run());
    assert_eq!(canaries(&server), 1, "the other one stays");
}

#[test]
fn a_round_trip_needs_its_right() {
    if !require("mongodb") {
        return;
    }
    let outcome = writer(shared().addr(), as_user(BARE)).run();
    check(&FORBIDDEN, &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("13"), Some(Phase::Roundtrip)));
    check(&WELL, &writer(shared().addr(), as_user(USER)).run());
}

/// Such an answer says `ok: 1`.
#[test]
fn a_write_that_is_answered_and_not_done_is_found_out() {
    let nothing = doc! { "cursor": { "firstBatch": [] }, "ok": 1.0 };
    let member = |update| {
        Scripted::start([
            ("hello", doc! { "isWritablePrimary": true, "maxWireVersion": 25, "ok": 1.0 }),
            ("buildInfo", doc! { "version": "8.0.4", "ok": 1.0 }),
            ("serverStatus", doc! { "connections": { "current": 1, "available": 99 }, "ok": 1.0 }),
            ("find", nothing.clone()),
            ("update", update),
            ("delete", doc! { "n": 0, "ok": 1.0 }),
        ])
    };
    for (state, answer, expected) in [
        (
            &UNCONFIRMED,
            doc! { "n": 1, "ok": 1.0, "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
            "64",
        ),
        (&FULL, doc! { "n": 0, "ok": 1.0, "writeErrors": [{ "index": 0, "code": 14031, "errmsg": "no space" }] }, "14031"),
    ] {
        let peer = member(answer);
        let outcome = writer(peer.addr(), json!({})).run();
        check(state, &outcome);
        assert_eq!(code(&outcome), Some(expected));
    }
    let peer = member(doc! { "n": 1, "ok": 1.0 });
    let outcome = writer(peer.addr(), json!({})).run();
    check(&LOST, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "nothing");
}
