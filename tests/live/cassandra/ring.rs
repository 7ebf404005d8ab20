//! Several nodes, of which one after the other is lost.

use std::net::SocketAddr;

use probity_probes::{FailureKind, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{code, deep, expect, fact, observed};
use crate::support::probe::Asked;
use crate::support::process::Signal;
use crate::support::servers::PASSWORD;
use crate::support::servers::cassandra::{ALL, Cassandra, Client, QUORUM, pair, ring};
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "cassandra":
    THREE = "three nodes", "three replicas, at LOCAL_QUORUM and at ALL" => Expected::HEALTHY;
    CQL_OFF = "a node that answers no application, and no other node notices", "nodetool disablebinary, the URL names it second" => Expected::degraded("contact_points_down");
    GOSSIP_OFF = "a node that others hold to be down", "nodetool disablegossip there" => Expected::degraded("peers_down");
    STOPPED = "a node that was stopped in order", "SIGTERM" => Expected::degraded("peers_down");
    TOO_MANY = "more nodes down than may be", "the same, expect.max_down_nodes = 0" => Expected::unfit("peers_down");
    NODE = "a node is well beside one that is down", "the same, mode = \"node\"" => Expected::HEALTHY;
    DIVIDED = "nodes with different versions of the schema", "CREATE TABLE while one hangs, SIGSTOP" => Expected::degraded("schema_disagreement");
    TIMEOUT = "a replica was killed, and nobody has noticed", "kill -9, read at ALL: 0x1200" => Expected::degraded("consistency_timeout");
    SILENT = "a node was killed, and nobody has noticed", "the same, at LOCAL_QUORUM: its heartbeat stands still" => Expected::degraded("peers_down");
    UNAVAILABLE = "a replica is known to be down", "the same a little later, read at ALL: 0x1000" => Expected::unfit("consistency_unavailable");
    QUORUM_LOST = "two of three nodes are lost", "kill -9 of another one, at LOCAL_QUORUM" => Expected::unfit("consistency_unavailable");
    GREEN = "two of three nodes are lost, and the node alone is asked", "the same without a canary, as a role with LOGIN only would" => Expected::HEALTHY;
    BACK = "they are back", "started again" => Expected::HEALTHY;
    UNREADABLE = "a role that the server cannot read, and refuses like a wrong password", "kill -9 of the node that holds it: 0x0100"
        => Expected::fails(FailureKind::NotReady);
    READABLE = "the node that holds it is back", "started again, and nothing has paused" => Expected::HEALTHY;
}

/// One probe of the first node that has looked before.
fn looking(nodes: &[Cassandra; 3], keys: Json) -> Asked {
    let probe = deep(nodes[0].addr(), keys);
    check(&THREE, &probe.run());
    probe
}

fn at_all() -> Json {
    json!({ "consistency": "ALL" })
}

fn url(addrs: &[SocketAddr]) -> Json {
    let hosts: Vec<_> = addrs.iter().map(SocketAddr::to_string).collect();
    json!({ "url": format!("cassandra://{}", hosts.join(",")) })
}

fn sees(outcome: Outcome, finding: &str) -> Option<Outcome> {
    outcome.findings.iter().any(|seen| seen.code == finding).then_some(outcome)
}

#[test]
fn a_ring_shrinks_and_comes_back() {
    if !require("cassandra") {
        return;
    }
    let nodes = ring();
    three_nodes_are_asked_by_one_connection(&nodes);
    a_node_without_cql_is_found_by_connecting_to_it_alone(&nodes);
    a_node_without_gossip_answers_and_others_call_it_down(&nodes);
    a_schema_that_does_not_reach_a_node_is_a_disagreement(&nodes);
    a_node_that_was_stopped_is_told_at_once(&nodes);
    a_killed_peer_goes_unreported_and_its_heartbeat_tells_sooner(&nodes);
    system_local_is_green_with_every_peer_dead(&nodes);
    nodes[1..].iter().for_each(Cassandra::restart);
    nodes[0].wait_until_whole();
    check(&BACK, &deep(nodes[0].addr(), at_all()).run());
}

fn three_nodes_are_asked_by_one_connection(nodes: &[Cassandra; 3]) {
    let probe = looking(nodes, at_all());
    let outcome = probe.run();
    assert_eq!(
        ["nodes_known", "nodes_up", "nodes_down", "schema_versions"].map(|name| fact(&outcome, name)),
        ["3", "3", "0", "1"]
    );
    let sessions = nodes.each_ref().map(Cassandra::sessions);
    assert_eq!(sessions, [Some(1), Some(0), Some(0)], "no node is connected to that was not asked for");
    probe.close();
    for consistency in ["ONE", "TWO", "THREE", "QUORUM", "LOCAL_QUORUM", "EACH_QUORUM", "LOCAL_ONE"] {
        expect(&THREE, nodes[0].addr(), json!({ "consistency": consistency }));
    }
}

fn a_node_without_cql_is_found_by_connecting_to_it_alone(nodes: &[Cassandra; 3]) {
    nodes[2].nodetool("disablebinary");
    let outcome = expect(&CQL_OFF, nodes[0].addr(), url(&nodes.each_ref().map(Cassandra::addr)));
    assert_eq!(observed(&outcome, "contact_points_down"), format!("{} (connect_refused)", nodes[2].addr()));
    check(&THREE, &deep(nodes[0].addr(), at_all()).run());
    nodes[2].nodetool("enablebinary");
}

fn a_node_without_gossip_answers_and_others_call_it_down(nodes: &[Cassandra; 3]) {
    nodes[2].nodetool("disablegossip");
    nodes[2].read_at(QUORUM).expect("it answers");
    let probe = deep(nodes[0].addr(), json!({}));
    let outcome = eventually(PATIENCE, "it is told", || sees(probe.run(), "peers_down"));
    check(&GOSSIP_OFF, &outcome);
    assert!(observed(&outcome, "peers_down").ends_with("(shutdown)"), "{outcome:#?}");
    nodes[2].nodetool("enablegossip");
    nodes[0].wait_until_whole();
}

/// Its heartbeat has not stopped long enough to tell.
fn a_schema_that_does_not_reach_a_node_is_a_disagreement(nodes: &[Cassandra; 3]) {
    nodes[2].process().freeze();
    nodes[0].run("CREATE TABLE app.divided (id text PRIMARY KEY)");
    let probe = deep(nodes[0].addr(), json!({}));
    // The other one learns it.
    let outcome = eventually(PATIENCE, "one is left", || {
        Some(deep(nodes[0].addr(), json!({})).run()).filter(|outcome| fact(outcome, "schema_versions") == "2")
    });
    check(&DIVIDED, &outcome);
    nodes[2].process().thaw();
    eventually(PATIENCE, "it has caught up", || (fact(&probe.run(), "schema_versions") == "1").then_some(()));
    nodes[0].wait_until_whole();
}

fn a_node_that_was_stopped_is_told_at_once(nodes: &[Cassandra; 3]) {
    let probe = looking(nodes, json!({}));
    nodes[2].process().signal(Signal::TERM);
    nodes[2].process().wait_exit(PATIENCE).expect("it stops");
    let outcome = probe.run();
    check(&STOPPED, &outcome);
    assert!(observed(&outcome, "peers_down").starts_with("127.0.0.3:"), "{outcome:#?}");
    assert_eq!(["nodes_known", "nodes_up", "nodes_down"].map(|name| fact(&outcome, name)), ["3", "2", "1"]);
    expect(&TOO_MANY, nodes[0].addr(), json!({ "expect": { "max_down_nodes": 0 } }));
    expect(&NODE, nodes[0].addr(), json!({ "mode": "node" }));
    nodes[2].restart();
    nodes[0].wait_until_whole();
}

/// 0x1200 says that a replica is silent, and costs the server's patience; 0x1000 that it is known to be down.
fn a_killed_peer_goes_unreported_and_its_heartbeat_tells_sooner(nodes: &[Cassandra; 3]) {
    let (quorum, all) = (looking(nodes, json!({})), looking(nodes, at_all()));
    nodes[2].process().kill9();
    let outcome = all.run();
    check(&TIMEOUT, &outcome);
    assert_eq!(observed(&outcome, "consistency_timeout"), "2");
    let silent = eventually(PATIENCE, "its heartbeat is missed", || sees(quorum.run(), "peers_down"));
    check(&SILENT, &silent);
    assert!(observed(&silent, "peers_down").ends_with("(silent)"), "{silent:#?}");
    let unnoticed = nodes[0].read_at(ALL).expect_err("a replica is missing").to_string();
    assert!(unnoticed.starts_with("0x1200"), "the ring itself has not noticed: {unnoticed}");
    let outcome = eventually(PATIENCE, "the ring has noticed", || sees(all.run(), "consistency_unavailable"));
    check(&UNAVAILABLE, &outcome);
    assert_eq!(["canary_required_replicas", "canary_alive_replicas"].map(|name| fact(&outcome, name)), ["3", "2"]);
    let took = outcome.phases.get(Phase::Query).expect("it was asked");
    assert!(took.as_secs() < 1, "it is known at once: {took:?}");
    check(&SILENT, &quorum.run());
}

/// With gossip off, too, and with the quorum gone: whatever it is asked of itself, it is well.
fn system_local_is_green_with_every_peer_dead(nodes: &[Cassandra; 3]) {
    nodes[1].process().kill9();
    let quorum = deep(nodes[0].addr(), json!({}));
    let outcome = eventually(PATIENCE, "the ring has noticed", || sees(quorum.run(), "consistency_unavailable"));
    check(&QUORUM_LOST, &outcome);
    assert_eq!(observed(&outcome, "consistency_unavailable"), "1");
    check(&GREEN, &Asked::new("cassandra", json!({ "url": format!("cassandra://{}", nodes[0].addr()), "mode": "node" })).run());
}

/// By default `system_auth` has one replica. After a wrong password the probe would pause; here it must not.
#[test]
fn a_role_that_cannot_be_read_is_no_wrong_password() {
    if !require("cassandra") {
        return;
    }
    let nodes = pair();
    // The token of this name is the second node's.
    let role = format!("CREATE ROLE IF NOT EXISTS role0 WITH LOGIN = true AND PASSWORD = '{PASSWORD}'");
    eventually(PATIENCE, "it is written", || nodes[0].client().and_then(|mut client| client.run(&role, QUORUM)).ok());
    let url = format!("cassandra://{}", nodes[0].addr());
    let probe = Asked::new("cassandra", json!({ "url": url, "username": "role0", "password": PASSWORD, "mode": "node" }));
    let log_in = || Client::log_in(nodes[0].addr(), "role0", PASSWORD);
    eventually(PATIENCE, "it is known", || log_in().ok());
    // Else it is lost with the process.
    nodes[1].nodetool("flush");
    nodes[1].process().kill9();
    let refusal = eventually(PATIENCE, "the other node has noticed", || {
        log_in().err().map(|error| error.to_string()).filter(|words| words.contains("Cannot achieve"))
    });
    assert!(refusal.starts_with("0x0100"), "it has the code of a wrong password: {refusal}");
    let outcome = probe.run();
    check(&UNREADABLE, &outcome);
    assert_eq!(code(&outcome), Some("login_unchecked"));
    nodes[1].restart();
    eventually(PATIENCE, "it can be read again", || log_in().ok());
    check(&READABLE, &probe.run());
}
