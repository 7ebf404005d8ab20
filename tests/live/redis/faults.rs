//! A bad network in front of it, and bad hosts beside it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::servers::redis::Redis;
use crate::support::truth::{Expected, State, check};

fault_tests! { "redis", Redis::start(), |addr| entry(addr, json!({})) }

host_tests! { "redis", Redis::start(), |addr| entry(addr, json!({})) }

#[test]
fn an_endless_answer_is_cut_off() {
    let peer = peers::flood("$536870912\r\n");
    let outcome = Asked::new("redis", entry(peer.addr(), json!({}))).run();
    let endless = Expected::fails(probity_probes::FailureKind::Protocol);
    check(&State::new("redis", "an endless answer", "a string of 512 MiB", endless), &outcome);
    assert_eq!(super::code(&outcome), Some("reply_too_long"));
    assert!(peer.sent() < 32 << 20, "{} bytes were taken in", peer.sent());
}
