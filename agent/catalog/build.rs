//! From checked tables to a plan: defaults filled in, rules between keys, the probe built.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use probity_probes::{
    ConfigError, Entry, Options, Secret,
    duration::Span,
    plain::{self, serde_words},
    wire::resolve::Resolver,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::host;

use super::{
    file::Section,
    keys::{AgentKeys, CommonKeys, DegradedKeys, OwnKeys},
    mistake::Mistake,
    plan::{AgentPlan, Criticality, DependencyPlan, Readiness, Timing, Words},
    rules,
    secrets::Use,
    source::Place,
    walk::{Twin, Walk},
};

/// From one run to the next, at least.
const SHORTEST_INTERVAL: Span = Span::millis(100);
/// From one run to the next, at most.
const LONGEST_INTERVAL: Span = Span::days(1);
/// A whole run, at least.
const SHORTEST_TIMEOUT: Span = Span::millis(10);

/// The names of the keys that the agent itself understands; all others are the backend's.
static OWN: LazyLock<Vec<String>> = LazyLock::new(names::<OwnKeys>);
static COMMON: LazyLock<Vec<String>> = LazyLock::new(names::<CommonKeys>);
static DEGRADED: LazyLock<Vec<String>> = LazyLock::new(names::<DegradedKeys>);

fn names<T: JsonSchema>() -> Vec<String> {
    rules::properties(&rules::schema_of::<T>()).into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// Labels that `probity_dependency_info` has anyway.
const TAKEN_LABELS: [&str; 12] =
    ["dependency", "backend", "criticality", "version", "role", "mode", "owner", "runbook", "instance", "job", "le", "quantile"];

/// The plan of `[agent]`.
pub(super) fn agent(keys: &AgentKeys) -> AgentPlan {
    AgentPlan {
        id: keys.id.clone().unwrap_or_else(|| host::name().to_owned()),
        listen: keys.listen,
        readiness: keys.readiness,
        fail_open_after: keys.fail_open_after.map(|span| span.0),
        verbose_errors: keys.verbose_errors,
        max_in_flight: keys.max_in_flight.map(Into::into),
    }
}

/// The longest name of a dependency.
pub const LONGEST_NAME: usize = 63;

/// Why a name cannot be that of a dependency.
pub(super) fn bad_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.chars().all(inside)
        || name.starts_with(|c: char| !c.is_ascii_alphanumeric())
}

/// Checked keys as their type.
pub(super) fn read<T: DeserializeOwned>(value: Value, header: Place) -> Result<T, Mistake> {
    serde_json::from_value(value).map_err(|error| Mistake::at(header, serde_words(&error)))
}

/// One dependency whose keys were checked, on its way to a plan.
pub(super) struct Draft<'a> {
    pub(super) section: &'a Section<'a>,
    pub(super) entry: &'static Entry,
    pub(super) kind: &'static str,
    /// The schema of the whole entry.
    pub(super) schema: &'a Value,
    pub(super) twin: Twin,
    pub(super) defaults: &'a Defaults<'a>,
    pub(super) agent: &'a AgentKeys,
    pub(super) process: &'static str,
}

/// What `[defaults]` says, over what is built in.
pub(super) struct Defaults<'a> {
    section: Option<&'a Section<'a>>,
    values: Value,
}

impl<'a> Defaults<'a> {
    pub(super) fn new(section: Option<&'a Section<'a>>, written: &Value) -> Self {
        let mut values = json!(CommonKeys::default());
        lay_over(&mut values, written);
        Self { section, values }
    }
}

/// Sets every key of one table in another, and goes into tables that both have.
fn lay_over(below: &mut Value, above: &Value) {
    for (key, value) in above.as_object().into_iter().flatten() {
        match below.get_mut(key) {
            Some(known) if known.is_object() && value.is_object() => lay_over(known, value),
            _ => below[key] = value.clone(),
        }
    }
}

impl Draft<'_> {
    /// Splits the agent's keys from the backend's, holds the rules between keys, and builds the probe.
    pub(super) fn build(mut self, walk: &mut Walk<'_>) -> Option<DependencyPlan> {
        let sound = walk.mistakes.is_empty();
        let (common, own) = match self.split() {
            Ok(halves) => halves,
            Err(mistake) => {
                walk.mistakes.push(mistake);
                return None;
            }
        };
        self.check_times(&common, walk);
        self.check_labels(&own, walk);
        self.check_tls_files(walk);
        if sound && walk.mistakes.is_empty() {
            self.warn(&common, walk);
        }
        let options = Options {
            depth: common.depth,
            deep_interval: common.deep_interval.0,
            roundtrip_interval: common.roundtrip_interval.0,
            name: format!(
                "{}/{}/{}/{}",
                host::name(),
                self.agent.id.as_deref().unwrap_or_default(),
                self.process,
                self.section.name
            ),
            fresh_every: common.fresh_every.0,
            connection: common.connection,
            require_coverage: common.require_coverage,
            latency: common.degraded.latency.map(|span| span.0),
            certificate: common.degraded.certificate.0,
            resolver: Resolver::System,
            concealed: walk.concealed.iter().map(Secret::value).collect(),
        };
        let probe = match self.entry.build(self.twin.value.take(), options) {
            Ok(probe) => probe,
            Err(error) => {
                self.blame(error, sound, walk);
                return None;
            }
        };
        if !walk.mistakes.is_empty() {
            return None;
        }
        let resolved = self.resolve(&common, &own);
        Some(DependencyPlan {
            name: Arc::from(self.section.name.as_str()),
            backend: self.kind,
            criticality: common.criticality,
            timing: Timing {
                interval: common.interval.0,
                timeout: common.timeout.0,
                fall: common.fall,
                rise: common.rise,
                startup_grace: common.startup_grace.0,
            },
            words: Words { description: own.description, owner: own.owner, runbook: own.runbook, labels: own.labels },
            shared: common.shared,
            resolved,
            probe,
        })
    }

    /// Takes the agent's keys out of the value; what stays is the backend's.
    fn split(&mut self) -> Result<(CommonKeys, OwnKeys), Mistake> {
        let header = || Place::new(self.section.file, self.section.header.clone());
        let mut common = self.defaults.values.clone();
        let mut own = Map::new();
        if let Some(value) = self.twin.value.as_object_mut() {
            own.extend(OWN.iter().filter_map(|key| value.shift_remove_entry(key)));
            for key in COMMON.iter().filter(|key| *key != "degraded") {
                if let Some(set) = value.shift_remove(key) {
                    common[key] = set;
                }
            }
            if let Some(Value::Object(degraded)) = value.get_mut("degraded") {
                for key in DEGRADED.iter() {
                    if let Some(set) = degraded.shift_remove(key) {
                        common["degraded"][key] = set;
                    }
                }
                if degraded.is_empty() {
                    value.shift_remove("degraded");
                }
            }
        }
        Ok((read(common, header())?, read(Value::Object(own), header())?))
    }

    fn check_times(&self, common: &CommonKeys, walk: &mut Walk<'_>) {
        let table = &self.section.table;
        let is_spoiled = |key: &str| get(table, key).is_some() && self.twin.shown.get(key).is_none();
        if is_spoiled("interval") || is_spoiled("timeout") {
            return;
        }
        let header = Place::new(self.section.file, self.section.header.clone());
        // Where it is written: here, in [defaults], nowhere.
        let written = |key: &str| {
            let here = find(table, key).map(|span| Place::new(self.section.file, span));
            let above = || self.defaults.section.and_then(|section| Some(Place::new(section.file, find(&section.table, key)?)));
            here.map(|place| (true, place)).or_else(|| above().map(|place| (false, place)))
        };
        let place = |key: &str| written(key).map(|(_, place)| place);
        let CommonKeys { interval, timeout, .. } = *common;
        let mistake = if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
            let title = format!("`interval` must be between {SHORTEST_INTERVAL} and {LONGEST_INTERVAL}");
            Mistake::at(place("interval").unwrap_or(header), title)
        } else if timeout < SHORTEST_TIMEOUT {
            Mistake::at(place("timeout").unwrap_or(header), format!("`timeout` must be at least {SHORTEST_TIMEOUT}"))
        } else if timeout >= interval {
            let title = format!("`timeout` ({timeout}) must be shorter than `interval` ({interval})");
            let (key, other, value) = match (written("timeout"), written("interval")) {
                (Some((true, _)), _) | (Some(_), None | Some((false, _))) => ("timeout", "interval", interval),
                _ => ("interval", "timeout", timeout),
            };
            Mistake::at(place(key).unwrap_or(header), title).label(format!("`{other}` is {value}"))
        } else {
            return;
        };
        walk.mistakes.push(mistake);
    }

    fn check_labels(&self, own: &OwnKeys, walk: &mut Walk<'_>) {
        for name in own.labels.keys() {
            let at = self.place_of_label(name).unwrap_or_else(|| self.section.header.clone());
            let sound = !name.starts_with("__")
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !sound {
                let shown = if plain::is_name(name) { format!("`{name}`") } else { "this".to_owned() };
                walk.mistake(at, format!("{shown} cannot be the name of a label")).help =
                    Some("letters, digits and `_`, not starting with a digit or `__`".into());
            } else if TAKEN_LABELS.contains(&name.as_str()) {
                walk.mistake(at, format!("the label `{name}` is taken by Probity or Prometheus"));
            }
        }
    }

    fn place_of_label(&self, name: &str) -> Option<Range<usize>> {
        let DeValue::Table(labels) = get(&self.section.table, "labels")?.get_ref() else { return None };
        labels.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span())
    }

    fn check_tls_files(&self, walk: &mut Walk<'_>) {
        for (key, what) in [("ca", Use::Public), ("cert", Use::Public), ("key", Use::Key)] {
            let path = format!("tls.{key}");
            if let (Some(file), Some(at)) = (self.twin.value["tls"][key].as_str(), find(&self.section.table, &path)) {
                walk.file(file, at, &path, what);
            }
        }
    }

    fn warn(&self, common: &CommonKeys, walk: &mut Walk<'_>) {
        let shared_is_said = find(&self.section.table, "shared").is_some();
        if common.criticality == Criticality::Required
            && common.shared
            && !shared_is_said
            && self.agent.readiness == Readiness::Strict
        {
            walk.warnings.push(
                "required and shared: every replica will leave the Service together when it fails; say `shared = false`, \
                 or `readiness = \"startup-only\"` in [agent], or `shared = true` if that is wanted"
                    .into(),
            );
        }
        if self.twin.value["tls"]["insecure"] == true {
            walk.warnings.push("`tls.insecure = true`: any certificate is accepted, from anyone".into());
        }
    }

    /// Puts the backend's complaint where its key stands. In an entry that has other mistakes it may be
    /// their consequence, and counts only when its own key is sound.
    fn blame(&self, error: ConfigError, sound: bool, walk: &mut Walk<'_>) {
        let found = find_nearest(&self.section.table, &error.key);
        let spoiled = |span: &Range<usize>| {
            walk.mistakes.iter().filter_map(|mistake| mistake.place.as_ref()).any(|place| span.contains(&place.start))
        };
        if !sound && found.as_ref().is_none_or(spoiled) {
            return;
        }
        let at = found.unwrap_or_else(|| self.section.header.clone());
        let mut message = error.message;
        for secret in walk.secrets.iter().filter(|secret| secret.len() >= 3) {
            message = message.replace(secret.as_str(), "[secret]");
        }
        walk.mistake(at, message);
    }

    /// The whole entry with every default, as it may be shown.
    fn resolve(&mut self, common: &CommonKeys, own: &OwnKeys) -> Value {
        let mut shown = self.twin.shown.take();
        lay_over(&mut shown, &json!(own));
        lay_over(&mut shown, &json!(common));
        shown["degraded"]["latency"] = json!(common.degraded.latency.unwrap_or(Span(self.entry.latency)));
        fill(&mut shown, self.schema);
        shown
    }
}

/// Fills in the defaults that a schema declares.
fn fill(value: &mut Value, schema: &Value) {
    let Some(object) = value.as_object_mut() else { return };
    for (key, rule) in rules::properties(schema).into_iter().flatten() {
        match (object.get_mut(key), rule.get("default")) {
            (Some(inner), _) => fill(inner, rule),
            (None, Some(default)) => {
                object.insert(key.clone(), without_nulls(default));
            }
            (None, None) => {}
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Where the value of a dotted key stands.
pub(super) fn find(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (key, item) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    match (rest, item.get_ref()) {
        (None, DeValue::Table(_)) => Some(key.span()),
        (None, _) => Some(item.span()),
        (Some(rest), DeValue::Table(inner)) => find(inner, rest),
        (Some(_), _) => None,
    }
}

/// The same, or as much of the path as is there.
fn find_nearest(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut path = path;
    loop {
        let bare = path.split('[').next().unwrap_or(path);
        if let Some(place) = find(table, bare) {
            return Some(place);
        }
        path = path.rsplit_once('.')?.0;
    }
}

/// The value at a key of a table.
pub(super) fn get<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, item)| item)
}
