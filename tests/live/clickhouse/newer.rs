//! What later servers say, which cannot be had here: played from ClickHouse's documentation by scripted peers.

use probity_probes::FailureKind;
use probity_probes::testing::{Peer, Script};
use serde_json::json;

use super::{code, entry, fact};
use crate::support::probe::Asked;
use crate::support::truth::{Expected, check, states};

states! { "clickhouse":
    NEW_WELL = "a server of today", "a peer that answers like 24.8" => Expected::HEALTHY;
    NEW_REJECTS = "a server of today, and a wrong password", "a peer that says 516 in header and body" => Expected::fails(FailureKind::Auth);
    NEW_DENIES = "a server of today, and a user without grants", "a peer that says 497 to every system table" => Expected::HEALTHY;
    DISK_FULL = "a disk that is nearly full", "a peer with 5 % free in system.disks" => Expected::degraded("disk");
    DISK_FULL_WRITABLE = "a disk that is full, and must be writable", "a peer with 1 % free, expect.writable" => Expected::unfit("disk");
    MANY_PARTS = "a partition with too many parts", "a peer with 2 700 of 3 000" => Expected::degraded("parts");
    FAILING = "mutations that fail", "a peer with a latest_fail_reason" => Expected::degraded("mutations_failing");
    CLOSING = "a proxy that keeps no connection", "a peer that closes behind every answer" => Expected::HEALTHY;
    UNAVAILABLE = "a proxy without a server behind it", "a peer that says 502" => Expected::fails(FailureKind::NotReady);
}

/// An answer with a body of known length.
fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What is asked for, by a word of the request, and the rows of a server that is well.
const QUESTIONS: [(&str, &str); 9] = [
    ("GET /ping", "Ok.\n"),
    ("version", "24.8.4.13\tUTC\n"),
    ("SELECT+1", "1\n"),
    ("system.metrics", "ReadonlyReplica\t0\nZooKeeperSession\t1\nHTTPConnection\t1\nTCPConnection\t0\nDelayedInserts\t0\n"),
    ("uptime", "3600\n"),
    ("system.events", ""),
    ("asynchronous_metrics", "MaxPartCountForPartition\t12\nparts_to_throw_insert\t3000\n"),
    ("system.macros", "shard\t1\nreplica\ta\n"),
    ("system.replicas", "0\t0\t0\t0\t0\n"),
];
const LAST: [(&str, &str); 2] = [("system.mutations", "0\t0\t0\n"), ("system.disks", "default\t600\t1000\n")];

/// A server that is well but for these answers.
fn server(changed: &[(&str, &str)]) -> Peer {
    let rows = QUESTIONS.into_iter().chain(LAST).map(|(word, rows)| {
        let rows = changed.iter().find(|(changed, _)| *changed == word).map_or(rows, |(_, rows)| *rows);
        (word, answer("200 OK", "", rows))
    });
    Peer::start([rows.fold(Script::new(), |script, (word, answer)| script.wait_for(word).wait_for("\r\n\r\n").say(answer))])
}

fn ask(peer: &Peer, keys: serde_json::Value) -> probity_probes::Outcome {
    let outcome = Asked::new("clickhouse", entry(peer.addr(), keys)).run();
    assert_eq!(peer.mistakes(), Vec::<String>::new());
    outcome
}

#[test]
fn a_server_of_today_is_understood() {
    let peer = server(&[]);
    let outcome = ask(&peer, json!({ "expect": { "writable": true } }));
    check(&NEW_WELL, &outcome);
    assert_eq!((fact(&outcome, "version").as_str(), fact(&outcome, "max_parts_per_partition").as_str()), ("24.8.4.13", "12"));
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn sick_states_of_a_server_of_today() {
    let peer = server(&[("system.disks", "default\t50\t1000\ncold\t900\t1000\n")]);
    let outcome = ask(&peer, json!({ "expect": { "writable": true } }));
    check(&DISK_FULL, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "default: 0.950");
    let peer = server(&[("system.disks", "default\t10\t1000\n")]);
    check(&DISK_FULL_WRITABLE, &ask(&peer, json!({ "expect": { "writable": true } })));
    let peer = server(&[("asynchronous_metrics", "MaxPartCountForPartition\t2700\nparts_to_throw_insert\t3000\n")]);
    check(&MANY_PARTS, &ask(&peer, json!({})));
    let peer = server(&[("system.mutations", "0\t2\t60\n")]);
    check(&FAILING, &ask(&peer, json!({})));
}

#[test]
fn refusals_of_a_server_of_today() {
    let ping = || Script::new().wait_for("\r\n\r\n").say(answer("200 OK", "", "Ok.\n"));
    let words = "Code: 516. DB::Exception: probe: Authentication failed: password is incorrect, or there is no user with such \
                 name. (AUTHENTICATION_FAILED) (version 24.8.4.13 (official build))\n";
    let refused = answer("403 Forbidden", "X-ClickHouse-Exception-Code: 516\r\n", words);
    let peer = Peer::start([ping().wait_for("\r\n\r\n").say(refused)]);
    let outcome = ask(&peer, json!({}));
    check(&NEW_REJECTS, &outcome);
    assert_eq!(code(&outcome), Some("516"));

    let peer = Peer::start([Script::new().wait_for("\r\n\r\n").say(answer("502 Bad Gateway", "", "<html>"))]);
    let outcome = ask(&peer, json!({}));
    check(&UNAVAILABLE, &outcome);
    assert_eq!(code(&outcome), Some("proxy 502"));

    let denied = "Code: 497. DB::Exception: probe: Not enough privileges. (ACCESS_DENIED)\n";
    let script = QUESTIONS.into_iter().chain(LAST).fold(Script::new(), |script, (word, rows)| {
        let answer = match word.strip_prefix("system.").or(word.strip_prefix("asynchronous")) {
            Some(_) => answer("403 Forbidden", "X-ClickHouse-Exception-Code: 497\r\n", denied),
            None => answer("200 OK", "", rows),
        };
        script.wait_for(word).wait_for("\r\n\r\n").say(answer)
    });
    let peer = Peer::start([script]);
    let outcome = ask(&peer, json!({}));
    check(&NEW_DENIES, &outcome);
    assert_eq!(outcome.missing.len(), 7, "{outcome:#?}");
}

#[test]
fn a_proxy_that_closes_behind_every_answer_is_dialled_anew() {
    let script = |word: &str, rows: &str| {
        Script::new().wait_for(word).wait_for("\r\n\r\n").say(answer("200 OK", "Connection: close\r\n", rows)).close()
    };
    let peer = Peer::start(QUESTIONS.into_iter().chain(LAST).map(|(word, rows)| script(word, rows)));
    let outcome = ask(&peer, json!({}));
    check(&CLOSING, &outcome);
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}
