//! Runs a probe without an agent: what the live and conformance rings ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use probity_probes::{Entry, Options, Outcome, Probe, Prober, find};
use serde_json::Value;

use super::pace::late;

/// A probe on a runtime of its own, so that plain and async tests can use it alike.
pub(crate) struct Asked {
    /// `None` only while it is dropped.
    runtime: Option<tokio::runtime::Runtime>,
    prober: Prober,
}

impl Asked {
    /// With the default options.
    pub(crate) fn new(kind: &str, config: Value) -> Self {
        Self::with(kind, config, Options::default())
    }

    /// With options.
    pub(crate) fn with(kind: &str, config: Value, options: Options) -> Self {
        let probe = find(kind).and_then(|entry| entry.build(config, options).map_err(|error| error.to_string()));
        Self::of(probe.expect("a probe can be built of this configuration"))
    }

    /// Of a probe that was built elsewhere.
    pub(crate) fn of(probe: Arc<dyn Probe>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let prober = Prober::new(probe, runtime.handle().clone());
        // From now on the machine's own pace is measured.
        let _ = late();
        Self { runtime: Some(runtime), prober }
    }

    /// One run with the default timeout of 3 s.
    pub(crate) fn run(&self) -> Outcome {
        self.run_within(Duration::from_secs(3))
    }

    /// One run with a timeout. A file that was changed before it is seen.
    pub(crate) fn run_within(&self, timeout: Duration) -> Outcome {
        probity_probes::testing::look_at_files();
        self.block_on(self.prober.run(timeout))
    }

    /// Starts a run and drops it after a while; false when it ended by itself before.
    pub(crate) fn dropped_after(&self, patience: Duration) -> bool {
        self.block_on(async { tokio::time::timeout(patience, self.prober.run(Duration::from_mins(1))).await.is_err() })
    }

    /// Waits for the loss of the warm session; false when `patience` ends first.
    pub(crate) fn lost_within(&self, patience: Duration) -> bool {
        self.block_on(async { tokio::time::timeout(patience, self.prober.lost()).await.is_ok() })
    }

    /// Tasks on the runtime of the probe that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }

    /// Waits for the loss in the background.
    pub(crate) fn waiting(&self) -> Waiting {
        let (lost, over) = (self.prober.lost(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&over);
        let waiting = async move {
            lost.await;
            told.store(true, Ordering::SeqCst);
        };
        self.runtime.as_ref().expect("it is there until it is dropped").spawn(waiting);
        Waiting(over)
    }

    /// Ends the session politely.
    pub(crate) fn close(&self) {
        self.block_on(self.prober.close());
    }

    /// On a thread without a runtime: a plain `block_on` inside an async test would panic.
    fn block_on<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join().expect("the future does not panic"))
    }
}

/// Somebody who waits for the loss of a session.
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Whether the loss was told.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The example of a backend, at another `HOST:PORT`, as it stands in a catalog.
pub(crate) fn example_at(entry: &Entry, place: &str) -> String {
    let (before, rest) = entry.example.split_once("localhost:").expect("an example is at its standard port of localhost");
    format!("{before}{place}{}", rest.trim_start_matches(|letter: char| letter.is_ascii_digit()))
}

/// A catalog entry with more keys, or others.
pub(crate) fn with(mut entry: Value, keys: Value) -> Value {
    if let (Some(entry), Value::Object(keys)) = (entry.as_object_mut(), keys) {
        entry.extend(keys);
    }
    entry
}
