//! Own questions, and what is expected of their answers.

use mongodb::bson::doc;
use probity_probes::{FailureKind, Options, find};
use serde_json::{Value as Json, json};

use super::access::as_user;
use super::{code, entry, expect};
use crate::support::require;
use crate::support::servers::mongodb::{BARE, DATABASE, MongoDb, shared};
use crate::support::truth::{Expected, states};

states! { "mongodb":
    ANSWERED = "an own question", "query with expect.value and expect.rows" => Expected::HEALTHY;
    OTHER_VALUE = "another value than expected", "expect.value" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "another number of documents than expected", "expect.rows" => Expected::unfit("unexpected_rows");
    FORBIDDEN = "an own question that is forbidden", "a user without roles" => Expected::fails(FailureKind::Permission);
    MISTAKEN = "an own question that the server does not understand", "an unknown operator" => Expected::fails(FailureKind::Config);
}

/// Three orders, two of them open.
fn server() -> MongoDb {
    let server = MongoDb::start();
    let orders = vec![
        doc! { "_id": 1, "state": "open", "total": 3.5 },
        doc! { "_id": 2, "state": "open", "total": 4 },
        doc! { "_id": 3, "state": "paid", "total": 5_i64 },
    ];
    server.ask(DATABASE, &doc! { "insert": "orders", "documents": orders });
    server
}

fn asking(server: &MongoDb, query: &str, expect: &Json) -> Json {
    json!({ "url": format!("mongodb://{}/{DATABASE}", server.addr()), "query": query, "expect": expect })
}

#[test]
fn answers_are_held_against_what_is_expected() {
    if !require("mongodb") {
        return;
    }
    let server = server();
    for (query, expected) in [
        ("orders", json!({ "value": 3, "rows": 3 })),
        ("nothing", json!({ "value": 0, "rows": 0 })),
        (r#"{ "count": "orders", "query": { "state": "open" } }"#, json!({ "value": 2 })),
        (r#"{ "find": "orders", "sort": { "_id": 1 } }"#, json!({ "value": "open", "rows": 3 })),
        (
            r#"{ "find": "orders", "filter": { "state": "paid" }, "projection": { "total": 1 } }"#,
            json!({ "value": 5, "rows": 1 }),
        ),
        (r#"{ "find": "orders", "filter": { "total": { "$gt": 9 } } }"#, json!({ "rows": 0 })),
        (
            r#"{ "aggregate": "orders", "pipeline": [{ "$match": { "state": "open" } }, { "$sort": { "_id": 1 } }, { "$project": { "total": 1 } }] }"#,
            json!({ "value": 3.5, "rows": 2 }),
        ),
        (r#"{ "aggregate": "orders", "pipeline": [{ "$match": { "state": "lost" } }] }"#, json!({ "rows": 0 })),
    ] {
        expect(&ANSWERED, server.addr(), asking(&server, query, &expected));
    }
    let outcome = expect(&OTHER_VALUE, server.addr(), asking(&server, "orders", &json!({ "value": 4 })));
    assert_eq!(outcome.findings[0].to_string(), "unexpected_value 3 of 4");
    let find = r#"{ "find": "orders", "filter": { "state": "open" } }"#;
    let outcome = expect(&OTHER_ROWS, server.addr(), asking(&server, find, &json!({ "rows": 1 })));
    assert_eq!(outcome.findings[0].to_string(), "unexpected_rows more than 1 of 1");
    let find = r#"{ "find": "orders", "filter": { "total": { "$above": 1 } } }"#;
    let outcome = expect(&MISTAKEN, server.addr(), asking(&server, find, &json!({})));
    assert_eq!(code(&outcome), Some("2"));
}

#[test]
fn a_question_that_is_forbidden_was_asked_for() {
    if !require("mongodb") {
        return;
    }
    let mut keys = as_user(BARE);
    keys["url"] = format!("mongodb://{}/{DATABASE}?authSource=admin", shared().addr()).into();
    keys["query"] = "orders".into();
    assert_eq!(code(&expect(&FORBIDDEN, shared().addr(), keys)), Some("13"));
}

#[test]
fn questions_that_write_or_cannot_be_read_are_refused_in_the_catalog() {
    let addr = ([127, 0, 0, 1], 1).into();
    let refusal = |database: &str, query: &str| {
        let entry = entry(addr, json!({ "url": format!("mongodb://{addr}{database}"), "query": query }));
        let built = find("mongodb").expect("it is known").build(entry, Options::default());
        built.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refusal("/app", "orders"), Ok(()));
    for (database, query, words) in [
        ("", "orders", "needs a database"),
        ("/app", "{ find: 1", "not a command in JSON"),
        ("/app", "{}", "begins with its name and its collection"),
        ("/app", r#"{ "find": 1 }"#, "begins with its name and its collection"),
        ("/app", r#"{ "delete": "orders" }"#, "unknown command; known are find, count, aggregate"),
        ("/app", r#"{ "findd": "orders" }"#, "did you mean `find`?"),
        ("/app", r#"{ "aggregate": "orders", "pipeline": [{ "$match": {} }, { "$out": "x" }] }"#, "must not write"),
    ] {
        let refused = refusal(database, query);
        assert!(refused.as_ref().is_err_and(|error| error.contains(words)), "{query}: {refused:?}");
    }
}
