//! No master, and three nodes of which some are killed or hang.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use probity_probes::{FailureKind, Status};
use serde_json::json;

use super::{KIND, Server};
use crate::live::search::{SOON, colour, expect, looking, probe};
use crate::support::outcome::{code, fact, sees};
use crate::support::probe::Asked;
use crate::support::servers::search::{Cluster, Node, Product as _};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { KIND:
    NEVER_FORMED = "a node that never had a master", "seeds that nobody is at; GET / is answered with 200" => Expected::fails(FailureKind::NotReady);
    PASSED_OVER = "a node that never had a master, before a good one in the URL", "the same, and a node that is well" => Expected::degraded("address_failing");
    THREE = "three nodes that are well", "a cluster with an index that each of them has" => Expected::HEALTHY;
    ONE_KILLED = "one of three nodes killed", "kill -9" => Expected::degraded("delayed_shards");
    ONE_MISSING = "one of three nodes killed, and all are expected", "the same with expect.min_nodes = 3" => Expected::degraded("nodes_missing");
    ONE_YELLOW = "replicas that are missing", "the same" => Expected::degraded("yellow");
    TWO_KILLED = "two of three nodes killed", "kill -9; GET / is answered with 200" => Expected::fails(FailureKind::NotReady);
    MASTER_HUNG = "a master that hangs, by way of another node", "SIGSTOP; its own health is green" => Expected::degraded("master_silent");
    MASTER_HUNG_WRITABLE = "a master that hangs, and writes must be possible", "the same with expect.writable" => Expected::unfit("master_silent");
}

/// One cluster at a time.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_front_page_is_answered_without_a_master() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::builder()
        .setting("discovery.type", "zen")
        .setting("discovery.seed_hosts", "127.0.0.1:1")
        .setting("discovery.initial_state_timeout", "1s")
        .start_alone();
    let outcome = expect(&NEVER_FORMED, &node, json!({}));
    assert_eq!(code(&outcome), Some("no_master"));
    assert_eq!(node.get("/").expect("an answer").status, 200, "that is the lie");
    let both = json!({ "url": format!("http://{},{}", node.addr(), Server::shared().addr()) });
    let outcome = Asked::new(KIND, both).run();
    check(&PASSED_OVER, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), format!("{} (not_ready)", node.addr()));
}

#[test]
fn nodes_that_are_killed_are_missed_at_once_and_welcome_again() {
    if !require(KIND) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::<Server>::start();
    let [master, second, asked] = cluster.master_first();
    asked.index("orders", &json!({ "index.number_of_replicas": 2 }));
    asked.wait_for_colour("", "green");
    let probe = looking(asked, json!({ "indices": ["orders"] }));
    let well = probe.run();
    check(&THREE, &well);
    assert_eq!(fact(&well, "number_of_nodes"), "3");

    master.process().kill9();
    let missed = || Some(probe.run()).filter(|outcome| sees("delayed_shards", outcome));
    let outcome = eventually(SOON, "the node is missed", missed);
    check(&ONE_KILLED, &outcome);
    check(&ONE_YELLOW, &outcome);
    expect(&ONE_MISSING, asked, json!({ "expect": { "min_nodes": 3 } }));

    second.process().kill9();
    let outcome = eventually(SOON, "there is no master", || Some(probe.run()).filter(|outcome| outcome.failure.is_some()));
    check(&TWO_KILLED, &outcome);
    assert_eq!(asked.get("/").expect("an answer").status, 200, "that is the lie");
    let fresh = expect(&TWO_KILLED, asked, json!({}));
    assert_eq!(code(&fresh), Some("no_master"));

    master.restart();
    second.restart();
    asked.wait_for_colour("", "green");
    eventually(SOON, "it is well again", || (probe.run().status == Status::Healthy).then_some(()));
}

#[test]
fn a_health_that_is_green_hides_a_master_that_hangs() {
    if !require(KIND) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::<Server>::start();
    let [master, other, _] = cluster.master_first();
    other.index("orders", &json!({ "index.number_of_replicas": 2 }));
    other.wait_for_colour("", "green");
    let warm = looking(other, json!({}));
    check(&THREE, &warm.run());
    master.process().freeze();
    check(&MASTER_HUNG, &warm.run());
    expect(&MASTER_HUNG_WRITABLE, other, json!({ "expect": { "writable": true } }));
    let local = other.get("/_cluster/health?local=true").expect("an answer").json();
    assert_eq!(local["status"], "green", "that is the lie");
    master.process().thaw();
    let again = || (probe(other, json!({})).run_within(Duration::from_secs(3)).status == Status::Healthy).then_some(());
    eventually(SOON, "it is well again", again);
    assert_eq!(colour(other), "green");
}
