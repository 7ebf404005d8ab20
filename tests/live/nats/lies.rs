//! NATS 2.15 that says it is well: `/healthz` without its meta leader and with full storage, `$JS.API.INFO` with the latter.
//!
//! Nothing here asks the monitor but the test itself: that its answer is a lie is part of each state.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options};
use serde_json::{Value, json};

use super::{code, entry, fact};
use crate::support::outcome::sees;
use crate::support::probe::Asked;
use crate::support::servers::nats::{Cluster, Nats};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "nats":
    LED = "2.15: three servers, well", "a stream of three replicas in `streams`" => Expected::HEALTHY;
    NOT_LED = "2.15: no meta leader, and /healthz?js-enabled-only and js-server-only are ok", "two of three killed, no monitor asked"
        => Expected::degraded("no_meta_leader");
    NOT_LED_BUT_NEEDED = "2.15: the same where JetStream is expected", "two of three killed, expect.jetstream"
        => Expected::unfit("no_meta_leader");
    BACK = "2.15: the meta leader is back", "the two started again" => Expected::HEALTHY;
    LEADERLESS = "2.15: file storage full, and /healthz and $JS.API.INFO are ok", "a stream of three replicas in `streams`"
        => Expected::unfit("stream_leader");
    UNSTORED = "2.15: file storage full, for a round trip", "the same, canary_stream of three replicas"
        => Expected::fails(FailureKind::NotReady);
    STORED = "2.15: a round trip through a stream", "canary_stream" => Expected::HEALTHY;
    FULL = "2.15: file storage of one server full, and all of /healthz is ok", "max_file filled, canary_stream"
        => Expected::fails(FailureKind::Overload);
    NO_STREAM = "2.15: no stream takes the canary", "canary_stream of another subject" => Expected::fails(FailureKind::NotReady);
    OTHER_STREAM = "2.15: another stream takes the canary", "canary_stream is not the stream of _PROBITY.>"
        => Expected::fails(FailureKind::Config);
    UNKNOWN_STREAM = "2.15: a stream of `streams` does not exist", "a name that was never given" => Expected::fails(FailureKind::Config);
    UNASKED = "2.15: may not ask for a stream", "publish $JS.API.STREAM.INFO.> denied" => Expected::HEALTHY;
    UNKEPT = "2.15: may not read the canary back", "publish $JS.API.STREAM.MSG.GET.> denied" => Expected::fails(FailureKind::Permission);
}

const HEALTH: [&str; 2] = ["/healthz?js-enabled-only=true", "/healthz?js-server-only=true"];

/// Has a stream made, and waits until it answers: a cluster may need a moment for its leader.
#[track_caller]
fn make_stream(node: &Nats, name: &str, subject: &str, replicas: u8) {
    let stream = json!({ "name": name, "subjects": [subject], "storage": "file", "num_replicas": replicas }).to_string();
    let made = node.request_with(&format!("$JS.API.STREAM.CREATE.{name}"), &stream).expect("an answer");
    assert!(made.contains("\"created\""), "{made}");
}

/// Stores until nothing more is taken; what the server said then.
fn fill(node: &Nats, subject: &str) -> String {
    let letter = "x".repeat(100 << 10);
    (0..20)
        .find_map(|_| {
            let stored = node.request_with(subject, &letter).expect("an answer");
            (!stored.contains("\"seq\":") || stored.contains("\"error\"")).then_some(stored)
        })
        .expect("a megabyte is full")
}

/// What the monitor says; whether it is true is another matter.
fn is_ok(node: &Nats, path: &str) -> bool {
    node.watch(path).expect("the monitor answers").status == 200
}

fn deep(node: &Nats, keys: &Value) -> Asked {
    asked(node, keys, Options { deep_interval: Duration::ZERO, ..Options::default() })
}

fn storing(node: &Nats, keys: &Value) -> Asked {
    asked(node, keys, Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() })
}

fn asked(node: &Nats, keys: &Value, options: Options) -> Asked {
    let mut keys = keys.clone();
    (keys["username"], keys["password"]) = (USER.into(), PASSWORD.into());
    Asked::with("nats", entry(node.addr(), keys), options)
}

/// Runs until a finding is there, and holds that run against its state.
#[track_caller]
fn found(probe: &Asked, state: &State) {
    let code = state.expected.finding.expect("a state with a finding");
    let outcome = eventually(PATIENCE, code, || {
        Some(probe.run()).filter(|outcome| outcome.findings.iter().any(|finding| finding.code == code))
    });
    check(state, &outcome);
}

/// Runs until all is well.
#[track_caller]
fn well(probe: &Asked, state: &State) {
    let outcome = eventually(PATIENCE, "it is well", || {
        Some(probe.run()).filter(|outcome| outcome.failure.is_none() && outcome.findings.is_empty())
    });
    check(state, &outcome);
}

/// One cluster for both: the second state cannot be mended, not even by starting it anew.
#[test]
fn a_cluster_that_says_ok_without_its_meta_leader_and_with_full_storage() {
    if !require("newest-nats") {
        return;
    }
    let cluster = Cluster::newest();
    let leader = cluster.leader().expect("a healthy cluster has a leader");
    let mut others = cluster.nodes.iter().filter(|node| node.addr() != leader.addr());
    let (node, follower) = others.next().zip(others.next()).expect("there are three");
    make_stream(node, "ORDERS", "orders", 3);
    let streams = json!({ "streams": ["ORDERS"] });
    let (loose, strict, led) =
        (deep(node, &json!({})), deep(node, &json!({ "expect": { "jetstream": true } })), deep(node, &streams));
    well(&led, &LED);

    leader.process().kill9();
    follower.process().kill9();
    found(&loose, &NOT_LED);
    found(&strict, &NOT_LED_BUT_NEEDED);
    assert!(HEALTH.into_iter().all(|path| is_ok(node, path)), "the monitor no longer lies about the meta leader");
    eventually(PATIENCE, "the stream's leader knows that it has lost its majority, too", || {
        sees("stream_leader", &led.run()).then_some(())
    });
    leader.restart();
    follower.restart();
    well(&loose, &BACK);
    well(&led, &BACK);

    make_stream(node, "PROBITY", "_PROBITY.>", 3);
    let storing = storing(node, &json!({ "canary_stream": "PROBITY" }));
    well(&storing, &STORED);
    let refused = fill(node, "orders");
    assert!(refused.contains("10023") || refused.contains("503"), "{refused}");
    // The meta leader steps down at first, and another one is elected.
    let outcome = eventually(PATIENCE, "nobody leads the stream", || {
        Some(led.run()).filter(|outcome| outcome.findings.iter().map(|finding| &finding.code).eq(["stream_leader"]))
    });
    check(&LEADERLESS, &outcome);
    assert!(HEALTH.into_iter().all(|path| is_ok(node, path)), "the monitor no longer lies about full storage");
    // What is asked first may be refused by a leader that then steps down.
    let outcome = eventually(PATIENCE, "nobody takes the canary", || {
        Some(storing.run()).filter(|outcome| code(outcome) == Some("no responders"))
    });
    check(&UNSTORED, &outcome);
    well(&loose, &LED);
}

#[test]
fn a_server_that_says_ok_with_full_storage_refuses_the_canary() {
    if !require("newest-nats") {
        return;
    }
    let server = Nats::builder().newest().user().setting("jetstream { max_mem: 1M, max_file: 1M }").start();
    make_stream(&server, "PROBITY", "_PROBITY.>", 1);
    make_stream(&server, "ORDERS", "orders", 1);
    let storing = storing(&server, &json!({ "canary_stream": "PROBITY", "streams": ["ORDERS"] }));
    for _ in 0..20 {
        check(&STORED, &storing.run());
    }
    let kept = server.request("$JS.API.STREAM.INFO.PROBITY").expect("an answer");
    assert!(kept.contains("\"messages\":0,") && kept.contains("\"last_seq\":20"), "{kept}");
    fill(&server, "orders");
    let outcome = storing.run();
    check(&FULL, &outcome);
    assert_eq!(code(&outcome), Some("10023"));
    assert!(["/healthz", HEALTH[0], HEALTH[1]].into_iter().all(|path| is_ok(&server, path)), "the monitor no longer lies");
    let purged = server.request("$JS.API.STREAM.PURGE.ORDERS").expect("an answer");
    assert!(purged.contains("\"success\":true"), "{purged}");
    well(&storing, &STORED);
}

#[test]
fn a_stream_that_is_not_there_is_a_mistake() {
    if !require("newest-nats") {
        return;
    }
    let server = Nats::builder().newest().user().jetstream().start();
    make_stream(&server, "ORDERS", "orders", 1);
    let outcome = storing(&server, &json!({ "canary_stream": "ORDERS" })).run();
    check(&NO_STREAM, &outcome);
    assert_eq!(code(&outcome), Some("no responders"));
    make_stream(&server, "PROBITY", "_PROBITY.>", 1);
    let outcome = storing(&server, &json!({ "canary_stream": "ORDERS" })).run();
    check(&OTHER_STREAM, &outcome);
    let outcome = deep(&server, &json!({ "streams": ["ORDERS", "NOSUCH"] })).run();
    check(&UNKNOWN_STREAM, &outcome);
    assert_eq!(code(&outcome), Some("10059"));
}

#[test]
fn who_may_not_ask_for_a_stream_has_less_coverage_and_no_round_trip() {
    if !require("newest-nats") {
        return;
    }
    let denied = "publish: { deny: [\"$JS.API.STREAM.INFO.>\", \"$JS.API.STREAM.MSG.GET.>\"] }";
    let server = Nats::builder().newest().user_with(denied).jetstream().start();
    make_stream(&server, "PROBITY", "_PROBITY.>", 1);
    let probe = deep(&server, &json!({ "streams": ["PROBITY"] }));
    for _ in 0..3 {
        let outcome = probe.run();
        check(&UNASKED, &outcome);
        assert_eq!(outcome.missing, ["$JS.API.STREAM.INFO.PROBITY"]);
        assert_eq!(fact(&outcome, "js_streams"), "1");
    }
    // Each try would be a line in the server's log.
    assert_eq!(server.process().log().matches("Publish Violation").count(), 1, "{}", server.process().log());
    check(&UNKEPT, &storing(&server, &json!({ "canary_stream": "PROBITY" })).run());
}
