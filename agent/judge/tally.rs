//! What is counted per dependency while the agent lives.

use std::time::Duration;

use probity_probes::{Outcome, SessionKind};

use super::ViewStatus;

/// Counters and histograms of one dependency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Runs by raw result: healthy, degraded, unhealthy.
    pub runs: [u64; 3],
    /// Runs that were due while the one before still went on, or while the agent was starved.
    pub skipped: u64,
    /// Warm sessions that were lost and replaced inside a run.
    pub reconnects: u64,
    /// Runs whose backend did not give up at the deadline and was left behind.
    pub abandoned: u64,
    /// Changes of the status, by the new one.
    pub transitions: [u64; ViewStatus::ALL.len()],
    /// Duration of runs on a warm session.
    pub warm: Histogram,
    /// Duration of runs on a fresh session, or on none.
    pub fresh: Histogram,
}

impl Tally {
    /// Counts an outcome.
    pub fn count(&mut self, outcome: &Outcome) {
        self.runs[outcome.status as usize] += 1;
        self.reconnects += u64::from(outcome.reconnected);
        self.abandoned += u64::from(outcome.abandoned);
        match outcome.session {
            Some(SessionKind::Warm) => self.warm.observe(outcome.duration),
            Some(SessionKind::Fresh) | None => self.fresh.observe(outcome.duration),
        }
    }
}

/// Durations in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many fell into each bucket, not cumulated; what is longer than the last bound is in `count` alone.
    pub buckets: [u64; Self::BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    /// Upper bounds of the buckets in seconds: from a cache on loopback to the longest sensible timeout.
    pub const BOUNDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// Counts a duration.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let mut histogram = Histogram::default();
        for millis in [1, 2, 20_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        assert_eq!(histogram.buckets[1], 1, "a bound belongs to its bucket");
        assert_eq!(histogram.buckets[2], 1);
        assert_eq!((histogram.count, histogram.sum), (3, Duration::from_millis(20_003)));
        assert_eq!(histogram.buckets.iter().sum::<u64>(), 2, "the longest is in no bucket but +Inf");
    }
}
