//! Own questions: what is answered, refused, and cut off.

use std::time::Duration;

use probity_probes::{FailureKind, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{SOON, code, entry};
use crate::support::outcome::found;
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::mysql::{DATABASE, Mysql};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{eventually, require};

states! { "mysql":
    RIGHT = "an own question with the expected answer", "query, expect.value and expect.rows" => Expected::HEALTHY;
    OTHER = "an own question with another answer", "another expect.value" => Expected::unfit("unexpected_value");
    NOTHING = "an own question with no answer", "no row, NULL, and an expect.value" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "an own question with another number of rows", "another expect.rows" => Expected::unfit("unexpected_rows");
    WRITES = "an own question that writes", "INSERT, DROP, a function, a second statement" => Expected::fails(FailureKind::Config);
    WRITES_DENIED = "an own question that writes what the user may not", "INSERT without a grant" => Expected::fails(FailureKind::Permission);
    MISSPELT = "an own question that is not SQL", "SELEC 1" => Expected::fails(FailureKind::Config);
    NOWHERE = "an own question of a table that does not exist", "SELECT … FROM nowhere" => Expected::fails(FailureKind::Config);
    DENIED = "an own question of a table that the user may not read", "no GRANT SELECT" => Expected::fails(FailureKind::Permission);
    SLOW = "an own question that takes too long", "SLEEP(60)" => Expected::fails(FailureKind::Timeout);
    LOCKED = "an own question of a table that is locked", "LOCK TABLES … WRITE in another session" => Expected::fails(FailureKind::Query);
    HUGE = "an own question with an answer that is too long", "5 MB in one row, and in many" => Expected::fails(FailureKind::Protocol);
}

/// A server with a table that the user may write to, one that he may not read, and a way to write behind a SELECT.
fn furnished() -> Mysql {
    let server = Mysql::start();
    server.sql(&format!(
        "USE {DATABASE}; CREATE TABLE orders (id int, state text); INSERT INTO orders VALUES (1, 'open'), (2, NULL), (3, 'done');
         CREATE DATABASE vault; CREATE TABLE vault.secrets (id int);
         DELIMITER //
         CREATE FUNCTION record() RETURNS int DETERMINISTIC BEGIN INSERT INTO orders VALUES (4, 'new'); RETURN 4; END//
         DELIMITER ;
         GRANT ALL ON {DATABASE}.* TO {USER}@'%'"
    ));
    server
}

fn asking(server: &Mysql, query: &str, expect: &Json) -> Asked {
    Asked::new("mysql", entry(server.addr(), json!({ "query": query, "expect": expect })))
}

#[track_caller]
fn expect(state: &State, server: &Mysql, query: &str, expected: &Json) -> Outcome {
    let outcome = asking(server, query, expected).run();
    check(state, &outcome);
    outcome
}

#[test]
fn an_answer_is_held_against_what_is_expected() {
    if !require("mysql") {
        return;
    }
    let server = furnished();
    for (query, expected) in [
        ("SELECT state FROM orders ORDER BY id", json!({ "value": "open", "rows": 3 })),
        ("SELECT COUNT(*), 'more' FROM orders; -- all of them", json!({ "value": 3 })),
        ("SHOW TABLES", json!({ "value": "orders", "rows": 1 })),
        ("SELECT true", json!({ "value": true })),
        ("SELECT 2.50", json!({ "value": 2.5, "rows": 1 })),
        ("SELECT id FROM orders WHERE false", json!({ "rows": 0 })),
        ("DO 1", json!({ "rows": 0 })),
    ] {
        let outcome = expect(&RIGHT, &server, query, &expected);
        assert_eq!(outcome.latency(), outcome.phases.get(Phase::Query));
    }
    let other = expect(&OTHER, &server, "SELECT state FROM orders ORDER BY id", &json!({ "value": "done" }));
    assert_eq!(found(&other), "unexpected_value open of done");
    for query in ["SELECT id FROM orders WHERE false", "SELECT state FROM orders WHERE id = 2"] {
        assert_eq!(found(&expect(&NOTHING, &server, query, &json!({ "value": "open" }))), "unexpected_value nothing of open");
    }
    for (rows, seen) in [(5, "3 of 5"), (1, "more than 1 of 1"), (0, "more than 0 of 0")] {
        for query in ["SELECT id FROM orders", "SELECT id FROM orders LIMIT 3"] {
            let outcome = expect(&OTHER_ROWS, &server, query, &json!({ "rows": rows }));
            assert_eq!(found(&outcome), format!("unexpected_rows {seen}"));
        }
    }
    // Had they been sent, they would have been too much for a run.
    let many = expect(&OTHER_ROWS, &server, "SELECT REPEAT('x', 100) FROM seq_1_to_100000", &json!({ "rows": 3 }));
    assert_eq!(found(&many), "unexpected_rows more than 3 of 3");
}

#[test]
fn a_warm_session_is_left_as_it_was() {
    if !require("mysql") {
        return;
    }
    let server = furnished();
    let probe = asking(&server, "SELECT state FROM orders", &json!({ "value": "open" }));
    for _ in 0..3 {
        let outcome = probe.run();
        check(&RIGHT, &outcome);
        assert!(outcome.facts.contains_key("threads_running"), "its limit holds for the deep questions: {outcome:#?}");
        assert_eq!(server.sql("SELECT COUNT(*) FROM information_schema.innodb_trx"), "0");
    }
}

#[test]
fn what_writes_is_refused_by_the_server() {
    if !require("mysql") {
        return;
    }
    let server = furnished();
    for (query, refusal) in [
        ("INSERT INTO orders VALUES (4, 'new')", "1792"),
        ("SET STATEMENT max_statement_time = 1 FOR INSERT INTO orders VALUES (4, 'new')", "1792"),
        ("SELECT record()", "1792"),
        ("DROP TABLE orders", "1792"),
        ("CREATE TABLE copy AS SELECT * FROM orders", "1792"),
        ("TRUNCATE orders", "1792"),
        ("SET STATEMENT tx_read_only = 0 FOR DELETE FROM orders", "1792"),
        ("BEGIN NOT ATOMIC COMMIT; DELETE FROM orders; END", "1792"),
        ("SELECT 1; DELETE FROM orders", "1064"),
        ("SELECT 1; COMMIT; DELETE FROM orders", "1064"),
    ] {
        let outcome = expect(&WRITES, &server, query, &json!({}));
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)),
            (Some(refusal), Some(Phase::Query)),
            "{query}"
        );
    }
    assert_eq!(code(&expect(&WRITES_DENIED, &server, "DELETE FROM vault.secrets", &json!({}))), Some("1142"));
    assert_eq!(server.sql(&format!("USE {DATABASE}; SELECT COUNT(*) FROM orders; SHOW TABLES")), "3\norders");
}

#[test]
fn what_cannot_be_answered_is_told_apart() {
    if !require("mysql") {
        return;
    }
    let server = furnished();
    assert_eq!(code(&expect(&MISSPELT, &server, "SELEC 1", &json!({}))), Some("1064"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT 1 FROM nowhere", &json!({}))), Some("1146"));
    assert_eq!(code(&expect(&NOWHERE, &server, "SELECT price FROM orders", &json!({}))), Some("1054"));
    let denied = expect(&DENIED, &server, "SELECT 1 FROM vault.secrets", &json!({}));
    assert_eq!(code(&denied), Some("1142"));
    assert!(denied.failure.is_some_and(|failure| failure.remedy.contains("`SELECT`")));
    for query in ["SELECT REPEAT('x', 5000000)", "SELECT REPEAT('x', 1000) FROM seq_1_to_5000 LIMIT 5000"] {
        expect(&HUGE, &server, query, &json!({}));
    }
}

#[test]
fn a_question_that_takes_too_long_ends_at_the_server_too() {
    if !require("mysql") {
        return;
    }
    let server = furnished();
    let within = Duration::from_secs(1);
    for query in ["SELECT SLEEP(60)", "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b"] {
        let slow = asking(&server, query, &json!({})).run_within(within);
        check(&SLOW.within(within), &slow);
        assert_eq!(code(&slow), Some("1969"), "{query}");
    }
    let ours = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{USER}'");
    eventually(SOON, "nothing is left of it", || (server.sql(&ours) == "0").then_some(()));

    let lock = format!("LOCK TABLES {DATABASE}.orders WRITE; SELECT SLEEP(60)");
    std::thread::scope(|scope| {
        scope.spawn(|| server.try_sql(&lock));
        let locked = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        eventually(SOON, "it is locked", || (server.sql(locked) == "1").then_some(()));
        let outcome = expect(&LOCKED, &server, "SELECT 1 FROM orders", &json!({}));
        assert_eq!(code(&outcome), Some("1205"));
        let kill = "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        server.sql(&server.sql(kill));
    });
}
