//! How long a run waits for this machine instead of its peer: a run whose thread had no processor, or whose worker was
//! blocked by another run, says nothing about a dependency.
//!
//! Two measures, because neither sees everything. Each run has a beat on its own runtime, eight in a timeout, and adds
//! up how late the beats come: that shows workers that are blocked, and a process that was stopped. And the kernel counts
//! how long a thread was ready without a processor (the second number of `/proc/PID/task/TID/schedstat`): that shows many
//! short waits too. A run that ends healthy reads neither. To begin one costs two small reads for each worker, of about a
//! microsecond each, and runs that begin within 5 ms share them.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id},
    time::{Instant, Sleep, sleep_until},
};

/// Beats in a timeout: two in the quarter that decides. Each one wakes the thread of a run that waits, and where
/// processors are scarce each of these wakings waits, too.
const BEATS: u32 = 8;

/// Tokio's timers are no finer than a millisecond.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);

/// A beat that is no later than this is on time.
const ON_TIME: Duration = Duration::from_millis(2);

/// A reading of the kernel's counters is good for runs that begin so much later.
const FRESH: Duration = Duration::from_millis(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads of one runtime, as the kernel sees them.
#[derive(Debug)]
pub(crate) struct Workers {
    runtime: Id,
    /// `schedstat` of each thread that has polled a run.
    threads: Mutex<Vec<File>>,
    latest: Mutex<Option<(Instant, Arc<[Duration]>)>>,
}

static RUNTIMES: Mutex<Option<HashMap<Id, Weak<Workers>>>> = Mutex::new(None);

thread_local! {
    /// The runtime that this thread is known to work for.
    static KNOWN: Cell<Option<Id>> = const { Cell::new(None) };
}

impl Workers {
    /// Those of a runtime; the same for all of its probes.
    pub(crate) fn of(runtime: &Handle) -> Arc<Self> {
        let id = runtime.id();
        let mut runtimes = lock(&RUNTIMES);
        let runtimes = runtimes.get_or_insert_default();
        if let Some(known) = runtimes.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        runtimes.retain(|_, workers| workers.strong_count() > 0);
        let workers = Arc::new(Self { runtime: id, threads: Mutex::default(), latest: Mutex::default() });
        runtimes.insert(id, Arc::downgrade(&workers));
        workers
    }

    /// The thread that calls this is one of them.
    fn join(&self) {
        if KNOWN.get() != Some(self.runtime) {
            KNOWN.set(Some(self.runtime));
            // Not every kernel counts: then the beats have to do.
            lock(&self.threads).extend(File::open("/proc/thread-self/schedstat"));
        }
    }

    /// How long each has waited for a processor since it started.
    fn waits(&self) -> Arc<[Duration]> {
        lock(&self.threads).iter().map(wait_of).collect()
    }

    /// The same, or what was read a moment ago.
    fn recent_waits(&self) -> Arc<[Duration]> {
        let mut latest = lock(&self.latest);
        match &*latest {
            Some((at, waits)) if at.elapsed() < FRESH => Arc::clone(waits),
            _ => {
                let waits = self.waits();
                *latest = Some((Instant::now(), Arc::clone(&waits)));
                waits
            }
        }
    }
}

/// The second number is the time spent ready without a processor, in nanoseconds (the kernel's sched-stats.rst).
fn wait_of(schedstat: &File) -> Duration {
    let mut text = [0; 96];
    let length = schedstat.read_at(&mut text, 0).unwrap_or(0);
    let number = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.split(' ').nth(1)?.parse().ok());
    Duration::from_nanos(number.unwrap_or(0))
}

/// What is known of one run's waiting.
#[derive(Debug)]
pub(crate) struct Waiting {
    workers: Arc<Workers>,
    before: Arc<[Duration]>,
    begun: Instant,
    beat: Duration,
    /// When the run is to be polled next at the latest, in microseconds since it began; never, once it has ended.
    due: AtomicU64,
    /// How late it was polled so far, in microseconds.
    late: AtomicU64,
    /// Whether it is polled right now.
    polled: AtomicBool,
}

impl Waiting {
    /// Of a run that begins now.
    pub(crate) fn new(workers: &Arc<Workers>, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            workers: Arc::clone(workers),
            before: workers.recent_waits(),
            begun: Instant::now(),
            beat: (timeout / BEATS).max(SHORTEST_BEAT),
            due: AtomicU64::new(0),
            late: AtomicU64::new(0),
            polled: AtomicBool::new(false),
        })
    }

    /// How long the run has waited for this machine.
    pub(crate) fn so_far(&self) -> Duration {
        let mut late = Duration::from_micros(self.late.load(Relaxed));
        // A run that blocks its own thread is polled, and does not wait for others.
        if !self.polled.load(Relaxed) {
            late += self.overdue();
        }
        let now = self.workers.waits();
        let waits = now.iter().zip(&*self.before).map(|(now, before)| now.saturating_sub(*before));
        // A wait that began before the run is counted as a whole when it ends.
        late.max(waits.max().unwrap_or_default()).min(self.begun.elapsed())
    }

    fn overdue(&self) -> Duration {
        let late = self.begun.elapsed().saturating_sub(Duration::from_micros(self.due.load(Relaxed)));
        if late > ON_TIME { late } else { Duration::ZERO }
    }
}

/// A run that notes how long it has to wait to be polled.
pub(crate) struct Attended<F> {
    run: F,
    waiting: Arc<Waiting>,
    beat: Option<Pin<Box<Sleep>>>,
}

impl<F> Attended<F> {
    pub(crate) fn new(run: F, waiting: Arc<Waiting>) -> Self {
        Self { run, waiting, beat: None }
    }
}

impl<F: Future + Unpin> Future for Attended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let waiting = &this.waiting;
        waiting.workers.join();
        let late = u64::try_from(waiting.overdue().as_micros()).unwrap_or(u64::MAX);
        waiting.late.fetch_add(late, Relaxed);
        waiting.polled.store(true, Relaxed);
        let polled = Pin::new(&mut this.run).poll(cx);
        if polled.is_pending() {
            let now = Instant::now();
            let beat = this.beat.get_or_insert_with(|| Box::pin(sleep_until(now)));
            if beat.deadline() <= now {
                let due = now + waiting.beat;
                beat.as_mut().reset(due);
                let since = due.saturating_duration_since(waiting.begun).as_micros();
                waiting.due.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
            }
            // It wakes this task, whatever the run waits for.
            if beat.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        } else {
            waiting.due.store(u64::MAX, Relaxed);
        }
        waiting.polled.store(false, Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::{FutureExt, future::pending};
    use tokio::{
        runtime::Builder,
        time::{sleep, timeout},
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(1600);

    /// A run on a runtime with one worker that another task blocks meanwhile, or not.
    fn waited(block: Option<(Duration, Duration)>, run: impl Future<Output = ()> + Send + 'static) -> Duration {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let waiting = Waiting::new(&Workers::of(runtime.handle()), TIMEOUT);
        let attended = Attended::new(run.boxed(), Arc::clone(&waiting));
        let ended = runtime.spawn(attended);
        if let Some((after, length)) = block {
            runtime.spawn(async move {
                sleep(after).await;
                thread::sleep(length);
            });
        }
        let clock = Builder::new_current_thread().enable_all().build().unwrap();
        clock.block_on(async { drop(timeout(TIMEOUT, ended).await) });
        let waited = waiting.so_far();
        runtime.shutdown_background();
        waited
    }

    #[test]
    fn a_run_that_waits_for_its_worker_knows_how_long() {
        let block = Duration::from_millis(800);
        let blocked = waited(Some((Duration::from_millis(200), block)), pending());
        // A beat may have just begun when the worker is blocked.
        assert!(blocked + TIMEOUT / BEATS + ON_TIME >= block, "{blocked:?}");
    }

    #[test]
    fn a_run_that_was_never_polled_has_waited_all_the_time() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let waiting = Waiting::new(&Workers::of(runtime.handle()), TIMEOUT);
        thread::sleep(Duration::from_millis(50));
        assert!(waiting.so_far() >= Duration::from_millis(50));
    }

    #[test]
    fn a_run_that_blocks_its_own_thread_waits_for_nobody() {
        let slow = Duration::from_secs(3);
        let own = waited(None, async move { thread::sleep(slow) });
        assert!(own < TIMEOUT / 4, "{own:?}");
    }

    #[test]
    fn the_kernel_counts_what_threads_wait() {
        let Ok(own) = File::open("/proc/thread-self/schedstat") else {
            eprintln!("SKIPPED: this kernel does not count how long threads wait");
            return;
        };
        let before = wait_of(&own);
        (0..50).for_each(|_| thread::yield_now());
        assert!(wait_of(&own) >= before);
    }
}
