//! Primaries and their standbys.

use probity_probes::{FailureKind, Options};
use serde_json::json;

use super::{SOON, code, entry, expect, fact, probe};
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::postgres::Postgres;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    STANDBY = "a standby that is well", "pg_basebackup of a primary, streaming" => Expected::HEALTHY;
    NOT_A_PRIMARY = "a standby where a primary is expected", "expect.role = primary" => Expected::unfit("role_mismatch");
    NOT_WRITABLE = "a standby that must be writable", "expect.writable" => Expected::unfit("role_mismatch");
    NOT_A_STANDBY = "a primary where a standby is expected", "expect.role = standby" => Expected::unfit("unexpected_primary");
    PAUSED = "a standby that does not replay", "pg_wal_replay_pause()" => Expected::degraded("replay_paused");
    BEHIND = "a standby that is behind", "replay paused, the primary written to, a limit of 50 ms" => Expected::degraded("replication_lag");
    BEHIND_FRESH = "a standby that is far behind, and reads must be fresh", "the same with expect.fresh_reads" => Expected::unfit("replication_lag");
    ORPHANED = "a standby without its primary", "kill -9 of the primary, a limit of 50 ms" => Expected::degraded("replication_broken");
    COLD = "a standby that takes no clients", "hot_standby = off" => Expected::fails(FailureKind::NotReady);
    ATTENDED = "a primary with the standbys it must have", "expect.min_standbys = 1" => Expected::HEALTHY;
    ALONE = "a primary with fewer standbys than it must have", "expect.min_standbys = 2" => Expected::degraded("standbys_missing");
    IN_STEP = "a primary with its synchronous standby", "synchronous_standby_names = '*'" => Expected::HEALTHY;
    WAITING = "a primary that waits for synchronous standbys", "synchronous_standby_names = 'FIRST 2 (*)' with one" => Expected::degraded("sync_standbys_missing");
    WAITING_WRITABLE = "a primary that waits for synchronous standbys, and must be writable", "the same with expect.writable" => Expected::unfit("sync_standbys_missing");
}

/// Lets the ordinary user see the details of replication.
fn enlighten(primary: &Postgres) {
    primary.sql(&format!("GRANT pg_monitor TO {USER}"));
}

#[test]
fn roles_are_held_against_the_expectation_only() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    let outcome = expect(&STANDBY, &standby, json!({ "expect": { "role": "standby", "fresh_reads": true } }));
    assert_eq!((fact(&outcome, "role").as_str(), fact(&outcome, "read_only").as_str()), ("standby", "true"));
    expect(&NOT_A_PRIMARY, &standby, json!({ "expect": { "role": "primary" } }));
    expect(&NOT_WRITABLE, &standby, json!({ "expect": { "writable": true } }));
    expect(&NOT_A_STANDBY, &primary, json!({ "expect": { "role": "standby" } }));

    let outcome = expect(&ATTENDED, &primary, json!({ "expect": { "min_standbys": 1 } }));
    assert_eq!(fact(&outcome, "standbys_connected"), "1");
    expect(&ALONE, &primary, json!({ "expect": { "min_standbys": 2 } }));
}

#[test]
fn details_of_replication_take_pg_monitor() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    assert_eq!(expect(&STANDBY, &standby, json!({})).missing, ["pg_stat_wal_receiver"]);
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    eventually(SOON, "the standby is synchronous", || {
        (primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync").then_some(())
    });
    assert_eq!(expect(&IN_STEP, &primary, json!({})).missing, ["pg_stat_replication"]);
    enlighten(&primary);
    assert!(expect(&IN_STEP, &primary, json!({})).missing.is_empty());
    eventually(SOON, "the standby has the grant", || probe(&standby, json!({})).run().missing.is_empty().then_some(()));

    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (*)'");
    primary.sql("SELECT pg_reload_conf()");
    eventually(SOON, "the setting is in force", || {
        (primary.sql("SHOW synchronous_standby_names") == "FIRST 2 (*)").then_some(())
    });
    expect(&WAITING, &primary, json!({}));
    expect(&WAITING_WRITABLE, &primary, json!({ "expect": { "writable": true } }));
}

#[test]
fn a_standby_that_does_not_replay_is_degraded_and_falls_behind() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let standby = primary.standby();
    standby.pause_replay();
    let outcome = expect(&PAUSED, &standby, json!({}));
    assert_eq!(fact(&outcome, "replication_lag_seconds"), "0", "nothing was written");

    primary.sql("CREATE TABLE written (line int)");
    let behind = || standby.sql("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") == "t";
    eventually(SOON, "the standby has received it", || behind().then_some(()));
    let impatient = json!({ "replication_lag": "50ms" });
    let outcome = eventually(SOON, "the lag has grown", || {
        let outcome = probe(&standby, json!({ "degraded": impatient })).run();
        outcome.findings.iter().any(|finding| finding.code == "replication_lag").then_some(outcome)
    });
    check(&BEHIND, &outcome);
    assert!(fact(&outcome, "replay_lag_bytes").parse::<u64>().is_ok_and(|bytes| bytes > 0), "{outcome:#?}");
    eventually(SOON, "the lag is ten times the limit", || {
        let outcome = probe(&standby, json!({ "degraded": impatient, "expect": { "fresh_reads": true } })).run();
        let found = outcome.findings.iter().find(|finding| finding.code == "replication_lag")?;
        (found.severity == probity_probes::Severity::Unhealthy).then(|| check(&BEHIND_FRESH, &outcome))
    });

    // Deep findings stay due in every run: the end of it is seen although the deep questions are not.
    let options = Options { deep_interval: SOON * 100, ..Options::default() };
    let patient = Asked::with("postgres", entry(standby.addr(), json!({})), options);
    check(&PAUSED, &patient.run());
    standby.resume_replay();
    eventually(SOON, "replay goes on", || patient.run().findings.is_empty().then_some(()));
}

#[test]
fn a_standby_without_its_primary_is_degraded() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    enlighten(&primary);
    let standby = primary.standby();
    primary.process().kill9();
    let outcome = eventually(SOON, "the standby has noticed", || {
        let outcome = probe(&standby, json!({ "degraded": { "replication_lag": "50ms" } })).run();
        (!outcome.findings.is_empty()).then_some(outcome)
    });
    check(&ORPHANED, &outcome);
}

#[test]
fn a_standby_that_takes_no_clients_is_not_ready() {
    if !require("postgres") {
        return;
    }
    let primary = Postgres::start();
    let outcome = expect(&COLD, &primary.refusing_standby(), json!({}));
    assert_eq!(code(&outcome), Some("57P03"));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("hot_standby=off")));
}
