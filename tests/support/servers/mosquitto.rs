//! Mosquitto (2.0 and later): healthy, full, with passwords and access lists.

mod client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};

pub(crate) use client::Client;

/// A Mosquitto that is about to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    settings: Vec<String>,
    login: bool,
    access: Option<String>,
    identity: Option<Identity>,
    mutual: bool,
}

impl Builder {
    /// A line of its configuration.
    pub(crate) fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// Only [`USER`] with [`PASSWORD`] may come in.
    pub(crate) fn login(mut self) -> Self {
        self.login = true;
        self
    }

    /// Only what this access list allows, in lines such as `topic read $SYS/#`.
    pub(crate) fn access(mut self, list: &str) -> Self {
        self.access = Some(list.to_owned());
        self
    }

    /// A second port that speaks TLS, with a good certificate of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// A second port that speaks TLS and shows this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Who connects with TLS must show a certificate of [`Ca::shared`], which says who he is.
    pub(crate) fn mutual(mut self) -> Self {
        self.mutual = true;
        self
    }

    /// Starts it and waits until it answers a client.
    #[track_caller]
    pub(crate) fn start(self) -> Mosquitto {
        let folder = scratch();
        let (port, tls_port) = (free_port(), free_port());
        let mut lines = vec![
            "per_listener_settings false".to_owned(),
            format!("allow_anonymous {}", !self.login),
            "sys_interval 1".to_owned(),
        ];
        if rustix::process::geteuid().is_root() {
            lines.push("user root".to_owned());
        }
        if self.login {
            lines.push(format!("password_file {}", passwords(folder.path()).display()));
        }
        if let Some(access) = &self.access {
            let file = folder.path().join("access");
            std::fs::write(&file, access).expect("a file can be written");
            lines.push(format!("acl_file {}", file.display()));
        }
        lines.push(format!("listener {port} 127.0.0.1"));
        // Limits of connections belong to the listener before them.
        lines.extend(self.settings);
        if let Some(identity) = &self.identity {
            lines.push(format!("listener {tls_port} 127.0.0.1"));
            for (word, file) in [("cafile", &identity.ca), ("certfile", &identity.certificate), ("keyfile", &identity.key)] {
                lines.push(format!("{word} {}", file.display()));
            }
            if self.mutual {
                lines.extend(["require_certificate true", "use_identity_as_username true"].map(str::to_owned));
            }
        }
        let conf = folder.path().join("mosquitto.conf");
        std::fs::write(&conf, lines.join("\n") + "\n").expect("mosquitto.conf can be written");
        let launch = Launch::new(program("mosquitto"), folder.path().join("log"));
        let process = launch.arg("-c").arg(conf).start();
        let mosquitto = Mosquitto { process, port, tls_port, login: self.login, _folder: folder };
        mosquitto.wait_until_answering();
        mosquitto
    }
}

/// A file with the one password, hashed.
fn passwords(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("passwords");
    let launch = Launch::new(program("mosquitto_passwd"), folder.join("passwd.log"));
    launch.args(["-c", "-b"]).arg(&file).args([USER, PASSWORD]).run();
    file
}

/// A running Mosquitto.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    process: Server,
    port: u16,
    tls_port: u16,
    login: bool,
    _folder: TempDir,
}

impl Mosquitto {
    /// One that lets everybody in, and whatever else the builder is told.
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

    /// Where it listens with TLS; only when the builder was told [`tls`](Builder::tls).
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
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

    /// A client that is connected and idle until it is dropped.
    pub(crate) fn connect(&self, id: &str) -> io::Result<Client> {
        Client::connect(self.addr(), id, self.login.then_some((USER, PASSWORD)))
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("a client is let in", || self.connect("").ok());
    }
}

/// A healthy one with a password and a TLS port, which many tests may ask at once.
pub(crate) fn shared() -> &'static Mosquitto {
    static SHARED: LazyLock<Mosquitto> = LazyLock::new(|| Mosquitto::builder().login().tls().start());
    &SHARED
}
