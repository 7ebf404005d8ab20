//! A bad network in front of a good server: the same for every backend.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome, Phase, SessionKind};
use serde_json::Value;

use crate::support::eventually;
use crate::support::fault::{Fault, FaultProxy};
use crate::support::probe::Asked;
use crate::support::truth::{Expected, State, check};

const DELAYED: (&str, &str) = ("a slow network", "every answer 200 ms late, and 150 ms allowed");
const STALLED: (&str, &str) = ("a network that swallows everything", "connections accepted, not a byte passes");
const DRIPPING: (&str, &str) = ("a network that drips", "a byte of the answer every 250 ms");
const RESET: (&str, &str) = ("connections are reset", "RST to every connection");
const CLOSED: (&str, &str) = ("connections are closed", "FIN to every connection");
const HALF_CLOSED: (&str, &str) = ("the server's direction is closed", "FIN to the client, its own words still pass");
const CUT: (&str, &str) = ("the warm session was cut", "RST to the open connection, new ones are welcome");
const GARBAGE: (&str, &str) = ("noise instead of answers", "every byte of the answer at random");
const FLOOD: (&str, &str) = ("noise without end", "random bytes as fast as they are read");

/// What is true of each fault, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    super::BACKENDS.into_iter().flat_map(|backend| {
        // A server that closes instead of its first words is most likely full, where that is how it is full.
        let lost = if ["mqtt", "nats"].contains(&backend) { FailureKind::Overload } else { FailureKind::ConnectionLost };
        [
            (DELAYED, Expected::degraded("latency")),
            (STALLED, Expected::fails(FailureKind::Timeout)),
            (DRIPPING, Expected::fails(FailureKind::Timeout)),
            (RESET, Expected::fails(lost)),
            (CLOSED, Expected::fails(lost)),
            (HALF_CLOSED, Expected::fails(lost)),
            (CUT, Expected::HEALTHY),
            (GARBAGE, Expected::fails(FailureKind::Protocol).blames_anybody()),
            (FLOOD, Expected::fails(FailureKind::Protocol).blames_anybody()),
        ]
        .into_iter()
        // Two bytes are the whole answer of an MQTT broker: dripping, it is only slow. And a reset that comes before
        // the connection stands is not that of a full one.
        .filter(move |(fault, _)| backend != "mqtt" || ![DRIPPING, RESET].contains(fault))
        .map(move |((state, made), expected)| State::new(backend, state, made, expected))
    })
}

/// A good server behind a network that can be made bad.
pub(crate) struct Subject {
    kind: &'static str,
    proxy: FaultProxy,
    config: fn(SocketAddr) -> Value,
}

impl Subject {
    /// `config` is the entry for a server at an address.
    pub(crate) fn new(kind: &'static str, server: SocketAddr, config: fn(SocketAddr) -> Value) -> Self {
        Self { kind, proxy: FaultProxy::start(server), config }
    }

    fn probe(&self, options: Options) -> Asked {
        Asked::with(self.kind, (self.config)(self.proxy.addr()), options)
    }

    /// A probe whose session is warm.
    fn warm(&self, options: Options) -> Asked {
        let probe = self.probe(options);
        check(&State::new(self.kind, "well", "before the fault", Expected::HEALTHY), &probe.run());
        probe
    }

    fn state(&self, fault: (&str, &str)) -> State {
        let found = states().find(|state| (state.backend, state.state) == (self.kind, fault.0));
        found.expect("every fault has its row")
    }

    /// Runs a fresh and a warm probe into a fault, with a short timeout.
    #[track_caller]
    fn both(&self, fault: Fault, row: (&str, &str)) -> [Outcome; 2] {
        const SHORT: Duration = Duration::from_secs(1);
        let (fresh, warm) = (self.probe(Options::default()), self.warm(Options::default()));
        self.proxy.set(fault);
        [fresh, warm].map(|probe| {
            let outcome = probe.run_within(SHORT);
            check(&self.state(row).within(SHORT), &outcome);
            outcome
        })
    }

    #[track_caller]
    pub(crate) fn delay_is_latency(&self) {
        // The first answers of a server that has only just begun take longer than that by themselves.
        drop(self.warm(Options::default()));
        let probe = self.warm(Options { latency: Some(Duration::from_millis(150)), ..Options::default() });
        self.proxy.set(Fault::Delay(Duration::from_millis(200)));
        check(&self.state(DELAYED), &probe.run());
    }

    #[track_caller]
    pub(crate) fn stall_is_a_timeout_of_the_phase_that_waits(&self) {
        let phases = self.both(Fault::Stall, STALLED).map(|outcome| outcome.failure.and_then(|failure| failure.phase));
        // HTTP has neither greeting nor log-in.
        let opening = if self.kind == "http" { Phase::Query } else { Phase::Auth };
        assert_eq!(phases, [Some(opening), Some(Phase::Query)]);
    }

    #[track_caller]
    pub(crate) fn drip_is_a_timeout(&self) {
        self.both(Fault::Drip { bytes: 1, every: Duration::from_millis(250) }, DRIPPING);
    }

    #[track_caller]
    pub(crate) fn reset_is_a_lost_connection(&self) {
        self.both(Fault::Reset, RESET);
    }

    #[track_caller]
    pub(crate) fn close_is_a_lost_connection(&self) {
        self.both(Fault::Close, CLOSED);
    }

    #[track_caller]
    pub(crate) fn half_close_is_a_lost_connection(&self) {
        self.both(Fault::HalfClose, HALF_CLOSED);
    }

    /// And the next good answer counts again.
    #[track_caller]
    pub(crate) fn cut_of_the_warm_session_is_healed_in_the_same_run(&self) {
        let probe = self.warm(Options::default());
        self.proxy.cut();
        assert!(probe.lost_within(Duration::from_secs(5)), "the loss was not noticed");
        let outcome = probe.run();
        check(&self.state(CUT), &outcome);
        assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
        let next = probe.run();
        assert_eq!((next.reconnected, next.session), (false, Some(SessionKind::Warm)));
    }

    /// Noise may happen to begin like a long message, or like TLS: then something else tells, in time all the same, and
    /// that is no row of its own.
    #[track_caller]
    fn expect_noise(&self, probe: &Asked, row: (&str, &str)) {
        let mut state = self.state(row).within(Duration::from_secs(1));
        let outcome = probe.run_within(state.within);
        let other = [FailureKind::Timeout, FailureKind::Tls];
        if let Some(failure) = outcome.failure.as_ref().filter(|failure| other.contains(&failure.kind)) {
            state = State { state: "noise like something else", expected: Expected::fails(failure.kind), ..state };
        }
        check(&state, &outcome);
    }

    #[track_caller]
    pub(crate) fn garbage_is_no_protocol(&self) {
        let (fresh, warm) = (self.probe(Options::default()), self.warm(Options::default()));
        self.proxy.set(Fault::Garbage);
        for probe in [fresh, warm] {
            self.expect_noise(&probe, GARBAGE);
        }
    }

    /// Bytes that nobody reads stay in the proxy: what passed it is all that can lie in our memory.
    #[track_caller]
    pub(crate) fn flood_is_not_swallowed(&self) {
        const SWALLOWED: u64 = 32 << 20;
        let (fresh, warm) = (self.probe(Options::default()), self.warm(Options::default()));
        self.proxy.set(Fault::Flood);
        for probe in [fresh, warm] {
            self.expect_noise(&probe, FLOOD);
        }
        let passed = self.proxy.bytes_down();
        assert!(passed < SWALLOWED, "{passed} bytes were taken in");
        eventually(Duration::from_secs(5), "the flooded connections are closed", || (self.proxy.open() == 0).then_some(()));
    }
}

/// A test for each fault in front of a backend's server.
macro_rules! fault_tests {
    ($kind:literal, $server:expr, $entry:expr) => {
        fault_tests! { $kind, $server, $entry;
            delay_is_latency
            stall_is_a_timeout_of_the_phase_that_waits
            drip_is_a_timeout
            reset_is_a_lost_connection
            close_is_a_lost_connection
            half_close_is_a_lost_connection
            cut_of_the_warm_session_is_healed_in_the_same_run
            garbage_is_no_protocol
            flood_is_not_swallowed
        }
    };
    ($kind:literal, $server:expr, $entry:expr; $($fault:ident)*) => {
        $(#[test]
        fn $fault() {
            if $crate::support::require($kind) {
                let server = $server;
                $crate::live::faults::Subject::new($kind, server.addr(), $entry).$fault();
            }
        })*
    };
}
pub(crate) use fault_tests;
