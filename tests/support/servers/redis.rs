//! Redis (7.0 and later): healthy, replicating, and in every state that makes it refuse.

mod client;
pub(crate) mod sentinel;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};
use client::Client;

/// How long a command may take; longer than any `DEBUG SLEEP` of the tests.
const ANSWER: Duration = Duration::from_secs(10);

/// A Redis that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Vec<String>,
    password: Option<String>,
    tls_port: Option<u16>,
    sentinel: bool,
}

impl Builder {
    /// A line of `redis.conf`.
    pub(crate) fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// A password for everybody ([`PASSWORD`]), as `requirepass` has it.
    pub(crate) fn password(mut self) -> Self {
        self.password = Some(PASSWORD.to_owned());
        self.setting(format!("requirepass {PASSWORD}"))
    }

    /// The user [`USER`] with [`PASSWORD`] and these rights, such as `~* +@connection +info +ping +role`.
    pub(crate) fn user(self, rights: &str) -> Self {
        self.setting(format!("user {USER} on >{PASSWORD} {rights}"))
    }

    /// A second port that speaks TLS, with a good certificate of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// A second port that speaks TLS and shows this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        let port = free_port();
        self.tls_port = Some(port);
        self.setting(format!("tls-port {port}"))
            .setting(format!("tls-cert-file {}", identity.certificate.display()))
            .setting(format!("tls-key-file {}", identity.key.display()))
            .setting(format!("tls-ca-cert-file {}", identity.ca.display()))
            .setting("tls-auth-clients no")
    }

    /// Starts it and waits until it answers `PING` with anything, an error included.
    #[track_caller]
    pub(crate) fn start(self) -> Redis {
        let folder = scratch();
        let port = free_port();
        let conf = folder.path().join("redis.conf");
        let mut fixed = format!("bind 127.0.0.1\nport {port}\ndir {}\n", folder.path().display());
        if !self.sentinel {
            fixed += "save \"\"\nenable-debug-command yes\nenable-protected-configs yes\nrepl-diskless-sync-delay 0\n";
        }
        let settings = fixed + &self.settings.join("\n") + "\n";
        std::fs::write(&conf, settings).expect("redis.conf can be written");
        let launch = Launch::new(program("redis-server"), folder.path().join("log"));
        let redis = Redis {
            process: launch.arg(conf).args(self.sentinel.then_some("--sentinel")).start(),
            port,
            tls_port: self.tls_port,
            password: self.password,
            folder,
        };
        redis.wait_until_answering();
        redis
    }
}

/// A running Redis.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Server,
    port: u16,
    tls_port: Option<u16>,
    password: Option<String>,
    folder: TempDir,
}

impl Redis {
    /// One without a password, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { settings: Vec::new(), password: None, tls_port: None, sentinel: false }
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
    #[track_caller]
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        let port = self.tls_port.expect("this Redis was started without TLS");
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Where its files and its sockets are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
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

    /// Runs a command as the administrator; returns the reply as text, an error with its leading `-`.
    #[track_caller]
    pub(crate) fn command(&self, words: &[&str]) -> String {
        match self.try_command(words) {
            Ok(reply) => reply,
            Err(error) => panic!("{words:?}: {error}; its log:\n{}", self.process.log()),
        }
    }

    /// [`command`](Self::command), where no answer is an answer.
    pub(crate) fn try_command(&self, words: &[&str]) -> io::Result<String> {
        let mut client = Client::connect(self.addr())?;
        if let Some(password) = &self.password {
            client.ask(&["AUTH", password])?;
        }
        client.ask(words)
    }

    /// Lets it sleep: every client waits so long.
    pub(crate) fn sleep(&self, time: Duration) -> io::Result<()> {
        let mut client = Client::connect(self.addr())?;
        if let Some(password) = &self.password {
            client.ask(&["AUTH", password])?;
        }
        client.say(&["DEBUG", "SLEEP", &time.as_secs_f64().to_string()])
    }

    /// Clients that are connected and idle until the value is dropped.
    pub(crate) fn hold_clients(&self, count: usize) -> Vec<TcpStream> {
        let connect = || TcpStream::connect(self.addr()).expect("Redis accepts");
        std::iter::repeat_with(connect).take(count).collect()
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("PING is answered", || self.try_command(&["PING"]).ok());
    }

    #[track_caller]
    fn wait_for_ping(&self, start: &str) {
        self.process.wait_until(&format!("PING is answered {start}"), || {
            let reply = self.try_command(&["PING"]).ok()?;
            reply.starts_with(start).then_some(())
        });
    }
}

/// A healthy one with a password, a TLS port and the user [`USER`], which many tests may ask at once.
pub(crate) fn shared() -> &'static Redis {
    static SHARED: LazyLock<Redis> = LazyLock::new(|| {
        let rights = "~* +@connection +info +ping +role";
        Redis::builder().password().user(rights).tls().start()
    });
    &SHARED
}

/// A replica that never had its master and serves no stale data: even `PING` is refused (`MASTERDOWN`).
#[track_caller]
pub(crate) fn master_down() -> Redis {
    let redis =
        Redis::builder().setting(format!("replicaof 127.0.0.1 {}", free_port())).setting("replica-serve-stale-data no").start();
    redis.wait_for_ping("-MASTERDOWN");
    redis
}

/// A master and its replica with a live link; kill the master, and the link is down.
#[track_caller]
pub(crate) fn replicated() -> (Redis, Redis) {
    let master = Redis::start();
    let replica = Redis::builder().setting(format!("replicaof 127.0.0.1 {}", master.port)).start();
    replica.process.wait_until("the link is up", || {
        let info = replica.command(&["INFO", "replication"]);
        info.contains("master_link_status:up").then_some(())
    });
    (master, replica)
}

/// One that loads its data for at least ten seconds (`LOADING`).
#[track_caller]
pub(crate) fn loading() -> Redis {
    let redis = Redis::builder().setting("loading-process-events-interval-bytes 1024").start();
    redis.command(&["DEBUG", "POPULATE", "20000", "key", "100"]);
    // The delay after each key is read from the file on the way up; saved keys alone load in milliseconds.
    redis.command(&["SAVE"]);
    redis.command(&["CONFIG", "SET", "key-load-delay", "1000"]);
    redis.command(&["CONFIG", "REWRITE"]);
    redis.restart();
    redis.wait_for_ping("-LOADING");
    redis
}

/// One whose last background save failed: writes, and with them `PING`, are refused (`MISCONF`).
#[track_caller]
pub(crate) fn misconfigured() -> Redis {
    let redis = Redis::builder().setting("save 3600 1").start();
    redis.command(&["SET", "key", "value"]);
    // No user can make a file there, root included.
    redis.command(&["CONFIG", "SET", "dir", "/proc"]);
    redis.command(&["BGSAVE"]);
    redis.wait_for_ping("-MISCONF");
    redis
}

/// One whose memory is full and may evict nothing: `SET` answers `OOM`, `PING` still `PONG`.
#[track_caller]
pub(crate) fn out_of_memory() -> Redis {
    Redis::builder().setting("maxmemory 100kb").setting("maxmemory-policy noeviction").start()
}

/// One that takes so many clients and refuses the next; see [`Redis::hold_clients`].
#[track_caller]
pub(crate) fn max_clients(count: usize) -> Redis {
    Redis::builder().setting(format!("maxclients {count}")).start()
}

/// A cluster node without a cluster: `PING` is answered, `cluster_state:fail`, keys answer `CLUSTERDOWN`.
#[track_caller]
pub(crate) fn cluster_down() -> Redis {
    Redis::builder().setting("cluster-enabled yes").setting(format!("cluster-port {}", free_port())).start()
}

/// A master that wants a replica and has none: writes answer `NOREPLICAS`.
#[track_caller]
pub(crate) fn too_few_replicas() -> Redis {
    Redis::builder().setting("min-replicas-to-write 1").start()
}
