//! Several addresses of one dependency: whoever takes them, and what the frame makes of them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Outcome, Status};

use super::{at, backends, probe_with, words};
use crate::support::actor::{Act, Stage};
use crate::support::pace::late;
use crate::support::peers::{self, Peer};
use crate::support::probe::Asked;
use crate::support::scratch;

/// Each host of theirs is a thing of its own.
const ONE_HOST: [&str; 2] = ["http", "memcached"];

#[test]
fn a_list_of_hosts_is_taken_or_refused_with_a_reason() {
    let (first, second) = (peers::refused(), peers::refused());
    let list = format!("{},{}", first.addr(), second.addr());
    for (kind, entry) in backends() {
        if ONE_HOST.contains(&kind) {
            let Err(error) = entry.build(at(&entry, &list), Options::default()) else { panic!("{kind} took a list") };
            assert!(error.key == "url" && error.message.starts_with("the URL names several hosts: "), "{kind}: {error}");
            continue;
        }
        let outcome = probe_with(kind, &entry, &list, Options::default()).run();
        assert_eq!(words(&outcome), ("connect_refused", "connect", ""), "{kind}: {outcome:#?}");
    }
}

/// A host that hangs leaves time for the next one, and all of them together keep the deadline.
#[test]
fn hosts_that_hang_share_the_deadline() {
    const DEADLINE: Duration = Duration::from_millis(600);
    let holes = [(); 3].map(|()| peers::black_hole());
    let list = holes.each_ref().map(|hole| hole.addr().to_string()).join(",");
    for (kind, entry) in backends().filter(|(kind, _)| !ONE_HOST.contains(kind)) {
        let before = holes.each_ref().map(Peer::accepted);
        let outcome = probe_with(kind, &entry, &list, Options::default()).run_within(DEADLINE);
        assert!(outcome.duration < DEADLINE + late(), "{kind}: {outcome:#?}");
        let after = holes.each_ref().map(Peer::accepted);
        assert!((0..3).all(|at| after[at] > before[at]), "{kind}: {before:?} {after:?}");
    }
}

fn play(stage: Stage, options: Options) -> (Arc<Stage>, Asked) {
    let (stage, probe) = stage.probe(options);
    (stage, Asked::of(probe))
}

fn found(outcome: &Outcome) -> Vec<String> {
    outcome.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn an_address_that_fails_is_told_and_looked_at_again() {
    let peers = [peers::black_hole(), peers::black_hole()];
    let stage = Stage::new().peer(peers[0].addr()).peer(peers[1].addr());
    let (stage, probe) = play(stage, Options { deep_interval: Duration::ZERO, ..Options::default() });
    stage.next("open", Act::Fail(FailureKind::NotReady));
    let outcome = probe.run();
    assert_eq!(stage.calls(), "open open ask examine");
    assert_eq!(found(&outcome), [format!("address_failing {} (not_ready)", peers[0].addr())]);
    assert_eq!(outcome.facts["remote_address"].to_string(), peers[1].addr().to_string());
    // It is tried again with the deep questions, not only when a fresh session is due.
    let outcome = probe.run();
    // The old one is closed beside the run.
    let calls = stage.calls();
    assert!(calls.starts_with("ask examine open") && outcome.status == Status::Degraded, "{calls} {outcome:#?}");
    let outcome = probe.run();
    assert_eq!((outcome.status, found(&outcome)), (Status::Healthy, Vec::new()));
    assert_eq!(outcome.facts["remote_address"].to_string(), peers[0].addr().to_string());
}

#[test]
fn an_address_that_is_not_the_one_looked_for_is_no_trouble() {
    let peers = [peers::black_hole(), peers::black_hole()];
    let (stage, probe) = play(Stage::new().peer(peers[0].addr()).peer(peers[1].addr()), Options::default());
    stage.next("open", Act::Unwanted);
    let outcome = probe.run();
    assert_eq!((outcome.status, found(&outcome)), (Status::Healthy, Vec::new()));
    assert_eq!(outcome.facts["remote_address"].to_string(), peers[1].addr().to_string());
}

/// The others share the account, which would be locked the sooner.
#[test]
fn rejected_credentials_are_not_taken_to_the_next_address() {
    let folder = scratch();
    let path = folder.path().join("secret");
    fs::write(&path, "wrong").expect("a file can be written");
    let peers = [peers::refused(), peers::black_hole(), peers::black_hole()];
    let stage = peers.iter().fold(Stage::new().secret(&path), |stage, peer| stage.peer(peer.addr()));
    let (stage, probe) = play(stage, Options::default());
    stage.next("open", Act::Fail(FailureKind::Auth));
    let outcome = probe.run();
    assert_eq!((words(&outcome), stage.calls().as_str()), (("auth", "auth", ""), "open"));
    let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
    assert_eq!(message, format!("{}: as told; also tried: {} (connect_refused)", peers[1].addr(), peers[0].addr()));
    assert_eq!(peers[2].accepted(), 0);
}

#[test]
fn the_failure_of_the_address_that_came_furthest_is_told() {
    let peers = [peers::refused(), peers::black_hole(), peers::refused()];
    let stage = peers.iter().fold(Stage::new(), |stage, peer| stage.peer(peer.addr()));
    let (stage, probe) = play(stage, Options::default());
    stage.next("open", Act::Fail(FailureKind::Overload));
    assert_eq!(words(&probe.run()), ("overload", "auth", ""));
    assert_eq!(stage.calls(), "open");
}

#[test]
fn connecting_alone_goes_through_the_addresses_too() {
    let peers = [peers::refused(), peers::black_hole()];
    let stage = peers.iter().fold(Stage::new(), |stage, peer| stage.peer(peer.addr()));
    let (stage, probe) = play(stage, Options { depth: Depth::Connect, ..Options::default() });
    let outcome = probe.run();
    assert_eq!(
        (found(&outcome), stage.calls().as_str()),
        (vec![format!("address_failing {} (connect_refused)", peers[0].addr())], "")
    );
}

/// Forms that look good and cannot be had.
const REFUSED: &[(&str, &str, &str)] = &[
    ("http", "http://a,b/", "the URL names several hosts: requests are made for one of them, so give each an entry of its own"),
    (
        "memcached",
        "memcached://a,b",
        "the URL names several hosts: each server holds a part of the keys, so give each an entry of its own",
    ),
    ("memcached", "unix://", "the URL names no socket"),
    (
        "mysql",
        "mysql://db/x?socket=/run/s",
        "the URL names a host and a socket; a socket alone has three slashes: `scheme:///path`",
    ),
    ("mysql", "mysql:///x?socket=run/s", "the path of a socket must begin with a slash"),
    ("mysql", "mysql:///x?socket=/run/s&ssl-mode=REQUIRED", "`tls` is set, but a unix socket is plain text"),
    ("postgres", "postgres:///x?host=db", "the path of a socket must begin with a slash"),
    ("postgres", "postgres://db/x?port=1", "`port` is the number of a socket; the port of a host stands behind it"),
    ("postgres", "postgres:///x?host=/run&port=x", "`port` must be a number"),
    ("postgres", "postgres://%2Frun/x", "a host has no `%` in it"),
    (
        "postgres",
        "postgres://a,b/x?target_session_attrs=primry",
        "unknown target_session_attrs `primry`; did you mean `primary`?",
    ),
    ("redis", "unix://run/redis.sock", "the URL names a host and a socket; a socket alone has three slashes: `scheme:///path`"),
    ("redis", "redis+sentinel://a,b", "the path of the URL must name the master: `redis+sentinel://host/NAME`"),
    ("redis", "redis+sentinel://a/m/x", "the database of the URL must be a number"),
    ("redis", "redis+cluster://a,b/1", "a cluster has only database 0: remove the path of the URL"),
    ("redis", "unix:///run/redis.sock?db=x", "the database of the URL must be a number"),
];

#[test]
fn a_form_that_cannot_be_had_is_refused_with_a_reason() {
    for (kind, url, reason) in REFUSED {
        let Some((_, entry)) = backends().find(|(known, _)| known == kind) else { continue };
        let Err(error) = entry.build(serde_json::json!({ "url": url }), Options::default()) else { panic!("{url} was taken") };
        assert_eq!(error.message, *reason, "{url}");
    }
}
