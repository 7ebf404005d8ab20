//! Breakers, full queues and a busy master, which health does not show.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{KIND, Server};
use crate::live::search::{SOON, colour, expect, looking, tripping};
use crate::support::outcome::{code, fact, sees};
use crate::support::servers::search::Node;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { KIND:
    BREAKER = "a memory that is used up", "indices.breaker.total.limit = 1kb; health is green" => Expected::degraded("breaker_open");
    BREAKER_SEARCHED = "a memory that is used up, and an index that is searched", "the same with indices" => Expected::degraded("rejections");
    BREAKER_COUNTED = "a memory that is used up, and a count", "the same with query" => Expected::fails(FailureKind::Overload);
    REFUSED = "a memory that was used up", "the limit as before, and the next deep question" => Expected::degraded("rejections");
    IN_FLIGHT = "requests that are refused by their size", "network.breaker.inflight_requests.limit = 10b, and a request of somebody" => Expected::degraded("rejections");
    IN_FLIGHT_TRIP = "a round trip that is refused by its size", "the same with depth = roundtrip" => Expected::fails(FailureKind::Overload);
    SEARCHES = "searches that are rejected", "a queue of one, and many searches; health is green" => Expected::degraded("rejections");
    WRITES = "writes that are rejected", "a queue of one, and many writes; health is green" => Expected::degraded("rejections");
    PENDING = "tasks that wait for the master", "indices made in masses, degraded.pending_tasks = 2" => Expected::degraded("pending_tasks");
    WAITING = "a task that waits long for the master", "the same, degraded.task_waiting = 1ms" => Expected::degraded("task_waiting");
    CALM = "nothing was refused since", "the next deep question" => Expected::HEALTHY;
}

#[test]
fn a_health_that_is_green_hides_a_breaker_that_refuses_everything() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    node.index("orders", &json!({ "index.number_of_replicas": 0 }));
    let probe = looking(&node, json!({}));
    check(&CALM, &probe.run());
    node.set("indices.breaker.total.limit", &json!("1kb"));
    check(&BREAKER, &probe.run());
    assert_eq!(colour(&node), "green");
    let outcome = expect(&BREAKER_SEARCHED, &node, json!({ "indices": ["orders"] }));
    assert!(sees("breaker_open", &outcome), "{outcome:#?}");
    assert_eq!(code(&expect(&BREAKER_COUNTED, &node, json!({ "query": "orders" }))), Some("429 circuit_breaking_exception"));
    node.set("indices.breaker.total.limit", &json!(null));
    // The refusals of before are told once.
    check(&REFUSED, &probe.run());
    check(&CALM, &probe.run());
}

#[test]
fn requests_that_are_refused_by_their_size_are_counted() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    node.index("probity-canary", &json!({ "index.number_of_replicas": 0 }));
    let probe = looking(&node, json!({}));
    check(&CALM, &probe.run());
    node.set("network.breaker.inflight_requests.limit", &json!("10b"));
    let refused = node.send("PUT", "/probity-canary/_doc/1", &json!({ "a": "some words" })).expect("an answer");
    assert_eq!(refused.status, 429, "{refused:?}");
    check(&IN_FLIGHT, &probe.run());
    let outcome = tripping(&node).run();
    check(&IN_FLIGHT_TRIP, &outcome);
    assert_eq!(code(&outcome), Some("429 circuit_breaking_exception"));
}

/// How many ask at the same time.
const SIDES: u32 = 24;

/// Sends from many sides until so many were refused.
fn press(node: &Node<Server>, method: &str, path: &str, body: &Json) {
    let (refused, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..SIDES {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = node.send(method, path, body);
                    refused.fetch_add(u32::from(answer.is_ok_and(|answer| answer.status == 429)), Ordering::Relaxed);
                }
            });
        }
        eventually(SOON, "one is refused", || (refused.load(Ordering::Relaxed) > 0).then_some(()));
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_health_that_is_green_hides_searches_and_writes_that_are_rejected() {
    if !require(KIND) {
        return;
    }
    let pools =
        ["search", "write"].into_iter().flat_map(|pool| ["size", "queue_size"].map(|what| format!("thread_pool.{pool}.{what}")));
    let node = pools.fold(Node::<Server>::builder(), |builder, setting| builder.setting(&setting, 1)).start();
    node.index("orders", &json!({ "index.number_of_replicas": 0 }));
    let probe = looking(&node, json!({}));
    check(&CALM, &probe.run());
    for (state, method, path, body) in
        [(&SEARCHES, "GET", "/orders/_search", json!(null)), (&WRITES, "POST", "/orders/_doc", json!({ "a": 1 }))]
    {
        press(&node, method, path, &body);
        let outcome = probe.run();
        check(state, &outcome);
        assert_eq!(colour(&node), "green");
        assert_ne!(fact(&outcome, "rejected_total"), "0");
        check(&CALM, &probe.run());
    }
}

#[test]
fn a_master_with_too_much_to_do_is_seen() {
    if !require(KIND) {
        return;
    }
    let node = Node::<Server>::start();
    for (state, limits) in [(&PENDING, json!({ "pending_tasks": 2 })), (&WAITING, json!({ "task_waiting": "1ms" }))] {
        let probe = looking(&node, json!({ "degraded": limits }));
        let finding = state.expected.finding.expect("it is one");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for side in 0..SIDES {
                let (node, over, index) = (&node, &over, format!("/{finding}-{side}"));
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        drop(node.send("PUT", &format!("{index}?wait_for_active_shards=0"), &json!(null)));
                        drop(node.send("DELETE", &index, &json!(null)));
                    }
                });
            }
            let busy = eventually(SOON, "tasks wait", || Some(probe.run()).filter(|outcome| sees(finding, outcome)));
            over.store(true, Ordering::Relaxed);
            check(state, &busy);
        });
    }
}
