//! ClickHouse (18.16 and later): alone, and as a replica with a ZooKeeper that can be killed.

mod zookeeper;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::http;
use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};

pub(crate) use zookeeper::Zookeeper;

/// How long a query may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Users with [`PASSWORD`]: their profile allows no change of settings; they may not come from here; they may ask
/// nothing more in this hour; they may use no database but `other`.
pub(crate) const READER: &str = "reader";
pub(crate) const ELSEWHERE: &str = "elsewhere";
pub(crate) const SPENT: &str = "spent";
pub(crate) const CONFINED: &str = "confined";

/// A server that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Vec<String>,
    identity: Option<Identity>,
}

impl Builder {
    /// An element of `config.xml`: `<max_concurrent_queries>1</max_concurrent_queries>`.
    pub(crate) fn setting(mut self, element: &str) -> Self {
        self.settings.push(element.to_owned());
        self
    }

    /// The certificate of its HTTPS port; without this a good one of [`Ca::shared`].
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// A replica whose metadata are in this ZooKeeper.
    pub(crate) fn keeper(self, keeper: &Zookeeper) -> Self {
        let node = format!("<node><host>127.0.0.1</host><port>{}</port></node>", keeper.port());
        self.setting(&format!("<zookeeper>{node}<session_timeout_ms>3000</session_timeout_ms></zookeeper>"))
            .setting("<macros><shard>one</shard><replica>first</replica></macros>")
    }

    /// Starts it and waits until it answers a query.
    #[track_caller]
    pub(crate) fn start(self) -> Clickhouse {
        let folder = scratch();
        let ports = Ports { http: free_port(), https: free_port(), native: free_port(), between: free_port() };
        let identity = self.identity.unwrap_or_else(|| Ca::shared().issue(&Leaf::server()));
        let config = folder.path().join("config.xml");
        fs::write(&config, configuration(folder.path(), &ports, &identity, &self.settings)).expect("config.xml can be written");
        fs::write(folder.path().join("users.xml"), users()).expect("users.xml can be written");
        let launch = Launch::new(program("clickhouse-server"), folder.path().join("log"));
        let process = launch.arg(format!("--config-file={}", config.display())).start();
        let server = Clickhouse { process, ports, _folder: folder };
        server.wait_until_answering();
        server
    }
}

#[derive(Debug)]
struct Ports {
    http: u16,
    https: u16,
    native: u16,
    between: u16,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Clickhouse {
    process: Server,
    ports: Ports,
    _folder: TempDir,
}

impl Clickhouse {
    /// One alone, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { settings: Vec::new(), identity: None }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where it speaks HTTP.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    /// Where it speaks HTTPS.
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.https).into()
    }

    /// Where it speaks its own protocol.
    pub(crate) fn native_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.native).into()
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

    /// Runs a query as the administrator; returns the rows, columns between tabs.
    #[track_caller]
    pub(crate) fn query(&self, query: &str) -> String {
        match self.try_query(query) {
            Ok(rows) => rows,
            Err(error) => panic!("{query}: {error}; its log:\n{}", self.process.log()),
        }
    }

    /// [`query`](Self::query), where no answer is an answer.
    pub(crate) fn try_query(&self, query: &str) -> io::Result<String> {
        let answer = http::request(self.addr(), "POST", "/", &[], query, ANSWER)?;
        match answer.status {
            200 => Ok(answer.body.trim_end().to_owned()),
            _ => Err(io::Error::other(answer.body)),
        }
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("a query is answered", || self.try_query("SELECT 1").ok());
    }
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Clickhouse {
    static SHARED: LazyLock<Clickhouse> = LazyLock::new(Clickhouse::start);
    &SHARED
}

/// A replicated table and the ZooKeeper that it needs.
#[track_caller]
pub(crate) fn replicated() -> (Zookeeper, Clickhouse) {
    let keeper = Zookeeper::start();
    let server = Clickhouse::builder().keeper(&keeper).start();
    let table =
        "CREATE TABLE orders (day Date, id UInt32) ENGINE = ReplicatedMergeTree('/tables/orders', 'first', day, id, 8192)";
    // ZooKeeper says that it is well before it takes sessions.
    server.process().wait_until("the table is made", || server.try_query(table).ok());
    server.query("INSERT INTO orders VALUES ('2026-11-21', 1)");
    (keeper, server)
}

fn configuration(folder: &Path, ports: &Ports, identity: &Identity, settings: &[String]) -> String {
    let (certificate, key) = (identity.certificate.display(), identity.key.display());
    let Ports { http, https, native, between } = ports;
    let folder = folder.display();
    let settings = settings.join("\n");
    format!(
        "<yandex>
<logger><level>warning</level><console>1</console></logger>
<listen_host>127.0.0.1</listen_host>
<http_port>{http}</http_port><https_port>{https}</https_port><tcp_port>{native}</tcp_port>
<interserver_http_port>{between}</interserver_http_port><interserver_http_host>127.0.0.1</interserver_http_host>
<openSSL><server><certificateFile>{certificate}</certificateFile><privateKeyFile>{key}</privateKeyFile>
<verificationMode>none</verificationMode><disableProtocols>sslv2,sslv3</disableProtocols></server></openSSL>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><user_files_path>{folder}/files/</user_files_path>
<format_schema_path>{folder}/schemas/</format_schema_path>
<mark_cache_size>16777216</mark_cache_size>
<users_config>{folder}/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
{settings}
</yandex>
"
    )
}

fn users() -> String {
    let user = |name: &str, password: &str, rest: &str| {
        let rest = [("networks", "<ip>127.0.0.1</ip>"), ("profile", "default"), ("quota", "default")]
            .into_iter()
            .filter(|(element, _)| !rest.contains(&format!("<{element}>")))
            .fold(rest.to_owned(), |rest, (element, value)| format!("{rest}<{element}>{value}</{element}>"));
        format!("<{name}><password>{password}</password>{rest}</{name}>")
    };
    let users = [
        user("default", "", ""),
        user(USER, PASSWORD, ""),
        user(READER, PASSWORD, "<profile>fixed</profile>"),
        user(ELSEWHERE, PASSWORD, "<networks><ip>192.0.2.1</ip></networks>"),
        user(SPENT, PASSWORD, "<quota>spent</quota>"),
        user(CONFINED, PASSWORD, "<allow_databases><database>other</database></allow_databases>"),
    ]
    .concat();
    let quota = "<interval><duration>3600</duration><queries>1</queries><errors>0</errors><result_rows>0</result_rows>\
                 <read_rows>0</read_rows><execution_time>0</execution_time></interval>";
    format!(
        "<yandex><profiles><default><queue_max_wait_ms>100</queue_max_wait_ms></default><fixed><readonly>1</readonly></fixed></profiles><users>{users}</users>
         <quotas><default/><spent>{quota}</spent></quotas></yandex>\n"
    )
}
