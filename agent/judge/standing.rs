//! What the catalog says of one dependency after hysteresis.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use probity_probes::{Failure, Finding, Outcome, Status, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tally::Tally;
use crate::catalog::plan::DependencyPlan;

/// What is shown of a dependency: a status, or that it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewStatus {
    /// It serves.
    Healthy,
    /// It serves, but not as it should.
    Degraded,
    /// It does not serve, or not what is expected of it.
    Unhealthy,
    /// Nothing is known yet.
    Pending,
    /// What was known is too old.
    Stale,
}

impl ViewStatus {
    /// Every one of them, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Degraded, Self::Unhealthy, Self::Pending, Self::Stale];

    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Pending => "pending",
            Self::Stale => "stale",
        }
    }

    /// The status of a word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether an application can use the dependency: healthy or degraded.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

impl fmt::Display for ViewStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Status> for ViewStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Healthy,
            Status::Degraded => Self::Degraded,
            Status::Unhealthy => Self::Unhealthy,
        }
    }
}

/// What the catalog says of one dependency. Frozen once made: every outcome makes a new one.
#[derive(Clone)]
pub struct Standing {
    /// What was declared of it.
    pub dependency: Arc<DependencyPlan>,
    /// The status after hysteresis.
    pub status: ViewStatus,
    /// Since when it has this status.
    pub since: Timestamp,
    /// The latest outcome, raw.
    pub last: Option<Arc<Outcome>>,
    /// The findings that count: those of the latest outcome, and latency only by its own rule.
    pub findings: Vec<Finding>,
    /// The latest failure, kept after recovery.
    pub last_error: Option<Arc<PastFailure>>,
    /// When a run last ended healthy or degraded.
    pub last_success: Option<Timestamp>,
    /// What was learned of the peer and seldom changes: kept while it does not answer.
    pub identity: Arc<Identity>,
    /// What was counted since the agent started.
    pub tally: Tally,
    pub(super) memory: Memory,
    fragment: OnceLock<Bytes>,
}

/// A failure and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFailure {
    /// The failure.
    pub failure: Failure,
    /// When its run ended.
    pub at: Timestamp,
}

/// The facts that name a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Of the server's software.
    pub version: Option<String>,
    /// Primary, standby, leader, …
    pub role: Option<String>,
    /// Standalone, cluster, sentinel, …
    pub mode: Option<String>,
}

/// What hysteresis has to remember between outcomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// The latest verdict; none until there was one. `stale` hides it without forgetting it.
    pub(super) verdict: Option<Status>,
    /// Consecutive failures.
    pub(super) failures: u32,
    /// Consecutive successes.
    pub(super) successes: u32,
    /// Whether each of the last five answers was slow; the latest in the lowest bit.
    pub(super) slow: u8,
    /// The latest latency finding.
    pub(super) latency: Option<Finding>,
    /// Since when findings stand that need some time to count, counted from the agent's start.
    pub(super) standing: BTreeMap<Cow<'static, str>, Duration>,
    /// When the verdict changed lately, counted from the agent's start.
    pub(super) changes: Vec<Duration>,
    /// How often, while that is too often.
    pub(super) flapping: Option<usize>,
    /// When the verdict became unhealthy, counted from the agent's start.
    pub(super) unhealthy_since: Option<Duration>,
    /// The pause after the latest run, where back-off has stretched it.
    pub(super) pause: Option<Duration>,
}

impl Standing {
    /// Nothing is known yet.
    #[must_use]
    pub fn pending(dependency: Arc<DependencyPlan>, since: Timestamp) -> Self {
        Self {
            dependency,
            status: ViewStatus::Pending,
            since,
            last: None,
            findings: Vec::new(),
            last_error: None,
            last_success: None,
            identity: Arc::default(),
            tally: Tally::default(),
            memory: Memory::default(),
            fragment: OnceLock::new(),
        }
    }

    /// The same as this, to be changed: what was rendered of it is not taken along.
    #[must_use]
    pub(crate) fn successor(&self) -> Self {
        Self { fragment: OnceLock::new(), ..self.clone() }
    }

    /// The same with more runs counted as skipped.
    #[must_use]
    pub fn with_skipped(&self, skipped: u64) -> Self {
        let mut next = self.successor();
        next.tally.skipped += skipped;
        next
    }

    /// Shows a status from now on.
    pub(crate) fn show(&mut self, status: ViewStatus, at: Timestamp) {
        if self.status != status {
            self.status = status;
            self.since = at;
            self.tally.transitions[status as usize] += 1;
        }
    }

    /// Notes what a run learned of the peer's name and role.
    pub(super) fn recognise(&mut self, outcome: &Outcome) {
        let fact = |name: &str, known: &Option<String>| match outcome.facts.get(name) {
            Some(value) => Some(value.to_string()),
            None => known.clone(),
        };
        let known = &self.identity;
        let is_news = |name: &str, known: &Option<String>| match (outcome.facts.get(name), known) {
            (Some(Value::Text(text)), Some(known)) => text != known,
            (Some(_), _) => true,
            (None, _) => false,
        };
        if is_news("version", &known.version) || is_news("role", &known.role) || is_news("mode", &known.mode) {
            self.identity = Arc::new(Identity {
                version: fact("version", &known.version),
                role: fact("role", &known.role),
                mode: fact("mode", &known.mode),
            });
        }
    }

    /// Whether a verdict was ever reached.
    #[must_use]
    pub fn has_verdict(&self) -> bool {
        self.memory.verdict.is_some()
    }

    /// Why it is not simply healthy, in a few words.
    #[must_use]
    pub fn why(&self) -> String {
        match self.status {
            ViewStatus::Stale => "its run is overdue, the agent is starved".into(),
            ViewStatus::Pending => match &self.last {
                Some(outcome) => format!("no verdict yet, {}", why(outcome, &outcome.findings)),
                None => "no run has ended yet".into(),
            },
            ViewStatus::Unhealthy if self.is_recovering() => {
                format!("it answers again, {} of {} successes", self.memory.successes, self.dependency.timing.rise)
            }
            _ => self.last.as_ref().map_or_else(String::new, |outcome| why(outcome, &self.findings)),
        }
    }

    /// Unhealthy still, though the latest run went well.
    fn is_recovering(&self) -> bool {
        self.memory.successes > 0
    }

    /// The JSON of its entry in documents: made once, when it is first asked for.
    pub fn fragment(&self, make: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.fragment.get_or_init(|| make(self))
    }
}

/// Why a run did not end healthy, in a few words; empty if it did.
#[must_use]
pub fn why(outcome: &Outcome, findings: &[Finding]) -> String {
    match &outcome.failure {
        Some(failure) => in_words(failure),
        None => findings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn in_words(failure: &Failure) -> String {
    match &failure.code {
        // "no answer within the deadline (timeout in query)" says its kind already.
        None if failure.message.contains(failure.kind.as_str()) => failure.message.clone(),
        Some(code) => format!("{} ({}, {code})", failure.message, failure.kind),
        None => format!("{} ({})", failure.message, failure.kind),
    }
}
