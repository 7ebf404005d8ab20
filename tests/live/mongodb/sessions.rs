//! Sessions that live, hang, end, and are not left behind.

use std::time::Duration;

use mongodb::bson::doc;
use probity_probes::{ConnectionPolicy, Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::json;

use super::{entry, probe};
use crate::live::sessions::specimen;
use crate::support::alone::alone;
use crate::support::probe::Asked;
use crate::support::procfs::{fds, threads};
use crate::support::servers::mongodb::MongoDb;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, peers, require};

states! { "mongodb":
    REFUSED = "nobody listens", "a closed port" => Expected::fails(FailureKind::ConnectRefused);
}

const SOON: Duration = Duration::from_secs(5);
specimen! { "mongodb", MongoDb, |addr| entry(addr, json!({})); }

/// Clients of a server, that of this question among them.
fn clients(server: &MongoDb) -> i32 {
    let status = server.ask("admin", &doc! { "serverStatus": 1 });
    status.get_document("connections").and_then(|of| of.get_i32("current")).expect("it counts them")
}

/// Connections that the server has taken so far.
fn taken(server: &MongoDb) -> i32 {
    let status = server.ask("admin", &doc! { "serverStatus": 1 });
    status.get_document("connections").and_then(|of| of.get_i32("totalCreated")).expect("it counts them")
}

/// The client library alone waits until its own limit.
#[test]
fn a_closed_port_is_told_at_once() {
    let outcome = probe(peers::refused().addr(), json!({})).run();
    check(&REFUSED.within(Duration::from_millis(200)), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Connect));
}

#[test]
fn one_connection_is_kept_and_no_other_is_ever_made() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let (before, created) = (clients(&server), taken(&server));
    let probe = probe(server.addr(), json!({}));
    assert_eq!(probe.run().session, Some(SessionKind::Fresh));
    for _ in 0..50 {
        let outcome = probe.run();
        assert_eq!((outcome.session, outcome.failure.as_ref(), outcome.reconnected), (Some(SessionKind::Warm), None, false));
    }
    // Ours, and that of the last question here.
    assert_eq!((clients(&server), taken(&server) - created), (before + 1, 3));
    probe.close();
    eventually(SOON, "the session has ended", || (clients(&server) == before).then_some(()));
}

#[test]
fn a_fresh_session_of_each_run_leaves_none_behind() {
    if !require("mongodb") {
        return;
    }
    let server = MongoDb::start();
    let before = clients(&server);
    let always = [
        Options { connection: ConnectionPolicy::Fresh, ..Options::default() },
        Options { fresh_every: Duration::ZERO, ..Options::default() },
        Options { depth: Depth::Handshake, ..Options::default() },
        Options { depth: Depth::Connect, ..Options::default() },
    ];
    for (options, kept) in always.into_iter().zip([0, 1, 0, 0]) {
        let probe = Asked::with("mongodb", entry(server.addr(), json!({})), options);
        for _ in 0..10 {
            assert_eq!(probe.run().failure, None);
        }
        eventually(SOON, "the sessions have ended", || (clients(&server) == before + kept).then_some(()));
        probe.close();
    }
    eventually(SOON, "the last one has, too", || (clients(&server) == before).then_some(()));
}

/// The client library has tasks and two sockets of its own, which must end with a run that was cut.
#[test]
fn hung_runs_leave_nothing_behind() {
    if !(require("mongodb") && alone("live::mongodb::sessions::hung_runs_leave_nothing_behind")) {
        return;
    }
    let server = MongoDb::start();
    let own = std::process::id();
    let brief = Duration::from_millis(100);
    // Each cut in another place: before the library comes in, and while it waits.
    for cut in ["hello", "buildInfo", "serverStatus"] {
        let probe = probe(server.addr(), json!({}));
        server.heal();
        assert_eq!(probe.run().failure, None);
        server.fail(cut, doc! { "blockConnection": true, "blockTimeMS": 400 });
        let cut_probe = || {
            let probe = Asked::with("mongodb", entry(server.addr(), json!({})), Options::default());
            probe.run_within(brief);
            probe
        };
        let first = cut_probe();
        let (held, workers) = (fds(own), threads(own));
        for _ in 0..10 {
            assert!(first.run_within(brief).failure.is_some(), "{cut}");
        }
        eventually(SOON, "descriptors are given back", || (fds(own) <= held).then_some(()));
        eventually(SOON, "tasks have ended", || (first.tasks() == 0).then_some(()));
        assert!(threads(own) <= workers, "{} threads, {workers} before", threads(own));
    }
}
