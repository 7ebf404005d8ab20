//! Several hosts in one URL, of which some are bad: the same for every backend that takes a list.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome, SessionKind};
use serde_json::Value;

use crate::support::fault::FaultProxy;
use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::truth::{Expected, State, TIMEOUT, check};

const DOWN: (&str, &str) = ("the first of two hosts is down", "nobody listens there");
const HANGING: (&str, &str) = ("the first of two hosts hangs", "it accepts and says nothing");
const SECOND_DOWN: (&str, &str) = ("the second of two hosts is down", "nobody listens there, and nobody asks");
const NONE_LEFT: (&str, &str) = ("all hosts are down", "nobody listens at either");
const NONE_ANSWERS: (&str, &str) = ("no host answers", "the first is down, the second says nothing");
const TAKEN_OVER: (&str, &str) = ("the host of the warm session goes down", "the second of two takes over");

/// The backends that take a list of hosts.
const TAKE_LISTS: [&str; 14] = [
    "cassandra",
    "clickhouse",
    "elasticsearch",
    "kafka",
    "mongodb",
    "mqtt",
    "mysql",
    "nats",
    "opensearch",
    "oracle",
    "postgres",
    "rabbitmq",
    "redis",
    "sqlserver",
];

/// It asks the others, too, and has a row of its own for that.
const LOOKS_BEHIND: &str = "cassandra";

/// What is true of each, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    let rows = [
        (DOWN, Expected::degraded("address_failing")),
        (HANGING, Expected::degraded("address_failing")),
        (SECOND_DOWN, Expected::HEALTHY),
        (NONE_LEFT, Expected::fails(FailureKind::ConnectRefused)),
        (NONE_ANSWERS, Expected::fails(FailureKind::Timeout)),
        (TAKEN_OVER, Expected::degraded("address_failing")),
    ];
    // A host that hangs has its part of the time.
    let of = move |backend| {
        let own = rows.into_iter().filter(move |(row, _)| *row != SECOND_DOWN || backend != LOOKS_BEHIND);
        own.map(move |((state, made), expected)| State::new(backend, state, made, expected).within(TIMEOUT))
    };
    TAKE_LISTS.into_iter().flat_map(of)
}

/// A good server, and how the entry for it is written.
pub(crate) struct Subject {
    kind: &'static str,
    server: SocketAddr,
    config: fn(SocketAddr) -> Value,
}

impl Subject {
    /// `config` is the entry for a server at an address.
    pub(crate) fn new(kind: &'static str, server: SocketAddr, config: fn(SocketAddr) -> Value) -> Self {
        Self { kind, server, config }
    }

    fn probe(&self, hosts: [SocketAddr; 2]) -> Asked {
        let mut config = (self.config)(hosts[0]);
        let [one, both] = [hosts[0].to_string(), hosts.map(|host| host.to_string()).join(",")];
        config["url"] = config["url"].as_str().expect("an entry has a URL").replace(&one, &both).into();
        Asked::with(self.kind, config, Options::default())
    }

    #[track_caller]
    fn expect(&self, row: (&str, &str), outcome: &Outcome) {
        let state = states().find(|state| (state.backend, state.state) == (self.kind, row.0));
        check(&state.expect("it has its row"), outcome);
    }

    /// And the fact says which one is in use.
    #[track_caller]
    pub(crate) fn a_host_that_is_down_is_passed_over(&self) {
        let absent = peers::refused();
        let probe = self.probe([absent.addr(), self.server]);
        for session in [SessionKind::Fresh, SessionKind::Warm] {
            let outcome = probe.run();
            self.expect(DOWN, &outcome);
            assert_eq!(outcome.session, Some(session));
            let observed: Vec<_> = outcome.findings.iter().map(|finding| finding.observed.to_string()).collect();
            assert_eq!(observed, [format!("{} (connect_refused)", absent.addr())]);
            assert_eq!(outcome.facts["remote_address"].to_string(), self.server.to_string());
        }
        if self.kind != LOOKS_BEHIND {
            self.expect(SECOND_DOWN, &self.probe([self.server, absent.addr()]).run());
        }
    }

    #[track_caller]
    pub(crate) fn a_host_that_hangs_has_a_part_of_the_time(&self) {
        let hole = peers::black_hole();
        self.expect(HANGING, &self.probe([hole.addr(), self.server]).run());
        crate::support::eventually(Duration::from_secs(5), "nothing is left behind", || (hole.open() == 0).then_some(()));
    }

    /// The failure is that of the host that came furthest, and names the other.
    #[track_caller]
    pub(crate) fn a_failure_tells_of_every_host(&self) {
        let (first, second, hole) = (peers::refused(), peers::refused(), peers::black_hole());
        let outcome = self.probe([first.addr(), second.addr()]).run();
        self.expect(NONE_LEFT, &outcome);
        let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
        let start = format!("nobody listens on {}: ", first.addr());
        let end = format!("; also tried: {} (connect_refused)", second.addr());
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
        let outcome = self.probe([first.addr(), hole.addr()]).run();
        self.expect(NONE_ANSWERS, &outcome);
        let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
        assert!(message.starts_with(&hole.addr().to_string()) && message.contains(&first.addr().to_string()), "{message}");
    }

    #[track_caller]
    pub(crate) fn the_next_host_takes_over(&self) {
        let network = FaultProxy::start(self.server);
        let probe = self.probe([network.addr(), self.server]);
        let outcome = probe.run();
        check(&State::new(self.kind, "well", "before its loss", Expected::HEALTHY), &outcome);
        drop(network);
        assert!(probe.lost_within(Duration::from_secs(5)), "the loss was not noticed");
        let outcome = probe.run();
        self.expect(TAKEN_OVER, &outcome);
        assert!(outcome.reconnected, "{outcome:#?}");
    }
}

/// A test of each for a backend's server.
macro_rules! host_tests {
    ($kind:literal, $server:expr, $entry:expr) => {
        host_tests! { $kind, $server, $entry;
            a_host_that_is_down_is_passed_over
            a_host_that_hangs_has_a_part_of_the_time
            a_failure_tells_of_every_host
            the_next_host_takes_over
        }
    };
    ($kind:literal, $server:expr, $entry:expr; $($test:ident)*) => {
        mod hosts {
            use super::*;
            $(#[test]
            fn $test() {
                if $crate::support::require($kind) {
                    let server = $server;
                    $crate::live::hosts::Subject::new($kind, server.addr(), $entry).$test();
                }
            })*
        }
    };
}
pub(crate) use host_tests;
