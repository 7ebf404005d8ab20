//! `make demo`: real servers on loopback, Probity beside them, and a word on how to break one.
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
    path::PathBuf,
    process::{Command, ExitCode},
};

use support::servers::{self, PASSWORD, USER};

/// A server of the demonstration.
struct Part {
    backend: &'static str,
    entry: String,
    pid: u32,
    _server: Box<dyn std::any::Any>,
}

fn main() -> ExitCode {
    let folder = support::scratch();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the folder was made a moment ago");
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).expect("it is our own file");
    let secret = format!("password = {{ file = \"{}\" }}", password.display());
    println!("Starting real servers on loopback:");
    let parts: Vec<Part> = [("http", website as fn(&str) -> Part), ("nats", events), ("postgres", orders), ("redis", cache)]
        .into_iter()
        .filter_map(|(backend, start)| {
            if let Some(missing) = servers::missing(backend) {
                println!("  {backend:<10} left out: {missing}");
                None
            } else {
                let part = start(&secret);
                println!("  {:<10} pid {}", part.backend, part.pid);
                Some(part)
            }
        })
        .collect();
    if parts.is_empty() {
        eprintln!("None of the servers is installed: `tests/setup.sh demo` installs them as root.");
        return ExitCode::FAILURE;
    }

    let port = if TcpListener::bind((Ipv4Addr::LOCALHOST, 8686)).is_ok() { 8686 } else { support::free_port() };
    let mut catalog =
        format!("[agent]\nid = \"demo\"\nlisten = \"127.0.0.1:{port}\"\n\n[defaults]\ninterval = \"2s\"\ntimeout = \"1s\"\n");
    for part in &parts {
        write!(catalog, "\n{}", part.entry).expect("a string takes everything");
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
    for part in &parts {
        println!(
            "  kill -9 {:<8} # {} crashes     kill -STOP {} # it hangs     kill -CONT {}",
            part.pid, part.backend, part.pid, part.pid
        );
    }
    println!("\nCtrl-C ends Probity and every server.\n");
    io::stdout().flush().expect("somebody reads this");

    // Ctrl-C reaches the agent, too; it drains, and then everything else ends with this process.
    let agent = Command::new(program()).arg("--catalog").arg(&path).status();
    drop(parts);
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

/// The agent, built beside this program.
fn program() -> PathBuf {
    let here = std::env::current_exe().expect("a process knows its program");
    let profile = here.parent().and_then(|examples| examples.parent()).expect("it lies in target/PROFILE/examples");
    profile.join("probity")
}

fn website(_: &str) -> Part {
    let server = servers::nginx::Nginx::start();
    let entry = format!(
        "[dependencies.website]\nbackend = \"http\"\nurl = \"http://{}/health\"\nexpect = {{ json = {{ \"/status\" = \"UP\" }} }}\n",
        server.http()
    );
    Part { backend: "http", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn events(_: &str) -> Part {
    let server = servers::nats::Nats::builder().jetstream().start();
    let entry = format!(
        "[dependencies.events]\nbackend = \"nats\"\nurl = \"nats://{}\"\nmonitor = \"http://{}\"\nexpect = {{ jetstream = true }}\n",
        server.addr(),
        server.monitor()
    );
    Part { backend: "nats", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn orders(secret: &str) -> Part {
    let server = servers::postgres::Postgres::start();
    let entry = format!(
        "[dependencies.orders-db]\nbackend = \"postgres\"\nurl = \"postgres://{USER}@{}/{}\"\n{secret}\ncriticality = \"required\"\n\
         shared = false\nexpect = {{ role = \"primary\" }}\n",
        server.addr(),
        servers::postgres::DATABASE
    );
    Part { backend: "postgres", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn cache(secret: &str) -> Part {
    let server = servers::redis::Redis::builder().password().start();
    let entry = format!(
        "[dependencies.cache]\nbackend = \"redis\"\nurl = \"redis://{}\"\n{secret}\nexpect = {{ writable = true }}\n",
        server.addr()
    );
    Part { backend: "redis", entry, pid: server.process().pid(), _server: Box::new(server) }
}
