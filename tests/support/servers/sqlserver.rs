//! What can be had instead of SQL Server: pysqlbridge (`make servers`), which other people wrote, a stand-in of our own,
//! and clients of other people, who must take both for one.

pub(crate) mod standin;
pub(crate) mod tokens;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Leaf};
use super::super::{PATIENCE, free_port, scratch};
use super::{PASSWORD, USER, farm, program};

/// A running pysqlbridge with a certificate of [`Ca::shared`], and a table `people` of two rows.
#[derive(Debug)]
pub(crate) struct Bridge {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl Bridge {
    /// A healthy one of one's own, which lets in [`USER`] with [`PASSWORD`].
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (folder, port) = (scratch(), free_port());
        let identity = Ca::shared().issue(&Leaf::server());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file can be written");
        write("people.csv", "id,name\n1,Ada\n2,Grace\n");
        let tables = json!([{ "name": "people", "csv": "people.csv" }]);
        write("bridge.json", &json!({ "tables": tables, "logins": [{ "user": USER, "password": PASSWORD }] }).to_string());
        let farm = farm("sqlserver").expect("whoever starts it has asked for it");
        let process = Launch::new(farm.join("venv/bin/python3"), folder.path().join("log"))
            .arg(script("bridge.py"))
            .args([&identity.certificate, &identity.key])
            .args(["--port", &port.to_string(), "--config"])
            .arg(folder.path().join("bridge.json"))
            .start();
        let bridge = Self { process, port, _folder: folder };
        bridge.wait_until_it_answers();
        bridge
    }

    /// Where clients connect to.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&self) {
        self.process.wait_until("it answers", || answers(self.addr()).ok());
    }
}

/// Whether it answers to PRELOGIN.
fn answers(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&tokens::packets(0x12, &tokens::prelogin(0)))?;
    stream.read_exact(&mut [0; tokens::HEADER])
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Bridge {
    static SHARED: LazyLock<Bridge> = LazyLock::new(Bridge::start);
    &SHARED
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/servers/sqlserver").join(name)
}

/// What somebody else's client is told by a server: an answer for each question, or a single one that it was refused.
/// `client` is `pymssql`, `python-tds` or `tedious`.
#[track_caller]
pub(crate) fn told(client: &str, addr: SocketAddr, encrypt: &str, password: &str, questions: &[&str]) -> Vec<Json> {
    let farm = farm("sqlserver").expect("whoever asks has looked");
    let mut command = if client == "tedious" {
        let mut command = Command::new(program("node"));
        command.arg(script("client.js")).env("NODE_PATH", farm.join("node_modules"));
        command
    } else {
        let mut command = Command::new(farm.join("venv/bin/python3"));
        command.arg(script("client.py")).arg(client);
        command
    };
    command.args([&addr.port().to_string(), encrypt]).arg(Ca::shared().certificate()).args(["orders", USER, password]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
    let lines = questions.join("\n") + "\n";
    // One that was refused does not read them.
    let _ = child.stdin.take().expect("it has one").write_all(lines.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}
