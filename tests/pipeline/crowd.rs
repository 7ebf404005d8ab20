//! Clients that open many connections and finish nothing: kubelet and Prometheus are still answered.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::entry;
use crate::support::{PATIENCE, agent::Agent, eventually, memory_group::MemoryGroup, peers, process::Signal};

/// The limit of the shipped manifests.
const MEMORY: u64 = 64 << 20;

/// More than fit.
const CROWD: usize = 2_000;

/// One dependency that fails, so that there is something to show.
fn catalog() -> String {
    entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "")
}

#[test]
fn idle_and_unfinished_connections_give_way_to_new_ones() {
    let _ = rlimit::increase_nofile_limit(8_192);
    let group = MemoryGroup::new("probity-crowd", MEMORY);
    let mut agent = Agent::builder(&catalog());
    if let Some(group) = &group {
        agent = agent.in_group(&group.entrance());
    }
    let agent = agent.start();
    let limit = agent.json("/engine/diagnostics")["parts"][3]["connection_limit"].as_u64().expect("the surface has a limit");
    assert!(limit == if group.is_some() { 512 } else { 1024 }, "{limit}");
    let crowd: Vec<TcpStream> = (0..CROWD)
        .map(|n| {
            let mut guest = TcpStream::connect(agent.addr()).expect("it accepts");
            if n % 2 == 0 {
                guest.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nx-half: ").expect("it reads");
            }
            guest
        })
        .collect();
    for path in ["/livez", "/health?verbose", "/metrics", "/dependencies"] {
        assert_eq!(agent.get(path).status, 200, "{path}");
    }
    let surface = eventually(PATIENCE, "those that gave way are gone", || {
        let surface = agent.json("/engine/diagnostics")["parts"][3].clone();
        (surface["connections"].as_u64()? <= limit).then_some(surface)
    });
    let closed = surface["closed_for_others"].as_u64().unwrap_or_default();
    assert!(closed >= CROWD as u64 - limit, "{surface}");
    assert_eq!(surface["refused"], 0, "no connection was being answered, so none was refused: {surface}");
    let mut oldest = &crowd[1];
    oldest.set_read_timeout(Some(PATIENCE)).expect("not zero");
    assert!(matches!(oldest.read(&mut [0]), Ok(0) | Err(_)), "the oldest idle connection was closed");
    drop(crowd);
    assert!(group.as_ref().is_none_or(|group| !group.was_exhausted()));
    let ended = agent.terminate();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(ended.stderr.matches("all connections to the agent are in use").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_burst_of_a_thousand_connections_waits_to_be_accepted() {
    let _ = rlimit::increase_nofile_limit(8_192);
    let longest = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if longest.trim().parse::<u32>().is_ok_and(|longest| longest < 1024) {
        eprintln!("SKIPPED: this kernel keeps only {longest} connections waiting (net.core.somaxconn)");
        return;
    }
    let agent = Agent::start(&catalog());
    agent.process().signal(Signal::STOP);
    // One beyond the backlog would be tried again after a second.
    let burst: Result<Vec<TcpStream>, _> =
        (0..1_000).map(|_| TcpStream::connect_timeout(&agent.addr(), Duration::from_millis(900))).collect();
    agent.process().signal(Signal::CONT);
    let mut burst = burst.expect("the whole burst connects while the agent stands still");
    let last = burst.last_mut().expect("there are a thousand");
    last.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    last.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
