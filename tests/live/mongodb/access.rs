//! Who may come in, and what they may ask.

use std::net::SocketAddr;

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{code, expect, fact, probe};
use crate::support::require;
use crate::support::servers::mongodb::{BARE, DATABASE, MongoDb, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};

states! { "mongodb":
    WELL = "well", "a user with SCRAM-SHA-256" => Expected::HEALTHY;
    OPEN = "well, where nobody logs in", "no access control" => Expected::HEALTHY;
    OLD_SCRAM = "well, with SCRAM-SHA-1", "authMechanism=SCRAM-SHA-1 at FerretDB" => Expected::HEALTHY;
    WRONG_PASSWORD = "wrong password", "another password" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "unknown user", "a user who was never made" => Expected::fails(FailureKind::Auth);
    WRONG_SOURCE = "the user is of another database", "authSource=admin at FerretDB" => Expected::fails(FailureKind::Auth);
    NO_LOGIN = "no credentials", "a server that wants some" => Expected::fails(FailureKind::Auth);
    BARE_USER = "a user without roles", "createUser with roles: []" => Expected::HEALTHY;
}

/// The keys of a user.
pub(super) fn as_user(user: &str) -> Json {
    json!({ "username": user, "password": PASSWORD })
}

fn url(addr: SocketAddr, rest: &str) -> Json {
    json!({ "url": format!("mongodb://{USER}:{PASSWORD}@{addr}{rest}") })
}

#[test]
fn a_user_learns_what_the_server_is() {
    if !require("mongodb") {
        return;
    }
    let outcome = expect(&WELL, shared().addr(), as_user(USER));
    for (name, value) in [
        ("max_wire_version", "27"),
        ("set_name", "secantus"),
        ("topology", "replica_set"),
        ("role", "primary"),
        ("primary", shared().addr().to_string().as_str()),
        ("members", "1"),
        ("members_healthy", "1"),
        ("term", "1"),
        ("connections_available", "0"),
    ] {
        assert_eq!(fact(&outcome, name), value, "{name}: {outcome:#?}");
    }
    assert!(fact(&outcome, "version").starts_with("8."), "{outcome:#?}");
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn a_server_without_users_is_asked_without_one() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::builder().standalone().start();
    let outcome = expect(&OPEN, server.addr(), json!({}));
    assert_eq!((fact(&outcome, "topology"), fact(&outcome, "role")), ("standalone".into(), "standalone".into()));
}

#[test]
fn both_mechanisms_of_a_user_are_taken_and_the_database_of_the_url_is_the_users() {
    if !(require("mongodb") && require("ferretdb")) {
        return;
    }
    let server = MongoDb::ferretdb(true);
    for mechanism in ["", "&authMechanism=SCRAM-SHA-256", "&authMechanism=SCRAM-SHA-1"] {
        let outcome = expect(&OLD_SCRAM, server.addr(), url(server.addr(), &format!("/?authSource={DATABASE}{mechanism}")));
        // A clone leaves out what others say, and has not all commands.
        assert_eq!(outcome.missing, ["serverStatus: connections", "replSetGetStatus"], "{outcome:#?}");
        assert_eq!((fact(&outcome, "role"), fact(&outcome, "connections_current")), ("primary".into(), String::new()));
    }
    expect(&OLD_SCRAM, server.addr(), url(server.addr(), &format!("/{DATABASE}")));
    let outcome = expect(&WRONG_SOURCE, server.addr(), url(server.addr(), ""));
    assert_eq!(code(&outcome), Some("18"));
}

#[test]
fn wrong_credentials_are_tried_once() {
    if !require("mongodb") {
        return;
    }
    let wrong = json!({ "username": USER, "password": "probe-wrong-pw" });
    for (state, keys) in [(&WRONG_PASSWORD, wrong), (&UNKNOWN_USER, as_user("nobody"))] {
        let probe = probe(shared().addr(), keys);
        let outcome = probe.run();
        check(state, &outcome);
        assert_eq!((code(&outcome), fact(&outcome, "process_alive")), (Some("18"), "true".into()));
        assert!(!format!("{outcome:?}").contains("probe-wrong-pw"), "{outcome:#?}");
        let again = probe.run();
        check(state, &again);
        assert!(fact(&again, "next_attempt_in_seconds").parse::<u64>().is_ok_and(|left| (40..=72).contains(&left)), "{again:#?}");
    }
}

/// `hello`, `ping` and `buildInfo` are.
#[test]
fn a_server_that_wants_a_user_is_not_healthy_because_hello_and_ping_are_answered_to_anybody() {
    if !(require("mongodb") && require("ferretdb")) {
        return;
    }
    let second_opinion = MongoDb::ferretdb(true);
    for server in [shared(), &second_opinion] {
        for free in ["hello", "ping"] {
            server.ask("admin", &mongodb::bson::doc! { free: 1 });
        }
        let probe = probe(server.addr(), json!({}));
        for _ in 0..2 {
            let outcome = probe.run();
            check(&NO_LOGIN, &outcome);
            assert_eq!((code(&outcome), fact(&outcome, "next_attempt_in_seconds")), (Some("Unauthorized"), String::new()));
        }
    }
}

#[test]
fn a_user_without_roles_is_enough_but_for_the_deep_questions() {
    if !require("mongodb") {
        return;
    }
    let outcome = expect(&BARE_USER, shared().addr(), as_user(BARE));
    // A real server would refuse `replSetGetStatus` as well.
    assert_eq!(outcome.missing, ["serverStatus"], "{outcome:#?}");
    assert_eq!(fact(&outcome, "role"), "primary");
}
