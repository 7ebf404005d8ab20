//! Names that stand for hosts: `mongodb+srv://`, with a name server of ours.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use mongodb::bson::doc;
use probity_probes::wire::resolve::Resolver;
use probity_probes::{Depth, FailureKind, Options, Outcome, Phase, SessionKind, Status, find};
use serde_json::{Value as Json, json};

use super::members::{hello, primary, well};
use super::{code, fact};
use crate::support::dns::{Answer, DnsServer};
use crate::support::pace::late;
use crate::support::peers;
use crate::support::probe::{Asked, with};
use crate::support::require;
use crate::support::servers::mongodb::{DATABASE, MongoDb, Scripted};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, State, check, states};

states! { "mongodb":
    NAMED = "well, behind a name", "mongodb+srv, whose TLS nobody has to ask for" => Expected::HEALTHY;
    PLAIN = "well, behind a name without TLS", "tls=false" => Expected::HEALTHY;
    FIRST_DOWN = "the first host of a name is down", "two hosts in the SRV record" => Expected::degraded("address_failing");
    ALL_DOWN = "the hosts of a name are down", "the same, nobody listens at either" => Expected::fails(FailureKind::ConnectRefused);
    PRIMARY = "the primary stands behind a name", "the second of two hosts in the SRV record" => Expected::HEALTHY;
    BALANCED = "a load balancer stands behind a name", "loadBalanced=true in the TXT record" => Expected::HEALTHY;
    TOLD = "the TXT record says where the user is", "authSource and replicaSet at FerretDB" => Expected::HEALTHY;
    OTHER_SOURCE = "the URL says where the user is, and is wrong", "authSource in URL and TXT record" => Expected::fails(FailureKind::Auth);
    OTHER_SET = "another set than the TXT record says", "replicaSet=rs1 there" => Expected::fails(FailureKind::Config);
    BAD_TEXT = "a TXT record with more than may be in it", "tls=false there" => Expected::fails(FailureKind::Dns);
    TWO_TEXTS = "two TXT records", "there may be one" => Expected::fails(FailureKind::Dns);
    FOREIGN = "a name leads to strangers", "a host of another domain in the SRV record" => Expected::fails(FailureKind::Dns);
    UNKNOWN = "a name that nobody knows", "NXDOMAIN" => Expected::fails(FailureKind::Dns);
    EMPTY = "a name without hosts", "no SRV record, or none but that of a service not offered" => Expected::fails(FailureKind::Dns);
    BROKEN = "the name server is broken", "SERVFAIL" => Expected::fails(FailureKind::Dns);
    SILENT = "the name server is silent", "no answer, for the SRV or the TXT record" => Expected::fails(FailureKind::Dns);
    LOST_HOST = "a host of a name does not resolve", "an SRV record without an address" => Expected::fails(FailureKind::Dns);
    FORGOTTEN = "a name is gone beside a warm session", "NXDOMAIN when a fresh one is due" => Expected::degraded("dns_failing");
}

const NAME: &str = "db.cluster.example";
const SERVICE: &str = "_mongodb._tcp.db.cluster.example";

/// A name server that knows the addresses of two hosts.
fn dns() -> DnsServer {
    let dns = DnsServer::start();
    for host in ["a", "b"] {
        dns.set(&host_name(host), Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()]));
    }
    dns
}

fn host_name(host: &str) -> String {
    format!("{host}.cluster.example")
}

/// The hosts `a`, `b` and so on at these addresses, the last one first.
fn hosts(addrs: &[SocketAddr]) -> Answer {
    let named = ["a", "b"].iter().zip(addrs).rev();
    Answer::Services(named.map(|(host, addr)| (format!("{}.", host_name(host)), addr.port())).collect())
}

fn text(text: &str) -> Answer {
    Answer::Texts(vec![text.to_owned()])
}

fn asking(dns: &DnsServer) -> Options {
    Options { resolver: Resolver::Server(dns.addr()), ..Options::default() }
}

fn entry(rest: &str, keys: Json) -> Json {
    with(json!({ "url": format!("mongodb+srv://{NAME}/{rest}"), "degraded": { "connections": 1.0 } }), keys)
}

/// With the authority of the server.
fn trusting() -> Json {
    entry("", json!({ "tls": { "ca": Ca::shared().certificate() } }))
}

fn probe(dns: &DnsServer, rest: &str) -> Asked {
    Asked::with("mongodb", entry(rest, json!({})), asking(dns))
}

#[track_caller]
fn expect(state: &State, dns: &DnsServer, rest: &str) -> Outcome {
    let outcome = probe(dns, rest).run();
    check(state, &outcome);
    outcome
}

/// A server with TLS for the names of the hosts alone.
fn server() -> &'static MongoDb {
    static SERVER: LazyLock<MongoDb> = LazyLock::new(|| {
        let leaf = Leaf::server().names(&["a.cluster.example", "b.cluster.example"]);
        MongoDb::builder().identity(&Ca::shared().issue(&leaf)).start()
    });
    &SERVER
}

#[test]
fn a_name_is_looked_up_for_a_session_and_not_while_it_lives() {
    if !require("mongodb") {
        return;
    }
    let dns = dns();
    dns.set(SERVICE, hosts(&[server().addr()]));
    let probe = Asked::with("mongodb", trusting(), asking(&dns));
    let outcome = probe.run();
    check(&NAMED, &outcome);
    assert_eq!((fact(&outcome, "srv_hosts"), fact(&outcome, "remote_address")), ("1".into(), server().addr().to_string()));
    assert!(outcome.phases.get(Phase::Resolve).is_some() && outcome.phases.get(Phase::Tls).is_some(), "{outcome:#?}");
    let asked = dns.questions();
    for question in [format!("{SERVICE} SRV"), format!("{NAME} TXT"), "a.cluster.example A".to_owned()] {
        assert_eq!(asked.iter().filter(|other| **other == question).count(), 1, "{asked:?}");
    }
    for _ in 0..20 {
        let outcome = probe.run();
        check(&NAMED, &outcome);
        assert_eq!((outcome.session, fact(&outcome, "srv_hosts")), (Some(SessionKind::Warm), "1".into()));
    }
    assert_eq!(dns.questions(), asked);
    // Another process asks anew.
    check(&NAMED, &Asked::with("mongodb", trusting(), asking(&dns)).run());
    assert_eq!(dns.questions().len(), 2 * asked.len());
}

#[test]
fn a_name_that_is_gone_is_told_while_the_session_lives() {
    if !require("mongodb") {
        return;
    }
    let dns = dns();
    dns.set(SERVICE, hosts(&[server().addr()]));
    let probe = Asked::with("mongodb", trusting(), Options { fresh_every: Duration::ZERO, ..asking(&dns) });
    check(&NAMED, &probe.run());
    dns.set(SERVICE, Answer::Nxdomain);
    let outcome = probe.run();
    check(&FORGOTTEN, &outcome);
    assert_eq!(outcome.session, Some(SessionKind::Warm));
    dns.set(SERVICE, hosts(&[server().addr()]));
    check(&NAMED, &probe.run());
}

#[test]
fn a_name_is_enough_for_a_connection() {
    if !require("mongodb") {
        return;
    }
    let dns = dns();
    dns.set(SERVICE, hosts(&[peers::refused().addr(), server().addr()]));
    let probe = Asked::with("mongodb", trusting(), Options { depth: Depth::Connect, ..asking(&dns) });
    let outcome = probe.run();
    check(&FIRST_DOWN, &outcome);
    assert_eq!((fact(&outcome, "srv_hosts"), outcome.depth), ("2".into(), Some(Depth::Connect)));
}

#[test]
fn hosts_of_a_name_are_asked_as_if_the_url_had_them() {
    if !require("mongodb") {
        return;
    }
    let (dns, down) = (dns(), [peers::refused(), peers::refused()]);
    dns.set(SERVICE, hosts(&[down[0].addr(), server().addr()]));
    let outcome = Asked::with("mongodb", trusting(), asking(&dns)).run();
    check(&FIRST_DOWN, &outcome);
    let first = format!("a.cluster.example:{} (connect_refused)", down[0].addr().port());
    assert_eq!((outcome.findings[0].observed.to_string(), fact(&outcome, "srv_hosts")), (first, "2".into()));
    dns.set(SERVICE, hosts(&[down[0].addr(), down[1].addr()]));
    let outcome = Asked::with("mongodb", trusting(), asking(&dns)).run();
    check(&ALL_DOWN, &outcome);
    assert_eq!(fact(&outcome, "srv_hosts"), "2", "{outcome:#?}");
}

#[test]
fn the_primary_is_found_among_the_hosts_of_a_name() {
    let (dns, peers) = (dns(), [hello(doc! {}), primary()].map(|hello| Scripted::member(hello, well())));
    dns.set(SERVICE, hosts(&peers.each_ref().map(Scripted::addr)));
    dns.set(NAME, text("replicaSet=rs0"));
    let probe = probe(&dns, "?tls=false");
    for kind in [SessionKind::Fresh, SessionKind::Warm] {
        let outcome = probe.run();
        check(&PRIMARY, &outcome);
        assert_eq!((outcome.session, fact(&outcome, "role")), (Some(kind), "primary".into()));
        assert_eq!(fact(&outcome, "remote_address"), peers[1].addr().to_string());
    }
    // It stepped down: the hosts are looked up and looked at again.
    let asked = dns.questions().len();
    peers[0].tell("hello", primary());
    peers[1].tell("hello", hello(doc! {}));
    let outcome = probe.run();
    check(&PRIMARY, &outcome);
    assert_eq!((outcome.reconnected, fact(&outcome, "remote_address")), (true, peers[0].addr().to_string()));
    assert!(dns.questions().len() > asked);
}

/// Such servers refuse who does not say that he knows.
#[test]
fn a_load_balancer_is_told_that_it_is_known() {
    let router = doc! { "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 25, "ok": 1.0 };
    let (dns, peer) = (dns(), Scripted::member(router, doc! {}));
    dns.set(SERVICE, hosts(&[peer.addr()]));
    dns.set(NAME, text("loadBalanced=true"));
    expect(&BALANCED, &dns, "?tls=false");
    expect(&PLAIN, &dns, "?tls=false&loadBalanced=false");
    let first_words = peer.asked().into_iter().filter(|asked| asked.contains_key("client"));
    let known: Vec<_> = first_words.map(|asked| asked.get_bool("loadBalanced").unwrap_or(false)).collect();
    assert_eq!(known, [true, false]);
    let failure = expect(&BAD_TEXT, &dns, "?tls=false&replicaSet=rs0").failure.expect("it failed");
    assert_eq!(failure.code.as_deref(), Some("txt"));
}

#[test]
fn the_txt_record_says_what_the_url_leaves_open() {
    if !require("ferretdb") {
        return;
    }
    let (dns, server) = (dns(), MongoDb::ferretdb(true));
    dns.set(SERVICE, hosts(&[server.addr()]));
    dns.set(NAME, text(&format!("authSource={DATABASE}&replicaSet=rs0")));
    let run = |rest: &str| {
        let keys = json!({ "username": USER, "password": PASSWORD });
        Asked::with("mongodb", entry(&format!("?tls=false{rest}"), keys), asking(&dns)).run()
    };
    let outcome = run("");
    check(&TOLD, &outcome);
    assert_eq!(fact(&outcome, "set_name"), "rs0");
    let outcome = run("&authSource=admin");
    check(&OTHER_SOURCE, &outcome);
    assert_eq!(code(&outcome), Some("18"));
    dns.set(NAME, text(&format!("authSource={DATABASE}&replicaSet=rs1")));
    let outcome = run("");
    check(&OTHER_SET, &outcome);
    assert_eq!(code(&outcome), Some("set_name"));
    check(&TOLD, &run("&replicaSet=rs0"));
}

/// All before anybody is connected to.
#[test]
fn records_that_cannot_be_used_say_why() {
    let (dns, hole) = (dns(), peers::black_hole());
    let foreign = Answer::Services(vec![("a.cluster.example.".into(), 1), ("a.stranger.example.".into(), hole.addr().port())]);
    let not_offered = Answer::Services(vec![(".".into(), 0)]);
    let (good, none) = (hosts(&[hole.addr()]), Answer::NoData);
    let two = Answer::Texts(vec!["authSource=a".into(), "replicaSet=b".into()]);
    for (state, service, text, code, words) in [
        (&FOREIGN, &foreign, &none, "foreign_host", "names a host that is not of cluster.example"),
        (
            &BAD_TEXT,
            &good,
            &text("tls=false"),
            "txt",
            "the TXT record of db.cluster.example cannot be used: unknown option; known are",
        ),
        (&TWO_TEXTS, &good, &two, "txt", "there is more than one"),
        (&UNKNOWN, &Answer::Nxdomain, &none, "nxdomain", "the name _mongodb._tcp.db.cluster.example does not exist"),
        (&EMPTY, &none, &none, "nodata", "the name _mongodb._tcp.db.cluster.example exists, but has no SRV record"),
        (&EMPTY, &not_offered, &none, "nodata", "has no SRV record"),
        (&BROKEN, &Answer::Servfail, &none, "servfail", "failed to look up _mongodb._tcp.db.cluster.example"),
        (&BROKEN, &good, &Answer::Servfail, "servfail", "failed to look up db.cluster.example"),
    ] {
        dns.set(SERVICE, service.clone());
        dns.set(NAME, text.clone());
        let outcome = expect(state, &dns, "");
        let failure = outcome.failure.expect("it failed");
        assert_eq!((failure.phase, failure.code.as_deref()), (Some(Phase::Resolve), Some(code)), "{failure:#?}");
        assert!(failure.message.contains(words), "{failure:#?}");
        assert!(outcome.duration < Duration::from_millis(500) + late(), "{:?}", outcome.duration);
    }
    assert_eq!(hole.accepted(), 0);
    dns.set(NAME, Answer::Nxdomain);
    dns.set(SERVICE, Answer::Services(vec![("c.cluster.example.".into(), hole.addr().port())]));
    let failure = expect(&LOST_HOST, &dns, "").failure.expect("it failed");
    assert_eq!((failure.phase, failure.code.as_deref()), (Some(Phase::Resolve), Some("nxdomain")), "{failure:#?}");
}

#[test]
fn a_silent_name_server_is_cut_at_its_budget() {
    let dns = dns();
    for silent in [SERVICE, NAME] {
        dns.set(SERVICE, hosts(&[peers::refused().addr()]));
        dns.set(silent, Answer::Silent);
        for (timeout, budget) in [(3000, 1000), (300, 300)].map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b))) {
            let outcome = probe(&dns, "").run_within(timeout);
            check(&SILENT.within(budget), &outcome);
            let failure = outcome.failure.expect("it failed");
            assert_eq!((failure.phase, failure.code.as_deref()), (Some(Phase::Resolve), Some("timeout")), "{failure:#?}");
            assert!(failure.message.ends_with("did not answer in time for _mongodb._tcp.db.cluster.example"), "{failure:#?}");
        }
    }
    assert!(probe(&dns, "").dropped_after(Duration::from_millis(50)));
}

#[test]
fn another_service_is_asked_for_by_its_word() {
    let (dns, peer) = (dns(), Scripted::member(primary(), well()));
    dns.set("_mongo-x._tcp.db.cluster.example", hosts(&[peer.addr()]));
    let outcome = expect(&PLAIN, &dns, "?tls=false&srvServiceName=mongo-x");
    assert_eq!((fact(&outcome, "srv_hosts"), outcome.status), ("1".into(), Status::Healthy));
}

#[test]
fn mistakes_of_the_catalog_are_told_before_anybody_is_asked() {
    let mongodb = find("mongodb").expect("it is built");
    for (url, why) in [
        ("mongodb+srv://db.cluster.example:27017/", "the URL names a port: it is looked up together with the hosts"),
        ("mongodb+srv://a.b.c,d.b.c/", "the URL names several hosts: there is one name, and its hosts are looked up"),
        ("mongodb+srv://127.0.0.1/", "the URL names an address: hosts are looked up by a name"),
        ("mongodb+srv:///app", "the URL names no host"),
        ("mongodb+srv://a..b/", "the host is not a name that can be looked up"),
        ("mongodb+srv://a.b.c/?loadBalanced=maybe", "`loadBalanced` is `true` or `false`"),
        ("mongodb+srv://a.b.c/?loadBalanced=true&replicaSet=rs0", "`loadBalanced=true` contradicts `replicaSet`"),
        ("mongodb://a,b/?loadBalanced=true", "`loadBalanced=true` goes with one host only"),
        ("mongodb+srb://a.b.c/", "unknown URL scheme `mongodb+srb`; did you mean `mongodb+srv`?"),
    ] {
        let Err(error) = mongodb.build(json!({ "url": url }), Options::default()) else { panic!("{url} was taken") };
        assert_eq!((error.key.as_str(), error.message.as_str()), ("url", why), "{url}");
    }
    let contradiction = json!({ "url": "mongodb+srv://a.b.c/?tls=false", "tls": {} });
    let Err(error) = mongodb.build(contradiction, Options::default()) else { panic!("it was taken") };
    assert_eq!(error.message, "`tls=false` contradicts the `tls` table");
}
