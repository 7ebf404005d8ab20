//! Peers that speak Bolt by a script: in any pieces, older, cut short, and untrue.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, FailureKind, Options, Outcome, Phase, SessionKind, Status, find};
use serde_json::json;

use crate::support::probe::Asked;
use crate::support::servers::neo4j::script::{agreed, answer, asked, failure, let_in, success, table};

/// Whether this build has the backend.
fn has_bolt() -> bool {
    find("neo4j").is_ok()
}

fn ask(peer: &Peer) -> Asked {
    let entry = json!({ "url": format!("bolt://{}", peer.addr()) });
    Asked::with("neo4j", entry, Options { depth: Depth::Query, ..Options::default() })
}

/// Kind, phase and code of a failure.
fn failed(outcome: &Outcome) -> (FailureKind, Option<Phase>, Option<&str>) {
    let failure = outcome.failure.as_ref().expect("it fails");
    (failure.kind, failure.phase, failure.code.as_deref())
}

fn one() -> Vec<u8> {
    answer(&["1"], &[json!([1])])
}

fn served() -> Vec<u8> {
    [table(&["localhost:7687"]), one()].concat()
}

/// Up to the question of the first run.
fn rehearsed() -> Script {
    asked(asked(let_in()).say(served()))
}

/// What the first run makes of this answer to its question.
fn answered(bytes: &[u8]) -> Outcome {
    let peer = Peer::start([rehearsed().say(bytes).close()]);
    ask(&peer).run_within(Duration::from_millis(500))
}

#[test]
fn answers_may_come_in_any_pieces_with_signs_of_life_between_them() {
    if !has_bolt() {
        return;
    }
    let pieces = [table(&["a:1"]), vec![0; 6], one()].concat();
    let script = pieces.iter().fold(rehearsed(), |script, byte| script.say([*byte]));
    let peer = Peer::start([script]);
    let outcome = ask(&peer).run();
    assert_eq!((outcome.status, outcome.failure, peer.mistakes()), (Status::Healthy, None, vec![]));
    // The same in chunks of one byte.
    let message = success(&json!({ "fields": ["1"] }));
    let chunks: Vec<_> = message[2..message.len() - 2].iter().flat_map(|byte| [0, 1, *byte]).chain([0, 0]).collect();
    let whole = [table(&["a:1"]), chunks, one()[message.len()..].to_vec()].concat();
    assert_eq!(answered(&whole).failure, None);
}

#[test]
fn an_answer_that_is_cut_anywhere_is_a_lost_connection() {
    if !has_bolt() {
        return;
    }
    let whole = served();
    for end in (0..whole.len()).step_by(7) {
        assert_eq!(failed(&answered(&whole[..end])).0, FailureKind::ConnectionLost, "cut at {end}");
    }
}

#[test]
fn what_is_no_answer_is_not_taken_for_one() {
    if !has_bolt() {
        return;
    }
    let row = one()[success(&json!({ "fields": ["1"] })).len()..].to_vec();
    let ended = |message: &[u8]| [table(&["a:1"]), message.to_vec()].concat();
    for (bytes, why) in [
        (ended(&answer(&["1"], &[json!([2])])), "another number"),
        (ended(&answer(&["1"], &[])), "no row"),
        (ended(&row), "a row that was not announced"),
        (success(&json!({ "rt": { "servers": "none" } })), "no table"),
        (ended(&[0, 3, 0xb1, 0x70, 0xc0, 0, 0]), "a success without a map"),
        (ended(&[0, 2, 0xb0, 0x55, 0, 0]), "an unknown message"),
        (ended(&[0, 1, 0xc0, 0, 0]), "a value that is no message"),
        (ended(&[0, 2, 0xb0, 0x7e, 0, 0]), "ignored for no reason"),
        (ended(&[0, 7, 0xb1, 0x70, 0xda, 0xff, 0xff, 0xff, 0xff, 0, 0]), "a map of four thousand million"),
        (ended(&[0, 3, 0xb1, 0x7f, 0xa0, 0, 0]), "a failure without a code"),
    ] {
        assert_eq!(failed(&answered(&bytes)), (FailureKind::Protocol, Some(Phase::Query), None), "{why}");
    }
    let endless = [vec![0xff; 2], vec![0; 0xffff]].concat().repeat(3);
    assert_eq!(failed(&answered(&endless)), (FailureKind::Protocol, Some(Phase::Query), Some("reply_too_long")));
}

/// A version that was not offered may be the start of an HTTP reply.
#[test]
fn only_a_version_that_was_offered_is_one() {
    if !has_bolt() {
        return;
    }
    for (reply, code) in [
        (&[0, 0, 0, 0][..], Some("no_common_version")),
        (&[0, 0, 9, 5], None),
        (&[0, 0, 3, 4], None),
        (&[0, 8, 8, 5], Some("foreign_protocol")),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Some("foreign_protocol")),
        // manifests: of nothing, of newer versions only, too long, without an end
        (&[0, 0, 1, 0xff, 0, 0], Some("no_common_version")),
        (&[0, 0, 1, 0xff, 1, 0, 2, 2, 6, 0], Some("no_common_version")),
        (&[0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1], None),
        (&[0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
    ] {
        let peer = Peer::start([Script::new().wait_for([0, 0, 4, 4, 0, 0, 0, 0]).say(reply)]);
        let outcome = ask(&peer).run_within(Duration::from_millis(500));
        assert_eq!(failed(&outcome), (FailureKind::Protocol, Some(Phase::Auth), code), "{reply:x?}");
    }
}

#[test]
fn the_newest_version_of_a_manifest_is_spoken() {
    if !has_bolt() {
        return;
    }
    // 4.2 to 4.4, 5.6 to 5.9, 6.0; and capabilities in two bytes
    let manifest = [0, 0, 1, 0xff, 3, 0, 2, 4, 4, 0, 3, 9, 5, 0, 0, 0, 6, 0x81, 1];
    let script = Script::new().wait_for([0, 0, 4, 4, 0, 0, 0, 0]).say(manifest).expect([0, 0, 8, 5, 0]);
    let script = script.wait_for("none").wait_for([0, 0]).say([success(&json!({})), success(&json!({}))].concat());
    let peer = Peer::start([asked(asked(script).say(served())).say(served())]);
    let outcome = ask(&peer).run();
    assert_eq!((outcome.failure, peer.mistakes()), (None, vec![]));
    assert_eq!(outcome.facts["bolt_version"].to_string(), "5.8");
}

/// The list of databases may take seconds after a start: the run goes on without it, and so does the session.
#[test]
fn a_deep_answer_that_is_late_is_read_over_by_the_next_run() {
    if !has_bolt() {
        return;
    }
    let script = rehearsed().say(served()).wait_for("SHOW DATABASES").wait_for([0xb0, 0x0f, 0, 0]);
    let late = answer(&["name"], &[json!(["late"])]);
    let script = script.say([late, success(&json!({}))].concat());
    let peer = Peer::start([asked(script).say(served())]);
    let probe = Asked::new("neo4j", json!({ "url": format!("bolt://{}", peer.addr()) }));
    let outcome = probe.run_within(Duration::from_millis(500));
    assert_eq!((outcome.status, outcome.missing), (Status::Healthy, vec!["SHOW DATABASES".to_owned()]));
    let outcome = probe.run();
    assert_eq!((outcome.status, outcome.session, outcome.failure), (Status::Healthy, Some(SessionKind::Warm), None));
    assert_eq!(peer.mistakes(), Vec::<String>::new());
}

/// What else speaks Bolt is asked without it; a client that is to be routed cannot be.
#[test]
fn a_peer_that_knows_no_routes_is_asked_all_the_same() {
    if !has_bolt() {
        return;
    }
    let ignored = [0, 2, 0xb0, 0x7e, 0, 0];
    let refusal = [failure("Other.ClientError.Unsupported", "no ROUTE"), ignored.to_vec(), ignored.to_vec()].concat();
    let first = asked(let_in()).say(refusal).wait_for([0xb0, 0x0f, 0, 0]).say(success(&json!({})));
    let peer = Peer::start([asked(asked(first).say(one())).say(one())]);
    let outcome = ask(&peer).run();
    assert_eq!((outcome.status, outcome.failure, peer.mistakes()), (Status::Healthy, None, vec![]));
}

/// What is shown of a code: the manual's, or its class.
fn closed(code: &str) -> Option<&str> {
    match code {
        "Neo.ClientError.Request.Invalid" => Some("Neo.ClientError.Request"),
        "Neo.TransientError.Cluster.ReplicationFailure" => Some("Neo.TransientError.Cluster"),
        "Neo.DatabaseError.General.UnknownError" => Some("Neo.DatabaseError"),
        "Neo.Something.New" => None,
        known => Some(known),
    }
}

/// Both before and after the log-in; and the log-in itself is a success.
#[test]
fn a_server_says_in_its_own_words_why_it_does_not_serve() {
    if !has_bolt() {
        return;
    }
    for (code, kind) in [
        ("Neo.ClientError.Security.Unauthorized", FailureKind::Auth),
        ("Neo.ClientError.Security.AuthProviderTimeout", FailureKind::NotReady),
        ("Neo.TransientError.Request.NoThreadsAvailable", FailureKind::Overload),
        ("Neo.ClientError.Request.Invalid", FailureKind::Protocol),
        ("Neo.DatabaseError.General.UnknownError", FailureKind::Query),
        ("Neo.Something.New", FailureKind::Query),
    ] {
        let peer = Peer::start([agreed().wait_for("none").wait_for([0, 0]).say(failure(code, "words")).close()]);
        let outcome = ask(&peer).run();
        assert_eq!(failed(&outcome), (kind, Some(Phase::Auth), closed(code)));
        let words = if closed(code) == Some(code) { "words".to_owned() } else { format!("{code}: words") };
        assert_eq!(outcome.failure.and_then(|failure| failure.server_message), Some(words));
    }
    let ignored = [0, 2, 0xb0, 0x7e, 0, 0].repeat(2);
    for (code, kind) in [
        ("Neo.TransientError.General.DatabaseUnavailable", FailureKind::NotReady),
        ("Neo.TransientError.Cluster.ReplicationFailure", FailureKind::NotReady),
        ("Neo.TransientError.Transaction.LockAcquisitionTimeout", FailureKind::Timeout),
    ] {
        let outcome = answered(&[failure(code, "words"), ignored.clone()].concat());
        assert_eq!(failed(&outcome), (kind, Some(Phase::Query), closed(code)));
    }
    let expired = [success(&json!({})), success(&json!({ "credentials_expired": true }))].concat();
    let peer = Peer::start([agreed().wait_for("none").wait_for([0, 0]).say(expired)]);
    let code = "Neo.ClientError.Security.CredentialsExpired";
    assert_eq!(failed(&ask(&peer).run()), (FailureKind::Auth, Some(Phase::Auth), Some(code)));
}

#[test]
fn a_routing_table_without_a_writer_is_found_out() {
    if !has_bolt() {
        return;
    }
    let reader = json!({ "role": "READ", "addresses": ["a:1"] });
    let headless = [success(&json!({ "rt": { "ttl": 300, "servers": [reader] } })), one()].concat();
    for (writable, status) in [(false, Status::Degraded), (true, Status::Unhealthy)] {
        let peer = Peer::start([rehearsed().say(&headless)]);
        let entry = json!({ "url": format!("bolt://{}", peer.addr()), "expect": { "writable": writable } });
        let outcome = Asked::with("neo4j", entry, Options { depth: Depth::Query, ..Options::default() }).run();
        assert_eq!((outcome.status, outcome.findings[0].code.as_ref()), (status, "no_writer"));
    }
}
