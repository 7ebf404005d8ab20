//! What was seen of the states that were made: a file beside the page that tells of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Outcome, Status};
use serde::{Deserialize, Serialize};

use super::State;

/// One run into a state: what it said, and how soon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) backend: String,
    pub(crate) state: String,
    pub(crate) made: String,
    pub(crate) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<FailureKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) domain: Option<FaultDomain>,
    /// The server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) findings: Vec<String>,
    /// To one digit: more would be another number each time.
    pub(crate) seconds: f64,
    /// The day, in UTC.
    pub(crate) on: String,
    /// What the server says that it is, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
}

impl Seen {
    fn of(state: &State, outcome: &Outcome) -> Self {
        let failure = outcome.failure.as_ref();
        let server = ["version", "broker_version", "server_header"].into_iter().find_map(|name| outcome.facts.get(name));
        let mut findings: Vec<_> = outcome.findings.iter().map(|finding| finding.code.to_string()).collect();
        findings.sort_unstable();
        Self {
            backend: state.backend.to_owned(),
            state: state.state.to_owned(),
            made: state.made.to_owned(),
            status: outcome.status,
            failure: failure.map(|failure| failure.kind),
            domain: failure.map(|failure| failure.fault_domain),
            code: failure.and_then(|failure| failure.code.clone()),
            findings,
            seconds: one_digit(outcome.duration),
            on: outcome.at.strftime("%Y-%m-%d").to_string(),
            server: server.map(ToString::to_string),
        }
    }

    pub(crate) fn is_of(&self, state: &State) -> bool {
        (self.backend.as_str(), self.state.as_str(), self.made.as_str()) == (state.backend, state.state, state.made)
    }
}

/// Where it is kept.
pub(crate) fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference/truth.json")
}

/// All of it.
pub(crate) fn load() -> Vec<Seen> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    if text.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&text).expect("the record is what it was when it was written")
}

/// One line for each, so that a change of one is a change of one line.
pub(crate) fn render(seen: &[Seen]) -> String {
    let lines: Vec<_> = seen.iter().map(|seen| serde_json::to_string(seen).expect("a record is JSON")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// Notes a run that was found to be as its state demands; of several the slowest counts.
pub(super) fn note(state: &State, outcome: &Outcome) {
    type Key = (String, String, String);
    static OURS: Mutex<BTreeMap<Key, Seen>> = Mutex::new(BTreeMap::new());
    let key = |seen: &Seen| (seen.backend.clone(), seen.state.clone(), seen.made.clone());
    let seen = Seen::of(state, outcome);
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    if ours.get(&key(&seen)).is_some_and(|before| before.seconds >= seen.seconds) {
        return;
    }
    ours.insert(key(&seen), seen);
    // Some tests run in a process of their own.
    let lock = File::options().append(true).create(true).open(path()).expect("the record can be written");
    lock.lock().expect("the other process lets it go");
    let mut all: BTreeMap<_, _> = load().into_iter().map(|seen| (key(&seen), seen)).collect();
    all.extend(ours.clone());
    fs::write(path(), render(&all.into_values().collect::<Vec<_>>())).expect("the record can be written");
}

/// Rounded to one digit, and at least a millisecond.
fn one_digit(duration: Duration) -> f64 {
    let seconds = duration.as_secs_f64().max(0.001);
    format!("{seconds:.0e}").parse().unwrap_or(seconds)
}
