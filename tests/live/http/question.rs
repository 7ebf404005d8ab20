//! Own questions: what a JSON body must say where a pointer leads.

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{code, entry, expect};
use crate::support::outcome::found;
use crate::support::require;
use crate::support::servers::nginx::Nginx;
use crate::support::truth::{Expected, states};

states! { "http":
    RIGHT = "an own question with the expected answer", "a JSON pointer, expect.value and expect.rows" => Expected::HEALTHY;
    OTHER = "an own question with another answer", "another expect.value" => Expected::unfit("unexpected_value");
    NOTHING = "an own question that leads nowhere", "a pointer to nothing, to null, and an expect.value" => Expected::unfit("unexpected_value");
    OTHER_ROWS = "an own question with another number of values", "another expect.rows" => Expected::unfit("unexpected_rows");
    NO_JSON = "an own question of a body that is not JSON", "text" => Expected::fails(FailureKind::Protocol);
    ELSEWHERE = "an own question of a page that is not there", "404 with a JSON body" => Expected::fails(FailureKind::Config);
}

const BODY: &str =
    r#"{"state":"open","depth":3,"share":2.50,"ok":true,"none":null,"a/b":1,"items":[{"id":7},{"id":8}],"empty":[]}"#;

#[test]
fn an_answer_is_held_against_what_is_expected() {
    if !require("http") {
        return;
    }
    let page = |status: u16, body: &str| format!("default_type application/json; return {status} '{body}';");
    let server = Nginx::builder()
        .location("= /state", &page(200, BODY))
        .location("= /list", &page(200, "[1, 2, 3]"))
        .location("= /gone", &page(404, BODY))
        .start();
    let asking =
        |path: &str, query: &str, expected: &Json| entry(server.http(), path, json!({ "query": query, "expect": expected }));
    for (query, expected) in [
        ("/state", json!({ "value": "open", "rows": 1 })),
        ("/depth", json!({ "value": 3 })),
        ("/share", json!({ "value": 2.5 })),
        ("/ok", json!({ "value": true })),
        ("/a~1b", json!({ "value": 1 })),
        ("#/items/1/id", json!({ "value": 8 })),
        ("/items", json!({ "rows": 2 })),
        ("/items/0", json!({ "value": "{\"id\":7}", "rows": 1 })),
        ("/empty", json!({ "rows": 0 })),
        ("/none", json!({ "rows": 1 })),
        ("/nowhere", json!({ "rows": 0 })),
        ("/nowhere", json!({})),
    ] {
        expect(&RIGHT, asking("/state", query, &expected));
    }
    expect(&RIGHT, asking("/list", "#", &json!({ "rows": 3 })));
    assert_eq!(found(&expect(&OTHER, asking("/state", "/state", &json!({ "value": "done" })))), "unexpected_value open of done");
    for query in ["/nowhere", "/none", "/items/2/id"] {
        let outcome = expect(&NOTHING, asking("/state", query, &json!({ "value": 1 })));
        assert_eq!(found(&outcome), "unexpected_value nothing of 1");
    }
    for (rows, seen) in [(5, "2 of 5"), (1, "more than 1 of 1")] {
        let outcome = expect(&OTHER_ROWS, asking("/state", "/items", &json!({ "rows": rows })));
        assert_eq!(found(&outcome), format!("unexpected_rows {seen}"));
    }
    assert_eq!(code(&expect(&NO_JSON, asking("/text", "/state", &json!({})))), Some("not_json"));
    assert_eq!(code(&expect(&ELSEWHERE, asking("/gone", "/state", &json!({ "value": "open" })))), Some("404"));
}

#[test]
fn what_cannot_lead_anywhere_is_refused_at_its_key() {
    let key = |keys: Json| {
        let mut entry = json!({ "url": "http://localhost" });
        entry.as_object_mut().expect("a table").extend(keys.as_object().expect("a table").clone());
        let built = probity_probes::find("http").expect("it is known").build(entry, probity_probes::Options::default());
        built.err().map(|error| error.key)
    };
    assert_eq!(key(json!({ "query": "state" })).as_deref(), Some("query"));
    assert_eq!(key(json!({ "query": "#state" })).as_deref(), Some("query"));
    assert_eq!(key(json!({ "query": "/state", "method": "HEAD" })).as_deref(), Some("method"));
    assert_eq!(key(json!({ "expect": { "rows": 1 } })).as_deref(), Some("expect.rows"));
    assert_eq!(key(json!({ "query": "#" })), None);
}
