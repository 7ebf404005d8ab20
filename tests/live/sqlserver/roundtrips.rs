//! A row that is written, read and deleted: by a stand-in, for pysqlbridge takes no writes.

use probity_probes::{Depth, FailureKind, Options, Outcome, Phase};
use serde_json::json;

use super::{code, observed, plain};
use crate::support::probe::Asked;
use crate::support::servers::sqlserver::standin::{Deed, StandIn};
use crate::support::truth::{Expected, State, check, states};

states! { "sqlserver":
    WRITTEN = "a round trip", "a stand-in" => Expected::HEALTHY;
    LOST = "a write that is accepted and lost", "a stand-in that reads nothing back" => Expected::unfit("roundtrip_lost");
    NO_TABLE = "no table for round trips", "a stand-in: 208" => Expected::fails(FailureKind::Config);
    NO_RIGHT = "no right to write", "a stand-in: 229" => Expected::fails(FailureKind::Permission);
    FULL = "a round trip, and the transaction log is full", "a stand-in: 9002" => Expected::fails(FailureKind::Overload);
    READ_ONLY = "a round trip to a database that takes no writes", "a stand-in: 3906" => Expected::fails(FailureKind::NotReady);
}

#[track_caller]
fn expect(state: &State, server: &StandIn) -> Outcome {
    let options = Options { depth: Depth::Roundtrip, ..Options::default() };
    let outcome = Asked::with("sqlserver", plain(server.addr(), json!({})), options).run();
    check(state, &outcome);
    outcome
}

#[test]
fn what_is_written_is_read_and_removed() {
    let server = StandIn::start();
    let outcome = expect(&WRITTEN, &server);
    assert!(outcome.phases.get(Phase::Roundtrip).is_some(), "{outcome:#?}");
    assert_eq!(server.canaries(), 0);
    assert!(server.seen().iter().any(|seen| seen.starts_with("INSERT INTO probity.canary")));
    assert!(server.seen().iter().any(|seen| seen == "COMMIT TRANSACTION"));
    server.at_question("SELECT nonce", Deed::Tell(&["nonce"], vec![]));
    assert_eq!(observed(&expect(&LOST, &server), "roundtrip_lost"), "nothing");
}

#[test]
fn a_round_trip_that_is_refused_is_a_failure() {
    let server = StandIn::start();
    for (state, number) in [(&NO_TABLE, 208), (&NO_RIGHT, 229), (&FULL, 9002), (&READ_ONLY, 3906)] {
        server.at_question("INSERT INTO", Deed::Refuse(number, 1));
        let outcome = expect(state, &server);
        assert_eq!(
            (code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)),
            (Some(number.to_string().as_str()), Some(Phase::Roundtrip))
        );
    }
}
