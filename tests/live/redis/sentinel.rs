//! By way of sentinels.

use std::time::Duration;

use probity_probes::{FailureKind, Options, Outcome, SessionKind};
use serde_json::{Value as Json, json};

use super::{SOON, code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::redis::sentinel::{MASTER, sentinels};
use crate::support::servers::redis::{self, Redis};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "redis":
    WELL = "a master that sentinels watch", "three sentinels, a master and a replica" => Expected::HEALTHY;
    ONE_GONE = "a sentinel is down", "kill -9 of the first of three" => Expected::degraded("seeds_failing");
    NO_QUORUM = "too few sentinels for a fail-over", "kill -9 of two of three" => Expected::degraded("sentinel_no_quorum");
    ALL_GONE = "no sentinel answers", "kill -9 of all three" => Expected::fails(FailureKind::ConnectRefused);
    UNKNOWN = "a master that the sentinels do not know", "another path in the URL" => Expected::fails(FailureKind::Config);
    MASTER_GONE = "the master is down and nobody has taken over", "kill -9 of a master without a replica" => Expected::fails(FailureKind::ConnectRefused);
    DEMOTED = "the server that the sentinel names is a replica", "REPLICAOF at the master" => Expected::fails(FailureKind::NotReady);
    LOCKED = "a sentinel with a password", "requirepass, and sentinel_password" => Expected::HEALTHY;
    REJECTED = "a wrong password for the sentinel", "requirepass, and another sentinel_password" => Expected::fails(FailureKind::Auth);
    NO_PASSWORD = "no password where a sentinel wants one", "requirepass, and none in the entry" => Expected::fails(FailureKind::Auth);
    DOUBTED = "a sentinel that thinks the master down", "a sentinel without the master's password, quorum 2" => Expected::degraded("sentinel_sees_down");
    GIVEN_UP = "the sentinels agree that the master is down", "the same with quorum 1" => Expected::unfit("sentinel_sees_down");
}

fn entry(sentinels: &[Redis], keys: Json) -> Json {
    let hosts: Vec<_> = sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
    with(json!({ "url": format!("redis+sentinel://{}/{MASTER}/2", hosts.join(",")) }), keys)
}

fn probe(sentinels: &[Redis]) -> Asked {
    Asked::with("redis", entry(sentinels, json!({})), Options { deep_interval: Duration::ZERO, ..Options::default() })
}

fn address(outcome: &Outcome) -> String {
    fact(outcome, "remote_address")
}

#[test]
fn the_master_is_found_while_a_sentinel_answers() {
    if !require("redis") {
        return;
    }
    let (master, _replica) = redis::replicated();
    let sentinels = sentinels::<3>(&master, 2, 1);
    let warm = probe(&sentinels);
    for session in [SessionKind::Fresh, SessionKind::Warm] {
        let outcome = warm.run();
        check(&WELL, &outcome);
        assert_eq!((outcome.session, address(&outcome)), (Some(session), master.addr().to_string()));
        let facts = ["role", "mode", "seeds_answering"].map(|name| fact(&outcome, name));
        assert_eq!(facts, ["primary", "standalone", "3"]);
    }
    let unknown = json!({ "url": format!("redis+sentinel://{}/nobody", sentinels[0].addr()) });
    let outcome = Asked::new("redis", unknown).run();
    check(&UNKNOWN, &outcome);
    assert_eq!(code(&outcome), Some("sentinel_unknown_master"));

    sentinels[0].process().kill9();
    check(&ONE_GONE, &warm.run());
    let fresh = probe(&sentinels).run();
    check(&ONE_GONE, &fresh);
    assert!(fresh.findings.iter().any(|finding| finding.code == "address_failing"), "{fresh:#?}");
    sentinels[1].process().kill9();
    eventually(SOON, "the last one misses the others", || {
        sentinels[2].command(&["SENTINEL", "CKQUORUM", MASTER]).starts_with("-NOQUORUM").then_some(())
    });
    check(&NO_QUORUM, &warm.run());
    sentinels[2].process().kill9();
    check(&ALL_GONE, &probe(&sentinels).run());
    // The master serves on.
    check(&ONE_GONE, &warm.run());
}

#[test]
fn a_fail_over_is_followed() {
    if !require("redis") {
        return;
    }
    let (master, replica) = redis::replicated();
    let sentinels = sentinels::<3>(&master, 2, 1);
    let warm = probe(&sentinels);
    check(&WELL, &warm.run());
    master.process().kill9();
    assert!(warm.lost_within(SOON), "the loss was not noticed");
    let outcome = eventually(SOON, "the replica is the master", || Some(warm.run()).filter(|outcome| outcome.failure.is_none()));
    assert_eq!((address(&outcome), fact(&outcome, "role")), (replica.addr().to_string(), "primary".to_owned()));

    // Back again, as an operator would: the old one lives on as a replica, and ends its sessions.
    master.restart();
    let known = format!("port\n{}\n", master.addr().port());
    sentinels[0].process().wait_until("the old one is a replica that is well", || {
        let replicas = sentinels[0].command(&["SENTINEL", "REPLICAS", MASTER]);
        (replicas.contains(&known) && replicas.contains("master-link-status\nok")).then_some(())
    });
    // On a busy machine a sentinel gives up a fail-over whose replica takes longer than failover-timeout, and begins no other.
    let old = format!("127.0.0.1\n{}", master.addr().port());
    sentinels[0].process().wait_until("the old one is the master for the sentinels", || {
        let named = sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
        let is_old = named.trim_end() == old;
        if !is_old {
            sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]);
        }
        is_old.then_some(())
    });
    let outcome = eventually(SOON, "the old one is the master again", || {
        Some(warm.run()).filter(|outcome| outcome.failure.is_none() && address(outcome) == master.addr().to_string())
    });
    assert_eq!(fact(&outcome, "role"), "primary");
}

#[test]
fn a_master_without_a_successor_is_down() {
    if !require("redis") {
        return;
    }
    let master = Redis::start();
    let sentinels = sentinels::<1>(&master, 1, 0);
    let warm = probe(&sentinels);
    check(&WELL, &warm.run());
    master.process().kill9();
    assert!(warm.lost_within(SOON), "the loss was not noticed");
    check(&MASTER_GONE, &warm.run());
}

#[test]
fn a_server_that_is_no_master_is_not_taken_for_one() {
    if !require("redis") {
        return;
    }
    let (master, other) = (Redis::start(), Redis::start());
    let sentinel = Redis::sentinel(&master, 1).setting(format!("sentinel down-after-milliseconds {MASTER} 60000")).start();
    master.command(&["REPLICAOF", "127.0.0.1", &other.addr().port().to_string()]);
    let outcome = probe(&[sentinel]).run();
    check(&DEMOTED, &outcome);
    assert_eq!(code(&outcome), Some("sentinel_not_a_master"));
}

/// The old master may be well and know nothing of it: only the sentinels tell.
#[test]
fn another_master_is_taken_in_the_same_run() {
    if !require("redis") {
        return;
    }
    let (first, second) = (Redis::start(), Redis::start());
    let sentinels = sentinels::<1>(&first, 1, 0);
    let warm = probe(&sentinels);
    assert_eq!(address(&warm.run()), first.addr().to_string());
    sentinels[0].command(&["SENTINEL", "REMOVE", MASTER]);
    sentinels[0].command(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &second.addr().port().to_string(), "1"]);
    let outcome = warm.run();
    check(&WELL, &outcome);
    assert_eq!((address(&outcome), outcome.reconnected), (second.addr().to_string(), true));
}

#[test]
fn sentinels_have_passwords_of_their_own() {
    if !require("redis") {
        return;
    }
    let master = Redis::builder().user("~* +@all").start();
    let sentinel = [Redis::sentinel(&master, 1).password().start()];
    let asked = |keys: Json| Asked::new("redis", entry(&sentinel, keys)).run();
    check(&LOCKED, &asked(json!({ "username": USER, "password": PASSWORD, "sentinel_password": PASSWORD })));
    let outcome = asked(json!({ "sentinel_password": "not-it" }));
    check(&REJECTED, &outcome);
    assert_eq!(code(&outcome), Some("WRONGPASS"));
    let outcome = asked(json!({}));
    check(&NO_PASSWORD, &outcome);
    assert_eq!(code(&outcome), Some("NOAUTH"));
}

#[test]
fn what_sentinels_think_of_the_master_is_told() {
    if !require("redis") {
        return;
    }
    let master = Redis::builder().password().start();
    for (quorum, flag, state) in [(2, "s_down", DOUBTED), (1, "o_down", GIVEN_UP)] {
        let sentinel = [Redis::sentinel(&master, quorum).start()];
        eventually(SOON, flag, || sentinel[0].command(&["SENTINEL", "MASTER", MASTER]).contains(flag).then_some(()));
        check(&state, &Asked::new("redis", entry(&sentinel, json!({ "password": PASSWORD }))).run());
    }
}
