//! `/livez`, `/readyz`, `/startupz`, in the words of the Kubernetes API server: `ok`, or one line per check.

use std::{collections::BTreeSet, fmt::Write};

use http::StatusCode;

use super::{answer::Answer, routes::Query};
use crate::{
    catalog::plan::Criticality,
    judge::{Standing, ViewStatus},
    snapshot::{Snapshot, is_awaited},
    vitals::Vitals,
};

const TEXT: &str = "text/plain; charset=utf-8";

/// One line.
struct Check<'a> {
    name: &'a str,
    /// What counts against it, if anything.
    failed: Option<String>,
    /// What is worth a word although it passes.
    note: Option<String>,
}

/// Whether the agent's own scheduler is alive.
pub(super) fn live(vitals: &Vitals, query: &Query<'_>) -> Answer {
    let age = vitals.heartbeat_age();
    let failed = vitals.is_stalled().then(|| format!("no heartbeat for {} s", age.as_secs()));
    report("livez", &[Check { name: "scheduler", failed, note: None }], query)
}

/// Whether the application may get traffic.
pub(super) fn ready(snapshot: &Snapshot, query: &Query<'_>) -> Answer {
    let mut checks: Vec<_> = snapshot.standings.iter().map(|standing| check_ready(standing, snapshot)).collect();
    checks.push(Check { name: "agent", failed: snapshot.withdrawn.clone(), note: None });
    report("readyz", &checks, query)
}

/// Whether one dependency serves, whatever it means for the whole.
pub(super) fn ready_one(standing: &Standing, query: &Query<'_>) -> Answer {
    let failed = (!standing.status.serves()).then(|| in_words(standing));
    report("readyz", &[Check { name: &standing.dependency.name, failed, note: note(standing) }], query)
}

/// Whether every required dependency has had its first verdict.
pub(super) fn startup(snapshot: &Snapshot, query: &Query<'_>) -> Answer {
    let checks: Vec<_> = snapshot
        .standings
        .iter()
        .map(|standing| Check {
            name: &standing.dependency.name,
            failed: is_awaited(standing).then(|| in_words(standing)),
            note: note(standing),
        })
        .collect();
    report("startupz", &checks, query)
}

fn check_ready<'a>(standing: &'a Standing, snapshot: &Snapshot) -> Check<'a> {
    let blocks = standing.dependency.criticality == Criticality::Required && !standing.status.serves();
    let exemption = snapshot.aggregate.exemption.filter(|_| blocks);
    Check {
        name: &standing.dependency.name,
        failed: (blocks && exemption.is_none()).then(|| in_words(standing)),
        note: exemption.map(|exemption| format!("{}; {}", in_words(standing), exemption.words())).or_else(|| note(standing)),
    }
}

fn note(standing: &Standing) -> Option<String> {
    (standing.status != ViewStatus::Healthy)
        .then(|| format!("{}, {}", standing.dependency.criticality.as_str(), in_words(standing)))
}

fn in_words(standing: &Standing) -> String {
    format!("{}: {}", standing.status, standing.why())
}

/// `ok`, or every check on a line of its own when asked for or when one fails.
fn report(route: &str, checks: &[Check<'_>], query: &Query<'_>) -> Answer {
    let excluded: BTreeSet<&str> = query.all("exclude").collect();
    let mut unknown = excluded.clone();
    let passed = checks.iter().all(|check| check.failed.is_none() || excluded.contains(check.name));
    if passed && !query.has("verbose") {
        return Answer::new(StatusCode::OK, TEXT, "ok");
    }
    let mut text = String::new();
    for check in checks {
        unknown.remove(check.name);
        let line = match (&check.failed, &check.note) {
            _ if excluded.contains(check.name) => format!("[+]{} excluded: ok", check.name),
            (Some(reason), _) => format!("[-]{} failed: {reason}", check.name),
            (None, Some(note)) => format!("[+]{} ok ({note})", check.name),
            (None, None) => format!("[+]{} ok", check.name),
        };
        text.push_str(&line);
        text.push('\n');
    }
    if !unknown.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for {:?}", Vec::from_iter(unknown));
    }
    let (status, word) = if passed { (StatusCode::OK, "passed") } else { (StatusCode::SERVICE_UNAVAILABLE, "failed") };
    let _ = writeln!(text, "{route} check {word}");
    Answer::new(status, TEXT, text)
}
