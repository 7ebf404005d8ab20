//! A database that serves, or only seems to.

use probity_probes::{FailureKind, Phase};
use serde_json::{Value as Json, json};

use super::{code, deep, expect, fact, observed};
use crate::support::servers::sqlserver::standin::{Deed, StandIn, properties};
use crate::support::truth::{Expected, State, check, states};

states! { "sqlserver":
    EMERGENCY = "a database in emergency mode", "a stand-in: Status" => Expected::unfit("database_not_online");
    SUSPECT = "a suspect database", "a stand-in: Status" => Expected::unfit("database_not_online");
    UNSTARTED = "online in name only", "a stand-in: ONLINE without a collation" => Expected::unfit("database_not_started");
    READ_ONLY = "read-only where writes are expected", "a stand-in: Updateability" => Expected::unfit("read_only");
    READABLE = "read-only where nobody minds", "the same" => Expected::HEALTHY;
    SINGLE_USER = "a database in single-user mode", "a stand-in: UserAccess" => Expected::degraded("restricted_access");
    AUTO_CLOSE = "a database that closes by itself", "a stand-in: IsAutoClose" => Expected::degraded("auto_close");
    STATELESS = "a database whose state is hidden", "a stand-in: NULL" => Expected::HEALTHY;
    RECOVERING = "a database that recovers", "a stand-in: 922 to SELECT 1" => Expected::fails(FailureKind::NotReady);
    FULL_LOG = "a transaction log that is full", "a stand-in: 9002 to SELECT 1" => Expected::fails(FailureKind::Overload);
    TIRED = "out of memory", "a stand-in: 701 to SELECT 1" => Expected::fails(FailureKind::Overload);
    ANOTHER_ANSWER = "an answer that is not the one to SELECT 1", "a stand-in that answers 2" => Expected::fails(FailureKind::Protocol);
    SILENT = "a server that lets us in and answers nothing", "a stand-in" => Expected::fails(FailureKind::Timeout);
    CUT_LOGIN = "cut in the middle of a packet, at the log-in", "a stand-in" => Expected::fails(FailureKind::ConnectionLost);
    CUT_ANSWER = "cut in the middle of a packet, in an answer", "a stand-in" => Expected::fails(FailureKind::ConnectionLost);
    NONSENSE = "a token that there is not", "a stand-in" => Expected::fails(FailureKind::Protocol);
}

/// A stand-in whose database says something else of itself.
fn saying(column: &str, value: Json) -> StandIn {
    let server = StandIn::start();
    let (columns, mut row) = properties();
    row[columns.iter().position(|known| *known == column).expect("a column")] = value;
    server.at_question("SERVERPROPERTY", Deed::Tell(columns, vec![row]));
    server
}

#[test]
fn a_database_says_how_it_is() {
    let table: [(&State, &str, Json, Json, &str); 7] = [
        (&EMERGENCY, "state", json!("EMERGENCY"), json!({}), "EMERGENCY"),
        (&SUSPECT, "state", json!("SUSPECT"), json!({}), "SUSPECT"),
        (&UNSTARTED, "collation", json!(null), json!({}), "no collation yet"),
        (&READ_ONLY, "updateability", json!("READ_ONLY"), json!({ "expect": { "writable": true } }), "READ_ONLY"),
        (&READABLE, "updateability", json!("READ_ONLY"), json!({}), ""),
        (&SINGLE_USER, "access", json!("SINGLE_USER"), json!({}), "SINGLE_USER"),
        (&AUTO_CLOSE, "auto_close", json!(1), json!({}), "on"),
    ];
    for (state, column, value, keys, seen) in table {
        let outcome = expect(state, &saying(column, value), keys);
        assert_eq!(observed(&outcome, state.expected.finding.unwrap_or_default()), seen);
    }
    let outcome = expect(&STATELESS, &saying("state", json!(null)), json!({}));
    assert_eq!((&outcome.missing[..], fact(&outcome, "database_state").as_str()), (&["database state".to_owned()][..], ""));
}

#[test]
fn an_error_has_its_kind_and_the_next_run_begins_anew() {
    for (state, number) in [(&RECOVERING, 922), (&FULL_LOG, 9002), (&TIRED, 701)] {
        let server = StandIn::start();
        let probe = deep(&server, json!({}));
        assert_eq!(probe.run().failure, None);
        server.at_question("SELECT 1", Deed::Refuse(number, 1));
        let outcome = probe.run();
        check(state, &outcome);
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)),
            (Some(number.to_string().as_str()), Some(Phase::Query))
        );
        server.heal();
        assert_eq!(probe.run().failure, None);
    }
}

#[test]
fn an_answer_may_be_wrong_missing_or_cut() {
    let server = StandIn::start();
    let warm = deep(&server, json!({}));
    assert_eq!(warm.run().failure, None);
    server.at_question("SELECT 1", Deed::Tell(&["one"], vec![vec![json!(2)]]));
    expect(&ANOTHER_ANSWER, &server, json!({}));
    server.at_question("SELECT 1", Deed::BeSilent);
    expect(&SILENT, &server, json!({}));
    server.at_question("SELECT 1", Deed::Cut);
    let outcome = warm.run();
    check(&CUT_ANSWER, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Query));
    server.at_question("SELECT 1", Deed::Say(b"\x04\x01\0\x09\0\0\x01\0\x77".to_vec()));
    expect(&NONSENSE, &server, json!({}));
    server.at_login(None, Deed::Cut);
    let outcome = expect(&CUT_LOGIN, &server, json!({}));
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth));
}
