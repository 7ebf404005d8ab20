//! A database that serves, or only seems to.

use std::time::Duration;

use probity_probes::testing::Peer;
use probity_probes::{FailureKind, Phase};
use serde_json::json;

use super::{code, deep, expect, fact, observed, probe};
use crate::support::probe::Asked;
use crate::support::servers::neo4j::{Neo4j, script, shared};
use crate::support::truth::{Expected, check, states};
use crate::support::{free_port, require};

states! { "neo4j":
    COLD = "just started", "it was asked once" => Expected::HEALTHY;
    ROUTED = "asked as applications that are routed", "neo4j://" => Expected::HEALTHY;
    WRITABLE = "writable", "expect.writable" => Expected::HEALTHY;
    ADVERTISED = "a useless address is advertised, and the server is alone", "neo4j://, which it routes to where we came" => Expected::HEALTHY;
    ASTRAY = "a routing table that leads nowhere", "neo4j://, a peer that names a server which is not there"
        => Expected::unfit("route_unreachable");
    PARTLY = "a routing table that leads somewhere, too", "the same, and another that is there"
        => Expected::degraded("route_unreachable");
    DIRECT = "the same, where nobody is routed", "bolt://" => Expected::HEALTHY;
    UNKNOWN = "a database that does not exist", "?database=nosuch" => Expected::fails(FailureKind::Config);
    FAILED = "a database that failed to start", "its store is overwritten while it is down" => Expected::fails(FailureKind::NotReady);
    OTHER = "another database failed to start", "the same, asked SHOW DATABASES in ?database=system" => Expected::HEALTHY;
}

/// Its plan is made by code that has never run; no application feels that for long.
#[test]
fn the_first_question_after_a_start_is_slow_and_nothing_is_degraded() {
    if !require("neo4j") {
        return;
    }
    let server = Neo4j::builder().cold().start();
    let probe = probe(&server, json!({ "query": "MATCH (n:Order) WHERE n.open RETURN count(n)" }));
    // How long it takes is a matter of the machine.
    let outcome = probe.run_within(Duration::from_mins(1));
    assert_eq!((outcome.failure.as_ref(), outcome.findings.len()), (None, 0), "{outcome:#?}");
    let took = |phase| outcome.phases.get(phase).expect("it happened");
    assert!(took(Phase::Auth) > 2 * took(Phase::Query), "{outcome:#?}");
    check(&COLD, &probe.run());
}

/// What it advertises counts only for servers that are not asked themselves.
#[test]
fn a_lone_server_routes_to_where_we_came() {
    if !require("neo4j") {
        return;
    }
    let outcome = expect(&ROUTED, shared(), json!({ "url": format!("neo4j://{}", shared().addr()) }));
    assert_eq!(["routing_writers", "routing_ttl_seconds"].map(|name| fact(&outcome, name)), ["1", "300"]);
    expect(&WRITABLE, shared(), json!({ "expect": { "writable": true } }));
    let server = Neo4j::builder().setting(format!("server.bolt.advertised_address=127.0.0.1:{}", free_port())).start();
    expect(&ADVERTISED, &server, json!({ "url": format!("neo4j://{}", server.addr()) }));
}

#[test]
fn a_routing_table_must_lead_somewhere() {
    let nobody = format!("127.0.0.1:{}", free_port());
    let columns = ["name", "role", "writer", "requestedStatus", "currentStatus"];
    let row = json!(["neo4j", "primary", true, "online", "online"]);
    let asked_and_told = |script, servers: &[&str]| {
        script::asked(script).say([script::table(servers), script::answer(&["1"], &[json!([1])])].concat())
    };
    let talk = |servers: &[&str]| {
        let script = asked_and_told(asked_and_told(script::let_in(), servers), servers);
        script.wait_for("SHOW DATABASES").wait_for([0xf4, 0, 0]).say(script::answer(&columns, std::slice::from_ref(&row)))
    };
    let ask = |scheme: &str, peer: &Peer| Asked::new("neo4j", json!({ "url": format!("{scheme}://{}", peer.addr()) })).run();
    let outcome = ask("neo4j", &Peer::start([talk(&[&nobody])]));
    check(&ASTRAY, &outcome);
    assert_eq!(observed(&outcome, "route_unreachable"), nobody);
    check(&DIRECT, &ask("bolt", &Peer::start([talk(&[&nobody])])));
    let other = Peer::start([script::agreed().wait_for([0xb0, 0x02, 0, 0]).close()]);
    let outcome = ask("neo4j", &Peer::start([talk(&[&nobody, &other.addr().to_string()])]));
    check(&PARTLY, &outcome);
}

#[test]
fn a_database_that_does_not_exist_is_a_mistake_of_the_catalog() {
    if !require("neo4j") {
        return;
    }
    let outcome = expect(&UNKNOWN, shared(), json!({ "url": format!("bolt://{}?database=nosuch", shared().addr()) }));
    assert_eq!(
        (code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)),
        (Some("ClientError.Database.DatabaseNotFound"), Some(Phase::Query))
    );
}

/// `RETURN 1` alone would wait for two seconds.
#[test]
fn a_database_that_failed_is_told_at_once_although_the_log_in_succeeds() {
    if !require("neo4j") {
        return;
    }
    let mut server = Neo4j::start();
    server.break_database();
    let outcome = expect(&FAILED, &server, json!({}));
    assert_eq!(
        (code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)),
        (Some("TransientError.General.DatabaseUnavailable"), Some(Phase::Query))
    );
    assert!(outcome.duration < Duration::from_secs(1), "{:?}", outcome.duration);
    assert_eq!(fact(&outcome, "process_alive"), "true");
    // A command has no plan that could be made before it is timed.
    server.rows("system", "SHOW DATABASES");
    let probe = deep(&server, json!({ "url": format!("bolt://{}?database=system", server.addr()), "query": "SHOW DATABASES" }));
    let outcome = probe.run_within(super::SOON);
    check(&OTHER, &outcome);
    assert_eq!(["databases_online", "databases_not_online"].map(|name| fact(&outcome, name)), ["1", "1"]);
}
