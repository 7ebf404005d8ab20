//! Queues that must be there, with few messages and enough consumers.

use probity_probes::FailureKind;
use serde_json::json;

use super::{code, expect, fact, observed};
use crate::support::require;
use crate::support::servers::PASSWORD;
use crate::support::servers::rabbitmq::shared;
use crate::support::truth::{Expected, states};

states! { "rabbitmq":
    THERE = "the queues are there", "queues" => Expected::HEALTHY;
    MISSING = "a queue is missing", "a name in queues that the broker does not have" => Expected::fails(FailureKind::Config);
    DEEP = "too many messages wait", "3 messages, degraded.queue_messages = 2" => Expected::degraded("queue_messages");
    ALONE = "too few consumers", "degraded.queue_consumers = 1" => Expected::degraded("queue_consumers");
    UNSEEN = "queues of which the user may know nothing", "permissions on nothing" => Expected::HEALTHY;
}

#[test]
fn queues_are_counted_and_judged_where_it_is_asked_for() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    for queue in ["orders", "mails"] {
        server.set("PUT", &format!("/api/queues/%2f/{queue}"), "{}");
    }
    let message = json!({ "properties": {}, "routing_key": "orders", "payload": "x", "payload_encoding": "string" });
    for _ in 0..3 {
        server.set("POST", "/api/exchanges/%2f/amq.default/publish", &message.to_string());
    }
    let outcome = expect(&THERE, server, json!({ "queues": ["orders", "mails"] }));
    assert_eq!((fact(&outcome, "queue_messages_ready").as_str(), fact(&outcome, "queue_consumers").as_str()), ("3", "0"));
    let outcome = expect(&DEEP, server, json!({ "queues": ["orders"], "degraded": { "queue_messages": 2 } }));
    assert_eq!(observed(&outcome, "queue_messages"), "orders: 3");
    let outcome = expect(&ALONE, server, json!({ "queues": ["mails"], "degraded": { "queue_consumers": 1 } }));
    assert_eq!(observed(&outcome, "queue_consumers"), "mails: 0");
    let outcome = expect(&MISSING, server, json!({ "queues": ["orders", "nowhere"] }));
    assert_eq!(code(&outcome), Some("404"));

    // A passive declaration needs no right of its own.
    server.set("PUT", "/api/users/blind", &json!({ "password": PASSWORD, "tags": "" }).to_string());
    let nothing = json!({ "configure": "^$", "write": "^$", "read": "^$" }).to_string();
    server.set("PUT", "/api/permissions/%2f/blind", &nothing);
    expect(&UNSEEN, server, json!({ "username": "blind", "queues": ["orders"] }));
}
