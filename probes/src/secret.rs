//! Passwords, tokens and keys: named by reference, read when they are needed, never printed.
//!
//! There is no `Display` and no `Serialize`; `Debug` prints `[secret]`.

use std::{fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, FailureKind},
    plain::{spaced_path, spaced_variable},
};

/// Longest secret that is read from a file, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Where a secret comes from.
#[derive(Clone)]
pub struct Secret(Source);

#[derive(Clone)]
enum Source {
    Value(Zeroizing<String>),
    File(PathBuf),
    Env(String),
}

impl Secret {
    /// A secret that is at hand.
    #[must_use]
    pub fn value(text: impl Into<String>) -> Self {
        Self(Source::Value(Zeroizing::new(text.into())))
    }

    /// A secret in a file; one trailing line break is not part of it. It is read anew for every fresh session.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// A secret in an environment variable.
    #[must_use]
    pub fn env(name: impl Into<String>) -> Self {
        Self(Source::Env(name.into()))
    }

    /// The file it is read from, if it is in one.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Source::File(path) => Some(path),
            _ => None,
        }
    }

    /// Its present value.
    ///
    /// # Errors
    /// A `config` failure that names the file or the variable, never the value.
    pub fn read(&self) -> Result<Zeroizing<String>, Failure> {
        match &self.0 {
            Source::Value(value) => Ok(value.clone()),
            Source::File(path) => read_limited(path).map_err(|error| {
                Failure::new(FailureKind::Config, format!("the secret file{} cannot be read: {error}", spaced_path(path)))
                    .with_remedy("Create the file, or make it readable for the user that Probity runs as.")
            }),
            Source::Env(name) => match std::env::var(name) {
                Ok(value) => Ok(Zeroizing::new(value)),
                Err(_) => Err(Failure::new(
                    FailureKind::Config,
                    format!("the environment variable{} of a secret is not set", spaced_variable(name)),
                )
                .with_remedy("Set the variable in the environment of Probity.")),
            },
        }
    }
}

fn read_limited(path: &std::path::Path) -> Result<Zeroizing<String>, String> {
    use std::io::Read;
    let words = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "it does not exist".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text)).map_err(words)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "snake_case")]
        enum Reference {
            File(PathBuf),
            Env(String),
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected { file = \"PATH\" } or { env = \"NAME\" }")]
        enum Written {
            Text(String),
            Reference(Reference),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self::value(text),
            Written::Reference(Reference::File(path)) => Self::file(path),
            Written::Reference(Reference::Env(name)) => Self::env(name),
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret by reference: `{ file = \"PATH\" }` or `{ env = \"NAME\" }`; typed out only with `allow_literal_secrets`.",
            "oneOf": [
                { "type": "string", "writeOnly": true },
                { "type": "object", "properties": { "file": { "type": "string", "description": "Path of a file that holds the secret and nothing else." } }, "required": ["file"], "additionalProperties": false },
                { "type": "object", "properties": { "env": { "type": "string", "description": "Name of an environment variable that holds the secret." } }, "required": ["env"], "additionalProperties": false },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("a string is a secret");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(*secret.read().expect("it is at hand"), "hunter2");
    }

    #[test]
    fn a_missing_file_is_a_clear_sentence() {
        let failure = Secret::file("/nowhere/at-all").read().expect_err("there is no such file");
        assert_eq!(failure.message, "the secret file /nowhere/at-all cannot be read: it does not exist");
    }
}
