//! Computation that a peer asks for: the hashing and the arithmetic of a log-in.
//!
//! How much of it there is, the peer says; guards and `iterations` bound it. What is left may keep a thread busy for a
//! second, so it is done on threads that may block, a few at a time: no other dependency waits for it.

#[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "postgres"))]
use tokio::sync::Semaphore;
#[cfg(feature = "mysql")]
use {
    futures_util::FutureExt,
    std::{pin::Pin, sync::Arc},
    tokio::{runtime::Handle, sync::Notify},
};

use crate::failure::WireFault;
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "postgres"))]
use crate::failure::{Failure, FailureKind};

/// Rounds of hashing that a log-in may take. Servers ask for 4 096 to 600 000.
pub const MOST_ITERATIONS: u64 = 1_000_000;

/// Bits that the modulus of a server's RSA key may have.
#[cfg(feature = "mysql")]
pub const MOST_RSA_BITS: u64 = 16_384;

/// More rounds than this take longer than about 0.1 s.
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "postgres"))]
const MOST_QUICK_ITERATIONS: u32 = 100_000;

/// Threads that compute at the same time: those that take long have seats of their own, so that an ordinary log-in does not
/// wait behind peers that ask for as much as they may.
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "postgres"))]
static LONG: Semaphore = Semaphore::const_new(2);
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "postgres"))]
static QUICK: Semaphore = Semaphore::const_new(2);

/// The seats for so many rounds of hashing.
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "postgres"))]
pub(crate) fn seats(iterations: u32) -> &'static Semaphore {
    if iterations > MOST_QUICK_ITERATIONS { &LONG } else { &QUICK }
}

/// Whether a log-in may take so many rounds.
pub(crate) fn iterations(asked: u64) -> Result<(), WireFault> {
    if asked > MOST_ITERATIONS {
        return Err(WireFault::TooMuchWork { unit: "iterations of the password hash", asked, limit: MOST_ITERATIONS });
    }
    Ok(())
}

/// Computes beside the runtime, on one of these seats.
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "postgres"))]
pub(crate) async fn compute<T: Send + 'static>(
    seats: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let seat = seats.acquire().await.ok();
    let done = tokio::task::spawn_blocking(move || {
        // It is given back when the work is over, also where nobody waits for that any more.
        let _seat = seat;
        work()
    });
    done.await.map_err(|error| {
        Failure::new(FailureKind::Unexpected, "the computation of the log-in ended without a result")
            .with_words(error.to_string())
    })
}

/// Keeps a link to a library and who drives that library in step.
#[cfg(feature = "mysql")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Labour(Arc<Steps>);

#[cfg(feature = "mysql")]
#[derive(Debug, Default)]
struct Steps {
    ahead: Notify,
    ready: Notify,
    over: Notify,
}

#[cfg(feature = "mysql")]
impl Labour {
    /// The library is about to get what takes time: waits until it is on a thread that may block.
    pub(crate) async fn announce(&self) {
        // What the library has said before is no answer to this.
        let _ = self.0.over.notified().now_or_never();
        self.0.ahead.notify_one();
        self.0.ready.notified().await;
    }

    /// The library has answered, or gets nothing more.
    pub(crate) fn over(&self) {
        self.0.over.notify_one();
    }

    /// Drives a log-in of the library.
    ///
    /// # Errors
    /// The thread was lost.
    pub(crate) async fn drive<T: Send + 'static>(&self, log_in: impl Future<Output = T> + Send + 'static) -> Result<T, Failure> {
        let mut log_in: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(log_in);
        loop {
            tokio::select! {
                biased;
                done = &mut log_in => return Ok(done),
                () = self.0.ahead.notified() => {}
            }
            let (runtime, steps) = (Handle::current(), Arc::clone(&self.0));
            let driven = compute(&LONG, move || {
                steps.ready.notify_one();
                runtime.block_on(async move {
                    tokio::select! {
                        biased;
                        done = &mut log_in => Ok(done),
                        () = steps.over.notified() => Err(log_in),
                    }
                })
            });
            match driven.await? {
                Ok(done) => return Ok(done),
                Err(back) => log_in = back,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_iterations_are_the_most() {
        assert_eq!(iterations(MOST_ITERATIONS), Ok(()));
        let failure = iterations(MOST_ITERATIONS + 1).expect_err("too many").to_failure();
        assert_eq!(failure.message, "the peer asked for 1000001 iterations of the password hash, the limit is 1000000");
        assert_eq!(failure.code.as_deref(), Some("too_much_work"));
    }

    #[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "postgres"))]
    #[tokio::test]
    async fn what_computes_keeps_no_thread_of_the_runtime() {
        let (tell, told) = std::sync::mpsc::channel();
        // On a runtime of one thread, only a thread beside it can wait for what it does meanwhile.
        let waiting = tokio::spawn(compute(&LONG, move || told.recv()));
        tokio::task::yield_now().await;
        tell.send(7).expect("it waits");
        assert_eq!(waiting.await.expect("it ends").expect("no panic"), Ok(7));
    }

    #[cfg(any(feature = "kafka", feature = "mongodb", feature = "postgres"))]
    #[tokio::test]
    async fn an_ordinary_log_in_does_not_wait_for_long_ones() {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let told = std::sync::Arc::new(std::sync::Mutex::new(told));
        let long = [0; 3].map(|_| {
            let told = std::sync::Arc::clone(&told);
            tokio::spawn(compute(seats(600_000), move || drop(told.lock().map(|told| told.recv()))))
        });
        while LONG.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(compute(seats(4096), || 7).await.expect("no panic"), 7, "while both seats for long ones are taken");
        drop(tell);
        for waiting in long {
            waiting.await.expect("it ends").expect("no panic");
        }
    }
}
