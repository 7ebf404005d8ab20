//! Round trips: a row that is written, read and removed, where the user has made a table for it.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::USER;
use crate::support::servers::mysql::Mysql;
use crate::support::truth::{Expected, State, check, states};

states! { "mysql":
    ROUND = "a round trip", "the table and the grants of the reference page" => Expected::HEALTHY;
    NO_TABLE = "a round trip without its table", "no probity.canary" => Expected::fails(FailureKind::Config);
    NO_GRANT = "a round trip without the grants", "none at all, no DELETE" => Expected::fails(FailureKind::Permission);
    READ_ONLY = "a round trip on a read-only server", "read_only = 1" => Expected::fails(FailureKind::NotReady);
    REPLICA = "a round trip on a replica", "a source's follower, read_only = 1" => Expected::fails(FailureKind::NotReady);
    LOST = "a round trip whose row is lost", "a trigger that changes it" => Expected::unfit("roundtrip_lost");
    LOCKED = "a round trip to a locked table", "FLUSH TABLES … FOR EXPORT in another session" => Expected::fails(FailureKind::Query);
}

/// What the reference page tells the user to do.
const TABLE: &str = "CREATE TABLE probity.canary (id varchar(16) PRIMARY KEY, nonce varchar(16) NOT NULL) ENGINE = InnoDB";

fn furnish(server: &Mysql) {
    let grant = format!("GRANT SELECT, INSERT, DELETE ON probity.canary TO {USER}@'%'");
    server.sql(&format!("CREATE DATABASE probity; {TABLE}; {grant}"));
}

/// A probe that makes a round trip in every run.
fn writing(server: &Mysql) -> Asked {
    at_depth(server, Depth::Roundtrip, &json!({}))
}

fn at_depth(server: &Mysql, depth: Depth, keys: &Json) -> Asked {
    let options = Options { depth, roundtrip_interval: Duration::ZERO, name: "orders".into(), ..Options::default() };
    Asked::with("mysql", entry(server.addr(), keys.clone()), options)
}

#[track_caller]
fn expect(state: &State, server: &Mysql) -> Outcome {
    let outcome = writing(server).run();
    check(state, &outcome);
    if let Some(failure) = &outcome.failure {
        assert_eq!(failure.phase, Some(Phase::Roundtrip));
    }
    outcome
}

#[test]
fn what_a_round_trip_lacks_is_said() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let remedy = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.remedy.clone()).unwrap_or_default();
    // Whoever may not see a table is not told that there is none.
    let none = expect(&NO_GRANT, &server);
    assert_eq!(code(&none), Some("1142"));
    assert!(remedy(&none).contains("GRANT SELECT, INSERT, DELETE"), "{none:#?}");
    furnish(&server);
    expect(&ROUND, &server);
    server.sql(&format!("REVOKE DELETE ON probity.canary FROM {USER}@'%'"));
    assert_eq!(code(&expect(&NO_GRANT, &server)), Some("1142"));
    server.sql(&format!("GRANT DELETE ON probity.canary TO {USER}@'%'; DROP TABLE probity.canary"));
    let none = expect(&NO_TABLE, &server);
    assert_eq!(code(&none), Some("1146"));
    assert!(remedy(&none).contains("CREATE TABLE probity.canary"), "{none:#?}");
}

#[test]
fn a_server_that_takes_no_writes_fails_it() {
    if !require("mysql") {
        return;
    }
    let (source, replica) = (Mysql::start(), Mysql::start());
    source.lead(&replica);
    furnish(&source);
    replica.sql("SET GLOBAL read_only = 1; DO MASTER_GTID_WAIT(@@gtid_current_pos, 10)");
    assert_eq!(code(&expect(&REPLICA, &replica)), Some("1290"));
    expect(&ROUND, &source);
    source.sql("SET GLOBAL read_only = 1");
    assert_eq!(code(&expect(&READ_ONLY, &source)), Some("1290"));
}

#[test]
fn a_row_that_is_changed_is_lost() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    let probe = writing(&server);
    server.sql("CREATE TRIGGER probity.meddle BEFORE INSERT ON probity.canary FOR EACH ROW SET NEW.nonce = 'other'");
    let outcome = probe.run();
    check(&LOST, &outcome);
    assert_eq!(outcome.findings[0].observed.to_string(), "other");
    server.sql("DROP TRIGGER probity.meddle");
    check(&ROUND, &probe.run());
}

#[test]
fn nothing_is_left_behind_however_often_it_is_made() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    let probe = writing(&server);
    let size = || {
        let file = "SELECT FILE_SIZE FROM information_schema.innodb_sys_tablespaces WHERE name = 'probity/canary'";
        server.sql(&format!("SELECT COUNT(*) FROM probity.canary; {file}"))
    };
    check(&ROUND, &probe.run());
    let first = size();
    assert!(first.starts_with("0\n") && first.len() > 2, "{first}");
    for _ in 0..200 {
        let outcome = probe.run();
        check(&ROUND, &outcome);
        assert!(outcome.phases.get(Phase::Roundtrip).is_some());
    }
    assert_eq!(size(), first);
}

/// As a table without transactions leaves it when the run is cut off.
#[test]
fn a_row_that_was_left_behind_is_in_nobody_s_way() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    server.sql(
        "CREATE TABLE probity.kept (id varchar(16), nonce varchar(16));
         CREATE TRIGGER probity.keep AFTER INSERT ON probity.canary FOR EACH ROW INSERT INTO probity.kept VALUES (NEW.id, NEW.nonce)",
    );
    let probe = writing(&server);
    check(&ROUND, &probe.run());
    server.sql("DROP TRIGGER probity.keep; INSERT INTO probity.canary SELECT * FROM probity.kept");
    check(&ROUND, &probe.run());
    assert_eq!(server.sql("SELECT COUNT(*) FROM probity.canary"), "0");
}

#[test]
fn probes_of_one_name_do_not_take_each_other_s_row_for_a_loss() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let probe = writing(&server);
                (0..25).for_each(|_| check(&ROUND, &probe.run()));
            });
        }
    });
}

#[test]
fn a_lock_is_waited_for_but_not_for_long() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    let (probe, lock) = (writing(&server), "FLUSH TABLES probity.canary FOR EXPORT; SELECT SLEEP(60)");
    check(&ROUND, &probe.run());
    std::thread::scope(|scope| {
        scope.spawn(|| server.try_sql(lock));
        let sleeping = "FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        crate::support::eventually(super::SOON, "it is locked", || {
            (server.sql(&format!("SELECT COUNT(*) {sleeping}")) == "1").then_some(())
        });
        let outcome = probe.run();
        check(&LOCKED, &outcome);
        assert_eq!(code(&outcome), Some("1205"));
        server.sql(&server.sql(&format!("SELECT CONCAT('KILL ', id) {sleeping}")));
    });
    check(&ROUND, &probe.run());
}

#[test]
fn a_session_with_an_own_question_writes_only_its_canary() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    let probe = at_depth(&server, Depth::Roundtrip, &json!({ "query": "SELECT 'open'", "expect": { "value": "open" } }));
    (0..3).for_each(|_| check(&ROUND, &probe.run()));
}

#[test]
fn nothing_is_written_unless_it_is_asked_for() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    furnish(&server);
    // Whatever is written is in the binary log.
    let written = || server.sql("SHOW MASTER STATUS");
    let before = written();
    for depth in [Depth::Query, Depth::Deep] {
        let probe = at_depth(&server, depth, &json!({}));
        (0..5).for_each(|_| check(&ROUND, &probe.run()));
    }
    assert_eq!(written(), before);
    check(&ROUND, &writing(&server).run());
    assert_ne!(written(), before);
}
