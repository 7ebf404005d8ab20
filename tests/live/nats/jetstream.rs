//! `JetStream`: off, on, without a leader.

use std::time::Duration;

use probity_probes::{FailureKind, Options};
use serde_json::{Value, json};

use super::{entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::nats::{Cluster, Nats};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "nats":
    OFF = "JetStream is off", "not configured, and not expected" => Expected::HEALTHY;
    OFF_BUT_EXPECTED = "JetStream is off where it is expected", "expect.jetstream" => Expected::unfit("jetstream_off");
    CLUSTER = "a cluster, well", "three servers" => Expected::HEALTHY;
    CLUSTER_SMALL = "a cluster lacks a server", "one of three killed, expect.min_servers = 3"
        => Expected::degraded("cluster_size");
    NO_LEADER = "JetStream has no leader", "two of three killed" => Expected::degraded("no_meta_leader");
    NO_LEADER_BUT_EXPECTED = "JetStream has no leader where it is expected", "two of three killed, expect.jetstream"
        => Expected::unfit("no_meta_leader");
    GONE = "the server is gone", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
}

#[test]
fn jetstream_counts_only_where_it_is_expected() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().start();
    let outcome = expect(&OFF, server.addr(), json!({}));
    assert_eq!(fact(&outcome, "jetstream"), "false");
    expect(&OFF_BUT_EXPECTED, server.addr(), json!({ "expect": { "jetstream": true } }));
}

/// The keys for a member of the cluster.
fn member(node: &Nats, expect: &Value) -> Value {
    let url = format!("http://{}", node.monitor());
    entry(node.addr(), json!({ "username": USER, "password": PASSWORD, "monitor": url, "expect": expect }))
}

#[test]
fn a_cluster_loses_a_server_and_then_its_leader() {
    if !require("nats") {
        return;
    }
    let cluster = Cluster::start();
    let leader = cluster.leader().expect("a healthy cluster has a leader");
    let mut others = cluster.nodes.iter().filter(|node| node.addr() != leader.addr());
    let (node, follower) = others.next().zip(others.next()).expect("there are three");
    let deep = Options { deep_interval: Duration::ZERO, ..Options::default() };
    let ask = |expect: Value| Asked::with("nats", member(node, &expect), deep.clone());
    let sized = ask(json!({ "min_servers": 3, "jetstream": true }));
    let outcome = eventually(Duration::from_secs(10), "the node knows of all three", || {
        Some(sized.run()).filter(|outcome| outcome.findings.is_empty())
    });
    check(&CLUSTER, &outcome);
    assert_eq!((fact(&outcome, "connect_urls"), fact(&outcome, "cluster_name")), ("3".into(), "t".into()));
    assert!(fact(&outcome, "meta_leader").starts_with('s'), "{outcome:#?}");
    follower.process().kill9();
    // The live connection is told that a server is gone.
    let outcome = eventually(Duration::from_secs(10), "the lost server is missed", || {
        Some(sized.run()).filter(|outcome| outcome.findings.iter().any(|finding| finding.code == "cluster_size"))
    });
    check(&CLUSTER_SMALL, &outcome);
    let loose = ask(json!({}));
    check(&CLUSTER, &loose.run());
    leader.process().kill9();
    let found = |probe: &Asked, state: &State| {
        let outcome = eventually(Duration::from_secs(40), "the lost leader is missed", || {
            Some(probe.run()).filter(|outcome| outcome.findings.iter().any(|finding| finding.code == "no_meta_leader"))
        });
        check(state, &outcome);
        assert_eq!(outcome.findings.iter().filter(|finding| finding.code == "no_meta_leader").count(), 1, "{outcome:#?}");
    };
    found(&loose, &NO_LEADER);
    found(&ask(json!({ "jetstream": true })), &NO_LEADER_BUT_EXPECTED);
    check(&GONE, &probe(leader.addr(), json!({})).run());
}
