//! The `probity` binary under test: started on a catalog, asked over HTTP, watched, stopped.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Response};
use super::process::{Launch, Server, Signal};
use super::{LOOK, PATIENCE, free_port, procfs, scratch};

/// How long the agent may take to answer a request of its own.
const ANSWER: Duration = Duration::from_secs(10);

/// The binary: what `PROBITY_BIN` names (a packaged build, say), else what cargo built for this test.
pub(crate) fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_probity").map(PathBuf::from);
    let told = std::env::var_os("PROBITY_BIN").map(PathBuf::from);
    told.or(built).expect("PROBITY_BIN names the binary when cargo did not build it for this test")
}

/// A launch of the binary that takes nothing from the environment of whoever runs the tests.
fn launch(folder: &Path) -> Launch {
    ["PROBITY_CATALOG", "PROBITY_LISTEN", "PROBITY_LOG", "NO_COLOR"]
        .into_iter()
        .fold(Launch::new(binary(), folder.join("stderr")), Launch::env_remove)
        .stdout(folder.join("stdout"))
}

/// An agent that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    folder: TempDir,
    catalog: String,
    addr: SocketAddr,
    launch: Launch,
}

impl Builder {
    /// One more argument on its command line.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.launch = self.launch.arg(arg);
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.launch = self.launch.env(name, value);
        self
    }

    /// It may have so many files open, and can ask for no more.
    pub(crate) fn open_files(mut self, limit: u32) -> Self {
        self.launch = self.launch.through("prlimit", &[&format!("--nofile={limit}:{limit}")]);
        self
    }

    /// Starts it and waits until its HTTP port answers, whatever the answer is.
    #[track_caller]
    pub(crate) fn start(self) -> Agent {
        let agent = self.start_unchecked();
        agent.process.wait_until("HTTP answers", || agent.try_get("/livez").ok());
        agent
    }

    /// Starts it without waiting: for catalogs that it must refuse.
    #[track_caller]
    pub(crate) fn start_unchecked(self) -> Agent {
        let path = self.folder.path().join("probe-catalog.toml");
        fs::write(&path, &self.catalog).expect("the catalog can be written");
        Agent { process: self.launch.arg("--catalog").arg(path).start(), addr: self.addr, folder: self.folder }
    }
}

/// A running agent; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Server,
    addr: SocketAddr,
    folder: TempDir,
}

impl Agent {
    /// An agent on this catalog. It listens on a free port: `listen` is put into the catalog's `[agent]` table.
    pub(crate) fn builder(catalog: &str) -> Builder {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let folder = scratch();
        Builder { launch: launch(folder.path()), catalog: with_listen(catalog, addr), folder, addr }
    }

    /// Starts an agent on this catalog and waits until it answers.
    #[track_caller]
    pub(crate) fn start(catalog: &str) -> Self {
        Self::builder(catalog).start()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its catalog file, for tests that change it.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.folder.path().join("probe-catalog.toml")
    }

    /// Replaces the catalog file at once, as an editor or Kubernetes would; the port stays.
    pub(crate) fn write_catalog(&self, catalog: &str) {
        let new = self.folder.path().join("new.toml.tmp");
        fs::write(&new, with_listen(catalog, self.addr)).expect("the catalog can be written");
        fs::rename(new, self.catalog()).expect("the catalog can be replaced");
    }

    /// `GET path`; panics with the agent's log when there is no answer.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    /// Any request; panics with the agent's log when there is no answer.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        match http::request(self.addr, method, path, headers, body, ANSWER) {
            Ok(response) => response,
            Err(error) => panic!("{method} {path}: {error}; its log:\n{}", self.log()),
        }
    }

    /// `GET path`, where no answer is an answer.
    pub(crate) fn try_get(&self, path: &str) -> io::Result<Response> {
        http::get(self.addr, path, ANSWER)
    }

    /// The JSON at `path`, whatever the status.
    #[track_caller]
    pub(crate) fn json(&self, path: &str) -> Value {
        self.get(path).json()
    }

    /// Waits until `/health?verbose` satisfies `is_so`, and returns it; panics with `what` and the last document.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, timeout: Duration, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + timeout;
        loop {
            let document = self.json("/health?verbose");
            if is_so(&document) {
                return document;
            }
            assert!(Instant::now() < end, "not within {timeout:?}: {what}; last seen: {document:#}");
            std::thread::sleep(LOOK);
        }
    }

    /// The process, for signals and freezes.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// What it has logged so far (standard error).
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// CPU time used so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        procfs::cpu_time(self.process.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        procfs::rss(self.process.pid())
    }

    /// Open file descriptors.
    pub(crate) fn fds(&self) -> usize {
        procfs::fds(self.process.pid())
    }

    /// Threads.
    pub(crate) fn threads(&self) -> u64 {
        procfs::threads(self.process.pid())
    }

    /// Asks it to stop (`SIGTERM`) and waits for its end.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ended {
        self.process.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(self) -> Ended {
        let Some(status) = self.process.wait_exit(PATIENCE) else {
            panic!("still running after {PATIENCE:?}; its log:\n{}", self.log());
        };
        Ended { status, stdout: read(&self.folder.path().join("stdout")), stderr: self.log() }
    }
}

/// A run of the binary that is over.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote as data.
    pub(crate) stdout: String,
    /// What it wrote for people.
    pub(crate) stderr: String,
}

impl Ended {
    /// The exit code; `None` when a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// `probity --check` on this catalog text, with more arguments.
#[track_caller]
pub(crate) fn check(catalog: &str, args: &[&str]) -> Ended {
    let folder = scratch();
    let path = folder.path().join("probe-catalog.toml");
    fs::write(&path, catalog).expect("the catalog can be written");
    let path = path.to_string_lossy().into_owned();
    run_in(folder, &[&["--check", "--catalog", &path], args].concat())
}

/// `probity` with these arguments, to its end.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ended {
    run_in(scratch(), args)
}

#[track_caller]
fn run_in(folder: TempDir, args: &[&str]) -> Ended {
    let process = launch(folder.path()).args(args).start();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Agent { process, addr, folder }.wait()
}

/// The catalog with `listen` in its `[agent]` table, which is added at the end where there is none.
fn with_listen(catalog: &str, addr: SocketAddr) -> String {
    const TABLE: &str = "[agent]";
    let listen = format!("{TABLE}\nlisten = \"{addr}\"");
    let mut lines: Vec<&str> = catalog.lines().collect();
    match lines.iter().position(|line| line.trim() == TABLE) {
        Some(place) => lines[place] = &listen,
        None => lines.push(&listen),
    }
    lines.join("\n") + "\n"
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
