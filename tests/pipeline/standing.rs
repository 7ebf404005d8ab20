//! What is shown when a server crashes, hangs, recovers or is merely slow to say so.

use std::time::{Duration, Instant};

use super::{entry, redis, status};
use crate::support::{PATIENCE, agent::Agent, eventually, peers, require, servers};

#[test]
fn a_crash_is_not_ready_at_once_and_recovers_by_rise() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let agent = Agent::start(&redis("cache", &server, "criticality = \"required\""));
    agent.wait_for("ready", PATIENCE, |health| health["ready"] == true);
    assert_eq!((agent.get("/health").status, agent.get("/readyz").status, agent.get("/startupz").status), (200, 200, 200));

    let killed = Instant::now();
    server.process().kill9();
    let down = agent.wait_for("not ready", PATIENCE, |health| health["ready"] == false);
    assert!(killed.elapsed() < Duration::from_secs(1), "seen only after {:?}", killed.elapsed());
    assert_eq!(down["status"], "unhealthy");
    // The first look may still meet the dying listener; the next one meets nobody.
    agent.wait_for("nobody listens", PATIENCE, |health| health["dependencies"][0]["failure"]["kind"] == "connect_refused");
    assert!(down["reason"].as_str().is_some_and(|reason| reason.starts_with("cache is unhealthy: ")), "{down:#}");
    assert_eq!((agent.get("/health").status, agent.get("/readyz").status), (503, 503));
    assert_eq!((agent.get("/livez").status, agent.get("/startupz").status), (200, 200), "the agent itself is well");

    server.restart();
    let up = agent.wait_for("ready again", PATIENCE, |health| health["ready"] == true);
    let cache = &up["dependencies"][0];
    assert_eq!((&cache["status"], &cache["last_error"]["kind"]), (&"healthy".into(), &"connect_refused".into()));
    assert!(cache["failure"].is_null(), "a failure is of the current run only: {cache:#}");

    let told: Vec<String> = agent.log().lines().filter(|line| line.contains("dependency=\"cache\"")).map(str::to_owned).collect();
    assert_eq!(told.len(), 3, "each transition is logged once: {told:#?}");
}

#[test]
fn a_hung_server_delays_no_other_and_health_answers_all_the_while() {
    if !require("redis") {
        return;
    }
    let (hung, well) = (servers::redis::Redis::start(), servers::redis::Redis::start());
    let agent = Agent::start(&format!("{}{}", redis("hung", &hung, ""), redis("well", &well, "")));
    agent.wait_for("healthy", PATIENCE, |health| health["status"] == "healthy");
    hung.process().freeze();
    let seen = Instant::now();
    let view = agent.wait_for("hung is unhealthy", PATIENCE, |health| health["dependencies"][0]["status"] == "unhealthy");
    // 1.1 × interval + 2 × timeout + 2 s, and a busy machine
    assert!(seen.elapsed() < Duration::from_millis(4_100 + 1_000), "seen only after {:?}", seen.elapsed());
    assert_eq!(view["dependencies"][0]["failure"]["kind"], "timeout");
    assert_eq!(view["ready"], true, "it is optional");

    let checked = |name: &str| agent.json(&format!("/dependencies/{name}"))["checked_at"].clone();
    let (before, begin) = (checked("well"), Instant::now());
    eventually(PATIENCE, "the other one is asked on", || (checked("well") != before).then_some(()));
    assert!(begin.elapsed() < Duration::from_millis(2_500), "delayed: {:?}", begin.elapsed());
    assert_eq!(status(&agent, "well"), "healthy");
    hung.process().thaw();
    agent.wait_for("healthy again", PATIENCE, |health| health["status"] == "healthy");
}

#[test]
fn an_idle_connection_that_the_server_closes_is_healthy_and_counted() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::start();
    let agent = Agent::start(&redis("cache", &server, "criticality = \"required\""));
    agent.wait_for("ready", PATIENCE, |health| health["ready"] == true);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually(PATIENCE, "the reconnect is counted", || {
        let metrics = agent.get("/metrics").body;
        metrics.lines().any(|line| line.starts_with("probity_reconnects_total{") && line.ends_with(" 1")).then_some(())
    });
    assert_eq!((status(&agent, "cache").as_str(), agent.get("/health").status), ("healthy", 200));
    assert!(!agent.log().contains("is unhealthy"), "{}", agent.log());
}

#[test]
fn pending_is_not_ready_and_not_started() {
    let hole = peers::black_hole();
    let catalog = entry(
        "orders-db",
        "postgres",
        &format!("postgres://probe@{}/app", hole.addr()),
        "criticality = \"required\"\nfall = 100",
    );
    let agent = Agent::start(&catalog);
    let view = agent.json("/health?verbose");
    assert_eq!((&view["ready"], &view["dependencies"][0]["status"]), (&false.into(), &"pending".into()));
    for (path, code) in [("/health", 503), ("/readyz", 503), ("/startupz", 503), ("/livez", 200), ("/readyz/orders-db", 503)] {
        assert_eq!(agent.get(path).status, code, "{path}");
    }
    let excluded = agent.get("/readyz?verbose&exclude=orders-db");
    assert_eq!(excluded.status, 200, "{}", excluded.body);
}

#[test]
fn a_vanished_secret_is_a_clear_sentence_and_its_return_is_noticed() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::builder().password().start();
    let folder = crate::support::scratch();
    let secret = folder.path().join("password");
    std::fs::write(&secret, servers::PASSWORD).expect("a private folder");
    let agent = Agent::start(&redis("cache", &server, &format!("password = {{ file = \"{}\" }}", secret.display())));
    agent.wait_for("healthy", PATIENCE, |health| health["status"] == "healthy");
    std::fs::remove_file(&secret).expect("it was there");
    server.restart();
    let view =
        agent.wait_for("the secret is missed", PATIENCE, |health| health["dependencies"][0]["failure"]["kind"] == "config");
    let message = view["dependencies"][0]["failure"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(message, format!("the secret file {} cannot be read: it does not exist", secret.display()));
    std::fs::write(&secret, servers::PASSWORD).expect("a private folder");
    agent.wait_for("healthy again", PATIENCE, |health| health["status"] == "healthy");
}

#[test]
fn metrics_of_every_backend_satisfy_prometheus() {
    let Some(promtool) = servers::find("promtool") else {
        assert!(std::env::var("PROBITY_REQUIRE").is_err(), "PROBITY_REQUIRE is set, but promtool is not installed");
        eprintln!("SKIPPED promtool: not installed");
        return;
    };
    if !["redis", "postgres", "nats", "http"].into_iter().all(require) {
        return;
    }
    let (nginx, nats) = (servers::nginx::Nginx::start(), servers::nats::Nats::builder().jetstream().start());
    let (postgres, redis_server) = (servers::postgres::Postgres::start(), servers::redis::Redis::start());
    let folder = crate::support::scratch();
    let secret = folder.path().join("password");
    std::fs::write(&secret, servers::PASSWORD).expect("a private folder");
    let catalog = [
        redis("cache", &redis_server, "owner = \"team \\\"quoted\\\"\"\nlabels = { tier = \"gold\" }"),
        entry("site", "http", &format!("http://{}/health", nginx.http()), ""),
        entry("events", "nats", &format!("nats://{}", nats.addr()), &format!("monitor = \"http://{}\"", nats.monitor())),
        entry(
            "orders-db",
            "postgres",
            &format!("postgres://probe@{}/app", postgres.addr()),
            &format!("password = {{ file = \"{}\" }}", secret.display()),
        ),
        entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "criticality = \"informational\""),
    ]
    .concat();
    let agent = Agent::start(&catalog);
    agent.wait_for("four are healthy", PATIENCE, |health| {
        health["dependencies"].as_array().is_some_and(|all| all.iter().filter(|entry| entry["status"] == "healthy").count() == 4)
    });
    let metrics = agent.get("/metrics");
    let mut child = std::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("promtool can be started");
    std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), metrics.body.as_bytes()).expect("promtool reads");
    let verdict = child.wait_with_output().expect("promtool ends");
    let words = String::from_utf8_lossy(&verdict.stderr).into_owned() + &String::from_utf8_lossy(&verdict.stdout);
    assert!(verdict.status.success() && words.trim().is_empty(), "{words}");
    for part in [
        "probe_success{",
        "probity_redis_used_memory_bytes{",
        "probity_postgres_connections{",
        "probity_nats_jetstream{",
        "probity_http_status_code{",
    ] {
        assert!(metrics.body.contains(part), "{part} is missing");
    }
    assert!(!metrics.body.lines().any(|line| line.starts_with("up{") || line.starts_with("up ")));
}
