//! Real servers, well and sick: started here, on free ports, in private folders.

pub(crate) mod acceptance;
mod cassandra;
mod clickhouse;
mod consul;
mod elasticsearch;
mod faults;
mod given;
mod hosts;
mod http;
mod kafka;
mod memcached;
mod mongodb;
mod mqtt;
mod mysql;
mod nats;
mod neo4j;
mod opensearch;
mod oracle;
mod postgres;
mod proxied;
mod rabbitmq;
mod redis;
mod search;
mod sessions;
mod sockets;
mod sqlserver;
mod tls;
pub(crate) mod truth;

use crate::support::truth::State;

/// Every backend, in the order of the alphabet.
pub(crate) const BACKENDS: [&str; 18] = [
    "cassandra",
    "clickhouse",
    "consul",
    "elasticsearch",
    "http",
    "kafka",
    "memcached",
    "mongodb",
    "mqtt",
    "mysql",
    "nats",
    "neo4j",
    "opensearch",
    "oracle",
    "postgres",
    "rabbitmq",
    "redis",
    "sqlserver",
];

/// Every state that is made and decided here: the rows of the truth table.
pub(crate) fn states() -> Vec<State> {
    [
        cassandra::STATES,
        clickhouse::STATES,
        consul::STATES,
        elasticsearch::STATES,
        http::STATES,
        kafka::STATES,
        memcached::STATES,
        mongodb::STATES,
        mqtt::STATES,
        mysql::STATES,
        nats::STATES,
        neo4j::STATES,
        opensearch::STATES,
        oracle::STATES,
        postgres::STATES,
        rabbitmq::STATES,
        redis::STATES,
        sqlserver::STATES,
    ]
    .concat()
    .into_iter()
    .flatten()
    .copied()
    .chain(faults::states())
    .chain(proxied::states())
    .chain(sessions::states())
    .chain(hosts::states())
    .chain(sockets::states())
    .chain(tls::states())
    .collect()
}

#[test]
fn every_backend_is_tested_live() {
    let kinds: Vec<_> = probity_probes::registry().iter().map(|row| row.kind).collect();
    assert_eq!(kinds, BACKENDS);
}

#[test]
fn every_state_is_told_once() {
    let mut told: Vec<_> = states().iter().map(|state| (state.backend, state.state)).collect();
    told.sort_unstable();
    let twice = told.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "the state has two rows");
}
