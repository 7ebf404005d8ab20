//! Round trips: a row that is written, read and removed, where the user has made a table for it.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Outcome, Phase};
use serde_json::json;

use super::{SOON, code, entry};
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::postgres::{Pooler, Postgres};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    ROUND = "a round trip", "the table and the grants of the reference page" => Expected::HEALTHY;
    ROUND_POOLED = "a round trip through a pooler", "PgBouncer, pool_mode = transaction" => Expected::HEALTHY;
    NO_TABLE = "a round trip without its table", "no probity.canary" => Expected::fails(FailureKind::Config);
    OTHER_TABLE = "a round trip with another table", "probity.canary without its key" => Expected::fails(FailureKind::Config);
    NO_GRANT = "a round trip without the grants", "no USAGE on the schema, no DELETE" => Expected::fails(FailureKind::Permission);
    READ_ONLY = "a round trip on a read-only server", "default_transaction_read_only" => Expected::fails(FailureKind::NotReady);
    STANDBY = "a round trip on a standby", "pg_basebackup of a primary, streaming" => Expected::fails(FailureKind::NotReady);
    LOST = "a round trip whose row is lost", "a trigger that swallows it, or changes it" => Expected::unfit("roundtrip_lost");
    WAITING = "a round trip whose commit waits for a standby", "synchronous_standby_names = '*' with none" => Expected::fails(FailureKind::Timeout);
}

/// What the reference page tells the user to do.
fn furnish(server: &Postgres) {
    server.sql(&format!(
        "CREATE SCHEMA probity; CREATE TABLE probity.canary (id text PRIMARY KEY, nonce text NOT NULL);
         GRANT USAGE ON SCHEMA probity TO {USER}; GRANT SELECT, INSERT, UPDATE, DELETE ON probity.canary TO {USER}"
    ));
}

/// A probe that makes a round trip in every run.
fn writing(server: &Postgres) -> Asked {
    at_depth(server, Depth::Roundtrip)
}

fn at_depth(server: &Postgres, depth: Depth) -> Asked {
    at(server.addr(), depth)
}

fn at(addr: SocketAddr, depth: Depth) -> Asked {
    let url = format!("postgres://{USER}@{addr}/postgres");
    let options = Options { depth, roundtrip_interval: Duration::ZERO, name: "orders".into(), ..Options::default() };
    Asked::with("postgres", entry(addr, json!({ "url": url })), options)
}

#[track_caller]
fn expect(state: &State, server: &Postgres) -> Outcome {
    let outcome = writing(server).run();
    check(state, &outcome);
    if let Some(failure) = &outcome.failure {
        assert_eq!(failure.phase, Some(Phase::Roundtrip));
    }
    outcome
}

#[test]
fn what_a_round_trip_lacks_is_said() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let remedy = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.remedy.clone()).unwrap_or_default();
    let none = expect(&NO_TABLE, &server);
    assert_eq!(code(&none), Some("42P01"));
    assert!(remedy(&none).contains("CREATE TABLE probity.canary"), "{none:#?}");
    furnish(&server);
    expect(&ROUND, &server);
    for lacking in ["USAGE ON SCHEMA probity", "DELETE ON probity.canary"] {
        server.sql(&format!("REVOKE {lacking} FROM {USER}"));
        let denied = expect(&NO_GRANT, &server);
        assert_eq!(code(&denied), Some("42501"));
        assert!(remedy(&denied).starts_with("GRANT USAGE ON SCHEMA probity"), "{denied:#?}");
        server.sql(&format!("GRANT {lacking} TO {USER}"));
    }
    server.sql("ALTER TABLE probity.canary DROP CONSTRAINT canary_pkey");
    assert_eq!(code(&expect(&OTHER_TABLE, &server)), Some("42P10"));
}

#[test]
fn a_server_that_takes_no_writes_fails_it() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    let standby = server.standby();
    assert_eq!(code(&expect(&STANDBY, &standby)), Some("25006"));
    server.set_read_only(true);
    assert_eq!(code(&expect(&READ_ONLY, &server)), Some("25006"));
}

#[test]
fn a_row_that_is_swallowed_or_changed_is_lost() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    let probe = writing(&server);
    for (body, observed) in [("RETURN NULL", "nothing"), ("NEW.nonce = ''other''; RETURN NEW", "other")] {
        server.sql(&format!("CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body}; END'"));
        server.sql("CREATE OR REPLACE TRIGGER meddle BEFORE INSERT ON probity.canary FOR EACH ROW EXECUTE FUNCTION meddle()");
        let outcome = probe.run();
        check(&LOST, &outcome);
        assert_eq!(outcome.findings[0].observed.to_string(), observed);
    }
    server.sql("DROP TRIGGER meddle ON probity.canary");
    check(&ROUND, &probe.run());
}

#[test]
fn nothing_is_left_behind_however_often_it_is_made() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("autovacuum", "off").start();
    furnish(&server);
    let probe = writing(&server);
    let size = || server.sql("SELECT count(*), pg_total_relation_size('probity.canary') FROM probity.canary");
    check(&ROUND, &probe.run());
    let first = size();
    assert!(first.starts_with("0|"), "{first}");
    for _ in 0..200 {
        let outcome = probe.run();
        check(&ROUND, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some());
    }
    assert_eq!(size(), first);
}

#[test]
fn a_row_that_was_left_behind_is_in_nobody_s_way() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    server.sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    server.sql("CREATE TRIGGER keep BEFORE DELETE ON probity.canary FOR EACH ROW EXECUTE FUNCTION keep()");
    let (probe, rows) = (writing(&server), || server.sql("SELECT count(*) FROM probity.canary"));
    for _ in 0..3 {
        check(&ROUND, &probe.run());
        assert_eq!(rows(), "1");
    }
    server.sql("DROP TRIGGER keep ON probity.canary");
    check(&ROUND, &probe.run());
    assert_eq!(rows(), "0");
}

#[test]
fn probes_of_one_name_do_not_take_each_other_s_row_for_a_loss() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writing(&server);
                (0..25).for_each(|_| check(&ROUND, &probe.run()));
            });
        }
    });
}

#[test]
fn a_pooler_passes_it_on() {
    if !require("pgbouncer") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    let pooler = Pooler::start(server.addr(), "default_pool_size = 1");
    let probes = [(); 3].map(|()| at(pooler.addr(), Depth::Roundtrip));
    probes.iter().cycle().take(9).for_each(|probe| check(&ROUND_POOLED, &probe.run()));
    assert_eq!(server.sql("SELECT count(*) FROM probity.canary"), "0");
}

#[test]
fn nothing_is_written_unless_it_is_asked_for() {
    if !require("postgres") {
        return;
    }
    // Autovacuum writes by itself.
    let server = Postgres::builder().setting("autovacuum", "off").start();
    furnish(&server);
    let transactions = || server.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())");
    let before = transactions();
    for depth in [Depth::Query, Depth::Deep] {
        let probe = at_depth(&server, depth);
        (0..5).for_each(|_| check(&ROUND, &probe.run()));
    }
    assert_eq!(transactions(), before);
    check(&ROUND, &writing(&server).run());
    assert_ne!(transactions(), before);
}

#[test]
fn a_commit_that_waits_for_a_standby_leaves_no_process_behind() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    furnish(&server);
    let within = Duration::from_secs(1);
    server.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    server.sql("SELECT pg_reload_conf()");
    for _ in 0..2 {
        let outcome = eventually(SOON, "commits wait", || {
            let outcome = writing(&server).run_within(within);
            outcome.failure.is_some().then_some(outcome)
        });
        check(&WAITING.within(within), &outcome);
    }
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probity'";
    eventually(SOON, "nothing is left of it", || (server.sql(ours) == "0").then_some(()));
}
