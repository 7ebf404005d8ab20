//! A bad network in front of it, and bad hosts beside it.

use std::time::Duration;

use probity_probes::FailureKind;
use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::servers::rabbitmq::shared;
use crate::support::truth::{Expected, check, states};

states! { "rabbitmq":
    ENDLESS = "an endless answer", "a peer that begins a frame of 2 GiB" => Expected::fails(FailureKind::Timeout);
}

fault_tests! { "rabbitmq", shared(), |addr| entry(addr, json!({})) }

host_tests! { "rabbitmq", shared(), |addr| entry(addr, json!({})) }

#[test]
fn an_endless_answer_is_not_swallowed() {
    let peer = peers::flood([1, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
    let within = Duration::from_secs(1);
    let outcome = Asked::new("rabbitmq", entry(peer.addr(), json!({}))).run_within(within);
    check(&ENDLESS.within(within), &outcome);
    assert!(peer.sent() < 32 << 20, "{} bytes were taken in", peer.sent());
}
