//! What the rings of tests share: real servers, peers that misbehave, and the agent itself.
//!
//! Everything here lives on loopback, in private folders and on free ports; everything ends with the test
//! process, even when that is killed; every wait is bounded. All of it works from a plain `#[test]` and from
//! `#[tokio::test]`: what needs a runtime brings its own thread ([`background`]). It holds no assertions about
//! Probity, so that a demonstration can start the same servers; when something cannot be had, it panics and says why.

pub(crate) mod actor;
pub(crate) mod agent;
pub(crate) mod alone;
pub(crate) mod background;
#[allow(dead_code, reason = "the demonstration runs the agent by it")]
pub(crate) mod beside;
pub(crate) mod dns;
pub(crate) mod fault;
#[allow(dead_code, reason = "the demonstration and the bench start it")]
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod memory_group;
pub(crate) mod outcome;
pub(crate) mod pace;
pub(crate) mod peers;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod scratch;
pub(crate) mod servers;
pub(crate) mod tls;
pub(crate) mod tls_front;
pub(crate) mod truth;

pub(crate) use scratch::{free_port, scratch};

use std::time::{Duration, Instant};

/// How long a server may take to start or to stop, on a busy machine, before that is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How often a condition is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// Whether the servers that a live test of `backend` needs are installed.
///
/// A missing one is skipped aloud: `if !support::require("postgres") { return; }`. Where `PROBITY_REQUIRE` names
/// the backend (a comma list, or `all`), a skip would be a lie and is a failure instead.
#[track_caller]
pub(crate) fn require(backend: &str) -> bool {
    let Some(missing) = servers::missing(backend) else {
        return true;
    };
    let required = std::env::var("PROBITY_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').map(str::trim).any(|word| word == "all" || word == backend);
    assert!(!is_required, "PROBITY_REQUIRE={required} asks for the live tests of {backend}, but {missing}");
    eprintln!("SKIPPED {backend}: {missing}");
    false
}

/// Looks until `look` has an answer; panics with `what` when `timeout` passes first.
///
/// A condition without a value is waited for with `bool::then_some`.
#[track_caller]
pub(crate) fn eventually<T>(timeout: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + timeout;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < end, "not within {timeout:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// [`eventually`] for a condition that is itself asynchronous; lets other tasks of the test run in between.
pub(crate) async fn eventually_async<T>(timeout: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(timeout, looking).await {
        Ok(answer) => answer,
        Err(late) => panic!("not within {timeout:?} ({late}): {what}"),
    }
}
