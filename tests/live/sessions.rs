//! Sessions that are kept, ended, hung, lost and renewed: the same for every backend.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, Options, Phase, SessionKind};
use serde_json::Value as Json;

use crate::support::alone::alone;
use crate::support::fault::FaultProxy;
use crate::support::probe::Asked;
use crate::support::process::Server;
use crate::support::procfs::{fds, rss, threads};
use crate::support::truth::{Expected, State, check};
use crate::support::{PATIENCE, eventually};

const ENDED: (&str, &str) = ("the server ended our session", "told to, or by its limit of idle time; it goes on listening");
const HUNG: (&str, &str) = ("hung", "SIGSTOP");
const KILLED: (&str, &str) = ("killed", "kill -9 beside a warm session");
const RESTARTED: (&str, &str) = ("restarted", "kill -9 and a new start");

/// How long something that is under way may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// What is true of each end of a session, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    let rows = [
        (ENDED, Expected::HEALTHY),
        (HUNG, Expected::fails(FailureKind::Timeout)),
        (KILLED, Expected::fails(FailureKind::ConnectRefused)),
        (RESTARTED, Expected::HEALTHY),
    ];
    super::BACKENDS.into_iter().flat_map(move |backend| {
        let own = rows.into_iter().filter(move |(row, _)| *row != ENDED || !NEVER_END.iter().any(|(kind, _)| *kind == backend));
        own.map(move |((state, made), expected)| State::new(backend, state, made, expected))
    })
}

/// Servers that end no session of ours while they go on listening, and why.
pub(crate) const NEVER_END: [(&str, &str); 5] = [
    ("consul", "the API ends no connection while it goes on listening"),
    ("mongodb", "SecantusDB can be told nothing, and lets sessions be idle for five minutes"),
    ("mqtt", "Mosquitto can be told nothing, and our pings keep the session from being idle"),
    ("nats", "the server ends clients only with itself, or as a lame duck, which listens no more"),
    ("sqlserver", "pysqlbridge can be told nothing; a stand-in of our own ends them, and has a row for it"),
];

/// A backend's server, as these tests want it.
pub(crate) trait Specimen: Sized {
    const KIND: &'static str;
    /// The phase in which a fresh run hears of the server first.
    const OPENING: Phase = Phase::Auth;

    /// One that belongs to the test alone.
    fn start() -> Self;

    /// One that soon ends idle sessions, where that is how it ends them.
    fn start_impatient() -> Self {
        Self::start()
    }

    fn addr(&self) -> SocketAddr;

    fn process(&self) -> &Server;

    /// After a kill; it answers again.
    fn restart(&self);

    /// The entry for such a server at an address.
    fn entry(addr: SocketAddr) -> Json;

    /// Ends our sessions and goes on listening, where it does not do so by itself.
    fn end_sessions(&self) {}

    /// How many sessions of ours it has, where it tells that.
    fn sessions(&self) -> Option<usize> {
        None
    }
}

#[track_caller]
fn row<S: Specimen>(row: (&str, &str)) -> State {
    let found = states().find(|state| (state.backend, state.state) == (S::KIND, row.0));
    found.expect("every end of a session has its row")
}

/// A probe of a server of its own whose session is warm.
#[track_caller]
fn warmed_up<S: Specimen>() -> (S, Asked) {
    warm(S::start())
}

#[track_caller]
fn warm<S: Specimen>(server: S) -> (S, Asked) {
    let probe = Asked::new(S::KIND, S::entry(server.addr()));
    check(&State::new(S::KIND, "well", "before the end", Expected::HEALTHY), &probe.run());
    (server, probe)
}

#[track_caller]
pub(crate) fn the_end_of_the_server_is_noticed_at_once_and_its_return_too<S: Specimen>() {
    let (server, probe) = warmed_up::<S>();
    server.process().kill9();
    assert!(probe.lost_within(Duration::from_secs(5)), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&row::<S>(KILLED), &outcome);
    assert_eq!((outcome.reconnected, outcome.failure.and_then(|failure| failure.phase)), (false, Some(Phase::Connect)));
    server.restart();
    let outcome = probe.run();
    check(&row::<S>(RESTARTED), &outcome);
    assert_eq!(outcome.session, Some(SessionKind::Fresh));
}

#[track_caller]
pub(crate) fn a_session_that_the_server_ended_comes_back_silently<S: Specimen>() {
    if let Some((_, why)) = NEVER_END.iter().find(|(kind, _)| *kind == S::KIND) {
        eprintln!("there is nothing to ask of {}: {why}", S::KIND);
        return;
    }
    let (server, probe) = warm(S::start_impatient());
    server.end_sessions();
    assert!(probe.lost_within(SOON), "the loss of the session was not noticed");
    let outcome = probe.run();
    check(&row::<S>(ENDED), &outcome);
    assert_eq!((outcome.reconnected, outcome.session), (true, Some(SessionKind::Fresh)));
}

#[track_caller]
pub(crate) fn a_hung_server_is_a_timeout_of_the_phase_that_waits<S: Specimen>() {
    let (server, warm) = warmed_up::<S>();
    let fresh = Asked::new(S::KIND, S::entry(server.addr()));
    server.process().freeze();
    let within = Duration::from_secs(1);
    for (probe, phase) in [(&warm, Phase::Query), (&fresh, S::OPENING)] {
        let outcome = probe.run_within(within);
        check(&row::<S>(HUNG).within(within), &outcome);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(phase));
        assert!(outcome.duration >= within, "it gave up early: {:?}", outcome.duration);
    }
    server.process().thaw();
    if server.sessions().is_some() {
        eventually(SOON, "nothing of the cut runs is left at the server", || (server.sessions() == Some(0)).then_some(()));
    }
    eventually(SOON, "it is well again", || warm.run().failure.is_none().then_some(()));
}

#[track_caller]
pub(crate) fn a_renewed_session_replaces_the_old_one<S: Specimen>() {
    let server = S::start();
    let proxy = FaultProxy::start(server.addr());
    let renewing = Options { fresh_every: Duration::ZERO, ..Options::default() };
    let probe = Asked::with(S::KIND, S::entry(proxy.addr()), renewing);
    assert_eq!(probe.run().session, Some(SessionKind::Fresh));
    let outcome = probe.run();
    assert_eq!(outcome.session, Some(SessionKind::Warm), "the question went by the warm session");
    // HTTP opens a session without a word from the server: the proxy may see it later than we do.
    eventually(SOON, "a fresh session shows that one can still be had", || (proxy.accepted() == 2).then_some(()));
    eventually(SOON, "the old session is gone", || (proxy.open() == 1).then_some(()));
    assert_eq!(proxy.accepted(), 2, "one is enough");
}

/// The process' own memory and descriptors are counted, so nothing else may run in it.
#[track_caller]
pub(crate) fn a_thousand_warm_runs_cost_nothing<S: Specimen>(test: &str) {
    const GROWTH: u64 = 8 << 20;
    if !alone(test) {
        return;
    }
    let server = S::start();
    let proxy = FaultProxy::start(server.addr());
    let probe = Asked::new(S::KIND, S::entry(proxy.addr()));
    let run = |count: usize| {
        for _ in 0..count {
            assert_eq!(probe.run().failure, None);
        }
    };
    run(100);
    let own = std::process::id();
    let held = || (fds(own), threads(own), probe.tasks(), proxy.accepted(), server.sessions());
    let (log, before, memory) = (quiet(server.process()), held(), rss(own));
    run(1000);
    // The task of the last run may not be over yet.
    eventually(SOON, "descriptors, threads, tasks, connections, sessions are as before", || (held() == before).then_some(()));
    let grown = rss(own).saturating_sub(memory);
    assert!(grown < GROWTH, "{grown} bytes more");
    assert_eq!(quiet(server.process())[log.len()..], *"");
    probe.close();
    eventually(SOON, "the session is ended", || (proxy.open() == 0).then_some(()));
    let after = quiet(server.process())[log.len()..].to_lowercase();
    assert!(!["warn", "error", "abort", "unexpected"].iter().any(|word| after.contains(word)), "it was not polite: {after}");
}

/// The log of a server, once it has written what it has to say.
fn quiet(server: &Server) -> String {
    const PAUSE: Duration = Duration::from_millis(300);
    let mut log = server.log();
    eventually(PATIENCE, "its log comes to an end", || {
        std::thread::sleep(PAUSE);
        let before = std::mem::replace(&mut log, server.log());
        (before == log).then_some(before)
    })
}

/// A backend's server as a [`Specimen`], with what it has of its own, and its tests.
macro_rules! specimen {
    ($kind:literal, $server:ty, $entry:expr; $($own:tt)*) => {
        impl $crate::live::sessions::Specimen for $server {
            const KIND: &'static str = $kind;

            fn start() -> Self {
                Self::start()
            }

            fn addr(&self) -> std::net::SocketAddr {
                self.addr()
            }

            fn process(&self) -> &$crate::support::process::Server {
                self.process()
            }

            fn restart(&self) {
                self.restart();
            }

            fn entry(addr: std::net::SocketAddr) -> serde_json::Value {
                $entry(addr)
            }

            $($own)*
        }

        $crate::live::sessions::session_tests! { $server }
    };
}
pub(crate) use specimen;

/// A test for each end of a session of a backend's server.
macro_rules! session_tests {
    ($specimen:ty) => {
        $crate::live::sessions::session_tests! { $specimen;
            the_end_of_the_server_is_noticed_at_once_and_its_return_too
            a_session_that_the_server_ended_comes_back_silently
            a_hung_server_is_a_timeout_of_the_phase_that_waits
            a_renewed_session_replaces_the_old_one
        }

        #[test]
        fn a_thousand_warm_runs_cost_nothing() {
            if $crate::support::require(<$specimen as $crate::live::sessions::Specimen>::KIND) {
                let test = concat!(module_path!(), "::a_thousand_warm_runs_cost_nothing");
                let (_, test) = test.split_once("::").expect("a module has a path");
                $crate::live::sessions::a_thousand_warm_runs_cost_nothing::<$specimen>(test);
            }
        }
    };
    ($specimen:ty; $($story:ident)*) => {
        $(#[test]
        fn $story() {
            if $crate::support::require(<$specimen as $crate::live::sessions::Specimen>::KIND) {
                $crate::live::sessions::$story::<$specimen>();
            }
        })*
    };
}
pub(crate) use session_tests;
