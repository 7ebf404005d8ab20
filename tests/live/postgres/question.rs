//! Own questions: what is answered, refused, and cut off.

use std::time::Duration;

use probity_probes::{FailureKind, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{SOON, code, entry, fact, probe};
use crate::support::outcome::found;
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::postgres::{self, Postgres};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    RIGHT = "an own question with the expected answer", "query, expect.value and expect.rows" => Expected::HEALTHY;
    OTHER = "an own question with another answer", "another expect.value" => Expected::unfit("unexpected_value");
    NOTHING = "an own question with no answer", "no row, NULL, and an expect.value" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "an own question with another number of rows", "another expect.rows" => Expected::unfit("unexpected_rows");
    WRITES = "an own question that writes", "INSERT, also hidden behind WITH, a function, a second statement" => Expected::fails(FailureKind::Config);
    MISSPELT = "an own question that is not SQL", "SELEC 1" => Expected::fails(FailureKind::Config);
    NOWHERE = "an own question of a table that does not exist", "SELECT … FROM nowhere" => Expected::fails(FailureKind::Config);
    DENIED = "an own question of a table that the user may not read", "no GRANT SELECT" => Expected::fails(FailureKind::Permission);
    FAULTY = "an own question that the server fails to answer", "SELECT 1/0" => Expected::fails(FailureKind::Query);
    SLOW = "an own question that takes too long", "pg_sleep(60)" => Expected::fails(FailureKind::Timeout);
    LOCKED = "an own question of a table that is locked", "ACCESS EXCLUSIVE in another session" => Expected::fails(FailureKind::Timeout);
    HUGE = "an own question with an answer that is too long", "5 MB in one row" => Expected::fails(FailureKind::Protocol);
    POOLED = "an own question through a pooler", "PgBouncer, pool_mode = transaction" => Expected::HEALTHY;
    POOLED_SLOW = "an own question that takes too long, through a pooler", "the same, and pg_sleep(60)" => Expected::fails(FailureKind::Timeout);
}

/// A server with a table that the user may read, one that he may not, and a way to write behind a SELECT.
fn furnished() -> Postgres {
    let server = Postgres::start();
    server.sql(&format!(
        "CREATE TABLE orders (id int, state text); INSERT INTO orders VALUES (1, 'open'), (2, NULL), (3, 'done');
         CREATE TABLE secrets (id int); CREATE SEQUENCE numbers;
         CREATE FUNCTION write() RETURNS int LANGUAGE sql AS 'INSERT INTO orders VALUES (4, $$new$$) RETURNING id';
         GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO {USER}; GRANT USAGE ON SEQUENCE numbers TO {USER}"
    ));
    server
}

/// A probe with an own question, in the database that the tests furnish.
fn asking(server: &Postgres, query: &str, expect: &Json) -> Asked {
    let url = format!("postgres://{USER}@{}/postgres", server.addr());
    probe(server, json!({ "url": url, "query": query, "expect": expect }))
}

#[track_caller]
fn expect(state: &State, server: &Postgres, query: &str, expected: &Json) -> Outcome {
    let outcome = asking(server, query, expected).run();
    check(state, &outcome);
    outcome
}

#[test]
fn an_answer_is_held_against_what_is_expected() {
    if !require("postgres") {
        return;
    }
    let server = furnished();
    for (query, expected) in [
        ("SELECT state FROM orders ORDER BY id", json!({ "value": "open", "rows": 3 })),
        ("SELECT count(*), 'more' FROM orders; -- all of them", json!({ "value": 3 })),
        ("TABLE orders", json!({ "value": 1 })),
        ("SELECT true", json!({ "value": true })),
        ("VALUES (2.50)", json!({ "value": 2.5, "rows": 1 })),
        ("SELECT id FROM orders WHERE false", json!({ "rows": 0 })),
        ("SELECT FROM orders", json!({ "rows": 3 })),
    ] {
        let outcome = expect(&RIGHT, &server, query, &expected);
        assert_eq!(outcome.latency(), outcome.phases.get(Phase::Query));
    }
    let other = expect(&OTHER, &server, "SELECT state FROM orders ORDER BY id", &json!({ "value": "done" }));
    assert_eq!(found(&other), "unexpected_value open of done");
    for query in ["SELECT id FROM orders WHERE false", "SELECT state FROM orders WHERE id = 2"] {
        assert_eq!(found(&expect(&NOTHING, &server, query, &json!({ "value": "open" }))), "unexpected_value nothing of open");
    }
    for (rows, seen) in
        [(5, "unexpected_rows 3 of 5"), (1, "unexpected_rows more than 1 of 1"), (0, "unexpected_rows more than 0 of 0")]
    {
        assert_eq!(found(&expect(&OTHER_ROWS, &server, "SELECT id FROM orders", &json!({ "rows": rows }))), seen);
    }
    // Had they been sent, they would have been too much for a run.
    let many = expect(&OTHER_ROWS, &server, "SELECT repeat('x', 100) FROM generate_series(1, 100000)", &json!({ "rows": 3 }));
    assert_eq!(found(&many), "unexpected_rows more than 3 of 3");
}

#[test]
fn a_warm_session_is_left_as_it_was() {
    if !require("postgres") {
        return;
    }
    let server = furnished();
    let probe = asking(&server, "SELECT set_config('search_path', 'nowhere', false), pg_backend_pid()", &json!({ "rows": 1 }));
    for _ in 0..3 {
        check(&RIGHT, &probe.run());
        let ours = "FROM pg_stat_activity WHERE application_name = 'probity'";
        assert_eq!(server.sql(&format!("SELECT count(*), max(state) {ours}")), "1|idle");
    }
}

#[test]
fn what_writes_is_refused_by_the_server() {
    if !require("postgres") {
        return;
    }
    let server = furnished();
    for (query, refusal) in [
        ("INSERT INTO orders VALUES (4)", "42601"),
        ("SELECT 1; DELETE FROM orders", "42601"),
        ("SELECT 1; COMMIT; DELETE FROM orders", "42601"),
        ("WITH new AS (INSERT INTO orders VALUES (4) RETURNING id) SELECT id FROM new", "0A000"),
        ("SELECT id INTO copy FROM orders", "42601"),
        ("SELECT id FROM orders FOR UPDATE", "25006"),
        ("SELECT write()", "25006"),
        ("SELECT nextval('numbers')", "25006"),
        ("SELECT set_config('transaction_read_only', 'off', true), write()", "25001"),
    ] {
        let outcome = expect(&WRITES, &server, query, &json!({}));
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)),
            (Some(refusal), Some(Phase::Query)),
            "{query}"
        );
    }
    assert_eq!(server.sql("SELECT count(*), (SELECT is_called FROM numbers), to_regclass('copy') FROM orders"), "3|f|");
}

#[test]
fn what_cannot_be_answered_is_told_apart() {
    if !require("postgres") {
        return;
    }
    let server = furnished();
    assert_eq!(code(&expect(&MISSPELT, &server, "SELEC 1", &json!({}))), Some("42601"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT 1 FROM nowhere", &json!({}))), Some("42P01"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT price FROM orders", &json!({}))), Some("42703"));
    let denied = expect(&DENIED, &server, "SELECT 1 FROM secrets", &json!({}));
    assert_eq!(code(&denied), Some("42501"));
    assert!(denied.failure.is_some_and(|failure| failure.remedy.contains("`SELECT`")));
    assert_eq!(code(&expect(&FAULTY, &server, "SELECT 1 / (id - 1) FROM orders", &json!({}))), Some("22012"));
    assert_eq!(code(&expect(&HUGE, &server, "SELECT repeat('x', 5000000)", &json!({}))), Some("reply_too_long"));
}

#[test]
fn a_question_that_takes_too_long_ends_at_the_server_too() {
    if !require("postgres") {
        return;
    }
    let server = furnished();
    let within = Duration::from_secs(1);
    let slow = asking(&server, "SELECT pg_sleep(60)", &json!({})).run_within(within);
    check(&SLOW.within(within), &slow);
    assert_eq!(code(&slow), Some("57014"));
    // The rows that nobody wants are counted under the same limit.
    let counting = asking(&server, "SELECT 1 UNION ALL SELECT 1 FROM pg_sleep(60)", &json!({ "rows": 9 })).run_within(within);
    check(&SLOW.within(within), &counting);
    let client = "FROM pg_stat_activity WHERE application_name = 'probity'";
    eventually(SOON, "nothing is left of it", || (server.sql(&format!("SELECT count(*) {client}")) == "0").then_some(()));

    let locker = server.locking("orders");
    check(&LOCKED.within(within), &asking(&server, "SELECT 1 FROM orders", &json!({})).run_within(within));
    drop(locker);
    check(&RIGHT, &asking(&server, "SELECT 1 FROM orders", &json!({})).run());
}

#[test]
fn a_pooler_passes_a_question_on() {
    if !require("pgbouncer") {
        return;
    }
    let server = furnished();
    let pooler = postgres::Pooler::start(server.addr(), "default_pool_size = 1");
    let through = |query: &str, expected: Json| {
        let url = format!("postgres://{USER}@{}/postgres", pooler.addr());
        Asked::new("postgres", entry(pooler.addr(), json!({ "url": url, "query": query, "expect": expected })))
    };
    let probes = [(); 3].map(|()| through("SELECT state FROM orders ORDER BY id", json!({ "value": "open", "rows": 3 })));
    // All share the one connection of the pooler to the server, warm and fresh.
    for probe in probes.iter().cycle().take(9) {
        let outcome = probe.run();
        check(&POOLED, &outcome);
        assert_eq!(fact(&outcome, "pooler"), "refuses start-up options");
    }
    let within = Duration::from_secs(1);
    let slow = through("SELECT pg_sleep(60)", json!({})).run_within(within);
    check(&POOLED_SLOW.within(within), &slow);
    assert_eq!(code(&slow), Some("57014"));
    check(&POOLED, &probes[0].run());
}
