//! How the agent itself is: numbers that its parts write and its surfaces read, without a lock between them.
//!
//! The thread that answers HTTP must be able to tell that the scheduler stands still, so nothing here
//! needs the scheduler's help to be read.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::judge::Moment;

/// A scheduler that has not ticked for so long has stopped.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(30);

/// From one heartbeat to the next.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// Runs without an outcome are logged this often at most.
const STARVED_EVERY: Duration = Duration::from_mins(1);

/// The state of the agent's own parts.
#[derive(Debug)]
pub struct Vitals {
    started: Instant,
    started_at: Timestamp,
    /// The latest heartbeat, in milliseconds since the start.
    heartbeat: AtomicU64,
    /// The worst delay of this heartbeat and of the one before, in microseconds.
    lag: AtomicU64,
    lag_before: AtomicU64,
    stopping: AtomicBool,
    /// When the next run of each dependency is due, in milliseconds since the start.
    due: Box<[AtomicU64]>,
    /// Runs that have no outcome, because this machine kept them waiting.
    starved: AtomicU64,
    /// When that was last logged, in milliseconds since the start.
    starved_told: AtomicU64,
    /// Runs that go on.
    pub in_flight: AtomicUsize,
    /// Outcomes that the keeper took in one go, the last time.
    pub batch: AtomicUsize,
    /// Open HTTP connections.
    pub connections: AtomicUsize,
    /// HTTP requests answered.
    pub requests: AtomicU64,
    /// HTTP connections refused because there were too many.
    pub refused: AtomicU64,
    /// HTTP connections closed while idle or unfinished, because others needed their place.
    pub dismissed: AtomicU64,
    /// HTTP connections that could not be accepted.
    pub accept_errors: AtomicU64,
}

impl Vitals {
    /// Of an agent that starts now, with so many dependencies.
    #[must_use]
    pub fn new(dependencies: usize) -> Self {
        Self {
            started: Instant::now(),
            started_at: Timestamp::now(),
            heartbeat: AtomicU64::new(0),
            lag: AtomicU64::new(0),
            lag_before: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            due: (0..dependencies).map(|_| AtomicU64::new(0)).collect(),
            starved: AtomicU64::new(0),
            starved_told: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            batch: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dismissed: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
        }
    }

    /// When the agent started, on the wall.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Now, by both clocks.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { since_start: self.started.elapsed(), at: Timestamp::now() }
    }

    /// The scheduler lives, and was late by so much.
    pub fn beat(&self, late: Duration) {
        self.note_lag(late);
        self.lag_before.store(self.lag.swap(0, Relaxed), Relaxed);
        self.heartbeat.store(millis(self.started.elapsed()), Relaxed);
    }

    /// Something that was due began so much later.
    pub fn note_lag(&self, late: Duration) {
        self.lag.fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The worst delay of the last two seconds.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_micros(self.lag.load(Relaxed).max(self.lag_before.load(Relaxed)))
    }

    /// How long ago the scheduler last ticked.
    #[must_use]
    pub fn heartbeat_age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.heartbeat.load(Relaxed)))
    }

    /// Whether the scheduler has stopped ticking.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.heartbeat_age() >= HEARTBEAT_LIMIT
    }

    /// A run has no outcome, because this machine kept it waiting. Returns how many there were, if it is time to log that.
    pub fn note_starved(&self) -> Option<u64> {
        let count = self.starved.fetch_add(1, Relaxed) + 1;
        let (now, told) = (millis(self.started.elapsed()), self.starved_told.load(Relaxed));
        let is_due = count == 1 || now.saturating_sub(told) >= millis(STARVED_EVERY);
        (is_due && self.starved_told.compare_exchange(told, now, Relaxed, Relaxed).is_ok()).then_some(count)
    }

    /// How many runs have no outcome, because this machine kept them waiting.
    #[must_use]
    pub fn starved(&self) -> u64 {
        self.starved.load(Relaxed)
    }

    /// The agent begins to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Whether the agent is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Notes when the next run of a dependency is due.
    pub fn set_due(&self, index: usize, due: Instant) {
        self.due[index].store(millis(due.saturating_duration_since(self.started)), Relaxed);
    }

    /// When the next run of a dependency is due, counted from the start.
    #[must_use]
    pub fn due(&self, index: usize) -> Duration {
        Duration::from_millis(self.due[index].load(Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
