//! `PgBouncer` in front of a Postgres: transactions share a few connections of the server.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;

use super::super::super::background::{Background, block_on};
use super::super::super::process::Server;
use super::super::super::{PATIENCE, free_port};
use super::super::{PASSWORD, USER};
use super::{DATABASE, Held, template};

/// A running pooler.
#[derive(Debug)]
pub(crate) struct Pooler {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    /// In front of a server, with more lines for its configuration. Its administrator is [`USER`].
    #[track_caller]
    pub(crate) fn start(server: SocketAddr, settings: &str) -> Self {
        let (folder, port) = (template::owned_folder(), free_port());
        let path = |name: &str| folder.path().join(name);
        template::write(&path("users"), &format!("\"{USER}\" \"{PASSWORD}\"\n"));
        let (behind, users) = (format!("host={} port={}", server.ip(), server.port()), path("users").display().to_string());
        let lines = format!(
            "[databases]\n{DATABASE} = {behind}\npostgres = {behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\nadmin_users = {USER}\n\
             pool_mode = transaction\n{settings}\n"
        );
        template::write(&path("ini"), &lines);
        let process = template::postgres("pgbouncer", folder.path()).arg(path("ini")).start();
        let pooler = Self { process, port, _folder: folder };
        pooler.process.wait_until("its console answers", || pooler.try_command("SHOW VERSION").ok());
        pooler
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Says something to its console.
    #[track_caller]
    pub(crate) fn command(&self, command: &str) {
        self.try_command(command).unwrap_or_else(|error| panic!("{command}: {error:?}; its log:\n{}", self.process.log()));
    }

    /// A transaction that holds a connection of the server until the value is dropped.
    #[track_caller]
    pub(crate) fn hold_transaction(&self) -> Held {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname(DATABASE);
        let (ready, opened) = std::sync::mpsc::channel();
        let thread = Background::spawn("held-transaction", move || async move {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the pooler takes a client");
            tokio::spawn(connection);
            client.simple_query("BEGIN; SELECT 1").await.expect("a transaction can begin");
            ready.send(()).expect("somebody waits for it");
            std::future::pending::<()>().await;
        });
        opened.recv_timeout(PATIENCE).expect("a transaction begins in time");
        Held { _thread: thread }
    }

    fn try_command(&self, command: &str) -> Result<(), tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname("pgbouncer");
        block_on(command, async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
            let connection = tokio::spawn(connection);
            client.simple_query(command).await?;
            drop(client);
            let _ = connection.await;
            Ok(())
        })
    }
}
