//! Own questions in CQL.

use probity_probes::{FailureKind, Options, find};
use serde_json::{Value as Json, json};

use super::{code, deep, entry, expect, observed};
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::cassandra::shared;
use crate::support::truth::{Expected, check, states};

states! { "cassandra":
    RIGHT = "a question with the expected answer", "query, expect.value, expect.rows" => Expected::HEALTHY;
    OTHER = "a question with another answer", "the same" => Expected::unfit("unexpected_value");
    NOTHING = "a question without an answer", "the same" => Expected::unfit("unexpected_value");
    MANY = "more rows than expected", "query, expect.rows" => Expected::unfit("unexpected_rows");
    NONSENSE = "a question that is not CQL", "query" => Expected::fails(FailureKind::Config);
    TWO = "a question with a statement behind it that writes", "query = \"SELECT …; DROP …\"" => Expected::fails(FailureKind::Config);
    FORBIDDEN = "a question that the role may not ask", "nothing is granted to it" => Expected::fails(FailureKind::Permission);
}

fn asking(query: &str, expect: &Json) -> Json {
    json!({ "query": query, "expect": expect })
}

/// A table that the ordinary role may read, with so many rows.
fn table(name: &str, rows: usize) {
    shared().run(&format!("CREATE TABLE app.{name} (k int PRIMARY KEY, v text)"));
    shared().run(&format!("GRANT SELECT ON app.{name} TO reader"));
    (0..rows).for_each(|k| shared().run(&format!("INSERT INTO app.{name} (k, v) VALUES ({k}, 'open')")));
}

#[test]
fn an_answer_is_right_wrong_or_missing() {
    if !require("cassandra") {
        return;
    }
    table("orders", 3);
    for (query, value) in [
        ("SELECT v, k FROM app.orders WHERE k = 0", json!("open")),
        ("SELECT COUNT(*) FROM app.orders", json!(3)),
        ("SELECT JSON k FROM app.orders WHERE k = 1", json!("{\"k\": 1}")),
        ("SELECT cast(k AS double) FROM app.orders WHERE k = 2", json!(2)),
        ("SELECT tokens FROM system.local WHERE key = 'local'", json!("(set)")),
        ("SELECT truncated_at FROM system.local WHERE key = 'local'", json!("(map)")),
        ("SELECT broadcast_address FROM system.local WHERE key = 'local'", json!("127.0.0.1")),
        (
            "SELECT toTimestamp(maxTimeuuid('2026-01-02 03:04:05+0000')) FROM app.orders WHERE k = 0",
            json!("2026-01-02T03:04:05Z"),
        ),
        ("SELECT durable_writes FROM system_schema.keyspaces WHERE keyspace_name = 'app'", json!(true)),
    ] {
        expect(&RIGHT, shared().addr(), asking(query, &json!({ "value": value })));
    }
    let outcome = expect(&OTHER, shared().addr(), asking("SELECT v FROM app.orders", &json!({ "value": "shut" })));
    assert_eq!(observed(&outcome, "unexpected_value"), "open");
    let nothing = asking("SELECT v FROM app.orders WHERE k = 99", &json!({ "value": "open" }));
    assert_eq!(observed(&expect(&NOTHING, shared().addr(), nothing), "unexpected_value"), "nothing");
}

/// A page has no more than 500 rows.
#[test]
fn rows_are_counted_over_pages_and_up_to_a_limit() {
    if !require("cassandra") {
        return;
    }
    shared().run("CREATE TABLE app.many (k int, c int, PRIMARY KEY (k, c))");
    shared().run("GRANT SELECT ON app.many TO reader");
    let rows: Vec<_> = (0..1200).map(|c| format!("INSERT INTO app.many (k, c) VALUES (0, {c});")).collect();
    for rows in rows.chunks(300) {
        shared().run(&format!("BEGIN UNLOGGED BATCH {} APPLY BATCH", rows.concat()));
    }
    for (query, rows) in [
        ("SELECT c FROM app.many", 1200),
        ("SELECT c FROM app.many WHERE k = 0 AND c > 199", 1000),
        ("SELECT c FROM app.many WHERE c = 7 ALLOW FILTERING", 1),
        ("SELECT c FROM app.many WHERE c > 1200 ALLOW FILTERING", 0),
    ] {
        let warm = deep(shared().addr(), asking(query, &json!({ "rows": rows })));
        (0..3).for_each(|_| check(&RIGHT, &warm.run()));
    }
    let outcome = expect(&MANY, shared().addr(), asking("SELECT c FROM app.many", &json!({ "rows": 10 })));
    assert_eq!(observed(&outcome, "unexpected_rows"), "more than 10");
}

#[test]
fn only_a_select_is_let_through() {
    if !require("cassandra") {
        return;
    }
    let build = |query: &str| {
        find("cassandra")
            .expect("it is in this build")
            .build(entry(shared().addr(), asking(query, &json!({}))), Options::default())
    };
    for query in ["DROP TABLE app.probity_canary", "BEGIN BATCH APPLY BATCH", "-- SELECT\nTRUNCATE app.probity_canary"] {
        let refused = build(query).map(drop).expect_err("it writes");
        assert_eq!(refused.key, "query", "{query}");
    }
    let two = "SELECT key FROM system.local; DROP TABLE app.probity_canary";
    assert_eq!(code(&expect(&TWO, shared().addr(), asking(two, &json!({})))), Some("0x2000"));
    shared().read_at(crate::support::servers::cassandra::ONE).expect("the table is there");
    assert_eq!(code(&expect(&NONSENSE, shared().addr(), asking("SELECT nonsense", &json!({})))), Some("0x2000"));
    let mut keys = asking("SELECT nonce FROM app.probity_canary", &json!({}));
    keys["username"] = USER.into();
    assert_eq!(code(&expect(&FORBIDDEN, shared().addr(), keys)), Some("0x2100"));
}
