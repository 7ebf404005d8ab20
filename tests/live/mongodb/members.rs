//! Replica sets of more than one member, played: what a member says of itself, and what it knows of the others.

use mongodb::bson::{DateTime, Document, doc};
use probity_probes::{FailureKind, Outcome, SessionKind};
use serde_json::{Value as Json, json};

use super::{always_deep, code, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::mongodb::Scripted;
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};

states! { "mongodb":
    THREE = "a set of three", "all of them up" => Expected::HEALTHY;
    FOLLOWS = "a secondary that follows", "expect.writable, a primary elsewhere" => Expected::HEALTHY;
    WRONG_ROLE = "a secondary where the primary is expected", "expect.role = primary" => Expected::unfit("role_mismatch");
    HEADLESS = "a set without a primary", "a secondary that knows none" => Expected::degraded("no_primary");
    HEADLESS_WRITABLE = "a set without a primary that should take writes", "expect.writable" => Expected::unfit("no_primary");
    RECOVERING = "a member that recovers", "neither primary nor secondary" => Expected::fails(FailureKind::NotReady);
    UNINITIATED = "a set that was never initiated", "isreplicaset without a name" => Expected::fails(FailureKind::NotReady);
    OTHER_SET = "a member of another set", "replicaSet=rs1" => Expected::fails(FailureKind::Config);
    NO_SET = "no member where a set is expected", "replicaSet=rs0 at a standalone" => Expected::fails(FailureKind::Config);
    ARBITER = "an arbiter", "arbiterOnly, asked with a user, whom it does not know" => Expected::HEALTHY;
    ROUTER = "a router", "isdbgrid" => Expected::HEALTHY;
    DOWN = "a member is down", "health 0 in replSetGetStatus" => Expected::degraded("member_unhealthy");
    EDGE = "one failure from read-only", "two of three are up" => Expected::degraded("no_failure_tolerance");
    TOO_FEW = "fewer members than expected", "expect.min_members = 3" => Expected::degraded("members_missing");
    BEHIND = "a secondary is behind", "optimeDate 20 s before the primary's" => Expected::degraded("replication_lag");
    STALE = "reads are stale", "100 s behind, with expect.fresh_reads" => Expected::unfit("replication_lag");
    OTHERS_STALE = "reads of others are stale", "the same asked of the primary" => Expected::degraded("replication_lag");
    CROWDED = "connections run out", "90 of 100" => Expected::degraded("connections");
    FOUND = "the primary stands behind a secondary", "two members in the URL" => Expected::HEALTHY;
    FOUND_SECONDARY = "a secondary stands behind the primary", "two members, expect.role = secondary" => Expected::HEALTHY;
    MADE_DO = "no member of the URL is the primary", "two secondaries" => Expected::HEALTHY;
    MADE_DO_ROLE = "no member of the URL is the expected primary", "expect.role = primary, two secondaries" => Expected::unfit("role_mismatch");
    ELECTED = "another member was elected", "the primary of two stepped down beside a warm session" => Expected::HEALTHY;
    OLD = "a server that lacks hello", "version 4.2: only isMaster" => Expected::HEALTHY;
    QUIET = "a server that shuts down", "hello is answered by 91" => Expected::fails(FailureKind::NotReady);
}

const NOW: i64 = 1_800_000_000_000;

pub(super) fn hello(more: Document) -> Document {
    let mut hello = doc! {
        "isWritablePrimary": false, "secondary": true, "setName": "rs0", "primary": "a:1", "me": "b:1", "hosts": ["a:1", "b:1", "c:1"],
        "maxWireVersion": 25, "ok": 1.0,
    };
    hello.extend(more);
    hello
}

pub(super) fn primary() -> Document {
    hello(doc! { "isWritablePrimary": true, "secondary": false, "me": "a:1" })
}

/// A secondary that knows no primary.
fn headless() -> Document {
    let mut hello = hello(doc! {});
    hello.remove("primary");
    hello
}

fn member(name: &str, state: i32, behind: i64) -> Document {
    let words =
        ["STARTUP", "PRIMARY", "SECONDARY", "RECOVERING", "", "STARTUP2", "UNKNOWN", "ARBITER", "(not reachable/healthy)"];
    let health = if state == 8 { 0.0 } else { 1.0 };
    doc! {
        "name": name, "state": state, "stateStr": words[usize::try_from(state).expect("a state")], "health": health,
        "optimeDate": DateTime::from_millis(NOW - behind * 1000),
    }
}

fn status(members: Vec<Document>) -> Document {
    doc! { "set": "rs0", "term": 7_i64, "majorityVoteCount": 2, "votingMembersCount": 3, "members": members, "ok": 1.0 }
}

/// All three are up.
pub(super) fn well() -> Document {
    status(vec![member("a:1", 1, 0), member("b:1", 2, 1), member("c:1", 2, 2)])
}

#[track_caller]
fn expect(state: &State, hello: Document, status: Document, keys: Json) -> Outcome {
    let peer = Scripted::member(hello, status);
    let outcome = probe(peer.addr(), keys).run();
    check(state, &outcome);
    outcome
}

#[test]
fn a_set_is_told_of() {
    let outcome = expect(&THREE, primary(), well(), json!({}));
    for (name, value) in [
        ("role", "primary"),
        ("primary", "a:1"),
        ("set_name", "rs0"),
        ("topology", "replica_set"),
        ("members", "3"),
        ("members_healthy", "3"),
        ("replication_lag_seconds", "2"),
        ("term", "7"),
        ("connections_current", "10"),
        ("uptime_seconds", "60"),
        ("version", "8.0.4"),
    ] {
        assert_eq!(fact(&outcome, name), value, "{name}: {outcome:#?}");
    }
}

#[test]
fn roles_are_judged_only_where_one_is_expected() {
    let outcome = expect(&FOLLOWS, hello(doc! {}), well(), json!({ "expect": { "writable": true, "role": "secondary" } }));
    assert_eq!(fact(&outcome, "role"), "secondary");
    let outcome = expect(&WRONG_ROLE, hello(doc! {}), well(), json!({ "expect": { "role": "primary" } }));
    assert_eq!(outcome.findings[0].to_string(), "role_mismatch secondary of primary");
}

#[test]
fn a_set_without_a_primary_is_degraded_and_unhealthy_where_it_should_take_writes() {
    let without = || status(vec![member("a:1", 2, 0), member("b:1", 2, 0), member("c:1", 2, 0)]);
    expect(&HEADLESS, headless(), without(), json!({}));
    expect(&HEADLESS_WRITABLE, headless(), without(), json!({ "expect": { "writable": true } }));
}

/// It still answers to a member's name, and to `ping`.
#[test]
fn a_member_that_recovers_is_not_asked_to_log_anybody_in() {
    let neither = hello(doc! { "secondary": false });
    let outcome = expect(&RECOVERING, neither, well(), json!({ "username": USER, "password": PASSWORD }));
    assert_eq!(code(&outcome), Some("13436"));
    let outcome = expect(&UNINITIATED, doc! { "isreplicaset": true, "secondary": false, "ok": 1.0 }, doc! {}, json!({}));
    assert_eq!(code(&outcome), Some("94"));
}

#[test]
fn a_member_of_another_set_is_a_mistake_of_the_catalog() {
    for (state, hello, wanted) in
        [(&OTHER_SET, primary(), "rs1"), (&NO_SET, doc! { "isWritablePrimary": true, "maxWireVersion": 25, "ok": 1.0 }, "rs0")]
    {
        let peer = Scripted::member(hello, well());
        let url = format!("mongodb://{}/?replicaSet={wanted}", peer.addr());
        let outcome = probe(peer.addr(), json!({ "url": url })).run();
        check(state, &outcome);
        assert_eq!(code(&outcome), Some("set_name"));
    }
    let peer = Scripted::member(primary(), well());
    check(&THREE, &probe(peer.addr(), json!({ "url": format!("mongodb://{}/?replicaSet=rs0", peer.addr()) })).run());
}

#[test]
fn an_arbiter_holds_no_users_and_is_well_without_a_log_in() {
    let arbiter = hello(doc! { "secondary": false, "arbiterOnly": true });
    let outcome = expect(&ARBITER, arbiter, doc! {}, json!({ "username": USER, "password": PASSWORD }));
    assert_eq!((fact(&outcome, "role"), outcome.missing), ("arbiter".into(), vec![]));
}

#[test]
fn a_router_has_no_set() {
    let outcome = expect(
        &ROUTER,
        doc! { "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 25, "ok": 1.0 },
        doc! {},
        json!({}),
    );
    assert_eq!((fact(&outcome, "role"), fact(&outcome, "topology")), ("router".into(), "sharded".into()));
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn members_that_are_down_are_named() {
    let one_down = || status(vec![member("a:1", 1, 0), member("b:1", 2, 0), member("c:1", 8, 500)]);
    let outcome = expect(&DOWN, primary(), one_down(), json!({}));
    assert_eq!(outcome.findings[0].observed.to_string(), "c:1 is (not reachable/healthy)");
    assert_eq!((fact(&outcome, "members_healthy"), fact(&outcome, "replication_lag_seconds")), ("2".into(), "0".into()));
    expect(&EDGE, primary(), one_down(), json!({}));
    expect(&TOO_FEW, primary(), one_down(), json!({ "expect": { "min_members": 3 } }));
}

#[test]
fn lag_is_the_difference_of_two_clocks_of_the_servers() {
    let lagging = |behind| status(vec![member("a:1", 1, 0), member("b:1", 2, behind), member("c:1", 2, 0)]);
    let outcome = expect(&BEHIND, hello(doc! {}), lagging(20), json!({}));
    assert_eq!(outcome.findings[0].to_string(), "replication_lag 20 of 15");
    expect(&BEHIND, hello(doc! {}), lagging(20), json!({ "expect": { "fresh_reads": true } }));
    expect(&STALE, hello(doc! {}), lagging(100), json!({ "expect": { "fresh_reads": true } }));
    expect(&OTHERS_STALE, primary(), lagging(100), json!({ "expect": { "fresh_reads": true } }));
}

#[test]
fn connections_that_run_out_are_degraded() {
    let answers = [
        ("hello", primary()),
        ("replSetGetStatus", well()),
        ("serverStatus", doc! { "connections": { "current": 90_i64, "available": 10.0 }, "ok": 1 }),
        ("buildInfo", doc! { "version": "7.0.0", "ok": 1 }),
        ("find", doc! { "cursor": { "firstBatch": [] }, "ok": 1.0 }),
    ];
    let peer = Scripted::start(answers);
    let outcome = probe(peer.addr(), json!({ "degraded": { "connections": 0.85 } })).run();
    check(&CROWDED, &outcome);
    assert_eq!(outcome.findings[0].to_string(), "connections 0.9 of 0.85");
}

fn several(peers: [&Scripted; 2], expect: &Json) -> Asked {
    let url = format!("mongodb://{},{}/?replicaSet=rs0", peers[0].addr(), peers[1].addr());
    always_deep(peers[0].addr(), json!({ "url": url, "expect": expect }))
}

#[test]
fn of_several_members_the_one_that_is_looked_for_is_asked() {
    let [first, second] = [hello(doc! {}), primary()].map(|hello| Scripted::member(hello, well()));
    for (state, peers, expect, at) in [
        (&FOUND, [&first, &second], json!({}), &second),
        (&FOUND, [&second, &first], json!({ "role": "primary", "writable": true }), &second),
        (&FOUND_SECONDARY, [&second, &first], json!({ "role": "secondary" }), &first),
        (&MADE_DO, [&first, &first], json!({ "writable": true }), &first),
        (&MADE_DO_ROLE, [&first, &first], json!({ "role": "primary" }), &first),
    ] {
        let outcome = several(peers, &expect).run();
        check(state, &outcome);
        assert_eq!(fact(&outcome, "remote_address"), at.addr().to_string());
    }
}

/// The old one still answers, and its set still has a primary.
#[test]
fn an_election_turns_a_warm_session_to_the_new_primary() {
    let [first, second] = [primary(), hello(doc! {})].map(|hello| Scripted::member(hello, well()));
    let probe = several([&first, &second], &json!({ "role": "primary" }));
    check(&FOUND, &probe.run());
    first.tell("hello", hello(doc! { "primary": "b:1", "me": "a:1" }));
    second.tell("hello", hello(doc! { "isWritablePrimary": true, "secondary": false, "primary": "b:1" }));
    let outcome = probe.run();
    check(&ELECTED, &outcome);
    assert_eq!((fact(&outcome, "remote_address"), outcome.reconnected), (second.addr().to_string(), true));
}

#[test]
fn a_primary_that_was_missed_is_asked_as_soon_as_there_is_one() {
    let [first, second] = [hello(doc! {}), hello(doc! {})].map(|hello| Scripted::member(hello, well()));
    let probe = several([&first, &second], &json!({ "role": "primary" }));
    check(&MADE_DO_ROLE, &probe.run());
    second.tell("hello", primary());
    let outcome = probe.run();
    check(&ELECTED, &outcome);
    assert_eq!(fact(&outcome, "remote_address"), second.addr().to_string());
}

/// MongoDB 4.2 and older, and clones of it.
#[test]
fn a_server_that_lacks_hello_is_asked_the_old_word_and_not_taken_for_a_broken_one() {
    let peer = Scripted::start([
        ("isMaster", doc! { "ismaster": true, "maxWireVersion": 8, "ok": 1.0 }),
        ("buildInfo", doc! { "version": "4.2.24", "ok": 1.0 }),
        ("find", doc! { "cursor": { "firstBatch": [] }, "ok": 1.0 }),
        ("serverStatus", doc! { "connections": { "current": 1 }, "ok": 1.0 }),
    ]);
    let probe = always_deep(peer.addr(), json!({}));
    for kind in [SessionKind::Fresh, SessionKind::Warm] {
        let outcome = probe.run();
        check(&OLD, &outcome);
        assert_eq!((outcome.session, outcome.missing.as_slice()), (Some(kind), &["serverStatus: connections".into()][..]));
        assert_eq!((fact(&outcome, "version"), fact(&outcome, "role")), ("4.2.24".into(), "standalone".into()));
    }
    // One connection, and no second one for the library to watch by.
    assert_eq!(peer.connections(), 1);
}

/// `ping` would be answered until the end.
#[test]
fn a_server_that_announces_its_end_is_not_healthy_because_it_still_answers() {
    let quiet = doc! { "ok": 0.0, "code": 91, "codeName": "ShutdownInProgress", "errmsg": "The server is in quiesce mode" };
    let outcome = expect(&QUIET, quiet, doc! {}, json!({}));
    assert_eq!(code(&outcome), Some("91"));
}
