//! Who may ask, and what a server says who lets nobody in.

use probity_probes::{FailureKind, Phase};
use serde_json::json;

use super::{code, deep, entry, expect, fact, plain};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::sqlserver::shared;
use crate::support::servers::sqlserver::standin::{Deed, StandIn};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};

states! { "sqlserver":
    KNOWN = "the right password", "pysqlbridge" => Expected::HEALTHY;
    WRONG = "a wrong password", "pysqlbridge, another password in the entry" => Expected::fails(FailureKind::Auth);
    UNTOLD = "a log-in is rejected, without a reason", "a stand-in: 18456, state 1" => Expected::fails(FailureKind::Auth);
    NOBODY = "an unknown user", "a stand-in: 18456, state 5" => Expected::fails(FailureKind::Auth);
    MISTYPED = "a wrong password, and the server says so", "a stand-in: 18456, state 8" => Expected::fails(FailureKind::Auth);
    WINDOWS = "SQL log-ins are switched off", "a stand-in: 18456, state 58" => Expected::fails(FailureKind::Auth);
    NO_DATABASE = "a log-in whose database is not found, and the server says so", "a stand-in: 18456, state 38" => Expected::fails(FailureKind::Config);
    LOCKED = "a locked log-in", "a stand-in: 18486" => Expected::fails(FailureKind::Auth);
    EXPIRED = "an expired password", "a stand-in: 18487" => Expected::fails(FailureKind::Auth);
    FIREWALL = "a firewall of Azure's", "a stand-in: 40615" => Expected::fails(FailureKind::Permission);
    ASLEEP = "a database of Azure's that wakes up", "a stand-in: 40613" => Expected::fails(FailureKind::NotReady);
    FULL = "no sessions left", "a stand-in: 10928" => Expected::fails(FailureKind::Overload);
    BUSY = "a busy service", "a stand-in: 40501" => Expected::fails(FailureKind::Overload);
    SINGLE = "a server in single-user mode", "a stand-in: 18461" => Expected::fails(FailureKind::NotReady);
    STARTING = "a server that is not ready for connections", "a stand-in: 17187" => Expected::fails(FailureKind::NotReady);
    UNKNOWN = "a database that does not exist", "a stand-in: 4060, and no state of it" => Expected::fails(FailureKind::Config);
    OFFLINE = "a database that is offline", "a stand-in: 4060, and OFFLINE where it is asked for" => Expected::fails(FailureKind::NotReady);
    STRANGE = "a database without this user", "a stand-in: 4060, and ONLINE where it is asked for" => Expected::fails(FailureKind::Permission);
    ROUTED = "sent to another address", "two stand-ins, and the routing reply" => Expected::HEALTHY;
    ROUTED_BACK = "sent in a circle", "a stand-in that sends to itself" => Expected::fails(FailureKind::Protocol);
    ROUTED_AWAY = "sent to where nobody listens", "a stand-in, and a closed port" => Expected::fails(FailureKind::ConnectRefused);
}

#[test]
fn a_user_is_known_or_not() {
    if !require("sqlserver") {
        return;
    }
    let outcome = Asked::new("sqlserver", entry(shared().addr(), json!({}))).run();
    check(&KNOWN, &outcome);
    assert_eq!(
        ["database_state", "encrypted", "tls_version", "version"].map(|name| fact(&outcome, name)),
        ["ONLINE", "true", "1.2", "17.0.1000.0"]
    );
    let probe = Asked::new("sqlserver", entry(shared().addr(), json!({ "password": "not-the-password" })));
    let outcome = probe.run();
    check(&WRONG, &outcome);
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("18456"), "true"));
    let again = probe.run();
    assert!(again.facts.contains_key("next_attempt_in_seconds"), "it is not tried again: {again:#?}");
}

#[test]
fn each_refusal_of_a_log_in_has_its_kind() {
    let server = StandIn::start();
    let table: [(&State, u32, u8, &str); 13] = [
        (&UNTOLD, 18456, 1, "18456"),
        (&NOBODY, 18456, 5, "18456 state 5"),
        (&MISTYPED, 18456, 8, "18456 state 8"),
        (&WINDOWS, 18456, 58, "18456 state 58"),
        (&NO_DATABASE, 18456, 38, "18456 state 38"),
        (&LOCKED, 18486, 1, "18486"),
        (&EXPIRED, 18487, 1, "18487"),
        (&FIREWALL, 40615, 1, "40615"),
        (&ASLEEP, 40613, 1, "40613"),
        (&FULL, 10928, 1, "10928"),
        (&BUSY, 40501, 20, "40501"),
        (&SINGLE, 18461, 1, "18461"),
        (&STARTING, 17187, 1, "17187"),
    ];
    for (state, number, class, told) in table {
        server.at_login(None, Deed::Refuse(number, class));
        let outcome = expect(state, &server, json!({}));
        assert_eq!(code(&outcome), Some(told));
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth), "{told}");
    }
    server.heal();
    expect(&KNOWN, &server, json!({}));
    // Each log-in said who it was, and where it wanted to go.
    assert!(server.seen().iter().any(|seen| seen == &format!("LOGIN {USER} probity orders")), "{:?}", server.seen());
}

#[test]
fn a_database_that_cannot_be_opened_is_asked_why() {
    let server = StandIn::start();
    server.at_login(Some("orders"), Deed::Refuse(4060, 1));
    let question = "DATABASEPROPERTYEX(N'orders'";
    for (state, answer, words) in [
        (&UNKNOWN, json!(null), "does not exist"),
        (&OFFLINE, json!("OFFLINE"), "but OFFLINE"),
        (&OFFLINE, json!("RESTORING"), "but RESTORING"),
        (&STRANGE, json!("ONLINE"), "does not let this user in"),
    ] {
        server.at_question(question, Deed::Tell(&["state"], vec![vec![answer]]));
        let outcome = expect(state, &server, json!({}));
        assert_eq!(code(&outcome), Some("4060"));
        assert!(outcome.failure.as_ref().is_some_and(|failure| failure.message.contains(words)), "{outcome:#?}");
    }
    // Where there is no second log-in to be had, the first answer stands.
    server.at_login(None, Deed::Refuse(18456, 1));
    expect(&UNKNOWN, &server, json!({}));
}

#[test]
fn a_server_may_send_us_on() {
    let (gateway, database) = (StandIn::start(), StandIn::start());
    gateway.at_login(None, Deed::SendOn("127.0.0.1".into(), database.addr().port()));
    let probe = deep(&gateway, json!({}));
    let outcome = probe.run();
    check(&ROUTED, &outcome);
    let place = database.addr().to_string();
    assert_eq!(["routed_to", "remote_address"].map(|name| fact(&outcome, name)), [place.clone(), place]);
    // The warm session leads there, and a new one begins at the gateway again.
    check(&ROUTED, &probe.run());
    assert_eq!(gateway.seen().iter().filter(|seen| seen.starts_with("LOGIN")).count(), 1);
    database.end_sessions();
    check(&ROUTED, &probe.run());
    assert_eq!(gateway.seen().iter().filter(|seen| seen.starts_with("LOGIN")).count(), 2);
    let itself = gateway.addr().port();
    gateway.at_login(None, Deed::SendOn("127.0.0.1".into(), itself));
    let outcome = expect(&ROUTED_BACK, &gateway, json!({}));
    assert_eq!(code(&outcome), Some("routing"));
    let port = crate::support::free_port();
    gateway.at_login(None, Deed::SendOn("127.0.0.1\\instance".into(), port));
    let outcome = expect(&ROUTED_AWAY, &gateway, json!({}));
    assert!(outcome.failure.is_some_and(|failure| failure.message.contains(&format!("127.0.0.1:{port}"))));
}

#[test]
fn what_one_intends_is_said_at_the_log_in() {
    let server = StandIn::start();
    let url = format!("sqlserver://{}?database=orders&encrypt=disable&applicationIntent=ReadOnly", server.addr());
    let entry = plain(server.addr(), json!({ "url": url, "password": PASSWORD }));
    assert_eq!(Asked::new("sqlserver", entry).run().failure, None);
    assert!(server.seen().contains(&format!("LOGIN {USER} probity orders ReadOnly")), "{:?}", server.seen());
}
