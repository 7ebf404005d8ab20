//! For the agent's own tests: plans without a catalog, outcomes without a server, probes that follow a script.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use probity_probes::{
    Backend, ConfigError, Depth, Facts, Failure, FailureKind, Finding, Manual, Options, Outcome, Phase, Phases, Probe,
    Registration, Run, SessionKind, Status,
    address::Endpoint,
    manual::{FactRow, FindingRow},
    wire::{dial::Target, sniff::Protocol},
};
use tokio::sync::Notify;

use crate::{
    catalog::plan::{AgentPlan, Criticality, DependencyPlan, Readiness, Timing, Words},
    judge::{Moment, Standing, judge, readiness::Gate},
    snapshot::{Bodies, Snapshot, aggregate},
};

/// A fixed moment, so that renderings can be compared.
pub(crate) fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn agent() -> AgentPlan {
    AgentPlan {
        id: "orders-sidecar".into(),
        listen: "127.0.0.1:0".parse().unwrap(),
        readiness: Readiness::Strict,
        fail_open_after: None,
        verbose_errors: false,
        max_in_flight: None,
    }
}

pub(crate) fn timing() -> Timing {
    Timing {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        fall: 2,
        rise: 2,
        startup_grace: Duration::from_secs(30),
    }
}

pub(crate) fn plan(name: &str, criticality: Criticality) -> DependencyPlan {
    plan_of(name, criticality, Arc::new(Script::default()))
}

pub(crate) fn plan_of(name: &str, criticality: Criticality, script: Arc<Script>) -> DependencyPlan {
    DependencyPlan {
        name: name.into(),
        backend: "puppet",
        criticality,
        timing: timing(),
        words: Words::default(),
        shared: false,
        resolved: serde_json::Value::Null,
        probe: script,
    }
}

pub(crate) fn healthy() -> Outcome {
    let mut phases = Phases::default();
    phases.add(Phase::Query, Duration::from_micros(700));
    Outcome {
        status: Status::Healthy,
        failure: None,
        findings: Vec::new(),
        facts: Arc::new(Facts::from([("version".into(), "15.18".into()), ("lag_seconds".into(), 0.5.into())])),
        missing: Vec::new(),
        depth: Some(Depth::Deep),
        session: Some(SessionKind::Warm),
        reconnected: false,
        abandoned: false,
        phases,
        duration: Duration::from_micros(900),
        waited: Duration::ZERO,
        at: noon(),
    }
}

pub(crate) fn found(finding: Finding) -> Outcome {
    Outcome { status: finding.severity.into(), findings: vec![finding], ..healthy() }
}

pub(crate) fn failed(kind: FailureKind) -> Outcome {
    let mut failure = Failure::new(kind, "it did not work").with_words("FATAL: user bob, go away");
    failure.phase = Some(Phase::Query);
    Outcome {
        status: Status::Unhealthy,
        failure: Some(failure),
        facts: Arc::default(),
        depth: None,
        session: Some(SessionKind::Fresh),
        ..healthy()
    }
}

/// What a probe does next.
pub(crate) enum Act {
    /// Ends at once.
    End(Outcome),
    /// Ends after a while.
    After(Duration, Outcome),
    /// Never ends by itself.
    Hang,
    /// Panics.
    Panic,
}

/// A probe that does what it is told, and its last act again and again.
#[derive(Default)]
pub(crate) struct Script {
    acts: Mutex<VecDeque<Act>>,
    pub(crate) runs: AtomicUsize,
    pub(crate) closes: AtomicUsize,
    pub(crate) loss: Arc<Notify>,
}

impl Script {
    pub(crate) fn of(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self { acts: Mutex::new(acts.into_iter().collect()), ..Self::default() })
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    fn next(&self) -> Act {
        let mut acts = self.acts.lock().unwrap_or_else(PoisonError::into_inner);
        if acts.len() > 1 {
            return acts.pop_front().unwrap();
        }
        match acts.front() {
            Some(Act::End(outcome)) => Act::End(outcome.clone()),
            Some(Act::After(pause, outcome)) => Act::After(*pause, outcome.clone()),
            Some(Act::Hang) => Act::Hang,
            Some(Act::Panic) => Act::Panic,
            None => Act::End(healthy()),
        }
    }
}

impl Probe for Script {
    fn kind(&self) -> &'static str {
        "puppet"
    }

    fn manual(&self) -> &'static Manual {
        MANUAL
    }

    fn prepare(&self, timeout: Duration) -> Run {
        let registration = Registration::of::<Puppet>();
        let probe = registration.entry.unwrap().build(serde_json::Value::Null, Options::default());
        probe.unwrap_or_else(|error| panic!("{error}")).prepare(timeout)
    }

    fn attempt(self: Arc<Self>, _: Run) -> BoxFuture<'static, Outcome> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        async move {
            match self.next() {
                Act::End(outcome) => Outcome { at: Timestamp::now(), ..outcome },
                Act::After(pause, outcome) => {
                    tokio::time::sleep(pause).await;
                    outcome
                }
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("as the script says"),
            }
        }
        .boxed()
    }

    fn lost(&self) -> BoxFuture<'static, ()> {
        let loss = Arc::clone(&self.loss);
        async move { loss.notified().await }.boxed()
    }

    fn close(self: Arc<Self>) -> BoxFuture<'static, ()> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        std::future::ready(()).boxed()
    }
}

/// Its manual.
pub(crate) const MANUAL: &Manual = &Manual {
    title: "Puppet",
    summary: "Does what a script says.",
    levels: &[],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "lag_seconds", metric: true, meaning: "How far it is behind." },
        FactRow { name: "restarts_total", metric: true, meaning: "Restarts since it was installed." },
    ],
    findings: &[FindingRow { code: "connections", meaning: "Nearly full: degraded.", remedy: "Raise the limit." }],
    codes: &[],
    unsupported: &[],
};

/// Only there because runs are made by backends.
struct Puppet(Target);

impl Backend for Puppet {
    type Config = ();
    type Session = ();
    const KIND: &'static str = "puppet";
    const EXAMPLE: &'static str = "";
    const MANUAL: &'static Manual = MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build((): ()) -> Result<Self, ConfigError> {
        Ok(Self(Target::plain(vec![Endpoint::Tcp { host: "localhost".into(), port: 1 }])))
    }

    fn target(&self) -> &Target {
        &self.0
    }

    async fn open(&self, _: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn ask(&self, (): &mut (), _: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn examine(&self, (): &mut (), _: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, (): ()) {}
}

/// A standing after some outcomes, past every grace.
pub(crate) fn standing(plan: DependencyPlan, outcomes: impl IntoIterator<Item = Outcome>) -> Standing {
    let now = Moment { since_start: Duration::from_mins(1), at: noon() };
    let first = Standing::pending(Arc::new(plan), noon());
    outcomes.into_iter().fold(first, |before, outcome| judge(&before, Arc::new(outcome), now).0)
}

/// A snapshot of some standings.
pub(crate) fn snapshot(agent: AgentPlan, standings: Vec<Standing>) -> Snapshot {
    let standings: Vec<_> = standings.into_iter().map(Arc::new).collect();
    let (aggregate, _) = aggregate(&standings, &agent, Gate::default(), Duration::ZERO);
    let (at, agent) = (noon(), Arc::new(agent));
    Snapshot { revision: 42, generation: 1, at, agent, standings, aggregate, withdrawn: None, bodies: Bodies::default() }
}

/// One of each: degraded, unhealthy, pending and stale.
pub(crate) fn example() -> Snapshot {
    let mut orders = plan("orders-db", Criticality::Required);
    orders.words.owner = Some("team \"orders\"".into());
    orders.words.labels = [("team".to_owned(), "orders".to_owned()), ("backend".to_owned(), "taken".to_owned())].into();
    let mut full = found(Finding::degraded("connections", 0.94).against(0.9));
    full.session = Some(SessionKind::Fresh);
    full.missing.push("replication".into());
    let facts = Arc::make_mut(&mut full.facts);
    facts.insert("restarts_total".into(), 7_i64.into());
    facts.insert("certificate_expiry_timestamp_seconds".into(), 1_800_000_000_i64.into());
    let standings = vec![
        standing(orders, [healthy(), full]),
        standing(plan("cache", Criticality::Optional), [healthy(), failed(FailureKind::ConnectRefused)]),
        standing(plan("queue", Criticality::Informational), []),
        standing(plan("old", Criticality::Optional), [healthy()]).outdated(noon()),
    ];
    snapshot(agent(), standings)
}
