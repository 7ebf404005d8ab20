//! What is true of a state of a server: declared as rows, of which `docs/reference/truth.md` is made.
//!
//! With `PROBITY_UPDATE` set, what was seen of each is written to the [`record`] that the page tells of.

pub(crate) mod record;

use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Outcome, Phase, SessionKind, Status};

use super::pace::late;
use super::servers::PASSWORD;

/// The timeout of a run, unless a test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// A failure that need not wait for the deadline is there well before it.
const PROMPT: Duration = Duration::from_secs(2);

/// A state that a server can be in, and what a run must make of it.
#[allow(clippy::struct_field_names, reason = "a state's state is what people call it")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) backend: &'static str,
    /// The path of the module that makes it; empty where it is the same for every backend.
    pub(crate) area: &'static str,
    /// The state, as people would call it.
    pub(crate) state: &'static str,
    /// How it is made.
    pub(crate) made: &'static str,
    pub(crate) expected: Expected,
    /// When the run must have ended.
    pub(crate) within: Duration,
}

/// What a run must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: Status,
    pub(crate) failure: Option<FailureKind>,
    pub(crate) finding: Option<&'static str>,
    /// Who has to act on the failure, where that is known.
    pub(crate) domain: Option<FaultDomain>,
}

impl State {
    pub(crate) const fn new(backend: &'static str, state: &'static str, made: &'static str, expected: Expected) -> Self {
        let waits = matches!(expected.failure, None | Some(FailureKind::Timeout | FailureKind::ConnectTimeout));
        Self { backend, area: "", state, made, expected, within: if waits { TIMEOUT } else { PROMPT } }
    }

    /// Made in this module.
    pub(crate) const fn made_in(self, area: &'static str) -> Self {
        Self { area, ..self }
    }

    pub(crate) const fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

impl Expected {
    pub(crate) const HEALTHY: Self = Self { status: Status::Healthy, failure: None, finding: None, domain: None };

    /// It answers, with this finding against it.
    pub(crate) const fn degraded(finding: &'static str) -> Self {
        Self { status: Status::Degraded, finding: Some(finding), ..Self::HEALTHY }
    }

    /// It answers, but is not what is expected of it.
    pub(crate) const fn unfit(finding: &'static str) -> Self {
        Self { status: Status::Unhealthy, ..Self::degraded(finding) }
    }

    /// The run does not finish; whoever usually has to act on this kind has to act.
    pub(crate) const fn fails(kind: FailureKind) -> Self {
        Self { status: Status::Unhealthy, failure: Some(kind), finding: None, domain: Some(kind.fault_domain()) }
    }

    /// Somebody else has to act.
    pub(crate) const fn blames(self, domain: FaultDomain) -> Self {
        Self { domain: Some(domain), ..self }
    }

    /// It depends on chance whose fault it seems to be.
    pub(crate) const fn blames_anybody(self) -> Self {
        Self { domain: None, ..self }
    }
}

/// Declares states of a backend, each a constant, and all of them as `STATES`.
///
/// `STATES` does not name the constants, so that the compiler refuses one that no test looks at.
#[allow(unused_macros, reason = "a bench declares none")]
macro_rules! states {
    ($backend:tt: $($name:ident = $state:literal, $made:literal => $expected:expr;)*) => {
        $(#[deny(dead_code)]
        pub(crate) const $name: $crate::support::truth::State =
            $crate::support::truth::State::new($backend, $state, $made, $expected).made_in(module_path!());)*
        /// Every state that is declared here.
        pub(crate) const STATES: &[$crate::support::truth::State] =
            &[$($crate::support::truth::State::new($backend, $state, $made, $expected).made_in(module_path!())),*];
    };
}
pub(crate) use states;

/// Holds an outcome against what is true of the state, and against what is true of every outcome.
#[track_caller]
pub(crate) fn check(state: &State, outcome: &Outcome) {
    let State { backend, state: name, made, expected, within, .. } = state;
    let claim = |what: &str, is_so: bool| {
        assert!(is_so, "{backend}, {name} ({made}): {what}; expected {expected:?} within {within:?}, saw {outcome:#?}");
    };
    let failure = outcome.failure.as_ref();
    claim("another kind of failure", failure.map(|failure| failure.kind) == expected.failure);
    let blamed = failure.map(|failure| failure.fault_domain);
    claim("the wrong one is blamed", expected.domain.is_none() || blamed == expected.domain);
    claim("another status", outcome.status == expected.status);
    match expected.finding {
        Some(code) => claim("the finding is missing", outcome.findings.iter().any(|finding| finding.code == code)),
        None => claim("there should be no finding", outcome.findings.is_empty()),
    }
    claim("too late", outcome.duration <= *within + late());
    if let Some(failure) = failure {
        claim("a failure has a phase", failure.phase.is_some());
        for text in [Some(&failure.message), Some(&failure.remedy), failure.server_message.as_ref()].into_iter().flatten() {
            claim("a text is one line of at most 256 bytes", (1..=256).contains(&text.len()) && text.lines().count() == 1);
        }
    }
    claim("a password leaks", !format!("{outcome:?}").contains(PASSWORD));
    let opening = [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Auth];
    let opened = opening.into_iter().any(|phase| outcome.phases.get(phase).is_some());
    claim("a warm run opens nothing", outcome.session != Some(SessionKind::Warm) || !opened);
    let phases: Duration = outcome.phases.iter().map(|(_, took)| took).sum();
    claim("the phases are longer than the run", phases <= outcome.duration);
    if std::env::var_os("PROBITY_UPDATE").is_some() {
        record::note(state, outcome);
    }
}
