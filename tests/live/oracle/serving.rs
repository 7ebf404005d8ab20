//! What a database that lets us in is, and how well.

use probity_probes::FailureKind;
use serde_json::json;

use super::expect;
use crate::support::outcome::{fact, found};
use crate::support::servers::oracle::{Oracle, shared};
use crate::support::truth::{Expected, states};

states! { "oracle":
    PRIMARY = "a primary that is open", "a stand-in; role and writes are expected" => Expected::HEALTHY;
    STANDBY_EXPECTED = "a standby that is open for reading", "a stand-in; a standby is expected" => Expected::HEALTHY;
    STANDBY = "a standby where a primary is expected", "a stand-in with the role PHYSICAL STANDBY" => Expected::unfit("role_mismatch");
    READ_ONLY = "read-only where writes are expected", "a stand-in that is open READ ONLY" => Expected::unfit("read_only");
    NOT_OPEN = "mounted, and we are let in", "a stand-in that answers our own account with 1219" => Expected::fails(FailureKind::NotReady);
    BEHIND = "a standby that is behind", "a stand-in whose apply lag is 65 s" => Expected::degraded("replication_lag");
    RESTRICTED = "restricted mode", "a stand-in whose log-ins are RESTRICTED" => Expected::degraded("restricted");
    ARCHIVER_FAILED = "the archiver has failed", "a stand-in whose archiver is FAILED" => Expected::degraded("archiver_failed");
    SHUTDOWN = "a shutdown is pending", "a stand-in that says so" => Expected::degraded("shutdown_pending");
    SESSIONS = "nearly all sessions in use", "a stand-in with 95 of 100" => Expected::degraded("sessions");
    GRACE = "a password in its days of grace", "a stand-in whose account is EXPIRED(GRACE)" => Expected::degraded("password_expiring");
    DAYS_LEFT = "a password that expires in a week", "a stand-in that says so" => Expected::degraded("password_expiring");
    BLIND = "a user without grants", "a stand-in that knows no view but the user's own" => Expected::HEALTHY;
    ODD = "a view that fails in an unknown way", "a stand-in that answers 904" => Expected::HEALTHY;
    DOWN = "the database shuts down beneath a session", "a stand-in that answers 1089" => Expected::fails(FailureKind::NotReady);
}

const INSTANCE: [&str; 5] = ["STATUS", "LOGINS", "SHUTDOWN_PENDING", "ARCHIVER", "UPTIME#"];

#[test]
fn role_and_mode_are_held_against_what_is_expected() {
    let outcome = expect(&PRIMARY, shared(), json!({ "expect": { "role": "primary", "writable": true } }));
    for (name, value) in
        [("open_mode", "READ WRITE"), ("open_read_write", "true"), ("sessions_limit", "472"), ("container", "PDB1")]
    {
        assert_eq!(fact(&outcome, name), value, "{name}");
    }
    let standby = Oracle::builder().role("PHYSICAL STANDBY", "READ ONLY WITH APPLY").start();
    expect(&STANDBY_EXPECTED, &standby, json!({ "expect": { "role": "standby" } }));
    expect(&STANDBY, &standby, json!({ "expect": { "role": "primary" } }));
    let read_only = Oracle::builder().role("PRIMARY", "READ ONLY").start();
    expect(&READ_ONLY, &read_only, json!({ "expect": { "writable": true } }));
    expect(&NOT_OPEN, &Oracle::builder().role("PRIMARY", "MOUNTED").start(), json!({}));
}

#[test]
fn lag_is_that_of_applying() {
    let lag: [&[Option<&str>]; 2] = [&[Some("transport lag"), Some("+00 00:00:02")], &[Some("apply lag"), Some("+00 00:01:05")]];
    let standby =
        Oracle::builder().role("PHYSICAL STANDBY", "READ ONLY WITH APPLY").rows("V$DATAGUARD_STATS", &["NAME", "VALUE"], &lag);
    let outcome = expect(&BEHIND, &standby.start(), json!({}));
    assert_eq!((fact(&outcome, "apply_lag_seconds").as_str(), fact(&outcome, "transport_lag_seconds").as_str()), ("65", "2"));
}

#[test]
fn an_instance_says_what_is_wrong_with_it() {
    for (row, state) in [
        (["OPEN", "RESTRICTED", "NO", "STARTED", "60"], &RESTRICTED),
        (["OPEN", "ALLOWED", "NO", "FAILED", "60"], &ARCHIVER_FAILED),
        (["OPEN", "ALLOWED", "YES", "STARTED", "60"], &SHUTDOWN),
    ] {
        let server = Oracle::builder().rows("V$INSTANCE", &INSTANCE, &[&row.map(Some)]).start();
        expect(state, &server, json!({}));
    }
    let full: [&[Option<&str>]; 1] = [&[Some("sessions"), Some("95"), Some("       100")]];
    let columns = ["RESOURCE_NAME", "CURRENT_UTILIZATION#", "LIMIT_VALUE"];
    let outcome = expect(&SESSIONS, &Oracle::builder().rows("V$RESOURCE_LIMIT", &columns, &full).start(), json!({}));
    assert!(found(&outcome).contains("0.95"), "{}", found(&outcome));
}

#[test]
fn an_account_says_how_long_its_password_lasts() {
    let columns = ["ACCOUNT_STATUS", "EXPIRES_IN#"];
    for (row, state) in [([Some("EXPIRED(GRACE)"), None], &GRACE), ([Some("OPEN"), Some("604800")], &DAYS_LEFT)] {
        expect(state, &Oracle::builder().rows("USER_USERS", &columns, &[&row]).start(), json!({}));
    }
}

#[test]
fn what_is_refused_lowers_coverage_alone() {
    let server = Oracle::builder().error("FROM V$", 942, "table or view does not exist").start();
    let outcome = expect(&BLIND, &server, json!({ "expect": { "role": "primary" } }));
    assert_eq!(outcome.missing, ["V$INSTANCE", "V$DATABASE", "V$RESOURCE_LIMIT"]);
    let server = Oracle::builder().error("V$DATABASE", 904, "\"OPEN_MODE\": invalid identifier").start();
    assert_eq!(expect(&ODD, &server, json!({})).missing, ["V$DATABASE"]);
    expect(&DOWN, &Oracle::builder().error("V$INSTANCE", 1089, "immediate shutdown or close in progress").start(), json!({}));
}
