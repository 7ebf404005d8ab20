//! From checked tables to a plan: defaults filled in, rules between keys, the probe built.

use std::{ops::Range, sync::Arc};

use probity_probes::{
    ConfigError, Entry, Options,
    duration::Span,
    wire::resolve::Resolver,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    file::Section,
    keys::{AgentKeys, CommonKeys, OwnKeys},
    mistake::Mistake,
    plan::{AgentPlan, Criticality, DependencyPlan, Readiness, Timing, Words},
    rules,
    source::Place,
    walk::{Twin, Walk},
};

/// From one run to the next, at least.
const SHORTEST_INTERVAL: Span = Span::millis(100);
/// From one run to the next, at most.
const LONGEST_INTERVAL: Span = Span::days(1);
/// A whole run, at least.
const SHORTEST_TIMEOUT: Span = Span::millis(10);

/// Labels that `probity_dependency_info` has anyway.
const TAKEN_LABELS: [&str; 12] = [
    "dependency", "backend", "criticality", "version", "role", "mode", "owner", "runbook", "instance", "job", "le", "quantile",
];

/// The plan of `[agent]`.
pub(super) fn agent(keys: &AgentKeys) -> AgentPlan {
    AgentPlan {
        id: keys.id.clone().unwrap_or_else(host_name),
        listen: keys.listen,
        readiness: keys.readiness,
        fail_open_after: keys.fail_open_after.map(|span| span.0),
        verbose_errors: keys.verbose_errors,
        max_in_flight: keys.max_in_flight.map(Into::into),
    }
}

/// The name of this machine.
fn host_name() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = named.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "probity".into() } else { name.to_owned() }
}

/// Why a name cannot be that of a dependency.
pub(super) fn bad_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    name.is_empty()
        || name.len() > 63
        || !name.chars().all(inside)
        || name.starts_with(|c: char| !c.is_ascii_alphanumeric())
}

/// Checked keys as their type.
pub(super) fn read<T: DeserializeOwned>(value: Value, header: Place) -> Result<T, Mistake> {
    serde_json::from_value(value).map_err(|error| Mistake::at(header, error.to_string()))
}

/// One dependency whose keys were checked, on its way to a plan.
pub(super) struct Draft<'a> {
    pub(super) section: &'a Section<'a>,
    pub(super) entry: &'static Entry,
    pub(super) kind: &'static str,
    /// The schema of the whole entry.
    pub(super) schema: &'a Value,
    pub(super) twin: Twin,
    pub(super) defaults: &'a Value,
    pub(super) readiness: Readiness,
}

impl Draft<'_> {
    /// Splits the agent's keys from the backend's, holds the rules between keys, and builds the probe.
    pub(super) fn build(mut self, walk: &mut Walk<'_>) -> Option<DependencyPlan> {
        let before = walk.mistakes.len();
        let header = Place::new(self.section.file, self.section.header.clone());
        let (common, own) = match self.split() {
            Ok(halves) => halves,
            Err(why) => {
                walk.mistakes.push(Mistake { place: Some(header), ..why });
                return None;
            }
        };
        self.check_times(&common, walk);
        self.check_labels(&own, walk);
        self.check_tls_files(walk);
        if walk.mistakes.len() > before {
            return None;
        }
        self.warn(&common, walk);
        let options = Options {
            depth: common.depth,
            deep_interval: common.deep_interval.0,
            fresh_every: common.fresh_every.0,
            connection: common.connection,
            require_coverage: common.require_coverage,
            latency: common.degraded.latency.map(|span| span.0),
            certificate: common.degraded.certificate.0,
            resolver: Resolver::System,
        };
        let probe = match self.entry.build(self.twin.value.take(), options) {
            Ok(probe) => probe,
            Err(error) => {
                self.blame(error, walk);
                return None;
            }
        };
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
        let mut common = self.defaults.clone();
        let mut own = Map::new();
        if let Some(value) = self.twin.value.as_object_mut() {
            for key in rules::properties(&rules::schema_of::<OwnKeys>()).into_iter().flatten().map(|(key, _)| key) {
                own.extend(value.shift_remove_entry(key));
            }
            for key in rules::properties(&rules::schema_of::<CommonKeys>()).into_iter().flatten().map(|(key, _)| key) {
                if key != "degraded" && let Some(set) = value.shift_remove(key) {
                    common[key] = set;
                }
            }
            if let Some(Value::Object(degraded)) = value.get_mut("degraded") {
                for key in ["latency", "certificate"] {
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
        let interval = find(table, "interval");
        let timeout = find(table, "timeout");
        let header = self.section.header.clone();
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&common.interval) {
            let at = interval.clone().unwrap_or(header);
            walk.mistake(at, format!("`interval` must be between {SHORTEST_INTERVAL} and {LONGEST_INTERVAL}"));
            return;
        }
        if common.timeout < SHORTEST_TIMEOUT {
            let at = timeout.unwrap_or(header);
            walk.mistake(at, format!("`timeout` must be at least {SHORTEST_TIMEOUT}"));
            return;
        }
        if common.timeout >= common.interval {
            let title = format!("`timeout` ({}) must be shorter than `interval` ({})", common.timeout, common.interval);
            let label = match (&timeout, &interval) {
                (None, Some(_)) => format!("`timeout` is {} here", common.timeout),
                _ => format!("`interval` is {}", common.interval),
            };
            walk.mistake(timeout.or(interval).unwrap_or(header), title).label = label;
        }
    }

    fn check_labels(&self, own: &OwnKeys, walk: &mut Walk<'_>) {
        for name in own.labels.keys() {
            let at = find(&self.section.table, &format!("labels.{name}")).unwrap_or_else(|| self.section.header.clone());
            let sound = !name.starts_with("__")
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !sound {
                walk.mistake(at, format!("`{name}` cannot be the name of a label")).help =
                    Some("letters, digits and `_`, not starting with a digit or `__`".into());
            } else if TAKEN_LABELS.contains(&name.as_str()) {
                walk.mistake(at, format!("the label `{name}` is taken by Probity or Prometheus"));
            }
        }
    }

    fn check_tls_files(&self, walk: &mut Walk<'_>) {
        for (key, secret) in [("ca", false), ("cert", false), ("key", true)] {
            let path = format!("tls.{key}");
            if let (Some(file), Some(at)) = (self.twin.value["tls"][key].as_str(), find(&self.section.table, &path)) {
                walk.file(file, at, &path, secret);
            }
        }
    }

    fn warn(&self, common: &CommonKeys, walk: &mut Walk<'_>) {
        let shared_is_said = find(&self.section.table, "shared").is_some();
        if common.criticality == Criticality::Required
            && common.shared
            && !shared_is_said
            && self.readiness == Readiness::Strict
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

    /// Puts the backend's complaint where its key stands.
    fn blame(&self, error: ConfigError, walk: &mut Walk<'_>) {
        let at = find_nearest(&self.section.table, &error.key).unwrap_or_else(|| self.section.header.clone());
        let mut message = error.message;
        for secret in walk.secrets.iter().filter(|secret| secret.len() >= 3) {
            message = message.replace(secret.as_str(), "[secret]");
        }
        walk.mistake(at, message);
    }

    /// The whole entry with every default, as it may be shown.
    fn resolve(&mut self, common: &CommonKeys, own: &OwnKeys) -> Value {
        let mut shown = self.twin.shown.take();
        if let Some(shown) = shown.as_object_mut() {
            let written = json!({ "own": own, "common": common });
            for half in ["own", "common"] {
                for (key, value) in written[half].as_object().into_iter().flatten() {
                    match (shown.get_mut(key), value) {
                        (Some(Value::Object(known)), Value::Object(set)) => {
                            known.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
                        }
                        _ => {
                            shown.insert(key.clone(), value.clone());
                        }
                    }
                }
            }
            shown["degraded"]["latency"] = json!(common.degraded.latency.unwrap_or(Span(self.entry.latency)));
        }
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

/// For tests and defaults: the keys of `[defaults]` over the built-in ones.
pub(super) fn with_defaults(written: &Value) -> Value {
    let mut common = json!(CommonKeys::default());
    for (key, value) in written.as_object().into_iter().flatten() {
        match (common.get_mut(key), value) {
            (Some(Value::Object(known)), Value::Object(set)) => {
                known.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            _ => common[key] = value.clone(),
        }
    }
    common
}

/// The value at a key of a table.
pub(super) fn get<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, item)| item)
}

