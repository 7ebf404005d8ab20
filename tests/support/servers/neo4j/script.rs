//! A peer that speaks Bolt by a script.

use probity_probes::testing::Script;
use serde_json::{Value, json};

use super::client::message;

/// A success.
pub(crate) fn success(said: &Value) -> Vec<u8> {
    message(0x70, std::slice::from_ref(said))
}

/// A failure, as servers of 5.7 and later put it.
pub(crate) fn failure(code: &str, words: &str) -> Vec<u8> {
    message(0x7f, &[json!({ "neo4j_code": code, "message": words })])
}

/// Agrees on 5.8.
pub(crate) fn agreed() -> Script {
    Script::new().wait_for([0, 0, 4, 4, 0, 0, 0, 0]).say([0, 0, 8, 5])
}

/// Lets in who has no password.
pub(crate) fn let_in() -> Script {
    let hello = success(&json!({ "server": "Neo4j/5.26.30" }));
    agreed().wait_for("scheme").wait_for("none").wait_for([0, 0]).say([hello, success(&json!({}))].concat())
}

/// Hears a question, or two with `ROUTE` before it.
pub(crate) fn asked(script: Script) -> Script {
    // PULL ends with how many rows are wanted.
    script.wait_for([&b"\x3f\xa1\x81n\xcb"[..], &[0; 6]].concat()).wait_for([1, 0, 0])
}

/// The end of a question's answer.
pub(crate) fn answer(fields: &[&str], rows: &[Value]) -> Vec<u8> {
    let mut answer = success(&json!({ "fields": fields }));
    answer.extend(rows.iter().flat_map(|row| message(0x71, std::slice::from_ref(row))));
    answer.extend(success(&json!({})));
    answer
}

/// A routing table with the same servers for everything.
pub(crate) fn table(servers: &[&str]) -> Vec<u8> {
    let role = |role| json!({ "role": role, "addresses": servers });
    success(&json!({ "rt": { "ttl": 300, "db": "neo4j", "servers": [role("WRITE"), role("READ"), role("ROUTE")] } }))
}
