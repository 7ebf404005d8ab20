//! Round trips: messages to ourselves.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{code, entry};
use crate::support::probe::Asked;
use crate::support::servers::nats::Nats;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "nats":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    MUTE = "a round trip of a user who may not publish", "publish: { deny: _PROBITY.> }" => Expected::fails(FailureKind::Permission);
    DEAF = "a round trip of a user who may not subscribe", "subscribe: { deny: _PROBITY.> }" => Expected::fails(FailureKind::Permission);
    LEAST = "a round trip of a user with the least rights", "publish and subscribe: _PROBITY.>" => Expected::HEALTHY;
    DROPPED = "the message does not come back", "a peer that only answers PING" => Expected::unfit("roundtrip_lost");
}

/// One that makes a round trip in every run.
fn writer(addr: SocketAddr, keys: Json) -> Asked {
    Asked::with("nats", entry(addr, keys), always())
}

fn always() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

/// A number of the monitor port.
fn number(server: &Nats, path: &str, name: &str) -> u64 {
    let page = server.watch(path).expect("the monitor port answers");
    let page: Json = serde_json::from_str(&page.body).expect("it is JSON");
    page[name].as_u64().expect("a number")
}

#[test]
fn round_trips_leave_nothing_behind() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().start();
    let probe = writer(server.addr(), json!({}));
    let subscriptions = || number(&server, "/subsz", "num_subscriptions");
    let before = subscriptions();
    for _ in 0..50 {
        let outcome = probe.run();
        check(&WELL, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
    }
    eventually(Duration::from_secs(5), "every subscription is gone", || (subscriptions() == before).then_some(()));
    assert_eq!(number(&server, "/varz", "in_msgs"), 50);
    server.restart();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&WELL, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

/// As `--check` beside an agent: both have the same canary.
#[test]
fn probes_of_one_name_do_not_disturb_each_other() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().start();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writer(server.addr(), json!({}));
                (0..50).for_each(|_| check(&WELL, &probe.run()));
            });
        }
    });
}

#[test]
fn nothing_is_published_unless_it_is_asked_for() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().start();
    let deep = Options { deep_interval: Duration::ZERO, ..Options::default() };
    let probe = Asked::with("nats", entry(server.addr(), json!({})), deep);
    for _ in 0..5 {
        check(&WELL, &probe.run());
    }
    assert_eq!(number(&server, "/varz", "in_msgs"), 0);
}

#[test]
fn permissions_are_needed_both_ways() {
    if !require("nats") {
        return;
    }
    let keys = || json!({ "username": USER, "password": PASSWORD });
    for (state, permissions) in [(&MUTE, "publish: { deny: \"_PROBITY.>\" }"), (&DEAF, "subscribe: { deny: \"_PROBITY.>\" }")] {
        let server = Nats::builder().user_with(permissions).start();
        let outcome = writer(server.addr(), keys()).run();
        check(state, &outcome);
        assert!(code(&outcome).is_some_and(|code| code == "Permissions Violation"), "{outcome:#?}");
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Roundtrip));
    }
    // The refusals of `$JS.API.INFO` and its inbox are no refusals of this.
    let server = Nats::builder().jetstream().user_with("publish: \"_PROBITY.>\", subscribe: \"_PROBITY.>\"").start();
    let outcome = writer(server.addr(), keys()).run();
    check(&LEAST, &outcome);
    assert_eq!(outcome.missing, ["$JS.API.INFO"]);
}

#[test]
fn a_round_trip_goes_by_tls_too() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().tls().start();
    let url = format!("tls://{}", server.addr());
    check(&WELL, &writer(server.addr(), json!({ "url": url, "tls": { "ca": Ca::shared().certificate() } })).run());
}

#[test]
fn what_is_dropped_is_found_out() {
    let greeting = "INFO {\"server_name\":\"s\",\"version\":\"2.9.10\",\"max_payload\":1048576,\"proto\":1}\r\n";
    // The library pings as well, at times of its own.
    let peer = Peer::start([(0..10).fold(Script::new().say(greeting), |script, _| script.wait_for("PING\r\n").say("PONG\r\n"))]);
    let outcome = writer(peer.addr(), json!({})).run();
    check(&DROPPED, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "nothing");
}
