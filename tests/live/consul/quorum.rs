//! Leaders, and what is answered without one.

use std::time::Duration;

use probity_probes::{Depth, FailureKind, Options, Status};
use serde_json::json;

use super::{code, entry, expect, fact};
use crate::support::probe::Asked;
use crate::support::servers::consul::{Cluster, Consul, MANAGEMENT};
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "consul":
    LEADERLESS = "a server that has never had a leader, and says so with status 200", "bootstrap_expect = 3, one server" => Expected::fails(FailureKind::NotReady);
    TOO_EARLY = "a server that has never had a leader, and refuses every token with status 403", "the same with ACLs, and the initial management token"
        => Expected::fails(FailureKind::NotReady);
    ELECTED = "a server with ACLs that has just elected itself", "asked all the time since it began, at depth query" => Expected::HEALTHY;
    THREE = "three servers", "one leads" => Expected::HEALTHY;
    MORE_WANTED = "fewer servers than there must be", "expect.min_servers = 5 of three" => Expected::degraded("servers_missing");
    ONE_DOWN = "one of three servers is down", "kill -9; autopilot says it with status 429" => Expected::degraded("autopilot_unhealthy");
    HUNG = "one of three servers is down, and the leader hangs, too", "SIGSTOP; it is called the leader for another second, and autopilot is silent" => Expected::fails(FailureKind::NotReady);
    LOST = "two of three servers are down, and the lists would answer after ten seconds", "kill -9 of the leader, too" => Expected::fails(FailureKind::NotReady);
    BACK = "the servers are back", "started again" => Expected::HEALTHY;
    JUST_KILLED = "the leader has just died", "kill -9, and the server still calls it the leader" => Expected::fails(FailureKind::NotReady);
}

/// The API answers, with status 200 and an empty string; everything else would be silent for seconds.
#[test]
fn no_leader_is_not_ready_although_the_status_is_200() {
    if !require("consul") {
        return;
    }
    let server = Consul::builder().alone();
    let outcome = expect(&LEADERLESS, server.addr(), json!({}));
    assert_eq!(code(&outcome), Some("no_leader"));
    assert!(outcome.duration < Duration::from_secs(1), "{outcome:#?}");
}

#[test]
fn a_403_of_the_first_seconds_is_no_bad_token() {
    if !require("consul") {
        return;
    }
    let server = Consul::builder().acl().alone();
    let refusal = server.get("/v1/agent/self").expect("it answers");
    assert_eq!(refusal.status, 403, "{refusal:?}");
    let token = json!({ "token": MANAGEMENT });
    assert_eq!(code(&expect(&TOO_EARLY, server.addr(), token.clone())), Some("no_leader"));

    let server = Consul::builder().acl().begin();
    let options = Options { depth: Depth::Query, ..Options::default() };
    let probe = Asked::with("consul", entry(server.addr(), token), options);
    // At first it leads and knows no token; a run in that moment waits for it, and takes longer than it should.
    let outcome = eventually(PATIENCE, "it leads itself", || {
        let outcome = probe.run();
        let expected = [None, Some(FailureKind::ConnectRefused), Some(FailureKind::NotReady)];
        assert!(expected.contains(&outcome.failure.as_ref().map(|failure| failure.kind)), "{outcome:#?}");
        Some(outcome).filter(|outcome| outcome.status == Status::Healthy)
    });
    check(&ELECTED, &outcome);
}

#[test]
fn a_quorum_shrinks_is_lost_and_comes_back() {
    if !require("consul") {
        return;
    }
    let cluster = Cluster::start();
    let (followers, leader) = cluster.followers_and_leader();
    let looking = |server: &Consul, keys| {
        let options = Options { deep_interval: Duration::ZERO, ..Options::default() };
        Asked::with("consul", entry(server.addr(), keys), options)
    };
    let probe = looking(followers[0], json!({}));
    let outcome = probe.run();
    check(&THREE, &outcome);
    assert_eq!(
        ["peers", "voters", "servers_healthy", "failure_tolerance"].map(|name| fact(&outcome, name)),
        ["3", "3", "3", "1"]
    );
    check(&MORE_WANTED, &looking(followers[0], json!({ "expect": { "min_servers": 5 } })).run());

    followers[1].process().kill9();
    eventually(PATIENCE, "autopilot sees it", || {
        let health = followers[0].get("/v1/operator/autopilot/health").ok()?;
        (health.status == 429).then_some(())
    });
    check(&ONE_DOWN, &probe.run());

    // For a second or two it is still called the leader, and autopilot is silent; then it is not found, then nobody leads.
    leader.process().freeze();
    let outcome = eventually(PATIENCE, "it is given up", || Some(probe.run()).filter(|outcome| outcome.failure.is_some()));
    check(&HUNG, &outcome);

    leader.process().kill9();
    eventually(PATIENCE, "the last server knows that nobody leads", || followers[0].leader().filter(String::is_empty));
    let outcome = probe.run();
    check(&LOST, &outcome);
    assert_eq!(code(&outcome), Some("no_leader"));

    followers[1].process().restart();
    leader.process().restart();
    eventually(PATIENCE, "everybody is back", || {
        let health = followers[0].get("/v1/operator/autopilot/health").ok()?.json();
        (health["FailureTolerance"] == 1).then_some(())
    });
    let (followers, leader) = cluster.followers_and_leader();
    let probe = looking(followers[0], json!({}));
    check(&BACK, &probe.run());
    leader.process().kill9();
    check(&JUST_KILLED, &probe.run());
}
