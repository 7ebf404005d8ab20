//! Own questions: what is answered, refused, and cut off.

use std::time::Duration;

use probity_probes::{FailureKind, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{SOON, code, probe};
use crate::support::outcome::found;
use crate::support::servers::clickhouse::{CONFINED, Clickhouse, READER};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "clickhouse":
    RIGHT = "an own question with the expected answer", "query, expect.value and expect.rows" => Expected::HEALTHY;
    OTHER = "an own question with another answer", "another expect.value" => Expected::unfit("unexpected_value");
    NOTHING = "an own question with no answer", "no row, NULL, and an expect.value" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "an own question with another number of rows", "another expect.rows" => Expected::unfit("unexpected_rows");
    WRITES = "an own question that writes", "INSERT, DROP, a second statement" => Expected::fails(FailureKind::Config);
    MISSPELT = "an own question that is not SQL", "SELEC 1" => Expected::fails(FailureKind::Config);
    NOWHERE = "an own question of a table that does not exist", "SELECT … FROM nowhere" => Expected::fails(FailureKind::Config);
    FORMATTED = "an own question with a format of its own", "FORMAT TSV" => Expected::fails(FailureKind::Config);
    DENIED = "an own question of a database that the user may not read", "allow_databases" => Expected::fails(FailureKind::Permission);
    SLOW = "an own question that takes too long", "a count of system.numbers" => Expected::fails(FailureKind::Timeout);
    HUGE = "an own question with an answer that is too long", "5 MB in one row" => Expected::fails(FailureKind::Protocol);
}

/// A server with a table.
fn furnished() -> Clickhouse {
    let server = Clickhouse::start();
    server.query("CREATE TABLE orders (id UInt64, state Nullable(String)) ENGINE = Memory");
    server.query("INSERT INTO orders VALUES (1, 'open'), (2, NULL), (3, 'do\\tne')");
    server
}

#[track_caller]
fn expect(state: &State, server: &Clickhouse, query: &str, expected: &Json) -> Outcome {
    let outcome = probe(server, json!({ "query": query, "expect": expected })).run();
    check(state, &outcome);
    outcome
}

#[test]
fn an_answer_is_held_against_what_is_expected() {
    if !require("clickhouse") {
        return;
    }
    let server = furnished();
    let as_reader =
        json!({ "url": format!("http://{READER}@{}", server.addr()), "query": "SELECT 'x'", "expect": { "rows": 1 } });
    check(&RIGHT, &probe(&server, as_reader).run());
    for (query, expected) in [
        ("SELECT state FROM orders ORDER BY id", json!({ "value": "open", "rows": 3 })),
        ("SELECT count(), 'more' FROM orders -- all of them", json!({ "value": 3 })),
        ("SELECT state FROM orders WHERE id = 3", json!({ "value": "do\tne" })),
        ("SELECT 1 = 1", json!({ "value": true })),
        ("SELECT 2.50", json!({ "value": 2.5, "rows": 1 })),
        ("SELECT id FROM orders WHERE id > 3", json!({ "rows": 0 })),
        ("SHOW TABLES", json!({ "value": "orders", "rows": 1 })),
    ] {
        let outcome = expect(&RIGHT, &server, query, &expected);
        assert_eq!(outcome.latency(), outcome.phases.get(Phase::Query));
    }
    let other = expect(&OTHER, &server, "SELECT state FROM orders ORDER BY id", &json!({ "value": "done" }));
    assert_eq!(found(&other), "unexpected_value open of done");
    for query in ["SELECT id FROM orders WHERE id > 3", "SELECT state FROM orders WHERE id = 2"] {
        assert_eq!(found(&expect(&NOTHING, &server, query, &json!({ "value": "open" }))), "unexpected_value nothing of open");
    }
    for (rows, seen) in [(5, "3 of 5"), (1, "more than 1 of 1"), (0, "more than 0 of 0")] {
        let outcome = expect(&OTHER_ROWS, &server, "SELECT id FROM orders", &json!({ "rows": rows }));
        assert_eq!(found(&outcome), format!("unexpected_rows {seen}"));
    }
    // Without the limit the answer would be longer than may be read.
    let many = expect(&OTHER_ROWS, &server, "SELECT number FROM system.numbers LIMIT 10000000", &json!({ "rows": 3 }));
    assert_eq!(found(&many), "unexpected_rows more than 3 of 3");
}

#[test]
fn what_writes_is_refused_by_the_server() {
    if !require("clickhouse") {
        return;
    }
    let server = furnished();
    for (query, refusal) in [
        ("INSERT INTO orders VALUES (4, 'new')", "164"),
        ("INSERT INTO orders SELECT 4, 'new'", "164"),
        ("DROP TABLE orders", "164"),
        ("CREATE TABLE copy (id UInt8) ENGINE = Memory", "164"),
        ("SELECT 1; DROP TABLE orders", "62"),
    ] {
        let outcome = expect(&WRITES, &server, query, &json!({}));
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)),
            (Some(refusal), Some(Phase::Query)),
            "{query}"
        );
    }
    assert_eq!(server.query("SELECT count() FROM orders"), "3");
    assert_eq!(server.query("SHOW TABLES"), "orders");
}

#[test]
fn what_cannot_be_answered_is_told_apart() {
    if !require("clickhouse") {
        return;
    }
    let server = furnished();
    assert_eq!(code(&expect(&MISSPELT, &server, "SELEC 1", &json!({}))), Some("62"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT 1 FROM nowhere", &json!({}))), Some("60"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT price FROM orders", &json!({}))), Some("47"));
    assert_eq!(code(&expect(&FORMATTED, &server, "SELECT 1 FORMAT TSV", &json!({}))), Some("not_json"));
    let huge = "SELECT arrayMap(x -> 'many words', range(1000000))";
    assert_eq!(code(&expect(&HUGE, &server, huge, &json!({}))), Some("body_too_large"));
    server.query("CREATE DATABASE other");
    let url = format!("http://{CONFINED}@{}/?database=other", server.addr());
    let confined = probe(&server, json!({ "url": url, "query": "SELECT count() FROM default.orders" })).run();
    check(&DENIED, &confined);
    assert_eq!(code(&confined), Some("291"));
}

#[test]
fn a_question_that_takes_too_long_ends_at_the_server_too() {
    if !require("clickhouse") {
        return;
    }
    let server = furnished();
    let outcome = expect(&SLOW, &server, "SELECT count() FROM system.numbers", &json!({}));
    assert_eq!(code(&outcome), Some("159"));
    let working = || server.query("SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%'") == "1";
    eventually(SOON, "only the question about it is left", || working().then_some(()));
    // Where the server's limit, which has whole seconds, would come too late.
    let within = Duration::from_millis(500);
    let cut = probe(&server, json!({ "query": "SELECT count() FROM system.numbers" })).run_within(within);
    check(&SLOW.within(within), &cut);
    eventually(SOON, "only the question about it is left", || working().then_some(()));
}
