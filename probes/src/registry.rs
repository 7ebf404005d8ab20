//! The table of backends: found by their word, built from a configuration.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use crate::{
    backend::{Backend, ConfigError, Options, Probe},
    manual::Manual,
    plain::{mistaken, serde_words},
    run::Depth,
    session::Asker,
};

/// One backend of this build, or one that was left out of it.
pub struct Registration {
    /// The word for it in the catalog.
    pub kind: &'static str,
    /// What this build has of it; `None` when its feature is off.
    pub entry: Option<Entry>,
}

/// What a build has of a backend.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What is declared about it.
    pub manual: &'static Manual,
    /// A catalog entry that works as it stands.
    pub example: &'static str,
    /// The query phase above which it is degraded by default.
    pub latency: std::time::Duration,
    /// Whether it can make a round trip.
    pub roundtrip: bool,
    schema: fn(&mut SchemaGenerator) -> Schema,
    build: fn(serde_json::Value, Options) -> Result<Arc<dyn Probe>, ConfigError>,
}

impl Registration {
    /// A backend that this build has.
    #[must_use]
    pub const fn of<B: Backend>() -> Self {
        let entry = Entry {
            manual: B::MANUAL,
            example: B::EXAMPLE,
            latency: B::LATENCY,
            roundtrip: B::ROUNDTRIP,
            schema: |generator| B::Config::json_schema(generator),
            build: build::<B>,
        };
        Self { kind: B::KIND, entry: Some(entry) }
    }

    /// A backend whose feature is off.
    #[must_use]
    pub const fn absent(kind: &'static str) -> Self {
        Self { kind, entry: None }
    }
}

impl Entry {
    /// JSON Schema of the backend's own keys, with every reference resolved in place.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let mut generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
        (self.schema)(&mut generator)
    }

    /// Builds a probe.
    ///
    /// # Errors
    /// The key at fault and a sentence.
    pub fn build(&self, config: serde_json::Value, options: Options) -> Result<Arc<dyn Probe>, ConfigError> {
        (self.build)(config, options)
    }
}

fn build<B: Backend>(config: serde_json::Value, options: Options) -> Result<Arc<dyn Probe>, ConfigError> {
    let config = serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        ConfigError::new(if path == "." { String::new() } else { path }, serde_words(&error.into_inner()))
    })?;
    if options.depth == Depth::Roundtrip && !B::ROUNDTRIP {
        return Err(ConfigError::new("depth", format!("`{}` has no round trip: its deepest questions are `deep`", B::KIND)));
    }
    Ok(Arc::new(Asker::new(B::build(config)?, options)))
}

/// Every backend Probity knows, in alphabetical order.
#[must_use]
pub fn registry() -> &'static [Registration] {
    crate::backends::TABLE
}

/// The backend of a word.
///
/// # Errors
/// A sentence with a suggestion, or that this build lacks it.
pub fn find(kind: &str) -> Result<&'static Entry, String> {
    match registry().iter().find(|registration| registration.kind == kind) {
        Some(Registration { entry: Some(entry), .. }) => Ok(entry),
        Some(_) => Err(format!("this build has no `{kind}` backend")),
        None => Err(mistaken("backend", kind, &registry().iter().map(|r| r.kind).collect::<Vec<_>>())),
    }
}
