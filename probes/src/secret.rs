//! Passwords, tokens and keys: named by reference, read when they are needed, never printed.
//!
//! There is no `Display` and no `Serialize`; `Debug` prints `[secret]`.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, FailureKind},
    files::{self, Trouble},
    plain::{spaced_path, spaced_variable},
    run::{Phase, Run},
};

/// What a file with a secret is called in sentences.
pub(crate) const SECRET_FILE: &str = "secret file";

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

    /// A secret in a file; one trailing line break is not part of it. It is read again for every fresh session.
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
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Source::File(path) => Some(path),
            _ => None,
        }
    }

    /// Its present value. A file is read on the calling thread, which may block: a run uses `Run::secret`.
    ///
    /// # Errors
    /// A `config` failure that names the file or the variable, never the value.
    pub fn read(&self) -> Result<Zeroizing<String>, Failure> {
        match &self.0 {
            Source::Value(value) => Ok(value.clone()),
            Source::File(path) => match files::read(path, files::LIMIT) {
                Ok(bytes) => text_of(path, &bytes),
                Err(trouble) => Err(unreadable(path, &trouble)),
            },
            Source::Env(name) => from_environment(name),
        }
    }
}

fn mistake(sentence: impl Into<String>, remedy: &str) -> Failure {
    Failure::new(FailureKind::Config, sentence).with_remedy(remedy)
}

fn from_environment(name: &str) -> Result<Zeroizing<String>, Failure> {
    let told = |how: &str, remedy: &str| {
        Err(mistake(format!("the environment variable{} of a secret {how}", spaced_variable(name)), remedy))
    };
    match std::env::var_os(name).map(std::ffi::OsString::into_string) {
        None => told("is not set", "Set the variable in the environment of Probity."),
        Some(Err(_)) => told("is not UTF-8 text", "Set the variable to text in UTF-8."),
        Some(Ok(value)) if value.is_empty() => told("is empty", "Set the variable to the secret."),
        Some(Ok(value)) => Ok(Zeroizing::new(value)),
    }
}

/// Why a secret file was not read.
pub(crate) fn unreadable(path: &Path, trouble: &Trouble) -> Failure {
    let remedy = match trouble {
        Trouble::NotRegular(_) => "Name a regular file that holds the secret and nothing else.",
        Trouble::TooLarge(_) => "Name the file that holds the secret and nothing else.",
        Trouble::Late => "Check the file system that holds the file: a network mount may not respond.",
        _ => "Create the file, or make it readable for the user that Probity runs as.",
    };
    mistake(trouble.sentence(SECRET_FILE, path), remedy)
}

/// The secret in the bytes of a file: text without its last line break, and not nothing.
///
/// # Errors
/// A `config` failure that names the file and no byte of it.
pub fn text_of(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, Failure> {
    let told = |how: &str, remedy: &str| Err(mistake(format!("the secret file{} {how}", spaced_path(path)), remedy));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return told("is not UTF-8 text", "Write the secret as UTF-8 text, without a byte order mark or binary data.");
    };
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => told("is empty", "Write the secret to the file."),
        line if line.contains('\0') => told("contains a NUL byte", "Write the secret as plain text, without binary data."),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}

impl Run {
    /// The present value of a secret. From now on it is removed from every text of this run, and a
    /// change of its file leads to a fresh session.
    ///
    /// # Errors
    /// A `config` failure when it cannot be read, or not before the deadline.
    pub async fn secret(&mut self, secret: &Secret) -> Result<Zeroizing<String>, Failure> {
        let value = match secret.path() {
            Some(path) => match self.read_file(path).await {
                Ok(bytes) => text_of(path, &bytes),
                Err(trouble) => Err(unreadable(path, &trouble)),
            },
            None => secret.read(),
        };
        let value = value.map_err(|failure| self.stamp(Phase::Auth, failure))?;
        Arc::make_mut(&mut self.seen().redactor).learn(&value);
        Ok(value)
    }

    /// The same for one that may not be given.
    ///
    /// # Errors
    /// The same.
    pub async fn secret_if(&mut self, secret: Option<&Secret>) -> Result<Option<Zeroizing<String>>, Failure> {
        match secret {
            Some(secret) => self.secret(secret).await.map(Some),
            None => Ok(None),
        }
    }

    /// The bytes of a file, read beside the threads of runs. A change of the file leads to a fresh session.
    pub(crate) async fn read_file(&mut self, path: &Path) -> Result<Arc<Zeroizing<Vec<u8>>>, Trouble> {
        let (stamp, bytes) = files::read_by(self.deadline, path, files::LIMIT).await;
        self.stamps.push(stamp);
        bytes
    }
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
    fn what_cannot_be_a_secret_is_a_clear_sentence() {
        let failure = Secret::file("/nowhere/at-all").read().expect_err("there is no such file");
        assert_eq!(failure.message, "the secret file /nowhere/at-all cannot be read: it does not exist");
        let failure = Secret::file("/dev/zero").read().expect_err("it never ends");
        assert_eq!(failure.message, "the secret file /dev/zero is not a regular file: it is a device");
        let failure = Secret::file("/tmp").read().expect_err("it holds files");
        assert_eq!(failure.message, "the secret file /tmp is not a regular file: it is a folder");
        let failure = Secret::env("PROBITY_NO_SUCH_VARIABLE").read().expect_err("nobody sets it");
        assert_eq!(failure.message, "the environment variable PROBITY_NO_SUCH_VARIABLE of a secret is not set");
        for (bytes, how) in [
            (&b""[..], Some("is empty")),
            (b"\n", Some("is empty")),
            (b"\r\n", Some("is empty")),
            (b"a\0b\n", Some("contains a NUL byte")),
            (b"a\xff\n", Some("is not UTF-8 text")),
            (b" \n", None),
            (b"two\nlines\n", None),
        ] {
            let failure = text_of(Path::new("/s"), bytes).err().map(|failure| (failure.kind, failure.message));
            assert_eq!(failure, how.map(|how| (FailureKind::Config, format!("the secret file /s {how}"))));
        }
    }
}
