//! `make demo` and its agent: a signal to the demonstration alone leaves no agent behind.

use std::path::Path;
use std::time::Duration;

use super::entry;
use crate::support::agent::binary;
use crate::support::process::{Launch, Signal};
use crate::support::{PATIENCE, beside, eventually, free_port, http, peers, procfs, scratch};

/// The catalog, in the process that stands for the demonstration.
const CATALOG: &str = "PROBITY_TEST_BESIDE";

#[test]
fn a_signal_to_whoever_runs_the_agent_ends_both() {
    if let Some(catalog) = std::env::var_os(CATALOG) {
        let ended = beside::run(&binary(), &[Path::new("--catalog"), Path::new(&catalog)]);
        assert!(ended.as_ref().is_ok_and(std::process::ExitStatus::success), "{ended:?}");
        return;
    }
    let own = std::env::current_exe().expect("a process knows its program");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
        let folder = scratch();
        let listen = format!("127.0.0.1:{}", free_port());
        let catalog = folder.path().join("probe-catalog.toml");
        let text = entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "");
        std::fs::write(&catalog, format!("[agent]\nlisten = \"{listen}\"\n{text}")).expect("a private folder");
        let outer = Launch::new(&own, folder.path().join("log"))
            .args(["--exact", "pipeline::beside::a_signal_to_whoever_runs_the_agent_ends_both", "--nocapture"])
            .env(CATALOG, &catalog)
            .env_remove("PROBITY_LISTEN")
            .start();
        let addr = listen.parse().expect("an address");
        outer.wait_until("HTTP answers", || http::get(addr, "/livez", Duration::from_secs(1)).ok());
        let agent = procfs::descendants(outer.pid());
        assert_eq!(agent.len(), 1, "{agent:?}");
        outer.signal(signal);
        let status = outer.wait_exit(PATIENCE).expect("it ends");
        assert!(signal == Signal::KILL || status.success(), "{signal:?}: {status}\n{}", outer.log());
        eventually(PATIENCE, "the agent is gone", || procfs::is_gone(agent[0]).then_some(()));
    }
}
