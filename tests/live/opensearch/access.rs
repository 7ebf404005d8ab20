//! Who answers.

use probity_probes::FailureKind;
use serde_json::json;

use super::{KIND, Server};
use crate::live::search::{entry, expect};
use crate::support::outcome::{code, fact};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::nginx;
use crate::support::servers::search::{Elasticsearch, Node, Product};
use crate::support::truth::{Expected, check, states};

states! { KIND:
    ITSELF = "what it is, is told", "a node as it starts" => Expected::HEALTHY;
    COMPATIBLE = "a server that calls itself 7.10.2", "compatibility.override_main_response_version" => Expected::HEALTHY;
    ELASTICSEARCH = "Elasticsearch", "the port of an Elasticsearch" => Expected::fails(FailureKind::Config);
    NGINX = "the port of another HTTP server", "an nginx" => Expected::fails(FailureKind::Protocol);
}

#[test]
fn opensearch_is_known_even_when_it_calls_itself_elasticsearch() {
    if !require(KIND) {
        return;
    }
    let outcome = expect(&ITSELF, Server::shared(), json!({}));
    assert_eq!((fact(&outcome, "distribution").as_str(), fact(&outcome, "security_status").as_str()), ("opensearch", ""));
    let node = Node::<Server>::builder().setting("compatibility.override_main_response_version", true).start();
    let outcome = expect(&COMPATIBLE, &node, json!({}));
    assert_eq!(fact(&outcome, "version"), "7.10.2");
}

#[test]
fn elasticsearch_is_not_taken_for_opensearch() {
    if !require(KIND) || !require("elasticsearch") || !require("http") {
        return;
    }
    let at = |addr| Asked::new(KIND, entry(addr, json!({}))).run();
    let outcome = at(Elasticsearch::shared().addr());
    check(&ELASTICSEARCH, &outcome);
    assert_eq!(code(&outcome), Some("elasticsearch"));
    let nowhere = format!("http://{}/nowhere", nginx::shared().http());
    check(&NGINX, &Asked::new(KIND, json!({ "url": nowhere })).run());
}
