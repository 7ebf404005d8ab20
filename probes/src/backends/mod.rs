//! The table of backends: two lines each. Kinds left out of a build stay in it.

use crate::registry::Registration;

#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(feature = "clickhouse")]
pub mod clickhouse;
#[cfg(feature = "consul")]
pub mod consul;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "memcached")]
pub mod memcached;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "neo4j")]
pub mod neo4j;
#[cfg(feature = "opensearch")]
pub mod opensearch;
#[cfg(feature = "oracle")]
pub mod oracle;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlserver")]
pub mod sqlserver;

/// One row: the backend where its feature is on, its name alone where it is not.
macro_rules! row {
    ($feature:literal, $backend:path) => {{
        #[cfg(feature = $feature)]
        let row = Registration::of::<$backend>();
        #[cfg(not(feature = $feature))]
        let row = Registration::absent($feature);
        row
    }};
}

pub(crate) const TABLE: &[Registration] = &[
    row!("cassandra", cassandra::Cassandra),
    row!("clickhouse", clickhouse::Clickhouse),
    row!("consul", consul::Consul),
    row!("elasticsearch", elasticsearch::Elasticsearch),
    row!("http", http::Http),
    row!("kafka", kafka::Kafka),
    row!("memcached", memcached::Memcached),
    row!("mongodb", mongodb::MongoDb),
    row!("mqtt", mqtt::Mqtt),
    row!("mysql", mysql::Mysql),
    row!("nats", nats::Nats),
    row!("neo4j", neo4j::Neo4j),
    row!("opensearch", opensearch::Opensearch),
    row!("oracle", oracle::Oracle),
    row!("postgres", postgres::Postgres),
    row!("rabbitmq", rabbitmq::Rabbitmq),
    row!("redis", redis::Redis),
    row!("sqlserver", sqlserver::SqlServer),
];
