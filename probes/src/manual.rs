//! What a backend's file declares once about itself: its facts, its findings and its server's codes.
//! Classification, metrics' help texts, remedies and the reference pages all come from here.

use crate::{
    failure::{Failure, FailureKind},
    run::Phase,
};

/// Everything that is said of a backend besides its code.
#[derive(Debug)]
pub struct Manual {
    /// The product's name, as people write it.
    pub title: &'static str,
    /// One paragraph: which products and versions, and how they are asked.
    pub summary: &'static str,
    /// What is asked at each depth, and which privilege it takes.
    pub levels: &'static [LevelRow],
    /// What is known of the peer after a run.
    pub facts: &'static [FactRow],
    /// Why a dependency that answered may still not be well.
    pub findings: &'static [FindingRow],
    /// What the server's own codes mean.
    pub codes: &'static [CodeRow],
    /// What people may look for and will not find here.
    pub unsupported: &'static [&'static str],
}

/// One depth: what is asked, and which privilege it takes.
#[derive(Debug)]
pub struct LevelRow {
    /// `connect`, `handshake`, `query`, `deep` or `roundtrip`.
    pub level: &'static str,
    /// What is sent.
    pub question: &'static str,
    /// What the account needs.
    pub privilege: &'static str,
}

/// One fact.
#[derive(Debug)]
pub struct FactRow {
    /// Its name, with the unit in it.
    pub name: &'static str,
    /// Whether it is exported as a metric `probity_<backend>_<name>`.
    pub metric: bool,
    /// What it says, and where it comes from.
    pub meaning: &'static str,
}

/// One finding.
#[derive(Debug)]
pub struct FindingRow {
    /// Its code.
    pub code: &'static str,
    /// When it is found, and how severe it is.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// One code of the server.
#[derive(Debug)]
pub struct CodeRow {
    /// The code, compared without regard to case; a trailing `*` stands for any ending. One that means something else
    /// in a phase has a row of its own for that: `42501 in roundtrip`.
    pub code: &'static str,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The failure in one sentence of ours.
    pub message: &'static str,
    /// What to do about it; empty where the kind's own remedy says enough.
    pub remedy: &'static str,
}

/// Findings that the frame itself makes, for every backend.
pub const COMMON_FINDINGS: &[FindingRow] = &[
    FindingRow {
        code: "latency",
        meaning: "The query took longer than `degraded.latency` in 3 of the last 5 runs: degraded.",
        remedy: "Look for load, locks or slow storage on the server, and for the network in between.",
    },
    FindingRow {
        code: "new_connections_failing",
        meaning: "The warm session answers, but a fresh one could not be opened (observed: the failure's kind): degraded.",
        remedy: "Existing pools still work, new processes will not: check connection limits, listener and credentials.",
    },
    FindingRow {
        code: "dns_failing",
        meaning: "The warm session answers, but the name can no longer be resolved: degraded.",
        remedy: "Check the host name and the resolver before something has to connect anew.",
    },
    FindingRow {
        code: "address_failing",
        meaning: "Of several addresses one before that in use could not be opened (observed: address and kind of failure): degraded.",
        remedy: "Bring it back, or take it out of the URL: the next one in the list does its work.",
    },
    FindingRow {
        code: "certificate_expiring",
        meaning: "A certificate of the presented chain expires sooner than `degraded.certificate` (observed: days left): degraded.",
        remedy: "Renew the server's certificate.",
    },
    FindingRow {
        code: "flapping",
        meaning: "The agent's verdict changed 4 times or more within 10 minutes (observed: how often): degraded until 5 minutes were quiet. Unhealthy stays unhealthy.",
        remedy: "Look at what comes and goes: `since` and `last_error` of the dependency, and `probity_transitions_total`.",
    },
    FindingRow {
        code: "unexpected_value",
        meaning: "The own question was answered, but its first value is not `expect.value`: unhealthy.",
        remedy: "Ask the same by hand; if the answer is right, correct `expect.value`.",
    },
    FindingRow {
        code: "unexpected_rows",
        meaning: "The own question was answered, but not with `expect.rows` rows: unhealthy.",
        remedy: "Ask the same by hand; if the answer is right, correct `expect.rows`.",
    },
    FindingRow {
        code: "roundtrip_lost",
        meaning: "What a round trip wrote was not what it read back (observed: what came instead): unhealthy.",
        remedy: "Writes are accepted and lost: look for eviction, replicas that answer for the primary, a route that drops messages, or an access list that does so silently, as MQTT brokers may, and in 3.1.1 must.",
    },
    FindingRow {
        code: "partial_coverage",
        meaning: "A deep question was refused and `require_coverage` is set (observed: what is missing): degraded.",
        remedy: "Grant the probe's account what the reference page lists, or drop `require_coverage`.",
    },
];

/// Facts that the frame itself notes, for every backend.
pub const COMMON_FACTS: &[FactRow] = &[
    FactRow { name: "tls_version", metric: false, meaning: "Version of TLS that was negotiated." },
    FactRow { name: "tls_cipher", metric: false, meaning: "Cipher suite that was negotiated." },
    FactRow {
        name: "tls_verification",
        metric: false,
        meaning: "`off` when `tls.insecure` switched the verification of the server off; absent otherwise.",
    },
    FactRow { name: "certificate_subject", metric: false, meaning: "Subject of the server's leaf certificate." },
    FactRow { name: "certificate_issuer", metric: false, meaning: "Issuer of the server's leaf certificate." },
    FactRow {
        name: "certificate_expiry_timestamp_seconds",
        metric: false,
        meaning: "Earliest expiry in the chain as presented, in seconds since 1970; exported as `probity_certificate_expiry_timestamp_seconds`.",
    },
    FactRow { name: "remote_address", metric: false, meaning: "The address that was connected to, or the path of the socket." },
    FactRow {
        name: "process_alive",
        metric: false,
        meaning: "`true` when the server itself refused us: the process lives, whatever the failure says.",
    },
    FactRow {
        name: "next_attempt_in_seconds",
        metric: false,
        meaning: "After rejected credentials: when they will be tried again; absent where that needs a change of theirs.",
    },
];

impl CodeRow {
    /// The code without the phase that it is for.
    fn word(&self) -> &'static str {
        self.code.split(" in ").next().filter(|_| self.is_for_phase()).unwrap_or(self.code)
    }

    fn is_for_phase(&self) -> bool {
        Phase::ALL.iter().any(|phase| self.code.ends_with(&format!(" in {phase}")))
    }
}

impl Manual {
    /// What is declared of a fact.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&'static FactRow> {
        self.facts.iter().chain(COMMON_FACTS).find(|row| row.name == name)
    }

    /// What is declared of a finding.
    #[must_use]
    pub fn finding(&self, code: &str) -> Option<&'static FindingRow> {
        self.findings.iter().chain(COMMON_FINDINGS).find(|row| row.code == code)
    }

    /// The row of a server's code: an exact one before one with a `*`.
    #[must_use]
    pub fn code(&self, code: &str) -> Option<&'static CodeRow> {
        self.code_before(code, "")
    }

    /// The same, where a row for the phase comes before those for all.
    fn code_in(&self, code: &str, phase: Option<Phase>) -> Option<&'static CodeRow> {
        phase.and_then(|phase| self.code_before(code, &format!(" in {phase}"))).or_else(|| self.code(code))
    }

    /// Among the rows with this ending.
    fn code_before(&self, code: &str, ending: &str) -> Option<&'static CodeRow> {
        let rows = || self.codes.iter().filter_map(|row| Some((row.code.strip_suffix(ending)?, row)));
        let exact = rows().find(|(known, _)| known.eq_ignore_ascii_case(code));
        let starts = |start: &str| code.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        exact.or_else(|| rows().find(|(known, _)| known.strip_suffix('*').is_some_and(starts))).map(|(_, row)| row)
    }

    /// Gives a failure that carries a server's code its kind, sentence and remedy.
    pub(crate) fn explain(&self, failure: &mut Failure) {
        let row = failure.code.as_deref().and_then(|code| self.code_in(code, failure.phase));
        failure.close_code(row.map(CodeRow::word));
        let Some(row) = row else { return };
        let remedy = if row.remedy.is_empty() { row.kind.remedy() } else { row.remedy };
        *failure = Failure {
            phase: failure.phase,
            code: failure.code.take(),
            server_message: failure.server_message.take(),
            ..Failure::new(row.kind, row.message).with_remedy(remedy)
        };
    }
}
