//! NATS (2.9, and 2.15 from the farm): one server in every dress, and three of them with `JetStream`.

mod client;
mod cluster;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::super::http::{self, Response};
use super::super::process::{Launch, Server, Signal};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, farm, program};

pub(crate) use client::Client;
pub(crate) use cluster::Cluster;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A token, where the server wants one instead of a user.
pub(crate) const TOKEN: &str = "probe-secret-token";

/// A NATS server that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Vec<String>,
    login: String,
    tls: bool,
    newest: bool,
}

impl Builder {
    /// Of the farm's version.
    pub(crate) fn newest(self) -> Self {
        Self { newest: true, ..self }
    }

    /// A line of its configuration.
    pub(crate) fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// Only [`USER`] with [`PASSWORD`] may come in.
    pub(crate) fn user(mut self) -> Self {
        self.login = format!("\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"");
        self.setting(format!("authorization {{ user: {USER}, password: \"{PASSWORD}\" }}"))
    }

    /// Like [`user`](Self::user), with permissions such as `publish: { deny: "secret.>" }`.
    pub(crate) fn user_with(mut self, permissions: &str) -> Self {
        self.login = format!("\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"");
        self.setting(format!(
            "authorization {{ users: [ {{ user: {USER}, password: \"{PASSWORD}\", permissions: {{ {permissions} }} }} ] }}"
        ))
    }

    /// Only who knows [`TOKEN`] may come in.
    pub(crate) fn token(mut self) -> Self {
        self.login = format!("\"auth_token\":\"{TOKEN}\"");
        self.setting(format!("authorization {{ token: \"{TOKEN}\" }}"))
    }

    /// Clients must change to TLS; the certificate is a good one of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// Clients must change to TLS, and are shown this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.tls = true;
        self.setting(format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", timeout: 2 }}",
            identity.certificate.display(),
            identity.key.display(),
            identity.ca.display()
        ))
    }

    /// With `JetStream`.
    pub(crate) fn jetstream(self) -> Self {
        self.setting("jetstream { max_mem: 16M, max_file: 64M }")
    }

    /// The client after so many is refused.
    pub(crate) fn max_connections(self, count: u32) -> Self {
        self.setting(format!("max_connections: {count}"))
    }

    /// Starts it and waits until it introduces itself to a client.
    #[track_caller]
    pub(crate) fn start(self) -> Nats {
        let (port, monitor) = (free_port(), free_port());
        let nats = self.setting("server_name: probity").launch(port, monitor);
        nats.wait_until_ready();
        nats
    }

    #[track_caller]
    fn launch(self, port: u16, monitor: u16) -> Nats {
        let folder = scratch();
        let conf = folder.path().join("nats.conf");
        let fixed = format!(
            "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\n\
             lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10s\"\n"
        );
        fs::write(&conf, fixed + &self.settings.join("\n") + "\n").expect("nats.conf can be written");
        let program = if self.newest {
            farm("nats").expect("whoever starts it has asked for it").join("nats-server")
        } else {
            program("nats-server")
        };
        let launch = Launch::new(program, folder.path().join("log"));
        let launch = launch.arg("-c").arg(conf).arg("--store_dir").arg(folder.path().join("js"));
        Nats { process: launch.start(), port, monitor, login: self.login, tls: self.tls, _folder: folder }
    }
}

/// A running NATS server.
#[derive(Debug)]
pub(crate) struct Nats {
    process: Server,
    port: u16,
    monitor: u16,
    login: String,
    tls: bool,
    _folder: TempDir,
}

impl Nats {
    /// One that lets everybody in, without `JetStream`, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { settings: Vec::new(), login: String::new(), tls: false, newest: false }
    }

    /// A healthy one of one's own: `JetStream`, no login.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().jetstream().start()
    }

    /// Where clients connect to.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it can be watched over HTTP.
    pub(crate) fn monitor(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.monitor).into()
    }

    /// What the monitor port says, such as `/healthz`, `/varz`, `/jsz`.
    pub(crate) fn watch(&self, path: &str) -> io::Result<Response> {
        http::get(self.monitor(), path, ANSWER)
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it introduces itself.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_ready();
    }

    /// Lame duck mode: clients are told (`INFO` with `ldm`) and the listener closes; after ten seconds connections
    /// end one by one, and the server with the last.
    pub(crate) fn lame_duck(&self) {
        self.process.signal(Signal::USR2);
    }

    /// What it says of itself to a new client.
    pub(crate) fn info(&self) -> io::Result<Value> {
        Client::connect(self.addr()).map(|client| client.info)
    }

    /// A request with an empty body, and its reply: headers, if any, before the body. Not with TLS.
    pub(crate) fn request(&self, subject: &str) -> io::Result<String> {
        self.request_with(subject, "")
    }

    /// A request with a body, and its reply. Not with TLS.
    pub(crate) fn request_with(&self, subject: &str, body: &str) -> io::Result<String> {
        Client::connect(self.addr())?.request(&self.login, subject, body)
    }

    /// Clients that are connected, logged in and idle until the value is dropped. Not with TLS.
    pub(crate) fn hold_clients(&self, count: usize) -> Vec<Client> {
        let connect = || {
            let mut client = Client::connect(self.addr())?;
            client.log_in(&self.login).map(|()| client)
        };
        std::iter::repeat_with(connect).take(count).collect::<io::Result<_>>().expect("NATS takes the clients")
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        self.process.wait_until("a client is let in", || {
            let mut client = Client::connect(self.addr()).ok()?;
            // With TLS the introduction has to do: logging in would need a TLS client.
            self.tls.then_some(()).or_else(|| client.log_in(&self.login).ok())
        });
    }
}

/// A healthy one with `JetStream` and the user [`USER`], which many tests may ask at once.
pub(crate) fn shared() -> &'static Nats {
    static SHARED: LazyLock<Nats> = LazyLock::new(|| Nats::builder().user().jetstream().start());
    &SHARED
}
