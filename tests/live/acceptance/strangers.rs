//! Each backend at the port of each other's server: the first bytes name it, and nothing waits that need not.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use probity_probes::{FailureKind, Outcome};
use serde_json::json;

use super::super::BACKENDS;
use crate::support::fault::FaultProxy;
use crate::support::pace::late;
use crate::support::probe::Asked;
use crate::support::servers::search::Product as _;
use crate::support::{require, servers};

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// They speak the same protocol.
    Same,
    /// It answers, and is named by what it says.
    Named,
    /// It closes the connection without a word, at once.
    Closed,
    /// It waits for a message that never comes, and so do we: at the deadline it is a timeout.
    Silent,
}

use Meeting::{Closed as C, Named as N, Same as O, Silent as S};

/// Whose port it is, and what the protocol is called.
pub(crate) const PEERS: [(&str, &str); 19] = [
    ("cassandra", "CQL"),
    ("clickhouse", "HTTP"),
    ("clickhouse, native port", "native protocol"),
    ("consul", "HTTP"),
    ("elasticsearch", "HTTP"),
    ("http", "HTTP"),
    ("kafka", "Kafka"),
    ("memcached", "Memcached"),
    ("mongodb", "MongoDB"),
    ("mqtt", "MQTT"),
    ("mysql", "MySQL"),
    ("nats", "NATS"),
    // To who speaks HTTP it answers so.
    ("neo4j", "HTTP"),
    ("opensearch", "HTTP"),
    ("oracle", "Oracle Net"),
    ("postgres", "PostgreSQL"),
    ("rabbitmq", "AMQP"),
    ("redis", "Redis"),
    ("sqlserver", "TDS"),
];

/// Who asks, in the order of [`BACKENDS`], and what comes of it at each of [`PEERS`].
///
/// MySQL and NATS greet, so that a probe of theirs says nothing before it has heard something.
pub(crate) const MEETINGS: [[Meeting; PEERS.len()]; BACKENDS.len()] = [
    [O, S, N, S, S, N, S, S, C, C, N, N, C, N, S, C, N, S, C],
    [N, O, N, N, N, N, C, C, C, C, N, N, N, N, S, C, N, C, C],
    [N, O, O, O, O, N, C, C, C, C, N, N, N, O, S, C, N, C, C],
    [N, N, O, N, O, O, C, C, C, C, N, N, N, O, S, C, N, C, C],
    [N, O, O, O, O, O, C, C, C, C, N, N, O, O, S, C, N, C, C],
    [N, S, S, S, S, N, O, S, C, C, N, N, C, N, C, N, N, S, C],
    [N, S, N, N, N, N, C, O, S, C, N, N, C, N, S, C, N, N, C],
    [N, S, N, S, S, N, C, S, O, C, N, N, C, S, S, C, N, S, C],
    [N, S, N, N, N, N, C, N, C, O, N, N, C, N, S, C, N, S, C],
    [S, S, S, S, S, S, S, S, S, S, O, N, S, S, S, S, S, S, S],
    [S, S, S, S, S, S, S, S, S, S, N, O, S, S, S, S, S, S, S],
    [N, S, N, S, S, N, C, S, C, C, N, N, O, S, S, C, N, S, C],
    [N, N, O, N, O, O, C, C, C, C, N, N, N, O, S, C, N, C, C],
    [N, S, S, S, S, N, S, S, S, C, N, N, C, N, O, C, N, S, C],
    [N, S, S, S, S, N, S, S, C, C, N, N, C, N, C, O, N, S, C],
    [C, S, N, S, S, N, C, S, S, C, N, N, C, S, S, C, O, S, C],
    [N, S, N, N, N, N, C, N, C, C, N, N, C, N, S, C, N, O, C],
    [N, S, N, S, S, N, C, S, C, C, N, N, C, N, S, C, N, S, O],
];

fn address(peer: &str) -> SocketAddr {
    match peer {
        "cassandra" => servers::cassandra::shared().addr(),
        "clickhouse" => servers::clickhouse::shared().addr(),
        "clickhouse, native port" => servers::clickhouse::shared().native_addr(),
        "consul" => servers::consul::shared().addr(),
        "elasticsearch" => servers::search::Elasticsearch::shared().addr(),
        "http" => servers::nginx::shared().http(),
        "kafka" => servers::kafka::shared().addr(),
        "memcached" => servers::memcached::shared().addr(),
        "mongodb" => servers::mongodb::shared().addr(),
        "mqtt" => servers::mosquitto::shared().addr(),
        "mysql" => servers::mysql::shared().addr(),
        "nats" => servers::nats::shared().addr(),
        "neo4j" => servers::neo4j::shared().addr(),
        "opensearch" => servers::search::Opensearch::shared().addr(),
        "oracle" => servers::oracle::shared().addr(),
        "postgres" => servers::postgres::shared().addr(),
        "rabbitmq" => servers::rabbitmq::shared().addr(),
        "redis" => servers::redis::shared().addr(),
        _ => servers::sqlserver::shared().addr(),
    }
}

/// What is wrong with a meeting; the proxy in between knows what the peer said.
fn mistake(kind: &str, (peer, name): (&str, &str), meeting: Meeting) -> Option<String> {
    const PROMPT: Duration = Duration::from_secs(1);
    let proxy = FaultProxy::start(address(peer));
    let scheme = match kind {
        "clickhouse" | "consul" | "elasticsearch" | "opensearch" => "http",
        "neo4j" => "bolt",
        "rabbitmq" => "amqp",
        own => own,
    };
    // A listener is told whom it is asked for.
    let path = if kind == "oracle" { "/service" } else { "" };
    // Nobody is let in there without a name.
    let user = if kind == "sqlserver" { "probe@" } else { "" };
    let probe = Asked::new(kind, json!({ "url": format!("{scheme}://{user}{}{path}", proxy.addr()) }));
    let outcome = probe.run_within(if meeting == S { PROMPT / 2 } else { 3 * PROMPT });
    let in_time = outcome.duration < PROMPT + late();
    let said = proxy.bytes_down() > 0;
    (!(in_time && is_so(meeting, name, said, &outcome)))
        .then(|| format!("{kind} at the port of {peer}: not {meeting:?}, {} bytes came: {outcome:#?}", proxy.bytes_down()))
}

fn is_so(meeting: Meeting, name: &str, said: bool, outcome: &Outcome) -> bool {
    let failure = outcome.failure.as_ref();
    let kind = failure.map(|failure| failure.kind);
    let hinted = failure.is_some_and(|failure| failure.remedy.contains("another protocol"));
    match meeting {
        Meeting::Same => !matches!(kind, Some(FailureKind::Protocol | FailureKind::Timeout)),
        Meeting::Named => {
            // Who is named has spoken, whether or not the proxy has counted it yet.
            kind == Some(FailureKind::Protocol) && failure.is_some_and(|failure| failure.message.contains(name))
        }
        // What closes instead of its first word is most likely full, where that is how it is full.
        Meeting::Closed => !said && hinted && matches!(kind, Some(FailureKind::ConnectionLost | FailureKind::Overload)),
        // Some say what they think of us once we have hung up. On a busy machine the net around a run may say it instead.
        Meeting::Silent => kind == Some(FailureKind::Timeout) && (hinted || outcome.abandoned),
    }
}

#[test]
fn every_backend_says_what_it_met_at_the_port_of_every_other() {
    // Who asks needs no server of its own.
    let there: Vec<_> = BACKENDS.into_iter().filter(|backend| require(backend)).collect();
    let is_there = |(peer, _): &(&str, &str)| there.iter().any(|backend| peer.split(',').next() == Some(backend));
    // A server that starts takes the machine's time from whoever is being measured.
    for (peer, _) in PEERS.iter().filter(|peer| is_there(peer)) {
        address(peer);
    }
    let ask = |kind, meetings| {
        let met = PEERS.into_iter().zip(meetings).filter(|(peer, _)| is_there(peer));
        met.filter_map(|(peer, meeting)| mistake(kind, peer, meeting)).collect::<Vec<_>>()
    };
    let mistakes: Vec<_> = thread::scope(|scope| {
        let rows = BACKENDS.into_iter().zip(MEETINGS);
        let asking: Vec<_> = rows.map(|(kind, meetings)| scope.spawn(move || ask(kind, meetings))).collect();
        asking.into_iter().flat_map(|row| row.join().expect("it does not panic")).collect()
    });
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
