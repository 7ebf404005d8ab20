//! Peers that speak CQL by a script: in any pieces, cut short, and untrue.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, FailureKind, Options, Outcome, Phase, Status, find};
use serde_json::json;

use crate::support::probe::Asked;
use crate::support::servers::cassandra::client::frame;

const ERROR: u8 = 0x00;
const READY: u8 = 0x02;
const AUTHENTICATE: u8 = 0x03;
const RESULT: u8 = 0x08;

/// Whether this build has the backend.
fn has_cql() -> bool {
    find("cassandra").is_ok()
}

fn ask(peer: &Peer) -> Asked {
    let entry = json!({ "url": format!("cassandra://{}", peer.addr()) });
    Asked::with("cassandra", entry, Options { depth: Depth::Query, ..Options::default() })
}

/// Kind, phase and code of a failure.
fn failed(outcome: &Outcome) -> (FailureKind, Option<Phase>, Option<&str>) {
    let failure = outcome.failure.as_ref().expect("it fails");
    (failure.kind, failure.phase, failure.code.as_deref())
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("it is short").to_be_bytes()[..], text.as_bytes()].concat()
}

fn int(number: i32) -> [u8; 4] {
    number.to_be_bytes()
}

fn error(code: i32, words: &str) -> Vec<u8> {
    frame(0x84, ERROR, &[&int(code)[..], &text(words)].concat())
}

/// A result of rows with so many columns, of which the types follow.
fn rows(columns: i32, types: &[u8], rows: &[u8]) -> Vec<u8> {
    frame(0x84, RESULT, &[&int(2)[..], &int(1), &int(columns), &text("system"), &text("local"), types, rows].concat())
}

/// The row that a node has of itself.
fn local() -> Vec<u8> {
    let value = |value: &str| [&int(i32::try_from(value.len()).expect("it is short"))[..], value.as_bytes()].concat();
    let types = [text("bootstrapped"), vec![0, 0x0d], text("data_center"), vec![0, 0x0d]].concat();
    rows(2, &types, &[&int(1)[..], &value("COMPLETED"), &value("dc1")].concat())
}

/// Up to the question of the first run.
fn let_in() -> Script {
    Script::new().wait_for("DRIVER_VERSION").say(frame(0x84, READY, b"")).wait_for("key = 'local'")
}

/// What the first run makes of this answer to its question.
fn answered(bytes: &[u8]) -> Outcome {
    let peer = Peer::start([let_in().say(bytes).close()]);
    ask(&peer).run_within(Duration::from_millis(500))
}

#[test]
fn answers_may_come_in_any_pieces() {
    if !has_cql() {
        return;
    }
    let script = local().iter().fold(let_in(), |script, byte| script.say([*byte]));
    let peer = Peer::start([script]);
    let outcome = ask(&peer).run();
    assert_eq!((outcome.status, outcome.failure, peer.mistakes()), (Status::Healthy, None, vec![]));
    assert_eq!(outcome.facts["data_center"].to_string(), "dc1");
}

#[test]
fn an_answer_that_is_cut_anywhere_is_a_lost_connection() {
    if !has_cql() {
        return;
    }
    let whole = local();
    for end in (0..whole.len()).step_by(5) {
        assert_eq!(failed(&answered(&whole[..end])).0, FailureKind::ConnectionLost, "cut at {end}");
    }
}

#[test]
fn what_is_no_answer_is_not_taken_for_one() {
    if !has_cql() {
        return;
    }
    let column = [text("c"), vec![0, 0x0d]].concat();
    for (bytes, why) in [
        (frame(0x84, READY, b""), "an answer to something else"),
        (frame(0x84, 0x55, b""), "an unknown kind of answer"),
        (frame(0x85, RESULT, &int(1)), "another version"),
        (frame(0x04, RESULT, &int(1)), "a request"),
        (frame(0x84, RESULT, &int(1)), "no row"),
        (frame(0x84, RESULT, b"\0"), "half a number"),
        (rows(1, &column, &int(0)), "no row, either"),
        (rows(1, &column, &[&int(1)[..], &int(99)].concat()), "a value that is longer than its frame"),
        (rows(1, &[text("c"), vec![0, 0x09]].concat(), &[&int(1)[..], &int(2), b"no"].concat()), "a number of two bytes"),
        (rows(0, b"", &int(i32::MAX)), "rows without columns"),
        (rows(i32::MAX, &column, b""), "columns that are not there"),
    ] {
        assert_eq!(failed(&answered(&bytes)), (FailureKind::Protocol, Some(Phase::Query), None), "{why}");
    }
    for (bytes, why) in [
        (rows(1, &[text("c"), [0, 0x20].repeat(200_000)].concat(), b""), "lists in lists"),
        (rows(1, &[text("c"), vec![0, 0], text(&"a(".repeat(30_000))].concat(), b""), "classes in classes"),
    ] {
        let wanted = (FailureKind::Protocol, Some(Phase::Query), Some("nested_too_deep"));
        assert_eq!(failed(&answered(&bytes)), wanted, "{why}");
    }
    let endless = [&[0x84, 0, 0, 0, RESULT][..], &[0x7f, 0xff, 0xff, 0xff]].concat();
    assert_eq!(failed(&answered(&endless)), (FailureKind::Protocol, Some(Phase::Query), Some("reply_too_long")));
}

/// A server that does not speak our version says so in its own; what was never seen live is told by its number alone.
#[test]
fn a_server_says_in_its_own_words_why_it_does_not_serve() {
    if !has_cql() {
        return;
    }
    for (code, kind, number) in [
        (0x0000, FailureKind::Query, "0x0000"),
        (0x000a, FailureKind::Protocol, "0x000a"),
        (0x1001, FailureKind::Overload, "0x1001"),
        (0x1002, FailureKind::NotReady, "0x1002"),
        (0x1700, FailureKind::Query, "0x1700"),
    ] {
        assert_eq!(failed(&answered(&error(code, "words"))), (kind, Some(Phase::Query), Some(number)));
    }
    let mut older = error(0x000a, "Invalid or unsupported protocol version (4)");
    older[0] = 0x83;
    let peer = Peer::start([Script::new().wait_for("DRIVER_VERSION").say(older).close()]);
    assert_eq!(failed(&ask(&peer).run()), (FailureKind::Protocol, Some(Phase::Auth), Some("0x000a")));
}

/// A server that cannot read its roles has the code of a wrong password for it: the next run tries again.
#[test]
fn a_log_in_that_cannot_be_checked_is_not_a_wrong_password() {
    if !has_cql() {
        return;
    }
    for (words, kind, code) in [
        ("Provided username probe and/or password are incorrect", FailureKind::Auth, "0x0100"),
        ("Unable to perform authentication: Cannot achieve consistency level QUORUM", FailureKind::NotReady, "login_unchecked"),
    ] {
        let wish = frame(0x84, AUTHENTICATE, &text("org.apache.cassandra.auth.PasswordAuthenticator"));
        let script = Script::new().wait_for("DRIVER_VERSION").say(wish).wait_for("\0probe\0secret");
        let peer = Peer::start([script.say(error(0x0100, words)).close()]);
        let entry = json!({ "url": format!("cassandra://{}", peer.addr()), "username": "probe", "password": "secret" });
        let outcome = Asked::new("cassandra", entry).run();
        assert_eq!(failed(&outcome), (kind, Some(Phase::Auth), Some(code)));
    }
}
