//! Sessions that live, hang, end, and are not left behind.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Phase};
use serde_json::json;

use super::{entry, probe};
use crate::live::sessions::specimen;
use crate::support::alone::alone;
use crate::support::probe::Asked;
use crate::support::procfs::{fds, threads};
use crate::support::servers::nats::Nats;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "nats":
    HUNG = "hung, at every depth that asks", "SIGSTOP, depth = handshake or query" => Expected::fails(FailureKind::Timeout);
}

const SHORT: Duration = Duration::from_millis(500);

specimen! { "nats", Nats, |addr| entry(addr, json!({}));
    fn sessions(&self) -> Option<usize> {
        let connections = self.watch("/varz").ok()?.json()["connections"].as_u64()?;
        usize::try_from(connections).ok()
    }
}

/// A session that is opened and not asked anything must not count as a proof later.
#[test]
fn a_hung_server_is_seen_at_every_depth_that_asks() {
    if !require("nats") {
        return;
    }
    let server = Nats::start();
    let at = |depth| Asked::with("nats", entry(server.addr(), json!({})), Options { depth, ..Options::default() });
    let probes = [(Depth::Handshake, Phase::Auth), (Depth::Query, Phase::Query)].map(|(depth, phase)| (at(depth), phase));
    assert!(probes.iter().all(|(probe, _)| probe.run().failure.is_none()));
    server.process().freeze();
    for (probe, phase) in &probes {
        let outcome = probe.run_within(SHORT);
        check(&HUNG.within(SHORT), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(*phase));
    }
    // The kernel still accepts: the depth that proves least.
    assert_eq!(at(Depth::Connect).run_within(SHORT).failure, None);
}

/// The client library has tasks and a socket of its own, which must end with a run that was cut.
#[test]
fn hung_runs_leave_nothing_behind() {
    if !(require("nats") && alone("live::nats::sessions::hung_runs_leave_nothing_behind")) {
        return;
    }
    let server = Nats::start();
    let probe = probe(server.addr(), json!({}));
    assert_eq!(probe.run().failure, None);
    let own = std::process::id();
    server.process().freeze();
    let brief = Duration::from_millis(100);
    probe.run_within(brief);
    let (held, workers, tasks) = (fds(own), threads(own), probe.tasks());
    for _ in 0..30 {
        assert!(probe.run_within(brief).failure.is_some());
    }
    eventually(Duration::from_secs(5), "descriptors are given back", || (fds(own) <= held).then_some(()));
    eventually(Duration::from_secs(5), "tasks have ended", || (probe.tasks() <= tasks).then_some(()));
    assert!(threads(own) <= workers, "{} threads, {workers} before", threads(own));
}
