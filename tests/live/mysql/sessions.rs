//! Sessions that are kept, lost, renewed and ended.

use probity_probes::{ConnectionPolicy, Depth, Options};
use serde_json::json;

use super::{SOON, entry, probe};
use crate::live::sessions::{Specimen, specimen};
use crate::support::probe::Asked;
use crate::support::servers::USER;
use crate::support::servers::mysql::Mysql;
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "mysql":
    IDLE = "it ends idle sessions", "wait_timeout = 1" => Expected::HEALTHY;
}

specimen! { "mysql", Mysql, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        self.sql(&format!("KILL USER {USER}"));
    }

    fn sessions(&self) -> Option<usize> {
        let count = format!("SELECT count(*) FROM information_schema.processlist WHERE user = '{USER}'");
        self.sql(&count).trim().parse().ok()
    }
}

#[test]
fn a_session_that_was_idle_for_too_long_comes_back_silently() {
    if !require("mysql") {
        return;
    }
    let server = Mysql::builder().setting("wait-timeout=1").start();
    let probe = probe(&server, json!({}));
    check(&IDLE, &probe.run());
    assert!(probe.lost_within(SOON), "the session was not ended");
    let outcome = probe.run();
    check(&IDLE, &outcome);
    assert!(outcome.reconnected);
}

/// The server counts what breaks off, and blocks hosts for it: nothing of ours ever counts.
#[test]
fn runs_leave_no_line_in_the_log_of_the_server_and_nothing_aborted() {
    if !require("mysql") {
        return;
    }
    // At this level every connection that does not end with COM_QUIT is a line.
    let server = Mysql::builder().setting("log-warnings=9").start();
    let with = |keys, options| Asked::with("mysql", entry(server.addr(), keys), options);
    let trusting = json!({ "tls": { "ca": Ca::shared().certificate() } });
    let fresh = || Options { connection: ConnectionPolicy::Fresh, ..Options::default() };
    let warm = with(json!({}), Options::default());
    let others = [
        with(json!({}), fresh()),
        with(trusting.clone(), fresh()),
        with(trusting.clone(), Options::default()),
        with(json!({}), Options { depth: Depth::Connect, ..Options::default() }),
        with(trusting, Options { depth: Depth::Handshake, ..Options::default() }),
    ];
    warm.run();
    let log = server.process().log();
    for probe in others.iter().cycle().take(3 * others.len()) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in others.iter().chain([&warm]) {
        probe.close();
    }
    eventually(SOON, "every session is ended", || (server.sessions() == Some(0)).then_some(()));
    assert_eq!(server.process().log(), log);
    assert_eq!((server.status("Aborted_connects"), server.status("Aborted_clients")), (0, 0));
}
