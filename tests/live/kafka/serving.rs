//! One broker: its topics, its address, its disk, its controller.

use std::time::Duration;

use probity_probes::FailureKind;
use serde_json::json;

use super::{code, expect, fact, probe, seen};
use crate::support::servers::kafka::{CANARY, Client, Cluster, Kafka, shared};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, peers, require};

states! { "kafka":
    NO_TOPIC = "a topic that is not there", "topics = [\"nowhere\"]" => Expected::fails(FailureKind::Config);
    TOO_FEW = "fewer brokers than expected", "expect.min_brokers = 2 of one" => Expected::degraded("too_few_brokers");
    HIDDEN = "an address that cannot be reached from here", "advertised.listeners with a closed port"
        => Expected::degraded("advertised_unreachable");
    HIDDEN_LEADER = "the same of the leader of a topic", "topics beside it" => Expected::unfit("advertised_unreachable");
    MUTE = "an address where nobody answers", "advertised.listeners with a port that swallows everything"
        => Expected::degraded("advertised_unreachable");
    BROKEN_DIR = "a folder that failed", "a file where the second of two log.dirs should be" => Expected::degraded("log_dir_failed");
    LOW_DISK = "a disk that is filling", "degraded.disk_free = 1.0" => Expected::degraded("disk_low");
    NO_CONTROLLER = "no controller answers", "SIGSTOP to the only one, apart from the broker" => Expected::degraded("no_controller");
    NO_CONTROLLER_WRITABLE = "no controller where writes are expected", "the same with expect.writable" => Expected::unfit("no_controller");
    CONTROLLER_BACK = "the controller is back", "SIGCONT" => Expected::HEALTHY;
    AT_CONTROLLER = "the port of a controller", "its URL" => Expected::fails(FailureKind::Config);
}

/// `auto.create.topics.enable` is on, as it is by default.
#[test]
fn a_topic_that_is_not_there_is_a_mistake_and_is_not_made() {
    if !require("kafka") {
        return;
    }
    let before = shared().client().topic_names();
    let outcome = expect(&NO_TOPIC, shared().addr(), json!({ "topics": ["orders", "nowhere"] }));
    assert_eq!(code(&outcome), Some("3"));
    let words = outcome.failure.and_then(|failure| failure.server_message);
    assert_eq!(words.as_deref(), Some("there is no topic nowhere"));
    expect(&TOO_FEW, shared().addr(), json!({ "expect": { "min_brokers": 2 } }));
    assert_eq!(shared().client().topic_names(), before);
    assert_eq!(before, ["orders", CANARY]);
}

#[test]
fn an_address_that_only_the_broker_knows_is_found_although_the_url_works() {
    if !require("kafka") {
        return;
    }
    let (closed, hole) = (peers::refused(), peers::black_hole());
    let server = Kafka::builder().advertise("PLAINTEXT", closed.addr().port()).advertise("SASL", hole.addr().port()).start();
    server.client().create_topic("orders", 1, 1, &[]);
    let outcome = expect(&HIDDEN, server.addr(), json!({}));
    assert_eq!(seen(&outcome, "advertised_unreachable"), format!("broker 1 at {} (connect_refused)", closed.addr()));
    assert_eq!((fact(&outcome, "brokers"), fact(&outcome, "brokers_reachable")), ("1".into(), "0".into()));
    expect(&HIDDEN_LEADER, server.addr(), json!({ "topics": ["orders"] }));
    let outcome = expect(&MUTE, server.at("SASL"), super::as_user(crate::support::servers::USER));
    assert_eq!(seen(&outcome, "advertised_unreachable"), format!("broker 1 at {} (timeout)", hole.addr()));
}

#[test]
fn a_folder_that_failed_and_a_full_disk_are_told_although_the_broker_serves() {
    if !require("kafka") {
        return;
    }
    let server = Kafka::builder().broken_dir().start();
    let outcome = expect(&BROKEN_DIR, server.addr(), json!({}));
    assert_eq!((seen(&outcome, "log_dir_failed"), fact(&outcome, "log_dirs_failed")), ("1".into(), "1".into()));
    let outcome = expect(&LOW_DISK, shared().addr(), json!({ "degraded": { "disk_free": 1.0 } }));
    assert!(seen(&outcome, "disk_low").parse::<f64>().is_ok_and(|share| (0.0..1.0).contains(&share)), "{outcome:#?}");
}

/// And every other question is answered as in health.
#[test]
fn a_broker_whose_controller_hangs_answers_everything_but_the_question_for_the_quorum() {
    if !require("kafka") {
        return;
    }
    let servers = Cluster::apart();
    let (broker, controller) = (servers.node(1), servers.node(2));
    let outcome = expect(&AT_CONTROLLER, controller.at("CONTROLLER"), json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("controller")));
    controller.process().freeze();
    // A broker that has just asked may be answered for a moment.
    let probe = probe(broker.addr(), json!({}));
    eventually(Duration::from_secs(20), "it is missed", || (!probe.run().findings.is_empty()).then_some(()));
    let mut second_opinion = Client::connect(broker.addr()).expect("it takes connections");
    assert_eq!(second_opinion.brokers().expect("it answers"), 1);
    let cluster = second_opinion.cluster();
    assert_eq!((cluster.error_code, cluster.brokers.len(), cluster.controller_id.0), (0, 1, 1));
    let outcome = probe.run();
    check(&NO_CONTROLLER, &outcome);
    assert_eq!((seen(&outcome, "no_controller"), fact(&outcome, "brokers")), ("silent".into(), "1".into()));
    expect(&NO_CONTROLLER_WRITABLE, broker.addr(), json!({ "expect": { "writable": true } }));
    controller.process().thaw();
    eventually(Duration::from_secs(20), "it is back", || {
        let outcome = probe.run();
        (outcome.findings.is_empty() && outcome.failure.is_none()).then(|| check(&CONTROLLER_BACK, &outcome))
    });
}
