//! Who may come in, and what they may see.

use probity_probes::FailureKind;
use serde_json::json;

use super::{BARE, USER, as_user, code, expect, fact, probe};
use crate::support::require;
use crate::support::servers::kafka::{Kafka, Right, shared};
use crate::support::truth::{Expected, check, states};

states! { "kafka":
    OPEN = "well, where nobody logs in", "a plain listener" => Expected::HEALTHY;
    WELL = "well, with a log-in", "SCRAM-SHA-512, SCRAM-SHA-256 and PLAIN" => Expected::HEALTHY;
    WRONG_PASSWORD = "wrong password", "another password, by each mechanism" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "unknown user", "a user who was never made" => Expected::fails(FailureKind::Auth);
    OTHER_MECHANISM = "a mechanism that is not offered", "SCRAM-SHA-512 where only PLAIN is enabled" => Expected::fails(FailureKind::Auth);
    NO_LOGIN = "no credentials", "a listener that wants some" => Expected::fails(FailureKind::Auth);
    NEEDLESS = "credentials where none are wanted", "a user at a plain listener" => Expected::fails(FailureKind::Auth);
    RIGHTLESS = "a user without rights", "no ACL at all" => Expected::HEALTHY;
    TOPIC_ONLY = "a user who may see one topic", "DESCRIBE on it" => Expected::HEALTHY;
}

#[test]
fn a_user_logs_in_by_each_mechanism() {
    if !require("kafka") {
        return;
    }
    let sasl = shared().at("SASL");
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        let mut keys = as_user(USER);
        keys["mechanism"] = mechanism.into();
        keys["topics"] = json!(["orders"]);
        let outcome = expect(&WELL, sasl, keys.clone());
        assert!(outcome.missing.is_empty(), "{outcome:#?}");
        assert_eq!((fact(&outcome, "topics_checked"), fact(&outcome, "partitions_checked")), ("1".into(), "3".into()));
        keys["password"] = "probe-wrong-pw".into();
        let probe = probe(sasl, keys);
        let outcome = probe.run();
        check(&WRONG_PASSWORD, &outcome);
        assert_eq!((code(&outcome), fact(&outcome, "process_alive")), (Some("58"), "true".into()));
        assert!(!format!("{outcome:?}").contains("probe-wrong-pw"), "{outcome:#?}");
        // It is not tried again before its time.
        let again = probe.run();
        check(&WRONG_PASSWORD, &again);
        assert!(!fact(&again, "next_attempt_in_seconds").is_empty(), "{again:#?}");
    }
    let outcome = expect(&UNKNOWN_USER, sasl, as_user("nobody"));
    assert_eq!(code(&outcome), Some("58"));
}

#[test]
fn a_plain_listener_tells_what_the_cluster_is() {
    if !require("kafka") {
        return;
    }
    let outcome = expect(&OPEN, shared().addr(), json!({}));
    for (name, value) in [
        ("cluster_id", "MkU3OEVBNTcwNTJENDM2Qg"),
        ("brokers", "1"),
        ("brokers_reachable", "1"),
        ("brokers_fenced", "0"),
        ("quorum_leader_id", "1"),
        ("quorum_voters", "1"),
        ("quorum_max_lag", "0"),
        ("log_dirs_failed", "0"),
    ] {
        assert_eq!(fact(&outcome, name), value, "{name}: {outcome:#?}");
    }
    assert!(fact(&outcome, "log_dir_usable_bytes").parse::<u64>().is_ok_and(|bytes| bytes > 0), "{outcome:#?}");
    assert!(fact(&outcome, "version").starts_with("metadata.version "), "{outcome:#?}");
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

/// Libraries report a lost transport at their time-out instead.
#[test]
fn wrong_credentials_are_told_by_the_brokers_own_code_and_not_by_a_timeout() {
    if !require("kafka") {
        return;
    }
    let server = Kafka::builder().setting("listener.name.sasl.sasl.enabled.mechanisms", "PLAIN").start();
    let outcome = expect(&OTHER_MECHANISM, server.at("SASL"), as_user(USER));
    let failure = outcome.failure.as_ref().expect("it failed");
    assert_eq!((code(&outcome), failure.server_message.as_deref()), (Some("33"), Some("enabled: PLAIN")));
    let outcome = expect(&NO_LOGIN, shared().at("SASL"), json!({}));
    assert_eq!(code(&outcome), Some("33"));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("mechanism")));
    let outcome = expect(&NEEDLESS, shared().addr(), as_user(USER));
    assert_eq!(code(&outcome), Some("34"));
}

/// `Metadata` of all topics would be a success without a topic.
#[test]
fn a_user_without_rights_is_not_shown_an_empty_list_as_if_there_were_no_topics() {
    if !require("kafka") {
        return;
    }
    let mut keys = as_user(BARE);
    keys["topics"] = json!(["orders"]);
    let outcome = expect(&RIGHTLESS, shared().at("SASL"), keys.clone());
    assert_eq!(outcome.missing, ["topics", "DescribeLogDirs", "DescribeQuorum"], "{outcome:#?}");
    assert_eq!((fact(&outcome, "brokers"), fact(&outcome, "topics_checked")), ("1".into(), String::new()));
    // A topic that is not there looks the same to them.
    keys["topics"] = json!(["nowhere"]);
    let outcome = expect(&RIGHTLESS, shared().at("SASL"), keys);
    assert!(outcome.missing.contains(&"topics".to_owned()), "{outcome:#?}");
    let server = Kafka::start();
    let mut client = server.client();
    client.create_topic("orders", 1, 1, &[]);
    client.allow(BARE, &[Right::See("orders")]);
    let mut keys = as_user(BARE);
    keys["topics"] = json!(["orders"]);
    let outcome = expect(&TOPIC_ONLY, server.at("SASL"), keys);
    assert_eq!(outcome.missing, ["min.insync.replicas", "DescribeLogDirs", "DescribeQuorum"], "{outcome:#?}");
    assert_eq!(fact(&outcome, "partitions_checked"), "1");
}
