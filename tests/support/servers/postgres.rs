//! Postgres (14 and later): a primary, standbys of it, and what makes either refuse.
//!
//! The cluster is made once per test process and copied for each server. Root starts it as the user `postgres`,
//! since Postgres refuses to run as root.

mod pooler;
mod template;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::super::background::{Background, block_on};
use super::super::process::Server;
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{PATIENCE, eventually, free_port};
use super::{PASSWORD, USER};

pub(crate) use pooler::Pooler;

/// The superuser, and the password that only the tests use.
const SUPERUSER: &str = "postgres";
const SUPERUSER_PASSWORD: &str = "superuser-secret-pw";

/// The database that [`USER`] owns.
pub(crate) const DATABASE: &str = "app";

/// SQLSTATE `cannot_connect_now`.
const NOT_NOW: &str = "57P03";

/// A primary that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Vec<(String, String)>,
    identity: Option<Identity>,
    hba: Vec<String>,
    restoring: bool,
}

impl Builder {
    /// A setting of `postgresql.conf`.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many clients it takes; three of them are the superuser's.
    pub(crate) fn max_connections(self, count: u32) -> Self {
        self.setting("max_connections", &count.to_string())
    }

    /// Its certificate; without this a good one of [`Ca::shared`].
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// A line of `pg_hba.conf`, before the others: `hostnossl all probe all reject`, `hostssl all probe all cert`.
    pub(crate) fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Starts it and waits until it answers a query.
    #[track_caller]
    pub(crate) fn start(self) -> Postgres {
        let folder = template::owned_folder();
        let data = folder.path().join("data");
        template::copy(&template::TEMPLATE.path().join("data"), &data);
        let hba = fs::read_to_string(data.join("pg_hba.conf")).expect("initdb writes pg_hba.conf");
        template::write(&data.join("pg_hba.conf"), &(self.hba.join("\n") + "\n" + &hba));
        if self.restoring {
            template::write(&data.join("standby.signal"), "");
        }
        let state = if self.restoring { State::Refusing } else { State::Serving };
        let good = || Ca::shared().issue(&Leaf::server());
        let identity = self.identity.unwrap_or_else(good);
        Postgres::launch(folder, &self.settings, &identity, state)
    }
}

/// What a server is waited for.
#[derive(Clone, Copy, Debug)]
enum State {
    Serving,
    Refusing,
}

/// A running Postgres, primary or standby; plain and TLS connections on one port, passwords by SCRAM.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Server,
    port: u16,
    state: State,
    folder: TempDir,
}

impl Postgres {
    /// A primary with 20 connections, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { settings: Vec::new(), identity: None, hba: Vec::new(), restoring: false }
    }

    /// A healthy primary of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// A hot standby of this primary that streams from it.
    #[track_caller]
    pub(crate) fn standby(&self) -> Self {
        let standby = self.standby_with("on", State::Serving);
        standby.process.wait_until("the standby streams", || {
            let status = standby.sql("SELECT status FROM pg_stat_wal_receiver");
            (status == "streaming").then_some(())
        });
        standby
    }

    /// A standby that takes no clients: `57P03`, "not accepting connections".
    #[track_caller]
    pub(crate) fn refusing_standby(&self) -> Self {
        self.standby_with("off", State::Refusing)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its unix socket, if it was told to have one in its folder (`unix_socket_directories = .`).
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(format!("data/.s.PGSQL.{}", self.port))
    }

    /// The process, to be frozen, killed, or read the log of. Frozen as a whole: the main process alone only accepts.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it is as it was.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_ready();
    }

    /// Runs SQL as the superuser; rows are lines and columns are parted by `|`. Panics with the server's error.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        match self.try_sql(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// [`sql`](Self::sql), where an error is an answer.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        let config = self.config(SUPERUSER, SUPERUSER_PASSWORD);
        block_on(sql, async {
            let (client, connection) = config.connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            let messages = client.simple_query(sql).await?;
            drop(client);
            let _ = connection.await;
            Ok(rows(&messages))
        })
    }

    /// A standby goes on receiving and no longer applies, until [`resume_replay`](Self::resume_replay).
    pub(crate) fn pause_replay(&self) {
        self.sql("SELECT pg_wal_replay_pause()");
        eventually(PATIENCE, "replay is paused", || {
            let state = self.sql("SELECT pg_get_wal_replay_pause_state()");
            (state == "paused").then_some(())
        });
    }

    /// Undoes [`pause_replay`](Self::pause_replay).
    pub(crate) fn resume_replay(&self) {
        self.sql("SELECT pg_wal_replay_resume()");
    }

    /// Makes transactions read-only, or not, for everyone who does not say otherwise.
    pub(crate) fn set_read_only(&self, on: bool) {
        let value = if on { "on" } else { "off" };
        self.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"));
        self.sql("SELECT pg_reload_conf()");
        eventually(PATIENCE, "the setting is in force", || {
            (self.sql("SHOW default_transaction_read_only") == value).then_some(())
        });
    }

    /// Connections of [`USER`] that are open and idle until the value is dropped.
    #[track_caller]
    pub(crate) fn hold_clients(&self, count: usize) -> Held {
        let config = self.config(USER, PASSWORD);
        let (ready, opened) = std::sync::mpsc::channel();
        let thread = Background::spawn("held-clients", move || async move {
            let mut clients = Vec::new();
            for _ in 0..count {
                match config.connect(NoTls).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        clients.push(client);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                        return;
                    }
                }
            }
            let _ = ready.send(Ok(()));
            std::future::pending::<()>().await;
        });
        match opened.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Held { _thread: thread },
            Ok(Err(error)) => panic!("Postgres does not take {count} clients: {error:?}"),
            Err(error) => panic!("{count} clients within {PATIENCE:?}: {error}"),
        }
    }

    /// Opens every connection that is left to [`USER`]; the next is refused (`53300`).
    #[track_caller]
    pub(crate) fn exhaust(&self) -> Held {
        let free = "SELECT current_setting('max_connections')::int \
                    - current_setting('superuser_reserved_connections')::int \
                    - count(*) FROM pg_stat_activity \
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let count = self.sql(free).parse().expect("a count is a number");
        self.hold_clients(count)
    }

    /// A transaction of the superuser that holds a table exclusively until the value is dropped.
    #[track_caller]
    pub(crate) fn locking(&self, table: &str) -> Held {
        let config = self.config(SUPERUSER, SUPERUSER_PASSWORD);
        let lock = format!("BEGIN; LOCK TABLE {table}");
        let (ready, locked) = std::sync::mpsc::channel();
        let thread = Background::spawn("held-lock", move || async move {
            let opened = config.connect(NoTls).await;
            let Ok((client, connection)) = opened else { return };
            tokio::spawn(connection);
            let _ = ready.send(client.batch_execute(&lock).await);
            std::future::pending::<()>().await;
        });
        match locked.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Held { _thread: thread },
            other => panic!("{table} cannot be locked: {other:?}"),
        }
    }

    /// Ends the connections of [`USER`], as an administrator would (`57P01`).
    pub(crate) fn terminate_clients(&self) {
        self.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"));
    }

    fn config(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(user)
            .password(password)
            .dbname(if user == USER { DATABASE } else { SUPERUSER })
            .connect_timeout(Duration::from_secs(5));
        config
    }

    #[track_caller]
    fn standby_with(&self, hot_standby: &str, state: State) -> Self {
        let folder = template::owned_folder();
        let data = folder.path().join("data");
        let source = format!("host=127.0.0.1 port={} user={SUPERUSER} password={SUPERUSER_PASSWORD}", self.port);
        template::postgres("pg_basebackup", folder.path())
            .arg("-D")
            .arg(&data)
            .args(["-d", &source, "-R", "-X", "stream", "-c", "fast", "--no-sync"])
            .run();
        let settings = [("hot_standby".to_owned(), hot_standby.to_owned())];
        let identity = Ca::shared().issue(&Leaf::server());
        Self::launch(folder, &settings, &identity, state)
    }

    /// Starts what lies in `data`; the last setting of a name counts, so that a copy's own override its source's.
    #[track_caller]
    fn launch(folder: TempDir, settings: &[(String, String)], identity: &Identity, state: State) -> Self {
        let port = free_port();
        let data = folder.path().join("data");
        let inherited = fs::read_to_string(data.join("postgresql.conf")).expect("a cluster has a postgresql.conf");
        let own = [("port".to_owned(), port.to_string())];
        let own = own.iter().chain(settings).map(|(name, value)| format!("{name} = '{value}'"));
        let lines: Vec<String> = std::iter::once(inherited).chain(own).collect();
        template::write(&data.join("postgresql.conf"), &(lines.join("\n") + "\n"));
        let files = [(&identity.certificate, "server.crt"), (&identity.key, "server.key"), (&identity.ca, "ca.crt")];
        for (from, to) in files {
            let pem = fs::read_to_string(from).expect("a PEM file can be read");
            template::write(&data.join(to), &pem);
        }
        let process = template::postgres("postgres", folder.path())
            .arg("-D")
            .arg(&data)
            // A kill would leave its System V shared memory behind for good.
            .stop_by_quit()
            .start();
        let postgres = Self { process, port, state, folder };
        postgres.wait_until_ready();
        postgres
    }

    #[track_caller]
    fn wait_until_ready(&self) {
        self.process.wait_until("it is in its state", || {
            let answer = self.try_sql("SELECT 1");
            match self.state {
                State::Serving => answer.map(drop).ok(),
                State::Refusing => (answer.err()?.code()?.code() == NOT_NOW).then_some(()),
            }
        });
    }
}

/// Connections that stay open while this lives.
#[derive(Debug)]
pub(crate) struct Held {
    _thread: Background,
}

/// A healthy primary, which many tests may ask at once.
pub(crate) fn shared() -> &'static Postgres {
    static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::builder().max_connections(100).start());
    &SHARED
}

/// One that is still starting up (`57P03`) for at least a minute: it waits for an archive that does not answer.
#[track_caller]
pub(crate) fn starting_up() -> Postgres {
    let mut builder = Postgres::builder().setting("restore_command", "sleep 60; false");
    builder.restoring = true;
    builder.start()
}

/// Rows as lines, columns parted by `|`, NULL as nothing: what `psql -At` prints.
fn rows(messages: &[SimpleQueryMessage]) -> String {
    let lines: Vec<String> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .map(|row| {
            let columns: Vec<_> = (0..row.len()).map(|column| row.get(column)).collect();
            let columns = columns.into_iter().map(Option::unwrap_or_default);
            columns.collect::<Vec<_>>().join("|")
        })
        .collect();
    lines.join("\n")
}
