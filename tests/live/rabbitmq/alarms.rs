//! Alarms, and who hears of them.

use serde_json::json;

use super::{SOON, deep, expect, fact, managed, observed, probe};
use crate::support::servers::rabbitmq::Rabbitmq;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "rabbitmq":
    WRITABLE = "well, and must be writable", "expect.writable" => Expected::HEALTHY;
    UNHEARD = "short of memory, and nobody looks", "a memory alarm without management and expect.writable" => Expected::HEALTHY;
    MEMORY = "short of memory", "a memory alarm" => Expected::degraded("alarm");
    MEMORY_WRITABLE = "short of memory, and must be writable", "the same with expect.writable" => Expected::unfit("alarm");
    BLOCKED = "publishers are blocked", "a memory alarm, expect.writable without management" => Expected::unfit("blocked");
    DISK = "short of disk", "a disk alarm" => Expected::degraded("alarm");
}

#[test]
fn alarms_are_told_by_the_api_and_to_those_who_publish() {
    if !require("rabbitmq") {
        return;
    }
    let server = Rabbitmq::start();
    let writable = deep(&server, json!({ "expect": { "writable": true } }));
    let outcome = writable.run();
    check(&WRITABLE, &outcome);
    assert_eq!(fact(&outcome, "blocked"), "false");
    let mut both = managed(&server);
    both["expect"] = json!({ "writable": true });

    server.memory_alarm(true);
    check(&UNHEARD, &probe(&server, json!({})).run());
    let outcome = expect(&MEMORY, &server, managed(&server));
    assert_eq!((observed(&outcome, "alarm").as_str(), fact(&outcome, "mem_alarm").as_str()), ("memory", "true"));
    let outcome = expect(&MEMORY_WRITABLE, &server, both);
    assert_eq!(observed(&outcome, "blocked"), "low on memory");
    // Again and again: the message that waits is not joined by others.
    for _ in 0..3 {
        let outcome = writable.run();
        check(&BLOCKED, &outcome);
        assert_eq!((observed(&outcome, "blocked").as_str(), fact(&outcome, "blocked").as_str()), ("low on memory", "true"));
    }
    server.memory_alarm(false);
    let outcome = eventually(SOON, "publishers go on", || {
        let outcome = writable.run();
        outcome.findings.is_empty().then_some(outcome)
    });
    check(&WRITABLE, &outcome);
    assert!(!outcome.reconnected, "{outcome:#?}");

    server.disk_alarm(true);
    let outcome = expect(&DISK, &server, managed(&server));
    assert_eq!((observed(&outcome, "alarm").as_str(), fact(&outcome, "disk_alarm").as_str()), ("disk space", "true"));
    server.disk_alarm(false);
}
