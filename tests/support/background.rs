//! Asynchronous work for tests that may or may not have a runtime of their own.
//!
//! Proxies and peers run on a thread with a current-thread runtime, so that a test which blocks, or pauses Tokio's
//! clock, neither stops them nor changes their time.

use std::net::TcpListener as StdListener;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::PATIENCE;

/// A named thread that runs one future until that ends or this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts a thread that runs what `work` returns; tasks that it spawns end with it.
    pub(crate) fn spawn<W, F>(name: &str, work: W) -> Self
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime().block_on(async {
                    tokio::select! {
                        () = work() => {}
                        _ = stopped => {}
                    }
                });
            })
            .expect("a thread can be started");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed; a second one here, while unwinding, would abort.
            let _ = thread.join();
        }
    }
}

/// Runs a future to its end on a thread of its own, from wherever; panics when it takes longer than [`PATIENCE`].
pub(crate) fn block_on<T: Send>(what: &str, future: impl Future<Output = T> + Send) -> T {
    let run = || runtime().block_on(async { tokio::time::timeout(PATIENCE, future).await });
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    match outcome {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => panic!("not within {PATIENCE:?}: {what}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A listener on a free port of 127.0.0.1, to be adopted by the runtime of a [`Background`].
pub(crate) fn listener() -> StdListener {
    let listener = StdListener::bind(("127.0.0.1", 0)).expect("a port of 127.0.0.1 is free");
    listener.set_nonblocking(true).expect("a listener can be made non-blocking");
    listener
}

/// Hands a [`listener`] to the runtime that this is called in.
pub(crate) fn adopt(listener: StdListener) -> TcpListener {
    TcpListener::from_std(listener).expect("the runtime takes a non-blocking listener")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built")
}
