//! A bad network in front of it, and bad hosts beside it.

use std::time::Duration;

use probity_probes::FailureKind;
use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::servers::mosquitto::Mosquitto;
use crate::support::truth::{Expected, check, states};

states! { "mqtt":
    ENDLESS = "an endless answer", "a peer that begins a packet of 256 MiB" => Expected::fails(FailureKind::Protocol);
}

// Neither the dripping network, where it is only slow, nor the one that resets, sometimes before it is connected.
fault_tests! { "mqtt", Mosquitto::start(), |addr| entry(addr, json!({}));
    delay_is_latency
    stall_is_a_timeout_of_the_phase_that_waits
    close_is_a_lost_connection
    half_close_is_a_lost_connection
    cut_of_the_warm_session_is_healed_in_the_same_run
    garbage_is_no_protocol
    flood_is_not_swallowed
}

host_tests! { "mqtt", Mosquitto::start(), |addr| entry(addr, json!({})) }

#[test]
fn an_endless_answer_is_cut_off() {
    let peer = peers::flood([0x20, 0xff, 0xff, 0xff, 0x7f]);
    let outcome = Asked::new("mqtt", entry(peer.addr(), json!({}))).run_within(Duration::from_secs(1));
    check(&ENDLESS, &outcome);
    assert!(peer.sent() < 32 << 20, "{} bytes were taken in", peer.sent());
}
