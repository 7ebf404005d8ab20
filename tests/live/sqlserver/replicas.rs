//! Availability groups, as a stand-in tells of them.

use probity_probes::Outcome;
use serde_json::{Value as Json, json};

use super::{expect, fact, observed};
use crate::support::servers::sqlserver::standin::{Deed, StandIn, properties};
use crate::support::truth::{Expected, State, states};

states! { "sqlserver":
    PRIMARY = "the primary of a group that is well", "a stand-in" => Expected::HEALTHY;
    SECONDARY = "a secondary where a primary is expected", "a stand-in, expect.role" => Expected::unfit("role_mismatch");
    ALONE = "no group where a primary is expected", "a stand-in, expect.role" => Expected::unfit("role_mismatch");
    UNHEALTHY = "a primary whose database is not in step", "a stand-in: NOT_HEALTHY" => Expected::unfit("synchronization_health");
    BEHIND_IN_STEP = "a secondary whose database is not in step", "a stand-in: NOT_HEALTHY" => Expected::degraded("synchronization_health");
    LOST = "a secondary that is disconnected", "a stand-in" => Expected::degraded("replica_not_synchronizing");
    STOPPED = "a synchronous secondary that does not synchronize", "a stand-in" => Expected::degraded("replica_not_synchronizing");
    LATE = "a secondary that is behind", "a stand-in: secondary_lag_seconds" => Expected::degraded("secondary_lag");
    UNSENT = "a secondary that has much to be sent", "a stand-in: log_send_queue_size" => Expected::degraded("log_send_queue");
    UNAPPLIED = "a secondary that has much to apply", "a stand-in: redo_queue_size" => Expected::degraded("redo_queue");
    BLIND = "a log-in without a right to see the state of the server", "a stand-in: 300" => Expected::HEALTHY;
}

const COLUMNS: &[&str] =
    &["ag", "replica", "local", "role", "connected", "mode", "state", "health", "send_kib", "redo_kib", "lag"];

/// A replica that is well.
fn replica(name: &str, local: bool, role: &str) -> Vec<Json> {
    vec![
        json!("group"),
        json!(name),
        json!(i32::from(local)),
        json!(role),
        json!("CONNECTED"),
        json!("SYNCHRONOUS_COMMIT"),
        json!("SYNCHRONIZED"),
        json!("HEALTHY"),
        json!(0),
        json!(0),
        json!(0),
    ]
}

/// A stand-in of a group.
fn group(replicas: Vec<Vec<Json>>) -> StandIn {
    let server = StandIn::start();
    let (columns, mut row) = properties();
    *row.last_mut().expect("a row") = json!(1);
    server.at_question("SERVERPROPERTY", Deed::Tell(columns, vec![row]));
    server.at_question("dm_hadr", Deed::Tell(COLUMNS, replicas));
    server
}

/// A primary with a secondary of which one thing is not well.
#[track_caller]
fn with_secondary(state: &State, column: &str, value: Json) -> Outcome {
    let mut other = replica("b", false, "SECONDARY");
    other[COLUMNS.iter().position(|known| *known == column).expect("a column")] = value;
    expect(state, &group(vec![replica("a", true, "PRIMARY"), other]), json!({}))
}

#[test]
fn a_role_is_the_one_that_is_expected_or_not() {
    let server = group(vec![replica("a", true, "PRIMARY"), replica("b", false, "SECONDARY")]);
    let outcome = expect(&PRIMARY, &server, json!({ "expect": { "role": "primary" } }));
    assert_eq!(
        ["ag_name", "role", "is_primary", "synchronization_health", "replicas_connected"].map(|name| fact(&outcome, name)),
        ["group", "primary", "true", "2", "2"]
    );
    let server = group(vec![replica("b", true, "SECONDARY")]);
    let outcome = expect(&SECONDARY, &server, json!({ "expect": { "role": "primary" } }));
    assert_eq!(observed(&outcome, "role_mismatch"), "secondary");
    let outcome = expect(&ALONE, &StandIn::start(), json!({ "expect": { "role": "primary" } }));
    assert_eq!(observed(&outcome, "role_mismatch"), "none");
}

#[test]
fn a_database_is_in_step_or_not() {
    for (state, role) in [(&UNHEALTHY, "PRIMARY"), (&BEHIND_IN_STEP, "SECONDARY")] {
        let mut own = replica("a", true, role);
        own[7] = json!("NOT_HEALTHY");
        let outcome = expect(state, &group(vec![own]), json!({}));
        assert_eq!(fact(&outcome, "synchronization_health"), "0");
    }
}

#[test]
fn a_secondary_is_lost_or_behind() {
    assert_eq!(
        observed(&with_secondary(&LOST, "connected", json!("DISCONNECTED")), "replica_not_synchronizing"),
        "b: DISCONNECTED"
    );
    let outcome = with_secondary(&STOPPED, "state", json!("NOT SYNCHRONIZING"));
    assert_eq!(observed(&outcome, "replica_not_synchronizing"), "b: NOT SYNCHRONIZING");
    assert_eq!(fact(&with_secondary(&LATE, "lag", json!(31)), "secondary_lag_seconds"), "31");
    assert_eq!(fact(&with_secondary(&UNSENT, "send_kib", json!(1 << 20)), "log_send_queue_bytes"), "1073741824");
    assert_eq!(fact(&with_secondary(&UNAPPLIED, "redo_kib", json!(1 << 21)), "redo_queue_bytes"), "2147483648");
}

#[test]
fn what_one_may_not_see_lowers_coverage_only() {
    let server = group(vec![]);
    server.at_question("dm_hadr", Deed::Refuse(300, 1));
    let outcome = expect(&BLIND, &server, json!({}));
    assert_eq!(outcome.missing, ["sys.dm_hadr_database_replica_states"]);
}
