//! Sources and replicas.

use probity_probes::{Outcome, Status};
use serde_json::json;

use super::{SOON, expect, fact, looking};
use crate::support::servers::mysql::Mysql;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mysql":
    FOLLOWING = "a replica that follows", "CHANGE MASTER, START SLAVE" => Expected::HEALTHY;
    MISPLACED = "a replica where a source is expected", "expect.role = source" => Expected::unfit("role_mismatch");
    PROMOTED = "a source where a replica is expected", "expect.role = replica" => Expected::unfit("role_mismatch");
    NOT_APPLYING = "a replica that does not apply", "STOP SLAVE SQL_THREAD" => Expected::degraded("replication_broken");
    NOT_APPLYING_FRESH = "a replica that does not apply, and reads must be fresh", "the same with expect.fresh_reads" => Expected::unfit("replication_broken");
    LAG_UNKNOWN = "a replica that does not know its lag", "the same" => Expected::degraded("lag_unknown");
    CUT_OFF = "a replica whose source is gone", "kill -9 of the source" => Expected::degraded("replication_broken");
    LAGGING = "a replica that lags", "a lock that its applying waits for, degraded.replication_lag = 1s" => Expected::degraded("replication_lag");
    LAGGING_FRESH = "a replica that lags, and reads must be fresh", "ten times the limit with expect.fresh_reads" => Expected::unfit("replication_lag");
    ONE_OF_TWO = "a replica with a dead channel beside a live one", "a second connection to nobody" => Expected::degraded("replication_broken");
    READ_ONLY = "read-only", "SET GLOBAL read_only = 1" => Expected::HEALTHY;
    READ_ONLY_WRITABLE = "read-only, and must be writable", "the same with expect.writable" => Expected::unfit("read_only");
}

#[test]
fn replicas_are_told_from_sources() {
    if !require("mysql") {
        return;
    }
    let (source, replica) = (Mysql::start(), Mysql::start());
    source.lead(&replica);
    let outcome = expect(&FOLLOWING, &replica, json!({ "expect": { "role": "replica", "fresh_reads": true } }));
    for (name, value) in
        [("role", "replica"), ("replica_io_running", "true"), ("replica_sql_running", "true"), ("replication_lag_seconds", "0")]
    {
        assert_eq!(fact(&outcome, name), value, "{name}: {outcome:#?}");
    }
    expect(&MISPLACED, &replica, json!({ "expect": { "role": "source" } }));
    expect(&PROMOTED, &source, json!({ "expect": { "role": "replica" } }));

    replica.sql("STOP SLAVE SQL_THREAD");
    expect(&NOT_APPLYING, &replica, json!({}));
    expect(&LAG_UNKNOWN, &replica, json!({}));
    expect(&NOT_APPLYING_FRESH, &replica, json!({ "expect": { "fresh_reads": true } }));
    replica.sql("START SLAVE");

    replica.sql(
        "CHANGE MASTER 'other' TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'x', MASTER_USE_GTID = slave_pos;
         START SLAVE 'other'",
    );
    let outcome = expect(&ONE_OF_TWO, &replica, json!({}));
    let broken = outcome.findings.iter().find(|finding| finding.code == "replication_broken");
    assert!(broken.is_some_and(|finding| finding.observed.to_string().starts_with("channel other: ")), "{outcome:#?}");
    replica.sql("STOP SLAVE 'other'; RESET SLAVE 'other' ALL");

    source.process().kill9();
    let broken = |outcome: &Outcome| outcome.status == Status::Degraded;
    let probe = looking(&replica, json!({ "degraded": { "replication_lag": "10m" } }));
    let outcome = eventually(SOON, "the loss of the source is seen", || Some(probe.run()).filter(broken));
    check(&CUT_OFF, &outcome);
    assert_eq!(fact(&outcome, "replica_io_running"), "false");
}

#[test]
fn a_replica_that_lags_is_degraded_and_stale_at_ten_times() {
    if !require("mysql") {
        return;
    }
    let (source, replica) = (Mysql::start(), Mysql::start());
    source.lead(&replica);
    source.sql("CREATE TABLE app.t (i INT)");
    eventually(SOON, "the table is there", || replica.try_sql("SELECT * FROM app.t").ok());
    std::thread::scope(|scope| {
        scope.spawn(|| replica.try_sql("LOCK TABLE app.t WRITE; SELECT SLEEP(60)"));
        eventually(SOON, "it is locked", || replica.sql("SHOW PROCESSLIST").contains("SLEEP").then_some(()));
        source.sql("INSERT INTO app.t VALUES (1)");
        let short = json!({ "replication_lag": "1s" });
        let stale = looking(&replica, json!({ "degraded": short, "expect": { "fresh_reads": true } }));
        let lags = |status: Status| move |outcome: &Outcome| outcome.status == status;
        eventually(SOON, "it lags", || Some(stale.run()).filter(lags(Status::Degraded)));
        expect(&LAGGING, &replica, json!({ "degraded": short }));
        let outcome = eventually(SOON, "it is stale", || Some(stale.run()).filter(lags(Status::Unhealthy)));
        replica.process().kill9();
        check(&LAGGING_FRESH, &outcome);
    });
}

#[test]
fn a_server_that_is_read_only_is_unfit_only_where_it_must_be_writable() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    server.sql("SET GLOBAL read_only = 1");
    assert_eq!(fact(&expect(&READ_ONLY, &server, json!({})), "read_only"), "true");
    let outcome = expect(&READ_ONLY_WRITABLE, &server, json!({ "expect": { "writable": true } }));
    assert_eq!(outcome.findings[0].observed.to_string(), "read_only");
}
