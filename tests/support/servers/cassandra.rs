//! Cassandra 5.0 (`make servers`): one node, with users or without, and three of them on 127.0.0.1 to 127.0.0.3.

pub(crate) mod client;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::Identity;
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, farm, program};

pub(crate) use client::{ALL, Client, ONE, QUORUM};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// The first role of every server, and its password.
const SUPERUSER: &str = "cassandra";

/// The keyspace of the application.
pub(crate) const KEYSPACE: &str = "app";

/// A table for canaries, with its keyspace.
pub(crate) const CANARY: &str = "app.probity_canary";

/// Who may read [`CANARY`] and `system_views`, and write canaries. [`USER`] may log in, and nothing else.
pub(crate) const READER: &str = "reader";

/// Where the nodes of a ring begin in it.
const TOKENS: [i64; 3] = [i64::MIN, -3_074_457_345_618_258_603, 3_074_457_345_618_258_602];

/// A node that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    lines: Vec<String>,
    java: Vec<String>,
    users: bool,
    only_tls: bool,
    /// Which of the nodes of a ring it is, and where all of them listen to each other.
    place: usize,
    storage: u16,
}

impl Builder {
    /// A line of its `cassandra.yaml`.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// With log-ins: [`USER`] and [`READER`], both with [`PASSWORD`].
    pub(crate) fn users(mut self) -> Self {
        self.users = true;
        self.java.push("-Dcassandra.auth_bcrypt_gensalt_log2_rounds=4".into());
        self.line("authenticator: { class_name: PasswordAuthenticator }")
            .line("authorizer: { class_name: CassandraAuthorizer }")
            .line("role_manager: { class_name: CassandraRoleManager }")
            .line("credentials_validity: 0ms")
            .line("roles_validity: 0ms")
            .line("permissions_validity: 0ms")
    }

    /// With TLS and this certificate: beside plain text or instead of it, and with a certificate of whoever comes or without.
    pub(crate) fn tls(mut self, identity: &Identity, optional: bool, clients: bool) -> Self {
        let parts = [&identity.key, &identity.certificate, &identity.ca].map(fs::read_to_string);
        let bundle = identity.certificate.with_extension("bundle");
        let parts = parts.map(|part| part.expect("it was made"));
        fs::write(&bundle, parts.concat()).expect("it can be written");
        self.only_tls = !optional;
        self.line(format!(
            "client_encryption_options: {{ enabled: true, optional: {optional}, require_client_auth: {clients}, \
             keystore: {}, truststore: {}, ssl_context_factory: {{ class_name: \
             org.apache.cassandra.security.PEMBasedSslContextFactory }} }}",
            bundle.display(),
            identity.ca.display()
        ))
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> Cassandra {
        let node = self.launch();
        node.wait_until_answering();
        if node.users {
            node.furnish(1);
            for role in [USER, READER] {
                node.run(&format!("CREATE ROLE {role} WITH LOGIN = true AND PASSWORD = '{PASSWORD}'"));
            }
            node.run(&format!("GRANT SELECT ON KEYSPACE system_views TO {READER}"));
            node.run(&format!("GRANT SELECT ON {CANARY} TO {READER}"));
            node.run(&format!("GRANT MODIFY ON {CANARY} TO {READER}"));
        }
        node
    }

    #[track_caller]
    fn launch(self) -> Cassandra {
        let (folder, port, jmx) = (scratch(), free_port(), free_port());
        let home = folder.path().display().to_string();
        let ip = Ipv4Addr::new(127, 0, 0, u8::try_from(self.place + 1).expect("a small ring"));
        let mut lines = vec![
            "cluster_name: farm".to_owned(),
            "num_tokens: 1".into(),
            format!("initial_token: {}", TOKENS[self.place]),
            "auto_bootstrap: false".into(),
            "partitioner: org.apache.cassandra.dht.Murmur3Partitioner".into(),
            "seed_provider: [ { class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [ { seeds: 127.0.0.1 } ] } ]"
                .into(),
            format!("listen_address: {ip}"),
            format!("rpc_address: {ip}"),
            format!("storage_port: {}", self.storage),
            format!("native_transport_port: {port}"),
            "endpoint_snitch: SimpleSnitch".into(),
            "commitlog_sync: periodic".into(),
            // What is not synced is lost with the process.
            "commitlog_sync_period: 100ms".into(),
            "commitlog_segment_size: 1MiB".into(),
            "commitlog_total_space: 16MiB".into(),
            "auto_snapshot: false".into(),
            "concurrent_compactors: 1".into(),
            "memtable_heap_space: 16MiB".into(),
            "memtable_offheap_space: 16MiB".into(),
            "key_cache_size: 0MiB".into(),
            "counter_cache_size: 0MiB".into(),
            "networking_cache_size: 8MiB".into(),
            "read_request_timeout: 2000ms".into(),
            "write_request_timeout: 2000ms".into(),
            format!("data_file_directories: [ {home}/data ]"),
        ];
        for what in ["commitlog", "saved_caches", "hints", "cdc_raw"] {
            lines.push(format!("{what}_directory: {home}/{what}"));
        }
        lines.extend(self.lines);
        fs::write(folder.path().join("cassandra.yaml"), lines.join("\n") + "\n").expect("its settings can be written");
        let launch = java(folder.path(), "cassandra")
            .args(["-Xms32m", "-Xmx128m", "-Xss512k", "-XX:MaxDirectMemorySize=64m"])
            .args([format!("-Dcassandra.logdir={home}"), format!("-Dcassandra.jmx.local.port={jmx}")])
            .arg(format!("-Dcom.sun.management.jmxremote.rmi.port={}", free_port()))
            // Nobody else comes, so nobody is waited for.
            .args(["skip_wait_for_gossip_to_settle=0", "superuser_setup_delay_ms=-1"].map(option))
            // The first node waits for none, and the others so long for a word of it.
            .arg(option(if self.place == 0 { "ring_delay_ms=0" } else { "ring_delay_ms=10000" }))
            .args(["consistent.rangemovement=false", "shutdown_announce_in_ms=0"].map(option))
            // Else it is measured at each start, for two seconds.
            .arg(option("memtable.row_overhead_size=180"))
            // Else it closes its log as soon as it is up.
            .arg("-Dcassandra-foreground=yes")
            .args(self.java)
            .arg("org.apache.cassandra.service.CassandraDaemon");
        let addr = (ip, port).into();
        Cassandra { process: launch.start(), addr, jmx, users: self.users, only_tls: self.only_tls, folder }
    }
}

fn option(option: &str) -> String {
    format!("-Dcassandra.{option}")
}

/// A JVM with Cassandra's jars and the settings of a folder.
fn java(folder: &Path, log: &str) -> Launch {
    let farm = farm("cassandra").expect("whoever starts it has asked for it");
    let home = folder.display();
    Launch::new(program("java"), folder.join(log).with_extension("log"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+PerfDisableSharedMem"])
        .args([format!("@{}/jvm17.options", farm.display()), format!("-Duser.home={home}")])
        .args([format!("-Dcassandra.config=file://{home}/cassandra.yaml"), format!("-Dcassandra.storagedir={home}")])
        .arg(format!("-Dlogback.configurationFile={}/logback.xml", farm.display()))
        .args(["-cp".to_owned(), format!("{}/lib/*", farm.display())])
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Cassandra {
    process: Server,
    addr: SocketAddr,
    jmx: u16,
    users: bool,
    only_tls: bool,
    folder: TempDir,
}

impl Cassandra {
    /// One that is a ring of its own, where nobody logs in, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { lines: Vec::new(), java: Vec::new(), users: false, only_tls: false, place: 0, storage: free_port() }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where it speaks CQL.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
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

    /// A client that may do everything. Not where TLS is required.
    pub(crate) fn client(&self) -> io::Result<Client> {
        Client::log_in(self.addr, SUPERUSER, SUPERUSER)
    }

    /// Tells it something that it must do.
    #[track_caller]
    pub(crate) fn run(&self, text: &str) {
        if let Err(error) = self.client().and_then(|mut client| client.run(text, ONE)) {
            panic!("{text}: {error}; its log:\n{}", self.process.log());
        }
    }

    /// The rows that `SELECT JSON` is answered with.
    #[track_caller]
    pub(crate) fn rows(&self, text: &str) -> Vec<Json> {
        self.client().and_then(|mut client| client.rows(text, ONE)).expect("it answers")
    }

    /// Reads the table of canaries at a consistency.
    pub(crate) fn read_at(&self, consistency: u16) -> io::Result<()> {
        self.client()?.run(&format!("SELECT nonce FROM {CANARY} WHERE id = 'x'"), consistency).map(drop)
    }

    /// Waits until no other node is missing, and all have the same schema.
    #[track_caller]
    pub(crate) fn wait_until_whole(&self) {
        self.process.wait_until("all are there", || {
            self.read_at(ALL).ok()?;
            let mut client = self.client().ok()?;
            let mut versions = |table: &str| client.rows(&format!("SELECT JSON schema_version FROM system.{table}"), ONE).ok();
            let (own, others) = (versions("local")?, versions("peers_v2")?);
            others.iter().all(|version| *version == own[0]).then_some(())
        });
    }

    /// Makes [`CANARY`] with so many replicas.
    #[track_caller]
    pub(crate) fn furnish(&self, replicas: usize) {
        let strategy = format!("{{ 'class': 'SimpleStrategy', 'replication_factor': {replicas} }}");
        self.run(&format!("CREATE KEYSPACE {KEYSPACE} WITH replication = {strategy}"));
        self.run(&format!("CREATE TABLE {CANARY} (id text, nonce text, PRIMARY KEY (id, nonce)) WITH gc_grace_seconds = 60"));
    }

    /// How many connections of Probity it has.
    pub(crate) fn sessions(&self) -> Option<usize> {
        let rows = self.client().and_then(|mut c| c.rows("SELECT JSON driver_name FROM system_views.clients", ONE)).ok()?;
        Some(rows.iter().filter(|row| row["driver_name"] == "probity").count())
    }

    /// Has its own tool tell it something.
    #[track_caller]
    pub(crate) fn nodetool(&self, command: &str) {
        java(self.folder.path(), "nodetool")
            .args(["-Xmx64m", "org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p", &self.jmx.to_string(), command])
            .run();
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("it answers", || {
            if self.only_tls {
                let is_up = self.process.log().contains("Starting listening for CQL clients");
                return (is_up && TcpStream::connect(self.addr).is_ok()).then_some(());
            }
            // With users, those it begins with are there a little later than it is itself.
            self.client().ok()?.run("SELECT release_version FROM system.local WHERE key = 'local'", ONE).ok().map(drop)
        });
    }
}

/// A healthy one with users, which many tests may ask at once.
pub(crate) fn shared() -> &'static Cassandra {
    static SHARED: LazyLock<Cassandra> = LazyLock::new(|| Cassandra::builder().users().start());
    &SHARED
}

/// Three nodes, where nobody logs in and everything is on all three.
#[track_caller]
pub(crate) fn ring() -> [Cassandra; 3] {
    let nodes = nodes(|builder| builder);
    nodes[0].furnish(nodes.len());
    nodes.iter().for_each(Cassandra::wait_until_whole);
    nodes
}

/// Two nodes with users, each of whom one of them holds alone.
#[track_caller]
pub(crate) fn pair() -> [Cassandra; 2] {
    nodes(Builder::users)
}

#[track_caller]
fn nodes<const N: usize>(made: fn(Builder) -> Builder) -> [Cassandra; N] {
    let storage = free_port();
    let launch = |place| {
        let builder = Builder { place, storage, ..Cassandra::builder() };
        // Else it takes 20 seconds until a node that is dead is known to be.
        made(builder.line("phi_convict_threshold: 5")).launch()
    };
    let first = launch(0);
    first.wait_until_answering();
    let mut first = Some(first);
    let nodes = std::array::from_fn(|place| first.take().unwrap_or_else(|| launch(place)));
    nodes.iter().for_each(Cassandra::wait_until_answering);
    nodes[0].process.wait_until("it knows the others", || {
        let gossip = "SELECT JSON rpc_ready FROM system_views.gossip_info";
        let rows = nodes[0].client().and_then(|mut client| client.rows(gossip, ONE)).ok()?;
        (rows.iter().filter(|row| row["rpc_ready"] == "true").count() == N).then_some(())
    });
    nodes
}
