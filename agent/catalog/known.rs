//! Which keys hold secrets: those of the schemas for certain, all others by their sound.

use std::collections::BTreeMap;

use probity_probes::address::nearest;

use super::rules;

/// Parts of a key that make its value a secret.
const SUSPICIOUS: [&str; 15] = [
    "pass",
    "pwd",
    "token",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "auth",
    "cookie",
    "credential",
    "jwt",
    "nkey",
    "seed",
    "bearer",
    "signature",
];

/// Whether a name says that its value is a secret, for certain: `author` does not.
pub(super) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "auth" | "authorization" | "proxy-authorization" | "key" | "sig")
        || SUSPICIOUS.iter().any(|part| *part != "auth" && name.contains(part))
        || name.ends_with("-key")
        || name.ends_with("_key")
}

/// Every key that any table knows, and whether a secret stands there.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownKeys(BTreeMap<String, bool>);

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    Plain,
    Unknown,
    Secret,
}

impl KnownKeys {
    /// Notes all keys of a schema.
    pub(super) fn learn(&mut self, schema: &serde_json::Value) {
        for (key, rule) in rules::properties(schema).into_iter().flatten() {
            let secret = rules::is_secret(rule);
            *self.0.entry(key.clone()).or_default() |= secret;
            if !secret {
                self.learn(rule);
            }
        }
        for branch in rules::branches(schema).into_iter().flatten() {
            self.learn(branch);
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(inner) {
                self.learn(inner);
            }
        }
    }

    /// Whether this very key is known, and holds no secret.
    pub(super) fn is_plain(&self, key: &str) -> bool {
        self.0.get(key) == Some(&false)
    }

    /// What the value of a key is, most likely.
    pub(super) fn guess(&self, key: &str) -> Guess {
        let key = key.to_ascii_lowercase();
        if matches!(key.as_str(), "file" | "env") {
            return Guess::Plain;
        }
        match self.0.get(&key) {
            Some(true) => return Guess::Secret,
            Some(false) => return Guess::Plain,
            None if SUSPICIOUS.iter().any(|part| key.contains(part)) => return Guess::Secret,
            None => {}
        }
        match nearest(&key, self.0.keys().map(String::as_str)).and_then(|near| self.0.get(near)) {
            Some(true) => Guess::Secret,
            Some(false) => Guess::Plain,
            None => Guess::Unknown,
        }
    }
}
