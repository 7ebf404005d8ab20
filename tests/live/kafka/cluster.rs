//! Three nodes, of which one or two are lost.

use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome};
use serde_json::{Value as Json, json};

use super::{entry, expect, fact, seen};
use crate::support::outcome::sees;
use crate::support::probe::Asked;
use crate::support::servers::kafka::{CANARY, Cluster};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "kafka":
    WHOLE = "a cluster of three", "three nodes, a topic on all" => Expected::HEALTHY;
    ONE_GONE = "a broker is gone", "kill -9 of one of three" => Expected::degraded("under_replicated");
    FENCED = "a broker is shut out", "the same, after its session" => Expected::degraded("broker_fenced");
    OFFLINE = "a partition without a leader", "its only replica is gone" => Expected::unfit("partitions_offline");
    SHORT = "fewer replicas in sync than writes need", "min.insync.replicas = 3, two left" => Expected::degraded("under_min_isr");
    SHORT_WRITABLE = "too few replicas in sync where writes are expected", "the same with expect.writable" => Expected::unfit("under_min_isr");
    SHORT_WRITING = "a round trip with too few replicas in sync", "the same" => Expected::fails(FailureKind::NotReady);
    MISSING_BROKER = "a broker less than expected", "expect.min_brokers = 3" => Expected::degraded("too_few_brokers");
    SILENT_VOTER = "a controller that hangs", "SIGSTOP to one of three, degraded.quorum_silence = 3s" => Expected::degraded("controller_behind");
    NO_QUORUM = "the controllers have lost their majority", "kill -9 of two of three" => Expected::degraded("no_controller");
    NO_QUORUM_WRITABLE = "no majority of controllers where writes are expected", "the same with expect.writable" => Expected::unfit("no_controller");
}

/// How long the cluster may take to agree.
const SOON: Duration = Duration::from_secs(30);

/// A probe that asks everything in every run.
fn deep(addr: std::net::SocketAddr, keys: Json) -> Asked {
    Asked::with("kafka", entry(addr, keys), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

/// Runs until something is seen.
#[track_caller]
fn until(probe: &Asked, what: &str, is_so: impl Fn(&Outcome) -> bool) -> Outcome {
    eventually(SOON, what, || Some(probe.run()).filter(|outcome| is_so(outcome)))
}

fn is_well(outcome: &Outcome) -> bool {
    outcome.failure.is_none() && outcome.findings.is_empty()
}

fn has(code: &'static str) -> impl Fn(&Outcome) -> bool {
    move |outcome| sees(code, outcome)
}

/// `Metadata` has no error for a partition with fewer replicas than writes need.
#[test]
fn a_lost_broker_is_told_by_what_it_leaves_behind() {
    if !require("kafka") {
        return;
    }
    let cluster = Cluster::start();
    let first = cluster.node(1);
    let mut client = first.client();
    client.create_topic_on("orders", &[1, 2, 3], &[("min.insync.replicas", "2")]);
    client.create_topic_on("strict", &[1, 2, 3], &[("min.insync.replicas", "3")]);
    client.create_topic_on("single", &[3], &[]);
    client.create_topic_on(CANARY, &[1, 2, 3], &[("min.insync.replicas", "3")]);
    let all = deep(first.addr(), json!({ "topics": ["orders", "strict", "single"], "expect": { "min_brokers": 3 } }));
    let outcome = until(&all, "three have agreed", is_well);
    check(&WHOLE, &outcome);
    assert_eq!((fact(&outcome, "brokers"), fact(&outcome, "brokers_reachable")), ("3".into(), "3".into()));
    assert_eq!((fact(&outcome, "quorum_voters"), fact(&outcome, "partitions_checked")), ("3".into(), "3".into()));

    cluster.node(3).process().freeze();
    let silent = deep(first.addr(), json!({ "degraded": { "disk_free": 0.0, "quorum_silence": "3s" } }));
    let outcome = until(&silent, "the silent one is told", has("controller_behind"));
    check(&SILENT_VOTER, &outcome);
    cluster.node(3).process().thaw();
    until(&all, "all is well again", is_well);

    cluster.node(3).process().kill9();
    let orders = deep(first.addr(), json!({ "topics": ["orders"] }));
    let outcome =
        until(&orders, "it is out of the partition", |outcome| has("under_replicated")(outcome) && has("broker_fenced")(outcome));
    check(&ONE_GONE, &outcome);
    assert_eq!(fact(&outcome, "partitions_under_min_isr"), "0");
    assert_eq!((seen(&outcome, "under_replicated"), seen(&outcome, "broker_fenced")), ("orders-0".into(), "broker 3".into()));
    let outcome = expect(&FENCED, first.addr(), json!({}));
    assert_eq!((fact(&outcome, "brokers"), fact(&outcome, "brokers_fenced")), ("2".into(), "1".into()));
    let outcome = expect(&OFFLINE, first.addr(), json!({ "topics": ["single", "orders"] }));
    assert_eq!((seen(&outcome, "partitions_offline"), fact(&outcome, "partitions_offline")), ("single-0".into(), "1".into()));
    let strict = first.client().all_topics();
    let strict =
        strict.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|name| &*name.0 == "strict")).expect("it is there");
    assert_eq!((strict.error_code, strict.partitions[0].error_code), (0, 0), "Metadata tells nothing");
    expect(&SHORT, first.addr(), json!({ "topics": ["strict"] }));
    expect(&SHORT_WRITABLE, first.addr(), json!({ "topics": ["strict"], "expect": { "writable": true } }));
    expect(&MISSING_BROKER, first.addr(), json!({ "expect": { "min_brokers": 3 } }));
    let writing = Asked::with("kafka", entry(first.addr(), json!({})), super::roundtrips::every_time());
    let outcome = writing.run();
    check(&SHORT_WRITING, &outcome);
    assert_eq!(super::code(&outcome), Some("19"));
}

/// After 40 seconds, too.
#[test]
fn a_cluster_without_a_majority_of_controllers_is_not_healthy_although_metadata_and_describe_cluster_say_so() {
    if !require("kafka") {
        return;
    }
    let cluster = Cluster::start();
    let first = cluster.node(1);
    first.client().create_topic_on("orders", &[1], &[]);
    let probe = deep(first.addr(), json!({ "topics": ["orders"] }));
    check(&WHOLE, &until(&probe, "three have agreed", is_well));
    cluster.node(2).process().kill9();
    cluster.node(3).process().kill9();
    let outcome = until(&probe, "nobody answers for the controllers", has("no_controller"));
    check(&NO_QUORUM, &outcome);
    let mut second_opinion = first.client();
    let metadata = second_opinion.all_topics();
    assert!(metadata.error_code == 0 && metadata.topics.iter().all(|topic| topic.error_code == 0), "{metadata:?}");
    assert!(metadata.brokers.len() > 1, "a dead broker is still there: {metadata:?}");
    let described = second_opinion.cluster();
    assert_eq!((described.error_code, described.brokers.len() > 1), (0, true), "{described:?}");
    let outcome = expect(&NO_QUORUM_WRITABLE, first.addr(), json!({ "topics": ["orders"], "expect": { "writable": true } }));
    // The dead one that is still named is found out as well.
    assert!(!seen(&outcome, "advertised_unreachable").is_empty(), "{outcome:#?}");
}
