//! Sessions that are kept, lost, renewed and ended.

use std::time::Duration;

use probity_probes::{ConnectionPolicy, Options, SessionKind};
use serde_json::json;

use super::{SOON, entry, probe};
use crate::live::sessions::{Specimen, specimen};
use crate::support::probe::Asked;
use crate::support::servers::redis::Redis;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "redis":
    SLOW = "slow", "DEBUG SLEEP 0.7" => Expected::degraded("latency");
}

specimen! { "redis", Redis, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        self.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    fn sessions(&self) -> Option<usize> {
        Some(self.command(&["CLIENT", "LIST"]).lines().filter(|line| line.contains(" name=probity ")).count())
    }
}

#[test]
fn a_slow_server_is_degraded() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let probe = probe(&server, json!({}));
    let outcome = eventually(SOON, "a run meets the sleep", || {
        server.sleep(Duration::from_millis(700)).expect("Redis can be told to sleep");
        let outcome = probe.run();
        outcome.latency().filter(|latency| *latency > Duration::from_millis(250)).map(|_| outcome)
    });
    check(&SLOW, &outcome);
}

#[test]
fn fresh_runs_leave_nothing_behind() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let options = Options { connection: ConnectionPolicy::Fresh, ..Options::default() };
    let probe = Asked::with("redis", entry(server.addr(), json!({})), options);
    for _ in 0..3 {
        assert_eq!(probe.run().session, Some(SessionKind::Fresh));
    }
    probe.close();
    eventually(SOON, "every session is ended", || (server.sessions() == Some(0)).then_some(()));
}
