//! What a test reads in an outcome.

use probity_probes::{Outcome, Value};

/// The server's own code in a failure.
pub(crate) fn code(outcome: &Outcome) -> Option<&str> {
    outcome.failure.as_ref()?.code.as_deref()
}

/// A fact as text; empty where it is missing.
pub(crate) fn fact(outcome: &Outcome, name: &str) -> String {
    outcome.facts.get(name).map(Value::to_string).unwrap_or_default()
}

/// All findings as text.
pub(crate) fn found(outcome: &Outcome) -> String {
    outcome.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a finding is there.
pub(crate) fn sees(finding: &str, outcome: &Outcome) -> bool {
    outcome.findings.iter().any(|seen| seen.code == finding)
}
