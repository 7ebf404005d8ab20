//! What each version tells, and brokers that only know the older one.

use probity_probes::testing::{Peer, Script};
use probity_probes::{FailureKind, Phase, SessionKind};
use serde_json::json;

use super::{SOON, code, eager, entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::mosquitto::Mosquitto;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mqtt":
    WELL = "well", "a broker as it starts" => Expected::HEALTHY;
    WELL_3 = "well, in MQTT 3.1.1", "version = 3.1.1" => Expected::HEALTHY;
    OLD = "a broker that does not know MQTT 5", "a peer that refuses it with code 1" => Expected::HEALTHY;
    TOO_OLD = "a broker that does not know MQTT 5, which is required", "the same with version = 5" => Expected::fails(FailureKind::Protocol);
    BUSY = "a broker that is busy", "a peer that answers 0x89" => Expected::fails(FailureKind::Overload);
    DROPPING = "messages are dropped", "a subscriber that does not read, degraded.dropped_messages = 0" => Expected::degraded("dropped_messages");
}

#[test]
fn a_broker_that_is_well_tells_what_it_is() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::start();
    let probe = probe(&server, json!({}));
    let fresh = probe.run();
    check(&WELL, &fresh);
    assert_eq!(fact(&fresh, "protocol_version"), "5");
    assert!(fact(&fresh, "broker_version").starts_with("mosquitto version 2."), "{fresh:#?}");
    for name in ["clients_connected", "messages_dropped_total", "retained_messages", "subscriptions", "uptime_seconds"] {
        assert!(fact(&fresh, name).parse::<u64>().is_ok(), "{name}: {fresh:#?}");
    }
    assert!(fresh.missing.is_empty(), "{fresh:#?}");
    let warm = probe.run();
    check(&WELL, &warm);
    let phases: Vec<_> = warm.phases.iter().map(|(phase, _)| phase).collect();
    assert_eq!((warm.session, phases), (Some(SessionKind::Warm), vec![Phase::Query]));
    let old = expect(&WELL_3, &server, json!({ "version": "3.1.1" }));
    assert_eq!((fact(&old, "protocol_version").as_str(), old.missing.len()), ("3.1.1", 0));
}

#[test]
fn an_old_broker_is_spoken_to_in_its_own_version() {
    let (refusal, welcome) = ([0x20, 2, 0, 1], [0x20, 2, 0, 0]);
    let refusing = || Script::new().wait_for("MQTT\x05").say(refusal).close();
    let serving = Script::new().wait_for("MQTT\x04").say(welcome).wait_for([0xc0, 0]).say([0xd0, 0]);
    // `$SYS` is closed there: a granted subscription, and silence but for the ping.
    let serving =
        serving.wait_for([0xc0, 0]).say([0x90, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0xd0, 0]).wait_for([0xa2]).say([0xb0, 2, 0, 2]);
    let peer = Peer::start([refusing(), serving]);
    let outcome = Asked::new("mqtt", entry(peer.addr(), json!({}))).run();
    check(&OLD, &outcome);
    assert_eq!((fact(&outcome, "protocol_version").as_str(), outcome.missing.as_slice()), ("3.1.1", &["$SYS".to_owned()][..]));

    let peer = Peer::start([refusing()]);
    let outcome = Asked::new("mqtt", entry(peer.addr(), json!({ "version": "5" }))).run();
    check(&TOO_OLD, &outcome);
    let peer = Peer::start([Script::new().wait_for("MQTT\x05").say([0x20, 3, 0, 0x89, 0])]);
    let outcome = Asked::new("mqtt", entry(peer.addr(), json!({}))).run();
    check(&BUSY, &outcome);
    assert_eq!(code(&outcome), Some("0x89"));
}

#[test]
fn dropped_messages_are_judged_where_it_is_asked_for() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().setting("max_queued_messages 1").start();
    let probe = eager(&server, json!({ "degraded": { "dropped_messages": 0 } }));
    check(&WELL, &probe.run());
    let mut deaf = server.connect("deaf").expect("it lets us in");
    deaf.subscribe("noise").expect("it answers");
    let mut loud = server.connect("loud").expect("it lets us in");
    let outcome = eventually(SOON, "messages are dropped", || {
        for _ in 0..200 {
            loud.publish("noise", &[0; 50_000]).expect("it listens");
        }
        let outcome = probe.run();
        (!outcome.findings.is_empty()).then_some(outcome)
    });
    check(&DROPPING, &outcome);
}
