//! Own questions: a key, its value and its rows.

use probity_probes::{FailureKind, Phase};
use serde_json::{Value as Json, json};

use super::{code, expect, probe};
use crate::support::require;
use crate::support::servers::redis::{self, Redis};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};

states! { "redis":
    RIGHT = "a key with the expected value", "query, expect.value" => Expected::HEALTHY;
    OTHER = "a key with another value", "the same" => Expected::unfit("unexpected_value");
    GONE = "a key that is gone", "the same, and no such key" => Expected::unfit("unexpected_value");
    UNWANTED = "a key that should not exist", "query, expect.rows = 0" => Expected::unfit("unexpected_rows");
    FEW = "fewer elements than expected", "query of a list, expect.rows" => Expected::unfit("unexpected_rows");
    NO_STRING = "a list where a string is expected", "query of a list, expect.value" => Expected::unfit("unexpected_value");
    LONG = "a value of 50 MB where a short one is expected", "the same" => Expected::unfit("unexpected_value");
    FORBIDDEN = "a key that the user may not read", "query, and an ACL without it" => Expected::fails(FailureKind::Permission);
    UNSAVED = "cannot persist, and a key is looked up", "BGSAVE into /proc, query" => Expected::degraded("persistence_blocks_writes");
    ELSEWHERE = "a key that another node of a cluster has", "query on one of three nodes" => Expected::fails(FailureKind::Config);
    NOWHERE = "a key of a cluster that is down", "query on a node without a cluster" => Expected::fails(FailureKind::NotReady);
}

/// The keys that ask for a key.
fn asking(key: &str, expect: &Json) -> Json {
    json!({ "query": key, "expect": expect })
}

/// What the finding about the answer observed.
#[track_caller]
fn observed(outcome: &probity_probes::Outcome) -> String {
    outcome.findings.iter().find(|finding| finding.code.starts_with("unexpected_")).expect("it is found").observed.to_string()
}

#[test]
fn a_value_is_right_wrong_or_missing() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    server.command(&["SET", "switch", "open"]);
    let outcome = expect(&RIGHT, &server, asking("switch", &json!({ "value": "open", "rows": 1 })));
    let phases: Vec<_> = outcome.phases.iter().map(|(phase, _)| phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Auth, Phase::Query, Phase::Deep]);
    let outcome = expect(&OTHER, &server, asking("switch", &json!({ "value": "shut" })));
    assert_eq!((observed(&outcome).as_str(), outcome.findings[0].threshold.clone()), ("open", Some("shut".into())));
    let warm = probe(&server, asking("switch", &json!({ "value": "open" })));
    check(&RIGHT, &warm.run());
    server.command(&["DEL", "switch"]);
    let outcome = warm.run();
    check(&GONE, &outcome);
    assert_eq!(observed(&outcome), "nothing");
    expect(&RIGHT, &server, asking("switch", &json!({ "rows": 0 })));
    server.command(&["SET", "switch", "3"]);
    expect(&RIGHT, &server, asking("switch", &json!({ "value": 3 })));
    expect(&UNWANTED, &server, asking("switch", &json!({ "rows": 0 })));
    expect(&RIGHT, &server, asking("switch", &json!({})));
}

#[test]
fn every_type_has_rows() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    for fill in [
        &["RPUSH", "list", "a", "b", "c"][..],
        &["SADD", "set", "a", "b", "c"],
        &["ZADD", "zset", "1", "a", "2", "b", "3", "c"],
        &["HSET", "hash", "a", "1", "b", "2", "c", "3"],
        &["XADD", "stream", "1-1", "a", "1"],
        &["XADD", "stream", "1-2", "a", "1"],
        &["XADD", "stream", "1-3", "a", "1"],
    ] {
        server.command(fill);
    }
    for key in ["list", "set", "zset", "hash", "stream"] {
        expect(&RIGHT, &server, asking(key, &json!({ "rows": 3, "value": format!("({key})") })));
        assert_eq!(observed(&expect(&FEW, &server, asking(key, &json!({ "rows": 4 })))), "3");
    }
    assert_eq!(observed(&expect(&NO_STRING, &server, asking("list", &json!({ "value": "a" })))), "(list)");
}

#[test]
fn a_long_value_is_not_fetched() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    server.command(&["SETRANGE", "long", "50000000", "x"]);
    let sent = || {
        let info = server.command(&["INFO", "stats"]);
        let sent = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        sent.and_then(|sent| sent.trim().parse::<u64>().ok()).expect("INFO has it")
    };
    let before = sent();
    expect(&LONG, &server, asking("long", &json!({ "value": "short", "rows": 1 })));
    assert!(sent() - before < 50_000, "{} bytes", sent() - before);
    server.command(&["SET", "longest", &"x".repeat(4096)]);
    expect(&RIGHT, &server, asking("longest", &json!({ "value": "x".repeat(4096) })));
    server.command(&["APPEND", "longest", "x"]);
    expect(&LONG, &server, asking("longest", &json!({ "value": "x".repeat(4096) })));
}

#[test]
fn a_key_that_may_not_be_read_is_refused_in_the_query() {
    if !require("redis") {
        return;
    }
    let rights = "%R~switch +@connection +info +ping +type +getrange";
    let server = Redis::builder().user(rights).start();
    server.command(&["SET", "switch", "open"]);
    let as_user = |key: &str| json!({ "username": USER, "password": PASSWORD, "query": key, "expect": { "value": "open" } });
    expect(&RIGHT, &server, as_user("switch"));
    let outcome = expect(&FORBIDDEN, &server, as_user("other"));
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("NOPERM"), Some(Phase::Query)));
}

#[test]
fn ping_is_asked_beside_a_key() {
    if !require("redis") {
        return;
    }
    let server = redis::misconfigured();
    expect(&UNSAVED, &server, asking("key", &json!({ "value": "value" })));
    let outcome = expect(&NOWHERE, &redis::cluster_down(), asking("key", &json!({})));
    assert_eq!(code(&outcome), Some("CLUSTERDOWN"));
}

#[test]
fn a_key_of_a_cluster_is_on_one_of_its_nodes() {
    if !require("redis") {
        return;
    }
    let nodes = super::cluster::cluster();
    // Slot 11412, of the third.
    for (node, state) in nodes.iter().zip([&ELSEWHERE, &ELSEWHERE, &RIGHT]) {
        let outcome = expect(state, node, asking("switch", &json!({ "rows": 0 })));
        assert_eq!(code(&outcome), outcome.failure.is_some().then_some("MOVED"));
    }
}
