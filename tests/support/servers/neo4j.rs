//! Neo4j 5.26 Community (`make servers`): healthy, locked up, read-only, short of everything, and with a broken database.
//!
//! Its first answers take seconds: a server counts as started when they have been given, unless it is to be cold.

mod client;
pub(crate) mod script;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::process::{Launch, Server, Signal};
use super::super::tls::Identity;
use super::super::{PATIENCE, free_port, scratch};
use super::{PASSWORD, farm, program};

pub(crate) use client::Client;

/// How long an answer may take; the first of a server need many seconds on a busy machine.
const ANSWER: Duration = Duration::from_secs(40);

/// The only user of a new server.
pub(crate) const ADMIN: &str = "neo4j";

/// The database that everybody uses.
pub(crate) const DATABASE: &str = "neo4j";

/// [`PASSWORD`], as `neo4j-admin dbms set-initial-password` writes it for [`ADMIN`].
const INITIAL: &str = "neo4j:SHA-256,9dfaaf0b5e3492bacfd47dc57b8c1ade0c8659f5a3d3f5d7c337991c42dcf391,\
                       9d1b7a6ec7aa5c9fb9ffa8436c230ac171645a2cadaa907f28acf9552508bdfe,1024:\n";

/// A Neo4j that is about to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    settings: Vec<String>,
    identity: Option<Identity>,
    cold: bool,
}

impl Builder {
    /// A line of its configuration; the last of a name counts.
    pub(crate) fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// With TLS and this certificate; `level` is `OPTIONAL` or `REQUIRED`, `clients` is `NONE` or `REQUIRE`.
    pub(crate) fn tls(mut self, identity: &Identity, level: &str, clients: &str) -> Self {
        self.identity = Some(identity.clone());
        self.setting(format!("server.bolt.tls_level={level}"))
            .setting("dbms.ssl.policy.bolt.enabled=true")
            .setting("dbms.ssl.policy.bolt.private_key=private.key")
            .setting("dbms.ssl.policy.bolt.public_certificate=public.crt")
            .setting(format!("dbms.ssl.policy.bolt.client_auth={clients}"))
    }

    /// Started as soon as it lets somebody in: nobody has asked it anything.
    pub(crate) fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> Neo4j {
        let archive = ARCHIVE.as_ref().map(|file| format!("-XX:SharedArchiveFile={}", file.display()));
        let neo4j = self.launch(archive.as_deref());
        neo4j.wait_until_answering();
        neo4j
    }

    #[track_caller]
    fn launch(self, java: Option<&str>) -> Neo4j {
        let (folder, port) = (scratch(), free_port());
        let home = folder.path();
        let make = |path: &str| {
            let path = home.join(path);
            fs::create_dir_all(&path).map(|()| path).expect("a folder can be made")
        };
        fs::write(make("data/dbms").join("auth.ini"), INITIAL).expect("the password can be written");
        let mut settings = vec![
            format!("server.bolt.listen_address=127.0.0.1:{port}"),
            // Unset, the routing table says localhost:7687.
            format!("server.bolt.advertised_address=127.0.0.1:{port}"),
            "server.default_listen_address=127.0.0.1".into(),
            "server.http.enabled=false".into(),
            "server.memory.pagecache.size=16m".into(),
            // Else a home takes half a gigabyte.
            "db.tx_log.preallocate=false".into(),
            "db.tx_log.rotation.size=1m".into(),
            "db.checkpoint.interval.time=1h".into(),
            "dbms.usage_report.enabled=false".into(),
            "server.logs.debug.enabled=false".into(),
        ];
        let mut tls = false;
        if let Some(identity) = &self.identity {
            let certificates = make("certificates");
            make("certificates/revoked");
            let copy = |from: &Path, to: PathBuf| fs::copy(from, to).expect("a certificate can be copied");
            copy(&identity.key, certificates.join("private.key"));
            copy(&identity.certificate, certificates.join("public.crt"));
            copy(&identity.ca, make("certificates/trusted").join("ca.crt"));
            settings.push(format!("dbms.ssl.policy.bolt.base_directory={}", certificates.display()));
            tls = self.settings.iter().any(|line| line.ends_with("=REQUIRED"));
        }
        let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        settings.retain(|line| !self.settings.iter().any(|own| name(own) == name(line)));
        settings.extend(self.settings);
        fs::write(make("conf").join("neo4j.conf"), settings.join("\n") + "\n").expect("neo4j.conf can be written");
        let lib = farm("neo4j").expect("whoever starts it has asked for it").join("lib");
        // Neo4j appends to the file that its JVM has begun.
        let launch = Launch::new(program("java"), make("logs").join("neo4j.log"))
            .args(["-Xms64m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(java)
            .args(["nio", "io"].map(|package| format!("--add-opens=java.base/java.{package}=ALL-UNNAMED")))
            .args(["sun.nio.ch", "java.util.concurrent"].map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")))
            .args(["-cp".to_owned(), format!("{}/*", lib.display()), "org.neo4j.server.CommunityEntryPoint".into()])
            .args([format!("--home-dir={}", home.display()), format!("--config-dir={}", home.join("conf").display())]);
        Neo4j { process: launch.start(), port, tls, cold: self.cold, folder }
    }
}

/// Classes as the JVM has them once it has read them: with it a server starts in two thirds of the time. It is made
/// once, by a server that is stopped in order, and lies beside the jars.
static ARCHIVE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = farm("neo4j")?;
    let (archive, new) = (folder.join("classes.jsa"), folder.join("classes.new"));
    let lock = File::create(folder.join("lock")).ok()?;
    lock.lock().ok()?;
    if !archive.is_file() {
        let server = Builder::default().launch(Some(&format!("-XX:ArchiveClassesAtExit={}", new.display())));
        server.wait_until_answering();
        server.process.signal(Signal::TERM);
        server.process.wait_exit(PATIENCE)?;
        fs::rename(new, &archive).ok()?;
    }
    Some(archive)
});

/// A running Neo4j.
#[derive(Debug)]
pub(crate) struct Neo4j {
    process: Server,
    port: u16,
    tls: bool,
    cold: bool,
    folder: TempDir,
}

impl Neo4j {
    /// One with [`ADMIN`] and [`PASSWORD`], and whatever else the builder is told.
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

    /// Starts it again with more lines in its configuration.
    #[track_caller]
    pub(crate) fn reconfigure(&self, lines: &[&str]) {
        let conf = self.folder.path().join("conf/neo4j.conf");
        let before = fs::read_to_string(&conf).expect("neo4j.conf can be read");
        fs::write(&conf, before + &lines.join("\n") + "\n").expect("neo4j.conf can be written");
        self.restart();
    }

    /// A client that has logged in. Not where TLS is required.
    pub(crate) fn client(&self) -> io::Result<Client> {
        Client::log_in(self.addr(), ADMIN, PASSWORD)
    }

    /// The rows that a question in Cypher is answered with.
    #[track_caller]
    pub(crate) fn rows(&self, database: &str, query: &str) -> Vec<serde_json::Value> {
        self.client().and_then(|mut client| client.rows(database, query)).expect("it answers")
    }

    /// The connections of Probity, by their names.
    pub(crate) fn sessions(&self) -> Vec<String> {
        let rows = self.rows(DATABASE, "CALL dbms.listConnections() YIELD connectionId, userAgent RETURN *");
        let ours = rows.iter().filter(|row| row[1].as_str().is_some_and(|agent| agent.starts_with("probity/")));
        ours.filter_map(|row| row[0].as_str().map(str::to_owned)).collect()
    }

    /// Starts it again with a database that it cannot open; it answers to who logs in, and nothing else.
    #[track_caller]
    pub(crate) fn break_database(&mut self) {
        self.process.kill9();
        let store = self.folder.path().join("data/databases").join(DATABASE).join("neostore");
        fs::write(store, "garbage").expect("the store can be overwritten");
        self.cold = true;
        self.process.restart();
        self.process.wait_until("the database is given up", || {
            let told = self.client().and_then(|mut client| client.route(DATABASE)).err()?;
            told.to_string().contains("DatabaseUnavailable").then_some(())
        });
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("it answers", || {
            // With TLS a client of ours cannot ask: the log says when it listens.
            if self.tls {
                return self.process.log().contains("Bolt enabled on").then_some(());
            }
            let mut client = self.client().ok()?;
            client.route(DATABASE).ok()?;
            if !self.cold {
                client.rows(DATABASE, "RETURN 1").ok()?;
                client.rows("system", "SHOW DATABASES").ok()?;
            }
            Some(())
        });
    }
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Neo4j {
    static SHARED: LazyLock<Neo4j> = LazyLock::new(Neo4j::start);
    &SHARED
}
