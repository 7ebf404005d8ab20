//! Sequences of outcomes and what they amount to.

use FailureKind::{Auth, Config, ConnectRefused, ConnectionLost, Dns, NotReady, Overload, Timeout, Unexpected};
use ViewStatus::{Degraded, Healthy, Pending, Stale, Unhealthy};

use super::*;
use crate::{
    catalog::plan::Criticality,
    testing::{failed, found, healthy, noon, plan, timing},
};

/// A dependency whose outcomes come at the pauses that the judge asks for.
struct Course {
    standing: Standing,
    now: Duration,
    next: Next,
}

impl Course {
    fn new() -> Self {
        let plan = plan("db", Criticality::Required);
        let next = Next::regular(&plan.timing);
        Self { standing: Standing::pending(Arc::new(plan), noon()), now: Duration::ZERO, next }
    }

    /// Past the startup grace.
    fn settled() -> Self {
        let mut course = Self::new();
        course.now = Duration::from_mins(1);
        course.sees(healthy(), Healthy);
        course
    }

    #[track_caller]
    fn sees(&mut self, outcome: Outcome, status: ViewStatus) -> &mut Self {
        self.now += self.next.after;
        let moment = Moment { since_start: self.now, at: noon() };
        (self.standing, self.next) = judge(&self.standing, Arc::new(outcome), moment);
        assert_eq!(self.standing.status, status, "at {:?}", self.now);
        self
    }

    #[track_caller]
    fn then(&mut self, millis: u64, quick: bool) -> &mut Self {
        assert_eq!(self.next, Next { after: Duration::from_millis(millis), quick });
        self
    }
}

fn slow() -> Outcome {
    found(Finding::degraded("latency", 0.9).against(0.25))
}

fn full() -> Outcome {
    found(Finding::degraded("connections", 0.94).against(0.9))
}

#[test]
fn decisive_failures_flip_at_once() {
    for kind in FailureKind::ALL {
        let mut course = Course::settled();
        let status = if is_decisive(kind) { Unhealthy } else { Healthy };
        course.sees(failed(kind), status);
    }
}

#[test]
fn ambiguous_failures_need_fall_with_one_quick_rerun() {
    let mut course = Course::settled();
    course.sees(failed(Timeout), Healthy).then(2_000, true).sees(failed(Dns), Unhealthy).then(10_000, false);
    assert_eq!(course.standing.why(), "it did not work (dns)");
    let mut course = Course::settled();
    course.sees(failed(Timeout), Healthy).sees(healthy(), Healthy).sees(failed(Timeout), Healthy).then(2_000, true);
}

#[test]
fn a_higher_fall_waits_for_regular_runs_after_the_quick_one() {
    let mut course = Course::settled();
    Arc::get_mut(&mut course.standing.dependency).unwrap().timing.fall = 3;
    course.sees(failed(Timeout), Healthy).then(2_000, true);
    course.sees(failed(Timeout), Healthy).then(10_000, false);
    course.sees(failed(Timeout), Unhealthy);
}

#[test]
fn the_way_back_takes_rise_the_second_success_quickly() {
    let mut course = Course::settled();
    course.sees(failed(ConnectRefused), Unhealthy).sees(healthy(), Unhealthy).then(2_000, true);
    assert_eq!(course.standing.why(), "it answers again, 1 of 2 successes");
    course.sees(healthy(), Healthy).then(10_000, false);
    assert_eq!(course.standing.last_error.as_ref().unwrap().failure.kind, ConnectRefused, "kept after recovery");
    // A relapse starts from the beginning, and what it answers with a finding is never shown healthy.
    course.now += UNREST;
    course.sees(failed(ConnectionLost), Unhealthy).sees(full(), Unhealthy).sees(full(), Degraded).sees(healthy(), Healthy);
}

#[test]
fn findings_show_and_go_at_once() {
    let mut course = Course::settled();
    course.sees(full(), Degraded).then(10_000, false).sees(healthy(), Healthy);
    course.now += UNREST;
    course
        .sees(found(Finding::unhealthy("not_primary", "standby")), Unhealthy)
        .sees(healthy(), Unhealthy)
        .sees(healthy(), Healthy);
    assert_eq!(course.standing.last_error, None, "a finding is not a failure");
}

#[test]
fn whoever_flaps_is_degraded_until_it_is_quiet_and_never_hidden_when_it_is_down() {
    let mut course = Course::settled();
    let bad = || found(Finding::unhealthy("not_primary", "standby"));
    course.sees(bad(), Unhealthy).sees(healthy(), Unhealthy).sees(healthy(), Healthy);
    course.sees(bad(), Unhealthy).sees(healthy(), Unhealthy).sees(healthy(), Degraded);
    assert_eq!(course.standing.why(), "flapping 4");
    let turned = course.now;
    while course.now + Duration::from_secs(10) < turned + QUIET {
        course.sees(healthy(), Degraded);
    }
    course.sees(healthy(), Healthy);
    // Old changes count again as long as they are not ten minutes old.
    course.sees(bad(), Unhealthy).sees(bad(), Unhealthy).sees(healthy(), Unhealthy).sees(healthy(), Degraded);
}

#[test]
fn what_changes_seldom_does_not_flap() {
    let mut course = Course::settled();
    for _ in 0..8 {
        course.now += UNREST / 3;
        course.sees(full(), Degraded);
        course.now += UNREST / 3;
        course.sees(healthy(), Healthy);
    }
}

#[test]
fn latency_counts_after_three_of_the_last_five() {
    let mut course = Course::settled();
    course.sees(slow(), Healthy).sees(slow(), Healthy).sees(healthy(), Healthy).sees(slow(), Degraded);
    assert_eq!(course.standing.why(), "latency 0.9 of 0.25");
    course.sees(healthy(), Degraded).sees(healthy(), Healthy);
    assert!(course.standing.findings.is_empty());
}

fn passing(finding: Finding, seconds: u64) -> Outcome {
    found(finding.held_for(Duration::from_secs(seconds)))
}

#[test]
fn a_finding_that_servers_pass_through_counts_once_it_has_stood_so_long() {
    let yellow = || passing(Finding::degraded("yellow", 3_i64), 25);
    let mut course = Course::settled();
    course.sees(yellow(), Healthy).sees(yellow(), Healthy).then(10_000, false);
    // The run that decides comes when it does, not at the next interval.
    course.sees(yellow(), Healthy).then(5_000, true).sees(yellow(), Degraded).then(10_000, false);
    assert_eq!(course.standing.why(), "yellow 3");
    course.sees(healthy(), Healthy).sees(yellow(), Healthy).sees(yellow(), Healthy);
    // Who knows what was in between starts anew.
    course.sees(failed(Timeout), Healthy).sees(yellow(), Healthy).then(10_000, false);
}

/// Until it is known it is not healthy, either: what was shown stays.
#[test]
fn an_outage_that_may_be_a_moment_is_looked_at_again_soon() {
    let red = || passing(Finding::unhealthy("red", 1_i64), 2);
    let mut course = Course::settled();
    course.sees(red(), Healthy).then(2_000, true).sees(healthy(), Healthy).then(10_000, false);
    course.sees(red(), Healthy).sees(red(), Unhealthy).sees(healthy(), Unhealthy).sees(red(), Unhealthy);
    let mut course = Course::new();
    course.sees(red(), Pending);
    assert_eq!(course.standing.why(), "no verdict yet, red 1");
    course.sees(red(), Unhealthy);
    // Another finding need not wait for it.
    let mut both = red();
    both.findings.push(Finding::degraded("connections", 0.94));
    Course::settled().sees(both, Degraded);
}

#[test]
fn first_failures_of_some_kinds_stay_pending_for_the_grace() {
    let mut course = Course::new();
    course.sees(failed(ConnectRefused), Pending).then(2_000, true).sees(failed(NotReady), Pending).sees(healthy(), Healthy);
    // The first success ends it.
    course.sees(failed(ConnectRefused), Unhealthy);
    let mut course = Course::new();
    course.sees(failed(ConnectRefused), Pending);
    assert_eq!(course.standing.why(), "no verdict yet, it did not work (connect_refused)");
    course.now = timing().startup_grace;
    course.sees(failed(ConnectRefused), Unhealthy);
    for kind in [Config, Auth, FailureKind::Tls] {
        Course::new().sees(failed(kind), Unhealthy);
    }
    Course::new().sees(failed(Timeout), Pending).then(2_000, true).sees(failed(Timeout), Unhealthy);
}

#[test]
fn one_success_is_enough_at_startup() {
    Course::new().sees(full(), Degraded).then(10_000, false);
    Course::new().sees(healthy(), Healthy);
}

#[test]
fn what_is_stale_stays_so_until_something_is_known() {
    let mut course = Course::settled();
    course.standing = course.standing.outdated(noon());
    course.sees(failed(Timeout), Stale).sees(healthy(), Healthy);
    course.sees(failed(ConnectRefused), Unhealthy);
    course.standing = course.standing.outdated(noon());
    course.sees(healthy(), Unhealthy).sees(healthy(), Healthy);
}

#[test]
fn the_interval_is_kept_for_five_minutes_then_it_doubles() {
    let mut course = Course::settled();
    course.sees(failed(ConnectRefused), Unhealthy);
    for _ in 0..29 {
        course.sees(failed(ConnectRefused), Unhealthy).then(10_000, false);
    }
    for millis in [20_000, 40_000, 60_000, 60_000] {
        course.sees(failed(ConnectRefused), Unhealthy).then(millis, false);
    }
    course.sees(failed(Config), Unhealthy).then(120_000, false).sees(failed(Config), Unhealthy).then(240_000, false);
    course.sees(failed(Config), Unhealthy).then(300_000, false);
    course.sees(healthy(), Unhealthy).then(2_000, true).sees(healthy(), Healthy).then(10_000, false);
}

#[test]
fn an_overloaded_server_is_spared_at_once() {
    let mut course = Course::settled();
    course.sees(failed(Overload), Healthy).then(2_000, true);
    course.sees(failed(Overload), Unhealthy).then(20_000, false).sees(failed(Overload), Unhealthy).then(40_000, false);
}

#[test]
fn back_off_never_shortens_a_long_interval() {
    let mut course = Course::settled();
    Arc::get_mut(&mut course.standing.dependency).unwrap().timing.interval = Duration::from_mins(10);
    course.sees(failed(ConnectRefused), Unhealthy).sees(failed(ConnectRefused), Unhealthy).then(600_000, false);
}

#[test]
fn transitions_are_counted_and_dated() {
    let mut course = Course::settled();
    course.sees(healthy(), Healthy).sees(failed(ConnectRefused), Unhealthy).sees(failed(Timeout), Unhealthy);
    assert_eq!(course.standing.tally.transitions, [1, 0, 1, 0, 0]);
    assert_eq!(course.standing.tally.runs, [2, 0, 2]);
}

#[test]
fn what_names_the_peer_is_kept_while_it_is_down() {
    let mut course = Course::settled();
    let before = Arc::clone(&course.standing.identity);
    assert_eq!(before.version.as_deref(), Some("15.18"));
    course.sees(healthy(), Healthy).sees(failed(ConnectRefused), Unhealthy);
    assert!(Arc::ptr_eq(&course.standing.identity, &before));
}

/// Whatever happens: good news takes what it has to take, and bad news is never swallowed.
#[test]
fn no_sequence_breaks_the_rules() {
    let kinds = [Timeout, Unexpected, ConnectRefused, Overload, NotReady];
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut course = Course::new();
        let (mut good, mut bad, mut recovering) = (0_u32, 0_u32, false);
        for _ in 0..60 {
            let outcome = match random.u8(0..6) {
                0 | 1 => healthy(),
                2 => full(),
                3 => slow(),
                _ => failed(kinds[random.usize(0..kinds.len())]),
            };
            let failure = outcome.failure.as_ref().map(|failure| failure.kind);
            (good, bad) = if failure.is_none() { (good + 1, 0) } else { (0, bad + 1) };
            course.now += course.next.after;
            let moment = Moment { since_start: course.now, at: noon() };
            (course.standing, course.next) = judge(&course.standing, Arc::new(outcome), moment);
            let status = course.standing.status;
            if failure.is_some_and(is_decisive) {
                assert!(!status.serves(), "seed {seed}: a decisive failure was swallowed");
            }
            assert!(!(bad >= 2 && status.serves()), "seed {seed}: two failures and still {status}");
            if recovering && status.serves() {
                assert!(good >= 2, "seed {seed}: back after {good} successes");
            }
            recovering = status == Unhealthy;
            assert!(status != Stale && (status != Pending || good == 0), "seed {seed}: {status}");
            let after = course.next.after;
            assert!(after >= Duration::from_secs(2) && after <= Duration::from_mins(1), "seed {seed}: {after:?}");
        }
    }
}
