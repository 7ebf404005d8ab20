//! Whom the ring plays: for each conversation its name, the catalog entry, and the real server it is recorded from.

use std::any::Any;
use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::grammar::Grammar;
use crate::support::servers::cassandra::{self, READER};
use crate::support::servers::memcached::Memcached;
use crate::support::servers::mongodb::{self, MongoDb};
use crate::support::servers::neo4j::{self, ADMIN};
use crate::support::servers::nginx::Nginx;
use crate::support::servers::oracle::{self, Oracle, SERVICE};
use crate::support::servers::redis::Redis;
use crate::support::servers::search::{Elasticsearch, Node, Opensearch, Product};
use crate::support::servers::sqlserver::standin::StandIn;
use crate::support::servers::{PASSWORD, USER, clickhouse, consul, kafka, mosquitto, mysql, nats, postgres, rabbitmq};

/// One conversation.
pub(super) struct Subject {
    /// Of its file.
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) grammar: Grammar,
    /// Its catalog entry at an address, without the backend's word.
    pub(super) entry: fn(SocketAddr) -> Json,
    /// A server to record it from, which ends with the value.
    server: fn() -> Served,
}

/// A server's address, and what keeps it alive.
type Served = (SocketAddr, Box<dyn Any>);

impl Subject {
    pub(super) fn server(&self) -> Served {
        (self.server)()
    }

    /// Whether it is a log-in by SCRAM, which ends where the client sees that the server answers another one.
    pub(super) fn is_login(&self) -> bool {
        self.name.ends_with("-login")
    }
}

const fn subject(
    name: &'static str,
    kind: &'static str,
    grammar: Grammar,
    entry: fn(SocketAddr) -> Json,
    server: fn() -> Served,
) -> Subject {
    Subject { name, kind, grammar, entry, server }
}

/// Each backend with the question that it puts by itself, and where it has one with a question of one's own.
pub(super) static SUBJECTS: &[Subject] = &[
    subject(
        "cassandra",
        "cassandra",
        Grammar::Cql,
        |addr| cql(addr, "SELECT cluster_name, tokens, rpc_address, schema_version FROM system.local"),
        || kept(cassandra::shared().addr(), ()),
    ),
    subject(
        "clickhouse",
        "clickhouse",
        Grammar::Http,
        |addr| json!({ "url": format!("http://{USER}@{addr}"), "password": PASSWORD }),
        || kept(clickhouse::shared().addr(), ()),
    ),
    subject(
        "consul",
        "consul",
        Grammar::Http,
        |addr| json!({ "url": format!("http://{addr}"), "query": "app/mode" }),
        consul_with_key,
    ),
    subject(
        "elasticsearch",
        "elasticsearch",
        Grammar::Http,
        |addr| json!({ "url": format!("http://{addr}") }),
        || kept(Elasticsearch::shared().addr(), ()),
    ),
    subject("elasticsearch-query", "elasticsearch", Grammar::Http, counted, search::<Elasticsearch>),
    subject(
        "http",
        "http",
        Grammar::Http,
        |addr| json!({ "url": format!("http://{addr}/state"), "query": "/queue/0/state" }),
        page,
    ),
    subject(
        "kafka",
        "kafka",
        Grammar::Kafka,
        |addr| json!({ "url": format!("kafka://{addr}") }),
        || kept(kafka::shared().addr(), ()),
    ),
    subject("memcached", "memcached", Grammar::Lines, |addr| json!({ "url": format!("memcached://{addr}") }), cache),
    subject(
        "memcached-query",
        "memcached",
        Grammar::Lines,
        |addr| json!({ "url": format!("memcached://{addr}"), "query": "switch" }),
        cache,
    ),
    subject(
        "mongodb",
        "mongodb",
        Grammar::Mongodb,
        |addr| json!({ "url": format!("mongodb://{addr}/app"), "query": "orders" }),
        open_mongodb,
    ),
    subject(
        "mongodb-login",
        "mongodb",
        Grammar::Mongodb,
        |addr| json!({ "url": format!("mongodb://{USER}@{addr}/"), "password": PASSWORD }),
        || kept(mongodb::shared().addr(), ()),
    ),
    subject(
        "mqtt",
        "mqtt",
        Grammar::Mqtt,
        |addr| json!({ "url": format!("mqtt://{addr}"), "username": USER, "password": PASSWORD }),
        || kept(mosquitto::shared().addr(), ()),
    ),
    subject("mysql", "mysql", Grammar::Mysql, |addr| sql("mysql", addr, None), || kept(mysql::shared().addr(), ())),
    subject(
        "mysql-query",
        "mysql",
        Grammar::Mysql,
        |addr| sql("mysql", addr, Some("SELECT 17 AS a, 'open' AS b, 1.5 AS c, NULL AS d, DATE'2026-01-01' AS e")),
        || kept(mysql::shared().addr(), ()),
    ),
    subject(
        "nats",
        "nats",
        Grammar::Nats,
        |addr| json!({ "url": format!("nats://{addr}"), "username": USER, "password": PASSWORD }),
        || kept(nats::shared().addr(), ()),
    ),
    subject(
        "neo4j",
        "neo4j",
        Grammar::Bolt,
        |addr| bolt(addr, "RETURN 1.5 AS a, [1, [2, 'x']] AS b, { c: 'y' } AS c"),
        || kept(neo4j::shared().addr(), ()),
    ),
    subject(
        "opensearch",
        "opensearch",
        Grammar::Http,
        |addr| json!({ "url": format!("http://{addr}") }),
        || kept(Opensearch::shared().addr(), ()),
    ),
    subject("opensearch-query", "opensearch", Grammar::Http, counted, search::<Opensearch>),
    subject("oracle", "oracle", Grammar::Tns, |addr| tns(addr, None), || kept(oracle::shared().addr(), ())),
    subject("oracle-query", "oracle", Grammar::Tns, |addr| tns(addr, Some("SELECT id, state FROM jobs")), rows),
    subject(
        "postgres",
        "postgres",
        Grammar::Postgres,
        |addr| sql("postgres", addr, None),
        || kept(postgres::shared().addr(), ()),
    ),
    subject(
        "postgres-login",
        "postgres",
        Grammar::Postgres,
        |addr| sql("postgres", addr, None),
        || kept(postgres::shared().addr(), ()),
    ),
    subject(
        "postgres-query",
        "postgres",
        Grammar::Postgres,
        |addr| sql("postgres", addr, Some("SELECT 17, 'open', 1.5, NULL, DATE '2026-01-01', ARRAY[1, 2]")),
        || kept(postgres::shared().addr(), ()),
    ),
    subject(
        "rabbitmq",
        "rabbitmq",
        Grammar::Amqp,
        |addr| json!({ "url": format!("amqp://{addr}"), "username": USER, "password": PASSWORD }),
        || kept(rabbitmq::shared().addr(), ()),
    ),
    subject(
        "redis",
        "redis",
        Grammar::Resp,
        |addr| json!({ "url": format!("redis://{addr}"), "query": "orders" }),
        redis_with_key,
    ),
    subject(
        "sqlserver",
        "sqlserver",
        Grammar::Tds,
        |addr| json!({ "url": format!("sqlserver://{addr}?database=orders&encrypt=disable"), "username": USER, "password": PASSWORD }),
        stand_in,
    ),
];

fn kept(addr: SocketAddr, server: impl Any) -> Served {
    (addr, Box::new(server))
}

fn cql(addr: SocketAddr, query: &str) -> Json {
    let url = format!("cassandra://{addr}");
    json!({ "url": url, "username": READER, "password": PASSWORD, "canary": cassandra::CANARY, "query": query })
}

fn bolt(addr: SocketAddr, query: &str) -> Json {
    json!({ "url": format!("bolt://{addr}"), "username": ADMIN, "password": PASSWORD, "query": query })
}

fn sql(scheme: &str, addr: SocketAddr, query: Option<&str>) -> Json {
    let database = if scheme == "mysql" { mysql::DATABASE } else { postgres::DATABASE };
    asking(json!({ "url": format!("{scheme}://{USER}@{addr}/{database}"), "password": PASSWORD }), query)
}

fn tns(addr: SocketAddr, query: Option<&str>) -> Json {
    asking(json!({ "url": format!("oracle://{addr}/{SERVICE}"), "username": USER, "password": PASSWORD }), query)
}

fn asking(mut entry: Json, query: Option<&str>) -> Json {
    if let Some(query) = query {
        entry["query"] = query.into();
        entry["expect"] = json!({ "value": 17 });
    }
    entry
}

fn counted(addr: SocketAddr) -> Json {
    json!({ "url": format!("http://{addr}"), "query": "orders", "indices": ["orders"], "expect": { "value": 1 } })
}

fn search<P: Product>() -> Served {
    let node = Node::<P>::start();
    node.index("orders", &json!({ "index.number_of_replicas": 0 }));
    node.put("/orders/_doc/1?refresh=true", &json!({ "id": 1 }));
    kept(node.addr(), node)
}

fn consul_with_key() -> Served {
    let server = consul::Consul::start();
    server.put("/v1/kv/app/mode", &json!("open"));
    kept(server.addr(), server)
}

/// Lets everybody in: a log-in by SCRAM cannot be played again.
fn open_mongodb() -> Served {
    let server = MongoDb::start();
    kept(server.addr(), server)
}

fn redis_with_key() -> Served {
    let server = Redis::start();
    server.command(&["SET", "orders", "17"]);
    kept(server.addr(), server)
}

fn page() -> Served {
    let body = r#"{"queue":[{"state":"open","depth":17}],"ratio":0.5,"note":"\u00e4"}"#;
    let server = Nginx::builder().location("/state", &format!("default_type application/json; return 200 '{body}';")).start();
    kept(server.addr(), server)
}

fn cache() -> Served {
    let server = Memcached::start();
    let mut client = server.connect().expect("it answers");
    client.ask("set switch 0 0 4\r\nopen\r\n").expect("it answers");
    kept(server.addr(), server)
}

fn rows() -> Served {
    let rows: [&[Option<&str>]; 2] = [&[Some("17"), Some("open")], &[Some("18"), None]];
    let server = Oracle::builder().rows("FROM jobs", &["ID#", "STATE"], &rows).start();
    kept(server.addr(), server)
}

fn stand_in() -> Served {
    let server = StandIn::start();
    kept(server.addr(), server)
}
