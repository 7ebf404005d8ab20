//! A row that is written, read and removed.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Outcome, Phase};
use serde_json::json;

use super::entry;
use crate::support::eventually;
use crate::support::outcome::{code, found};
use crate::support::probe::Asked;
use crate::support::servers::oracle::Oracle;
use crate::support::truth::{Expected, State, check, states};

states! { "oracle":
    WRITTEN = "a round trip", "a stand-in" => Expected::HEALTHY;
    LOST = "a write that is accepted and lost", "a stand-in that reads nothing back" => Expected::unfit("roundtrip_lost");
    NO_TABLE = "no table for round trips", "a stand-in that answers 942" => Expected::fails(FailureKind::Config);
    ODD_TABLE = "a table for round trips with other columns", "a stand-in that answers 904" => Expected::fails(FailureKind::Config);
    NO_RIGHT = "no right to write", "a stand-in that answers 1031" => Expected::fails(FailureKind::Permission);
    NO_QUOTA = "a round trip, and the quota is used up", "a stand-in that answers 1536" => Expected::fails(FailureKind::Overload);
    FULL = "a round trip, and the tablespace is full", "a stand-in that answers 1653" => Expected::fails(FailureKind::Overload);
    READ_ONLY = "a round trip to a standby", "a stand-in that answers 16000" => Expected::fails(FailureKind::NotReady);
    NO_COMMIT = "a commit that fails", "a stand-in that answers it with 257" => Expected::fails(FailureKind::Overload);
    SLOW_COMMIT = "a commit that waits", "a stand-in that takes a minute for it, and is interrupted" => Expected::fails(FailureKind::Timeout);
}

fn round(server: &Oracle) -> Asked {
    let options = Options { depth: Depth::Roundtrip, roundtrip_interval: Duration::ZERO, ..Options::default() };
    Asked::with("oracle", entry(server.addr(), json!({})), options)
}

#[track_caller]
fn expect(state: &State, server: &Oracle) -> Outcome {
    let outcome = round(server).run();
    check(state, &outcome);
    outcome
}

fn said(server: &Oracle, words: &str) -> usize {
    server.process().log_lines().iter().filter(|line| line.as_str() == words).count()
}

#[test]
fn what_is_written_is_read_and_removed() {
    let server = Oracle::start();
    let probe = round(&server);
    for runs in 1..=3 {
        let outcome = probe.run();
        check(&WRITTEN, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some(), "{outcome:#?}");
        assert_eq!((said(&server, "commit, without a canary"), said(&server, "commit, with a canary")), (runs, 0));
    }
    assert_eq!((server.log_ins(), said(&server, "rollback")), (1, 0));
    let forgetful = Oracle::builder().rows("SELECT nonce", &["NONCE"], &[]).start();
    assert!(found(&expect(&LOST, &forgetful)).contains("nothing"));
}

#[test]
fn a_round_trip_that_is_refused_is_a_failure_and_rolled_back() {
    for (state, number, words) in [
        (&NO_TABLE, 942, "table or view does not exist"),
        (&ODD_TABLE, 904, "\"C\".\"NONCE\": invalid identifier"),
        (&NO_RIGHT, 1031, "insufficient privileges"),
        (&NO_QUOTA, 1536, "space quota exceeded for tablespace 'USERS'"),
        (&FULL, 1653, "unable to extend table PROBITY.CANARY by 8 in tablespace USERS"),
        (&READ_ONLY, 16000, "database or pluggable database open for read-only access"),
    ] {
        let server = Oracle::builder().error("MERGE INTO", number, words).start();
        let outcome = expect(state, &server);
        let wanted = format!("ORA-{number:05}");
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)),
            (Some(wanted.as_str()), Some(Phase::Roundtrip))
        );
        eventually(Duration::from_secs(5), "it is rolled back", || (said(&server, "rollback") == 1).then_some(()));
    }
}

#[test]
fn a_commit_that_fails_or_waits_is_a_failure() {
    const WITHIN: Duration = Duration::from_secs(1);
    let server = Oracle::builder().error("COMMIT", 257, "Archiver error. Connect AS SYSDBA only until resolved.").start();
    assert_eq!(code(&expect(&NO_COMMIT, &server)), Some("ORA-00257"));
    eventually(Duration::from_secs(5), "it is rolled back", || (said(&server, "rollback") == 1).then_some(()));
    let server = Oracle::builder().slow("COMMIT", 60_000).start();
    let outcome = round(&server).run_within(WITHIN);
    check(&State { within: WITHIN, ..SLOW_COMMIT }, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Roundtrip));
    eventually(Duration::from_secs(5), "the server was told", || (said(&server, "interrupted") == 1).then_some(()));
}
