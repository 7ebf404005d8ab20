//! A node that is well, and what it is asked of its indices.

use probity_probes::{FailureKind, Outcome, Phase, SessionKind};
use serde_json::json;

use super::{KIND, Server};
use crate::live::search::{expect, probe, tripping};
use crate::support::outcome::{code, fact};
use crate::support::require;
use crate::support::servers::search::{Node, Product};
use crate::support::truth::{Expected, check, states};

states! { KIND:
    WELL = "well", "a node as it starts" => Expected::HEALTHY;
    COUNTED = "an index with as many documents as expected", "query, and expect.value = 2" => Expected::HEALTHY;
    MISCOUNTED = "an index with another number of documents", "query, and expect.value = 3" => Expected::unfit("unexpected_value");
    NO_INDEX = "an index that does not exist", "named in indices" => Expected::fails(FailureKind::Config);
    NO_COUNTED_INDEX = "an index to count that does not exist", "named in query" => Expected::fails(FailureKind::Config);
    NO_MATCH = "a pattern that no index matches", "indices = [\"nosuch*\"]" => Expected::fails(FailureKind::Config);
    ANOTHER = "another cluster than expected", "expect.cluster_name" => Expected::unfit("another_cluster");
    TRIPPED = "a round trip", "an index probity-canary with one shard" => Expected::HEALTHY;
    NO_CANARY = "a round trip without its index", "a node without probity-canary" => Expected::fails(FailureKind::Config);
    CANARY_BLOCKED = "a round trip that is not let through", "index.blocks.write on probity-canary" => Expected::fails(FailureKind::NotReady);
}

#[test]
fn a_node_that_is_well_tells_what_it_is() {
    if !require(KIND) {
        return;
    }
    let node = Server::shared();
    let probe = probe(node, json!({ "expect": { "writable": true, "min_nodes": 1, "cluster_name": "farm" } }));
    let fresh = probe.run();
    check(&WELL, &fresh);
    for (name, value) in [
        ("cluster_name", "farm"),
        ("status_code", "0"),
        ("number_of_data_nodes", "1"),
        ("master_node", "n1"),
        ("read_only_block", "false"),
        ("rejected_total", "0"),
    ] {
        assert_eq!(fact(&fresh, name), value, "{name}: {fresh:#?}");
    }
    assert!(!fact(&fresh, "version").is_empty() && fresh.missing.is_empty(), "{fresh:#?}");
    let warm = probe.run();
    check(&WELL, &warm);
    let phases = |outcome: &Outcome| outcome.phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>();
    assert_eq!(
        (fresh.session, phases(&fresh)),
        (Some(SessionKind::Fresh), vec![Phase::Connect, Phase::Auth, Phase::Query, Phase::Deep])
    );
    assert_eq!((warm.session, phases(&warm)), (Some(SessionKind::Warm), vec![Phase::Query]));
    check(&ANOTHER, &crate::live::search::probe(node, json!({ "expect": { "cluster_name": "shop" } })).run());
}

#[test]
fn documents_are_counted() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    node.index("orders", &json!({ "index.number_of_replicas": 0 }));
    for id in [1, 2] {
        node.put(&format!("/orders/_doc/{id}?refresh=true"), &json!({ "id": id }));
    }
    expect(&COUNTED, &node, json!({ "query": "orders", "indices": ["orders"], "expect": { "value": 2 } }));
    let outcome = expect(&MISCOUNTED, &node, json!({ "query": "orders", "expect": { "value": 3 } }));
    assert_eq!(outcome.findings[0].to_string(), "unexpected_value 2 of 3");
    for (state, keys) in [
        (&NO_INDEX, json!({ "indices": ["orders", "nosuch"] })),
        (&NO_COUNTED_INDEX, json!({ "query": "nosuch" })),
        (&NO_MATCH, json!({ "indices": ["nosuch*"] })),
    ] {
        assert_eq!(code(&expect(state, &node, keys)), Some("404 index_not_found_exception"));
    }
}

/// And never makes the index that it needs: a write would.
#[test]
fn a_round_trip_leaves_nothing_behind() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    let probe = tripping(&node);
    let outcome = probe.run();
    check(&NO_CANARY, &outcome);
    assert_eq!(code(&outcome), Some("404 index_not_found_exception"));
    assert_eq!(node.get("/probity-canary").expect("an answer").status, 404);
    node.index("probity-canary", &json!({ "index.number_of_shards": 1, "index.number_of_replicas": 0 }));
    for _ in 0..3 {
        check(&TRIPPED, &probe.run());
    }
    node.send("POST", "/probity-canary/_refresh", &json!(null)).expect("an answer");
    let count = node.get("/probity-canary/_count").expect("an answer").json();
    assert_eq!(count["count"], 0);
    node.put("/probity-canary/_settings", &json!({ "index.blocks.write": true }));
    let outcome = probe.run();
    check(&CANARY_BLOCKED, &outcome);
    assert_eq!(code(&outcome), Some("403 cluster_block_exception/8"));
}
