//! Bytes between us and a peer: names, connections, TLS, limits, and the codecs of our own exchanges.

#[cfg(feature = "rabbitmq")]
pub(crate) mod amqp;
#[cfg(feature = "wire-http")]
pub mod api;
#[cfg(feature = "neo4j")]
pub(crate) mod bolt;
#[cfg(feature = "cassandra")]
pub(crate) mod cql;
pub mod dial;
pub mod guard;
#[cfg(feature = "wire-http")]
pub mod http;
#[cfg(feature = "wire-http")]
pub(crate) mod json;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "mysql", feature = "oracle", feature = "postgres"))]
pub mod labour;
mod loss;
#[cfg(feature = "memcached")]
pub(crate) mod memcached;
#[cfg(feature = "mongodb")]
pub(crate) mod mongodb;
#[cfg(feature = "mqtt")]
pub(crate) mod mqtt;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "nats")]
pub(crate) mod nats;
#[cfg(feature = "oracle")]
pub(crate) mod oracle;
#[cfg(feature = "neo4j")]
pub(crate) mod packstream;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(any(feature = "mongodb", feature = "mysql"))]
pub(crate) mod private;
#[cfg(feature = "rabbitmq")]
pub(crate) mod rabbitmq;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub mod resolve;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlserver"))]
pub(crate) mod row;
#[cfg(any(feature = "kafka", feature = "mongodb", feature = "postgres"))]
pub(crate) mod scram;
#[cfg(any(feature = "elasticsearch", feature = "opensearch"))]
pub mod search;
pub mod sniff;
pub mod stream;
#[cfg(feature = "sqlserver")]
pub(crate) mod tds;

/// A task that drives a connection and ends with its session.
#[derive(Debug)]
pub struct Background(tokio::task::JoinHandle<()>);

impl Background {
    /// Starts it on the runtime of the run.
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Waits until it has ended by itself.
    pub async fn finished(mut self) {
        // It was aborted or panicked: ended either way.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}
