//! The catalog as JSON Schema, for editors and for `probity schema`: made of the same types that read it.

use probity_probes::{Entry, registry};
use serde_json::{Value, json};

use super::{
    keys::{AgentKeys, CommonKeys, OwnKeys},
    rules,
};

/// What a dependency of one backend may say: the agent's keys and the backend's own.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    let agent = rules::merge(&own(), &rules::schema_of::<CommonKeys>());
    rules::merge(&agent, &rules::tidy(entry.schema().to_value()))
}

/// The keys that only one dependency can say of itself.
pub(super) fn own() -> Value {
    let mut own = rules::schema_of::<OwnKeys>();
    if let Some(backend) = own["properties"]["backend"].as_object_mut() {
        backend.shift_remove("default");
    }
    own["required"] = json!(["backend"]);
    own
}

/// The `[agent]` table.
#[must_use]
pub fn agent() -> Value {
    rules::schema_of::<AgentKeys>()
}

/// What `[defaults]` may set, and every dependency.
#[must_use]
pub fn common() -> Value {
    rules::schema_of::<CommonKeys>()
}

/// The words that only a dependency says of itself.
#[must_use]
pub fn words() -> Value {
    own()
}

/// The whole catalog.
#[must_use]
pub fn catalog() -> Value {
    let mut kinds = Vec::new();
    let mut rows = Vec::new();
    for row in registry() {
        let Some(built) = &row.entry else { continue };
        let mut then = entry(built);
        then["properties"]["backend"] = json!({ "const": row.kind });
        loosen(&mut then);
        kinds.push(row.kind);
        rows.push(json!({ "if": { "properties": { "backend": { "const": row.kind } }, "required": ["backend"] }, "then": then }));
    }
    let mut agent = agent();
    let mut defaults = common();
    loosen(&mut agent);
    loosen(&mut defaults);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Probity's catalog",
        "type": "object",
        "properties": {
            "agent": agent,
            "defaults": defaults,
            "dependencies": {
                "description": "What the agent watches, by name.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "pattern": "^[a-z0-9][a-z0-9._-]{0,62}$" },
                "additionalProperties": {
                    "type": "object",
                    "properties": { "backend": { "description": "Which kind of system is asked.", "enum": kinds } },
                    "required": ["backend"],
                    "allOf": rows,
                },
            },
        },
        "required": ["dependencies"],
        "additionalProperties": false,
    })
}

/// Lets `${VAR}` stand where a pattern asks for more.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                *pattern = format!("{pattern}|\\$\\{{");
            }
            object.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}
