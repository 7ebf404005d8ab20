//! The single writer of standings: takes outcomes, has them judged, publishes what follows.
//!
//! It knows nothing of probes, clocks of runs or HTTP. A burst of outcomes is judged one by one and
//! published once; readers hold a frozen snapshot and never wait for it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use probity_probes::Outcome;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    catalog::plan::{AgentPlan, DependencyPlan, Timing},
    judge::{Moment, Next, Standing, ViewStatus, judge, readiness::Gate},
    snapshot::{Aggregate, Bodies, Snapshot, aggregate},
    vitals::Vitals,
};

/// Outcomes that are taken in one go at most.
const BATCH: usize = 256;

/// How often it looks for overdue runs.
const ROUND: Duration = Duration::from_secs(1);

/// A changed status is published at once; mere numbers wait until so long after the publication before,
/// because a snapshot of a thousand standings costs more than a run.
const PACE: Duration = Duration::from_millis(25);

/// Numbers that no further outcome takes along are published then: waking for them costs as much as a run.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a run says.
pub struct Report {
    /// Which dependency, by its place in the catalog.
    pub index: usize,
    /// The outcome.
    pub outcome: Arc<Outcome>,
    /// Ticks that passed unused since the report before.
    pub skipped: u64,
    /// Where the judge's answer is awaited.
    pub next: oneshot::Sender<Next>,
}

/// Keeps the standings.
pub struct Keeper {
    agent: Arc<AgentPlan>,
    standings: Vec<Arc<Standing>>,
    aggregate: Aggregate,
    gate: Gate,
    revision: u64,
    vitals: Arc<Vitals>,
    published: watch::Sender<Arc<Snapshot>>,
    published_at: Instant,
    /// A status has changed since then.
    is_news: bool,
    /// Something less important has.
    is_waiting: bool,
}

impl Keeper {
    /// Everything is pending, and already published so.
    #[must_use]
    pub fn new(
        agent: Arc<AgentPlan>,
        dependencies: &[Arc<DependencyPlan>],
        vitals: Arc<Vitals>,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let since = vitals.started_at();
        let standings: Vec<_> =
            dependencies.iter().map(|dependency| Arc::new(Standing::pending(Arc::clone(dependency), since))).collect();
        let (aggregate, gate) = aggregate(&standings, &agent, Gate::default(), Duration::ZERO);
        let first = Snapshot {
            revision: 0,
            generation: 1,
            at: since,
            agent: Arc::clone(&agent),
            standings: standings.clone(),
            aggregate: aggregate.clone(),
            withdrawn: None,
            bodies: Bodies::default(),
        };
        let (published, reader) = watch::channel(Arc::new(first));
        let keeper = Self {
            agent,
            standings,
            aggregate,
            gate,
            revision: 0,
            vitals,
            published,
            published_at: Instant::now(),
            is_news: false,
            is_waiting: false,
        };
        (keeper, reader)
    }

    /// Works until nobody can report any more.
    pub async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                taken = reports.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.vitals.batch.store(taken, Relaxed);
                    let now = self.vitals.now();
                    for report in batch.drain(..) {
                        self.take(report, now);
                    }
                    if self.is_news || self.published_at.elapsed() >= PACE {
                        self.publish(now);
                    } else {
                        self.is_waiting = true;
                    }
                }
                () = sleep_until(self.published_at + PATIENCE), if self.is_waiting => self.publish(self.vitals.now()),
                _ = round.tick() => self.look_around(),
            }
        }
    }

    fn take(&mut self, report: Report, now: Moment) {
        let Report { index, outcome, skipped, next } = report;
        let before = &self.standings[index];
        let (mut after, pause) = judge(before, outcome, now);
        after.tally.skipped += skipped;
        // The scheduler will say it exactly; until then what has just ended is not overdue.
        self.vitals.set_due(index, Instant::now() + pause.after);
        // The asker is gone only when the agent stops; then there is no next run.
        let _ = next.send(pause);
        tell(before, &after);
        self.is_news |= before.status != after.status;
        self.standings[index] = Arc::new(after);
    }

    /// What changes with time alone: runs become overdue, the policy fails open.
    fn look_around(&mut self) {
        let now = self.vitals.now();
        let mut changed = false;
        for (index, standing) in self.standings.iter_mut().enumerate() {
            if standing.status == ViewStatus::Stale || !is_overdue(self.vitals.due(index), &standing.dependency.timing, now) {
                continue;
            }
            let after = standing.outdated(now.at);
            tell(standing, &after);
            *standing = Arc::new(after);
            changed = true;
        }
        let (aggregate, _) = aggregate(&self.standings, &self.agent, self.gate, now.since_start);
        if changed || aggregate != self.aggregate {
            self.publish(now);
        }
    }

    fn publish(&mut self, now: Moment) {
        let (aggregate, gate) = aggregate(&self.standings, &self.agent, self.gate, now.since_start);
        if aggregate.ready != self.aggregate.ready {
            let reason = aggregate.reason.as_deref().unwrap_or("every dependency is healthy");
            if aggregate.ready {
                tracing::info!(status = aggregate.status.as_str(), reason, "ready");
            } else {
                tracing::warn!(status = aggregate.status.as_str(), reason, "not ready");
            }
        }
        self.revision += 1;
        (self.is_news, self.is_waiting, self.published_at) = (false, false, Instant::now());
        self.gate = gate;
        self.aggregate = aggregate;
        self.published.send_replace(Arc::new(Snapshot {
            revision: self.revision,
            generation: 1,
            at: now.at,
            agent: Arc::clone(&self.agent),
            standings: self.standings.clone(),
            aggregate: self.aggregate.clone(),
            withdrawn: None,
            bodies: Bodies::default(),
        }));
    }
}

/// Whether a run that was due should long have ended: then the agent itself is starved, because no
/// probe can outlive its deadline.
fn is_overdue(due: Duration, timing: &Timing, now: Moment) -> bool {
    now.since_start > due + timing.timeout + timing.interval.max(Duration::from_secs(2))
}

/// One line per change of a status.
fn tell(before: &Standing, after: &Standing) {
    if before.status == after.status {
        return;
    }
    let plan = &after.dependency;
    let (dependency, backend, criticality) = (&*plan.name, plan.backend, plan.criticality.as_str());
    let (from, to) = (before.status.as_str(), after.status.as_str());
    if after.status == ViewStatus::Healthy {
        tracing::info!(dependency, backend, criticality, from, to, "{dependency} is {to}");
    } else {
        let reason = after.why();
        tracing::warn!(dependency, backend, criticality, from, to, "{dependency} is {to}: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use probity_probes::FailureKind;
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{
        catalog::plan::Criticality,
        testing::{agent, failed, healthy, plan},
    };

    struct Bench {
        reports: mpsc::Sender<Report>,
        reader: watch::Receiver<Arc<Snapshot>>,
        vitals: Arc<Vitals>,
    }

    fn start(agent: AgentPlan) -> Bench {
        let plans = [Arc::new(plan("db", Criticality::Required)), Arc::new(plan("cache", Criticality::Optional))];
        let vitals = Arc::new(Vitals::new(2));
        let (keeper, reader) = Keeper::new(Arc::new(agent), &plans, Arc::clone(&vitals));
        let (reports, inbox) = mpsc::channel(16);
        tokio::spawn(keeper.run(inbox));
        Bench { reports, reader, vitals }
    }

    impl Bench {
        fn send(&self, index: usize, outcome: Outcome) -> oneshot::Receiver<Next> {
            let (next, answer) = oneshot::channel();
            assert!(self.reports.try_send(Report { index, outcome: Arc::new(outcome), skipped: 0, next }).is_ok());
            answer
        }

        fn view(&self) -> Arc<Snapshot> {
            Arc::clone(&self.reader.borrow())
        }

        fn statuses(&self) -> Vec<ViewStatus> {
            self.view().standings.iter().map(|standing| standing.status).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_published_once() {
        let bench = start(agent());
        assert_eq!(bench.view().revision, 0);
        assert!(!bench.view().aggregate.ready && !bench.view().aggregate.started);
        let (_, last) = (bench.send(0, healthy()), bench.send(1, healthy()));
        assert_eq!(last.await, Ok(Next { after: Duration::from_secs(10), quick: false }));
        let view = bench.view();
        assert_eq!(view.revision, 1);
        assert!(view.aggregate.ready && view.aggregate.started);
        assert_eq!(view.aggregate.reason, None);
    }

    #[tokio::test(start_paused = true)]
    async fn news_is_published_at_once_and_numbers_at_a_pace() {
        let bench = start(agent());
        bench.send(0, healthy()).await.unwrap();
        assert_eq!(bench.view().revision, 1, "pending became healthy");
        for _ in 0..10 {
            bench.send(0, healthy()).await.unwrap();
        }
        assert_eq!(bench.view().revision, 1);
        assert_eq!(bench.view().standings[0].tally.runs[0], 1);
        sleep(2 * PATIENCE).await;
        assert_eq!((bench.view().revision, bench.view().standings[0].tally.runs[0]), (2, 11));
        bench.send(0, failed(FailureKind::Auth)).await.unwrap();
        assert_eq!(bench.view().revision, 3);
        sleep(2 * PACE).await;
        bench.send(0, failed(FailureKind::Auth)).await.unwrap();
        assert_eq!(bench.view().revision, 4, "after a pause there is nothing to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overdue_becomes_stale_and_fails_closed() {
        let bench = start(agent());
        bench.send(0, healthy()).await.unwrap();
        bench.send(1, healthy()).await.unwrap();
        let due = Instant::now() + Duration::from_secs(10);
        bench.vitals.set_due(0, due);
        bench.vitals.set_due(1, due + Duration::from_hours(1));
        sleep(Duration::from_secs(22)).await;
        assert_eq!(bench.statuses(), [ViewStatus::Healthy, ViewStatus::Healthy]);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(bench.statuses(), [ViewStatus::Stale, ViewStatus::Healthy]);
        let view = bench.view();
        assert!(!view.aggregate.ready && view.aggregate.started);
        assert_eq!(view.aggregate.reason.as_deref(), Some("db is stale: its run is overdue, the agent is starved"));
        bench.send(0, healthy()).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(bench.statuses(), [ViewStatus::Healthy, ViewStatus::Healthy]);
    }

    #[tokio::test(start_paused = true)]
    async fn failing_open_needs_no_outcome() {
        let bench = start(AgentPlan { fail_open_after: Some(Duration::from_mins(5)), ..agent() });
        bench.send(0, failed(FailureKind::Auth)).await.unwrap();
        bench.send(1, healthy()).await.unwrap();
        for index in 0..2 {
            bench.vitals.set_due(index, Instant::now() + Duration::from_hours(1));
        }
        advance(Duration::from_secs(298)).await;
        sleep(Duration::from_secs(1)).await;
        assert!(!bench.view().aggregate.ready);
        sleep(Duration::from_secs(3)).await;
        let view = bench.view();
        assert!(view.aggregate.ready);
        assert_eq!(
            view.aggregate.reason.as_deref(),
            Some("db is unhealthy: it did not work (auth); ready all the same, because fail_open_after has passed")
        );
    }
}
