//! Blocks, which health does not show.
use probity_probes::FailureKind;
use serde_json::json;

use super::{KIND, Server};
use crate::live::search::{SOON, colour, expect, looking, tripping};
use crate::support::outcome::{code, fact, sees};
use crate::support::servers::search::Node;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { KIND:
    READ_ONLY = "a cluster that is read-only", "cluster.blocks.read_only; health is green" => Expected::degraded("read_only");
    READ_ONLY_WRITABLE = "a cluster that is read-only, and must be writable", "the same with expect.writable" => Expected::unfit("read_only");
    READ_ONLY_TRIP = "a round trip through a cluster that is read-only", "the same with depth = roundtrip" => Expected::fails(FailureKind::NotReady);
    WRITE_BLOCK = "an index that takes no writes", "index.blocks.write on one of indices; health is green" => Expected::degraded("write_block");
    WRITE_BLOCK_WRITABLE = "an index that takes no writes, and must", "the same with expect.writable" => Expected::unfit("write_block");
    WRITE_BLOCK_ELSEWHERE = "an index of others that takes no writes", "the same, not named in indices" => Expected::HEALTHY;
    READ_BLOCK = "an index that takes no reads", "index.blocks.read on that of query" => Expected::unfit("read_block");
    CLOSED = "an index that is closed", "_close of one of indices" => Expected::fails(FailureKind::Config);
    FLOOD = "disks that are nearly full", "a flood stage that is passed; health is green" => Expected::degraded("flood_stage");
    FLOOD_WRITABLE = "disks that are nearly full, and writes must be possible", "the same with expect.writable" => Expected::unfit("flood_stage");
    FLOOD_TRIP = "a round trip onto a disk that is nearly full", "the same with depth = roundtrip" => Expected::fails(FailureKind::Overload);
}

#[test]
fn a_health_that_is_green_hides_a_cluster_that_is_read_only() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    node.index("probity-canary", &json!({ "index.number_of_replicas": 0 }));
    node.set("cluster.blocks.read_only", &json!(true));
    let outcome = expect(&READ_ONLY, &node, json!({}));
    assert_eq!((colour(&node).as_str(), fact(&outcome, "blocks").as_str()), ("green", "6"));
    expect(&READ_ONLY_WRITABLE, &node, json!({ "expect": { "writable": true } }));
    let outcome = tripping(&node).run();
    check(&READ_ONLY_TRIP, &outcome);
    assert_eq!(code(&outcome), Some("403 cluster_block_exception/6"));
}

#[test]
fn a_health_that_is_green_hides_indices_that_are_blocked() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    for name in ["orders", "users", "logs"] {
        node.index(name, &json!({ "index.number_of_replicas": 0 }));
    }
    node.put("/orders/_settings", &json!({ "index.blocks.write": true }));
    let outcome = expect(&WRITE_BLOCK, &node, json!({ "indices": ["orders", "users"] }));
    assert_eq!((colour(&node).as_str(), outcome.findings[0].to_string().as_str()), ("green", "write_block orders"));
    expect(&WRITE_BLOCK_WRITABLE, &node, json!({ "indices": ["orders"], "expect": { "writable": true } }));
    for keys in [json!({}), json!({ "indices": ["users"] })] {
        expect(&WRITE_BLOCK_ELSEWHERE, &node, keys);
    }
    node.put("/users/_settings", &json!({ "index.blocks.read": true }));
    // The index is blocked for the question, too, which is then refused.
    let keys = json!({ "indices": ["users"] });
    expect(&READ_BLOCK, &node, keys);
    let closed = node.send("POST", "/logs/_close", &json!(null)).expect("an answer");
    assert_eq!(closed.status, 200, "{closed:?}");
    assert_eq!(code(&expect(&CLOSED, &node, json!({ "indices": ["logs"] }))), Some("index_closed"));
}

/// The server looks at its disks every ten seconds at most, and says so some looks later.
#[test]
fn a_health_that_is_green_hides_disks_that_are_nearly_full() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    node.index("probity-canary", &json!({ "index.number_of_replicas": 0 }));
    let disk = "cluster.routing.allocation.disk";
    let limits = json!({
        format!("{disk}.threshold_enabled"): true,
        format!("{disk}.watermark.low"): "9000gb",
        format!("{disk}.watermark.high"): "8999gb",
        format!("{disk}.watermark.flood_stage"): "8998gb",
        "cluster.info.update.interval": "10s",
    });
    node.put("/_cluster/settings", &json!({ "transient": limits }));
    let probe = looking(&node, json!({}));
    let full = || Some(probe.run()).filter(|outcome| sees("flood_stage", outcome));
    let outcome = eventually(SOON * 2, "the flood stage is passed", full);
    check(&FLOOD, &outcome);
    assert_eq!(colour(&node), "green");
    expect(&FLOOD_WRITABLE, &node, json!({ "indices": ["probity-canary"], "expect": { "writable": true } }));
    let outcome = tripping(&node).run();
    check(&FLOOD_TRIP, &outcome);
    assert_eq!(code(&outcome), Some("429 cluster_block_exception/12"));
    let blocks_creation = sees("create_index_blocked", &expect(&FLOOD, &node, json!({})));
    assert_eq!(blocks_creation, KIND == "opensearch", "only OpenSearch says that no index can be made");
}
