//! What outcomes mean: from an outcome to a standing, from standings to readiness. Pure: the clock is an argument.
//!
//! Decisive failures flip a standing at once, ambiguous ones after `fall` of them; a finding shows at once, or
//! once it has stood for as long as it says; the way back from unhealthy takes `rise` successes. Everything
//! about *when* to ask again is decided here too, because it follows from what was seen.

pub mod readiness;
mod standing;
mod starved;
mod tally;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use probity_probes::{FailureKind, Finding, Outcome, Severity, Status};

pub use standing::{Identity, PastFailure, Standing, ViewStatus, why};
pub use starved::{is_starved, own_fault};
pub use tally::{Histogram, Tally};

use crate::catalog::plan::Timing;
use standing::Memory;

/// An unhealthy dependency is asked at its interval for so long; then ever more seldom.
const EAGER: Duration = Duration::from_mins(5);

/// The longest pause that back-off makes of an interval.
const PAUSE: Duration = Duration::from_mins(1);

/// The longest pause for what only a person can repair.
const PAUSE_FOR_PEOPLE: Duration = Duration::from_mins(5);

/// Of the last five answers, so many have to be slow.
const SLOW_ANSWERS: u32 = 3;

/// So many changes of the verdict within [`UNREST`] are flapping, which lasts until there was none for [`QUIET`].
const CHANGES: usize = 4;

/// See [`CHANGES`].
const UNREST: Duration = Duration::from_mins(10);

/// See [`CHANGES`].
const QUIET: Duration = Duration::from_mins(5);

/// A point in time, by both clocks: the steady one decides, the other one is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the agent started.
    pub since_start: Duration,
    /// On the wall.
    pub at: Timestamp,
}

/// When a dependency is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The pause before it.
    pub after: Duration,
    /// Whether that is a quick re-run, outside of the regular interval.
    pub quick: bool,
}

impl Next {
    /// At the interval.
    #[must_use]
    pub const fn regular(timing: &Timing) -> Self {
        Self { after: timing.interval, quick: false }
    }
}

/// The pause before a quick re-run, and the least one between two runs that lost sessions started.
#[must_use]
pub fn quick_pause(timing: &Timing) -> Duration {
    (timing.interval / 4).min(Duration::from_secs(2))
}

/// Judges an outcome: the standing that follows, and when to ask again.
#[must_use]
pub fn judge(before: &Standing, outcome: Arc<Outcome>, now: Moment) -> (Standing, Next) {
    let timing = before.dependency.timing;
    let mut next = before.successor();
    next.tally.count(&outcome);
    let (findings, waiting) = next.memory.weigh(&outcome, now.since_start);
    next.findings = findings;
    next.recognise(&outcome);
    let memory = &mut next.memory;
    // Some(status): decided. None: not enough is known, what was shown stays.
    let (decided, quick) = if let Some(failure) = &outcome.failure {
        memory.successes = 0;
        memory.failures = memory.failures.saturating_add(1);
        next.last_error = Some(Arc::new(PastFailure { failure: failure.clone(), at: outcome.at }));
        let known_unhealthy = memory.verdict == Some(Status::Unhealthy);
        if memory.verdict.is_none() && now.since_start < timing.startup_grace && has_grace(failure.kind) {
            (None, true)
        } else if is_decisive(failure.kind) || known_unhealthy || memory.failures >= timing.fall {
            (Some(Status::Unhealthy), false)
        } else {
            (None, memory.failures == 1)
        }
    } else {
        memory.failures = 0;
        let status = worst(&next.findings);
        if status == Status::Unhealthy {
            memory.successes = 0;
            (Some(status), false)
        } else if waiting.iter().any(|(finding, _)| finding.severity == Severity::Unhealthy) {
            memory.successes = 0;
            (memory.verdict.map(|verdict| verdict.max(status)), false)
        } else {
            memory.successes = memory.successes.saturating_add(1);
            next.last_success = Some(outcome.at);
            let rises = memory.verdict == Some(Status::Unhealthy) && memory.successes < timing.rise;
            (Some(if rises { Status::Unhealthy } else { status }), rises && memory.successes == 1)
        }
    };
    if let Some(status) = decided {
        memory.settle(status, now.since_start);
        let flapping = memory.flapping.filter(|_| status != Status::Unhealthy);
        next.findings.extend(flapping.map(|changes| Finding::degraded("flapping", changes)));
        next.show(status.max(worst(&next.findings)).into(), outcome.at);
    }
    let memory = &mut next.memory;
    memory.pause = memory.back_off(&timing, &outcome, now.since_start);
    let regular = memory.pause.unwrap_or(timing.interval);
    let counts_in = waiting.iter().map(|(_, left)| (*left).max(quick_pause(&timing))).min();
    let after = if quick { quick_pause(&timing) } else { counts_in.map_or(regular, |left| left.min(regular)) };
    next.last = Some(outcome);
    (next, Next { after, quick: quick || after < regular })
}

/// Failures that one run is enough to believe.
const fn is_decisive(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Config
        | FailureKind::ConnectRefused
        | FailureKind::ConnectionLost
        | FailureKind::NotReady
        | FailureKind::Tls
        | FailureKind::Auth
        | FailureKind::Permission
        | FailureKind::Protocol => true,
        FailureKind::Dns
        | FailureKind::ConnectTimeout
        | FailureKind::ConnectFailed
        | FailureKind::Timeout
        | FailureKind::Query
        | FailureKind::Overload
        | FailureKind::Unexpected => false,
    }
}

/// Failures that are normal while everything starts.
const fn has_grace(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Dns | FailureKind::ConnectRefused | FailureKind::ConnectTimeout | FailureKind::NotReady)
}

fn worst(findings: &[Finding]) -> Status {
    findings.iter().map(|finding| finding.severity).max().map_or(Status::Healthy, Severity::into)
}

impl Memory {
    /// The findings that count, and those that do not yet, with what is left until they do. A slow answer alone says
    /// little: latency counts while 3 of the last 5 answers were slow, then also for an answer between them that was not.
    fn weigh(&mut self, outcome: &Outcome, now: Duration) -> (Vec<Finding>, Vec<(Finding, Duration)>) {
        if outcome.failure.is_some() {
            self.standing.clear();
            return (Vec::new(), Vec::new());
        }
        let (slow, mut findings): (Vec<_>, Vec<_>) =
            outcome.findings.iter().cloned().partition(|finding| finding.code == "latency");
        self.slow = (self.slow << 1 | u8::from(!slow.is_empty())) & 0b1_1111;
        if let Some(finding) = slow.into_iter().next() {
            self.latency = Some(finding);
        }
        if self.slow.count_ones() >= SLOW_ANSWERS {
            findings.extend(self.latency.clone());
        }
        self.standing.retain(|code, _| findings.iter().any(|finding| finding.code == *code));
        let mut waiting = Vec::new();
        findings.retain(|finding| {
            if finding.hold.is_zero() {
                return true;
            }
            let since = *self.standing.entry(finding.code.clone()).or_insert(now);
            let left = (since + finding.hold).saturating_sub(now);
            if !left.is_zero() {
                waiting.push((finding.clone(), left));
            }
            left.is_zero()
        });
        (findings, waiting)
    }

    /// Who changes all the time is not believed to be healthy until it has been quiet; unhealthy it is believed at once.
    fn settle(&mut self, status: Status, now: Duration) {
        self.changes.retain(|at| now.saturating_sub(*at) < UNREST);
        if self.verdict.is_some_and(|verdict| verdict != status) {
            self.changes.push(now);
        }
        let is_quiet = self.changes.last().is_none_or(|at| now.saturating_sub(*at) >= QUIET);
        self.flapping = match self.changes.len() {
            _ if is_quiet => None,
            many if many >= CHANGES => Some(many),
            some => self.flapping.map(|_| some),
        };
        self.verdict = Some(status);
        self.unhealthy_since = (status == Status::Unhealthy).then(|| self.unhealthy_since.unwrap_or(now));
    }

    /// The pause after a run, where it is not the interval.
    ///
    /// For five minutes the interval is kept whatever the failure is, so that a repair is seen soon; then
    /// it doubles up to a minute, and up to five for what only a person can repair (`config`,
    /// `permission`). An overloaded server is spared at once.
    fn back_off(&self, timing: &Timing, outcome: &Outcome, now: Duration) -> Option<Duration> {
        let since = self.unhealthy_since?;
        if outcome.status != Status::Unhealthy {
            return None;
        }
        let kind = outcome.failure.as_ref().map(|failure| failure.kind);
        if now.saturating_sub(since) < EAGER && kind != Some(FailureKind::Overload) {
            return None;
        }
        let doubled = self.pause.unwrap_or(timing.interval) * 2;
        let pause = match kind {
            Some(FailureKind::Config | FailureKind::Permission) => doubled.max(PAUSE).min(PAUSE_FOR_PEOPLE),
            _ => doubled.min(PAUSE),
        };
        Some(pause.max(timing.interval))
    }
}
