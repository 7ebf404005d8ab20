//! A record by librdkafka, the client library of most who are not written in Java: what the round trip writes.
//!
//! A producer lives for one record. librdkafka dials for itself and has threads of its own: one, one for each broker
//! that it hears of, and one of the wrapper's. All of them are gone when it is dropped, which takes a moment, and so is
//! done on another thread; what follows waits for it, so that there is never a second one. It reads nothing: its consumer
//! asks for the coordinator of a group even where partitions are assigned by hand, and for that the broker makes a topic.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
};
use tokio::{sync::oneshot, time::timeout};

use super::{CLIENT, login::Login};
use crate::{
    failure::{Failure, FailureKind},
    tls::TlsConfig,
};

/// The library takes no shorter one, in milliseconds.
const SHORTEST_CONNECTING: u128 = 1000;

/// Where and as whom.
pub(crate) struct Way<'a> {
    pub(crate) broker: String,
    pub(crate) tls: Option<&'a TlsConfig>,
    pub(crate) login: Option<&'a Login>,
    pub(crate) limit: Duration,
}

/// Has a record written that every replica in sync has, and says where it is.
pub(crate) async fn produce(way: &Way<'_>, topic: &str, partition: i32, words: &str) -> Result<i64, Failure> {
    let witness = Witness::default();
    let producer = way.config().create_with_context::<_, FutureProducer<Witness>>(witness.clone());
    let producer = producer.map_err(|error| witness.failure(&error))?;
    let record = FutureRecord::<str, str>::to(topic).partition(partition).key(CLIENT).payload(words);
    let sent = producer.send_result(record).map_err(|(error, _)| witness.failure(&error));
    let producer = Leaving(Some(producer));
    let sent = sent?;
    // The library looks once a second whether time is over.
    match timeout(way.limit, sent).await {
        Ok(Ok(Ok(delivery))) => {
            producer.gone().await;
            Ok(delivery.offset)
        }
        Ok(Ok(Err((error, _)))) => Err(witness.failure(&error)),
        Ok(Err(_)) => Err(witness.failure(&KafkaError::Canceled)),
        Err(_) => Err(witness.failure(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut))),
    }
}

impl Way<'_> {
    fn config(&self) -> ClientConfig {
        let millis = self.limit.as_millis().max(1);
        let connecting = millis.max(SHORTEST_CONNECTING);
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.broker)
            .set("client.id", CLIENT)
            .set("acks", "all")
            // For a producer this is on, unless it is said.
            .set("allow.auto.create.topics", "false")
            .set("enable.idempotence", "false")
            .set("message.send.max.retries", "0")
            .set("message.timeout.ms", millis.to_string())
            .set("request.timeout.ms", millis.to_string())
            .set("socket.connection.setup.timeout.ms", connecting.to_string())
            .set("linger.ms", "0")
            // What is kept in memory: one record, and answers as short as ours.
            .set("queue.buffering.max.messages", "1")
            .set("queue.buffering.max.kbytes", "64")
            .set("receive.message.max.bytes", super::LONGEST.to_string())
            .set(
                "security.protocol",
                match (self.tls, self.login) {
                    (None, None) => "plaintext",
                    (Some(_), None) => "ssl",
                    (None, Some(_)) => "sasl_plaintext",
                    (Some(_), Some(_)) => "sasl_ssl",
                },
            );
        config.set_log_level(RDKafkaLogLevel::Info);
        if let Some(login) = self.login {
            config.set("sasl.mechanism", login.mechanism.as_str());
            config.set("sasl.username", &login.user).set("sasl.password", login.password.as_str());
        }
        if let Some(tls) = self.tls {
            // Without a file it looks where systems keep theirs.
            config.set("ssl.ca.location", tls.ca.as_ref().map_or_else(|| "probe".into(), |ca| ca.to_string_lossy()));
            for (key, file) in [("ssl.certificate.location", &tls.cert), ("ssl.key.location", &tls.key)] {
                if let Some(file) = file {
                    config.set(key, file.to_string_lossy());
                }
            }
            config.set("enable.ssl.certificate.verification", (!tls.insecure).to_string());
        }
        config
    }
}

/// What the library says aside: the last thing that went wrong, before it gives up on "all brokers".
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

impl ClientContext for Witness {
    /// A connection that the broker has closed is told to nobody else.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, words: &str) {
        if facility == "FAIL" {
            self.note(RDKafkaErrorCode::BrokerTransportFailure, words);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code().filter(|code| *code != RDKafkaErrorCode::AllBrokersDown) {
            self.note(code, reason);
        }
    }
}

impl Witness {
    /// What has a cause of its own is not replaced by the loss of the connection that comes of it.
    fn note(&self, code: RDKafkaErrorCode, words: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_consequence = code == RDKafkaErrorCode::BrokerTransportFailure;
        if !is_consequence || told.as_ref().is_none_or(|(known, _)| *known == code) {
            *told = Some((code, words.to_owned()));
        }
    }

    /// The broker's own code; else what went wrong before the library gave up.
    fn failure(&self, error: &KafkaError) -> Failure {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let code = error.rdkafka_error_code();
        // Negative ones are the library's own, but for the broker's `UNKNOWN_SERVER_ERROR`.
        if let Some(code) = code.filter(|code| *code as i32 >= RDKafkaErrorCode::Unknown as i32) {
            return Failure::server((code as i32).to_string(), error.to_string());
        }
        let (code, words) = told.or_else(|| Some((code?, error.to_string()))).unzip();
        let kind = match code {
            Some(RDKafkaErrorCode::Resolve) => FailureKind::Dns,
            Some(RDKafkaErrorCode::SSL) => FailureKind::Tls,
            Some(RDKafkaErrorCode::Authentication) => FailureKind::Auth,
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => FailureKind::ConnectionLost,
            Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::TimedOutQueue) => {
                FailureKind::Timeout
            }
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::ISRInsufficient) => {
                FailureKind::Query
            }
            Some(
                RDKafkaErrorCode::BadMessage
                | RDKafkaErrorCode::BadCompression
                | RDKafkaErrorCode::UnknownProtocol
                | RDKafkaErrorCode::NotImplemented
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::Underflow
                | RDKafkaErrorCode::Inconsistent,
            ) => FailureKind::Protocol,
            _ => FailureKind::Unexpected,
        };
        let failure = Failure::new(kind, "the client library could not write the record");
        let failure = code.into_iter().fold(failure, |failure, code| failure.with_code(format!("librdkafka {}", code as i32)));
        failure.with_words(words.unwrap_or_else(|| error.to_string()))
    }
}

/// A producer that ends on a thread of its own: its end waits for its threads.
struct Leaving(Option<FutureProducer<Witness>>);

impl Leaving {
    /// Ends it and waits until it has.
    async fn gone(mut self) {
        let (left, gone) = oneshot::channel::<()>();
        self.leave(left);
        // It says nothing: the channel closes with the thread.
        let _ = gone.await;
    }

    fn leave<T: Send + 'static>(&mut self, then: T) {
        if let Some(producer) = self.0.take() {
            // Where no thread can be had it ends here.
            drop(thread::Builder::new().name("kafka-leaving".into()).spawn(move || {
                drop(producer);
                drop(then);
            }));
        }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.leave(());
    }
}
