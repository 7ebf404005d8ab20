//! From a file to a plan. A wrong catalog never starts half: every mistake is found in one go, each
//! with its place, and none of the lines that are shown has a secret in it.

mod build;
mod expand;
mod file;
mod keys;
mod known;
mod mask;
mod mistake;
pub mod plan;
mod rules;
mod scalar;
pub mod schema;
mod secrets;
mod source;
mod unsupported;
mod url;
mod walk;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use probity_probes::{Entry, address::nearest, find, plain, registry};
use serde_json::Value;
use toml::de::DeValue;

pub use self::{build::LONGEST_NAME, mistake::Mistakes};
use self::{
    build::{Defaults, Draft, bad_name},
    expand::{Environment, NotText},
    file::{Document, Section},
    keys::AgentKeys,
    known::KnownKeys,
    mistake::{Mistake, Shown},
    plan::{AgentPlan, DependencyPlan, Plan},
    source::{File, Place, Source},
    unsupported::Where,
    walk::Walk,
};

/// Where the catalog is unless told otherwise.
pub const DEFAULT_PATH: &str = "probe-catalog.toml";

/// The agent of a catalog without a word about it.
#[must_use]
pub fn default_agent() -> AgentPlan {
    build::agent(&AgentKeys::default())
}

/// Where the agent of a catalog listens, as far as that can be read: other mistakes do not matter. `None` where the
/// catalog does not say so, or cannot be read.
#[must_use]
pub fn listen(source: &Path) -> Option<SocketAddr> {
    let read = source::read(source).ok()?;
    let agent = Document::parse(&read.files).agent?;
    let DeValue::String(written) = build::get(&agent.table, "listen")?.get_ref() else { return None };
    expand::expand(written, &environment).ok()?.text.parse().ok()
}

/// Reads a catalog, a file or a folder, and builds everything in it for one of the processes that may share it: what
/// the agent writes in a round trip, a check beside it leaves alone.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(source: &Path, process: &'static str) -> Result<Plan, Mistakes> {
    read(source, process, &environment)
}

/// A variable of the process; it is no text where it is not UTF-8.
fn environment(name: &str) -> Result<Option<String>, NotText> {
    match std::env::var_os(name) {
        None => Ok(None),
        Some(value) => value.into_string().map(Some).map_err(|_| NotText),
    }
}

/// Like [`load`], with an environment of the caller's.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_with(source: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Mistakes> {
    read(source, "test", &|name| Ok(environment(name)))
}

fn read(source: &Path, process: &'static str, environment: Environment<'_>) -> Result<Plan, Mistakes> {
    let Source { files, warnings } = source::read(source).map_err(|mistakes| Mistakes::new(Vec::new(), mistakes))?;
    let mut loader = Loader::new(&files, process, environment);
    loader.warnings = warnings;
    loader.load()
}

/// All files that a catalog names are looked at within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known while a catalog is read.
struct Loader<'a> {
    files: &'a [File],
    /// When it is no longer waited for files.
    deadline: Instant,
    process: &'static str,
    environment: Environment<'a>,
    schemas: BTreeMap<&'static str, Value>,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
    hidden: Vec<Place>,
    cleared: Vec<Place>,
}

impl<'a> Loader<'a> {
    fn new(files: &'a [File], process: &'static str, environment: Environment<'a>) -> Self {
        let schemas = registry().iter().filter_map(|row| Some((row.kind, schema::entry(&row.entry?)))).collect();
        Self {
            files,
            deadline: Instant::now() + PATIENCE,
            process,
            environment,
            schemas,
            mistakes: Vec::new(),
            warnings: Vec::new(),
            hidden: Vec::new(),
            cleared: Vec::new(),
        }
    }

    fn load(mut self) -> Result<Plan, Mistakes> {
        let mut document = Document::parse(self.files);
        let keys = self.agent(document.agent.as_ref());
        let defaults = self.defaults(document.defaults.as_ref());
        let mut dependencies = Vec::new();
        for section in &document.dependencies {
            dependencies.extend(self.dependency(section, &keys, &defaults, document.is_broken()));
        }
        let mut mistakes = std::mem::take(&mut document.mistakes);
        mistakes.extend(self.mistakes.drain(..).filter(|mistake| !document.is_doubtful(mistake)));
        if document.dependencies.is_empty() && mistakes.is_empty() {
            let path = self.files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
            let mistake = Mistake::general(format!("{path} declares no dependency"));
            mistakes.push(mistake.help("add at least one [dependencies.NAME]"));
        }
        if !mistakes.is_empty() {
            self.hidden.append(&mut document.hidden);
            return Err(Mistakes::new(self.shown(&document.broken), mistakes));
        }
        Ok(Plan { agent: build::agent(&keys), dependencies, warnings: self.warnings })
    }

    fn agent(&mut self, section: Option<&Section<'_>>) -> AgentKeys {
        let Some(section) = section else { return AgentKeys::default() };
        let mut walk = self.walk(section, Where::Agent);
        let twin = walk.table(&section.table, &schema::agent(), section.header.clone(), "");
        self.absorb(walk, "[agent]");
        let header = Place::new(section.file, section.header.clone());
        match twin.map(|twin| build::read(twin.value, header)) {
            Some(Ok(keys)) => keys,
            Some(Err(mistake)) => {
                self.mistakes.push(mistake);
                AgentKeys::default()
            }
            // Other tables are still looked at; what depends on this switch must not pile up.
            None => AgentKeys { allow_literal_secrets: says_yes(section, "allow_literal_secrets"), ..AgentKeys::default() },
        }
    }

    fn defaults<'s>(&mut self, section: Option<&'s Section<'s>>) -> Defaults<'s> {
        let Some(section) = section else { return Defaults::new(None, &Value::Null) };
        let mut walk = self.walk(section, Where::Dependency);
        let twin = walk.sound_part(&section.table, &schema::common(), section.header.clone(), "");
        self.absorb(walk, "[defaults]");
        Defaults::new(Some(section), &twin.value)
    }

    fn dependency(
        &mut self,
        section: &Section<'_>,
        keys: &AgentKeys,
        defaults: &Defaults<'_>,
        broken: bool,
    ) -> Option<DependencyPlan> {
        let mut walk = self.walk(section, Where::Dependency);
        walk.allow_literal_secrets = keys.allow_literal_secrets;
        walk.strict_secret_files = keys.strict_secret_files;
        let shown = if plain::is_name(&section.name) { format!("`{}`", section.name) } else { "this".to_owned() };
        walk.show_if(shown != "this", section.header.clone());
        if bad_name(&section.name) {
            walk.mistake(section.header.clone(), format!("{shown} cannot be the name of a dependency")).help =
                Some(format!("up to {LONGEST_NAME} of a-z, 0-9, `.`, `_` and `-`, starting with a letter or a digit"));
        }
        let plan = self.planned(section, defaults, keys, broken, &mut walk);
        self.absorb(walk, &section.name);
        plan
    }

    fn planned(
        &self,
        section: &Section<'_>,
        defaults: &Defaults<'_>,
        agent: &AgentKeys,
        broken: bool,
        walk: &mut Walk<'_>,
    ) -> Option<DependencyPlan> {
        let (kind, entry) = backend(section, walk)?;
        let schema = self.schemas.get(kind)?;
        let twin = walk.sound_part(&section.table, schema, section.header.clone(), "");
        if broken {
            return None;
        }
        Draft { section, entry, kind, schema, twin, defaults, agent, process: self.process }.build(walk)
    }

    fn walk(&self, section: &Section<'_>, words: Where) -> Walk<'a> {
        let source = self.files.get(section.file).map_or("", |file| file.text.as_str());
        Walk::new(section.file, source, self.environment, words, self.deadline)
    }

    fn absorb(&mut self, walk: Walk<'_>, name: &str) {
        self.mistakes.extend(walk.mistakes);
        self.warnings.extend(walk.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
        let place = |span| Place::new(walk.file, span);
        self.hidden.extend(walk.hidden.into_iter().map(place));
        self.cleared.extend(walk.cleared.into_iter().map(place));
    }

    /// The files as they may be shown. Where one is no TOML, nobody knows for certain what is no secret.
    fn shown(&self, broken: &[Place]) -> Vec<Shown> {
        let mut known = KnownKeys::default();
        known.learn(&schema::catalog());
        self.schemas.values().for_each(|schema| known.learn(schema));
        let of = |places: &[Place], file: usize| -> Vec<_> {
            places.iter().filter(|place| place.file == file).map(|place| place.start..place.end).collect()
        };
        let mask = |(index, file): (usize, &File)| {
            let places = mask::Places {
                hidden: of(&self.hidden, index),
                cleared: if broken.is_empty() { of(&self.cleared, index) } else { Vec::new() },
                broken: of(broken, index).into_iter().map(|span| span.start).collect(),
            };
            Shown { path: file.path.clone(), text: mask::mask(&file.text, &known, &places) }
        };
        self.files.iter().enumerate().map(mask).collect()
    }
}

/// The backend of a dependency; without one, its keys cannot be judged.
fn backend(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<(&'static str, &'static Entry)> {
    let Some(item) = build::get(&section.table, "backend") else {
        let shown = if plain::is_name(&section.name) { format!("`{}`", section.name) } else { "this dependency".to_owned() };
        walk.mistake(section.header.clone(), format!("{shown} has no backend")).label = "needs `backend = \"…\"`".into();
        return None;
    };
    let DeValue::String(raw) = item.get_ref() else {
        walk.hidden.push(item.span());
        walk.mistake(item.span(), "`backend` must be a text in quotes");
        return None;
    };
    let expanded = walk.expand(raw, item.span())?;
    let is_typed = expanded.is_typed(0..expanded.text.len());
    let word = expanded.text;
    let kinds = || registry().iter().map(|row| row.kind);
    walk.show_if(is_typed && plain::near(&word, kinds()).is_some(), item.span());
    let meant = match find(&word) {
        Ok(_) => Some(word.as_str()),
        // What else is wrong with the entry is told in the same go, by the backend that was most likely meant.
        Err(title) => {
            let title =
                if is_typed { title } else { format!("unknown backend; known are {}", kinds().collect::<Vec<_>>().join(", ")) };
            walk.mistake(item.span(), title);
            nearest(&word, kinds())
        }
    }?;
    kinds().find(|kind| *kind == meant).zip(find(meant).ok())
}

/// Whether a switch is on, in a table that is wrong elsewhere.
fn says_yes(section: &Section<'_>, name: &str) -> bool {
    build::get(&section.table, name).is_some_and(|item| matches!(item.get_ref(), DeValue::Boolean(true)))
}
