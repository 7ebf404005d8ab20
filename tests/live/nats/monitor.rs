//! What the monitoring port adds.

use std::time::Duration;

use probity_probes::Status;
use serde_json::json;

use super::{expect, fact};
use crate::support::servers::nats::Nats;
use crate::support::truth::{Expected, states};
use crate::support::{peers, require};

states! { "nats":
    CROWDED = "many connections", "4 of 5, told by the monitor" => Expected::degraded("connections");
    STORED = "storage nearly full", "a stream with 900 KiB of 1000 kB, told by the monitor"
        => Expected::degraded("jetstream_usage");
    UNWATCHED = "the monitor does not answer", "a port that swallows everything" => Expected::HEALTHY;
    NOT_A_MONITOR = "the monitor is something else", "a port that speaks SSH" => Expected::HEALTHY;
}

#[test]
fn a_share_of_the_connections_is_told_by_the_monitor() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().max_connections(5).start();
    let _held = server.hold_clients(3);
    let monitor = format!("http://{}", server.monitor());
    let outcome = expect(&CROWDED, server.addr(), json!({ "monitor": monitor, "degraded": { "connections": 0.8 } }));
    assert_eq!((fact(&outcome, "connections"), fact(&outcome, "slow_consumers_total")), ("4".into(), "0".into()));
    assert_eq!(outcome.findings[0].to_string(), "connections 0.8 of 0.8");
}

#[test]
fn a_full_store_is_told_by_the_monitor() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().setting("jetstream { max_mem: 1M, max_file: 1000K }").start();
    let stream = r#"{"name":"T","subjects":["t"],"storage":"file","num_replicas":1}"#;
    let made = server.request_with("$JS.API.STREAM.CREATE.T", stream).expect("an answer");
    assert!(made.contains("\"created\""), "{made}");
    let letter = "x".repeat(100 << 10);
    for _ in 0..9 {
        let stored = server.request_with("t", &letter).expect("an answer");
        assert!(stored.contains("\"seq\""), "{stored}");
    }
    let outcome = expect(&STORED, server.addr(), json!({ "monitor": format!("http://{}", server.monitor()) }));
    assert_eq!((fact(&outcome, "js_streams"), fact(&outcome, "js_storage_limit_bytes")), ("1".into(), "1000000".into()));
}

#[test]
fn a_monitor_that_cannot_be_asked_lowers_coverage_in_time() {
    if !require("nats") {
        return;
    }
    let server = Nats::builder().start();
    let (silent, other) = (peers::black_hole(), peers::speaks("SSH-2.0-OpenSSH_9.2\r\n"));
    for (state, peer) in [(UNWATCHED, &silent), (NOT_A_MONITOR, &other)] {
        let outcome = expect(&state, server.addr(), json!({ "monitor": format!("http://{}", peer.addr()) }));
        assert_eq!((outcome.status, outcome.missing.as_slice()), (Status::Healthy, &["monitor".to_owned()][..]));
        assert!(outcome.duration < Duration::from_millis(1500), "{outcome:#?}");
        crate::support::eventually(Duration::from_secs(5), "the connection is closed", || (peer.open() == 0).then_some(()));
    }
}
