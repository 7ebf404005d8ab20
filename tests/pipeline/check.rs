//! `--check` and `health` on real servers: tables, documents, exit codes.

use std::time::{Duration, Instant};

use super::{entry, redis};
use crate::support::{
    PATIENCE, agent,
    agent::{Agent, check},
    eventually,
    fault::{Fault, FaultProxy},
    peers, require, servers,
};

#[test]
fn the_exit_code_says_how_it_stands() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let gone = format!("redis://{}", peers::refused().addr());
    let well = redis("cache", &server, "criticality = \"required\"");
    let down = entry("gone", "redis", &gone, "criticality = \"required\"");
    let optional = entry("gone", "redis", &gone, "");
    let degraded = redis("cache", &server, "degraded = { connections = 0.0 }");
    for (catalog, args, code) in [
        (well.clone(), &[][..], 0),
        (down.clone(), &[], 1),
        (format!("{well}{optional}"), &[], 0),
        (degraded.clone(), &[], 0),
        (degraded, &["--strict"], 3),
        (format!("{well}{down}"), &["--only", "cache"], 0),
        (well.clone(), &["--only", "cash"], 2),
        (down, &["--wait", "1s"], 124),
    ] {
        let ended = check(&catalog, args);
        assert_eq!(ended.code(), Some(code), "{args:?}\n{catalog}\n{}\n{}", ended.stdout, ended.stderr);
    }
    let typo = check(&well, &["--only", "cash"]);
    assert!(typo.stderr.contains("cash") && typo.stderr.contains("cache"), "{}", typo.stderr);
}

#[test]
fn the_document_is_data_and_all_that_is_on_stdout() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let gone = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "criticality = \"required\"");
    let ended = check(&format!("{}{gone}", redis("cache", &server, "")), &["--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one document");
    assert_eq!((&document["schema"], &document["ready"], &document["status"]), (&1.into(), &false.into(), &"unhealthy".into()));
    let (cache, gone) = (&document["dependencies"][0], &document["dependencies"][1]);
    assert_eq!(
        (&cache["status"], &cache["session"], &cache["facts"]["role"]),
        (&"healthy".into(), &"fresh".into(), &"primary".into())
    );
    assert!(cache["phases_seconds"]["query"].is_number() && cache["phases_seconds"]["deep"].is_number(), "{cache:#}");
    assert!(cache["phases_seconds"]["tls"].is_null(), "a phase that did not happen is absent");
    assert_eq!((&gone["failure"]["kind"], &gone["failure"]["phase"]), (&"connect_refused".into(), &"connect".into()));
}

#[test]
fn everything_is_asked_at_once_and_hung_ones_end_at_the_timeout() {
    let hole = peers::black_hole();
    let catalog: String =
        (0..20).map(|n| entry(&format!("hung-{n}"), "redis", &format!("redis://{}", hole.addr()), "")).collect();
    let begin = Instant::now();
    let ended = check(&catalog, &["--format", "json"]);
    assert_eq!(ended.code(), Some(0), "all are optional: {}", ended.stderr);
    assert!(begin.elapsed() < Duration::from_secs(3), "one after the other: {:?}", begin.elapsed());
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).expect("stdout is one document");
    let kinds: Vec<_> =
        document["dependencies"].as_array().into_iter().flatten().map(|one| one["failure"]["kind"].clone()).collect();
    assert_eq!(kinds, vec![serde_json::Value::from("timeout"); 20]);
}

#[test]
fn waiting_ends_as_soon_as_it_is_ready() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let proxy = FaultProxy::start(server.addr());
    proxy.set(Fault::Stall);
    let catalog = entry("cache", "redis", &format!("redis://{}", proxy.addr()), "criticality = \"required\"");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| check(&catalog, &["--wait", "25s"]));
        eventually(PATIENCE, "a second round", || (proxy.accepted() >= 2).then_some(()));
        proxy.set(Fault::Pass);
        let ended = waiting.join().expect("it ends");
        assert_eq!(ended.code(), Some(0), "{}\n{}", ended.stdout, ended.stderr);
    });
}

/// The last line of a report.
fn summary(ended: &agent::Ended) -> String {
    ended.stdout.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_report_of_waiting_is_that_of_one_round() {
    if !require("redis") {
        return;
    }
    let (first, second) = (servers::redis::Redis::start(), servers::redis::Redis::start());
    let proxy = FaultProxy::start(second.addr());
    proxy.set(Fault::Stall);
    let first_proxy = FaultProxy::start(first.addr());
    let url = |proxy: &FaultProxy| format!("redis://{}", proxy.addr());
    let required = "criticality = \"required\"";
    let catalog =
        format!("{}{}", entry("first", "redis", &url(&first_proxy), required), entry("second", "redis", &url(&proxy), required));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| check(&catalog, &["--wait", "8s"]));
        eventually(PATIENCE, "the first is healthy and the second is waited for", || {
            (first_proxy.accepted() >= 1 && proxy.accepted() >= 2).then_some(())
        });
        // What was healthy once is down for a whole round before the other one comes.
        first.process().kill9();
        let before = proxy.accepted();
        eventually(PATIENCE, "a round begins without the first", || (proxy.accepted() > before).then_some(()));
        proxy.set(Fault::Pass);
        let ended = waiting.join().expect("it ends");
        assert_eq!(ended.code(), Some(124), "{}\n{}", ended.stdout, ended.stderr);
        assert!(summary(&ended).starts_with("NOT READY · first: "), "{}", ended.stdout);
        let lines: Vec<_> = ended.stdout.lines().filter(|line| line.contains("redis")).collect();
        assert!(lines.iter().any(|line| line.starts_with("second") && line.contains("healthy")), "{}", ended.stdout);
    });
}

#[test]
fn ready_for_some_time_is_more_than_ready_once() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let catalog = redis("cache", &server, "criticality = \"required\"");
    let begun = Instant::now();
    let ended = check(&catalog, &["--wait", "60s", "--for", "2s"]);
    assert_eq!((ended.code(), begun.elapsed() >= Duration::from_secs(2)), (Some(0), true), "{}", ended.stderr);
    assert_eq!(summary(&ended), "ready · 1 of 1 healthy");
    assert_eq!(check(&catalog, &["--wait", "1s", "--for", "10s"]).code(), Some(124), "`--for` counts inside `--wait`");
}

#[test]
fn a_check_in_which_nothing_counts_says_so() {
    let gone = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "");
    let ended = check(&gone, &[]);
    assert_eq!(ended.code(), Some(0));
    assert!(ended.stderr.starts_with("warning: nothing is required"), "{}", ended.stderr);
    assert_eq!(summary(&ended), "ready · 0 of 1 healthy · down (optional): gone");
    let named = check(&gone, &["--only", "gone"]);
    assert_eq!((named.code(), named.stderr.as_str()), (Some(1), ""));
}

#[test]
fn health_finds_the_agent_of_the_catalog() {
    let gone = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "");
    let running = Agent::start(&format!("[agent]\nid = \"orders\"\n{gone}"));
    running.wait_for("it is known to be down", PATIENCE, |health| health["dependencies"][0]["status"] == "unhealthy");
    let catalog = running.catalog().display().to_string();
    let asked = agent::run(&["health", "--catalog", &catalog]);
    assert_eq!(asked.code(), Some(0), "{}", asked.stderr);
    assert!(asked.stdout.starts_with("orders is ready: gone is unhealthy: "), "{}", asked.stdout);
    running.write_catalog("[agent]\nlisten = 1\n[dependencies.x]\nbackend = \"no such\"\n[broken");
    let asked = agent::run(&["health", "--catalog", &catalog]);
    assert_eq!(asked.code(), Some(0), "mistakes elsewhere do not matter: {}", asked.stderr);
}

#[test]
fn a_running_agent_is_asked_by_health() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let running = Agent::start(&redis("cache", &server, "criticality = \"required\""));
    running.wait_for("ready", PATIENCE, |health| health["ready"] == true);
    let address = running.addr().to_string();
    let ready = agent::run(&["health", &address]);
    assert_eq!(ready.code(), Some(0), "{}", ready.stderr);
    server.process().kill9();
    running.wait_for("not ready", PATIENCE, |health| health["ready"] == false);
    let not_ready = agent::run(&["health", &format!("http://{address}/health")]);
    assert_eq!(not_ready.code(), Some(1), "{}", not_ready.stdout);
    let nobody = agent::run(&["health", &peers::refused().addr().to_string()]);
    assert_eq!(nobody.code(), Some(1));
    assert!(!nobody.stderr.trim().is_empty(), "it says why");
}

#[test]
fn a_check_beside_the_agent_leaves_the_agents_canary_alone() {
    if !require("redis") {
        return;
    }
    // What may not be written is in the log of refusals, with its name.
    let server = servers::redis::Redis::builder().setting("user default on nopass +@all ~other:*").start();
    let canaries = || {
        let refused = server.command(&["ACL", "LOG"]);
        let names = refused.split_whitespace().filter_map(|word| word.strip_prefix("probity:canary:{")?.split('}').next());
        names.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let catalog = redis("cache", &server, "depth = \"roundtrip\"");
    let check = || {
        assert_eq!(agent::check(&catalog, &[]).code(), Some(0), "an optional dependency");
        canaries()
    };
    let first = check();
    assert_eq!((first.len(), &check()), (1, &first), "every check has the same");
    let _agent = Agent::start(&catalog);
    eventually(PATIENCE, "the agent has another", || (canaries().len() == 2).then_some(()));
}
