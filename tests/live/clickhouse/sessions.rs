//! Sessions that are kept, lost and ended.

use probity_probes::{ConnectionPolicy, Depth, Options};
use serde_json::json;

use super::{entry, looking};
use crate::live::sessions::specimen;
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::clickhouse::Clickhouse;

specimen! { "clickhouse", Clickhouse, |addr| entry(addr, json!({}));
    fn start_impatient() -> Self {
        Self::builder().setting("<keep_alive_timeout>1</keep_alive_timeout>").start()
    }
}

#[test]
fn fresh_runs_leave_no_line_in_the_log_of_the_server() {
    if !require("clickhouse") {
        return;
    }
    let server = Clickhouse::start();
    let with = |options| Asked::with("clickhouse", entry(server.addr(), json!({})), options);
    let fresh = with(Options { connection: ConnectionPolicy::Fresh, ..Options::default() });
    let dialled = with(Options { depth: Depth::Connect, ..Options::default() });
    let deep = looking(&server, json!({}));
    let log = server.process().log();
    for probe in [&fresh, &dialled, &deep].repeat(3) {
        assert_eq!(probe.run().failure, None);
    }
    for probe in [fresh, deep] {
        probe.close();
    }
    assert_eq!(server.process().log(), log);
}
