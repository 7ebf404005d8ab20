//! One real server of each kind, with the entry that a catalog has for it: what the demonstration and the bench run on.

use std::any::Any;
use std::path::Path;

use super::servers::{self, PASSWORD, USER};
use super::tls::{Ca, Leaf};
use super::tls_front::TlsFront;

/// A running server and its entry; gone when this is dropped.
pub(crate) struct Member {
    pub(crate) backend: &'static str,
    pub(crate) entry: String,
    pub(crate) pid: u32,
    _server: Box<dyn Any>,
}

/// What every entry of a fleet has in common.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// The line that names the password.
    password: String,
    /// The line that switches TLS on; empty without it.
    tls: String,
}

impl Manner {
    /// The password is typed, which takes `allow_literal_secrets`.
    pub(crate) fn literal() -> Self {
        Self { password: format!("password = \"{PASSWORD}\"\n"), tls: String::new() }
    }

    /// The password is in a file.
    pub(crate) fn file(path: &Path) -> Self {
        Self { password: format!("password = {{ file = \"{}\" }}\n", path.display()), ..Self::literal() }
    }

    /// Everything is asked over TLS.
    pub(crate) fn over_tls(self) -> Self {
        Self { tls: format!("tls = {{ ca = \"{}\" }}\n", Ca::shared().certificate().display()), ..self }
    }

    /// What is there in two kinds.
    fn pick<T>(&self, plain: T, secured: T) -> T {
        if self.tls.is_empty() { plain } else { secured }
    }
}

/// Which servers are started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    /// Those that start in seconds and that Debian has.
    Light,
    /// All that can be had.
    All,
    /// Those of these backends.
    Only(&'a [&'a str]),
}

/// Starts servers; `tell` hears of each, or why it is missing.
pub(crate) fn start(manner: &Manner, which: Which, mut tell: impl FnMut(&str, Result<&Member, String>)) -> Vec<Member> {
    let wanted = |backend: &str, weight| match which {
        Which::Light => weight == Weight::Light,
        Which::All => true,
        Which::Only(backends) => backends.contains(&backend),
    };
    let mut members = Vec::new();
    for (backend, _, start) in STARTERS.iter().copied().filter(|(backend, weight, _)| wanted(backend, *weight)) {
        if let Some(missing) = servers::missing(backend) {
            tell(backend, Err(missing));
            continue;
        }
        let member = start(manner);
        tell(backend, Ok(&member));
        members.push(member);
    }
    members
}

/// The backends whose servers start in seconds.
pub(crate) fn light() -> impl Iterator<Item = &'static str> {
    STARTERS.iter().filter(|(_, weight, _)| *weight == Light).map(|(backend, ..)| *backend)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Light,
    Heavy,
}
use Weight::{Heavy, Light};

type Starter = fn(&Manner) -> Member;

const STARTERS: &[(&str, Weight, Starter)] = &[
    ("cassandra", Heavy, sensor_data),
    ("clickhouse", Light, analytics),
    ("consul", Heavy, services),
    ("elasticsearch", Heavy, catalog_search),
    ("http", Light, website),
    ("kafka", Heavy, orders_log),
    ("memcached", Light, sessions),
    ("mongodb", Heavy, carts),
    ("mqtt", Light, sensors),
    ("mysql", Light, shop),
    ("nats", Light, events),
    ("neo4j", Heavy, relations),
    ("opensearch", Heavy, log_search),
    ("oracle", Heavy, billing),
    ("postgres", Light, orders),
    ("rabbitmq", Light, mails),
    ("redis", Light, cache),
    ("sqlserver", Heavy, ledger),
];

fn sensor_data(manner: &Manner) -> Member {
    use servers::cassandra::{CANARY, Cassandra, READER};
    let server = Cassandra::builder().users().tls(&Ca::shared().issue(&Leaf::server()), true, false).start();
    let (Manner { password, tls }, address) = (manner, server.addr());
    let entry = format!(
        "[dependencies.sensor-data]\nbackend = \"cassandra\"\nurl = \"cassandra://{READER}@{address}\"\n\
         {password}{tls}canary = \"{CANARY}\"\n"
    );
    Member { backend: "cassandra", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn analytics(manner: &Manner) -> Member {
    let server = servers::clickhouse::Clickhouse::start();
    let url = manner.pick(format!("http://{USER}@{}", server.addr()), format!("https://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.analytics]\nbackend = \"clickhouse\"\nurl = \"{url}\"\n{password}{tls}criticality = \"informational\"\n"
    );
    Member { backend: "clickhouse", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn services(manner: &Manner) -> Member {
    let server = servers::consul::Consul::start();
    let url = manner.pick(format!("http://{}", server.addr()), format!("https://{}", server.tls_addr()));
    let entry = format!("[dependencies.services]\nbackend = \"consul\"\nurl = \"{url}\"\n{}", manner.tls);
    Member { backend: "consul", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn catalog_search(manner: &Manner) -> Member {
    search::<servers::search::Elasticsearch>("catalog-search", manner)
}

fn log_search(manner: &Manner) -> Member {
    search::<servers::search::Opensearch>("log-search", manner)
}

/// Without the plugin that would do TLS, which is done in front of it.
fn search<P: servers::search::Product>(name: &str, manner: &Manner) -> Member {
    let server = servers::search::Node::<P>::start();
    let pid = server.process().pid();
    let front = TlsFront::start(server.addr(), &Ca::shared().issue(&Leaf::server()));
    let url = manner.pick(format!("http://{}", server.addr()), format!("https://{}", front.addr()));
    let entry = format!("[dependencies.{name}]\nbackend = \"{}\"\nurl = \"{url}\"\n{}", P::KIND, manner.tls);
    Member { backend: P::KIND, entry, pid, _server: Box::new((server, front)) }
}

fn carts(manner: &Manner) -> Member {
    let builder = servers::mongodb::MongoDb::builder().auth();
    let server = manner.pick(builder, servers::mongodb::MongoDb::builder().auth().tls()).start();
    let Manner { password, tls } = manner;
    // SecantusDB says that it takes no further connection, and takes them.
    let expect = "degraded = { connections = 1.0 }\n";
    let address = server.addr();
    let entry =
        format!("[dependencies.carts]\nbackend = \"mongodb\"\nurl = \"mongodb://{USER}@{address}\"\n{password}{tls}{expect}");
    Member { backend: "mongodb", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn website(manner: &Manner) -> Member {
    let server = servers::nginx::Nginx::start();
    let url = manner.pick(format!("http://{}/health", server.http()), format!("https://{}/health", server.https()));
    let entry = format!(
        "[dependencies.website]\nbackend = \"http\"\nurl = \"{url}\"\n{}expect = {{ json = {{ \"/status\" = \"UP\" }} }}\n",
        manner.tls
    );
    Member { backend: "http", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn sessions(manner: &Manner) -> Member {
    let builder = servers::memcached::Memcached::builder();
    let server = manner.pick(builder, servers::memcached::Memcached::builder().tls()).start();
    let scheme = manner.pick("memcached", "memcached+tls");
    let entry =
        format!("[dependencies.sessions]\nbackend = \"memcached\"\nurl = \"{scheme}://{}\"\n{}", server.addr(), manner.tls);
    Member { backend: "memcached", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn sensors(manner: &Manner) -> Member {
    let server = servers::mosquitto::Mosquitto::builder().login().tls().start();
    let url = manner.pick(format!("mqtt://{USER}@{}", server.addr()), format!("mqtts://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!("[dependencies.sensors]\nbackend = \"mqtt\"\nurl = \"{url}\"\n{password}{tls}");
    Member { backend: "mqtt", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn shop(manner: &Manner) -> Member {
    let server = servers::mysql::Mysql::start();
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.shop-db]\nbackend = \"mysql\"\nurl = \"mysql://{USER}@{}/{}\"\n{password}{tls}expect = {{ role = \"source\" }}\n",
        server.addr(),
        servers::mysql::DATABASE
    );
    Member { backend: "mysql", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn events(manner: &Manner) -> Member {
    let builder = servers::nats::Nats::builder().jetstream();
    let server = manner.pick(builder, servers::nats::Nats::builder().jetstream().tls()).start();
    let entry = format!(
        "[dependencies.events]\nbackend = \"nats\"\nurl = \"{}://{}\"\n{}monitor = \"http://{}\"\nexpect = {{ jetstream = true }}\n",
        manner.pick("nats", "tls"),
        server.addr(),
        manner.tls,
        server.monitor()
    );
    Member { backend: "nats", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn orders_log(manner: &Manner) -> Member {
    use servers::kafka::{CANARY, Kafka, Right};
    let server = Kafka::start().with_canary();
    server.client().allow(USER, &[Right::Look, Right::Write(CANARY), Right::Read(CANARY)]);
    let Manner { password, tls } = manner;
    let (scheme, address) = (manner.pick("kafka", "kafka+ssl"), server.at(manner.pick("SASL", "SASLTLS")));
    let entry = format!(
        "[dependencies.orders-log]\nbackend = \"kafka\"\nurl = \"{scheme}://{USER}@{address}\"\n{password}{tls}\
         topics = [\"{CANARY}\"]\n"
    );
    Member { backend: "kafka", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn relations(manner: &Manner) -> Member {
    let server = servers::neo4j::Neo4j::builder().tls(&Ca::shared().issue(&Leaf::server()), "OPTIONAL", "NONE").start();
    let Manner { password, tls } = manner;
    let (scheme, user, address) = (manner.pick("bolt", "bolt+s"), servers::neo4j::ADMIN, server.addr());
    let entry = format!("[dependencies.relations]\nbackend = \"neo4j\"\nurl = \"{scheme}://{user}@{address}\"\n{password}{tls}");
    Member { backend: "neo4j", entry, pid: server.process().pid(), _server: Box::new(server) }
}

/// A stand-in.
fn billing(manner: &Manner) -> Member {
    use servers::oracle::{Oracle, SERVICE};
    let server = manner.pick(Oracle::builder(), Oracle::builder().tls()).start();
    let Manner { password, tls } = manner;
    let (scheme, address) = (manner.pick("oracle", "tcps"), server.addr());
    let entry =
        format!("[dependencies.billing]\nbackend = \"oracle\"\nurl = \"{scheme}://{USER}@{address}/{SERVICE}\"\n{password}{tls}");
    Member { backend: "oracle", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn orders(manner: &Manner) -> Member {
    let server = servers::postgres::Postgres::start();
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.orders-db]\nbackend = \"postgres\"\nurl = \"postgres://{USER}@{}/{}\"\n{password}{tls}\
         criticality = \"required\"\nshared = false\nexpect = {{ role = \"primary\" }}\n",
        server.addr(),
        servers::postgres::DATABASE
    );
    Member { backend: "postgres", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn mails(manner: &Manner) -> Member {
    let server = servers::rabbitmq::Rabbitmq::start();
    let url = manner.pick(format!("amqp://{USER}@{}", server.addr()), format!("amqps://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!("[dependencies.mails]\nbackend = \"rabbitmq\"\nurl = \"{url}\"\n{password}{tls}");
    Member { backend: "rabbitmq", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn cache(manner: &Manner) -> Member {
    let server = servers::redis::Redis::builder().password().tls().start();
    let url = manner.pick(format!("redis://{}", server.addr()), format!("rediss://{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry =
        format!("[dependencies.cache]\nbackend = \"redis\"\nurl = \"{url}\"\n{password}{tls}expect = {{ writable = true }}\n");
    Member { backend: "redis", entry, pid: server.process().pid(), _server: Box::new(server) }
}

/// Not Microsoft's, and never without TLS.
fn ledger(manner: &Manner) -> Member {
    let server = servers::sqlserver::Bridge::start();
    let Manner { password, tls } = manner.clone().over_tls();
    let entry = format!(
        "[dependencies.ledger]\nbackend = \"sqlserver\"\nurl = \"sqlserver://{USER}@{}?database=master\"\n{password}{tls}",
        server.addr()
    );
    Member { backend: "sqlserver", entry, pid: server.process().pid(), _server: Box::new(server) }
}
