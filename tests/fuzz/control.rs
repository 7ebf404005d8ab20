//! What the law is worth: readers without a bound are caught by it, at the same peers and by the same changes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use mongodb::bson::Document;

use super::corpus::{Conversation, Turn};
use super::grammar::Grammar;
use super::law::{self, Ended, MEMORY, TIMEOUT};
use super::mutator::Mutant;
use super::peer::Peers;

/// Set in a process that reads without bounds; says where from.
const MARK: &str = "PROBITY_TEST_CARELESS";

/// A server of MongoDB that answers anything with this, behind the header and the flags of a message.
fn server(document: &[u8]) -> Mutant {
    let mut answer = [&[0; 21][..], document].concat();
    Grammar::Mongodb.reframe(&mut answer);
    Mutant::of(Conversation(vec![vec![Turn { asked: 1, answer }]]))
}

/// A process that reads one message and makes a document of it: how much it reads and how deep it goes is the server's
/// choice.
fn careless(place: SocketAddr, test: &str) -> Ended {
    let mut child = Command::new(std::env::current_exe().expect("a process knows its program"));
    child.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(MARK, place.to_string());
    law::watch(child)
}

fn read_without_bounds(place: &str) {
    let mut stream = TcpStream::connect(place).expect("it listens");
    stream.write_all(b"?").expect("it reads");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("it answers");
    let mut message = vec![0; u32::from_le_bytes(length) as usize - 4];
    stream.read_exact(&mut message).expect("it answers");
    let _ = Document::from_reader(&message[17..]);
}

#[track_caller]
fn breaches(ended: &Ended) -> String {
    let (_, breaches) = law::judge(ended, 1, TIMEOUT);
    breaches.into_iter().map(|breach| breach.what).collect::<Vec<_>>().join("\n")
}

#[test]
fn depth_without_a_bound_is_caught() {
    if let Ok(place) = std::env::var(MARK) {
        return read_without_bounds(&place);
    }
    let document = b"\x05\0\0\0\0";
    let flat = [&[0; 21][..], document].concat();
    let nested = |depth| Grammar::Mongodb.nest(&flat, depth, &mut fastrand::Rng::with_seed(1)).expect("it has a document");
    let name = "fuzz::control::depth_without_a_bound_is_caught";
    let peers = Peers::start([2, 40_000].map(|depth| (server(&nested(depth)[21..]), Grammar::Mongodb)).into());
    let [shallow, deep] = [0, 1].map(|number| breaches(&careless(peers.addrs[number], name)));
    assert!(!shallow.contains("overflowed its stack"), "{shallow}");
    assert!(deep.contains("overflowed its stack") && deep.contains("no document"), "{deep}");
}

#[test]
fn size_without_a_bound_is_caught() {
    if let Ok(place) = std::env::var(MARK) {
        return read_without_bounds(&place);
    }
    let name = "fuzz::control::size_without_a_bound_is_caught";
    let large = vec![1; usize::try_from(MEMORY).expect("it fits")];
    let peers = Peers::start(vec![(server(b"\x05\0\0\0\0"), Grammar::Mongodb), (server(&large), Grammar::Mongodb)]);
    let [small, large] = [0, 1].map(|number| breaches(&careless(peers.addrs[number], name)));
    assert!(!small.contains("the process held") && large.contains("the process held"), "{small}\n{large}");
}

/// A document of one run, as `--check` would write it.
fn document(ready: bool, took: f64, kind: &str) -> String {
    let status = if ready { "healthy" } else { "unhealthy" };
    let failure = format!(
        r#","failure":{{"kind":"{kind}","fault_domain":"unknown","phase":"query","message":"it failed","remedy":"Mend it."}}"#
    );
    let failure = if kind.is_empty() { String::new() } else { failure };
    format!(
        r#"{{"schema":1,"status":"{status}","ready":{ready},"at":"2026-01-01T00:00:00Z","agent":{{"id":"a","version":"0.1.0"}},
        "dependencies":[{{"name":"case-00","backend":"redis","criticality":"required","status":"{status}","duration_seconds":{took}{failure}}}]}}"#
    )
}

#[test]
fn each_article_of_the_law_can_be_broken() {
    use std::os::unix::process::ExitStatusExt as _;
    let ended = |code: i32, stdout: &str| Ended {
        status: Some(ExitStatus::from_raw(code << 8)),
        stdout: stdout.to_owned(),
        stderr: String::new(),
        peak: 1,
        starved: Duration::ZERO,
    };
    let late = TIMEOUT.as_secs_f64() + 0.2;
    assert_eq!(breaches(&ended(1, &document(false, 0.1, "protocol"))), "");
    assert_eq!(breaches(&ended(0, &document(true, 0.1, ""))), "");
    for (ended, part) in [
        (ended(1, &document(false, 0.1, "unexpected")), "\"unexpected\""),
        (ended(1, &document(false, late, "timeout")), "a run of 0.700 s, where 650ms is the most"),
        (ended(0, &document(false, 0.1, "protocol")), "exit code Some(0), ready: false"),
        (ended(101, &document(false, 0.1, "protocol")), "unix_wait_status(25856))), a document"),
        (ended(1, "{"), "no document"),
        (ended(1, &document(false, 0.1, "protocol").replace("\"schema\":1,", "")), "the document is not valid"),
        (Ended { peak: MEMORY + 1024, ..ended(0, &document(true, 0.1, "")) }, "the process held 65537 KiB"),
        (Ended { status: None, ..ended(0, "") }, "None, no document"),
        (Ended { stderr: "thread 'x' panicked at y".into(), ..ended(0, &document(true, 0.1, "")) }, "free text on stderr"),
    ] {
        let told = breaches(&ended);
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    }
}
