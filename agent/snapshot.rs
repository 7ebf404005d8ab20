//! All standings at one revision, frozen: what the keeper publishes and every surface shows.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use probity_probes::Status;

use crate::{
    catalog::plan::AgentPlan,
    judge::{
        Standing, ViewStatus,
        readiness::{Exemption, Gate, Member, reason, sum},
    },
};

/// All standings at one revision.
pub struct Snapshot {
    /// Counts publications.
    pub revision: u64,
    /// Counts catalogs.
    pub generation: u64,
    /// When it was published.
    pub at: Timestamp,
    /// The agent it belongs to.
    pub agent: Arc<AgentPlan>,
    /// In the catalog's order.
    pub standings: Vec<Arc<Standing>>,
    /// What they amount to.
    pub aggregate: Aggregate,
    /// Why the agent itself must not be believed or used any more, as a sentence.
    pub withdrawn: Option<String>,
    /// What surfaces rendered of it.
    pub bodies: Bodies,
}

/// What all standings amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Status of the whole.
    pub status: Status,
    /// Whether the application may get traffic.
    pub ready: bool,
    /// Whether every required dependency has had its first verdict.
    pub started: bool,
    /// Why it is ready although something blocks.
    pub exemption: Option<Exemption>,
    /// One sentence, unless all is well.
    pub reason: Option<String>,
}

/// Responses that are made at most once per revision, and only when asked for.
#[derive(Default)]
pub struct Bodies {
    /// The aggregate alone.
    pub health: OnceLock<Bytes>,
    /// With every dependency.
    pub dependencies: OnceLock<Bytes>,
    /// The IETF draft's shape.
    pub health_draft: OnceLock<Bytes>,
    /// The metrics of all dependencies.
    pub metrics: OnceLock<Bytes>,
}

/// A standing as the readiness policy sees it.
#[must_use]
pub fn member(standing: &Standing) -> Member<'_> {
    let plan = &standing.dependency;
    Member { name: &plan.name, criticality: plan.criticality, status: standing.status }
}

/// Sums standings up and applies the policy, at a moment counted from the agent's start.
#[must_use]
pub fn aggregate(standings: &[Arc<Standing>], agent: &AgentPlan, gate: Gate, now: Duration) -> (Aggregate, Gate) {
    let sum = sum(standings.iter().map(|standing| member(standing)));
    let (gate, exemption) = gate.decide(sum.blocking > 0, agent.readiness, agent.fail_open_after, now);
    let reason = sum.worst.map(|index| {
        let standing = &standings[index];
        let sentence = reason(member(standing), &standing.why(), sum.others);
        exemption.map_or_else(|| sentence.clone(), |exemption| format!("{sentence}; {}", exemption.words()))
    });
    let started = standings.iter().all(|standing| !is_awaited(standing));
    let ready = sum.blocking == 0 || exemption.is_some();
    (Aggregate { status: sum.status, ready, started, exemption, reason }, gate)
}

/// Whether the start waits for the first verdict of this dependency.
#[must_use]
pub fn is_awaited(standing: &Standing) -> bool {
    standing.dependency.criticality == crate::catalog::plan::Criticality::Required && !standing.has_verdict()
}

impl Snapshot {
    /// A standing by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Standing>> {
        self.standings.iter().find(|standing| &*standing.dependency.name == name)
    }

    /// The same standings as an agent that cannot keep them up to date, or no longer wants traffic,
    /// has to show them: none of them healthy when `stale`, and never ready.
    #[must_use]
    pub fn withdrawn(&self, stale: bool, reason: &str, at: Timestamp) -> Self {
        let standings = if stale {
            self.standings.iter().map(|standing| Arc::new(standing.outdated(at))).collect()
        } else {
            self.standings.clone()
        };
        let status = if stale { Status::Unhealthy } else { self.aggregate.status };
        Self {
            revision: self.revision,
            generation: self.generation,
            at,
            agent: Arc::clone(&self.agent),
            standings,
            aggregate: Aggregate {
                status,
                ready: false,
                started: self.aggregate.started,
                exemption: None,
                reason: Some(reason.to_owned()),
            },
            withdrawn: Some(reason.to_owned()),
            bodies: Bodies::default(),
        }
    }
}

impl Standing {
    /// The same, but too old to be believed.
    #[must_use]
    pub fn outdated(&self, at: Timestamp) -> Self {
        let mut next = self.successor();
        next.show(ViewStatus::Stale, at);
        next
    }
}
