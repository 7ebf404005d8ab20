//! Round trips: what is written, read and removed, and what is not.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{code, entry};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::redis::{self, Redis};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, State, check, states};

states! { "redis":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    REPLICA = "a round trip to a replica", "replicaof a primary" => Expected::fails(FailureKind::NotReady);
    FULL = "a round trip to a full memory", "maxmemory below what it uses, noeviction" => Expected::fails(FailureKind::Overload);
    ALONE = "a round trip with too few replicas", "min-replicas-to-write 1 without a replica" => Expected::fails(FailureKind::NotReady);
    UNSAVED = "a round trip where nothing can be persisted", "BGSAVE into /proc" => Expected::fails(FailureKind::NotReady);
    NO_CLUSTER = "a round trip in a cluster that is down", "a node without a cluster" => Expected::fails(FailureKind::NotReady);
    CLUSTERED = "a round trip to a node of a cluster", "three nodes with all slots" => Expected::HEALTHY;
    FORBIDDEN = "a round trip of a user who may not write", "an ACL without SET" => Expected::fails(FailureKind::Permission);
    STUCK = "a round trip of a user who may not remove", "an ACL without DEL" => Expected::fails(FailureKind::Permission);
    FORGOTTEN = "what was written is gone", "a peer that forgets" => Expected::unfit("roundtrip_lost");
}

/// One that makes a round trip in every run.
fn writer(server: &Redis, keys: Json) -> Asked {
    Asked::with("redis", entry(server.addr(), keys), always())
}

fn always() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

/// How often a command was run.
fn calls(server: &Redis, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls="))?.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[test]
fn round_trips_leave_nothing_behind() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    let probe = writer(&server, json!({}));
    for _ in 0..50 {
        let outcome = probe.run();
        check(&WELL, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
    }
    assert_eq!((server.command(&["DBSIZE"]).as_str(), calls(&server, "set")), ("0", 50));
    // The session is noticed and replaced as ever.
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&WELL, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
    assert_eq!(server.command(&["DBSIZE"]), "0");
}

/// As `--check` beside an agent: both have the same canary.
#[test]
fn probes_of_one_name_do_not_disturb_each_other() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writer(&server, json!({}));
                (0..50).for_each(|_| check(&WELL, &probe.run()));
            });
        }
    });
}

#[test]
fn nothing_is_written_unless_it_is_asked_for() {
    if !require("redis") {
        return;
    }
    let server = Redis::start();
    for options in [Options::default(), Options { deep_interval: Duration::ZERO, ..Options::default() }] {
        let probe = Asked::with("redis", entry(server.addr(), json!({ "query": "key" })), options);
        for _ in 0..5 {
            check(&WELL, &probe.run());
        }
    }
    assert_eq!(["set", "get", "del"].map(|command| calls(&server, command)), [0; 3]);
    let hourly = Options { roundtrip_interval: Duration::from_hours(1), ..always() };
    let probe = Asked::with("redis", entry(server.addr(), json!({})), hourly);
    for _ in 0..5 {
        check(&WELL, &probe.run());
    }
    assert_eq!(calls(&server, "set"), 1);
}

#[test]
fn whoever_cannot_write_says_why() {
    if !require("redis") {
        return;
    }
    let (_primary, replica) = redis::replicated();
    for (state, server, refusal) in [
        (&REPLICA, &replica, "READONLY"),
        (&FULL, &redis::out_of_memory(), "OOM"),
        (&ALONE, &redis::too_few_replicas(), "NOREPLICAS"),
        (&UNSAVED, &redis::misconfigured(), "MISCONF"),
        (&NO_CLUSTER, &redis::cluster_down(), "CLUSTERDOWN"),
    ] {
        refused(state, server, json!({}), refusal);
    }
}

#[test]
fn every_node_of_a_cluster_takes_a_round_trip() {
    if !require("redis") {
        return;
    }
    for node in &super::cluster::cluster() {
        let probe = writer(node, json!({}));
        for _ in 0..3 {
            check(&CLUSTERED, &probe.run());
        }
        assert_eq!(node.command(&["DBSIZE"]), "0");
    }
}

#[test]
fn whoever_may_not_write_is_told_and_the_server_cleans_up() {
    if !require("redis") {
        return;
    }
    let as_user = || json!({ "username": USER, "password": PASSWORD });
    let server = Redis::builder().user("~* +@connection +info +ping").start();
    refused(&FORBIDDEN, &server, as_user(), "NOPERM");
    let server = Redis::builder().user("~probity:canary:* +@connection +info +ping +set +get").start();
    refused(&STUCK, &server, as_user(), "NOPERM");
    let left = server.command(&["KEYS", "*"]);
    assert!(left.starts_with("probity:canary:{") && left.lines().count() == 1, "{left}");
    let forgotten_in: u64 = server.command(&["PTTL", &left]).parse().expect("it has an end");
    assert!(forgotten_in <= 30_000, "{forgotten_in}");
    let server = Redis::builder().user("~probity:canary:* +@connection +info +ping +set +get +del").start();
    check(&WELL, &writer(&server, as_user()).run());
}

#[track_caller]
fn refused(state: &State, server: &Redis, keys: Json, refusal: &str) {
    let outcome = writer(server, keys).run();
    check(state, &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some(refusal), Some(Phase::Roundtrip)));
}

#[test]
fn a_round_trip_goes_by_tls_too() {
    if !require("redis") {
        return;
    }
    let server = Redis::builder().tls().start();
    let url = format!("rediss://{}", server.tls_addr());
    let tls = json!({ "ca": Ca::shared().certificate() });
    check(&WELL, &Asked::with("redis", json!({ "url": url, "tls": tls }), always()).run());
    assert_eq!((calls(&server, "set"), server.command(&["DBSIZE"]).as_str()), (1, "0"));
}

#[test]
fn what_is_lost_is_found_out() {
    let script = Script::new().wait_for("HELLO").wait_for("probity\r\n").say("-ERR unknown command 'HELLO'\r\n");
    let script = script.wait_for("PING\r\n").say("+PONG\r\n").wait_for("INFO\r\n").say("-NOPERM\r\n");
    let script = script.wait_for("SET\r\n").wait_for("30000\r\n").say("+OK\r\n");
    let script = script.wait_for("GET\r\n").wait_for("\r\n").wait_for("\r\n").say("$-1\r\n");
    let peer = Peer::start([script.wait_for("DEL\r\n").say(":0\r\n")]);
    let outcome = Asked::with("redis", entry(peer.addr(), json!({})), always()).run();
    check(&FORGOTTEN, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "nothing");
}
