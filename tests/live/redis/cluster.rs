//! A node of a cluster, and what it thinks of the others.

use probity_probes::{FailureKind, Outcome};
use serde_json::json;

use super::{SOON, code, entry, expect, fact};
use crate::support::probe::Asked;
use crate::support::servers::redis::{self, Redis};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, free_port, require};

states! { "redis":
    WHOLE = "a cluster that is well", "three nodes with all slots" => Expected::HEALTHY;
    DOWN = "a cluster without its slots", "cluster-enabled alone" => Expected::unfit("cluster_down");
    BROKEN = "a cluster that has lost a node", "kill -9 of one of three" => Expected::unfit("cluster_down");
    HOLED = "a cluster that has lost a node and goes on", "the same with cluster-require-full-coverage no" => Expected::degraded("cluster_slots_failing");
    UNFINISHED = "a cluster with slots that nobody has", "100 slots and cluster-require-full-coverage no" => Expected::degraded("cluster_slots_unassigned");
    BLIND = "a cluster that does not tell of itself", "a user without CLUSTER INFO" => Expected::HEALTHY;
    SEEDS = "a cluster by its nodes", "redis+cluster:// and three nodes" => Expected::HEALTHY;
    SEED_GONE = "a node that the URL names is down, and the cluster goes on", "cluster-require-full-coverage no, the first of three killed" => Expected::degraded("seeds_failing");
    SPLIT = "nodes that disagree about the cluster", "CLUSTER RESET of one of three, the others go on" => Expected::degraded("cluster_view_split");
    NO_CLUSTER = "a server that is no node of a cluster", "redis+cluster:// to a single server" => Expected::fails(FailureKind::Config);
    DATABASE = "a database of a cluster", "database 1 with cluster-enabled" => Expected::fails(FailureKind::Config);
}

/// A node that does not know of others, with a quick eye for their loss.
fn node() -> redis::Builder {
    let settings = ["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-config-file nodes.conf"];
    let node = settings.into_iter().fold(Redis::builder(), redis::Builder::setting);
    node.setting(format!("cluster-port {}", free_port()))
}

/// Three nodes that share all slots.
pub(super) fn cluster() -> [Redis; 3] {
    let nodes = [(); 3].map(|()| node().start());
    for (node, slots) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
        assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]), "OK");
    }
    let [first, others @ ..] = &nodes;
    for other in others {
        let port = other.addr().port().to_string();
        let bus = other.command(&["CONFIG", "GET", "cluster-port"]);
        let bus = bus.lines().last().unwrap_or_default();
        assert_eq!(first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]), "OK");
    }
    for node in &nodes {
        until_cluster_says(node, "cluster_state:ok");
    }
    nodes
}

#[track_caller]
fn until_cluster_says(node: &Redis, line: &str) {
    eventually(SOON, line, || node.command(&["CLUSTER", "INFO"]).contains(line).then_some(()));
}

#[test]
fn a_node_without_a_cluster_is_unhealthy() {
    if !require("redis") {
        return;
    }
    let server = redis::cluster_down();
    let outcome = expect(&DOWN, &server, json!({}));
    assert_eq!((fact(&outcome, "cluster_state_ok").as_str(), fact(&outcome, "mode").as_str()), ("false", "cluster"));
    let outcome = Asked::new("redis", json!({ "url": format!("redis://{}/1", server.addr()) })).run();
    check(&DATABASE, &outcome);
    assert!(code(&outcome).is_some_and(|code| code.starts_with("ERR SELECT is not allowed")), "{outcome:#?}");
}

#[test]
fn a_cluster_that_loses_a_node_is_unhealthy_unless_it_goes_on() {
    if !require("redis") {
        return;
    }
    let [first, second, third] = cluster();
    let outcome: Outcome = expect(&WHOLE, &first, json!({}));
    assert_eq!((fact(&outcome, "cluster_slots_ok").as_str(), fact(&outcome, "cluster_known_nodes").as_str()), ("16384", "3"));
    third.process().kill9();
    until_cluster_says(&first, "cluster_state:fail");
    expect(&BROKEN, &first, json!({}));
    for node in [&first, &second] {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    until_cluster_says(&first, "cluster_state:ok");
    expect(&HOLED, &first, json!({}));
}

#[test]
fn a_cluster_with_slots_that_nobody_has_is_degraded() {
    if !require("redis") {
        return;
    }
    let server = node().setting("cluster-require-full-coverage no").start();
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "99"]);
    until_cluster_says(&server, "cluster_state:ok");
    expect(&UNFINISHED, &server, json!({}));
}

#[test]
fn a_cluster_that_does_not_tell_of_itself_lowers_coverage() {
    if !require("redis") {
        return;
    }
    let server = node().user("~* +@connection +ping +info").start();
    let outcome = Asked::new("redis", entry(server.addr(), json!({ "username": USER, "password": PASSWORD }))).run();
    check(&BLIND, &outcome);
    assert_eq!(outcome.missing, ["CLUSTER INFO"]);
}

/// A probe of a cluster by its nodes.
fn by_seeds(nodes: &[&Redis]) -> Asked {
    let hosts: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
    Asked::new("redis", json!({ "url": format!("redis+cluster://{}", hosts.join(",")) }))
}

#[test]
fn a_cluster_is_asked_at_every_node_that_the_url_names() {
    if !require("redis") {
        return;
    }
    let [first, second, third] = cluster();
    let outcome = by_seeds(&[&first, &second, &third]).run();
    check(&SEEDS, &outcome);
    assert_eq!((fact(&outcome, "seeds_answering").as_str(), fact(&outcome, "mode").as_str()), ("3", "cluster"));
    for node in [&first, &second, &third] {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    third.command(&["CLUSTER", "RESET", "HARD"]);
    third.command(&["CONFIG", "SET", "cluster-require-full-coverage", "yes"]);
    until_cluster_says(&third, "cluster_state:fail");
    check(&SPLIT, &by_seeds(&[&first, &second, &third]).run());
    check(&SPLIT, &by_seeds(&[&second, &third]).run());

    first.process().kill9();
    let outcome = by_seeds(&[&first, &second]).run();
    check(&SEED_GONE, &outcome);
    assert!(outcome.findings.iter().any(|finding| finding.code == "address_failing"), "{outcome:#?}");
}

#[test]
fn a_server_without_a_cluster_is_not_taken_for_one() {
    if !require("redis") {
        return;
    }
    check(&NO_CLUSTER, &by_seeds(&[&Redis::start()]).run());
}
