//! Warm and fresh: when a session is opened, kept, renewed and given up. Time stands still but where it is moved.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use probity_probes::{ConnectionPolicy, Depth, FailureKind, Options, Outcome, Phase, Prober, SessionKind, Status};
use tokio::runtime::{Builder, Runtime};

use crate::support::actor::{Act, Stage};
use crate::support::{peers, scratch};

/// An actor, a probe of it, and a clock that only [`Play::later`] moves.
struct Play {
    stage: Arc<Stage>,
    prober: Prober,
    /// A paused clock that finds nothing to do runs on by itself, unless a blocking task is on. Before the runtime,
    /// which waits for that task when it is dropped.
    _still: mpsc::Sender<()>,
    runtime: Runtime,
}

impl Play {
    fn new(options: Options) -> Self {
        Self::of(Stage::new(), options)
    }

    fn of(stage: Stage, options: Options) -> Self {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let (still, ended) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || ended.recv());
        let (stage, probe) = stage.probe(options);
        let prober = Prober::new(probe, runtime.handle().clone());
        Self { stage, prober, _still: still, runtime }
    }

    /// A run, and what the backend was asked in it.
    fn run(&self) -> (Outcome, String) {
        probity_probes::testing::look_at_files();
        let outcome = self.runtime.block_on(async {
            let outcome = self.prober.run(Duration::from_secs(3)).await;
            // Sessions are closed beside the run.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            outcome
        });
        (outcome, self.stage.calls())
    }

    /// A run that must be well, and what the backend was asked in it.
    #[track_caller]
    fn well(&self) -> String {
        let (outcome, calls) = self.run();
        assert_eq!((outcome.status, outcome.failure), (Status::Healthy, None));
        calls
    }

    /// A run with this finding, and what the backend was asked in it.
    #[track_caller]
    fn degraded(&self, finding: &str) -> String {
        let (outcome, calls) = self.run();
        let found: Vec<_> = outcome.findings.iter().map(ToString::to_string).collect();
        assert_eq!((outcome.status, found), (Status::Degraded, vec![finding.to_owned()]), "{:?}", outcome.failure);
        calls
    }

    /// A run that must fail, and what the backend was asked in it.
    #[track_caller]
    fn fails(&self, kind: FailureKind) -> (Outcome, String) {
        let (outcome, calls) = self.run();
        assert_eq!(outcome.failure.as_ref().map(|failure| failure.kind), Some(kind));
        (outcome, calls)
    }

    fn later(&self, time: Duration) {
        self.runtime.block_on(tokio::time::advance(time));
    }
}

const MINUTE: Duration = Duration::from_mins(1);

fn next_attempt(outcome: &Outcome) -> Option<i64> {
    match outcome.facts.get("next_attempt_in_seconds") {
        Some(probity_probes::Value::Count(seconds)) => Some(*seconds),
        _ => None,
    }
}

#[test]
fn a_session_is_opened_once_and_asked_again() {
    let play = Play::new(Options::default());
    assert_eq!(play.run().0.session, Some(SessionKind::Fresh));
    let (outcome, _) = play.run();
    assert_eq!(outcome.session, Some(SessionKind::Warm));
    // What was learned when it was opened is still true.
    assert!(outcome.facts.contains_key("opened"));
    assert_eq!(play.well(), "ask");
}

#[test]
fn deep_questions_are_asked_in_their_own_time() {
    let play = Play::new(Options::default());
    assert_eq!(play.well(), "open ask examine");
    assert_eq!(play.well(), "ask");
    play.later(MINUTE);
    assert_eq!(play.well(), "ask examine");
    play.later(MINUTE);
    play.stage.next("examine", Act::Sick);
    assert_eq!(play.degraded("sick true"), "ask examine");
    // While it is sick it is looked at each time, and the finding stays until a deep run clears it.
    play.stage.next("examine", Act::Sick);
    assert_eq!(play.degraded("sick true"), "ask examine");
    assert_eq!(play.well(), "ask examine");
    assert_eq!(play.well(), "ask");
}

#[test]
fn a_round_trip_is_made_when_it_is_asked_for_and_in_its_own_time() {
    let play = Play::new(Options { depth: Depth::Roundtrip, ..Options::default() });
    assert_eq!(play.well(), "open ask examine roundtrip");
    assert_eq!(play.well(), "ask");
    play.later(MINUTE);
    play.stage.next("roundtrip", Act::Sick);
    assert_eq!(play.degraded("sick true"), "ask examine roundtrip");
    assert_eq!(play.well(), "ask roundtrip");
    play.later(MINUTE);
    // Both say the same: it is said once.
    play.stage.next("examine", Act::Sick);
    play.stage.next("roundtrip", Act::Sick);
    assert_eq!(play.degraded("sick true"), "ask examine roundtrip");
    assert_eq!(play.well(), "ask examine roundtrip");
    play.later(MINUTE);
    // Unlike a deep question, it was asked for: a refusal is a failure, and it is made again at once.
    play.stage.next("roundtrip", Act::Fail(FailureKind::Permission));
    let (outcome, calls) = play.fails(FailureKind::Permission);
    assert_eq!(
        (outcome.failure.and_then(|failure| failure.phase), calls.as_str()),
        (Some(Phase::Roundtrip), "ask examine roundtrip close")
    );
    assert_eq!(play.well(), "open ask examine roundtrip");
}

#[test]
fn a_refused_deep_question_lowers_coverage_and_nothing_else() {
    let play = Play::new(Options::default());
    play.stage.next("examine", Act::Fail(FailureKind::Permission));
    let (outcome, _) = play.run();
    assert_eq!((outcome.status, outcome.missing), (Status::Healthy, vec!["deep".to_owned()]));
    let play = Play::new(Options { require_coverage: true, ..Options::default() });
    play.stage.next("examine", Act::Fail(FailureKind::Permission));
    play.degraded("partial_coverage deep");
}

#[test]
fn a_session_is_renewed_when_it_is_old() {
    let play = Play::new(Options::default());
    play.well();
    play.later(Duration::from_secs(299));
    assert_eq!(play.well(), "ask examine");
    play.later(Duration::from_secs(1));
    // The old one is closed once the new one stands.
    assert_eq!(play.well(), "ask open close");
    assert_eq!(play.well(), "ask");
}

#[test]
fn a_session_that_cannot_be_renewed_is_kept_and_told() {
    let play = Play::new(Options { deep_interval: Duration::from_hours(1), ..Options::default() });
    play.well();
    play.later(5 * MINUTE);
    for kind in [FailureKind::Overload, FailureKind::ConnectRefused] {
        play.stage.next("open", Act::Fail(kind));
        assert_eq!(play.degraded(&format!("new_connections_failing {kind}")), "ask open");
    }
    play.stage.next("open", Act::Fail(FailureKind::Dns));
    assert_eq!(play.degraded("dns_failing dns"), "ask open");
    assert_eq!(play.well(), "ask open close");
}

#[test]
fn a_renewal_that_hangs_is_cut_at_the_deadline() {
    let play = Play::new(Options::default());
    play.well();
    play.later(5 * MINUTE);
    play.stage.next("open", Act::Hang);
    let outcome = play.runtime.block_on(async {
        let run = play.prober.run(Duration::from_secs(3));
        tokio::pin!(run);
        assert!(futures_util::poll!(run.as_mut()).is_pending());
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        run.await
    });
    let found: Vec<_> = outcome.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["new_connections_failing timeout"], "{outcome:#?}");
    assert_eq!((outcome.abandoned, outcome.session), (false, Some(SessionKind::Warm)));
}

#[test]
fn a_changed_secret_is_tried_at_once() {
    let folder = scratch();
    let path = folder.path().join("secret");
    fs::write(&path, "one").expect("a file can be written");
    let play = Play::of(Stage::new().secret(&path), Options::default());
    play.well();
    assert_eq!(play.well(), "ask");
    fs::write(&path, "another").expect("a file can be written");
    assert_eq!(play.well(), "ask open close");
    assert_eq!(play.well(), "ask");
    fs::remove_file(&path).expect("a file can be removed");
    assert_eq!(play.degraded("new_connections_failing config"), "ask");
}

#[test]
fn a_lost_session_gets_one_fresh_try_in_the_same_run() {
    let play = Play::new(Options::default());
    play.well();
    play.stage.next("ask", Act::Fail(FailureKind::ConnectionLost));
    let (outcome, calls) = play.run();
    // Another server may answer now: the deep questions are asked anew.
    assert_eq!((outcome.status, calls.as_str()), (Status::Healthy, "ask open ask examine"));
    assert_eq!((outcome.session, outcome.reconnected), (Some(SessionKind::Fresh), true));
    play.stage.next("ask", Act::Fail(FailureKind::ConnectionLost));
    play.stage.next("ask", Act::Fail(FailureKind::ConnectionLost));
    assert_eq!(play.fails(FailureKind::ConnectionLost).1, "ask open ask");
}

#[test]
fn a_session_that_failed_is_not_used_again() {
    let play = Play::new(Options::default());
    for (kind, ended) in [(FailureKind::NotReady, " close"), (FailureKind::Timeout, "")] {
        play.well();
        play.stage.next("ask", Act::Fail(kind));
        // One that may still owe an answer cannot be ended politely.
        assert_eq!(play.fails(kind).1, format!("ask{ended}"));
        assert_eq!(play.well(), "open ask examine");
    }
}

#[test]
fn rejected_credentials_rest_longer_each_time() {
    let folder = scratch();
    let path = folder.path().join("secret");
    fs::write(&path, "wrong").expect("a file can be written");
    let peer = peers::black_hole();
    let play = Play::of(Stage::new().secret(&path).peer(peer.addr()), Options::default());
    let mut dialled = 0;
    for pause in [60, 120, 240, 300, 1800, 1800] {
        play.stage.next("open", Act::Fail(FailureKind::Auth));
        let (outcome, calls) = play.fails(FailureKind::Auth);
        assert_eq!((calls.as_str(), next_attempt(&outcome)), ("open", None), "{pause}");
        let (outcome, calls) = play.fails(FailureKind::Auth);
        let left = next_attempt(&outcome).unwrap_or_default();
        // ± 20 %, so that the replicas of a service do not try together.
        assert!(calls.is_empty() && (pause * 8 / 10 - 4..=pause * 12 / 10).contains(&left), "{left} of {pause}: {calls}");
        dialled += 2;
        // The kernel completes a connection before its listener takes it.
        crate::support::eventually(MINUTE, "only the dial is tried", || (peer.accepted() == dialled).then_some(()));
        play.later(Duration::from_secs(left.unsigned_abs() + 1));
    }
    assert_eq!(play.well(), "open ask examine");
    // A success forgives everything.
    play.stage.next("ask", Act::Fail(FailureKind::Auth));
    play.fails(FailureKind::Auth);
    assert!(next_attempt(&play.fails(FailureKind::Auth).0).is_some_and(|left| left <= 72));
}

#[test]
fn a_corrected_secret_ends_the_rest() {
    let folder = scratch();
    let path = folder.path().join("secret");
    fs::write(&path, "wrong").expect("a file can be written");
    let peer = peers::black_hole();
    let play = Play::of(Stage::new().secret(&path).peer(peer.addr()), Options::default());
    play.stage.next("open", Act::Fail(FailureKind::Auth));
    play.fails(FailureKind::Auth);
    assert_eq!(play.fails(FailureKind::Auth).1, "");
    fs::write(&path, "corrected").expect("a file can be written");
    assert_eq!(play.well(), "open ask examine");
}

#[test]
fn nothing_rests_where_no_credentials_were_given() {
    let play = Play::new(Options::default());
    for _ in 0..3 {
        play.stage.next("open", Act::Fail(FailureKind::Auth));
        let (outcome, calls) = play.fails(FailureKind::Auth);
        assert_eq!((calls.as_str(), next_attempt(&outcome)), ("open", None));
    }
}

#[test]
fn a_renewal_with_rejected_credentials_rests_too() {
    let folder = scratch();
    let path = folder.path().join("secret");
    fs::write(&path, "right").expect("a file can be written");
    let play = Play::of(Stage::new().secret(&path), Options { deep_interval: 100 * MINUTE, ..Options::default() });
    play.well();
    fs::write(&path, "rotated").expect("a file can be written");
    play.stage.next("open", Act::Fail(FailureKind::Auth));
    assert_eq!(play.degraded("new_connections_failing auth"), "ask open");
    for _ in 0..3 {
        assert_eq!(play.degraded("new_connections_failing auth"), "ask");
    }
    play.later(Duration::from_secs(73));
    assert_eq!(play.well(), "ask open close");
}

#[test]
fn every_run_opens_and_closes_where_that_is_wanted_or_all_there_is() {
    let play = Play::new(Options { connection: ConnectionPolicy::Fresh, depth: Depth::Query, ..Options::default() });
    let handshake = Play::new(Options { depth: Depth::Handshake, ..Options::default() });
    for _ in 0..2 {
        assert_eq!((play.well().as_str(), handshake.well().as_str()), ("open ask close", "open close"));
    }
}

#[test]
fn the_query_has_its_limit() {
    let play = Play::new(Options { latency: Some(Duration::ZERO), depth: Depth::Query, ..Options::default() });
    let outcome = play.runtime.block_on(async {
        play.stage.next("ask", Act::Slow(Duration::from_millis(300)));
        let run = play.prober.run(Duration::from_secs(3));
        tokio::pin!(run);
        assert!(futures_util::poll!(run.as_mut()).is_pending());
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_millis(300)).await;
        run.await
    });
    assert_eq!(outcome.findings.iter().map(ToString::to_string).collect::<Vec<_>>(), ["latency 0.3 of 0"]);
    assert_eq!(outcome.latency(), Some(Duration::from_millis(300)));
}
