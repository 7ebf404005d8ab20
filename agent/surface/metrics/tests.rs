//! The metrics as Prometheus reads them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;
use crate::testing::example;

fn body() -> String {
    String::from_utf8(render(&example(), &Vitals::new(4)).to_vec()).unwrap()
}

#[test]
fn everything_named_is_there() {
    let body = body();
    for line in [
        r#"probe_success{dependency="orders-db",backend="puppet",criticality="required"} 1"#,
        r#"probe_success{dependency="cache",backend="puppet",criticality="optional"} 0"#,
        r#"probe_success{dependency="queue",backend="puppet",criticality="informational"} 0"#,
        r#"probe_success{dependency="old",backend="puppet",criticality="optional"} 0"#,
        r#"probe_duration_seconds{dependency="orders-db",backend="puppet",criticality="required"} 0.0009"#,
        r#"probity_phase_duration_seconds{dependency="orders-db",backend="puppet",criticality="required",phase="query"} 0.0007"#,
        r#"probity_dependency_status{dependency="orders-db",backend="puppet",criticality="required",status="degraded"} 1"#,
        r#"probity_dependency_status{dependency="queue",backend="puppet",criticality="informational",status="pending"} 1"#,
        r#"probity_dependency_status{dependency="old",backend="puppet",criticality="optional",status="healthy"} 0"#,
        r#"probity_dependency_status{dependency="old",backend="puppet",criticality="optional",status="stale"} 1"#,
        r#"probity_run_status{dependency="cache",backend="puppet",criticality="optional",status="unhealthy"} 1"#,
        r#"probity_dependency_failure{dependency="cache",backend="puppet",criticality="optional",kind="connect_refused"} 1"#,
        r#"probity_dependency_failure{dependency="cache",backend="puppet",criticality="optional",kind="timeout"} 0"#,
        r#"probity_dependency_info{dependency="orders-db",backend="puppet",criticality="required",version="15.18",role="",mode="",owner="team \"orders\"",runbook="",team="orders"} 1"#,
        r#"probity_dependency_info{dependency="cache",backend="puppet",criticality="optional",version="15.18",role="",mode="",owner="",runbook="",team=""} 1"#,
        r#"probity_last_run_timestamp_seconds{dependency="cache",backend="puppet",criticality="optional"} 1767268800"#,
        r#"probity_last_success_timestamp_seconds{dependency="cache",backend="puppet",criticality="optional"} 1767268800"#,
        r#"probity_coverage_partial{dependency="orders-db",backend="puppet",criticality="required"} 1"#,
        r#"probity_certificate_expiry_timestamp_seconds{dependency="orders-db",backend="puppet",criticality="required"} 1800000000"#,
        r#"probity_run_duration_seconds_bucket{dependency="orders-db",backend="puppet",criticality="required",session="warm",le="0.001"} 1"#,
        r#"probity_run_duration_seconds_count{dependency="orders-db",backend="puppet",criticality="required",session="fresh"} 1"#,
        r#"probity_runs_total{dependency="cache",backend="puppet",criticality="optional",result="unhealthy"} 1"#,
        r#"probity_runs_skipped_total{dependency="cache",backend="puppet",criticality="optional"} 0"#,
        r#"probity_reconnects_total{dependency="cache",backend="puppet",criticality="optional"} 0"#,
        r#"probity_transitions_total{dependency="cache",backend="puppet",criticality="optional",to="unhealthy"} 1"#,
        "probity_ready 1",
        "# HELP probity_puppet_lag_seconds How far it is behind.",
        "# TYPE probity_puppet_lag_seconds gauge",
        r#"probity_puppet_lag_seconds{dependency="orders-db",backend="puppet",criticality="required"} 0.5"#,
        "# TYPE probity_puppet_restarts_total counter",
        "probity_runs_in_flight 0",
        "probity_catalog_generation 1",
    ] {
        assert!(body.lines().any(|have| have == line), "missing: {line}\nin\n{body}");
    }
}

#[test]
fn what_is_not_known_has_no_sample() {
    let body = body();
    assert!(!body.contains("probity_puppet_version"), "words are no metrics");
    assert!(!body.contains("bob"), "a server's own words are no label");
    assert!(!body.lines().any(|line| line.starts_with("up")));
    for metric in ["probity_puppet_lag_seconds{", "probe_duration_seconds{", "probity_run_status{"] {
        for name in ["old", "queue"] {
            let sample = format!("{metric}dependency=\"{name}\"");
            assert!(!body.contains(&sample), "{sample} is stale or pending");
        }
    }
}

#[test]
fn every_state_set_is_complete_and_has_at_most_one_state() {
    let body = body();
    for (metric, states) in [("probity_dependency_status{", 5), ("probity_dependency_failure{", 15)] {
        for name in ["orders-db", "cache", "queue", "old"] {
            let start = format!("{metric}dependency=\"{name}\"");
            let samples: Vec<_> = body.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(samples.len(), states, "{start}");
            let set = samples.iter().filter(|line| line.ends_with(" 1")).count();
            assert_eq!(set, usize::from(states == 5 || name == "cache"), "{start}");
        }
    }
}

#[test]
fn the_part_of_a_revision_is_made_once() {
    let snapshot = example();
    assert!(!render(&snapshot, &Vitals::new(4)).is_empty());
    let first = snapshot.bodies.metrics.get().unwrap().as_ptr();
    assert!(!render(&snapshot, &Vitals::new(4)).is_empty());
    assert_eq!(snapshot.bodies.metrics.get().unwrap().as_ptr(), first);
}

/// `promtool` has the last word, where it is installed.
#[test]
fn promtool_finds_nothing_to_complain_about() {
    let (input, output, errors) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    let started = Command::new("promtool").args(["check", "metrics"]).stdin(input).stdout(output).stderr(errors).spawn();
    let Ok(mut promtool) = started else {
        let names = std::env::var("PROBITY_REQUIRE").unwrap_or_default();
        assert!(!names.split(',').any(|name| name == "promtool" || name == "all"), "promtool is required, but not installed");
        eprintln!("SKIPPED: promtool is not installed");
        return;
    };
    promtool.stdin.take().unwrap().write_all(body().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
