//! Peers that follow a script, for the codecs of our own: exact bytes, cut anywhere, and lies.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::{FailureKind, Options, Outcome, Phase, Status, find};
use serde_json::{Value, json};

use crate::support::probe::{Asked, with};

/// Whether this build has the backend; the others are held against the same elsewhere.
fn has(kind: &str) -> bool {
    find(kind).is_ok()
}

fn ask(kind: &str, peer: &Peer, scheme: &str, keys: Value) -> Asked {
    let entry = with(json!({ "url": format!("{scheme}://{}", peer.addr()) }), keys);
    Asked::with(kind, entry, Options { depth: probity_probes::Depth::Query, ..Options::default() })
}

#[track_caller]
fn failed(outcome: &Outcome, kind: FailureKind, phase: Phase) -> String {
    let failure = outcome.failure.as_ref().expect("it fails");
    assert_eq!((failure.kind, failure.phase), (kind, Some(phase)), "{failure:#?}");
    failure.message.clone()
}

const INFO: &str = "INFO {\"server_name\":\"s\",\"version\":\"2.9.10\",\"proto\":1,\"max_payload\":1048576,\"headers\":true}\r\n";

/// Up to the end of the log-in of a client.
fn nats(info: &str) -> Script {
    Script::new().say(info).wait_for("PING\r\n").say("PONG\r\n")
}

#[test]
fn nats_is_pinged_and_its_pings_are_answered() {
    if !has("nats") {
        return;
    }
    // The first two pings are ours and one of the library's, in any order.
    let first = nats(INFO).wait_for("PING\r\n").wait_for("PING\r\n").say("PING\r\n").wait_for("PONG\r\n");
    let talk = first.say("PONG\r\nPONG\r\n").wait_for("PING\r\n");
    let peer = Peer::start([talk.say("INFO {\"ldm\":true,\"connect_urls\":[\"a:1\",\"b:2\"]}\r\nPO").say("NG\r\n")]);
    let probe = ask("nats", &peer, "nats", json!({}));
    assert_eq!(probe.run().status, Status::Healthy);
    let outcome = probe.run();
    let found: Vec<_> = outcome.findings.iter().map(|finding| finding.code.as_ref()).collect();
    assert_eq!((found, peer.mistakes()), (vec!["lame_duck"], vec![]));
    assert_eq!(outcome.facts["connect_urls"].to_string(), "2");
}

/// A pong that is not ours proves nothing.
#[test]
fn nats_owes_an_answer_to_each_ping() {
    if !has("nats") {
        return;
    }
    let peer = Peer::start([nats(INFO)]);
    let outcome = ask("nats", &peer, "nats", json!({})).run_within(Duration::from_millis(300));
    failed(&outcome, FailureKind::Timeout, Phase::Query);
}

#[test]
fn nats_says_in_its_own_words_why_it_ends() {
    if !has("nats") {
        return;
    }
    for (words, kind) in [
        ("Authorization Violation", FailureKind::Auth),
        ("User Authentication Expired", FailureKind::Auth),
        ("maximum account active connections exceeded", FailureKind::Overload),
        ("Attempted To Connect To Route Port", FailureKind::Protocol),
        ("Server Shutdown", FailureKind::NotReady),
        ("something new", FailureKind::Query),
    ] {
        let peer = Peer::start([Script::new().say(INFO).wait_for("\r\n").say(format!("-ERR '{words}'\r\n")).close()]);
        let outcome = ask("nats", &peer, "nats", json!({})).run();
        failed(&outcome, kind, Phase::Auth);
        // What is in no manual is no code.
        let code = Some(words).filter(|words| *words != "something new");
        let failure = outcome.failure.expect("it failed");
        assert_eq!((failure.code.as_deref(), failure.server_message.as_deref()), (code, Some(words)));
    }
}

/// Who can put bytes behind the greeting must not be able to have the log-in in plain text.
#[test]
fn nats_does_not_log_in_before_tls() {
    if !has("nats") {
        return;
    }
    let secured = INFO.replace("\"proto\":1", "\"tls_required\":true");
    for (info, kind, phase) in [
        (format!("{secured}PING\r\n"), FailureKind::Protocol, Phase::Auth),
        (INFO.to_owned(), FailureKind::Tls, Phase::Auth),
        (secured, FailureKind::Timeout, Phase::Tls),
    ] {
        let peer = Peer::start([Script::new().say(info).wait_for("CONNECT")]);
        let probe = ask("nats", &peer, "tls", json!({ "username": "probe", "password": "pw" }));
        failed(&probe.run_within(Duration::from_secs(1)), kind, phase);
        drop(probe);
        let mistakes = crate::support::eventually(Duration::from_secs(5), "the peer sees the end", || {
            Some(peer.mistakes()).filter(|mistakes| !mistakes.is_empty())
        });
        assert_eq!(mistakes, ["failed to fill whole buffer"], "it must not hear the log-in");
    }
}

#[test]
fn a_greeting_of_nats_must_be_one() {
    if !has("nats") {
        return;
    }
    for bytes in ["INFO nonsense\r\n", "INFO \r\n", "INFO [1]\r\n", "INFORMATION {}\r\n", "-OK\r\n"] {
        let peer = Peer::start([Script::new().say(bytes)]);
        let message = failed(&ask("nats", &peer, "nats", json!({})).run(), FailureKind::Protocol, Phase::Auth);
        assert_eq!(message, "the first line of the server is not a NATS greeting", "{bytes:?}");
    }
    let peer = Peer::start([Script::new().say("INFO {\"server_name\":\"s\"").close()]);
    failed(&ask("nats", &peer, "nats", json!({})).run(), FailureKind::ConnectionLost, Phase::Auth);
}

/// Who has just been elected knows no token yet: only a refusal that is consistent is one.
#[test]
fn a_token_is_unknown_to_consul_once_its_leader_is_ready() {
    if !has("consul") {
        return;
    }
    let reply = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let unknown = reply("403 Forbidden", "token does not exist: ACL not found");
    let waits = reply("500 Internal Server Error", "Not ready to serve consistent reads");
    for (answer, kind, code) in [
        (None, FailureKind::NotReady, "leader_not_ready"),
        (Some(waits), FailureKind::NotReady, "500 Not ready to serve consistent reads"),
        (Some(unknown.clone()), FailureKind::Auth, "403 token does not exist"),
    ] {
        let led = Script::new().wait_for("\r\n\r\n").say(reply("200 OK", "\"127.0.0.1:8300\""));
        let refused = led.wait_for("\r\n\r\n").say(&unknown).wait_for("/v1/acl/token/self?consistent HTTP/1.1");
        let peer = Peer::start([match answer {
            Some(answer) => refused.wait_for("\r\n\r\n").say(answer),
            None => refused,
        }]);
        let outcome = ask("consul", &peer, "http", json!({ "token": "t" })).run();
        failed(&outcome, kind, Phase::Auth);
        assert_eq!(outcome.failure.and_then(|failure| failure.code).as_deref(), Some(code));
    }
}

#[test]
fn http_answers_may_come_in_any_pieces() {
    if !has("http") {
        return;
    }
    let whole = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let script = whole.chars().fold(Script::new().wait_for("\r\n\r\n"), |script, letter| script.say(letter.to_string()));
    let peer = Peer::start([script]);
    let outcome = ask("http", &peer, "http", json!({ "expect": { "regex": "^abc$" } })).run();
    assert_eq!((outcome.status, outcome.failure), (Status::Healthy, None));
}

#[test]
fn http_that_is_none_is_not_taken_for_it() {
    if !has("http") {
        return;
    }
    for (answer, kind) in [
        ("HTTP/1.1 20x OK\r\n\r\n", FailureKind::Protocol),
        ("HTTP/9.9 200 OK\r\n\r\n", FailureKind::Protocol),
        ("HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", FailureKind::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", FailureKind::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Le", FailureKind::ConnectionLost),
        ("", FailureKind::ConnectionLost),
    ] {
        let peer = Peer::start([Script::new().wait_for("\r\n\r\n").say(answer).close()]);
        let outcome = ask("http", &peer, "http", json!({})).run();
        assert_eq!(outcome.failure.map(|failure| failure.kind), Some(kind), "{answer:?}");
    }
}

/// What a server says of its own accord to an idle connection is no answer to the next request.
#[test]
fn http_that_speaks_unasked_is_asked_anew() {
    if !has("http") {
        return;
    }
    let well = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let tired = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let first = Script::new().wait_for("\r\n\r\n").say(well).say(tired).close();
    let peer = Peer::start([first, Script::new().wait_for("\r\n\r\n").say(well)]);
    let probe = ask("http", &peer, "http", json!({}));
    assert_eq!(probe.run().failure, None);
    assert!(probe.lost_within(Duration::from_secs(5)));
    let outcome = probe.run();
    assert_eq!((outcome.status, outcome.reconnected), (Status::Healthy, true), "{outcome:#?}");
}

#[test]
fn postgres_must_answer_the_request_for_tls() {
    if !has("postgres") {
        return;
    }
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    for (answer, kind) in [("N", FailureKind::Tls), ("x", FailureKind::Protocol), ("", FailureKind::ConnectionLost)] {
        let peer = Peer::start([Script::new().expect(request).say(answer).close()]);
        let probe = ask("postgres", &peer, "postgres", json!({ "tls": {}, "username": "probe" }));
        let outcome = probe.run();
        let failure = outcome.failure.expect("it fails");
        // A close in the middle of TLS is put down to TLS.
        let kind = if kind == FailureKind::ConnectionLost { FailureKind::Tls } else { kind };
        assert_eq!((failure.kind, failure.phase), (kind, Some(Phase::Tls)), "{answer:?}: {failure:#?}");
        assert!(peer.mistakes().is_empty(), "{:?}", peer.mistakes());
    }
}

#[test]
fn redis_must_answer_a_ping() {
    if !has("redis") {
        return;
    }
    let hello = "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n";
    for (answer, kind) in [
        ("+PONG\r\n", None),
        ("-LOADING Redis is loading the dataset in memory\r\n", Some(FailureKind::NotReady)),
        ("-SOMETHING new\r\n", Some(FailureKind::Query)),
        ("%not a map\r\n", Some(FailureKind::Protocol)),
        ("*1000000000\r\n", Some(FailureKind::Protocol)),
    ] {
        let peer = Peer::start([Script::new().wait_for("probity\r\n").say(hello).wait_for("PING\r\n").say(answer)]);
        let outcome = ask("redis", &peer, "redis", json!({})).run_within(Duration::from_millis(500));
        assert_eq!(outcome.failure.map(|failure| failure.kind), kind, "{answer:?}");
    }
}
