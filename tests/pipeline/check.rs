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
