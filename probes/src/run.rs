//! One execution of a probe: an absolute deadline, timed phases, what was learned, and the outcome.
//!
//! A backend calls [`Run::dial`], [`Run::phase`], [`Run::fact`] and [`Run::finding`]; it never looks at a clock.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use tokio::time::{Instant, error::Elapsed, timeout_at};

use crate::{
    failure::{Failure, FailureKind},
    files::Stamp,
    finding::{Facts, Finding, Value},
    manual::Manual,
    redact::Redactor,
    wire::{guard::Grammar, resolve::Resolver, sniff::Protocol, stream::Connection},
};

/// What a run says of a dependency. Unknown is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It serves.
    Healthy,
    /// It serves, but not as it should.
    Degraded,
    /// It does not serve, or not what is expected of it.
    Unhealthy,
}

impl Status {
    /// Every status, best first.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A timed step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The name became addresses.
    Resolve,
    /// A connection to one of them was made.
    Connect,
    /// TLS was agreed on and verified.
    Tls,
    /// Greeting, version negotiation and login.
    Auth,
    /// The cheapest true question.
    Query,
    /// Role, replication, quorum, saturation.
    Deep,
    /// A canary of our own was written and read.
    Roundtrip,
    /// The session was ended politely; not part of the run's duration.
    Close,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] =
        [Self::Resolve, Self::Connect, Self::Tls, Self::Auth, Self::Query, Self::Deep, Self::Roundtrip, Self::Close];

    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Query => "query",
            Self::Deep => "deep",
            Self::Roundtrip => "roundtrip",
            Self::Close => "close",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a run goes; each depth includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Name, connection, and TLS where the protocol starts with it.
    Connect,
    /// Greeting, version and login.
    Handshake,
    /// The cheapest true question.
    Query,
    /// Role, replication, quorum, saturation, alarms.
    #[default]
    Deep,
    /// A canary of our own, written, read and removed: only when asked for.
    Roundtrip,
}

/// Whether the session was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// It was reused.
    Warm,
    /// It was opened by this run.
    Fresh,
}

impl SessionKind {
    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Fresh => "fresh",
        }
    }
}

/// How long each phase took; a phase that did not happen is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases([Option<Duration>; Phase::ALL.len()]);

impl Phases {
    /// The duration of a phase, if it happened.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.0[phase as usize]
    }

    /// Adds to the duration of a phase, which may happen in several steps.
    pub fn add(&mut self, phase: Phase, duration: Duration) {
        *self.0[phase as usize].get_or_insert(Duration::ZERO) += duration;
    }

    /// The phases that happened, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL.into_iter().filter_map(|phase| self.get(phase).map(|duration| (phase, duration)))
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (phase, duration) in self.iter() {
            map.serialize_entry(phase.as_str(), &duration.as_secs_f64())?;
        }
        map.end()
    }
}

/// The record of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The worst of the failure and the findings.
    pub status: Status,
    /// Why the run did not finish.
    pub failure: Option<Failure>,
    /// Why a dependency that answered is not well.
    pub findings: Vec<Finding>,
    /// What was learned of the peer; shared with the runs before, as long as nothing new is learned.
    pub facts: Arc<Facts>,
    /// Questions that were refused: with any, coverage is partial.
    pub missing: Vec<String>,
    /// How far the run got.
    pub depth: Option<Depth>,
    /// Whether the session was there already; absent when there never was one.
    pub session: Option<SessionKind>,
    /// A warm session was lost and replaced inside this run.
    pub reconnected: bool,
    /// The backend did not give up at the deadline and was left behind.
    pub abandoned: bool,
    /// How long each phase took.
    pub phases: Phases,
    /// The whole run, without its close.
    pub duration: Duration,
    /// How long it waited for this machine instead of its peer: for a processor, or for a worker that another run
    /// blocked. Not measured of a run that ended healthy.
    pub waited: Duration,
    /// When it ended.
    pub at: jiff::Timestamp,
}

impl Outcome {
    /// What an application's request would feel: the query phase.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.phases.get(Phase::Query)
    }
}

/// What was noted while one part of a run went on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) facts: Arc<Facts>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) missing: Vec<String>,
}

impl Notes {
    /// Adds what others say. What is known already, and as bad, need not be said again.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.add_facts(&other.facts);
        let is_news = |finding: &&Finding| {
            let mut known = self.findings.iter();
            !known.any(|known| known.code == finding.code && known.severity >= finding.severity)
        };
        let news: Vec<_> = other.findings.iter().filter(is_news).cloned().collect();
        self.findings.extend(news);
        self.add_missing(&other.missing);
    }

    /// What was refused twice, by the opening and by a question, say, is missing once.
    pub(crate) fn add_missing(&mut self, missing: &[String]) {
        for question in missing {
            if !self.missing.contains(question) {
                self.missing.push(question.clone());
            }
        }
    }

    /// Where only one of the two has facts they are shared, not copied.
    pub(crate) fn add_facts(&mut self, facts: &Arc<Facts>) {
        if self.facts.is_empty() {
            self.facts = Arc::clone(facts);
        } else if !facts.is_empty() {
            Arc::make_mut(&mut self.facts).extend(facts.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
}

/// What the world outside a run may see of it while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The phase that goes on, or went on last.
    pub(crate) reached: Option<Phase>,
    /// When it began, while it goes on.
    since: Option<Instant>,
    pub(crate) phases: Phases,
    pub(crate) session: Option<SessionKind>,
    /// The secrets that this run, or the opening of its session, has read.
    pub(crate) redactor: Arc<Redactor>,
}

/// One execution of a probe, as its backend sees it.
#[derive(Debug)]
pub struct Run {
    started: Instant,
    /// Of what goes on now.
    pub(crate) deadline: Instant,
    /// Of the whole run.
    pub(crate) end: Instant,
    /// Which of several addresses is dialled.
    pub(crate) candidate: usize,
    progress: Arc<Mutex<Progress>>,
    pub(crate) manual: &'static Manual,
    pub(crate) speaks: Protocol,
    pub(crate) greets: bool,
    pub(crate) guard: Option<Grammar>,
    pub(crate) resolver: Resolver,
    /// What this run learned itself.
    pub(crate) notes: Notes,
    /// What was learned before and still stands: when the session was opened, by questions that are not due.
    pub(crate) recalled: Notes,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) single_use: bool,
    /// The address that was opened last is well, but not the one that is looked for.
    pub(crate) unwanted: bool,
    pub(crate) certificate_warning: Duration,
    pub(crate) canary: Arc<str>,
    pub(crate) depth: Depth,
}

impl Run {
    pub(crate) fn new(timeout: Duration, manual: &'static Manual, resolver: Resolver) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + timeout,
            end: started + timeout,
            candidate: 0,
            progress: Arc::default(),
            manual,
            speaks: Protocol::Other("its own protocol"),
            greets: false,
            guard: None,
            resolver,
            notes: Notes::default(),
            recalled: Notes::default(),
            stamps: Vec::new(),
            connections: Vec::new(),
            single_use: false,
            unwanted: false,
            certificate_warning: Duration::ZERO,
            canary: Arc::default(),
            depth: Depth::default(),
        }
    }

    pub(crate) fn progress(&self) -> Arc<Mutex<Progress>> {
        Arc::clone(&self.progress)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time left until the deadline.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A limit to hand to the server, a little below ours, so that it gives up first and says why.
    #[must_use]
    pub fn server_limit(&self) -> Duration {
        let whole = self.end.duration_since(self.started);
        whole.saturating_sub((whole / 10).min(Duration::from_millis(200)))
    }

    /// The same for a single question that is put now; never nothing, which servers take for no limit.
    #[must_use]
    pub fn server_limit_now(&self) -> Duration {
        self.server_limit().saturating_sub(self.elapsed()).max(Duration::from_millis(1))
    }

    /// The limit of a question that may hang although the server is well: its expiry is a finding, and the run goes on.
    #[must_use]
    pub fn question_limit(&self) -> Duration {
        Duration::from_secs(1).min(self.remaining() / 2)
    }

    /// How far it goes, for sessions that need more to go further.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// The name of Probity's own object in a round trip: the same in every run of this probe, so that nothing grows,
    /// and another one for every other probe. Sixteen hexadecimal digits.
    #[must_use]
    pub fn canary(&self) -> &str {
        &self.canary
    }

    /// What a round trip writes: sixteen hexadecimal digits that were not written before.
    #[must_use]
    pub fn nonce(&self) -> String {
        format!("{:016x}", fastrand::u64(..))
    }

    /// Holds what a round trip has read against what it had written.
    pub fn compare(&mut self, written: &str, read: Option<&str>) {
        if read != Some(written) {
            let read = read.map_or_else(|| "nothing".into(), |read| self.redactor().clean(read));
            self.finding(Finding::unhealthy("roundtrip_lost", read));
        }
    }

    /// Does one step under the deadline, times it and stamps its failure.
    ///
    /// # Errors
    /// The step's own failure, or the timeout of this phase.
    pub async fn phase<T, E: Into<Failure>>(
        &mut self,
        phase: Phase,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        if let Some(outer) = self.phase_now() {
            // A step inside another one, such as a second dial for a deep question, is part of that.
            let answer = timeout_at(self.deadline, step).await;
            let result = answer.map_or_else(|_| Err(overdue(phase)), |result| result.map_err(Into::into));
            return result.map_err(|failure| self.stamp(outer, failure));
        }
        self.enter(phase);
        let answer = timeout_at(self.deadline, step).await;
        self.settle(phase, answer)
    }

    /// The phase that is going on.
    pub(crate) fn phase_now(&self) -> Option<Phase> {
        let seen = self.seen();
        seen.since.and(seen.reached)
    }

    /// Like [`Run::phase`], with a budget that may be shorter than the rest of the run.
    pub(crate) async fn phase_within<T, E: Into<Failure>>(
        &mut self,
        phase: Phase,
        budget: Duration,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let whole = self.deadline;
        self.deadline = whole.min(Instant::now() + budget);
        let result = self.phase(phase, step).await;
        self.deadline = whole;
        result
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        let mut seen = self.seen();
        (seen.reached, seen.since) = (Some(phase), Some(Instant::now()));
    }

    /// Ends a phase: takes its time and completes its failure.
    pub(crate) fn settle<T, E: Into<Failure>>(
        &mut self,
        phase: Phase,
        answer: Result<Result<T, E>, Elapsed>,
    ) -> Result<T, Failure> {
        let mut seen = self.seen();
        if let (Some(phase), Some(since)) = (seen.reached, seen.since.take()) {
            seen.phases.add(phase, since.elapsed());
        }
        drop(seen);
        let result = answer.map_or_else(|_| Err(overdue(phase)), |result| result.map_err(Into::into));
        result.map_err(|failure| self.stamp(phase, failure))
    }

    /// Completes a failure: its phase, what the manual says of its code, and no secret in it.
    pub(crate) fn stamp(&self, phase: Phase, mut failure: Failure) -> Failure {
        if failure.phase.is_some() {
            return failure;
        }
        failure.phase = Some(phase);
        if failure.is_of_library() && self.was_spoken_to() {
            failure = Failure { phase: Some(phase), ..failure.blames_answer() };
        }
        self.manual.explain(&mut failure);
        match failure.kind {
            FailureKind::ConnectionLost => self.explain_loss(phase, &mut failure),
            FailureKind::Timeout => self.explain_silence(phase, &mut failure),
            _ => {}
        }
        let redactor = self.redactor();
        failure.message = redactor.clean_own(&failure.message);
        failure.code = failure.code.map(|code| redactor.clean_own(&code));
        failure.server_message = failure.server_message.map(|words| redactor.clean(&words));
        failure
    }

    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.seen().redactor)
    }

    /// The first bytes that the peer of the last dial sent, or the first since its TLS was to begin, at most 64: for
    /// refusals that a library does not hand on.
    #[must_use]
    pub fn first_bytes(&self) -> Vec<u8> {
        self.connections.last().map(|connection| connection.tether.first_bytes()).unwrap_or_default()
    }

    /// Keeps a text out of every text of this run: what is made of a secret, such as a header that carries it.
    pub fn conceal(&mut self, text: &str) {
        Arc::make_mut(&mut self.seen().redactor).avoid(text);
    }

    /// Asks somebody else beside the session, for no longer than one question may take. The connections that this takes
    /// are not the session's.
    ///
    /// # Errors
    /// The question's own failure, or a timeout.
    pub async fn beside<T>(&mut self, ask: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let (deadline, own) = (self.deadline, self.connections.len());
        self.narrow(Some(self.question_limit()));
        // Steps end there by themselves and say which; what is no step of its own ends here.
        let answer = timeout_at(self.deadline, ask(self)).await;
        self.deadline = deadline;
        self.connections.truncate(own);
        answer.unwrap_or_else(|_| Err(Failure::new(FailureKind::Timeout, "no answer in the time of one question")))
    }

    /// Says that the peer will close this session, so that it is not kept for the next run.
    pub fn last_use(&mut self) {
        self.single_use = true;
    }

    /// Notes a fact. Its name is declared in the backend's manual.
    pub fn fact(&mut self, name: &'static str, value: impl Into<Value>) {
        debug_assert!(self.manual.fact(name).is_some(), "the fact `{name}` is not in the manual");
        let value = self.redactor().clean_value(value.into());
        Arc::make_mut(&mut self.notes.facts).insert(name.into(), value);
    }

    /// Notes a fact if it is known.
    pub fn fact_if(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.fact(name, value);
        }
    }

    /// Notes a finding. Its code is declared in the backend's manual.
    pub fn finding(&mut self, finding: Finding) {
        debug_assert!(self.manual.finding(&finding.code).is_some(), "the finding `{}` is not in the manual", finding.code);
        let redactor = self.redactor();
        self.notes.findings.push(Finding { observed: redactor.clean_value(finding.observed), ..finding });
    }

    /// Notes that a question was refused: coverage is partial.
    pub fn missing(&mut self, question: impl Into<String>) {
        let question = self.redactor().clean_own(&question.into());
        if !self.notes.missing.contains(&question) {
            self.notes.missing.push(question);
        }
    }

    /// The answer to a question that may be refused: a refusal lowers coverage, other failures stand.
    ///
    /// # Errors
    /// Every failure but a refusal.
    pub fn optional<T>(&mut self, question: &'static str, answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(mut failure) => {
                self.manual.explain(&mut failure);
                match failure.kind {
                    FailureKind::Permission | FailureKind::Config => {
                        self.missing(question);
                        Ok(None)
                    }
                    _ => Err(failure),
                }
            }
        }
    }
}

/// The failure of a phase that the deadline cut short.
pub(crate) fn overdue(phase: Phase) -> Failure {
    match phase {
        Phase::Resolve => Failure::new(FailureKind::Dns, "the resolver did not answer in time").with_code("timeout"),
        Phase::Connect => Failure::new(FailureKind::ConnectTimeout, "the connection was not accepted in time"),
        Phase::Tls => Failure::new(FailureKind::Timeout, "no answer within the deadline (timeout in tls)")
            .with_remedy("The port may expect plain text; otherwise the server hangs: look for overload or a stopped process."),
        _ => Failure::new(FailureKind::Timeout, format!("no answer within the deadline (timeout in {phase})")),
    }
}
