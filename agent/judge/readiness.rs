//! From standings to one answer: the status of the whole, and whether the application may get traffic. Pure.

use std::time::Duration;

use probity_probes::Status;

use super::ViewStatus;
use crate::catalog::plan::{Criticality, Readiness};

/// What a single dependency contributes.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it counts.
    pub criticality: Criticality,
    /// What is shown of it.
    pub status: ViewStatus,
}

/// The sum of all members, before any policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Status of the whole.
    pub status: Status,
    /// Required members that do not serve.
    pub blocking: usize,
    /// The member that explains the status best, as an index.
    pub worst: Option<usize>,
    /// Further members that are not healthy and count.
    pub others: usize,
}

/// Sums members up.
///
/// Required and not serving: unhealthy. Required and degraded, or optional and not healthy: degraded.
/// Informational ones never count. Unknown is not healthy.
pub fn sum<'a>(members: impl IntoIterator<Item = Member<'a>>) -> Sum {
    let mut sum = Sum { status: Status::Healthy, blocking: 0, worst: None, others: 0 };
    let (mut heaviest, mut counted) = (0, 0);
    for (index, member) in members.into_iter().enumerate() {
        let weight = weight(member.criticality, member.status);
        if weight == 0 {
            continue;
        }
        counted += 1;
        if member.criticality == Criticality::Required && !member.status.serves() {
            sum.blocking += 1;
            sum.status = Status::Unhealthy;
        } else {
            sum.status = sum.status.max(Status::Degraded);
        }
        if weight > heaviest {
            heaviest = weight;
            sum.worst = Some(index);
        }
    }
    sum.others = usize::saturating_sub(counted, 1);
    sum
}

/// How much a member explains: the heaviest is named in the reason.
const fn weight(criticality: Criticality, status: ViewStatus) -> u8 {
    match (criticality, status) {
        (Criticality::Informational, _) | (_, ViewStatus::Healthy) => 0,
        (Criticality::Required, ViewStatus::Unhealthy) => 7,
        (Criticality::Required, ViewStatus::Stale) => 6,
        (Criticality::Required, ViewStatus::Pending) => 5,
        (Criticality::Optional, ViewStatus::Unhealthy) => 4,
        (Criticality::Optional, ViewStatus::Stale) => 3,
        (Criticality::Required, ViewStatus::Degraded) => 2,
        (Criticality::Optional, ViewStatus::Degraded | ViewStatus::Pending) => 1,
    }
}

/// One sentence about the heaviest member.
#[must_use]
pub fn reason(worst: Member<'_>, why: &str, others: usize) -> String {
    let more = match others {
        0 => String::new(),
        1 => "; 1 more is not healthy".into(),
        n => format!("; {n} more are not healthy"),
    };
    format!("{} is {}: {why}{more}", worst.name, worst.status)
}

/// What the policy has to remember from one answer to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Whether nothing blocked at least once.
    pub passed: bool,
    /// Since when something blocks, counted from the agent's start.
    pub red_since: Option<Duration>,
}

/// Why the application is ready although something blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// `readiness = "startup-only"`, and all were ready once.
    StartupOnly,
    /// `fail_open_after` has passed.
    FailOpen,
}

impl Exemption {
    /// As the end of a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::StartupOnly => "ready all the same, because readiness is startup-only",
            Self::FailOpen => "ready all the same, because fail_open_after has passed",
        }
    }
}

impl Gate {
    /// Applies the policy at a moment counted from the agent's start. While something blocks, the
    /// answer is ready only with an exemption.
    #[must_use]
    pub fn decide(
        self,
        blocked: bool,
        readiness: Readiness,
        fail_open_after: Option<Duration>,
        now: Duration,
    ) -> (Self, Option<Exemption>) {
        if !blocked {
            return (Self { passed: true, red_since: None }, None);
        }
        let red_since = self.red_since.unwrap_or(now);
        let exemption = if readiness == Readiness::StartupOnly && self.passed {
            Some(Exemption::StartupOnly)
        } else {
            fail_open_after.filter(|limit| now.saturating_sub(red_since) >= *limit).map(|_| Exemption::FailOpen)
        };
        (Self { red_since: Some(red_since), ..self }, exemption)
    }
}

#[cfg(test)]
mod tests {
    use Criticality::{Informational, Optional, Required};
    use ViewStatus::{Degraded, Healthy, Pending, Stale, Unhealthy};

    use super::*;

    fn member(criticality: Criticality, status: ViewStatus) -> Member<'static> {
        Member { name: "db", criticality, status }
    }

    #[test]
    fn criticality_decides_what_a_status_counts() {
        for (criticality, status, whole, blocking) in [
            (Required, Healthy, Status::Healthy, 0),
            (Required, Degraded, Status::Degraded, 0),
            (Required, Unhealthy, Status::Unhealthy, 1),
            (Required, Pending, Status::Unhealthy, 1),
            (Required, Stale, Status::Unhealthy, 1),
            (Optional, Degraded, Status::Degraded, 0),
            (Optional, Unhealthy, Status::Degraded, 0),
            (Optional, Pending, Status::Degraded, 0),
            (Optional, Stale, Status::Degraded, 0),
            (Informational, Unhealthy, Status::Healthy, 0),
            (Informational, Pending, Status::Healthy, 0),
        ] {
            let sum = sum([member(criticality, status)]);
            assert_eq!((sum.status, sum.blocking), (whole, blocking), "{criticality:?} {status}");
        }
    }

    #[test]
    fn nothing_to_probe_is_healthy() {
        assert_eq!(sum([]), Sum { status: Status::Healthy, blocking: 0, worst: None, others: 0 });
    }

    #[test]
    fn the_reason_names_the_heaviest_and_counts_the_rest() {
        let members = [
            member(Optional, Degraded),
            member(Required, Pending),
            member(Required, Unhealthy),
            member(Informational, Unhealthy),
        ];
        let sum = sum(members);
        assert_eq!((sum.worst, sum.others, sum.blocking), (Some(2), 2, 2));
        assert_eq!(reason(members[2], "no answer", sum.others), "db is unhealthy: no answer; 2 more are not healthy");
        assert_eq!(reason(members[0], "slow", 1), "db is degraded: slow; 1 more is not healthy");
    }

    #[test]
    fn startup_only_opens_once_and_for_all() {
        let gate = Gate::default();
        let (gate, exempt) = gate.decide(true, Readiness::StartupOnly, None, Duration::ZERO);
        assert_eq!(exempt, None);
        let (gate, _) = gate.decide(false, Readiness::StartupOnly, None, Duration::from_secs(1));
        let (_, exempt) = gate.decide(true, Readiness::StartupOnly, None, Duration::from_secs(2));
        assert_eq!(exempt, Some(Exemption::StartupOnly));
        let (_, exempt) = gate.decide(true, Readiness::Strict, None, Duration::from_secs(2));
        assert_eq!(exempt, None);
    }

    #[test]
    fn failing_open_takes_an_unbroken_red_period() {
        let limit = Some(Duration::from_mins(5));
        let at = Duration::from_secs;
        let (gate, exempt) = Gate::default().decide(true, Readiness::Strict, limit, at(10));
        assert_eq!(exempt, None);
        let (gate, exempt) = gate.decide(true, Readiness::Strict, limit, at(309));
        assert_eq!(exempt, None);
        let (gate, exempt) = gate.decide(true, Readiness::Strict, limit, at(310));
        assert_eq!(exempt, Some(Exemption::FailOpen));
        let (gate, _) = gate.decide(false, Readiness::Strict, limit, at(311));
        let (_, exempt) = gate.decide(true, Readiness::Strict, limit, at(312));
        assert_eq!(exempt, None);
    }
}
