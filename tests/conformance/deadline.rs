//! The deadline that no backend can outlive, and the net under its panics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_probes::{FailureKind, Options, Phase, Prober, SessionKind, Status};

use super::words;
use crate::support::actor::{Act, Stage};
use crate::support::pace::late;
use crate::support::probe::Asked;
use crate::support::{eventually, peers, scratch};

const SHORT: Duration = Duration::from_millis(300);

fn play(stage: Stage) -> (Arc<Stage>, Asked) {
    let (stage, probe) = stage.probe(Options::default());
    (stage, Asked::of(probe))
}

#[test]
fn a_backend_that_blocks_its_thread_is_left_behind() {
    let phases = [("open", Phase::Auth), ("opened", Phase::Auth), ("ask", Phase::Query), ("examine", Phase::Deep)];
    for (call, phase) in phases {
        let (stage, probe) = play(Stage::new());
        stage.next(call, Act::Block(Duration::from_secs(1)));
        let outcome = probe.run_within(SHORT);
        assert_eq!(words(&outcome), ("timeout", phase.as_str(), ""), "{call}");
        assert!(outcome.abandoned && outcome.duration < SHORT + late(), "{call}: {outcome:#?}");
        // The next run waits for the one that still holds the probe, but not beyond its own deadline.
        let outcome = probe.run_within(Duration::from_millis(50));
        assert_eq!(outcome.failure.as_ref().map(|failure| failure.kind), Some(FailureKind::Timeout), "{call}");
        assert!(outcome.waited >= Duration::from_millis(50), "{call}: the peer was not asked: {outcome:#?}");
        let outcome = eventually(Duration::from_secs(5), "it is over", || {
            Some(probe.run_within(SHORT)).filter(|outcome| outcome.failure.is_none())
        });
        assert_eq!(outcome.status, Status::Healthy, "{call}");
    }
}

/// Both workers are blocked by others: what was not asked is not to blame.
#[test]
fn a_run_whose_workers_are_blocked_knows_that_it_waited() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let prober = |stage: Stage| {
        let (stage, probe) = stage.probe(Options::default());
        (stage, Prober::new(probe, runtime.handle().clone()))
    };
    let block = Duration::from_secs(2);
    let blocking = [prober(Stage::new()), prober(Stage::new())];
    let (_, waiting) = prober(Stage::new());
    let outcomes = std::thread::scope(|scope| {
        let run = |prober: &Prober| {
            let own = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            own.block_on(prober.run(SHORT))
        };
        for (stage, _) in &blocking {
            stage.next("ask", Act::Block(block));
        }
        let blocked: Vec<_> = blocking.iter().map(|(_, prober)| scope.spawn(move || run(prober))).collect();
        eventually(Duration::from_secs(5), "both are asked", || blocking.iter().all(|(stage, _)| stage.is_asked()).then_some(()));
        let waited = run(&waiting);
        let blocked: Vec<_> = blocked.into_iter().map(|run| run.join().expect("a run ends")).collect();
        (waited, blocked)
    });
    let (waited, blocked) = outcomes;
    assert!(waited.abandoned && waited.waited >= SHORT, "{waited:#?}");
    for own in blocked {
        assert!(own.abandoned && own.waited < SHORT / 4 + late(), "{own:#?}");
    }
    runtime.shutdown_background();
}

#[test]
fn a_backend_that_hangs_is_cut() {
    for (call, phase) in [("open", Phase::Auth), ("ask", Phase::Query), ("examine", Phase::Deep)] {
        let (stage, probe) = play(Stage::new());
        stage.next(call, Act::Hang);
        let outcome = probe.run_within(SHORT);
        assert_eq!(words(&outcome), ("timeout", phase.as_str(), ""), "{call}");
        assert!(!outcome.abandoned && outcome.duration < SHORT + late(), "{call}: {outcome:#?}");
        let next = probe.run_within(SHORT);
        assert_eq!((next.status, next.session), (Status::Healthy, Some(SessionKind::Fresh)), "{call}");
    }
}

#[test]
fn a_panic_is_unexpected_and_is_not_quoted() {
    let folder = scratch();
    let path = folder.path().join("secret");
    std::fs::write(&path, "probe-secret-pw").expect("a file can be written");
    let (stage, probe) = play(Stage::new().secret(&path));
    for (call, phase) in [("open", "auth"), ("ask", "query"), ("examine", "deep")] {
        stage.next(call, Act::Panic("at\nprobe-secret-pw".into()));
        let outcome = probe.run();
        assert_eq!(words(&outcome), ("unexpected", phase, ""), "{call}");
        assert!(!outcome.abandoned, "{call}");
        // Its words may be a peer's, or a secret.
        let failure = outcome.failure.expect("it failed");
        assert_eq!((failure.message.as_str(), failure.server_message), ("the probe panicked", None), "{call}");
        // The session it happened on is not used again.
        assert_eq!(probe.run().session, Some(SessionKind::Fresh), "{call}");
        // A fresh one, for the next call to panic in.
        stage.next("ask", Act::Fail(FailureKind::Query));
        assert!(probe.run().failure.is_some(), "{call}");
    }
}

#[test]
fn a_close_that_hangs_delays_nothing() {
    let (stage, probe) = play(Stage::new());
    assert_eq!(probe.run().failure, None);
    stage.next("ask", Act::Fail(FailureKind::Query));
    stage.next("close", Act::Hang);
    let outcome = probe.run();
    assert!(outcome.duration < late(), "{outcome:#?}");
    eventually(Duration::from_secs(5), "it is given up", || (probe.tasks() == 0).then_some(()));
    assert_eq!(probe.run().failure, None);
    stage.next("close", Act::Hang);
    let before = Instant::now();
    probe.close();
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

/// Whoever waits for the loss of a session may have begun before there was one, and may wait across runs.
#[test]
fn the_loss_of_a_session_is_told_once_there_is_one() {
    let peer = probity_probes::testing::Peer::start([probity_probes::testing::Script::new()]);
    let (_, probe) = play(Stage::new().peer(peer.addr()));
    let waiting = probe.waiting();
    assert!(!waiting.is_over());
    assert_eq!(probe.run().failure, None);
    assert_eq!(probe.run().session, Some(SessionKind::Warm));
    assert!(!waiting.is_over());
    drop(peer);
    eventually(Duration::from_secs(5), "the loss is told", || waiting.is_over().then_some(()));
}

/// A watch is a second descriptor of the socket: it must not keep a connection open that the run has ended.
#[test]
fn whoever_waits_for_a_loss_keeps_no_socket_open() {
    let peer = peers::black_hole();
    let (stage, probe) = play(Stage::new().peer(peer.addr()));
    assert_eq!(probe.run().failure, None);
    let waiting = probe.waiting();
    stage.next("ask", Act::Fail(FailureKind::Query));
    stage.next("open", Act::Fail(FailureKind::Query));
    probe.run();
    eventually(Duration::from_secs(5), "the socket is closed", || (peer.open() == 0).then_some(()));
    assert!(!waiting.is_over());
}
