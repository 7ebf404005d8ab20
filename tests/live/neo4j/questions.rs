//! Own questions in Cypher.

use std::time::Duration;

use probity_probes::{FailureKind, Phase};
use serde_json::{Value as Json, json};

use super::{SOON, code, expect, observed, probe};
use crate::support::servers::neo4j::{DATABASE, shared};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "neo4j":
    RIGHT = "a question with the expected answer", "query, expect.value, expect.rows" => Expected::HEALTHY;
    OTHER = "a question with another answer", "the same" => Expected::unfit("unexpected_value");
    NOTHING = "a question without an answer", "the same" => Expected::unfit("unexpected_value");
    MANY = "more rows than expected", "query, expect.rows" => Expected::unfit("unexpected_rows");
    WRITES = "a question that writes", "query = \"CREATE …\"" => Expected::fails(FailureKind::Permission);
    NONSENSE = "a question that is not Cypher", "query" => Expected::fails(FailureKind::Config);
    ENDLESS = "a question without an end", "query" => Expected::fails(FailureKind::Timeout);
}

fn asking(query: &str, expect: &Json) -> Json {
    json!({ "query": query, "expect": expect })
}

#[test]
fn an_answer_is_right_wrong_or_missing() {
    if !require("neo4j") {
        return;
    }
    for (query, value) in [
        ("RETURN 'open', 2", json!("open")),
        ("UNWIND ['open', 'shut'] AS x RETURN x", json!("open")),
        ("RETURN 3", json!(3)),
        ("RETURN 1.5", json!(1.5)),
        ("RETURN true", json!(true)),
        ("RETURN [1, 2]", json!("(list)")),
        ("RETURN {a: 1}", json!("(map)")),
        ("RETURN date()", json!("(structure)")),
    ] {
        expect(&RIGHT, shared(), asking(query, &json!({ "value": value })));
    }
    let outcome = expect(&OTHER, shared(), asking("RETURN 'shut'", &json!({ "value": "open" })));
    assert_eq!(observed(&outcome, "unexpected_value"), "shut");
    for query in ["UNWIND [] AS x RETURN x", "RETURN null"] {
        let outcome = expect(&NOTHING, shared(), asking(query, &json!({ "value": 1 })));
        assert_eq!(observed(&outcome, "unexpected_value"), "nothing");
    }
}

#[test]
fn rows_are_counted_up_to_a_limit() {
    if !require("neo4j") {
        return;
    }
    for rows in [0, 1, 1000] {
        let warm = probe(shared(), asking(&format!("UNWIND range(1, {rows}) AS x RETURN x"), &json!({ "rows": rows })));
        (0..3).for_each(|_| check(&RIGHT, &warm.run()));
    }
    let outcome = expect(&MANY, shared(), asking("UNWIND range(1, 1000000000) AS x RETURN x", &json!({ "rows": 1000 })));
    assert_eq!(observed(&outcome, "unexpected_rows"), "more than 1000");
    // Of as many only one is fetched, where nobody counts.
    let warm = probe(shared(), asking("UNWIND range(1, 1000000000) AS x RETURN x", &json!({ "value": 1 })));
    (0..3).for_each(|_| check(&RIGHT, &warm.run()));
}

#[test]
fn a_question_may_not_write() {
    if !require("neo4j") {
        return;
    }
    let outcome = expect(&WRITES, shared(), asking("CREATE (n:Forbidden) RETURN 1", &json!({})));
    assert_eq!(code(&outcome), Some("ClientError.Statement.AccessMode"));
    assert_eq!(shared().rows(DATABASE, "MATCH (n:Forbidden) RETURN count(n)"), [json!([0])]);
    let outcome = expect(&NONSENSE, shared(), asking("SELECT 1", &json!({})));
    assert_eq!(code(&outcome), Some("ClientError.Statement.SyntaxError"));
}

#[test]
fn a_question_without_an_end_is_ended_at_the_server_too() {
    if !require("neo4j") {
        return;
    }
    let endless = "UNWIND range(1, 100000000000) AS x RETURN count(x) AS endless";
    let within = Duration::from_secs(2);
    let outcome = probe(shared(), asking(endless, &json!({}))).run_within(within);
    check(&ENDLESS.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Query));
    let running = || {
        let rows = shared().rows(DATABASE, "SHOW TRANSACTIONS YIELD currentQuery");
        rows.iter().any(|row| row[0].as_str().is_some_and(|query| query.contains("AS endless")))
    };
    eventually(SOON, "it runs no more", || (!running()).then_some(()));
}
