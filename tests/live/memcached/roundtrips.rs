//! Round trips: what is written, read and removed, and what is not.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, Options, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::entry;
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::memcached::Memcached;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};

states! { "memcached":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    FULL = "a round trip to a full memory", "-M -m 2 and many small items" => Expected::degraded("out_of_memory");
    FULL_WRITABLE = "a round trip to a full memory that must be writable", "the same with expect.writable" => Expected::unfit("out_of_memory");
    FORGOTTEN = "what was written is gone", "a peer that forgets" => Expected::unfit("roundtrip_lost");
}

/// One that makes a round trip in every run.
fn writer(server: &Memcached, keys: Json) -> Asked {
    Asked::with("memcached", entry(server.addr(), keys), always())
}

fn always() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

#[test]
fn round_trips_leave_nothing_behind() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let probe = writer(&server, json!({}));
    for _ in 0..50 {
        let outcome = probe.run();
        check(&WELL, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
    }
    assert_eq!((server.stat("curr_items"), server.stat("cmd_set"), server.stat("delete_hits")), (0, 50, 50));
    server.restart();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&WELL, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

/// As `--check` beside an agent: both have the same canary.
#[test]
fn probes_of_one_name_do_not_disturb_each_other() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
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
    if !require("memcached") {
        return;
    }
    let server = Memcached::start();
    let deep = super::deep(&server, json!({ "query": "key" }));
    for _ in 0..5 {
        check(&WELL, &deep.run());
    }
    assert_eq!((server.stat("cmd_set"), server.stat("total_items"), server.stat("cmd_touch")), (0, 0, 0));
    let hourly = Options { roundtrip_interval: Duration::from_hours(1), ..always() };
    let probe = Asked::with("memcached", entry(server.addr(), json!({})), hourly);
    for _ in 0..5 {
        check(&WELL, &probe.run());
    }
    assert_eq!(server.stat("cmd_set"), 1);
}

#[test]
fn a_full_memory_is_found_out() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().args(["-M", "-m", "2"]).start();
    check(&WELL, &writer(&server, json!({})).run());
    let mut client = server.connect().expect("it answers");
    // Items as long as a canary: each size has pages of its own.
    let (key, value) = ("k".repeat(40), "v".repeat(16));
    let full = (0..100_000).any(|number| {
        let answer = client.ask(&format!("set {key}{number:06} 0 0 16\r\n{value}\r\n")).expect("it answers");
        answer.starts_with("SERVER_ERROR out of memory")
    });
    assert!(full, "it takes everything");
    let outcome = writer(&server, json!({ "degraded": { "memory": 1.0 } })).run();
    check(&FULL, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "SERVER_ERROR out of memory storing object");
    let probe = writer(&server, json!({ "degraded": { "memory": 1.0 }, "expect": { "writable": true } }));
    check(&FULL_WRITABLE, &probe.run());
    client.ask("flush_all\r\n").expect("it answers");
    check(&WELL, &writer(&server, json!({ "degraded": { "memory": 1.0 } })).run());
}

#[test]
fn a_round_trip_goes_by_tls_and_behind_a_login_too() {
    if !require("memcached") {
        return;
    }
    let server = Memcached::builder().tls().start();
    let (url, ca) = (format!("memcached+tls://{}", server.addr()), Ca::shared().certificate());
    check(&WELL, &Asked::with("memcached", json!({ "url": url, "tls": { "ca": ca } }), always()).run());
    let server = Memcached::builder().login().start();
    check(&WELL, &writer(&server, json!({ "username": USER, "password": PASSWORD })).run());
}

#[test]
fn what_is_lost_is_found_out() {
    let script = Script::new().expect("version\r\n").say("VERSION 1.6.18\r\n").expect("version\r\n").say("VERSION 1.6.18\r\n");
    let script = script.expect("stats\r\n").say("END\r\n").expect("stats settings\r\n").say("END\r\n");
    let script = script.wait_for("set probity:canary:").wait_for(" 0 30 16\r\n").wait_for("\r\n").say("STORED\r\n");
    let peer = Peer::start([script.wait_for("\r\n").say("END\r\n").wait_for("\r\n").say("NOT_FOUND\r\n")]);
    let outcome = Asked::with("memcached", entry(peer.addr(), json!({})), always()).run();
    check(&FORGOTTEN, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "nothing");
}
