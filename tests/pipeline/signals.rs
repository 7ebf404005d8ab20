//! Signals, and the duties of the first process of a container.

use std::{fs, time::Duration};

use rustix::process::Signal;

use super::entry;
use crate::support::{PATIENCE, agent::Agent, eventually, peers, process::Launch, procfs, scratch};

fn catalog() -> String {
    entry("gone", "redis", &format!("redis://{}", peers::refused().addr()), "")
}

/// Those that would kill a process which does not handle them.
const HARMLESS: [Signal; 7] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::VTALARM, Signal::PROF, Signal::IO];

#[test]
fn a_signal_that_means_nothing_ends_nothing() {
    let agent = Agent::start(&catalog());
    for signal in HARMLESS {
        agent.process().signal(signal);
    }
    let sentence = "SIGHUP: reload is not supported by this version; restart the agent to read the catalog again";
    eventually(PATIENCE, "the hangup is answered", || agent.log().contains(sentence).then_some(()));
    assert_eq!(agent.get("/livez").status, 200);
    assert_eq!(agent.terminate().code(), Some(0));
}

/// While it waits for its catalog, it is not running yet.
#[test]
fn signals_are_handled_before_there_is_a_catalog() {
    let folder = scratch();
    let input = folder.path().join("input");
    let made = std::process::Command::new("mkfifo").arg(&input).status().expect("mkfifo can be started");
    assert!(made.success());
    // Open for both ends, so that neither side waits for the other.
    let _writer = fs::File::options().read(true).write(true).open(&input).expect("a FIFO of ours");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let process =
            Launch::new(env!("CARGO_BIN_EXE_probity"), folder.path().join("log")).args(["--catalog", "-"]).stdin(&input).start();
        let handled = || procfs::status_text(process.pid(), "SigCgt:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        let term = 1_u64 << 14;
        eventually(PATIENCE, "signals are handled", || handled().filter(|mask| mask & term != 0));
        for signal in HARMLESS {
            process.signal(signal);
        }
        process.signal(signal);
        let status = process.wait_exit(PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(code), "{}", process.log());
    }
}

#[test]
fn the_first_process_waits_for_orphans() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a namespace for processes takes root");
        return;
    }
    let folder = scratch();
    let listen = format!("127.0.0.1:{}", crate::support::free_port());
    let file = folder.path().join("probe-catalog.toml");
    fs::write(&file, format!("[agent]\nlisten = \"{listen}\"\n{}", catalog())).expect("a private folder");
    // An orphan is handed to the first process of its namespace.
    let script = "(sleep 1 & sleep 2 &); exec \"$0\" \"$@\"";
    let outer = Launch::new("unshare", folder.path().join("log"))
        .args(["--pid", "--fork", "--kill-child", "sh", "-c", script, env!("CARGO_BIN_EXE_probity"), "--catalog"])
        .arg(&file)
        .start();
    let addr = listen.parse().expect("an address");
    outer.wait_until("HTTP answers", || crate::support::http::get(addr, "/livez", Duration::from_secs(1)).ok());
    let first = procfs::descendants(outer.pid()).first().copied().expect("unshare has a child");
    eventually(PATIENCE, "no child is left, not even a dead one", || procfs::descendants(first).is_empty().then_some(()));
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).expect("a pid")).expect("not 0");
    for signal in HARMLESS {
        rustix::process::kill_process(pid, signal).expect("it is ours");
    }
    rustix::process::kill_process(pid, Signal::TERM).expect("it is ours");
    let status = outer.wait_exit(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", outer.log());
}

/// A log that cannot be written, such as a full disk or a reader that is gone, ends nothing.
#[test]
fn an_agent_whose_log_is_lost_goes_on() {
    for format in ["text", "json"] {
        let agent = Agent::builder(&catalog())
            .arg("--log-format")
            .arg(format)
            .through("sh", &["-c", "exec \"$0\" \"$@\" 2>/dev/full"])
            .start();
        agent.wait_for("it is seen", PATIENCE, |health| health["dependencies"][0]["status"] == "unhealthy");
        agent.process().signal(Signal::HUP);
        assert_eq!(agent.get("/livez").status, 200);
        assert_eq!(agent.terminate().code(), Some(0));
    }
}
