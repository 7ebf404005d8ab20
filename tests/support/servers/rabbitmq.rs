//! RabbitMQ (3.10 and later): healthy, alarmed, drained, stopped, at its limits.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::http::{self, Response};
use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};

/// Where the programs themselves are; those in `/usr/sbin` change user and folder first.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// [`USER`] and [`PASSWORD`], as HTTP wants them (RFC 7617).
const LOGIN: &str = "Basic cHJvYmU6cHJvYmUtc2VjcmV0LXB3";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A RabbitMQ that is about to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    settings: Vec<String>,
    identity: Option<Identity>,
}

impl Builder {
    /// A line of `rabbitmq.conf`.
    pub(crate) fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// A second port that speaks TLS and shows this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> Rabbitmq {
        let folder = scratch();
        let ports = [(); 5].map(|()| free_port());
        let [port, tls_port, management, distribution, names] = ports;
        let identity = self.identity.unwrap_or_else(|| Ca::shared().issue(&Leaf::server()));
        let (ca, certificate, key) = (identity.ca.display(), identity.certificate.display(), identity.key.display());
        let mut conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {ca}\nssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n\
             auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\nssl_cert_login_from = common_name\n\
             management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             default_user = {USER}\ndefault_pass = {PASSWORD}\nloopback_users = none\n\
             disk_free_limit.absolute = 1MB\nlog.console = true\n"
        );
        for line in self.settings {
            let _ = writeln!(conf, "{line}");
        }
        let file = |name: &str| folder.path().join(name);
        fs::write(file("rabbitmq.conf"), conf).expect("rabbitmq.conf can be written");
        fs::write(file("plugins"), "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n").expect("a file can be written");
        // Erlang finds its nodes by a service that would outlive them all, so this is our own, and ends with us.
        let epmd = Launch::new(program("epmd"), file("epmd.log")).args(["-address", "127.0.0.1", "-port"]);
        let epmd = epmd.arg(names.to_string()).start();
        let node = Node { name: format!("probity{port}@localhost"), folder: folder.path().to_owned(), names, distribution };
        // So told, the script becomes the server instead of waiting for it.
        let launch = node.launch("rabbitmq-server", "log").env("RUNNING_UNDER_SYSTEMD", "true");
        let process = launch.start();
        let rabbitmq = Rabbitmq { process, port, tls_port, management, node, _epmd: epmd, _folder: folder };
        rabbitmq.wait_until_answering();
        // It answers before it has logged its last line, the list of its plugins.
        let is_complete = |log: &str| log.split_once("startup complete").is_some_and(|(_, plugins)| plugins.contains("agent"));
        rabbitmq.process.wait_until("its start is logged", || is_complete(&rabbitmq.process.log()).then_some(()));
        rabbitmq
    }
}

/// An Erlang node, and how programs that talk to it are started.
#[derive(Debug)]
struct Node {
    name: String,
    folder: PathBuf,
    names: u16,
    distribution: u16,
}

impl Node {
    fn launch(&self, program: &str, log: &str) -> Launch {
        let file = |name: &str| self.folder.join(name);
        let mut launch = Launch::new(Path::new(PROGRAMS).join(program), file(log))
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_USE_LONGNAME", "false")
            // Two schedulers that do not spin: other tests run beside it.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
            );
        for (name, path) in [
            ("HOME", file("")),
            ("RABBITMQ_MNESIA_BASE", file("mnesia")),
            ("RABBITMQ_LOG_BASE", file("logs")),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            ("RABBITMQ_PID_FILE", file("pid")),
        ] {
            launch = launch.env(name, path);
        }
        launch
    }
}

/// A running RabbitMQ.
#[derive(Debug)]
pub(crate) struct Rabbitmq {
    process: Server,
    port: u16,
    tls_port: u16,
    management: u16,
    node: Node,
    _epmd: Server,
    _folder: TempDir,
}

impl Rabbitmq {
    /// One with TLS, the management API and the user [`USER`], and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it listens with TLS.
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// Where its management API is.
    pub(crate) fn management(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.management).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_answering();
    }

    /// Runs `rabbitmqctl`.
    #[track_caller]
    pub(crate) fn control(&self, words: &[&str]) {
        self.node.launch("rabbitmqctl", "control.log").args(words).run();
    }

    /// Runs `rabbitmq-upgrade`: `drain` closes the listeners and every connection, `revive` opens them again.
    #[track_caller]
    pub(crate) fn upgrade(&self, word: &str) {
        self.node.launch("rabbitmq-upgrade", "control.log").arg(word).run();
    }

    /// What the management API answers; a body is sent as JSON.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> io::Result<Response> {
        let headers = [("Authorization", LOGIN), ("Content-Type", "application/json")];
        http::request(self.management(), method, path, &headers, body, ANSWER)
    }

    /// The same, where it has to work.
    #[track_caller]
    pub(crate) fn set(&self, method: &str, path: &str, body: &str) {
        let answer = self.api(method, path, body).expect("the management API answers");
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    }

    /// The alarm of memory, or its end.
    #[track_caller]
    pub(crate) fn memory_alarm(&self, on: bool) {
        let mark: &[&str] = if on { &["absolute", "1MB"] } else { &["0.8"] };
        self.control(&[&["set_vm_memory_high_watermark"], mark].concat());
        self.wait_for_alarm(on);
    }

    /// The alarm of the disk, or its end.
    #[track_caller]
    pub(crate) fn disk_alarm(&self, on: bool) {
        let limit: &[&str] = if on { &["mem_relative", "1000"] } else { &["1MB"] };
        self.control(&[&["set_disk_free_limit"], limit].concat());
        self.wait_for_alarm(on);
    }

    #[track_caller]
    fn wait_for_alarm(&self, on: bool) {
        let wanted = if on { 503 } else { 200 };
        self.process.wait_until("the alarm is as it should be", || (self.checked() == Some(wanted)).then_some(()));
    }

    /// The status of the check for alarms.
    fn checked(&self) -> Option<u16> {
        self.api("GET", "/api/health/checks/alarms", "").ok().map(|answer| answer.status)
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("it greets, and its management API answers", || {
            greeted(self.addr()).ok().filter(|greeted| *greeted && self.checked() == Some(200)).map(drop)
        });
    }
}

/// Whether it answers our header with its greeting, a method frame.
fn greeted(addr: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"AMQP\0\0\x09\x01")?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    Ok(first == [1])
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Rabbitmq {
    static SHARED: LazyLock<Rabbitmq> = LazyLock::new(Rabbitmq::start);
    &SHARED
}
