//! Peers that are absent, silent, of another protocol, or never stop talking.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, FaultDomain, Options, Status};

use super::{backends, probe, probe_with, words};
use crate::support::alone::alone;
use crate::support::eventually;
use crate::support::pace::{is_slow, late};
use crate::support::peers::{self, Peer};
use crate::support::probe::Asked;
use crate::support::procfs::{fds, rss, threads};

#[test]
fn a_closed_port_is_refused() {
    let peer = peers::refused();
    for (kind, entry) in backends() {
        let outcome = probe(kind, &entry, peer.addr()).run();
        assert_eq!(words(&outcome), ("connect_refused", "connect", ""), "{kind}");
        assert_eq!(outcome.session, Some(probity_probes::SessionKind::Fresh), "{kind}");
    }
}

/// One address has one second, and connecting at most half of a run.
#[test]
fn a_host_that_drops_packets_is_a_connect_timeout() {
    let peer = peers::syn_black_hole();
    for (kind, entry) in backends() {
        let (timeout, budget) = (Duration::from_millis(800), Duration::from_millis(400));
        let outcome = probe(kind, &entry, peer.addr()).run_within(timeout);
        assert_eq!(words(&outcome), ("connect_timeout", "connect", ""), "{kind}: {outcome:#?}");
        assert!(outcome.duration >= budget && outcome.duration < budget + late(), "{kind}: {:?}", outcome.duration);
    }
}

#[test]
fn a_peer_that_never_answers_is_a_timeout_and_is_let_go() {
    for (kind, entry) in backends() {
        let peer = peers::black_hole();
        let probe = probe(kind, &entry, peer.addr());
        for timeout in [Duration::from_millis(150), Duration::from_millis(400)] {
            let outcome = probe.run_within(timeout);
            let failure = outcome.failure.as_ref().map(|failure| (failure.kind, failure.fault_domain));
            assert_eq!(failure, Some((FailureKind::Timeout, FaultDomain::Backend)), "{kind}");
            assert!(matches!(words(&outcome).1, "auth" | "query"), "{kind}: {outcome:#?}");
            assert!(outcome.duration >= timeout && outcome.duration < timeout + late(), "{kind}: {:?}", outcome.duration);
            assert!(!outcome.abandoned || is_slow(), "{kind}: it did not end by itself");
        }
        assert_eq!(peer.accepted(), 2, "{kind}");
        eventually(Duration::from_secs(5), "the sockets are closed", || (peer.open() == 0).then_some(()));
        eventually(Duration::from_secs(5), "the tasks have ended", || (probe.tasks() == 0).then_some(()));
    }
}

#[test]
fn connecting_is_enough_where_no_more_is_asked() {
    // MySQL counts connections without a log-in as errors, and blocks hosts for them.
    for (kind, entry) in backends().filter(|(kind, _)| *kind != "mysql") {
        let peer = peers::black_hole();
        let at = |depth| probe_with(kind, &entry, &peer.addr().to_string(), Options { depth, ..Options::default() });
        let outcome = at(Depth::Connect).run();
        assert_eq!((outcome.status, outcome.depth), (Status::Healthy, Some(Depth::Connect)), "{kind}: {outcome:#?}");
        assert_eq!(outcome.session, None, "{kind}: there never was one");
        for depth in [Depth::Query, Depth::Deep] {
            assert_eq!(words(&at(depth).run_within(Duration::from_millis(100))).0, "timeout", "{kind}");
        }
    }
}

/// The first words of other protocols, and what they are called.
const STRANGERS: &[(&str, &str, &[u8])] = &[
    ("SSH", "protocol", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    ("HTTP", "protocol", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    ("Redis", "protocol", b"-ERR unknown command 'x'\r\n"),
    ("NATS", "protocol", b"INFO {\"server_id\":\"N\",\"version\":\"2.9.10\"}\r\n"),
    ("PostgreSQL", "protocol", b"E\0\0\0\x19SFATAL\0C08P01\0Mno\0\0"),
    ("TLS", "tls", b"\x15\x03\x01\0\x02\x02\x28"),
    ("SMTP or FTP", "protocol", b"220 mail.example ESMTP\r\n"),
    ("something else", "protocol", b"\x8f\x01\xf3\0\0\0\0"),
];

/// The protocols that each backend takes for its own.
fn own(kind: &str) -> &'static [&'static str] {
    match kind {
        "clickhouse" | "consul" | "elasticsearch" | "http" | "opensearch" => &["HTTP"],
        "nats" => &["NATS"],
        "postgres" => &["PostgreSQL"],
        // NATS and Redis both say -ERR.
        "redis" => &["Redis"],
        _ => &[],
    }
}

#[test]
fn another_protocol_is_named_at_once() {
    for (kind, entry) in backends() {
        for (name, expected, bytes) in STRANGERS.iter().filter(|(name, ..)| !own(kind).contains(name)) {
            for peer in [peers::speaks(*bytes), peers::answers(*bytes)] {
                let outcome = probe(kind, &entry, peer.addr()).run();
                let Some(failure) = outcome.failure else { panic!("{kind} took {name} for its own") };
                assert_eq!(failure.kind.as_str(), *expected, "{kind}, {name}: {failure:#?}");
                assert!(failure.message.contains(name), "{kind}, {name}: {failure:#?}");
                assert!(outcome.duration < Duration::from_secs(1), "{kind}, {name}: {:?}", outcome.duration);
                eventually(Duration::from_secs(5), "the socket is closed", || (peer.open() == 0).then_some(()));
                // A server that greets never waits for a question.
                if matches!(kind, "mysql" | "nats") {
                    break;
                }
            }
        }
    }
}

/// The process' own memory is counted, so nothing else may run in it.
#[test]
fn a_flood_is_cut_off_with_bounded_memory() {
    const GROWTH: u64 = 32 << 20;
    if !alone("conformance::bad_peers::a_flood_is_cut_off_with_bounded_memory") {
        return;
    }
    let starts: [&[u8]; 9] = [
        b"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"INFO {\"server_name\":\"",
        b"INFO {}\r\nMSG a 1 2000000000\r\n",
        b"$536870912\r\n",
        b"R\x7f\xff\xff\xf0",
        b"\0\0\x08\x05\xff\xff\xd6\xff\xff\xff\xff",
        b"\x84\0\0\0\x08\x7f\xff\xff\xff",
    ];
    let timeout = Duration::from_secs(1);
    let own = std::process::id();
    for (kind, entry) in backends() {
        // Each on its own: whatever ran before has loaded more of the program, and that stays.
        let before = rss(own);
        for start in starts {
            let peer = peers::flood(start);
            let outcome = probe(kind, &entry, peer.addr()).run_within(timeout);
            let text = String::from_utf8_lossy(start);
            assert_eq!(outcome.status, Status::Unhealthy, "{kind}, {text:?}: {outcome:#?}");
            assert!(outcome.duration < timeout + late() && (!outcome.abandoned || is_slow()), "{kind}, {text:?}: {outcome:#?}");
            eventually(Duration::from_secs(5), "the flood is closed", || (peer.open() == 0).then_some(()));
            let grown = rss(own).saturating_sub(before);
            assert!(grown < GROWTH, "{kind}, {text:?}: {grown} bytes more");
        }
    }
}

/// Every backend asks a peer at once, so many times: then nothing is left of it that was not there after the first ten.
fn nothing_is_left(peer: &Peer, times: u32, ask: impl Fn(&str, &Asked) + Sync) {
    const SOON: Duration = Duration::from_secs(5);
    let own = std::process::id();
    let asked: Vec<_> = backends().map(|(kind, entry)| (kind, probe(kind, &entry, peer.addr()))).collect();
    let all_ask = |times: u32| {
        std::thread::scope(|scope| {
            for (kind, probe) in &asked {
                scope.spawn(|| (0..times).for_each(|_| ask(kind, probe)));
            }
        });
        for (kind, probe) in &asked {
            eventually(SOON, &format!("the tasks of {kind} have ended"), || (probe.tasks() == 0).then_some(()));
        }
        eventually(SOON, "the sockets are closed", || (peer.open() == 0).then_some(()));
    };
    all_ask(10);
    let (held, workers) = (fds(own), threads(own));
    all_ask(times);
    eventually(SOON, "descriptors are given back", || (fds(own) <= held).then_some(()));
    // A library's own, which it has while it is asked, ends a moment after its socket.
    eventually(Duration::from_secs(1), "threads are given back", || (threads(own) <= workers).then_some(()));
}

/// Whether they failed, were overdue, or were dropped in the middle.
#[test]
fn two_hundred_runs_leave_nothing_behind() {
    const BRIEF: Duration = Duration::from_millis(5);
    if !alone("conformance::bad_peers::two_hundred_runs_leave_nothing_behind") {
        return;
    }
    for peer in [peers::refused(), peers::black_hole(), peers::speaks("SSH-2.0-x\r\n"), peers::answers("")] {
        nothing_is_left(&peer, 200, |_, probe| drop(probe.run_within(BRIEF)));
        nothing_is_left(&peer, 20, |_, probe| {
            probe.dropped_after(BRIEF);
        });
    }
}

/// Whoever asked has given up each of them in the middle.
#[test]
fn a_thousand_abandoned_runs_leave_nothing_behind() {
    const BRIEF: Duration = Duration::from_millis(3);
    if !alone("conformance::bad_peers::a_thousand_abandoned_runs_leave_nothing_behind") {
        return;
    }
    let peer = peers::black_hole();
    nothing_is_left(&peer, 1000, |kind, probe| assert!(probe.dropped_after(BRIEF), "{kind}: it ended by itself"));
    assert!(peer.accepted() > 500 * backends().count() as u64, "{} connections only", peer.accepted());
}

#[test]
fn a_dropped_run_closes_its_socket() {
    for (kind, entry) in backends() {
        let peer = peers::black_hole();
        let probe = probe(kind, &entry, peer.addr());
        assert!(probe.dropped_after(Duration::from_millis(300)), "{kind}: the run ended by itself");
        assert_eq!(peer.accepted(), 1, "{kind}");
        eventually(Duration::from_secs(5), "the socket is closed", || (peer.open() == 0).then_some(()));
    }
}
