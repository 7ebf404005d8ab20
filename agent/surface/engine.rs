//! `/engine/…`: the agent about itself.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed};

use probity_probes::registry;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::routes::ROUTES;
use crate::{
    document::{AgentEntry, Time},
    host,
    snapshot::Snapshot,
    vitals::Vitals,
};

/// What is fixed once the agent listens.
#[derive(Clone, Debug)]
pub struct About {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How many connections it takes at most.
    pub connection_limit: usize,
    /// How many files it may have open.
    pub open_files_limit: u64,
    /// Where runs go on.
    pub probes: Handle,
}

/// What runs.
pub(super) fn manifest(snapshot: &Snapshot, about: &About) -> Value {
    let agent = &snapshot.agent;
    let has = |present: bool| -> Vec<_> {
        registry()
            .iter()
            .filter(|registration| registration.entry.is_some() == present)
            .map(|registration| registration.kind)
            .collect()
    };
    let dependencies: Vec<_> = snapshot
        .standings
        .iter()
        .map(|standing| {
            let plan = &standing.dependency;
            json!({
                "name": plan.name,
                "backend": plan.backend,
                "criticality": plan.criticality,
                "shared": plan.shared,
                "interval_seconds": plan.timing.interval.as_secs_f64(),
                "timeout_seconds": plan.timing.timeout.as_secs_f64(),
                "startup_grace_seconds": plan.timing.startup_grace.as_secs_f64(),
                "fall": plan.timing.fall,
                "rise": plan.timing.rise,
            })
        })
        .collect();
    object([
        ("agent", Some(json!(AgentEntry::of(agent)))),
        ("generation", Some(snapshot.generation.into())),
        ("listen", Some(about.listen.to_string().into())),
        ("readiness", Some(json!(agent.readiness))),
        ("fail_open_after_seconds", agent.fail_open_after.map(|limit| limit.as_secs_f64().into())),
        ("max_in_flight", agent.max_in_flight.map(Value::from)),
        ("verbose_errors", Some(agent.verbose_errors.into())),
        ("backends", Some(has(true).into())),
        ("backends_left_out", Some(has(false)).filter(|kinds| !kinds.is_empty()).map(Value::from)),
        ("dependencies", Some(dependencies.into())),
        ("routes", Some(json!(ROUTES))),
    ])
}

/// Its state, and what went wrong with itself.
pub(super) fn status(snapshot: &Snapshot, vitals: &Vitals) -> Value {
    let failure = vitals.is_stalled().then(|| {
        json!({
            "part": "scheduler",
            "message": format!("no heartbeat for {} s", vitals.heartbeat_age().as_secs()),
            "remedy": "Restart the agent; if this machine is starved, give it CPU.",
        })
    });
    let state = match (&failure, vitals.is_stopping()) {
        (Some(_), _) => "failed",
        (None, true) => "stopping",
        (None, false) => "started",
    };
    object([
        ("state", Some(state.into())),
        ("started_at", Some(json!(Time(vitals.started_at())))),
        ("uptime_seconds", Some(vitals.now().since_start.as_secs_f64().into())),
        ("status", Some(json!(snapshot.aggregate.status))),
        ("ready", Some(snapshot.aggregate.ready.into())),
        ("started", Some(snapshot.aggregate.started.into())),
        ("reason", snapshot.aggregate.reason.clone().map(Value::from)),
        ("revision", Some(snapshot.revision.into())),
        ("generation", Some(snapshot.generation.into())),
        ("last_failure", failure),
    ])
}

/// Its parts, each with what tells whether it keeps up.
pub(super) fn diagnostics(snapshot: &Snapshot, vitals: &Vitals, about: &About) -> Value {
    let probes = about.probes.metrics();
    json!({
        "parts": [
            {
                "name": "scheduler",
                "alive": !vitals.is_stalled(),
                "heartbeat_age_seconds": vitals.heartbeat_age().as_secs_f64(),
                "lag_seconds": vitals.lag().as_secs_f64(),
                "runs_in_flight": vitals.in_flight.load(Relaxed),
            },
            {
                "name": "keeper",
                "revision": snapshot.revision,
                "published_at": Time(snapshot.at),
                "last_batch": vitals.batch.load(Relaxed),
            },
            {
                "name": "probes",
                "workers": probes.num_workers(),
                "tasks": probes.num_alive_tasks(),
                "queue_depth": probes.global_queue_depth(),
                "runs_abandoned": snapshot.standings.iter().map(|standing| standing.tally.abandoned).sum::<u64>(),
                "runs_without_outcome": vitals.starved(),
                "runs_skipped": snapshot.standings.iter().map(|standing| standing.tally.skipped).sum::<u64>(),
            },
            {
                "name": "surface",
                "connections": vitals.connections.load(Relaxed),
                "connection_limit": about.connection_limit,
                "requests": vitals.requests.load(Relaxed),
                "refused": vitals.refused.load(Relaxed),
                "closed_for_others": vitals.dismissed.load(Relaxed),
                "accept_errors": vitals.accept_errors.load(Relaxed),
            },
        ],
        "process": {
            "pid": std::process::id(),
            "open_files_limit": about.open_files_limit,
            "threads": host::threads(),
        },
    })
}

/// An object of what is known: absent, never null.
fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let known = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(known.collect::<Map<_, _>>())
}
