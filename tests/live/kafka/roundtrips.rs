//! A record that is written by librdkafka and read from where it went.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use probity_probes::{Depth, FailureKind, Options, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{BARE, USER, as_user, code, entry};
use crate::support::agent::Agent;
use crate::support::alone::alone;
use crate::support::probe::Asked;
use crate::support::procfs::{fds, rss, threads};
use crate::support::servers::kafka::{CANARY, Kafka, Right, shared};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, peers, require};

states! { "kafka":
    WRITTEN = "a record goes and comes", "depth = roundtrip" => Expected::HEALTHY;
    SECURED = "the same with TLS", "SCRAM by TLS, and a client certificate" => Expected::HEALTHY;
    NO_CANARY = "no topic to write to", "canary_topic is not there" => Expected::fails(FailureKind::Config);
    READ_ONLY = "a user who may not write", "no WRITE on the topic" => Expected::fails(FailureKind::Permission);
    COMPRESSED = "a topic that compresses", "compression.type = gzip" => Expected::fails(FailureKind::Config);
    CUT_OFF = "the broker hangs up on the library", "the third connection to the leader is closed, as by a limit of connections"
        => Expected::fails(FailureKind::ConnectionLost);
    HIDDEN = "the leader cannot be reached from here", "advertised.listeners with a closed port" => Expected::fails(FailureKind::ConnectRefused);
    RENAMED = "a certificate for another name, with a round trip", "tls.server_name" => Expected::fails(FailureKind::Config);
}

/// A round trip in every run.
pub(super) fn every_time() -> Options {
    Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() }
}

fn writing(addr: SocketAddr, keys: Json) -> Asked {
    Asked::with("kafka", entry(addr, keys), every_time())
}

fn tls(addr: SocketAddr, tls: &Json, mut keys: Json) -> Json {
    keys["url"] = format!("kafka+ssl://{addr}").into();
    keys["tls"] = tls.clone();
    keys
}

#[track_caller]
fn is_written(outcome: &Outcome) {
    assert_eq!((outcome.depth, outcome.phases.get(Phase::Roundtrip).is_some()), (Some(Depth::Roundtrip), true), "{outcome:#?}");
}

#[test]
fn a_record_goes_and_comes_by_every_way_in() {
    if !require("kafka") {
        return;
    }
    let server = shared();
    let outcome = writing(server.addr(), json!({})).run();
    check(&WRITTEN, &outcome);
    is_written(&outcome);
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        let mut keys = as_user(USER);
        keys["mechanism"] = mechanism.into();
        let outcome = writing(server.at("SASL"), keys.clone()).run();
        check(&WRITTEN, &outcome);
        is_written(&outcome);
        let ca = json!({ "ca": Ca::shared().certificate() });
        let outcome = writing(server.at("SASLTLS"), tls(server.at("SASLTLS"), &ca, keys)).run();
        check(&SECURED, &outcome);
        is_written(&outcome);
    }
    let client = Ca::shared().issue(&Leaf::client(USER));
    let owner = Kafka::builder().setting("super.users", format!("User:ANONYMOUS;User:CN={USER}")).start().with_canary();
    let files = json!({ "ca": client.ca, "cert": client.certificate, "key": client.key });
    let mutual = owner.at("MUTUAL");
    let outcome = writing(mutual, tls(mutual, &files, json!({}))).run();
    check(&SECURED, &outcome);
    is_written(&outcome);
    // Nobody has looked for a group, and no topic was made.
    assert_eq!(owner.client().topic_names(), [CANARY]);
}

/// With the producer's own setting the library would have it made, and with a consumer `__consumer_offsets` as well.
#[test]
fn no_topic_is_made_for_a_round_trip() {
    if !require("kafka") {
        return;
    }
    let server = Kafka::start();
    let outcome = writing(server.addr(), json!({})).run();
    check(&NO_CANARY, &outcome);
    assert_eq!(code(&outcome), Some("3"));
    assert_eq!(server.client().topic_names(), [""; 0]);
    let mut client = server.client();
    client.create_topic("squeezed", 1, 1, &[("compression.type", "gzip")]);
    let outcome = writing(server.addr(), json!({ "canary_topic": "squeezed" })).run();
    check(&COMPRESSED, &outcome);
    client.create_topic(CANARY, 1, 1, &[]);
    client.allow(BARE, &[Right::Look]);
    let outcome = writing(server.at("SASL"), as_user(BARE)).run();
    check(&READ_ONLY, &outcome);
    assert_eq!(code(&outcome), Some("29"));
    // A JVM takes a second for its first handshake.
    let ca = json!({ "ca": Ca::shared().certificate() });
    writing(server.at("TLS"), tls(server.at("TLS"), &ca, json!({}))).run();
    let ca = json!({ "ca": Ca::shared().certificate(), "server_name": "localhost" });
    let outcome = writing(server.at("TLS"), tls(server.at("TLS"), &ca, json!({}))).run();
    check(&RENAMED, &outcome);
}

/// It tells that all brokers are down, and that time is over, and neither is what happened.
#[test]
fn the_real_last_error_of_the_library_is_told_and_not_that_all_brokers_are_down() {
    if !require("kafka") {
        return;
    }
    let closed = peers::refused();
    let server = Kafka::builder().advertise("PLAINTEXT", closed.addr().port()).start().with_canary();
    let outcome = writing(server.addr(), json!({})).run();
    check(&HIDDEN, &outcome);
    let door = Door::open();
    let server = Kafka::builder().advertise("PLAINTEXT", door.port).start().with_canary();
    door.lead_to(server.addr());
    // One looks at the address, one is to read, and the third is the library's.
    let outcome = writing(server.addr(), json!({})).run_within(Duration::from_secs(2));
    check(&CUT_OFF, &outcome);
    let failure = outcome.failure.expect("it failed");
    assert_eq!(failure.code.as_deref(), Some("librdkafka -195"), "{failure:#?}");
    let words = failure.server_message.unwrap_or_default();
    assert!(words.contains(&door.port.to_string()) && !words.contains("brokers are down"), "{words}");
}

/// They are as many as there are brokers, and a few; while nothing is written there are none.
#[test]
fn the_threads_of_the_library_are_gone_after_each_round_trip() {
    const GROWTH: u64 = 8 << 20;
    if !(require("kafka") && alone("live::kafka::roundtrips::the_threads_of_the_library_are_gone_after_each_round_trip")) {
        return;
    }
    let server = Kafka::start().with_canary();
    let probe = writing(server.addr(), json!({}));
    let run = |count: usize| {
        for _ in 0..count {
            let outcome = probe.run();
            check(&WRITTEN, &outcome);
            is_written(&outcome);
        }
    };
    run(20);
    let own = std::process::id();
    eventually(Duration::from_secs(20), "the first ones have ended", || (library_threads() == 0).then_some(()));
    let (held, memory) = ((fds(own), threads(own)), rss(own));
    let started = Instant::now();
    let most = thread::scope(|scope| {
        let writes = scope.spawn(|| run(100));
        let mut most = 0;
        while !writes.is_finished() {
            most = most.max(library_threads());
            thread::yield_now();
        }
        writes.join().expect("they are written");
        most
    });
    eventually(Duration::from_secs(20), "threads and descriptors are as before", || {
        (library_threads() == 0 && (fds(own), threads(own)) <= held).then_some(())
    });
    let grown = rss(own).saturating_sub(memory);
    eprintln!("{most} threads of the library at most, {grown} bytes more, {:?} for 100", started.elapsed());
    // The library's own, one for the broker, one to begin with, the wrapper's, and the one that ends them.
    assert!((1..=6).contains(&most), "{most} threads");
    assert!(grown < GROWTH, "{grown} bytes more");
}

/// While a record is written they are counted by their names, for whoever scrapes the agent.
#[test]
fn the_threads_of_the_library_are_seen_from_outside() {
    if !require("kafka") {
        return;
    }
    let agent = Agent::start(&format!(
        "[dependencies.orders]\nbackend = \"kafka\"\nurl = \"kafka://{}\"\ninterval = \"200ms\"\ntimeout = \"190ms\"\n\
         depth = \"roundtrip\"\nroundtrip_interval = \"200ms\"\ncanary_topic = \"{CANARY}\"\n",
        shared().addr()
    ));
    eventually(PATIENCE, "they are named", || {
        let threads = agent.json("/engine/diagnostics")["process"]["threads"].clone();
        let is_counted = agent.get("/metrics").body.contains("probity_threads{name=\"rdk:");
        (is_counted && threads["rdk:main"].as_u64() >= Some(1)).then_some(())
    });
}

/// Threads of librdkafka and of its wrapper, which are named.
fn library_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("it has threads").flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| ["rdk:", "kafka-leaving", "producer poll"].iter().any(|start| name.starts_with(start))).count()
}

/// A way to a broker that lets two connections through and closes every other.
struct Door {
    port: u16,
    leads_to: Arc<OnceLock<SocketAddr>>,
}

impl Door {
    fn open() -> Self {
        const GUESTS: usize = 2;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let leads_to = Arc::new(OnceLock::<SocketAddr>::new());
        let there = Arc::clone(&leads_to);
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let broker = there.get().and_then(|addr| TcpStream::connect(addr).ok());
                if let Some(broker) = broker.filter(|_| number < GUESTS) {
                    for (from, to) in [(&client, &broker), (&broker, &client)] {
                        let [mut from, mut to] = [from, to].map(|end| end.try_clone().expect("a second descriptor"));
                        thread::spawn(move || {
                            let _ = std::io::copy(&mut from, &mut to);
                            let _ = to.shutdown(std::net::Shutdown::Write);
                        });
                    }
                }
            }
        });
        Self { port, leads_to }
    }

    fn lead_to(&self, broker: SocketAddr) {
        self.leads_to.set(broker).expect("it leads nowhere yet");
    }
}
