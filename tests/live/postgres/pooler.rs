//! `PgBouncer` in between.

use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{SOON, code, entry, fact};
use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::servers::postgres::{Pooler, Postgres, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    POOLED = "a server behind PgBouncer", "pool_mode = transaction" => Expected::HEALTHY;
    UNKNOWN = "a database that PgBouncer does not know", "another path in the URL" => Expected::fails(FailureKind::Config);
    REJECTED = "a wrong password for PgBouncer", "auth_type = scram-sha-256" => Expected::fails(FailureKind::Auth);
    CROWDED = "a PgBouncer that is full", "max_client_conn = 1" => Expected::fails(FailureKind::Overload);
    BUSY = "a PgBouncer whose server connections are all in use", "default_pool_size = 1, query_wait_timeout = 0.2" => Expected::fails(FailureKind::Overload);
    NEVER_THERE = "PgBouncer that never had the server behind it", "nobody listens there: clients wait for it" => Expected::fails(FailureKind::Timeout);
    BEHIND_IS_DOWN = "PgBouncer whose server went down", "the server killed, and the pooler has noticed" => Expected::fails(FailureKind::NotReady);
    PAUSED = "a PgBouncer that is paused", "PAUSE" => Expected::fails(FailureKind::Timeout);
    DOWN = "a PgBouncer that is down", "kill -9" => Expected::fails(FailureKind::ConnectRefused);
}

fn installed() -> bool {
    require("postgres") && require("pgbouncer")
}

fn probe(pooler: &Pooler) -> Asked {
    Asked::new("postgres", entry(pooler.addr(), json!({})))
}

#[track_caller]
fn expect(state: &State, config: Json) -> Outcome {
    let outcome = Asked::new("postgres", config).run();
    check(state, &outcome);
    outcome
}

#[test]
fn a_server_behind_a_pooler_is_asked_like_any_other() {
    if !installed() {
        return;
    }
    let pooler = Pooler::start(shared().addr(), "");
    let probe =
        Asked::with("postgres", entry(pooler.addr(), json!({})), Options { deep_interval: Duration::ZERO, ..Options::default() });
    for session in [SessionKind::Fresh, SessionKind::Warm, SessionKind::Warm] {
        let outcome = probe.run();
        check(&POOLED, &outcome);
        assert_eq!((outcome.session, fact(&outcome, "role").as_str()), (Some(session), "primary"));
        assert_eq!(fact(&outcome, "pooler"), "refuses start-up options");
    }
    let elsewhere = json!({ "url": format!("postgres://{USER}@{}/elsewhere", pooler.addr()), "password": PASSWORD });
    let outcome = expect(&UNKNOWN, elsewhere);
    assert!(code(&outcome).is_some_and(|code| code.starts_with("08P01 no such database")), "{outcome:#?}");
    expect(&REJECTED, entry(pooler.addr(), json!({ "password": "not-it" })));

    let warm = self::probe(&pooler);
    check(&POOLED, &warm.run());
    pooler.process().kill9();
    assert!(warm.lost_within(SOON), "the loss was not noticed");
    check(&DOWN, &warm.run());
}

#[test]
fn a_pooler_without_room_is_overloaded() {
    if !installed() {
        return;
    }
    let pooler = Pooler::start(shared().addr(), "max_client_conn = 1");
    let first = probe(&pooler);
    eventually(SOON, "the one that waited for the console has left", || first.run().failure.is_none().then_some(()));
    let outcome = expect(&CROWDED, entry(pooler.addr(), json!({})));
    assert!(code(&outcome).is_some_and(|code| code.starts_with("08P01 no more connections allowed")), "{outcome:#?}");
}

#[test]
fn a_pooler_whose_server_connections_are_in_use_is_overloaded() {
    if !installed() {
        return;
    }
    let pooler = Pooler::start(shared().addr(), "default_pool_size = 1\nquery_wait_timeout = 0.2");
    check(&POOLED, &probe(&pooler).run());
    let _held = pooler.hold_transaction();
    let outcome = expect(&BUSY, entry(pooler.addr(), json!({})));
    assert!(code(&outcome).is_some_and(|code| code.starts_with("08P01 query_wait_timeout")), "{outcome:#?}");
}

#[test]
fn a_pooler_that_never_had_its_server_lets_us_wait() {
    if !installed() {
        return;
    }
    let pooler = Pooler::start(peers::refused().addr(), "");
    let outcome = expect(&NEVER_THERE, entry(pooler.addr(), json!({})));
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth));
}

/// It takes clients in and lets the first ones wait; once its own log-in has failed it says so.
#[test]
fn a_pooler_whose_server_went_down_is_not_ready() {
    if !installed() {
        return;
    }
    let server = Postgres::start();
    let pooler = Pooler::start(server.addr(), "server_login_retry = 3");
    let warm = probe(&pooler);
    check(&POOLED, &warm.run());
    server.process().kill9();
    let told = |probe: &Asked| {
        let outcome = probe.run();
        (outcome.failure.as_ref()?.kind == FailureKind::NotReady).then_some(outcome)
    };
    for probe in [&warm, &probe(&pooler)] {
        let outcome = eventually(SOON, "the pooler has noticed", || told(probe));
        check(&BEHIND_IS_DOWN, &outcome);
        assert!(code(&outcome).is_some_and(|code| code.starts_with("08P01 server login has been failing")), "{outcome:#?}");
    }
    server.restart();
    eventually(SOON, "it is well again", || warm.run().failure.is_none().then_some(()));
}

#[test]
fn a_pooler_that_is_paused_lets_us_wait() {
    if !installed() {
        return;
    }
    let pooler = Pooler::start(shared().addr(), "");
    let warm = probe(&pooler);
    check(&POOLED, &warm.run());
    pooler.command("PAUSE");
    check(&PAUSED, &warm.run());
    pooler.command("RESUME");
    check(&POOLED, &warm.run());
}
