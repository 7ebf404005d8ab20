//! What every dependency exports, whatever its backend is.

use std::collections::BTreeSet;

use probity_probes::{FailureKind, Outcome, Status};

use super::family::{Family, flag, label, labels_of, number, seconds};
use crate::{
    judge::{Standing, ViewStatus},
    snapshot::Snapshot,
};

/// Labels of `probity_dependency_info` that the catalog's own labels cannot replace.
const RESERVED: [&str; 8] = ["dependency", "backend", "criticality", "version", "role", "mode", "owner", "runbook"];

/// What a reader is told of them.
const INFO_LABELS: &str = "version, role, mode, owner, runbook, and `labels` of the entry";

/// Every family but the facts of backends.
pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families = status(snapshot);
    families.extend(latest_run(snapshot));
    families.extend(counts(snapshot));
    families
}

/// How dependencies stand.
fn status(snapshot: &Snapshot) -> Vec<Family> {
    let gauge = Family::gauge;
    vec![
        gauge("probe_success", "Whether the dependency serves: 1 healthy or degraded, 0 unhealthy, pending or stale.")
            .each(snapshot, |standing| Some(flag(standing.status.serves()))),
        gauge("probity_dependency_status", "Status after hysteresis: 1 for the one it has, 0 for the others.").each_by(
            snapshot,
            "status",
            |standing| ViewStatus::ALL.map(|status| (status.as_str(), flag(standing.status == status))).into(),
        ),
        gauge("probity_dependency_failure", "Why the latest run did not finish: 1 for its kind of failure, 0 for the others.")
            .each_by(snapshot, "kind", |standing| {
                let failure = fresh(standing).and_then(|outcome| outcome.failure.as_ref()).map(|failure| failure.kind);
                FailureKind::ALL.map(|kind| (kind.as_str(), flag(failure == Some(kind)))).into()
            }),
        info(snapshot),
    ]
}

/// What the latest run saw.
fn latest_run(snapshot: &Snapshot) -> Vec<Family> {
    let gauge = Family::gauge;
    vec![
        gauge("probe_duration_seconds", "Duration of the latest run as a whole, without its close.")
            .each(snapshot, |standing| fresh(standing).map(|outcome| outcome.duration.as_secs_f64())),
        gauge(
            "probity_phase_duration_seconds",
            "Duration of each phase of the latest run; one that did not happen has no sample.",
        )
        .each_by(snapshot, "phase", |standing| {
            let phases = fresh(standing).into_iter().flat_map(|outcome| outcome.phases.iter());
            phases.map(|(phase, duration)| (phase.as_str(), duration.as_secs_f64())).collect()
        }),
        gauge("probity_run_status", "Raw outcome of the latest run, before hysteresis: 1 for the one it has, 0 for the others.")
            .each_by(snapshot, "status", |standing| {
                let last = fresh(standing).map(|outcome| outcome.status);
                last.map_or_else(Vec::new, |last| Status::ALL.map(|status| (status.as_str(), flag(last == status))).into())
            }),
        gauge("probity_coverage_partial", "Whether questions of the latest run were refused.").each(snapshot, |standing| {
            fresh(standing).filter(|outcome| outcome.depth.is_some()).map(|outcome| flag(!outcome.missing.is_empty()))
        }),
        gauge("probity_certificate_expiry_timestamp_seconds", "Earliest expiry of the presented chain, in seconds since 1970.")
            .each(snapshot, |standing| fresh(standing)?.facts.get("certificate_expiry_timestamp_seconds")?.as_number()),
        gauge("probity_last_run_timestamp_seconds", "When the latest run ended, in seconds since 1970.")
            .each(snapshot, |standing| standing.last.as_ref().map(|outcome| seconds(outcome.at))),
        gauge("probity_last_success_timestamp_seconds", "When a run last ended healthy or degraded, in seconds since 1970.")
            .each(snapshot, |standing| standing.last_success.map(seconds)),
    ]
}

/// What was counted since the agent started.
fn counts(snapshot: &Snapshot) -> Vec<Family> {
    let counter = Family::counter;
    vec![
        durations(snapshot),
        counter("probity_runs_total", "Runs by their raw result.").each_by(snapshot, "result", |standing| {
            Status::ALL.map(|status| (status.as_str(), number(standing.tally.runs[status as usize]))).into()
        }),
        counter(
            "probity_runs_skipped_total",
            "Runs that were due but never started, because the one before went on or the agent was starved.",
        )
        .each(snapshot, |standing| Some(number(standing.tally.skipped))),
        counter("probity_runs_abandoned_total", "Runs whose backend did not give up at the deadline and was left behind.")
            .each(snapshot, |standing| Some(number(standing.tally.abandoned))),
        counter("probity_reconnects_total", "Warm sessions that were lost and replaced inside a run.")
            .each(snapshot, |standing| Some(number(standing.tally.reconnects))),
        counter("probity_transitions_total", "Changes of the status, by the new one.").each_by(snapshot, "to", |standing| {
            ViewStatus::ALL.map(|status| (status.as_str(), number(standing.tally.transitions[status as usize]))).into()
        }),
    ]
}

/// The latest outcome, unless it is too old to be shown as numbers.
pub(super) fn fresh(standing: &Standing) -> Option<&Outcome> {
    standing.last.as_deref().filter(|_| standing.status != ViewStatus::Stale)
}

fn durations(snapshot: &Snapshot) -> Family {
    let help = "Durations of runs, by whether the session was there already.";
    let mut family = Family::histogram("probity_run_duration_seconds", help).by("session");
    for standing in &snapshot.standings {
        for (session, histogram) in [("warm", &standing.tally.warm), ("fresh", &standing.tally.fresh)] {
            let mut labels = labels_of(standing);
            labels.push(label("session", session));
            family.add_histogram(labels, histogram);
        }
    }
    family
}

fn info(snapshot: &Snapshot) -> Family {
    let help = "What the peer and the catalog say of the dependency; always 1.";
    let mut family = Family::gauge("probity_dependency_info", help).by(INFO_LABELS);
    let own: BTreeSet<&str> = snapshot.standings.iter().flat_map(|standing| own_labels(standing)).collect();
    for standing in &snapshot.standings {
        let (identity, words) = (&standing.identity, &standing.dependency.words);
        let mut labels = labels_of(standing);
        for (name, value) in [
            ("version", &identity.version),
            ("role", &identity.role),
            ("mode", &identity.mode),
            ("owner", &words.owner),
            ("runbook", &words.runbook),
        ] {
            labels.push(label(name, value.as_deref().unwrap_or_default()));
        }
        // Every sample has the same labels; an empty one means the same as none.
        for name in &own {
            labels.push(label(name, words.labels.get(*name).map_or("", String::as_str)));
        }
        family.add(labels, 1.0);
    }
    family
}

/// The catalog's labels that are names Prometheus can take and not taken already.
fn own_labels(standing: &Standing) -> impl Iterator<Item = &str> {
    let names = standing.dependency.words.labels.keys().map(String::as_str);
    names.filter(|name| !RESERVED.contains(name) && is_label_name(name))
}

fn is_label_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.starts_with("__") && name.chars().all(is_word)
}
