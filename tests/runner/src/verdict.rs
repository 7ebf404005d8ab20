//! Decides what may be run again.

/// How many tests may have failed for them to be run again. More of them are no coincidence.
const MOST: usize = 2;

/// Beginnings of words. A test with such a word in its path or its name is never run again: it guards secrets, deadlines,
/// nesting or tampering, where one failure in a thousand is a way in.
const NEVER_AGAIN: &[&str] = &["bomb", "deadline", "fuzz", "leak", "mask", "nest", "password", "redact", "secret", "tamper"];

/// What to do about the tests that failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing failed.
    Done,
    /// Each is run again.
    Again,
    /// The run has failed, for this reason.
    Fail(String),
}

/// The plan for tests that failed, when everything else went well or did not.
pub(crate) fn plan(failed: &[&str], else_well: bool) -> Plan {
    if !else_well {
        return Plan::Fail("a test binary crashed, or a documentation test failed".to_owned());
    }
    if failed.len() > MOST {
        return Plan::Fail(format!("{} tests failed, and at most {MOST} are", failed.len()));
    }
    if let Some(test) = failed.iter().find(|test| is_never_run_again(test)) {
        return Plan::Fail(format!("{test} is of a kind that never is"));
    }
    if failed.is_empty() { Plan::Done } else { Plan::Again }
}

/// Whether a test of this path must pass at the first attempt.
pub(crate) fn is_never_run_again(test: &str) -> bool {
    let mut words = test.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.any(|word| NEVER_AGAIN.iter().any(|beginning| word.starts_with(beginning)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guards_secrets_deadlines_nesting_and_tampering_is_never_run_again() {
        for test in [
            "conformance::secrets::no_message_has_it",
            "conformance::deadline::every_run_ends",
            "conformance::nesting::bson",
            "conformance::bombs::rsa",
            "fuzz::redis",
            "live::redis::leaks::a_long_echo",
            "catalog::mask::tests::titles",
            "pipeline::a_tampered_ledger_is_found",
            "redact::tests::the_whole_first",
        ] {
            assert!(is_never_run_again(test), "{test}");
        }
        for test in ["live::redis::an_honest_answer", "live::redis::sentinel::a_fail_over", "live::kafka::faults::drip", "finest"]
        {
            assert!(!is_never_run_again(test), "{test}");
        }
    }

    #[test]
    fn two_are_run_again_and_three_are_not() {
        assert_eq!(plan(&[], true), Plan::Done);
        assert_eq!(plan(&["a::b", "c::d"], true), Plan::Again);
        assert_eq!(plan(&["a", "b", "c"], true), Plan::Fail("3 tests failed, and at most 2 are".to_owned()));
        assert_eq!(plan(&["a", "b::secrets::c"], true), Plan::Fail("b::secrets::c is of a kind that never is".to_owned()));
        assert!(matches!(plan(&["a"], false), Plan::Fail(_)));
        assert!(matches!(plan(&[], false), Plan::Fail(_)));
    }
}
