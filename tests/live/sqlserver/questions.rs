//! Own questions.

use std::time::Duration;

use probity_probes::{FailureKind, Phase};
use serde_json::{Value as Json, json};

use super::{code, deep, entry, expect, observed};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::sqlserver::shared;
use crate::support::servers::sqlserver::standin::{Deed, StandIn};
use crate::support::truth::{Expected, check, states};

states! { "sqlserver":
    RIGHT = "a question with the expected answer", "pysqlbridge: query, expect.value, expect.rows" => Expected::HEALTHY;
    OTHER = "a question with another answer", "the same" => Expected::unfit("unexpected_value");
    NOTHING = "a question without an answer", "the same" => Expected::unfit("unexpected_value");
    MANY = "more rows than expected", "the same" => Expected::unfit("unexpected_rows");
    UNKNOWN = "a question for a table that there is not", "pysqlbridge: 208" => Expected::fails(FailureKind::Config);
    NONSENSE = "a question that is not SQL", "pysqlbridge: 102" => Expected::fails(FailureKind::Config);
    FORBIDDEN = "a question that one may not ask", "a stand-in: 229" => Expected::fails(FailureKind::Permission);
    BLOCKED = "a question that waits for a lock", "a stand-in: 1222" => Expected::fails(FailureKind::Timeout);
    ENDLESS = "a question without an end", "a stand-in that acknowledges Attention" => Expected::fails(FailureKind::Timeout);
}

fn asking(query: &str, expect: &Json) -> Asked {
    Asked::new("sqlserver", entry(shared().addr(), json!({ "query": query, "expect": expect })))
}

#[test]
fn an_answer_is_right_wrong_or_missing() {
    if !require("sqlserver") {
        return;
    }
    for (query, value) in [
        ("SELECT name FROM people WHERE id = 1", json!("Ada")),
        ("SELECT COUNT(*) FROM people", json!(2)),
        ("SELECT 1.5", json!(1.5)),
        ("SELECT CAST(1 AS bit)", json!(true)),
        ("SELECT CAST('2026-01-01' AS datetime)", json!("(datetime)")),
    ] {
        let warm = asking(query, &json!({ "value": value }));
        (0..2).for_each(|_| check(&RIGHT, &warm.run()));
    }
    let outcome = asking("SELECT name FROM people WHERE id = 2", &json!({ "value": "Ada" })).run();
    check(&OTHER, &outcome);
    assert_eq!(observed(&outcome, "unexpected_value"), "Grace");
    for query in ["SELECT name FROM people WHERE id = 3", "SELECT NULL"] {
        let outcome = asking(query, &json!({ "value": "Ada" })).run();
        check(&NOTHING, &outcome);
        assert_eq!(observed(&outcome, "unexpected_value"), "nothing");
    }
    check(&RIGHT, &asking("SELECT name FROM people", &json!({ "rows": 2 })).run());
    let outcome = asking("SELECT name FROM people", &json!({ "rows": 1 })).run();
    check(&MANY, &outcome);
    assert_eq!(observed(&outcome, "unexpected_rows"), "more than 1");
    let outcome = asking("SELECT name FROM nobody", &json!({})).run();
    check(&UNKNOWN, &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)), (Some("208"), Some(Phase::Query)));
    let outcome = asking("SELECT (", &json!({})).run();
    check(&NONSENSE, &outcome);
    assert_eq!(code(&outcome), Some("102"));
}

#[test]
fn a_question_is_put_in_a_transaction_that_is_rolled_back() {
    let server = StandIn::start();
    server.at_question("FROM jobs", Deed::Tell(&["count"], vec![vec![json!(0)]]));
    let probe = deep(&server, json!({ "query": "SELECT count(*) FROM jobs", "expect": { "value": 0 } }));
    assert_eq!(probe.run().failure, None);
    let seen = server.seen();
    let at = |words: &str| seen.iter().position(|seen| seen.contains(words)).unwrap_or_else(|| panic!("{words}: {seen:?}"));
    assert!(at("BEGIN TRANSACTION") < at("FROM jobs") && at("FROM jobs") < at("ROLLBACK TRANSACTION"), "{seen:?}");
}

#[test]
fn a_question_that_is_refused_has_its_kind() {
    let server = StandIn::start();
    for (state, number) in [(&FORBIDDEN, 229), (&BLOCKED, 1222)] {
        server.at_question("FROM jobs", Deed::Refuse(number, 1));
        let outcome = expect(state, &server, json!({ "query": "SELECT count(*) FROM jobs" }));
        assert_eq!(code(&outcome), Some(number.to_string().as_str()));
    }
}

#[test]
fn a_question_without_an_end_is_called_off_by_attention() {
    let server = StandIn::start();
    server.at_question("FROM jobs", Deed::BeSilent);
    let within = Duration::from_secs(1);
    let outcome = deep(&server, json!({ "query": "SELECT count(*) FROM jobs" })).run_within(within);
    check(&ENDLESS.within(within), &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)), (Some("attention"), Some(Phase::Query)));
    assert_eq!(server.seen().last().map(String::as_str), Some("ATTENTION"));
}
