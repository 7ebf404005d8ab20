//! Sessions that are kept, lost, renewed and ended.

use probity_probes::{ConnectionPolicy, Options};
use serde_json::json;

use super::{SOON, entry, probe};
use crate::live::sessions::{Specimen, specimen};
use crate::support::probe::Asked;
use crate::support::servers::postgres::Postgres;
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { "postgres":
    IDLE = "it ends idle sessions", "idle_session_timeout = 100ms" => Expected::HEALTHY;
}

specimen! { "postgres", Postgres, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        self.terminate_clients();
    }

    fn sessions(&self) -> Option<usize> {
        self.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'probity'").trim().parse().ok()
    }
}

#[test]
fn a_session_that_was_idle_for_too_long_comes_back_silently() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::builder().setting("idle_session_timeout", "100ms").start();
    let probe = probe(&server, json!({}));
    check(&IDLE, &probe.run());
    assert!(probe.lost_within(SOON), "the session was not ended");
    let outcome = probe.run();
    check(&IDLE, &outcome);
    assert!(outcome.reconnected);
}

#[test]
fn fresh_runs_leave_no_line_in_the_log_of_the_server() {
    if !require("postgres") {
        return;
    }
    let server = Postgres::start();
    let fresh = Asked::with(
        "postgres",
        entry(server.addr(), json!({})),
        Options { connection: ConnectionPolicy::Fresh, ..Options::default() },
    );
    let tls = json!({ "tls": { "ca": crate::support::tls::Ca::shared().certificate() } });
    let (secure, dialled) = (
        probe(&server, tls),
        Asked::with(
            "postgres",
            entry(server.addr(), json!({})),
            Options { depth: probity_probes::Depth::Connect, ..Options::default() },
        ),
    );
    let log = server.process().log();
    for probe in [&fresh, &secure, &dialled].repeat(3) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in [fresh, secure] {
        probe.close();
    }
    eventually(SOON, "every session is ended", || (server.sessions() == Some(0)).then_some(()));
    assert_eq!(server.process().log(), log);
}
