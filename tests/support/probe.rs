//! Runs a probe without an agent: what the live and conformance rings ask.

use std::time::Duration;

use probity_probes::{Options, Outcome, Prober, find};
use serde_json::Value;

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
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let prober = Prober::new(probe.expect("a probe can be built of this configuration"), runtime.handle().clone());
        Self { runtime: Some(runtime), prober }
    }

    /// One run with the default timeout of 3 s.
    pub(crate) fn run(&self) -> Outcome {
        self.run_within(Duration::from_secs(3))
    }

    /// One run with a timeout.
    pub(crate) fn run_within(&self, timeout: Duration) -> Outcome {
        self.block_on(self.prober.run(timeout))
    }

    /// Waits for the loss of the warm session; false when `patience` ends first.
    pub(crate) fn lost_within(&self, patience: Duration) -> bool {
        self.block_on(async { tokio::time::timeout(patience, self.prober.lost()).await.is_ok() })
    }

    /// Tasks on the runtime of the probe that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks())
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

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
