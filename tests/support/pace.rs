//! How late this machine is by itself: a deadline is kept or missed whatever else a busy machine does.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a run may take beyond its deadline on a machine that has nothing else to do.
const LATE: Duration = Duration::from_millis(100);

/// Older delays say nothing about a run that has just ended.
const RECENT: Duration = Duration::from_secs(5);

/// What a run may take beyond its deadline here and now: [`LATE`], and what plain sleeps have lately taken too long.
pub(crate) fn late() -> Duration {
    LATE + worst_delay()
}

/// Whether the machine itself may have kept a run from ending in its own time, so that it was left behind.
pub(crate) fn is_slow() -> bool {
    const NOTABLE: Duration = Duration::from_millis(10);
    worst_delay() > NOTABLE
}

/// What plain sleeps have lately taken too long.
fn worst_delay() -> Duration {
    static BEATS: LazyLock<Mutex<VecDeque<(Instant, Duration)>>> = LazyLock::new(|| {
        thread::spawn(beat);
        Mutex::default()
    });
    fn beat() {
        const STEP: Duration = Duration::from_millis(5);
        loop {
            let before = Instant::now();
            thread::sleep(STEP);
            let delay = before.elapsed().saturating_sub(STEP);
            let mut beats = BEATS.lock().unwrap_or_else(PoisonError::into_inner);
            beats.push_back((before, delay));
            while beats.front().is_some_and(|(when, _)| when.elapsed() > RECENT) {
                beats.pop_front();
            }
        }
    }
    let beats = BEATS.lock().unwrap_or_else(PoisonError::into_inner);
    beats.iter().map(|(_, delay)| *delay).max().unwrap_or_default()
}
