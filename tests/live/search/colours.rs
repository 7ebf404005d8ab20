//! Yellow and red, and searches that are answered by some of their shards.

use probity_probes::{Outcome, Status};
use serde_json::json;

use super::{KIND, Server};
use crate::live::search::expect;
use crate::support::agent::Agent;
use crate::support::outcome::{code, fact, sees};
use crate::support::servers::search::{ELSEWHERE, Node};
use crate::support::truth::{Expected, states};
use crate::support::{PATIENCE, eventually, require};

states! { KIND:
    YELLOW_ALONE = "yellow, as a single node must be", "an index with a replica" => Expected::HEALTHY;
    YELLOW = "yellow, and replicas are expected", "the same with expect.replicas" => Expected::degraded("yellow");
    RED = "red", "an index whose shard nobody may have" => Expected::unfit("red");
    RED_OURS = "red by an index of ours", "the same, named in indices" => Expected::unfit("search_failing");
    RED_ELSEWHERE = "red by an index of others", "the same, another one named in indices" => Expected::degraded("red");
    HALF = "a search that half of its shards answer, with status 200", "an alias of two indices, one of them red" => Expected::unfit("partial_results");
    RED_COUNT = "a count of an index that is red", "query, and no shard" => Expected::fails(probity_probes::FailureKind::NotReady);
}

/// A node with an index that is yellow, and what more is told.
fn yellow() -> Node<Server> {
    let node = Node::start();
    node.index("orders", &json!({ "index.number_of_replicas": 1 }));
    node.put("/orders/_doc/1?refresh=true", &json!({ "id": 1 }));
    node
}

#[test]
fn yellow_is_the_best_that_a_node_alone_can_be() {
    if !require(KIND) {
        return;
    }
    let node = yellow();
    assert_eq!(fact(&expect(&YELLOW_ALONE, &node, json!({})), "status_code"), "1");
    let outcome = expect(&YELLOW, &node, json!({ "expect": { "replicas": true }, "hold": { "yellow": "5s" } }));
    let [finding] = &outcome.findings[..] else { panic!("{outcome:#?}") };
    assert_eq!((finding.to_string().as_str(), finding.hold.as_secs()), ("yellow 1", 5));
}

#[test]
fn a_search_that_answers_200_with_half_its_shards_is_no_answer() {
    if !require(KIND) {
        return;
    }
    let node = yellow();
    node.index("gone", &json!({ "index.number_of_replicas": 0, ELSEWHERE: "nobody" }));
    for index in ["orders", "gone"] {
        node.put(&format!("/{index}/_alias/both"), &json!(null));
    }
    let red = expect(&RED, &node, json!({}));
    assert_eq!(fact(&red, "status_code"), "2");
    expect(&RED_ELSEWHERE, &node, json!({ "indices": ["orders"] }));
    assert!(sees("red", &expect(&RED_OURS, &node, json!({ "indices": ["gone"] }))));
    assert_eq!(code(&expect(&RED_COUNT, &node, json!({ "query": "gone" }))), Some("503 search_phase_execution_exception"));

    let searched = node.get("/both/_search?size=0").expect("an answer");
    assert_eq!(searched.status, 200, "that is the lie");
    let told = |outcome: &Outcome| outcome.findings.iter().find(|seen| seen.code == "partial_results").map(ToString::to_string);
    let outcome = expect(&HALF, &node, json!({ "indices": ["both"] }));
    assert_eq!(told(&outcome).as_deref(), Some("partial_results 1 of 2"));
    // Half a count is not held against anything.
    let outcome = expect(&HALF, &node, json!({ "query": "both", "expect": { "value": 7 } }));
    assert!(told(&outcome).is_some() && !sees("unexpected_value", &outcome), "{outcome:#?}");

    node.put("/gone/_settings", &json!({ ELSEWHERE: null }));
    node.wait_for_colour("/gone", "green");
    assert_eq!(crate::live::search::probe(&node, json!({ "indices": ["both"] })).run().status, Status::Healthy);
}

/// A single look says it at once; the agent looks again before it believes it.
#[test]
fn red_for_a_moment_is_no_outage() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    let times = "interval = \"1s\"\ntimeout = \"900ms\"\nrise = 1\nhold = { red = \"10s\" }";
    let agent = Agent::start(&format!("[dependencies.shop]\nbackend = \"{KIND}\"\nurl = \"http://{}\"\n{times}\n", node.addr()));
    let shop = |what: &str, field: &str, value: &str| {
        agent.wait_for(what, PATIENCE, |health| health["dependencies"][0][field] == value)["dependencies"][0].clone()
    };
    shop("it is well", "status", "healthy");
    let raw =
        format!("probity_run_status{{dependency=\"shop\",backend=\"{KIND}\",criticality=\"optional\",status=\"unhealthy\"}}");
    let is_red = |is: u8| agent.get("/metrics").body.lines().any(|line| line == format!("{raw} {is}"));
    node.index("gone", &json!({ "index.number_of_replicas": 0, ELSEWHERE: "nobody" }));
    eventually(PATIENCE, "a run has seen it", || is_red(1).then_some(()));
    node.put("/gone/_settings", &json!({ ELSEWHERE: null }));
    eventually(PATIENCE, "a run has seen that it is over", || is_red(0).then_some(()));
    assert!(!agent.log().contains("is unhealthy"), "{}", agent.log());
    node.index("lost", &json!({ "index.number_of_replicas": 0, ELSEWHERE: "nobody" }));
    let shop = shop("it is believed in the end", "status", "unhealthy");
    assert_eq!(shop["findings"][0]["code"], "red", "{shop:#}");
}
