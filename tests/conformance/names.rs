//! Names that do not resolve, resolve late, or stop resolving.

use std::time::{Duration, Instant};

use probity_probes::wire::resolve::Resolver;
use probity_probes::{Options, Phase, Status};

use super::{backends, probe_with, words};
use crate::support::dns::{Answer, DnsServer};
use crate::support::pace::late;
use crate::support::peers;

fn asking(server: &DnsServer) -> Options {
    Options { resolver: Resolver::Server(server.addr()), ..Options::default() }
}

#[test]
fn a_name_without_address_says_why() {
    let dns = DnsServer::start();
    dns.set("nodata.example", Answer::NoData);
    dns.set("servfail.example", Answer::Servfail);
    dns.set("refused.example", Answer::Refused);
    for (kind, entry) in backends() {
        for code in ["nxdomain", "nodata", "servfail", "refused"] {
            let outcome = probe_with(kind, &entry, &format!("{code}.example:1"), asking(&dns)).run();
            assert_eq!(words(&outcome), ("dns", "resolve", code), "{kind}: {outcome:#?}");
            let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
            assert!(message.contains(&format!("{code}.example")), "{kind}: {message}");
            assert!(outcome.duration < Duration::from_millis(500), "{kind}: {:?}", outcome.duration);
        }
    }
}

/// A look-up has one second of a run, whose deadline may come first.
#[test]
fn a_silent_resolver_is_cut_at_its_budget() {
    let dns = DnsServer::start();
    dns.set("silent.example", Answer::Silent);
    for (kind, entry) in backends() {
        let probe = probe_with(kind, &entry, "silent.example:1", asking(&dns));
        for (timeout, budget) in [(3000, 1000), (300, 300)].map(|(a, b)| (Duration::from_millis(a), Duration::from_millis(b))) {
            let outcome = probe.run_within(timeout);
            assert_eq!(words(&outcome), ("dns", "resolve", "timeout"), "{kind}: {outcome:#?}");
            assert!(outcome.duration >= budget && outcome.duration < budget + late(), "{kind}: {:?}", outcome.duration);
        }
    }
}

#[test]
fn a_slow_answer_is_waited_for() {
    let dns = DnsServer::start();
    let own = Answer::Addresses(vec![[127, 0, 0, 1].into()]);
    dns.set("slow.example", Answer::After(Duration::from_millis(300), Box::new(own)));
    let refused = peers::refused();
    for (kind, entry) in backends() {
        let outcome = probe_with(kind, &entry, &format!("slow.example:{}", refused.addr().port()), asking(&dns)).run();
        assert_eq!(words(&outcome), ("connect_refused", "connect", ""), "{kind}: {outcome:#?}");
        assert!(outcome.phases.get(Phase::Resolve).is_some_and(|took| took >= Duration::from_millis(300)), "{kind}");
    }
}

/// Each look-up asks anew: an answer from memory would not tell whether names resolve.
#[test]
fn nothing_is_remembered_and_the_next_address_is_tried() {
    let dns = DnsServer::start();
    let (good, absent) = (peers::black_hole(), "127.0.0.99");
    let addresses = |texts: &[&str]| Answer::Addresses(texts.iter().map(|text| text.parse().expect("an address")).collect());
    // MySQL is never dialled without a log-in.
    for (kind, entry) in backends().filter(|(kind, _)| *kind != "mysql") {
        dns.set("two.example", addresses(&[absent, "127.0.0.1"]));
        let options = Options { depth: probity_probes::Depth::Connect, ..asking(&dns) };
        let probe = probe_with(kind, &entry, &format!("two.example:{}", good.addr().port()), options);
        let outcome = probe.run();
        assert_eq!((outcome.status, outcome.failure), (Status::Healthy, None), "{kind}");
        dns.set("two.example", Answer::Nxdomain);
        assert_eq!(words(&probe.run()), ("dns", "resolve", "nxdomain"), "{kind}");
    }
}

#[test]
fn an_address_needs_no_resolver() {
    let dns = DnsServer::start();
    let refused = peers::refused();
    for (kind, entry) in backends() {
        let outcome = probe_with(kind, &entry, &refused.addr().to_string(), asking(&dns)).run();
        assert_eq!(words(&outcome), ("connect_refused", "connect", ""), "{kind}");
        assert_eq!(outcome.phases.get(Phase::Resolve), None, "{kind}");
    }
    assert_eq!(dns.questions(), Vec::<String>::new());
}

/// Dropping a run that waits for a resolver ends at once.
#[test]
fn a_look_up_can_be_dropped() {
    let dns = DnsServer::start();
    dns.set("silent.example", Answer::Silent);
    for (kind, entry) in backends() {
        let probe = probe_with(kind, &entry, "silent.example:1", asking(&dns));
        let before = Instant::now();
        assert!(probe.dropped_after(Duration::from_millis(50)), "{kind}");
        assert!(before.elapsed() < Duration::from_millis(500), "{kind}");
        crate::support::eventually(Duration::from_secs(5), "its tasks have ended", || (probe.tasks() == 0).then_some(()));
    }
}
