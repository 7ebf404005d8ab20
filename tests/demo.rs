//! `make demo`: real servers on loopback, Probity beside them, and a word on how to break one. With `all`, as
//! `make demo-all` has it, those too that start slowly and that `make servers` has fetched or built.
//!
//! A server that is not installed is left out, aloud. Ctrl-C ends everything that was started.
#![expect(clippy::expect_used, reason = "a demonstration says what it takes for granted")]

#[allow(dead_code, unused_imports, unused_macros, reason = "the demonstration needs only a part of it")]
mod support;

use std::{
    fmt::Write as _,
    fs::Permissions,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use support::{
    fleet::{self, Manner, Member, Which},
    servers::{PASSWORD, oracle::stand_in::serves},
};

fn main() -> ExitCode {
    if serves() {
        return ExitCode::SUCCESS;
    }
    let (which, word) = match std::env::args().nth(1).as_deref() {
        None => (Which::Light, "some seconds"),
        Some("all") => (Which::All, "half a minute"),
        Some(other) => {
            eprintln!("usage: demo [all], not `{other}`");
            return ExitCode::FAILURE;
        }
    };
    let folder = support::scratch();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the folder was made a moment ago");
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("it is our own file");
    println!("Starting real servers on loopback, the slowest takes {word}:");
    let members = fleet::start(&Manner::file(&password), which, |backend, started| match started {
        Ok(member) => println!("  {backend:<13} pid {}{}", member.pid, if is_played(backend) { " (a stand-in)" } else { "" }),
        Err(missing) => println!("  {backend:<13} left out: {missing}"),
    });
    if members.is_empty() {
        eprintln!("None of the servers is installed: `tests/setup.sh demo` installs them as root.");
        return ExitCode::FAILURE;
    }

    let port = if TcpListener::bind((Ipv4Addr::LOCALHOST, 8686)).is_ok() { 8686 } else { support::free_port() };
    let mut catalog =
        format!("[agent]\nid = \"demo\"\nlisten = \"127.0.0.1:{port}\"\n\n[defaults]\ninterval = \"2s\"\ntimeout = \"1s\"\n");
    for member in &members {
        write!(catalog, "\n{}", member.entry).expect("a string takes everything");
    }
    let path = folder.path().join("probe-catalog.toml");
    std::fs::write(&path, catalog).expect("the folder was made a moment ago");

    let here = format!("http://127.0.0.1:{port}");
    println!("\nProbity runs on {}\n", path.display());
    println!("  curl {here}/health?verbose     how everything stands, and why");
    println!("  curl {here}/dependencies       latency, facts, findings, last error");
    println!("  curl {here}/metrics            the same for Prometheus");
    println!("  {} --check --catalog {}", program().display(), path.display());
    println!("\nBreak one, and look again at once:");
    for Member { backend, pid, .. } in &members {
        println!("  kill -9 {pid:<7} # {backend:<13} crashes     kill -STOP {pid:<7} # hangs     kill -CONT {pid}");
    }
    println!("\nCtrl-C ends Probity and every server.\n");
    io::stdout().flush().expect("somebody reads this");

    // After a signal the agent drains first; then everything else ends with this process.
    let agent = support::beside::run(&program(), &[Path::new("--catalog"), &path]);
    drop(members);
    match agent {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("Probity ended with {status}.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{} cannot be started: {error}", program().display());
            ExitCode::FAILURE
        }
    }
}

/// Whether no real server of this kind can be had.
fn is_played(backend: &str) -> bool {
    matches!(backend, "oracle" | "sqlserver")
}

/// The agent, built beside this program.
fn program() -> PathBuf {
    let here = std::env::current_exe().expect("a process knows its program");
    let profile = here.parent().and_then(|examples| examples.parent()).expect("it lies in target/PROFILE/examples");
    profile.join("probity")
}
