//! The catalog as JSON Schema, for editors and for `probity schema`: made of the same types that read it.

use probity_probes::{Entry, registry};
use serde_json::{Value, json};

use super::{
    keys::{AgentKeys, CommonKeys, OwnKeys},
    rules::{self, Sort},
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

/// One key of a table, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// With dots between levels.
    pub path: String,
    /// What may stand there.
    pub sort: String,
    /// What holds without it.
    pub default: String,
    /// Its sentence.
    pub meaning: String,
}

/// The backend's own keys.
#[must_use]
pub fn own_of(entry: &Entry) -> Value {
    rules::tidy(entry.schema().to_value())
}

/// Every key of a table, tables inside it included.
#[must_use]
pub fn keys(schema: &Value) -> Vec<Key> {
    let mut keys = Vec::new();
    collect(schema, "", &mut keys);
    keys
}

fn collect(schema: &Value, above: &str, keys: &mut Vec<Key>) {
    let required: Vec<_> = rules::required(schema).collect();
    for (name, rule) in rules::properties(schema).into_iter().flatten() {
        let path = super::walk::join(above, name);
        if rules::properties(rule).is_some() && !rules::is_secret(rule) {
            collect(rule, &path, keys);
            continue;
        }
        let default = match rule.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Some(Value::Object(empty)) if empty.is_empty() => String::new(),
            Some(Value::Array(empty)) if empty.is_empty() => String::new(),
            None => String::new(),
            Some(default) => format!("`{default}`"),
        };
        keys.push(Key { path, sort: sort_words(rule), default, meaning: meaning(rule) });
    }
}

/// "duration", "`primary` or `standby`", "list of texts".
fn sort_words(schema: &Value) -> String {
    if rules::is_secret(schema) {
        return "secret".into();
    }
    if let Some(words) = rules::words(schema) {
        return rules::one_of(&words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>());
    }
    if let Some(branches) = rules::branches(schema) {
        return rules::one_of(&branches.iter().map(sort_words).collect::<Vec<_>>());
    }
    match rules::sort(schema) {
        Sort::Text => match schema["format"].as_str() {
            Some("duration") => "duration",
            Some("url") => "URL",
            Some("socket-address") => "address and port",
            _ => "text",
        }
        .into(),
        Sort::Whole => format!("whole number{}", bounds(schema)),
        Sort::Number => format!("number{}", bounds(schema)),
        Sort::Switch => "`true` or `false`".into(),
        Sort::List => format!("list of: {}", sort_words(&schema["items"])),
        Sort::Table => format!("table of: {}", sort_words(&schema["additionalProperties"])),
        Sort::Anything => "any value".into(),
    }
}

fn bounds(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least.as_f64() != Some(0.0) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        _ => String::new(),
    }
}

/// The sentence of a key, with those of its words.
fn meaning(schema: &Value) -> String {
    let mut meaning = schema["description"].as_str().unwrap_or_default().to_owned();
    if rules::words(schema).is_some() {
        for branch in rules::branches(schema).into_iter().flatten() {
            if let (Some([word]), Some(sentence)) = (rules::words(branch).as_deref(), branch["description"].as_str()) {
                meaning = format!("{meaning} `{word}`: {sentence}");
            }
        }
    }
    meaning
}
