//! Servers that are there already: `PROBITY_TEST_REDIS_URL=rediss://me@cache:6380` has them asked what our own are asked.
//!
//! Only what does no harm: nothing is written, nobody logs in with a wrong password, and no process is touched. What is
//! done to a network is done in a proxy of our own in front of it. The sick states of `tests/live` need servers of ours.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use probity_probes::{Depth, Entry, FailureKind, Finding, Options, Outcome, Phase, SessionKind, find};
use serde_json::Value;

use super::BACKENDS;
use crate::support::fault::{Fault, FaultProxy};
use crate::support::pace::late;
use crate::support::probe::Asked;

/// A server of somebody else's, as the environment tells of it.
struct Given {
    kind: &'static str,
    entry: &'static Entry,
    config: Value,
    /// What no outcome may repeat.
    secrets: Vec<String>,
}

impl Given {
    /// The catalog entry for a backend, if there is a server for it.
    #[track_caller]
    fn of(kind: &'static str) -> Option<Self> {
        let told = |what: &str| std::env::var(variable(kind, what)).ok().filter(|told| !told.is_empty());
        let Some(url) = told("URL") else {
            eprintln!("SKIPPED {kind}: {} names no server", variable(kind, "URL"));
            return None;
        };
        let keys = told("KEYS").unwrap_or_default();
        let mut config: Value = toml::from_str(&keys).expect("the further keys are TOML, as in a catalog");
        let password = told("PASSWORD");
        if let Some(password) = &password {
            config["password"] = password.as_str().into();
        }
        let in_url =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).and_then(|(login, _)| login.split_once(':'));
        let in_url = in_url.map(|(_, password)| password.to_owned());
        config["url"] = url.into();
        // A short one is in every outcome by chance.
        let secrets = [password, in_url].into_iter().flatten().filter(|secret| secret.len() >= 6).collect();
        let entry = find(kind).expect("every backend is in this build");
        Some(Self { kind, entry, config, secrets })
    }

    fn probe(&self, depth: Depth) -> Asked {
        Asked::with(self.kind, self.config.clone(), Options { depth, ..Options::default() })
    }

    /// What is true of every outcome, whatever the server is.
    #[track_caller]
    fn look(&self, outcome: &Outcome, within: Duration) {
        let text = format!("{outcome:?}");
        assert!(self.secrets.iter().all(|secret| !text.contains(secret)), "a password leaks");
        assert!(outcome.duration <= within + late(), "{:?} of {within:?}: {outcome:#?}", outcome.duration);
    }

    /// One run that must reach its depth.
    #[track_caller]
    fn expect(&self, probe: &Asked, depth: Depth) -> Outcome {
        let outcome = probe.run();
        self.look(&outcome, Duration::from_secs(3));
        assert!(outcome.failure.is_none() && outcome.depth >= Some(depth), "{} does not answer: {outcome:#?}", self.kind);
        outcome
    }

    /// The same server behind a proxy of ours; none where the URL names several, or leads to others by itself.
    fn behind_proxy(&self) -> Option<(FaultProxy, Value)> {
        let url = self.config["url"].as_str()?;
        let (scheme, rest) = url.split_once("://")?;
        let (login, place) = rest.split_at(rest.find('@').map_or(0, |at| at + 1));
        let (place, path) = place.split_at(place.find(['/', '?']).unwrap_or(place.len()));
        let named = place.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let usual = self.entry.example.split_once("localhost:")?.1;
        let usual = usual.split(|letter: char| !letter.is_ascii_digit()).next()?;
        let (host, port) = named.unwrap_or((place, usual));
        let server = (host.trim_matches(['[', ']']), port.parse().ok()?).to_socket_addrs().ok()?.find(SocketAddr::is_ipv4)?;
        let proxy = FaultProxy::start(server);
        let mut config = self.config.clone();
        config["url"] = format!("{scheme}://{login}{}{path}", proxy.addr()).into();
        let plain = Asked::with(self.kind, config.clone(), Options::default()).run();
        // The certificate is still that of the host behind it.
        if plain.failure.is_some_and(|failure| failure.kind == FailureKind::Tls) {
            config["tls"]["server_name"] = host.into();
        }
        Some((proxy, config))
    }
}

/// What is asked of any server that is well, or not quite.
#[track_caller]
fn ring(kind: &'static str) {
    let Some(given) = Given::of(kind) else { return };
    for (depth, phase) in [(Depth::Connect, Phase::Connect), (Depth::Handshake, Phase::Connect), (Depth::Query, Phase::Query)] {
        let outcome = given.expect(&given.probe(depth), depth);
        assert!(outcome.phases.get(phase).is_some(), "{outcome:#?}");
    }
    let probe = given.probe(Depth::Deep);
    let fresh = given.expect(&probe, Depth::Deep);
    eprintln!("{kind} is {} after {:?}; missing: {:?}", fresh.status, fresh.duration, fresh.missing);
    fresh.findings.iter().map(Finding::to_string).for_each(|finding| eprintln!("  finding  {finding}"));
    fresh.facts.iter().for_each(|(name, value)| eprintln!("  {name} = {value}"));
    assert!(fresh.facts.contains_key("remote_address"), "{fresh:#?}");
    let own = given.entry.manual.facts;
    assert!(own.iter().any(|row| fresh.facts.contains_key(row.name)), "nothing is known of it: {fresh:#?}");

    let again = given.expect(&probe, Depth::Deep);
    assert!(again.session == Some(SessionKind::Warm) || again.reconnected, "{again:#?}");
    let brief = Duration::from_millis(1);
    given.look(&given.probe(Depth::Deep).run_within(brief), brief);
    probe.close();

    match given.behind_proxy() {
        Some((proxy, config)) => given.bad_network(&proxy, &config),
        None => eprintln!("{kind} is not asked through a bad network: no single address is known of it"),
    }
}

impl Given {
    /// A network that swallows everything, drops the connection, and floods.
    #[track_caller]
    fn bad_network(&self, proxy: &FaultProxy, config: &Value) {
        const SHORT: Duration = Duration::from_secs(1);
        let warm = Asked::new(self.kind, config.clone());
        self.expect(&warm, Depth::Deep);
        proxy.cut();
        assert!(warm.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
        assert!(self.expect(&warm, Depth::Deep).reconnected);
        for (fault, kinds) in [
            (Fault::Stall, &[FailureKind::Timeout][..]),
            (Fault::Flood, &[FailureKind::Protocol, FailureKind::Timeout, FailureKind::Tls][..]),
        ] {
            // Of its own: one whose TLS has failed may have to pause.
            let warm = Asked::new(self.kind, config.clone());
            self.expect(&warm, Depth::Deep);
            proxy.set(fault);
            let outcome = warm.run_within(SHORT);
            self.look(&outcome, SHORT);
            let kind = outcome.failure.as_ref().map(|failure| failure.kind);
            assert!(kind.is_some_and(|kind| kinds.contains(&kind)), "{fault:?}: {outcome:#?}");
            proxy.set(Fault::Pass);
        }
        self.expect(&Asked::new(self.kind, config.clone()), Depth::Deep);
    }
}

fn variable(kind: &str, what: &str) -> String {
    format!("PROBITY_TEST_{}_{what}", kind.to_uppercase())
}

macro_rules! given_tests {
    ($($kind:ident)*) => {
        $(#[test]
        fn $kind() {
            ring(stringify!($kind));
        })*

        #[test]
        fn every_backend_can_be_given() {
            assert_eq!([$(stringify!($kind)),*], BACKENDS);
        }
    };
}

given_tests! { cassandra clickhouse consul elasticsearch http kafka memcached mongodb mqtt mysql nats neo4j opensearch oracle postgres rabbitmq redis sqlserver }
