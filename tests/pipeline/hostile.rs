//! Bad input and bad peers, seen from outside of the agent.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{entry, redis};
use crate::support::{
    PATIENCE,
    agent::{Agent, check},
    eventually, peers, require, servers,
};

/// Appears nowhere: in no log line, body, metric or error.
const SENTINEL: &str = "sentinel-5ecret-Pa55word";

#[test]
fn the_password_appears_nowhere() {
    if !["redis", "postgres", "nats", "http"].into_iter().all(require) {
        return;
    }
    let (nginx, nats) = (servers::nginx::Nginx::start(), servers::nats::Nats::builder().user().start());
    let (postgres, cache) = (servers::postgres::Postgres::start(), servers::redis::Redis::builder().password().start());
    let echo = peers::answers(format!("-ERR you said {SENTINEL}\r\n").as_bytes());
    let secret = "password = { env = \"SENTINEL\" }";
    let catalog = [
        redis("cache", &cache, secret),
        entry("orders-db", "postgres", &format!("postgres://probe@{}/app", postgres.addr()), secret),
        entry("events", "nats", &format!("nats://probe@{}", nats.addr()), secret),
        entry("site", "http", &format!("http://probe@{}/auth", nginx.http()), secret),
        entry("by-url", "postgres", &format!("postgres://probe:${{SENTINEL}}@{}/app", postgres.addr()), ""),
        entry("echo", "redis", &format!("redis://{}", echo.addr()), secret),
    ]
    .concat();
    let catalog = format!("[agent]\nverbose_errors = true\n{catalog}");
    let agent = Agent::builder(&catalog).env("SENTINEL", SENTINEL).arg("-vv").start();
    agent.wait_for("all were asked", PATIENCE, |health| {
        health["dependencies"].as_array().is_some_and(|all| all.iter().all(|one| one["status"] != "pending"))
    });
    for path in [
        "/health?verbose",
        "/dependencies",
        "/metrics",
        "/readyz?verbose",
        "/engine/manifest",
        "/engine/status",
        "/engine/diagnostics",
    ] {
        let response = agent.get(path);
        assert!(!response.body.contains(SENTINEL), "{path}: {}", response.body);
    }
    let view = agent.json("/dependencies");
    let ended = agent.terminate();
    assert!(!ended.stderr.contains(SENTINEL) && !ended.stdout.contains(SENTINEL), "{}", ended.stderr);
    let kinds: Vec<&str> =
        view["dependencies"].as_array().into_iter().flatten().filter_map(|one| one["failure"]["kind"].as_str()).collect();
    assert!(kinds.iter().filter(|kind| **kind == "auth").count() >= 4, "the wrong password was tried: {kinds:?}");

    let folder = crate::support::scratch();
    let file = folder.path().join("sentinel");
    std::fs::write(&file, SENTINEL).expect("a private folder");
    let by_file = redis("cache", &cache, &format!("password = {{ file = \"{}\" }}", file.display()));
    for format in ["text", "json"] {
        let ended = check(&by_file, &["--format", format, "-vv"]);
        assert!(!ended.stdout.contains(SENTINEL) && !ended.stderr.contains(SENTINEL), "{}\n{}", ended.stdout, ended.stderr);
    }
    let typed = check(&redis("cache", &cache, &format!("password = \"{SENTINEL}\"")), &[]);
    assert_eq!(typed.code(), Some(2));
    assert!(!typed.stderr.contains(SENTINEL), "{}", typed.stderr);
}

/// A secret of 4 kB in every place where a service of the web may have one, repeated by that service; at the highest
/// level of logging, and with everything shown that can be.
#[test]
fn no_piece_of_a_long_secret_appears_anywhere() {
    let mut random = fastrand::Rng::with_seed(11);
    let secret: String = (0..4096).map(|_| random.alphanumeric()).collect();
    let words = format!("{secret} {}", &secret[..40]);
    let length = words.len();
    let reply =
        format!("HTTP/1.1 503 No\r\nServer: {secret}\r\nLast-Modified: {words}\r\nContent-Length: {length}\r\n\r\n{words}");
    let (web, cache) = (peers::answers(reply.as_bytes()), peers::answers(format!("-ERR {words}\r\n").as_bytes()));
    let login = "username = \"probe\"\npassword = { env = \"SENTINEL\" }";
    let catalog = [
        entry("site", "http", &format!("http://{}/${{SENTINEL}}?k=${{SENTINEL}}", web.addr()), login),
        entry("consul", "consul", &format!("http://{}", web.addr()), "token = { env = \"SENTINEL\" }"),
        entry("search", "elasticsearch", &format!("http://{}", web.addr()), login),
        entry("cache", "redis", &format!("redis://probe:${{SENTINEL}}@{}", cache.addr()), ""),
    ]
    .concat();
    let catalog = format!("[agent]\nverbose_errors = true\n{catalog}");
    let agent = Agent::builder(&catalog).env("SENTINEL", &secret).arg("-vv").start();
    agent.wait_for("all were asked", PATIENCE, |health| {
        health["dependencies"].as_array().is_some_and(|all| all.iter().all(|one| one["status"] != "pending"))
    });
    let mut shown = String::new();
    for path in [
        "/health?verbose",
        "/dependencies",
        "/metrics",
        "/readyz?verbose",
        "/engine/manifest",
        "/engine/status",
        "/engine/diagnostics",
    ] {
        shown += &agent.get(path).body;
    }
    let ended = agent.terminate();
    shown += &ended.stdout;
    shown += &ended.stderr;
    assert!(shown.contains("[secret]"), "the peers repeated nothing: {shown}");
    let piece = (0..secret.len() - 8).map(|at| &secret[at..at + 8]).find(|piece| shown.contains(*piece));
    assert_eq!(piece, None, "{shown}");
}

#[test]
fn bad_peers_leave_no_descriptor_thread_or_memory_behind() {
    let peers = [
        peers::black_hole(),
        peers::speaks(b"SSH-2.0-OpenSSH_9.2\r\n"),
        peers::answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        peers::flood(b"+"),
        peers::refused(),
    ];
    let catalog: String = peers
        .iter()
        .enumerate()
        .flat_map(|(n, peer)| {
            let addr = peer.addr();
            [
                entry(&format!("redis-{n}"), "redis", &format!("redis://{addr}"), ""),
                entry(&format!("postgres-{n}"), "postgres", &format!("postgres://probe@{addr}/app"), ""),
                entry(&format!("nats-{n}"), "nats", &format!("nats://{addr}"), ""),
                entry(&format!("http-{n}"), "http", &format!("http://{addr}/"), ""),
            ]
        })
        .collect();
    let agent = Agent::start(&catalog);
    let runs = |agent: &Agent| {
        let metrics = agent.get("/metrics").body;
        let lines =
            metrics.lines().filter(|line| line.starts_with("probity_runs_total{") && line.contains("result=\"unhealthy\""));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    eventually(PATIENCE, "every peer was met", || (runs(&agent) >= 40.0).then_some(()));
    let (threads, memory) = (agent.threads(), agent.rss());
    eventually(PATIENCE, "and met again", || (runs(&agent) >= 140.0).then_some(()));
    assert_eq!(agent.threads(), threads);
    let counts = agent.json("/engine/diagnostics")["process"]["threads"].clone();
    let names: Vec<_> = counts.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| ["probes", "probity", "surface", "surface-heavy"].contains(name)), "{counts}");
    assert!(agent.rss() < memory + (32 << 20), "{} → {}", memory, agent.rss());
    assert!(agent.fds() < 120, "{} descriptors for 20 dependencies", agent.fds());
    let view = agent.json("/dependencies");
    for one in
        view["dependencies"].as_array().into_iter().flatten().filter(|one| one["backend"] != "http" || one["name"] != "http-2")
    {
        assert_ne!(one["status"], "healthy", "{one:#}");
    }
}

#[test]
fn odd_requests_are_refused_or_cut_off() {
    let agent = Agent::start(&entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), ""));
    let wrong = agent.request("POST", "/health", &[], "x");
    assert_eq!((wrong.status, wrong.header("allow").is_some_and(|allow| allow.contains("GET"))), (405, true));
    let missing = agent.get("/helth");
    assert!(missing.status == 404 && missing.body.contains("/health"), "{}", missing.body);
    assert!(agent.get("/dependencies/gnoe").body.contains("gone"));
    assert_eq!(agent.get("/dependencies?status=sick").status, 400);

    let raw = |request: &str| {
        let mut stream = TcpStream::connect(agent.addr()).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for (request, status) in [
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "400"),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "200"),
        ("GET /livez HTTP/1.0\r\n\r\n", "200"),
    ] {
        assert_eq!(raw(request), status, "{request}");
    }
    for path in [format!("/readyz/{}", "r".repeat(15_000)), format!("/livez?{}", "exclude=a&".repeat(1_000))] {
        assert_eq!(agent.get(&path).status, 414, "{} bytes", path.len());
    }

    let long = "x".repeat(200_000);
    let refused = agent.request("GET", "/health", &[("x-long", &long)], "");
    assert!(matches!(refused.status, 400 | 431), "{}", refused.status);

    let mut slow = TcpStream::connect(agent.addr()).expect("it listens");
    slow.write_all(b"GET /health HTTP/1.1\r\nhost:").expect("it reads");
    slow.set_read_timeout(Some(Duration::from_secs(15))).expect("not zero");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("it is cut off, not left open");
    assert_eq!(agent.get("/livez").status, 200);
}
