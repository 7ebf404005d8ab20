//! Own questions.

use std::time::Duration;

use probity_probes::{FailureKind, Options, Phase, find};
use serde_json::json;

use super::{entry, expect, probe};
use crate::support::eventually;
use crate::support::outcome::{code, found};
use crate::support::servers::oracle::{Oracle, shared};
use crate::support::truth::{Expected, State, check, states};

states! { "oracle":
    ANSWERED = "an own question that is answered as expected", "a stand-in with three rows" => Expected::HEALTHY;
    OTHER_VALUE = "an own question with another answer", "the same, another value expected" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "an own question with too many rows", "the same, two expected" => Expected::unfit("unexpected_rows");
    NO_TABLE = "an own question to a table that does not exist", "a stand-in that answers 942" => Expected::fails(FailureKind::Permission);
    WRITES = "an own question that writes", "a stand-in that answers 1456" => Expected::fails(FailureKind::Permission);
    SLOW = "an own question that takes too long", "a stand-in that takes a minute, and is interrupted" => Expected::fails(FailureKind::Timeout);
}

#[test]
fn answers_are_held_against_what_is_expected() {
    let rows: [&[Option<&str>]; 3] = [&[Some("17"), Some("open")], &[Some("18"), None], &[Some("19"), Some("open")]];
    let server = Oracle::builder().rows("FROM jobs", &["ID#", "STATE"], &rows).start();
    let asked = |expected| json!({ "query": "SELECT id, state FROM jobs", "expect": expected });
    expect(&ANSWERED, &server, asked(json!({ "value": 17, "rows": 3 })));
    let warm = probe(&server, asked(json!({ "value": 17 })));
    for _ in 0..3 {
        check(&ANSWERED, &warm.run());
    }
    let outcome = expect(&OTHER_VALUE, &server, asked(json!({ "value": 18 })));
    assert!(found(&outcome).contains("17"), "{}", found(&outcome));
    expect(&OTHER_ROWS, &server, asked(json!({ "rows": 2 })));
}

#[test]
fn what_is_refused_is_said() {
    let outcome = expect(&NO_TABLE, shared(), json!({ "query": "SELECT 1 FROM nosuch" }));
    assert_eq!(code(&outcome), Some("ORA-00942"));
    let server = Oracle::builder().error(
        "FOR UPDATE",
        1456,
        "may not perform insert/delete/update operation inside a READ ONLY transaction",
    );
    expect(&WRITES, &server.start(), json!({ "query": "SELECT id FROM jobs FOR UPDATE" }));
}

#[test]
fn what_is_no_question_is_a_mistake_of_the_catalog() {
    for query in ["DELETE FROM jobs", "BEGIN NULL; END;", "SELECT 1 FROM DUAL;", "SELECT 1 FROM DUAL; DROP TABLE jobs"] {
        let built = find("oracle").map(|row| row.build(entry(shared().addr(), json!({ "query": query })), Options::default()));
        assert!(built.is_ok_and(|built| built.is_err()), "{query}");
    }
}

#[test]
fn a_slow_question_is_interrupted_at_the_server() {
    const WITHIN: Duration = Duration::from_secs(1);
    let server = Oracle::builder().slow("FROM slow", 60_000).start();
    let outcome = probe(&server, json!({ "query": "SELECT 1 FROM slow" })).run_within(WITHIN);
    check(&State { within: WITHIN, ..SLOW }, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Query));
    let interrupted = || server.process().log_lines().iter().any(|line| line == "interrupted").then_some(());
    eventually(Duration::from_secs(5), "the server was told", interrupted);
}
