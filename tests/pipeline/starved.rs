//! An agent that gets no processor time says so, and blames no dependency.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::redis;
use crate::support::{PATIENCE, agent::Agent, eventually, process::Launch, procfs, require, scratch, servers};

const DEPENDENCIES: usize = 200;

/// How long it is starved.
const DROUGHT: Duration = Duration::from_secs(8);

/// The agent may run on one processor only, where nothing else asks for it: two endless loops do.
#[test]
fn an_agent_without_a_processor_blames_nobody() {
    if !require("redis") {
        return;
    }
    let allowed = procfs::status_text(std::process::id(), "Cpus_allowed_list:").unwrap_or_default();
    let Some(processor) = allowed.split([',', '-']).next().filter(|first| !first.is_empty()) else {
        eprintln!("SKIPPED: this machine does not say which processors there are");
        return;
    };
    if servers::find("taskset").is_none() || servers::find("chrt").is_none() {
        eprintln!("SKIPPED: taskset and chrt (util-linux) are not installed");
        return;
    }
    let (server, folder) = (servers::redis::Redis::start(), scratch());
    let catalog: String =
        (0..DEPENDENCIES).map(|n| redis(&format!("cache-{n}"), &server, "criticality = \"required\"")).collect();
    let agent = Agent::builder(&catalog).through("chrt", &["--idle", "0"]).through("taskset", &["--cpu-list", processor]).start();
    let all_are_healthy = |view: &serde_json::Value| {
        view["dependencies"].as_array().is_some_and(|all| all.iter().all(|one| one["status"] == "healthy"))
    };
    agent.wait_for("all are healthy", PATIENCE, all_are_healthy);
    let loops: Vec<_> = (0..2)
        .map(|n| {
            let log = folder.path().join(format!("loop-{n}"));
            let args = ["--cpu-list", processor, "sh", "-c", "while :; do :; done"];
            Launch::new("taskset", log).args(args).start()
        })
        .collect();
    let begun = Instant::now();
    while begun.elapsed() < DROUGHT {
        // It may not answer at all now.
        let _ = agent.try_get_within("/livez", Duration::from_millis(200));
        thread::sleep(Duration::from_millis(200));
    }
    drop(loops);
    agent.wait_for("all are healthy again", PATIENCE, all_are_healthy);
    let log = agent.log();
    let blamed: Vec<_> = log.lines().filter(|line| line.contains("is unhealthy") || line.contains("is degraded")).collect();
    assert!(blamed.is_empty(), "{} were blamed: {:#?}", blamed.len(), blamed.first());
    let counted = eventually(PATIENCE, "the runs are counted", || {
        let metrics = agent.get("/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("probity_runs_without_outcome_total "))?;
        line.parse::<u64>().ok().filter(|count| *count > 0)
    });
    assert!(log.contains("runs without an outcome: this machine kept the latest one waiting for"), "{log}");
    let diagnostics = agent.json("/engine/diagnostics");
    let probes = diagnostics["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["name"] == "probes"));
    assert!(probes.is_some_and(|probes| probes["runs_without_outcome"].as_u64() >= Some(counted)), "{diagnostics:#}");
}
