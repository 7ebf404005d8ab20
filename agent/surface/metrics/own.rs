//! The agent itself: how late it is, what it runs, what it takes.

use std::sync::{LazyLock, atomic::Ordering::Relaxed};

use prometheus::{core::Collector, process_collector::ProcessCollector, proto::MetricFamily};

use super::family::{Family, flag, label, number, seconds};
use crate::{host, snapshot::Snapshot, vitals::Vitals};

static PROCESS: LazyLock<ProcessCollector> = LazyLock::new(ProcessCollector::for_self);

/// What the agent says of itself.
pub(super) fn families(snapshot: &Snapshot, vitals: &Vitals) -> Vec<Family> {
    let count = |many: usize| number(u64::try_from(many).unwrap_or(u64::MAX));
    let gauge = Family::gauge;
    let counter = Family::counter;
    let mut build = gauge("probity_build_info", "What was built; always 1.").by("version");
    build.add(vec![label("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut threads = gauge("probity_threads", "Threads by their name, those of C libraries included.").by("name");
    for (name, many) in host::threads() {
        threads.add(vec![label("name", &name)], number(many));
    }
    vec![
        gauge("probity_ready", "Whether the application may get traffic.").of(flag(snapshot.aggregate.ready)),
        gauge("probity_scheduler_lag_seconds", "How late the scheduler was at worst in the last two seconds.")
            .of(vitals.lag().as_secs_f64()),
        gauge("probity_runs_in_flight", "Runs that go on.").of(count(vitals.in_flight.load(Relaxed))),
        counter(
            "probity_runs_without_outcome_total",
            "Runs that say nothing of their dependency: this machine kept them waiting for more than a quarter of their time.",
        )
        .of(number(vitals.starved())),
        gauge("probity_catalog_generation", "Counts the catalogs since the start.").of(number(snapshot.generation)),
        gauge("probity_catalog_last_reload_success", "Whether the catalog that was last read is the one in force.").of(1.0),
        gauge(
            "probity_catalog_last_reload_success_timestamp_seconds",
            "When the catalog in force was activated, in seconds since 1970.",
        )
        .of(seconds(vitals.started_at())),
        gauge("probity_surface_connections", "Open connections to the agent.").of(count(vitals.connections.load(Relaxed))),
        counter("probity_surface_requests_total", "Requests the agent has answered.").of(number(vitals.requests.load(Relaxed))),
        counter("probity_surface_refused_connections_total", "Connections refused because there were too many.")
            .of(number(vitals.refused.load(Relaxed))),
        threads,
        build,
    ]
}

/// What the system says of the process.
pub(super) fn process() -> Vec<MetricFamily> {
    PROCESS.collect()
}
