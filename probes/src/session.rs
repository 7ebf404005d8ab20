//! Warm and fresh: who opens, keeps, renews and retires a session, and what a run makes of it.
//!
//! One run at a time holds the slot. A session that failed is never used again; one that was lost gets
//! one fresh try inside the same deadline; rejected credentials are not tried again before their time.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    backend::{Backend, ConnectionPolicy, Options, Probe},
    candidates::{ADDRESS_FAILING, Candidates},
    failure::{Failure, FailureKind, OF_PROXY},
    files::Stamp,
    finding::{Facts, Finding, Severity, Value},
    idle::{Idle, over},
    manual::{COMMON_FACTS, Manual},
    redact::Redactor,
    run::{Depth, Notes, Outcome, Phase, Run, SessionKind, Status, overdue},
    secret::Secret,
    wire::stream::Connection,
};

/// A polite end may take this long; it is not part of the run.
const CLOSE_BUDGET: Duration = Duration::from_millis(250);

/// Pauses after the first, second, … rejection of the same credentials; the last one is kept.
const AUTH_PAUSES: [u64; 5] = [60, 120, 240, 300, 1800];

/// Implements [`Probe`] once for every [`Backend`].
pub(crate) struct Asker<B: Backend> {
    backend: Arc<B>,
    options: Options,
    /// What its round trips write to.
    canary: Arc<str>,
    /// Held for a whole run, so that there is never a second one beside it.
    slot: tokio::sync::Mutex<Slot<B>>,
    /// What ends the wait for the next run.
    idle: watch::Sender<Idle>,
}

struct Slot<B: Backend> {
    warm: Option<Session<B>>,
    /// What was learned by questions that are not asked in every run.
    deep: Option<Learned>,
    roundtrip: Option<Learned>,
    rejected: Option<Rejected>,
    /// The files that the last opening read.
    stamps: Vec<Stamp>,
    /// The secrets that were ever read, so that no later run repeats one that a peer echoes.
    redactor: Arc<Redactor>,
    /// Sessions to be ended politely once the run has its outcome.
    leaving: Vec<B::Session>,
    /// Those that are being ended.
    closing: JoinSet<()>,
}

/// A session and what it was built from.
struct Session<B: Backend> {
    inner: B::Session,
    /// Where it was opened.
    backend: Arc<B>,
    opened: Instant,
    notes: Notes,
    stamps: Vec<Stamp>,
    connections: Vec<Connection>,
    /// Which of several addresses it leads to.
    candidate: usize,
}

/// What a question that is not asked in every run was answered with.
struct Learned {
    at: Instant,
    notes: Notes,
    /// What was recalled before it the last time, and what the two make together: the same in most runs.
    sum: Option<(Arc<Facts>, Arc<Facts>)>,
}

impl Learned {
    fn new(notes: Notes) -> Self {
        Self { at: Instant::now(), notes, sum: None }
    }

    /// Adds it to what is recalled. The facts of most runs are those of the run before, and not copied.
    fn recall(&mut self, recalled: &mut Notes) {
        recalled.findings.extend_from_slice(&self.notes.findings);
        recalled.add_missing(&self.notes.missing);
        if let Some((before, sum)) = &self.sum
            && Arc::ptr_eq(before, &recalled.facts)
        {
            recalled.facts = Arc::clone(sum);
            return;
        }
        let before = Arc::clone(&recalled.facts);
        recalled.add_facts(&self.notes.facts);
        self.sum = Some((before, Arc::clone(&recalled.facts)));
    }

    /// Whether it is asked again: after its time, and at once while a finding stands.
    fn stands(&self, interval: Duration) -> bool {
        self.at.elapsed() < interval && self.notes.findings.is_empty()
    }
}

/// Credentials that the server refused.
struct Rejected {
    times: usize,
    /// None: not before a file changes.
    next: Option<Instant>,
    stamps: Vec<Stamp>,
    failure: Failure,
}

impl<B: Backend> Slot<B> {
    /// `concealed` is never shown, whatever is read later.
    fn new(concealed: &[Secret]) -> Self {
        let mut redactor = Redactor::default();
        for text in concealed.iter().filter_map(|secret| secret.read().ok()) {
            redactor.avoid(&text);
        }
        Self {
            warm: None,
            deep: None,
            roundtrip: None,
            rejected: None,
            stamps: Vec::new(),
            redactor: Arc::new(redactor),
            leaving: Vec::new(),
            closing: JoinSet::new(),
        }
    }

    /// What was learned of a server that may be another one now.
    fn forget(&mut self) {
        (self.deep, self.roundtrip) = (None, None);
    }

    /// One that may still owe us an answer cannot be ended politely.
    fn retire(&mut self, session: Session<B>, failure: &Failure) {
        if !matches!(failure.kind, FailureKind::Timeout | FailureKind::ConnectionLost) {
            self.leaving.push(session.inner);
        }
    }

    /// The rejection that forbids another attempt, and for how long, if that is known; none once a file has changed.
    fn paused(&mut self) -> Option<(Failure, Option<Duration>)> {
        self.rejected.take_if(|rejected| rejected.stamps.iter().any(Stamp::changed));
        let rejected = self.rejected.as_ref()?;
        let left = rejected.next.map(|next| next.saturating_duration_since(Instant::now()));
        left.is_none_or(|left| !left.is_zero()).then(|| (rejected.failure.clone(), left))
    }

    /// What was rejected is not tried again before its time.
    fn mind(&mut self, failure: &Failure, most: Option<usize>) {
        if self.paused().is_none() {
            self.rejected = Some(Rejected::again(self.rejected.take(), self.stamps.clone(), failure, most));
        }
    }
}

impl<B: Backend> Session<B> {
    fn is_lost(&self) -> bool {
        self.connections.iter().any(|connection| connection.watch.is_closed())
    }

    fn leads_to(&self) -> Option<&Value> {
        self.notes.facts.get("remote_address")
    }
}

impl<B: Backend> Asker<B> {
    pub(crate) fn new(backend: B, options: Options) -> Self {
        let mut hasher = DefaultHasher::new();
        (B::KIND, &options.name).hash(&mut hasher);
        let canary = format!("{:016x}", hasher.finish()).into();
        let slot = tokio::sync::Mutex::new(Slot::new(&options.concealed));
        Self { backend: Arc::new(backend), options, canary, slot, idle: watch::Sender::default() }
    }

    /// A run from its first to its last step. Whatever it leaves in the slot may be used again.
    async fn go(&self, run: &mut Run, slot: &mut Slot<B>) -> Result<Reached, Failure> {
        if self.options.depth == Depth::Connect && !B::COUNTS_INTERRUPTIONS {
            let dialled = self.dial(run).await;
            slot.stamps = std::mem::take(&mut run.stamps);
            dialled?;
            return Ok(Reached { depth: Depth::Connect, reconnected: false });
        }
        let mut reconnected = false;
        if let Some(session) = slot.warm.take() {
            if !session.is_lost()
                && let Some(reached) = self.go_warm(session, run, slot).await?
            {
                return Ok(reached);
            }
            reconnected = true;
            // Another server may answer now.
            slot.forget();
        }
        self.mind_rejection(run, slot).await?;
        let mut session = self.open(run, slot).await?;
        let depth = self.converse(&mut session, run, slot).await;
        match depth {
            Ok(depth) => {
                slot.rejected = None;
                slot.warm = Some(session);
                Ok(Reached { depth, reconnected })
            }
            Err(failure) => {
                slot.retire(session, &failure);
                Err(failure)
            }
        }
    }

    /// Asks the warm session, and renews it when it is due. `None`: it was lost, a fresh one may be tried.
    async fn go_warm(&self, mut session: Session<B>, run: &mut Run, slot: &mut Slot<B>) -> Result<Option<Reached>, Failure> {
        run.seen().session = Some(SessionKind::Warm);
        session.connections.iter().for_each(|connection| connection.tether.refill());
        run.connections.clone_from(&session.connections);
        run.candidate = session.candidate;
        let depth = match self.converse(&mut session, run, slot).await {
            Ok(depth) => depth,
            Err(failure) if failure.kind == FailureKind::ConnectionLost || session.is_lost() => {
                (run.notes, run.recalled) = (Notes::default(), Notes::default());
                run.seen().phases = crate::run::Phases::default();
                return Ok(None);
            }
            Err(failure) => {
                slot.retire(session, &failure);
                return Err(failure);
            }
        };
        let phases = run.seen().phases;
        let renewed = if self.is_due(&session) {
            match slot.paused() {
                Some((rejection, _)) => Err(rejection),
                None => self.open(run, slot).await.map(Some),
            }
        } else {
            Ok(None)
        };
        // The question went by the warm session, and so the phases are those of a warm run.
        run.seen().session = Some(SessionKind::Warm);
        run.seen().phases = phases;
        match renewed {
            Ok(None) => slot.warm = Some(session),
            Ok(Some(fresh)) => {
                slot.rejected = None;
                if fresh.leads_to() != session.leads_to() {
                    slot.forget();
                }
                slot.warm = Some(fresh);
                slot.leaving.push(session.inner);
            }
            Err(failure) => {
                if Self::rejects(&failure, run) {
                    slot.mind(&failure, B::MOST_REJECTIONS);
                }
                let code = if failure.kind == FailureKind::Dns { "dns_failing" } else { "new_connections_failing" };
                run.finding(Finding::degraded(code, failure.kind.as_str()));
                slot.warm = Some(session);
            }
        }
        Ok(Some(Reached { depth, reconnected: false }))
    }

    /// Whether a fresh session must show that one can still be had, or whether an address that failed is well again.
    fn is_due(&self, session: &Session<B>) -> bool {
        let Options { fresh_every, deep_interval, .. } = self.options;
        let fell_back = session.notes.findings.iter().any(|finding| finding.code == ADDRESS_FAILING);
        let every = if fell_back { fresh_every.min(deep_interval) } else { fresh_every };
        session.opened.elapsed() >= every || session.stamps.iter().any(Stamp::changed)
    }

    /// From nothing to a session.
    async fn open(&self, run: &mut Run, slot: &mut Slot<B>) -> Result<Session<B>, Failure> {
        run.seen().session = Some(SessionKind::Fresh);
        run.connections.clear();
        let before = std::mem::take(&mut run.notes);
        let opened = self.open_one(run).await;
        let notes = std::mem::replace(&mut run.notes, before);
        let stamps = std::mem::take(&mut run.stamps);
        slot.stamps.clone_from(&stamps);
        let (connections, candidate) = (run.connections.clone(), run.candidate);
        match opened {
            Ok((inner, backend)) => Ok(Session { inner, backend, opened: Instant::now(), notes, stamps, connections, candidate }),
            Err(failure) => {
                run.notes.add_facts(&notes.facts);
                Err(failure)
            }
        }
    }

    /// Opens the first address that can be.
    async fn open_one(&self, run: &mut Run) -> Result<(B::Session, Arc<B>), Failure> {
        let backend = self.locate(run).await?;
        let mut candidates = Candidates::of(backend.target(), run);
        loop {
            let opened = match timeout_at(run.deadline(), backend.open(run)).await {
                Ok(opened) => opened,
                Err(late) => {
                    let phase = run.phase_now().unwrap_or(Phase::Auth);
                    run.settle::<_, Failure>(phase, Err(late))
                }
            };
            match opened {
                Ok(inner) => {
                    candidates.found(run);
                    return Ok((inner, Arc::clone(&backend)));
                }
                Err(failure) => {
                    // A backend that forgot to stamp its failure still gets the manual and the redaction.
                    let failure = run.stamp(Phase::Auth, failure);
                    let is_last_word = Self::rejects(&failure, run);
                    candidates.after(failure, run, is_last_word)?;
                }
            }
        }
    }

    /// The backend where it is now.
    async fn locate(&self, run: &mut Run) -> Result<Arc<B>, Failure> {
        let located = self.backend.locate(run).await.map_err(|failure| run.stamp(Phase::Resolve, failure))?;
        Ok(located.map_or_else(|| Arc::clone(&self.backend), Arc::new))
    }

    /// The question, and the deep ones when they are due.
    async fn converse(&self, session: &mut Session<B>, run: &mut Run, slot: &mut Slot<B>) -> Result<Depth, Failure> {
        run.recalled.absorb(&session.notes);
        if self.options.depth < Depth::Query {
            return Ok(Depth::Handshake);
        }
        run.enter(Phase::Query);
        let answer = timeout_at(run.deadline(), session.backend.ask(&mut session.inner, run)).await;
        run.settle(Phase::Query, answer)?;
        if self.options.depth < Depth::Deep {
            return Ok(Depth::Query);
        }
        if let Some(learned) = slot.deep.as_mut().filter(|learned| learned.stands(self.options.deep_interval)) {
            learned.recall(&mut run.recalled);
        } else {
            slot.deep = Some(self.learn(Phase::Deep, session, run).await?);
        }
        if self.options.depth < Depth::Roundtrip {
            return Ok(Depth::Deep);
        }
        if let Some(learned) = slot.roundtrip.as_mut().filter(|learned| learned.stands(self.options.roundtrip_interval)) {
            learned.recall(&mut run.recalled);
        } else {
            slot.roundtrip = Some(self.learn(Phase::Roundtrip, session, run).await?);
        }
        Ok(Depth::Roundtrip)
    }

    /// Asks what is not asked in every run.
    async fn learn(&self, phase: Phase, session: &mut Session<B>, run: &mut Run) -> Result<Learned, Failure> {
        let before = std::mem::take(&mut run.notes);
        run.enter(phase);
        let deadline = run.deadline();
        let question = async {
            match phase {
                Phase::Roundtrip => session.backend.roundtrip(&mut session.inner, run).await,
                _ => session.backend.examine(&mut session.inner, run).await,
            }
        };
        let answer = timeout_at(deadline, question).await;
        let answer = run.settle(phase, answer);
        let mut notes = std::mem::replace(&mut run.notes, before);
        match answer {
            Ok(()) => {}
            Err(failure) if phase == Phase::Deep && failure.kind == FailureKind::Permission => notes.missing.push("deep".into()),
            Err(failure) => return Err(failure),
        }
        run.notes.absorb(&notes);
        Ok(Learned::new(notes))
    }

    /// Dials the first address that accepts.
    async fn dial(&self, run: &mut Run) -> Result<(), Failure> {
        let backend = self.locate(run).await?;
        let target = backend.target();
        let mut candidates = Candidates::of(target, run);
        loop {
            match run.dial(target).await {
                Ok(_) => {
                    candidates.found(run);
                    return Ok(());
                }
                Err(failure) => candidates.after(failure, run, false)?,
            }
        }
    }

    /// After a rejection only the dial is tried, if at all, until the pause is over or a file has changed.
    async fn mind_rejection(&self, run: &mut Run, slot: &mut Slot<B>) -> Result<(), Failure> {
        let Some((rejection, left)) = slot.paused() else { return Ok(()) };
        if !B::COUNTS_INTERRUPTIONS {
            self.dial(run).await?;
        }
        run.fact_if("next_attempt_in_seconds", left.map(|left| left.as_secs()));
        Err(rejection)
    }

    /// Ends sessions beside the run: a server that dawdles over it delays no outcome.
    fn see_off(self: &Arc<Self>, slot: &mut Slot<B>) {
        while slot.closing.try_join_next().is_some() {}
        for session in std::mem::take(&mut slot.leaving) {
            let asker = Arc::clone(self);
            slot.closing.spawn(async move {
                if timeout(CLOSE_BUDGET, asker.backend.close(session)).await.is_err() {
                    tracing::debug!(backend = B::KIND, "the server did not end the session in time");
                }
            });
        }
    }

    /// Sums a run up.
    fn outcome(&self, run: &mut Run, result: Result<Reached, Failure>) -> Outcome {
        let duration = run.elapsed();
        let phases = run.seen().phases;
        let mut notes = std::mem::take(&mut run.recalled);
        let (failure, depth, reconnected) = match result {
            Ok(reached) => {
                notes.absorb(&run.notes);
                (None, Some(reached.depth), reached.reconnected)
            }
            Err(failure) => {
                // What the backend said of itself earlier says nothing about one that does not answer now.
                (notes.findings, notes.missing) = (Vec::new(), Vec::new());
                Arc::make_mut(&mut notes.facts).retain(|name, _| COMMON_FACTS.iter().any(|row| row.name == name));
                notes.add_facts(&run.notes.facts);
                if matches!(
                    failure.kind,
                    FailureKind::Auth | FailureKind::Permission | FailureKind::Overload | FailureKind::NotReady
                ) && failure.code.as_ref().is_some_and(|code| !code.starts_with(OF_PROXY))
                {
                    Arc::make_mut(&mut notes.facts).insert("process_alive".into(), true.into());
                }
                (Some(failure), None, false)
            }
        };
        if failure.is_none() {
            let limit = self.options.latency.unwrap_or(B::LATENCY);
            if let Some(latency) = phases.get(Phase::Query).filter(|latency| *latency > limit) {
                notes.findings.push(Finding::degraded("latency", latency.as_secs_f64()).against(limit.as_secs_f64()));
            }
            if self.options.require_coverage && !notes.missing.is_empty() {
                notes.findings.push(Finding::degraded("partial_coverage", notes.missing.join(", ")));
            }
        }
        let worst = notes.findings.iter().map(|finding| finding.severity).max();
        let status = match (&failure, worst) {
            (Some(_), _) | (None, Some(Severity::Unhealthy)) => Status::Unhealthy,
            (None, Some(Severity::Degraded)) => Status::Degraded,
            (None, None) => Status::Healthy,
        };
        Outcome {
            status,
            failure,
            findings: notes.findings,
            facts: notes.facts,
            missing: notes.missing,
            depth,
            session: run.seen().session,
            reconnected,
            abandoned: false,
            phases,
            duration,
            waited: Duration::ZERO,
            at: jiff::Timestamp::now(),
        }
    }

    /// Whether the next run may use the session. One that is not asked anything would prove nothing.
    fn keeps(&self, run: &Run) -> bool {
        self.options.connection == ConnectionPolicy::Auto && self.options.depth >= Depth::Query && !run.single_use
    }

    /// Whether to try again at once may do harm. Without credentials nothing can be locked out.
    fn rejects(failure: &Failure, run: &Run) -> bool {
        match failure.kind {
            FailureKind::Auth => run.redactor().knows_secrets(),
            FailureKind::Tls => B::COUNTS_INTERRUPTIONS,
            _ => false,
        }
    }

    /// What has changed already is left to the next run: an opening that fails before it reads the file would
    /// otherwise be repeated all the time.
    fn watch_idle(&self, slot: &Slot<B>) {
        let session = slot.warm.as_ref();
        let sockets = session.map(|s| s.connections.iter().map(|c| Arc::clone(&c.watch)).collect()).unwrap_or_default();
        let kept = session.map_or(&slot.stamps, |session| &session.stamps);
        let files = kept.iter().filter(|stamp| !stamp.changed()).cloned().collect();
        self.idle.send_replace(Idle { sockets, files });
    }
}

/// What a run that finished got to.
struct Reached {
    depth: Depth,
    reconnected: bool,
}

impl Rejected {
    fn again(before: Option<Self>, stamps: Vec<Stamp>, failure: &Failure, most: Option<usize>) -> Self {
        let times = before.map_or(1, |before| before.times + 1);
        let pause = AUTH_PAUSES[times.min(AUTH_PAUSES.len()) - 1];
        // ± 20 %, so that the replicas of a service do not try together.
        let pause = Duration::from_secs_f64(f64::from(u32::try_from(pause).unwrap_or(u32::MAX)) * (0.8 + 0.4 * fastrand::f64()));
        let next = most.is_none_or(|most| times < most).then(|| Instant::now() + pause);
        Self { times, next, stamps, failure: failure.clone() }
    }
}

impl<B: Backend> Probe for Asker<B> {
    fn kind(&self) -> &'static str {
        B::KIND
    }

    fn manual(&self) -> &'static Manual {
        B::MANUAL
    }

    fn prepare(&self, timeout: Duration) -> Run {
        let mut run = Run::new(timeout, B::MANUAL, self.options.resolver.clone());
        run.speaks = B::SPEAKS;
        run.greets = B::GREETS;
        run.guard = B::GUARD;
        run.certificate_warning = self.options.certificate;
        run.canary = Arc::clone(&self.canary);
        run.depth = self.options.depth;
        run
    }

    fn attempt(self: Arc<Self>, mut run: Run) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let Ok(mut slot) = timeout_at(run.deadline(), self.slot.lock()).await else {
                // A run that was left behind holds it still: a thread of ours is stuck, and the peer was not asked.
                let outcome = self.outcome(&mut run, Err(overdue(Phase::Query)));
                return Outcome { waited: outcome.duration, ..outcome };
            };
            self.idle.send_replace(Idle::default());
            run.seen().redactor = Arc::clone(&slot.redactor);
            let result = match AssertUnwindSafe(self.go(&mut run, &mut slot)).catch_unwind().await {
                Ok(result) => result,
                Err(_) => Err(run.panicked()),
            };
            if let Err(failure) = &result {
                slot.forget();
                if Self::rejects(failure, &run) {
                    slot.mind(failure, B::MOST_REJECTIONS);
                }
            }
            let outcome = self.outcome(&mut run, result);
            slot.redactor = run.redactor();
            if !self.keeps(&run)
                && let Some(session) = slot.warm.take()
            {
                slot.leaving.push(session.inner);
            }
            self.watch_idle(&slot);
            self.see_off(&mut slot);
            outcome
        })
    }

    fn lost(&self) -> BoxFuture<'static, ()> {
        over(self.idle.subscribe()).boxed()
    }

    fn close(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Ok(mut slot) = timeout(CLOSE_BUDGET, self.slot.lock()).await else { return };
            self.idle.send_replace(Idle::default());
            if let Some(session) = slot.warm.take() {
                slot.leaving.push(session.inner);
            }
            self.see_off(&mut slot);
            while slot.closing.join_next().await.is_some() {}
        })
    }
}
