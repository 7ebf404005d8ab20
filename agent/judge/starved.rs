//! Which outcomes say nothing of a dependency, because this machine kept the run waiting.

use std::time::Duration;

use probity_probes::{Failure, FailureKind, FaultDomain, Outcome, Status};

/// Whether a run has no outcome: it waited for this machine for more than a quarter of its time, and what it says depends
/// on time. A peer that answered well has answered, and one that refused has refused, however long that took.
#[must_use]
pub fn is_starved(outcome: &Outcome, timeout: Duration) -> bool {
    // A step of the run may have had less than the whole timeout. What ended within moments did not end for lack of time.
    let limit = (timeout.min(outcome.duration) / 4).max(NOTABLE.min(timeout / 4));
    outcome.waited > limit && depends_on_time(outcome)
}

/// A wait that is no longer matters only where the whole timeout is that short.
const NOTABLE: Duration = Duration::from_millis(100);

fn depends_on_time(outcome: &Outcome) -> bool {
    match &outcome.failure {
        Some(failure) => match failure.kind {
            // A server hangs up on a client that takes too long.
            FailureKind::Timeout | FailureKind::ConnectTimeout | FailureKind::ConnectionLost => true,
            FailureKind::Dns => failure.code.as_deref() == Some("timeout"),
            _ => false,
        },
        // A slow answer, or a question that was not answered in its own time.
        None => outcome.status != Status::Healthy,
    }
}

/// The outcome for somebody who wants one all the same: what went wrong is this machine, not the peer.
#[must_use]
pub fn own_fault(outcome: Outcome, timeout: Duration) -> Outcome {
    if !is_starved(&outcome, timeout) {
        return outcome;
    }
    let message = format!(
        "no result: this machine kept the run waiting for {} of {} ms",
        outcome.waited.as_millis(),
        outcome.duration.as_millis()
    );
    let mut failure = Failure::new(FailureKind::Unexpected, message)
        .with_code("starved")
        .with_domain(FaultDomain::Probe)
        .with_remedy("Give Probity more processor time: raise its CPU limit or priority, or stop what keeps this machine busy.");
    failure.phase = outcome.failure.and_then(|failure| failure.phase);
    Outcome { status: Status::Unhealthy, failure: Some(failure), findings: Vec::new(), depth: None, ..outcome }
}

#[cfg(test)]
mod tests {
    use probity_probes::Finding;

    use super::*;
    use crate::testing::{failed, found, healthy};

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn after(outcome: Outcome, duration: u64, waited: u64) -> Outcome {
        Outcome { duration: Duration::from_millis(duration), waited: Duration::from_millis(waited), ..outcome }
    }

    #[test]
    fn a_quarter_of_the_time_is_the_limit() {
        for (duration, waited, starved) in [
            (1, 1, false),
            (300, 100, false),
            (300, 101, true),
            (2000, 0, false),
            (2000, 500, false),
            (2000, 501, true),
            (2040, 501, true),
            (1000, 250, false),
            (1000, 251, true),
        ] {
            let outcome = after(failed(FailureKind::Timeout), duration, waited);
            assert_eq!(is_starved(&outcome, TIMEOUT), starved, "{waited} of {duration}");
        }
    }

    #[test]
    fn a_short_timeout_has_a_short_limit() {
        let outcome = after(failed(FailureKind::Timeout), 100, 26);
        assert!(is_starved(&outcome, Duration::from_millis(100)));
    }

    #[test]
    fn what_does_not_depend_on_time_stands() {
        use FailureKind::{
            Auth, Config, ConnectFailed, ConnectRefused, ConnectTimeout, ConnectionLost, Dns, NotReady, Overload, Permission,
            Protocol, Query, Timeout, Tls, Unexpected,
        };
        for kind in [Timeout, ConnectTimeout, ConnectionLost] {
            assert!(is_starved(&after(failed(kind), 2000, 1500), TIMEOUT), "{kind}");
        }
        for kind in
            [Config, Dns, ConnectRefused, ConnectFailed, Tls, Auth, Permission, Protocol, Query, Overload, NotReady, Unexpected]
        {
            assert!(!is_starved(&after(failed(kind), 2000, 1500), TIMEOUT), "{kind}");
        }
        let mut late = after(failed(Dns), 2000, 1500);
        late.failure = late.failure.map(|failure| failure.with_code("timeout"));
        assert!(is_starved(&late, TIMEOUT));
        assert!(!is_starved(&after(healthy(), 2000, 1500), TIMEOUT));
        assert!(is_starved(&after(found(Finding::degraded("latency", 0.4)), 400, 200), TIMEOUT));
    }

    #[test]
    fn a_check_says_that_it_was_this_machine() {
        let outcome = own_fault(after(failed(FailureKind::Timeout), 2000, 1500), TIMEOUT);
        let failure = outcome.failure.as_ref().map(|failure| (failure.kind, failure.fault_domain, failure.message.as_str()));
        let message = "no result: this machine kept the run waiting for 1500 of 2000 ms";
        assert_eq!(failure, Some((FailureKind::Unexpected, FaultDomain::Probe, message)));
        let refused = own_fault(after(failed(FailureKind::ConnectRefused), 2000, 1500), TIMEOUT);
        assert_eq!(refused.failure.map(|failure| failure.kind), Some(FailureKind::ConnectRefused));
    }
}
