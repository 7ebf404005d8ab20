//! `PgBouncer` in front of a server.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use super::super::super::background::block_on;
use super::super::super::free_port;
use super::super::super::process::Server;
use super::super::{PASSWORD, USER};
use super::{Postgres, template};

/// A running `PgBouncer`: one connection to the server, which changes hands after each transaction.
#[derive(Debug)]
pub(crate) struct Pooler {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    /// Starts it and waits until it answers. It asks nobody for a password.
    #[track_caller]
    pub(crate) fn start(server: &Postgres) -> Self {
        let (folder, port) = (template::owned_folder(), free_port());
        let conf = folder.path().join("pgbouncer.ini");
        let behind = format!("host=127.0.0.1 port={} user={USER} password={PASSWORD}", server.port);
        let lines = format!(
            "[databases]\npostgres = {behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 1\n"
        );
        template::write(&conf, &lines);
        let process = template::postgres("pgbouncer", folder.path()).arg(&conf).start();
        let pooler = Self { process, port, _folder: folder };
        pooler.process.wait_until("it lets a client in", || pooler.log_in());
        pooler
    }

    fn log_in(&self) -> Option<()> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).dbname("postgres");
        block_on("a log-in", async { config.connect(NoTls).await.ok().map(drop) })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}
