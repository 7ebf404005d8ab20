//! Runs a probe from outside: the deadline that no backend can outlive, and the net under its panics.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::oneshot, time::timeout_at};

use crate::{
    backend::Probe,
    failure::{Failure, FailureKind},
    run::{Outcome, Status, overdue},
    waiting::{Attended, Waiting, Workers},
};

/// A run that is cut from inside needs this long to say so.
const SLACK: Duration = Duration::from_millis(40);

/// A probe and the runtime its runs go on.
#[derive(Clone)]
pub struct Prober {
    probe: Arc<dyn Probe>,
    workers: Arc<Workers>,
    runtime: Handle,
}

impl Prober {
    /// Runs go on the given runtime; whoever calls [`Prober::run`] may be on another one, which a
    /// backend that blocks its thread then cannot block.
    #[must_use]
    pub fn new(probe: Arc<dyn Probe>, runtime: Handle) -> Self {
        Self { probe, workers: Workers::of(&runtime), runtime }
    }

    /// The probe itself.
    #[must_use]
    pub fn probe(&self) -> &Arc<dyn Probe> {
        &self.probe
    }

    /// Does one run. It ends at the deadline, whatever the backend does.
    pub async fn run(&self, timeout: Duration) -> Outcome {
        let run = self.probe.prepare(timeout);
        let (deadline, progress) = (run.deadline(), run.progress());
        let started = tokio::time::Instant::now();
        let (tell, told) = oneshot::channel();
        let waiting = Waiting::new(&self.workers, timeout);
        let attempt = Attended::new(Arc::clone(&self.probe).attempt(run), Arc::clone(&waiting));
        let mut task = AbortOnDrop(self.runtime.spawn(async move {
            // The receiver is gone only when the run was abandoned; then nobody wants its outcome.
            let _ = tell.send(attempt.await);
        }));
        let failure = match timeout_at(deadline + SLACK, told).await {
            Ok(Ok(outcome)) if outcome.status == Status::Healthy => return outcome,
            Ok(Ok(outcome)) => return Outcome { waited: outcome.waited.max(waiting.so_far()), ..outcome },
            Ok(Err(_)) => Err(match (&mut task.0).await {
                Err(error) if error.is_panic() => Failure::new(FailureKind::Unexpected, "the probe panicked"),
                _ => Failure::new(FailureKind::Unexpected, "the probe was stopped before it could answer"),
            }),
            Err(_) => Ok(()),
        };
        let waited = waiting.so_far();
        let seen = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let phase = seen.reached;
        let idle = || Failure::new(FailureKind::Timeout, "the probe did not end at the deadline");
        let (abandoned, mut failure) = match failure {
            Ok(()) => (true, phase.map_or_else(idle, overdue)),
            Err(failure) => (false, failure),
        };
        failure.phase = phase;
        Outcome {
            status: Status::Unhealthy,
            failure: Some(failure),
            findings: Vec::new(),
            facts: Arc::default(),
            missing: Vec::new(),
            depth: None,
            session: seen.session,
            reconnected: false,
            abandoned,
            phases: seen.phases,
            duration: started.elapsed(),
            waited,
            at: jiff::Timestamp::now(),
        }
    }

    /// Completes when the next run is due at once: the peer of the warm session has closed it, or a file that the last
    /// session was opened from has changed, appeared or gone.
    #[must_use]
    pub fn lost(&self) -> BoxFuture<'static, ()> {
        self.probe.lost()
    }

    /// Closes the warm session politely, on the runtime it lives on.
    pub async fn close(&self) {
        let closing = self.runtime.spawn(Arc::clone(&self.probe).close());
        if closing.await.is_err() {
            tracing::debug!(backend = self.probe.kind(), "closing a session panicked");
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
