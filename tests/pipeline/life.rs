//! How the agent begins and ends.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{entry, redis};
use crate::support::{PATIENCE, agent::Agent, eventually, peers, process::Launch, require, scratch, servers};

#[test]
fn a_stop_drains_closes_every_session_and_exits_0() {
    if !["redis", "postgres"].into_iter().all(require) {
        return;
    }
    let (cache, orders) = (servers::redis::Redis::start(), servers::postgres::Postgres::start());
    let folder = scratch();
    let secret = folder.path().join("password");
    std::fs::write(&secret, servers::PASSWORD).expect("a private folder");
    let hung = peers::black_hole();
    // A run that its timeout cuts short ends its session by no stop, and Postgres says so: there is one run, and it has time.
    let patient = |entry: String| entry.replace("\"1s\"", "\"2m\"").replace("\"500ms\"", "\"1m\"");
    for signal in [Signal::TERM, Signal::INT] {
        let catalog = [
            redis("cache", &cache, ""),
            entry(
                "orders-db",
                "postgres",
                &format!("postgres://probe@{}/app", orders.addr()),
                &format!("password = {{ file = \"{}\" }}", secret.display()),
            ),
            entry("hung", "redis", &format!("redis://{}", hung.addr()), ""),
        ]
        .map(patient)
        .concat();
        let agent = Agent::start(&catalog);
        agent.wait_for("two are healthy", PATIENCE, |health| {
            health["dependencies"].as_array().is_some_and(|all| all.iter().filter(|one| one["status"] == "healthy").count() == 2)
        });
        let begin = Instant::now();
        agent.process().signal(signal);
        let ended = agent.wait();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    let log = orders.process().log();
    assert!(!log.contains("unexpected EOF") && !log.contains("could not receive data"), "{log}");
    eventually(PATIENCE, "no session is left", || {
        let clients = cache.command(&["CLIENT", "LIST"]);
        (clients.matches("name=probity").count() == 0).then_some(())
    });
}

#[test]
fn a_port_in_use_is_one_sentence() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let catalog = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "");
    let ended = Agent::builder(&catalog).env("PROBITY_LISTEN", &address).start_unchecked().wait();
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("in use"), "{}", ended.stderr);
}

/// The probe hangs, and so the first signal has something to wait for.
#[test]
fn a_second_signal_does_not_wait() {
    let hung = peers::black_hole();
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2)] {
        let agent = Agent::start(&format!("[dependencies.hung]\nbackend = \"redis\"\nurl = \"redis://{}\"\n", hung.addr()));
        eventually(PATIENCE, "a run is in flight", || {
            agent.get("/metrics").body.contains("\nprobity_runs_in_flight 1\n").then_some(())
        });
        agent.process().signal(Signal::TERM);
        eventually(PATIENCE, "it stops", || agent.log().contains("stopping: no new runs").then_some(()));
        agent.process().signal(signal);
        let ended = agent.wait();
        assert_eq!(ended.code(), Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopping at once"), "{}", ended.stderr);
    }
}

/// What is left of the files is kept for the probes, and every dependency is still told.
#[test]
fn few_open_files_are_said_and_lived_with() {
    let gone = peers::refused();
    let catalog: String =
        (0..20).map(|n| entry(&format!("gone-{n}"), "redis", &format!("redis://{}", gone.addr()), "")).collect();
    let agent = Agent::builder(&catalog).open_files(64).start();
    agent.wait_for("every one is seen", PATIENCE, |health| {
        health["dependencies"].as_array().is_some_and(|all| {
            all.len() == 20 && all.iter().all(|one| one["failure"]["kind"] == "connect_refused" && one["status"] == "unhealthy")
        })
    });
    assert!(agent.log().contains("raise `ulimit -n`"), "{}", agent.log());
    assert_eq!(agent.terminate().code(), Some(0));
}

/// Where the system has no authorities, a certificate cannot be verified, and the sentence says what to do.
#[test]
#[cfg(feature = "http")]
fn a_system_without_authorities_is_said() {
    let peer = peers::black_hole();
    let entry = entry("web", "http", &format!("https://{}/", peer.addr()), "");
    let check = ["--check", "--format", "json"].into_iter().fold(Agent::builder(&entry), crate::support::agent::Builder::arg);
    let check = check.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/dev/null");
    let ended = check.start_unchecked().wait();
    for words in ["this machine has no bundle of certificate authorities", "Debian: ca-certificates"] {
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
}

#[test]
fn a_wrong_catalog_never_starts() {
    let ended = Agent::builder("[dependencies.cache]\nbackend = \"reddis\"\nurl = 7\n").start_unchecked().wait();
    assert_eq!(ended.code(), Some(2));
    for part in ["reddis", "redis", "probe-catalog.toml:"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn a_dependency_that_is_down_does_not_keep_the_agent_from_starting() {
    let agent =
        Agent::start(&entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "criticality = \"required\""));
    agent.wait_for("it is seen", PATIENCE, |health| health["dependencies"][0]["status"] == "unhealthy");
    assert_eq!((agent.get("/livez").status, agent.get("/startupz").status, agent.get("/readyz").status), (200, 200, 503));
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn it_works_as_the_first_process_of_a_container() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a namespace for processes takes root");
        return;
    }
    let folder = scratch();
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let catalog = folder.path().join("probe-catalog.toml");
    let text = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "");
    std::fs::write(&catalog, format!("[agent]\nlisten = \"{listen}\"\n{text}")).expect("a private folder");
    let binary = std::env::var("PROBITY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_probity").to_owned());
    let outer = Launch::new("unshare", folder.path().join("log"))
        .args(["--pid", "--fork", "--kill-child", &binary, "--catalog"])
        .arg(&catalog)
        .start();
    let addr = listen.parse().expect("an address");
    outer.wait_until("HTTP answers", || crate::support::http::get(addr, "/livez", Duration::from_secs(1)).ok());
    let inner = crate::support::procfs::descendants(outer.pid());
    let first = inner.first().copied().expect("unshare has a child");
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, Signal::TERM).expect("it is ours");
    let status = outer.wait_exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", outer.log());
}
