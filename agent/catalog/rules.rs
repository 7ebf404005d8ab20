//! What a position of the catalog may hold: a view of JSON Schema, as schemars derives it from the
//! types of the agent's own keys and of a backend's configuration.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of a type, with every reference resolved in place and without `null`, which TOML lacks.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.shift_remove("$schema");
        object.shift_remove("title");
    }
    tidy(schema)
}

/// Removes what stands for "absent" in JSON: the type `null`, branches of it, defaults of it.
pub(super) fn tidy(schema: Value) -> Value {
    let Value::Object(mut object) = schema else { return schema };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            object["type"] = only.clone();
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.shift_remove("default");
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        let Some(Value::Array(branches)) = object.shift_remove(word) else { continue };
        let mut branches: Vec<_> = branches.into_iter().filter(|branch| branch["type"] != "null").map(tidy).collect();
        match (branches.len(), branches.pop()) {
            (1, Some(Value::Object(only))) => {
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
            (_, Some(last)) => {
                branches.push(last);
                object.insert(word.into(), Value::Array(branches));
            }
            (_, None) => {}
        }
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for value in properties.values_mut() {
            *value = tidy(value.take());
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(word) {
            *inner = tidy(inner.take());
        }
    }
    Value::Object(object)
}

/// One entry out of two halves: the properties of both, tables that both know merged likewise.
pub(super) fn merge(first: &Value, second: &Value) -> Value {
    let mut properties = properties(first).cloned().unwrap_or_default();
    for (key, value) in self::properties(second).into_iter().flatten() {
        let merged = match properties.get(key) {
            Some(known) if self::properties(known).is_some() && self::properties(value).is_some() => merge(known, value),
            _ => value.clone(),
        };
        properties.insert(key.clone(), merged);
    }
    let mut merged = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Some(description) = first.get("description").or_else(|| second.get("description")) {
        merged["description"] = description.clone();
    }
    let required: Vec<_> = [first, second].into_iter().flat_map(required).collect();
    if !required.is_empty() {
        merged["required"] = json!(required);
    }
    merged
}

/// The named keys of a table.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The keys that a table must have.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The schema of all keys without a name of their own, in a table that takes any.
pub(super) fn others(schema: &Value) -> Option<&Value> {
    let others = schema.get("additionalProperties")?;
    (others.is_object() || *others == true).then_some(others)
}

/// The alternatives of a position.
pub(super) fn branches(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()
}

/// Whether a secret stands here.
pub(super) fn is_secret(schema: &Value) -> bool {
    schema["writeOnly"] == true || branches(schema).is_some_and(|branches| branches.iter().any(is_secret))
}

/// The words of an enumeration, if this is one and nothing else.
pub(super) fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const") {
        return Some(vec![word.as_str()?]);
    }
    if let Some(words) = schema.get("enum") {
        return words.as_array()?.iter().map(Value::as_str).collect();
    }
    let parts: Option<Vec<_>> = branches(schema)?.iter().map(words).collect();
    Some(parts?.into_iter().flatten().collect())
}

/// The sort of value that a schema without alternatives asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Text,
    Whole,
    Number,
    Switch,
    List,
    Table,
    Anything,
}

/// Which sort that is.
pub(super) fn sort(schema: &Value) -> Sort {
    match schema["type"].as_str() {
        Some("string") => Sort::Text,
        Some("integer") => Sort::Whole,
        Some("number") => Sort::Number,
        Some("boolean") => Sort::Switch,
        Some("array") => Sort::List,
        Some("object") => Sort::Table,
        _ if schema.get("const").or_else(|| schema.get("enum")).is_some() => Sort::Text,
        _ if properties(schema).is_some() => Sort::Table,
        _ => Sort::Anything,
    }
}

/// What is expected here, in words: "a duration with its unit, such as "10s"".
pub(super) fn expected(schema: &Value) -> String {
    if is_secret(schema) {
        return "`{ file = \"PATH\" }` or `{ env = \"NAME\" }`".into();
    }
    if let Some(words) = words(schema) {
        return one_of(&words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>());
    }
    if let Some(branches) = branches(schema) {
        let mut kinds: Vec<_> = branches.iter().map(expected).collect();
        kinds.dedup();
        return one_of(&kinds);
    }
    match sort(schema) {
        Sort::Text => match schema["format"].as_str() {
            Some("duration") => "a duration with its unit, such as \"10s\"".into(),
            Some("url") => "a URL in quotes".into(),
            Some("socket-address") => "an address and a port, such as \"127.0.0.1:8686\"".into(),
            _ => "a text in quotes".into(),
        },
        Sort::Whole => "a whole number".into(),
        Sort::Number => "a number".into(),
        Sort::Switch => "true or false".into(),
        Sort::List => match schema.get("items") {
            Some(items) if sort(items) == Sort::Text && words(items).is_none() => "a list of texts, `[\"…\"]`".into(),
            _ => "a list, `[…]`".into(),
        },
        Sort::Table => "a table, `{ … }`".into(),
        Sort::Anything => "a value".into(),
    }
}

/// "a", "a or b", "a, b or c".
pub(super) fn one_of(kinds: &[String]) -> String {
    match kinds {
        [] => String::new(),
        [only] => only.clone(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_is_not_an_alternative() {
        let schema =
            tidy(json!({ "anyOf": [{ "type": ["integer", "null"], "minimum": 1 }, { "type": "null" }], "default": null }));
        assert_eq!(schema, json!({ "type": "integer", "minimum": 1 }));
    }

    #[test]
    fn tables_that_both_halves_know_are_merged() {
        let half = |key: &str| json!({ "type": "object", "properties": { "degraded": { "type": "object", "properties": { key: { "type": "number" } } } }, "required": [key] });
        let merged = merge(&half("a"), &half("b"));
        assert_eq!(
            merged["properties"]["degraded"]["properties"],
            json!({ "a": { "type": "number" }, "b": { "type": "number" } })
        );
        assert_eq!(required(&merged).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn expectations_are_sentences() {
        assert_eq!(expected(&json!({ "oneOf": [{ "const": "a" }, { "enum": ["b", "c"] }] })), "\"a\", \"b\" or \"c\"");
        assert_eq!(
            expected(&json!({ "anyOf": [{ "type": "integer" }, { "type": "array" }] })),
            "a whole number or a list, `[…]`"
        );
    }
}
