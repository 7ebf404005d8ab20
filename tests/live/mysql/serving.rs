//! Whether it serves, and how well.

use probity_probes::{FailureKind, Outcome, Phase, SessionKind, Status};
use serde_json::json;

use super::{SOON, always_renewing, code, expect, fact, probe};
use crate::support::servers::mysql::Mysql;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mysql":
    WELL = "well", "a server as it starts" => Expected::HEALTHY;
    CROWDED = "nearly at its limit of connections", "18 of 20 connected" => Expected::degraded("connections");
    NO_ROOM = "at its limit of connections", "max_connections reached, then a fresh session" => Expected::fails(FailureKind::Overload);
    NO_ROOM_WARM = "at its limit of connections, with a warm session", "the same beside a session of ours" => Expected::degraded("new_connections_failing");
    BUSY = "busy with more statements than it should", "three that sleep, degraded.threads_running = 2" => Expected::degraded("threads_running");
    DESYNCED = "a Galera node that is desynced", "SET GLOBAL wsrep_desync = ON" => Expected::degraded("galera_not_synced");
    ALONE = "a Galera cluster with too few nodes", "one node, expect.min_nodes = 3" => Expected::degraded("galera_nodes_missing");
    SYNCED = "a Galera node that is synced", "a cluster of one" => Expected::HEALTHY;
    CUT_OFF = "a Galera node without quorum", "SET GLOBAL wsrep_cluster_address to nobody" => Expected::unfit("galera_without_quorum");
}

#[test]
fn a_server_that_is_well_tells_what_it_is() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let probe = probe(&server, json!({ "expect": { "role": "source", "writable": true } }));
    let fresh = probe.run();
    check(&WELL, &fresh);
    for (name, value) in [("flavor", "mariadb"), ("role", "source"), ("read_only", "false"), ("max_connections", "20")] {
        assert_eq!(fact(&fresh, name), value, "{name}");
    }
    assert!(fact(&fresh, "version").contains("MariaDB"), "{fresh:#?}");
    for name in ["threads_connected", "threads_running"] {
        assert!(fact(&fresh, name).parse::<u64>().is_ok_and(|number| number > 0), "{name}: {fresh:#?}");
    }
    assert!(!fresh.facts.contains_key("wsrep_ready") && fresh.missing.is_empty(), "{fresh:#?}");
    let named = server.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'probe'");
    assert_eq!(named, "1");

    let warm = probe.run();
    check(&WELL, &warm);
    let phases = |outcome: &Outcome| outcome.phases.iter().map(|(phase, _)| phase).collect::<Vec<_>>();
    assert_eq!(
        (fresh.session, phases(&fresh)),
        (Some(SessionKind::Fresh), vec![Phase::Connect, Phase::Auth, Phase::Query, Phase::Deep])
    );
    assert_eq!((warm.session, phases(&warm)), (Some(SessionKind::Warm), vec![Phase::Query]));
}

#[test]
fn connections_run_out() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    let renewing = always_renewing(&server);
    check(&WELL, &renewing.run());
    let held = server.hold_clients(16);
    expect(&CROWDED, &server, json!({}));
    let more = server.hold_clients(3);
    let full = || Some(probe(&server, json!({})).run()).filter(|outcome| outcome.failure.is_some());
    let outcome = eventually(SOON, "it is full", full);
    check(&NO_ROOM, &outcome);
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("1040"), "true"));
    check(&NO_ROOM_WARM, &renewing.run());
    drop((held, more));
    eventually(SOON, "it recovers", || (renewing.run().status == Status::Healthy).then_some(()));
}

#[test]
fn statements_that_pile_up_are_a_finding_where_a_limit_is_set() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::start();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| server.try_sql("SELECT SLEEP(3)"));
        }
        eventually(SOON, "they run", || (server.status("Threads_running") > 3).then_some(()));
        expect(&BUSY, &server, json!({ "degraded": { "threads_running": 2 } }));
    });
}

#[test]
fn a_galera_node_tells_its_state() {
    const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
    if !require("mysql") {
        return;
    }
    if !std::path::Path::new(PROVIDER).is_file() {
        eprintln!("SKIPPED mysql: {PROVIDER} is not installed (Debian: apt-get install galera-4)");
        return;
    }
    let (group, transfer) = (crate::support::free_port(), crate::support::free_port());
    let server = Mysql::builder()
        .setting("wsrep-on=ON")
        .setting(&format!("wsrep-provider={PROVIDER}"))
        .setting("wsrep-cluster-address=gcomm://")
        .setting(&format!(
            "wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{transfer};gcache.size=1M"
        ))
        .setting("wsrep-node-address=127.0.0.1")
        .setting("binlog-format=ROW")
        .setting("innodb-autoinc-lock-mode=2")
        .start();
    let synced = expect(&SYNCED, &server, json!({}));
    assert_eq!((fact(&synced, "wsrep_ready"), fact(&synced, "wsrep_cluster_size")), ("true".into(), "1".into()));
    expect(&ALONE, &server, json!({ "expect": { "min_nodes": 3 } }));
    server.sql("SET GLOBAL wsrep_desync = ON");
    expect(&DESYNCED, &server, json!({}));
    server.sql("SET GLOBAL wsrep_desync = OFF");
    std::thread::scope(|scope| {
        // It searches for its cluster as long as it lives.
        scope.spawn(|| server.try_sql("SET GLOBAL wsrep_cluster_address = 'gcomm://127.0.0.1:1'"));
        // On its way there it ends every connection.
        let is_cut_off = |outcome: &Outcome| outcome.status == Status::Unhealthy && outcome.failure.is_none();
        let cut_off = || Some(probe(&server, json!({})).run()).filter(is_cut_off);
        let outcome = eventually(SOON, "it is cut off", cut_off);
        server.process().kill9();
        check(&CUT_OFF, &outcome);
    });
}
