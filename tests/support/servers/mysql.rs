//! MariaDB (10.11 and later), and Oracle's MySQL where it can be had: alone, replicating, and refusing.
//!
//! The tables of the server itself are made once per test process and copied for each server. Oracle's MySQL is in
//! no release of Debian: `PROBITY_TEST_MYSQLD` names its `mysqld`, or a script that starts it.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{eventually, free_port, scratch};
use super::{PASSWORD, USER, program};

/// The database that [`USER`] may use.
pub(crate) const DATABASE: &str = "app";

/// A user with [`PASSWORD`] and no right but to log in.
pub(crate) const BARE: &str = "bare";

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Mariadb,
    Oracle,
}

impl Flavor {
    fn program(self) -> PathBuf {
        match self {
            Self::Mariadb => program("mariadbd"),
            Self::Oracle => oracle().expect("PROBITY_TEST_MYSQLD is set"),
        }
    }

    /// What root gets without a password, and [`USER`] what a probe needs.
    fn grants(self) -> String {
        let monitor = if self == Self::Mariadb { "REPLICA MONITOR" } else { "REPLICATION CLIENT" };
        format!(
            "SET sql_log_bin = 0; CREATE DATABASE {DATABASE};
             CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'; CREATE USER {BARE}@'%' IDENTIFIED BY '{PASSWORD}';
             GRANT {monitor} ON *.* TO {USER}@'%'; GRANT SELECT ON {DATABASE}.* TO {USER}@'%';"
        )
    }

    /// The tables of a new server.
    fn template(self) -> &'static Path {
        static MARIADB: LazyLock<TempDir> = LazyLock::new(|| {
            let folder = scratch();
            let data = format!("--datadir={}", folder.path().join("data").display());
            Launch::new(program("mariadb-install-db"), folder.path().join("log"))
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
                .arg(data)
                .args(as_root())
                .env("TMPDIR", folder.path())
                .run();
            folder
        });
        static ORACLE: LazyLock<TempDir> = LazyLock::new(|| {
            let folder = scratch();
            let data = format!("--datadir={}", folder.path().join("data").display());
            Launch::new(Flavor::Oracle.program(), folder.path().join("log"))
                .args(["--no-defaults", "--initialize-insecure", "--secure-file-priv=NULL"])
                .arg(data)
                .args(as_root())
                .env("TMPDIR", folder.path())
                .run();
            folder
        });
        match self {
            Self::Mariadb => MARIADB.path(),
            Self::Oracle => ORACLE.path(),
        }
    }
}

/// Oracle's `mysqld`, where there is one.
pub(crate) fn oracle() -> Option<PathBuf> {
    std::env::var_os("PROBITY_TEST_MYSQLD").map(PathBuf::from).filter(|path| path.is_file())
}

/// The server asks to be told that it is meant to run as root; everybody else runs it as himself.
fn as_root() -> Option<OsString> {
    rustix::process::geteuid().is_root().then(|| "--user=root".into())
}

/// A server that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    flavor: Flavor,
    settings: Vec<String>,
    identity: Option<Identity>,
    plain: bool,
}

impl Builder {
    /// An option of the server, without its dashes: `read-only=1`.
    pub(crate) fn setting(mut self, option: &str) -> Self {
        self.settings.push(format!("--{option}"));
        self
    }

    /// Its certificate; without this a good one of [`Ca::shared`].
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Without TLS.
    pub(crate) fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Starts it and waits until it answers a query.
    #[track_caller]
    pub(crate) fn start(self) -> Mysql {
        let folder = scratch();
        let data = folder.path().join("data");
        Launch::new(program("cp"), folder.path().join("cp")).arg("-a").arg(self.flavor.template().join("data")).arg(&data).run();
        // Two servers of one replication need ids of their own.
        let _ = std::fs::remove_file(data.join("auto.cnf"));
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut launch = Launch::new(self.flavor.program(), path("log"))
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=16M"])
            .args(["--max-connections=20", "--log-bin=binlog", "--performance-schema=OFF", "--sync-binlog=0"])
            .arg(format!("--server-id={port}"))
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .args(as_root())
            // A server that starts removes the temporary tables of all others that it finds there.
            .env("TMPDIR", folder.path());
        if self.flavor == Flavor::Oracle {
            launch = launch.args(["--mysqlx=OFF", "--secure-file-priv=NULL"]);
        }
        if self.plain {
            launch = launch.arg(if self.flavor == Flavor::Oracle { "--tls-version=" } else { "--skip-ssl" });
        } else {
            let identity = self.identity.unwrap_or_else(|| Ca::shared().issue(&Leaf::server()));
            let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
            launch = launch.args([
                option("ssl-ca", &identity.ca),
                option("ssl-cert", &identity.certificate),
                option("ssl-key", &identity.key),
            ]);
        }
        let server = Mysql { process: launch.args(self.settings).start(), port, folder };
        server.wait_until_answering();
        server.sql(&self.flavor.grants());
        server
    }
}

/// A running server, source or replica; plain and TLS connections on one port.
#[derive(Debug)]
pub(crate) struct Mysql {
    process: Server,
    port: u16,
    folder: TempDir,
}

impl Mysql {
    /// A MariaDB with 20 connections, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Self::of(Flavor::Mariadb)
    }

    /// The same, of a flavor.
    pub(crate) fn of(flavor: Flavor) -> Builder {
        Builder { flavor, settings: Vec::new(), identity: None, plain: false }
    }

    /// A healthy MariaDB of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Lets `replica` follow this server, and waits until it does.
    #[track_caller]
    pub(crate) fn lead(&self, replica: &Self) {
        let mut words = [
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = ",
            ", MASTER_USER = 'follower', MASTER_PASSWORD = 'follow', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos",
            "START SLAVE",
            "SHOW ALL SLAVES STATUS",
        ];
        if !self.is_mariadb() {
            words = [
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = ",
                ", SOURCE_USER = 'follower', SOURCE_PASSWORD = 'follow', SOURCE_CONNECT_RETRY = 1, GET_SOURCE_PUBLIC_KEY = 1",
                "START REPLICA",
                "SHOW REPLICA STATUS",
            ];
        }
        self.sql(
            "SET sql_log_bin = 0; CREATE USER follower@'%' IDENTIFIED BY 'follow';
                  GRANT REPLICATION SLAVE ON *.* TO follower@'%';",
        );
        replica.sql(&format!("{}{}{}; {}", words[0], self.port, words[1], words[2]));
        replica.process.wait_until("the replica follows", || {
            let status = replica.sql(words[3]);
            (status.matches("\tYes").count() >= 2).then_some(())
        });
    }

    fn is_mariadb(&self) -> bool {
        self.sql("SELECT VERSION()").contains("MariaDB")
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Starts it again after a kill (or kills it first) and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_answering();
    }

    /// Runs statements as the administrator; returns the rows, columns between tabs, without headings.
    #[track_caller]
    pub(crate) fn sql(&self, statements: &str) -> String {
        match self.try_sql(statements) {
            Ok(rows) => rows,
            Err(error) => panic!("{statements}: {error}; its log:\n{}", self.process.log()),
        }
    }

    /// [`sql`](Self::sql), where no answer is an answer.
    pub(crate) fn try_sql(&self, statements: &str) -> io::Result<String> {
        let mut client = Command::new(program("mariadb"));
        client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names", "--connect-timeout=5"]);
        client.arg(format!("--socket={}", self.socket().display()));
        let done = client.arg(format!("--execute={statements}")).stdin(Stdio::null()).output()?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()))
        }
    }

    /// One value of `SHOW GLOBAL STATUS`.
    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> u64 {
        let row = self.sql(&format!("SHOW GLOBAL STATUS LIKE '{name}'"));
        row.split('\t').nth(1).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not a number: {row}"))
    }

    /// Clients that are in the middle of their log-in until the value is dropped; each holds a connection.
    #[track_caller]
    pub(crate) fn hold_clients(&self, count: usize) -> Vec<TcpStream> {
        let connect = || TcpStream::connect(self.addr()).expect("the server accepts");
        let before = self.status("Threads_connected");
        let clients: Vec<_> = std::iter::repeat_with(connect).take(count).collect();
        eventually(super::super::PATIENCE, "the clients count", || {
            (self.status("Threads_connected") >= before + count as u64).then_some(())
        });
        clients
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("a query is answered", || self.try_sql("SELECT 1").ok());
    }
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Mysql {
    static SHARED: LazyLock<Mysql> = LazyLock::new(|| Mysql::builder().setting("max-connections=100").start());
    &SHARED
}
