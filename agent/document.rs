//! The one document: what `--check --format json`, `/health` and `/dependencies` say, in the same shapes.
//!
//! Absent, never null, where nothing is known; times in RFC 3339 UTC; numbers in base units. The shapes
//! are published as a JSON Schema and carry its version.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use probity_probes::{
    Facts, Failure, FailureKind, FaultDomain, Finding, Manual, Outcome, Phase, SessionKind, Severity, Status, Value,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::RecursiveTransform};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::{
    catalog::plan::{AgentPlan, Criticality, DependencyPlan},
    judge::{
        Standing, ViewStatus,
        readiness::{Member, reason, sum},
        why,
    },
    snapshot::Snapshot,
};

/// Version of the shapes: raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// How much a document may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Our own sentences only.
    #[default]
    Plain,
    /// The server's own words too: for `--check` and `verbose_errors`.
    Verbose,
}

/// What is known of everything.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Document {
    /// Version of this shape.
    pub schema: u32,
    /// Status of the whole.
    pub status: Status,
    /// Whether the application may get traffic.
    pub ready: bool,
    /// Why the status is not healthy, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Counts publications of the running agent; absent in `--check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Counts catalogs of the running agent; absent in `--check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// When this was true.
    pub at: Time,
    /// Who says so.
    pub agent: AgentEntry,
    /// Every dependency, in the catalog's order; absent where only the aggregate was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Vec<DependencyEntry>>,
}

/// The agent that made a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgentEntry {
    /// `agent.id` of the catalog.
    pub id: String,
    /// Version of Probity.
    pub version: Cow<'static, str>,
}

/// What is known of one dependency.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DependencyEntry {
    /// Its name in the catalog.
    #[schemars(with = "String")]
    pub name: Arc<str>,
    /// The word for what it is.
    pub backend: Cow<'static, str>,
    /// What it means for readiness.
    pub criticality: Criticality,
    /// The status; after hysteresis in the agent, raw in `--check`.
    pub status: ViewStatus,
    /// Since when it has this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the latest run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// When a run last ended healthy or degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// The query phase: what a request of the application would feel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_seconds: Option<f64>,
    /// The whole run without its close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Whether the session was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKind>,
    /// How long each phase took; one that did not happen is absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub phases_seconds: BTreeMap<&'static str, f64>,
    /// Whether every question was answered; absent when the run did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// The questions that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Why it is not well although it answered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingEntry>,
    /// What is known of the peer; names and units as in the reference of its backend.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: Facts,
    /// Why the latest run did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The latest failure, kept after recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The dependency that explains why this one is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed_by: Option<String>,
    /// The catalog's description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What to do when it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// The catalog's labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Whether every question of a run was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Every one.
    Full,
    /// Some were refused.
    Partial,
}

/// Why a dependency that answered is not well, and what to do about it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FindingEntry {
    /// The rule, as named in the reference of its backend.
    pub code: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub observed: Value,
    /// What it was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Value>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Cow<'static, str>>,
}

/// A failure and when it happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LastError {
    /// One of the 15 kinds.
    pub kind: FailureKind,
    /// Who most likely has to act.
    pub fault_domain: FaultDomain,
    /// The phase in which it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The server's own code, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// One sentence of ours.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The server's own words, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_message: Option<String>,
    /// When its run ended.
    pub at: Time,
}

/// A time in RFC 3339 UTC, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub jiff::Timestamp);

impl Document {
    /// Of one round of `--check`: raw outcomes, in the catalog's order.
    #[must_use]
    pub fn checked(agent: &AgentPlan, round: &[(Chosen<'_>, &Outcome)], detail: Detail) -> Self {
        let members = || round.iter().map(|(chosen, outcome)| chosen.member(outcome));
        let sum = sum(members());
        let reason = sum.worst.map(|index| {
            let (chosen, outcome) = round[index];
            reason(chosen.member(outcome), &why(outcome, &outcome.findings), sum.others)
        });
        Self {
            schema: SCHEMA,
            status: sum.status,
            ready: sum.blocking == 0,
            reason,
            revision: None,
            generation: None,
            at: Time(jiff::Timestamp::now()),
            agent: AgentEntry::of(agent),
            dependencies: Some(
                round.iter().map(|(chosen, outcome)| DependencyEntry::checked(*chosen, outcome, detail)).collect(),
            ),
        }
    }

    /// Of the running agent, without its dependencies.
    #[must_use]
    pub fn aggregate(snapshot: &Snapshot) -> Self {
        Self {
            schema: SCHEMA,
            status: snapshot.aggregate.status,
            ready: snapshot.aggregate.ready,
            reason: snapshot.aggregate.reason.clone(),
            revision: Some(snapshot.revision),
            generation: Some(snapshot.generation),
            at: Time(snapshot.at),
            agent: AgentEntry::of(&snapshot.agent),
            dependencies: None,
        }
    }
}

/// A dependency that a check asks, and what it counts there.
#[derive(Clone, Copy)]
pub struct Chosen<'a> {
    /// What is asked.
    pub plan: &'a DependencyPlan,
    /// What its outcome means for readiness.
    pub criticality: Criticality,
}

impl<'a> Chosen<'a> {
    fn member(self, outcome: &Outcome) -> Member<'a> {
        Member { name: &self.plan.name, criticality: self.criticality, status: outcome.status.into() }
    }
}

impl AgentEntry {
    /// Of an agent's plan.
    #[must_use]
    pub fn of(agent: &AgentPlan) -> Self {
        Self { id: agent.id.clone(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

impl DependencyEntry {
    /// Of an outcome as it is, for `--check`.
    #[must_use]
    pub fn checked(chosen: Chosen<'_>, outcome: &Outcome, detail: Detail) -> Self {
        let mut entry = Self { criticality: chosen.criticality, ..Self::declared(chosen.plan, outcome.status.into()) };
        entry.fill(outcome, &outcome.findings, chosen.plan.probe.manual(), detail);
        entry
    }

    /// Of a standing.
    #[must_use]
    pub fn of(standing: &Standing, detail: Detail) -> Self {
        let plan = &standing.dependency;
        let mut entry = Self::declared(plan, standing.status);
        entry.since = Some(Time(standing.since));
        entry.last_success = standing.last_success.map(Time);
        if let Some(outcome) = &standing.last {
            entry.fill(outcome, &standing.findings, plan.probe.manual(), detail);
        }
        entry.last_error = standing.last_error.as_ref().map(|past| LastError::of(&past.failure, past.at, detail));
        entry
    }

    fn declared(plan: &DependencyPlan, status: ViewStatus) -> Self {
        Self {
            name: Arc::clone(&plan.name),
            backend: plan.backend.into(),
            criticality: plan.criticality,
            status,
            since: None,
            checked_at: None,
            last_success: None,
            latency_seconds: None,
            duration_seconds: None,
            session: None,
            phases_seconds: BTreeMap::new(),
            coverage: None,
            missing: Vec::new(),
            findings: Vec::new(),
            facts: Facts::new(),
            failure: None,
            last_error: None,
            suppressed_by: None,
            description: plan.words.description.clone(),
            owner: plan.words.owner.clone(),
            runbook: plan.words.runbook.clone(),
            labels: plan.words.labels.clone(),
        }
    }

    fn fill(&mut self, outcome: &Outcome, findings: &[Finding], manual: &Manual, detail: Detail) {
        self.checked_at = Some(Time(outcome.at));
        self.latency_seconds = outcome.latency().map(|latency| latency.as_secs_f64());
        self.duration_seconds = Some(outcome.duration.as_secs_f64());
        self.session = outcome.session;
        self.phases_seconds = outcome.phases.iter().map(|(phase, time)| (phase.as_str(), time.as_secs_f64())).collect();
        self.coverage = outcome.depth.map(|_| if outcome.missing.is_empty() { Coverage::Full } else { Coverage::Partial });
        self.missing.clone_from(&outcome.missing);
        self.findings = findings.iter().map(|finding| FindingEntry::of(finding, manual)).collect();
        self.facts = outcome.facts.iter().filter(|(_, value)| is_known(value)).map(|(k, v)| (k.clone(), v.clone())).collect();
        self.failure = outcome.failure.as_ref().map(|failure| shown(failure, detail));
    }
}

impl FindingEntry {
    /// Of a finding, with the manual's remedy.
    #[must_use]
    pub fn of(finding: &Finding, manual: &Manual) -> Self {
        Self {
            code: finding.code.clone(),
            severity: finding.severity,
            observed: if is_known(&finding.observed) { finding.observed.clone() } else { finding.observed.to_string().into() },
            threshold: finding.threshold.clone().filter(is_known),
            remedy: manual.finding(&finding.code).map(|row| row.remedy.into()),
        }
    }
}

impl LastError {
    /// Of a failure and its time.
    #[must_use]
    pub fn of(failure: &Failure, at: jiff::Timestamp, detail: Detail) -> Self {
        let Failure { kind, fault_domain, phase, code, message, remedy, server_message } = shown(failure, detail);
        Self { kind, fault_domain, phase, code, message, remedy, server_message, at: Time(at) }
    }
}

/// JSON has no word for infinite or undefined numbers.
fn is_known(value: &Value) -> bool {
    !matches!(value, Value::Amount(amount) if !amount.is_finite())
}

/// A failure as far as it may be shown.
fn shown(failure: &Failure, detail: Detail) -> Failure {
    let mut failure = failure.clone();
    if detail == Detail::Plain {
        failure.server_message = None;
    }
    failure
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// JSON Schema of the document.
#[must_use]
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(forbid_null));
    let mut schema = settings.into_generator().into_root_schema_for::<Document>();
    schema.insert("title".into(), format!("Probity document, schema {SCHEMA}").into());
    schema
}

/// What may be absent is never null, but for schemars an `Option` is both.
fn forbid_null(schema: &mut Schema) {
    let null = json!({ "type": "null" });
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|word| word != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let Some(Json::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| *choice != null);
    if let [Json::Object(only)] = &choices[..] {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.insert(key, value);
        }
    }
}
