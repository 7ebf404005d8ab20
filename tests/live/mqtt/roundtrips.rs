//! Round trips: messages to ourselves.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, FailureKind, Options, Phase, SessionKind};
use serde_json::{Value as Json, json};

use super::{SOON, code, entry, fact};
use crate::support::probe::Asked;
use crate::support::servers::mosquitto::Mosquitto;
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mqtt":
    WELL = "a round trip", "depth = roundtrip" => Expected::HEALTHY;
    WELL_3 = "a round trip in MQTT 3.1.1", "the same with version = 3.1.1" => Expected::HEALTHY;
    MUTE = "a round trip of a user who may not write", "an access list, MQTT 5" => Expected::fails(FailureKind::Permission);
    MUTE_3 = "a round trip of a user who may not write, in MQTT 3.1.1", "an access list" => Expected::unfit("roundtrip_lost");
    DEAF = "a round trip of a user who may not read", "an access list, MQTT 5" => Expected::unfit("roundtrip_lost");
    REFUSED = "a subscription is refused", "a peer whose SUBACK says 0x87" => Expected::fails(FailureKind::Permission);
    REFUSED_3 = "a subscription is refused, in MQTT 3.1.1", "a peer whose SUBACK says 0x80" => Expected::fails(FailureKind::Permission);
    PLAIN = "a broker without QoS 1", "max_qos 0" => Expected::HEALTHY;
}

/// One that makes a round trip in every run.
fn writer(server: &Mosquitto, keys: Json) -> Asked {
    Asked::with("mqtt", entry(server.addr(), keys), always())
}

fn always() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

/// A broker that logs each packet, and lets everybody in unless the builder is told otherwise.
fn talkative() -> crate::support::servers::mosquitto::Builder {
    Mosquitto::builder().setting("log_type all")
}

#[test]
fn round_trips_leave_nothing_behind() {
    if !require("mqtt") {
        return;
    }
    let server = talkative().start();
    for (state, version) in [(&WELL, "5"), (&WELL_3, "3.1.1")] {
        let probe = writer(&server, json!({ "version": version }));
        for _ in 0..50 {
            let outcome = probe.run();
            check(state, &outcome);
            assert!(outcome.phases.get(Phase::Roundtrip).is_some() && outcome.depth == Some(Depth::Roundtrip), "{outcome:#?}");
        }
    }
    let log = server.process().log();
    let published: Vec<_> = log.lines().filter(|line| line.contains("Received PUBLISH from")).collect();
    assert_eq!(published.len(), 100);
    assert!(published.iter().all(|line| line.contains("(d0, q1, r0, m3, 'probity/")), "{published:?}");
    assert_eq!(log.matches("Received PUBACK from").count(), 100, "every message is acknowledged");
    let looking = super::eager(&server, json!({}));
    // The value is as old as the last second, and counts what the one that looks has subscribed to.
    eventually(SOON, "no subscription is left", || (fact(&looking.run(), "subscriptions") == "0").then_some(()));

    let probe = writer(&server, json!({}));
    check(&WELL, &probe.run());
    server.restart();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&WELL, &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

/// As `--check` beside an agent: both have the same canary.
#[test]
fn probes_of_one_name_do_not_disturb_each_other() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::start();
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
fn nothing_is_published_unless_it_is_asked_for() {
    if !require("mqtt") {
        return;
    }
    let server = talkative().start();
    let probe = super::eager(&server, json!({}));
    for _ in 0..5 {
        check(&WELL, &probe.run());
    }
    let log = server.process().log();
    assert!(log.contains("Received PINGREQ from") && !log.contains("Received PUBLISH from"), "{log}");
}

#[test]
fn access_lists_refuse_in_5_and_drop_in_3_1_1() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().access("topic read probity/#\ntopic read $SYS/#\n").start();
    let outcome = writer(&server, json!({ "version": "5" })).run();
    check(&MUTE, &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("PUBACK 0x87"), Some(Phase::Roundtrip)));
    let probe = writer(&server, json!({ "version": "3.1.1" }));
    // Again and again, on the same session.
    for session in [SessionKind::Fresh, SessionKind::Warm, SessionKind::Warm] {
        let outcome = probe.run();
        check(&MUTE_3, &outcome);
        assert_eq!((outcome.session, outcome.findings[0].observed.to_string().as_str()), (Some(session), "nothing"));
    }
    let server = Mosquitto::builder().access("topic write probity/#\ntopic read $SYS/#\n").start();
    check(&DEAF, &writer(&server, json!({ "version": "5" })).run());
    let server = Mosquitto::builder().access("topic readwrite probity/#\ntopic read $SYS/#\n").start();
    check(&WELL, &writer(&server, json!({})).run());
}

#[test]
fn a_round_trip_goes_by_tls_and_behind_a_login_too() {
    if !require("mqtt") {
        return;
    }
    let server = Mosquitto::builder().login().tls().start();
    let login = json!({ "username": USER, "password": PASSWORD });
    check(&WELL, &writer(&server, login.clone()).run());
    let mut secured = entry(server.tls_addr(), login);
    secured["url"] = format!("mqtts://{}", server.tls_addr()).into();
    secured["tls"] = json!({ "ca": Ca::shared().certificate() });
    check(&WELL, &Asked::with("mqtt", secured, always()).run());
}

#[test]
fn a_broker_without_acknowledgements_is_spoken_to_without() {
    if !require("mqtt") {
        return;
    }
    let server = talkative().setting("max_qos 0").start();
    check(&PLAIN, &writer(&server, json!({})).run());
    assert!(server.process().log().contains("(d0, q0, r0, m0, 'probity/"), "{}", server.process().log());
}

#[test]
fn a_refused_subscription_is_a_permission() {
    let welcome: [&[u8]; 2] = [&[0x20, 3, 0, 0, 0], &[0x20, 2, 0, 0]];
    let refusal: [&[u8]; 2] = [&[0x90, 4, 0, 1, 0, 0x87], &[0x90, 3, 0, 1, 0x80]];
    for ((state, version, reason), (welcome, refusal)) in
        [(&REFUSED, "5", "SUBACK 0x87"), (&REFUSED_3, "3.1.1", "SUBACK 128")].into_iter().zip(welcome.into_iter().zip(refusal))
    {
        let script = Script::new().wait_for("MQTT").say(welcome).wait_for([0xc0, 0]).say([0xd0, 0]);
        // `$SYS` is closed.
        let script = script.wait_for([0xc0, 0]).say([0xd0, 0]).wait_for([0xa2]).say([0xb0, 2, 0, 2]);
        let peer = Peer::start([script.wait_for([0x82]).say(refusal)]);
        let outcome = Asked::with("mqtt", entry(peer.addr(), json!({ "version": version })), always()).run();
        check(state, &outcome);
        assert_eq!(code(&outcome), Some(reason));
    }
}
