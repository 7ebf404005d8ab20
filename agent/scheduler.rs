//! When probes run: first runs spread, later ones jittered, one at a time per dependency.
//!
//! Each dependency has a task of its own and waits for nobody else. A run starts when it is due, when the
//! judge wants a quick second look, or when the peer of the warm session hangs up. Ticks that were missed
//! are counted, never made up for.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use probity_probes::Prober;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    catalog::plan::{AgentPlan, DependencyPlan, Timing},
    host,
    judge::{Next, is_starved, quick_pause},
    keeper::Report,
    vitals::{HEARTBEAT, Vitals},
};

/// First runs are spread over at most so much.
const SPREAD: Duration = Duration::from_secs(2);

/// Runs start at multiples of this, or of a tenth of a short interval.
const GRID: Duration = Duration::from_millis(20);

/// When the agent stops, a run that goes on gets so long to end by itself.
const LAST_RUN: Duration = Duration::from_secs(1);

/// And a session so long to be closed politely.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Runs every dependency until told to stop; then every session has been closed.
///
/// # Errors
/// A task of the scheduler itself panicked: the agent can no longer be believed.
pub async fn run(
    agent: &AgentPlan,
    dependencies: &[Arc<DependencyPlan>],
    probes: &Handle,
    reports: mpsc::Sender<Report>,
    vitals: &Arc<Vitals>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), JoinError> {
    let cap = agent.max_in_flight.map(|seats| Arc::new(Semaphore::new(seats)));
    let epoch = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, plan) in dependencies.iter().enumerate() {
        let seat = Seat {
            index,
            timing: plan.timing,
            prober: Prober::new(Arc::clone(&plan.probe), probes.clone()),
            reports: reports.clone(),
            vitals: Arc::clone(vitals),
            cap: cap.clone(),
            random: fastrand::Rng::with_seed(seed(&agent.id, host::name(), &plan.name)),
            epoch,
            skipped: 0,
            owed: None,
        };
        tasks.spawn(seat.keep(stop.clone()));
    }
    drop(reports);
    let work = async {
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        // Without dependencies there is nothing to wait for but the end.
        stopped(&mut stop).await;
        Ok(())
    };
    tokio::select! {
        ended = work => ended,
        never = pulse(vitals) => match never {},
    }
}

/// Shows that the scheduler's thread is alive, and how late it is. Never ends.
async fn pulse(vitals: &Vitals) -> Infallible {
    let mut due = Instant::now();
    loop {
        vitals.beat(due.elapsed());
        due = Instant::now() + HEARTBEAT;
        sleep_until(due).await;
    }
}

/// The same for one agent on one machine, different for its replicas.
fn seed(agent: &str, host: &str, dependency: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (agent, host, dependency).hash(&mut hasher);
    hasher.finish()
}

/// Completes when the agent stops, also when whoever could say so is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One dependency's place in the schedule.
struct Seat {
    index: usize,
    timing: Timing,
    prober: Prober,
    reports: mpsc::Sender<Report>,
    vitals: Arc<Vitals>,
    cap: Option<Arc<Semaphore>>,
    random: fastrand::Rng,
    epoch: Instant,
    skipped: u64,
    /// When the first of the latest runs was due that have no outcome: until one has, this is the run that is overdue.
    owed: Option<Instant>,
}

impl Seat {
    async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        let first = self.timing.interval.min(SPREAD).mul_f64(self.random.f64());
        let mut due = Instant::now() + first;
        // A lost session may start a run from then on.
        let mut lenient = Instant::now();
        loop {
            self.expect(due);
            let Some(base) = self.wait(due, &mut lenient, &mut stop).await else { break };
            let Some(next) = self.run(base, &mut stop).await else { break };
            due = self.schedule(base, next);
        }
        if timeout(LAST_WORDS, self.prober.close()).await.is_err() {
            tracing::debug!(backend = self.prober.probe().kind(), "a session could not be closed in time");
        }
    }

    fn expect(&self, due: Instant) {
        self.vitals.set_due(self.index, self.owed.unwrap_or(due));
    }

    /// Until the next run begins: what it counts from, or `None` when the agent stops.
    async fn wait(&self, due: Instant, lenient: &mut Instant, stop: &mut watch::Receiver<bool>) -> Option<Instant> {
        tokio::select! {
            biased;
            () = stopped(stop) => return None,
            () = sleep_until(due) => {
                self.vitals.note_lag(due.elapsed());
                return Some(due);
            }
            () = self.prober.lost() => {}
        }
        let start = due.min(Instant::now().max(*lenient));
        self.expect(start);
        // A sleep of no time takes a millisecond.
        if start > Instant::now() {
            tokio::select! {
                biased;
                () = stopped(stop) => return None,
                () = sleep_until(start) => {}
            }
        }
        *lenient = start + quick_pause(&self.timing);
        Some(start)
    }

    /// One run and its report; `None` when the agent stops.
    async fn run(&mut self, due: Instant, stop: &mut watch::Receiver<bool>) -> Option<Next> {
        let _permit = match &self.cap {
            Some(cap) => tokio::select! {
                biased;
                () = stopped(stop) => return None,
                permit = Arc::clone(cap).acquire_owned() => permit.ok(),
            },
            None => None,
        };
        let outcome = {
            let _in_flight = InFlight::new(&self.vitals);
            let mut run = pin!(self.prober.run(self.timing.timeout));
            tokio::select! {
                outcome = &mut run => outcome,
                () = stopped(stop) => {
                    let _ = timeout(LAST_RUN, run).await;
                    return None;
                }
            }
        };
        if is_starved(&outcome, self.timing.timeout) {
            self.owed.get_or_insert(due);
            if let Some(runs) = self.vitals.note_starved() {
                let (waited, of) = (outcome.waited.as_millis(), outcome.duration.as_millis());
                tracing::warn!(runs, "runs without an outcome: this machine kept the latest one waiting for {waited} of {of} ms");
            }
            return Some(Next::regular(&self.timing));
        }
        self.owed = None;
        let (next, answer) = oneshot::channel();
        let skipped = std::mem::take(&mut self.skipped);
        self.reports.send(Report { index: self.index, outcome: Arc::new(outcome), skipped, next }).await.ok()?;
        answer.await.ok()
    }

    /// The nearest moment at which others may start, too: many runs for one waking of three threads. With
    /// a thousand dependencies, waking is what costs most.
    fn on_grid(&self, due: Instant) -> Instant {
        let grid = (self.timing.interval / 10).min(GRID).as_nanos().max(1);
        let rest = due.duration_since(self.epoch).as_nanos() % grid;
        let nanos = |nanos: u128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if rest * 2 < grid { due - nanos(rest) } else { due + nanos(grid - rest) }
    }

    /// When the next run is due. Ticks that have passed meanwhile are skipped and counted.
    fn schedule(&mut self, base: Instant, next: Next) -> Instant {
        let now = Instant::now();
        if next.quick {
            return now + next.after;
        }
        let jitter = 0.9 + 0.2 * self.random.f64();
        let due = self.on_grid(base + next.after.mul_f64(jitter));
        if due > now {
            return due;
        }
        let missed = 1 + now.duration_since(due).as_nanos() / next.after.as_nanos().max(1);
        self.skipped += u64::try_from(missed).unwrap_or(u64::MAX);
        due + next.after * u32::try_from(missed).unwrap_or(u32::MAX)
    }
}

/// Counts a run while it goes on.
struct InFlight<'a>(&'a Vitals);

impl<'a> InFlight<'a> {
    fn new(vitals: &'a Vitals) -> Self {
        vitals.in_flight.fetch_add(1, Relaxed);
        Self(vitals)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use probity_probes::{FailureKind, Outcome};

    use super::*;
    use crate::{
        catalog::plan::Criticality,
        keeper::Keeper,
        snapshot::Snapshot,
        testing::{Act, Script, agent, failed, healthy, plan_of},
    };

    /// Scheduler, keeper and scripted probes on one paused clock.
    struct Bench {
        reader: watch::Receiver<Arc<Snapshot>>,
        vitals: Arc<Vitals>,
        stop: watch::Sender<bool>,
        ended: tokio::task::JoinHandle<Result<(), JoinError>>,
    }

    fn start(agent: AgentPlan, scripts: &[Arc<Script>]) -> Bench {
        let plan = |(index, script): (usize, &Arc<Script>)| {
            let mut plan = plan_of(&format!("db-{index}"), Criticality::Required, Arc::clone(script));
            plan.timing.startup_grace = Duration::ZERO;
            Arc::new(plan)
        };
        let plans: Vec<_> = scripts.iter().enumerate().map(plan).collect();
        let vitals = Arc::new(Vitals::new(plans.len()));
        let agent = Arc::new(agent);
        let (keeper, reader) = Keeper::new(Arc::clone(&agent), &plans, Arc::clone(&vitals));
        let (reports, inbox) = mpsc::channel(16);
        tokio::spawn(keeper.run(inbox));
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn({
            let vitals = Arc::clone(&vitals);
            async move { run(&agent, &plans, &Handle::current(), reports, &vitals, stopped).await }
        });
        Bench { reader, vitals, stop, ended }
    }

    fn tally(bench: &Bench, index: usize) -> crate::judge::Tally {
        bench.reader.borrow().standings[index].tally
    }

    #[tokio::test(start_paused = true)]
    async fn runs_come_at_the_interval_with_jitter() {
        let script = Script::of([]);
        let bench = start(agent(), &[Arc::clone(&script)]);
        sleep_until(Instant::now() + Duration::from_secs(2)).await;
        assert_eq!(script.runs(), 1, "the first run within two seconds");
        sleep_until(Instant::now() + Duration::from_secs(1000)).await;
        let runs = script.runs();
        assert!((97..=105).contains(&runs), "{runs}");
        assert_eq!(tally(&bench, 0).skipped, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_dependency_delays_no_other_and_ends_at_its_deadline() {
        let (hung, well) = (Script::of([Act::Hang]), Script::of([]));
        let bench = start(agent(), &[Arc::clone(&hung), Arc::clone(&well)]);
        sleep_until(Instant::now() + Duration::from_millis(2_500)).await;
        assert_eq!(bench.vitals.in_flight.load(Relaxed), 1);
        assert_eq!(well.runs(), 1);
        // Two runs, a quick re-run between them: 2 × timeout + 2 s after the first began.
        sleep_until(Instant::now() + Duration::from_secs(8)).await;
        assert_eq!(hung.runs(), 2);
        let view = Arc::clone(&bench.reader.borrow());
        assert_eq!(view.standings[0].status.as_str(), "unhealthy");
        assert_eq!(view.standings[1].status.as_str(), "healthy");
        assert_eq!(view.standings[0].tally.abandoned, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_waited_for_this_machine_has_no_outcome() {
        let slow = Outcome { duration: Duration::from_secs(3), waited: Duration::from_secs(1), ..failed(FailureKind::Timeout) };
        let (starved, well) = (|| Act::End(slow.clone()), || Act::End(healthy()));
        let script = Script::of([well(), starved(), starved(), well()]);
        let bench = start(agent(), &[Arc::clone(&script)]);
        let mut seen = Vec::new();
        for _ in 0..450 {
            sleep_until(Instant::now() + Duration::from_millis(100)).await;
            let status = bench.reader.borrow().standings[0].status.as_str();
            if seen.last() != Some(&status) {
                seen.push(status);
            }
        }
        // Stale when the first of them was due, its timeout and an interval ago.
        assert_eq!(seen, ["pending", "healthy", "stale", "healthy"]);
        assert_eq!((bench.vitals.starved(), tally(&bench, 0).runs), (2, [3, 0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_outcome() {
        let bench = start(agent(), &[Script::of([Act::Panic])]);
        sleep_until(Instant::now() + Duration::from_secs(5)).await;
        let view = Arc::clone(&bench.reader.borrow());
        let failure = &view.standings[0].last_error.as_ref().unwrap().failure;
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Unexpected, "the probe panicked"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_starts_a_run_at_once_but_not_endlessly() {
        let script = Script::of([Act::End(healthy()), Act::End(failed(FailureKind::ConnectRefused))]);
        let bench = start(agent(), &[Arc::clone(&script)]);
        sleep_until(Instant::now() + Duration::from_secs(3)).await;
        let lost = Instant::now();
        script.loss.notify_one();
        let mut reader = bench.reader.clone();
        reader.wait_for(|view| view.standings[0].status.as_str() == "unhealthy").await.unwrap();
        assert_eq!(Instant::now(), lost);
        for _ in 0..4 {
            script.loss.notify_one();
            sleep_until(Instant::now() + Duration::from_millis(450)).await;
        }
        assert_eq!(script.runs(), 2, "within two seconds of the last such run it waits");
        sleep_until(Instant::now() + Duration::from_millis(300)).await;
        assert_eq!(script.runs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cap_makes_others_wait_and_missed_ticks_are_counted() {
        let slow = |_| Script::of([Act::After(Duration::from_millis(2_900), healthy())]);
        let scripts: Vec<_> = (0..8).map(slow).collect();
        let bench = start(AgentPlan { max_in_flight: Some(1), ..agent() }, &scripts);
        let most = AtomicUsize::new(0);
        for _ in 0..600 {
            sleep_until(Instant::now() + Duration::from_millis(500)).await;
            most.fetch_max(bench.vitals.in_flight.load(Relaxed), Relaxed);
        }
        assert_eq!(most.load(Relaxed), 1);
        assert!((0..8).map(|index| tally(&bench, index).skipped).sum::<u64>() > 100);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_lets_runs_end_and_closes_sessions() {
        let late: Outcome = healthy();
        let scripts = [Script::of([]), Script::of([Act::After(Duration::from_millis(500), late)]), Script::of([Act::Hang])];
        let bench = start(agent(), &scripts);
        sleep_until(Instant::now() + Duration::from_millis(2_100)).await;
        let told = Instant::now();
        bench.stop.send_replace(true);
        bench.ended.await.unwrap().unwrap();
        assert!(told.elapsed() <= Duration::from_secs(2), "{:?}", told.elapsed());
        for script in &scripts {
            assert_eq!(script.closes.load(Relaxed), 1);
        }
        assert_eq!(bench.vitals.in_flight.load(Relaxed), 0);
    }

    #[test]
    fn replicas_start_at_different_times() {
        assert_ne!(seed("a", "pod-1", "db"), seed("a", "pod-2", "db"));
        assert_ne!(seed("a", "pod-1", "db"), seed("a", "pod-1", "cache"));
        assert_eq!(seed("a", "pod-1", "db"), seed("a", "pod-1", "db"));
    }
}
