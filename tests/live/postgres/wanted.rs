//! `target_session_attrs`: which of several servers is looked for.

use std::net::SocketAddr;

use probity_probes::{FailureKind, Outcome};
use serde_json::json;

use super::{SOON, code, fact};
use crate::support::probe::Asked;
use crate::support::servers::postgres::{DATABASE, Postgres};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    FOUND = "the server that is looked for stands behind another one", "target_session_attrs, a standby and a primary" => Expected::HEALTHY;
    NOT_FOUND = "none of the servers is the one that is looked for", "target_session_attrs=primary, two standbys" => Expected::fails(FailureKind::NotReady);
    MADE_DO = "no standby where one is preferred", "target_session_attrs=prefer-standby, the standby killed" => Expected::degraded("address_failing");
    FAILED_OVER = "a fail-over while the old primary is down", "the standby promoted" => Expected::degraded("address_failing");
}

fn looking_for(wanted: &str, hosts: &[SocketAddr]) -> Asked {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    let url = format!("postgres://{USER}@{}/{DATABASE}?target_session_attrs={wanted}", hosts.join(","));
    Asked::new("postgres", json!({ "url": url, "password": PASSWORD }))
}

fn address(outcome: &Outcome) -> String {
    fact(outcome, "remote_address")
}

#[test]
fn the_one_that_is_looked_for_is_found() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    let both = [primary.addr(), standby.addr()];
    for (wanted, at) in [("any", 0), ("primary", 0), ("read-write", 0), ("standby", 1), ("read-only", 1), ("prefer-standby", 1)] {
        for hosts in [[both[0], both[1]], [both[1], both[0]]] {
            let outcome = looking_for(wanted, &hosts).run();
            check(&FOUND, &outcome);
            let found = if wanted == "any" { hosts[0] } else { both[at] };
            assert_eq!(address(&outcome), found.to_string(), "{wanted}");
        }
    }
    let outcome = looking_for("primary", &[standby.addr(), standby.addr()]).run();
    check(&NOT_FOUND, &outcome);
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("target_session_attrs"), "true"));
    let outcome = looking_for("prefer-standby", &[primary.addr()]).run();
    check(&FOUND, &outcome);
    // A primary that takes no writes is still a primary.
    primary.set_read_only(true);
    check(&FOUND, &looking_for("primary", &both).run());
    check(&NOT_FOUND, &looking_for("read-write", &both).run());
    // Whoever was passed over was told good-bye.
    for server in [&primary, &standby] {
        assert!(!server.process().log().contains("unexpected EOF"), "{}", server.process().log());
    }
}

#[test]
fn a_fail_over_is_followed() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    let both = [standby.addr(), primary.addr()];
    let (writer, reader) = (looking_for("primary", &both), looking_for("prefer-standby", &both));
    assert_eq!(address(&writer.run()), primary.addr().to_string());
    assert_eq!(address(&reader.run()), standby.addr().to_string());

    primary.process().kill9();
    assert!(writer.lost_within(SOON), "the loss was not noticed");
    let outcome = writer.run();
    check(&NOT_FOUND, &outcome);
    let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
    assert!(message.ends_with(&format!("; also tried: {} (connect_refused)", primary.addr())), "{message}");
    standby.sql("SELECT pg_promote()");
    let outcome = eventually(SOON, "the standby is a primary", || Some(writer.run()).filter(|outcome| outcome.failure.is_none()));
    // The new one stands first in the list, so nobody misses the old one.
    check(&FOUND, &outcome);
    assert_eq!(address(&outcome), standby.addr().to_string());
    let behind = looking_for("primary", &[primary.addr(), standby.addr()]).run();
    check(&FAILED_OVER, &behind);
}

#[test]
fn a_preference_is_no_demand() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    let probe = looking_for("prefer-standby", &[standby.addr(), primary.addr()]);
    check(&FOUND, &probe.run());
    standby.process().kill9();
    assert!(probe.lost_within(SOON), "the loss was not noticed");
    let outcome = probe.run();
    check(&MADE_DO, &outcome);
    assert_eq!(address(&outcome), primary.addr().to_string());
}
