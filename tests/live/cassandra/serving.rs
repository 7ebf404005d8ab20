//! A node that serves, or only seems to.

use serde_json::{Value as Json, json};

use super::{deep, expect, fact, observed};
use crate::support::require;
use crate::support::servers::cassandra::{Cassandra, shared};
use crate::support::truth::{Expected, check, states};

states! { "cassandra":
    NODE = "a node on its own", "mode = \"node\"" => Expected::HEALTHY;
    HERE = "in the data center that is expected", "expect.data_center" => Expected::HEALTHY;
    ELSEWHERE = "in another data center", "expect.data_center = \"dc2\"" => Expected::unfit("wrong_data_center");
    FEW = "fewer nodes than there must be", "expect.min_nodes = 3 of one" => Expected::degraded("nodes_missing");
    BOOTSTRAPPING = "a node that has not bootstrapped, and answers", "UPDATE system.local SET bootstrapped" => Expected::degraded("not_joined");
    BOOTSTRAPPING_NODE = "a node that has not bootstrapped, where it is judged", "mode = \"node\"" => Expected::unfit("not_joined");
    GOSSIP_OFF = "gossip is switched off, and the node answers at any consistency", "nodetool disablegossip" => Expected::degraded("not_joined");
    GOSSIP_OFF_NODE = "gossip is switched off, where the node is judged", "nodetool disablegossip, mode = \"node\"" => Expected::unfit("not_joined");
    GOSSIP_ON = "gossip is switched on again", "nodetool enablegossip" => Expected::HEALTHY;
}

#[test]
fn a_node_is_where_and_what_it_is_expected_to_be() {
    if !require("cassandra") {
        return;
    }
    expect(&NODE, shared().addr(), json!({ "mode": "node" }));
    expect(&HERE, shared().addr(), json!({ "expect": { "data_center": "datacenter1", "min_nodes": 1 } }));
    let outcome = expect(&ELSEWHERE, shared().addr(), json!({ "expect": { "data_center": "dc2" } }));
    assert_eq!(observed(&outcome, "wrong_data_center"), "datacenter1");
    let outcome = expect(&FEW, shared().addr(), json!({ "expect": { "min_nodes": 3 } }));
    assert_eq!(observed(&outcome, "nodes_missing"), "1");
}

/// It answers whatever it is asked; its own rows tell.
#[test]
fn a_node_outside_of_its_ring_answers_and_is_no_member() {
    if !require("cassandra") {
        return;
    }
    let server = Cassandra::start();
    server.furnish(1);
    let ask = |keys: Json| deep(server.addr(), keys).run();
    let bootstrapped = |word: &str| server.run(&format!("UPDATE system.local SET bootstrapped = '{word}' WHERE key = 'local'"));
    bootstrapped("IN_PROGRESS");
    let outcome = ask(json!({}));
    check(&BOOTSTRAPPING, &outcome);
    assert_eq!(observed(&outcome, "not_joined"), "IN_PROGRESS");
    check(&BOOTSTRAPPING_NODE, &ask(json!({ "mode": "node" })));
    bootstrapped("COMPLETED");

    server.nodetool("disablegossip");
    let outcome = ask(json!({ "consistency": "ALL" }));
    check(&GOSSIP_OFF, &outcome);
    assert_eq!((observed(&outcome, "not_joined"), fact(&outcome, "nodes_up")), ("shutdown".into(), "1".into()));
    check(&GOSSIP_OFF_NODE, &ask(json!({ "mode": "node" })));
    server.nodetool("enablegossip");
    check(&GOSSIP_ON, &ask(json!({})));
}
