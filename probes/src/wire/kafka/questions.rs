//! What a broker is asked, and what of its answers is looked at.
//!
//! No topic is ever asked for in a way that makes one: `Metadata` says so from version 4 on, and nobody looks for the
//! coordinator of a group.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        BrokerId, DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest, FetchRequest,
        MetadataRequest, MetadataResponse, TopicName,
        describe_configs_request::DescribeConfigsResource,
        describe_quorum_request::{PartitionData, TopicData},
        fetch_request::{FetchPartition, FetchTopic},
        metadata_request::MetadataRequestTopic,
        metadata_response::MetadataResponsePartition,
    },
    protocol::StrBytes,
};

use super::{Conversation, known, lie};
use crate::{address::Endpoint, failure::Failure};

/// The log of the controllers, which has one partition.
const CONTROLLERS: &str = "__cluster_metadata";

/// A kind of resource with a configuration.
const TOPIC: i8 = 2;

/// Brokers, not controllers, of a cluster.
const BROKERS: i8 = 1;

/// The leader is not there.
const LEADER_NOT_AVAILABLE: i16 = 5;

/// How much of a partition is read around a canary, in bytes.
const CANARY_READ: i32 = 64 * 1024;

/// Where the attributes of a batch of records are, and which of their bits are its compression (KIP-98).
const ATTRIBUTES: std::ops::Range<usize> = 21..23;
const COMPRESSION: u16 = 7;

/// A broker and the address that it tells to clients of this listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Broker {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp { host: self.host.clone(), port: self.port }
    }
}

/// The brokers that are there, as the broker that was asked believes.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    pub(crate) cluster_id: Option<String>,
    pub(crate) list: Vec<Broker>,
}

/// A partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: i32,
    /// None: nobody can write to it, nor read.
    pub(crate) leader: Option<i32>,
    pub(crate) replicas: usize,
    pub(crate) in_sync: usize,
}

/// A topic that was asked for.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// Its partitions, or why it has none to show.
    pub(crate) partitions: Result<Vec<Partition>, Failure>,
}

/// A folder in which a broker keeps partitions.
#[derive(Debug)]
pub(crate) struct LogDir {
    pub(crate) failed: bool,
    /// Older brokers do not say, and one that failed cannot.
    pub(crate) total_bytes: Option<u64>,
    pub(crate) usable_bytes: Option<u64>,
}

/// What the leader of the controllers says of itself and of those who follow.
#[derive(Debug)]
pub(crate) struct Quorum {
    pub(crate) leader: Option<i32>,
    pub(crate) voters: usize,
    /// How many records the last of the voters is behind.
    pub(crate) lag: i64,
    /// How long ago the last of the voters has asked for more. It need not be one that is far behind.
    pub(crate) silence: Duration,
}

/// What came back from a partition.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// A batch of records as it is kept.
    Batch(Bytes),
    Compressed,
    Nothing,
}

impl Conversation {
    /// No topic at all, which is an empty list: from version 1 on, none means none.
    pub(crate) async fn brokers(&mut self) -> Result<Brokers, Failure> {
        let answer = self.metadata(Vec::new()).await?;
        let broker = |broker: &kafka_protocol::messages::metadata_response::MetadataResponseBroker| Broker {
            id: broker.node_id.0,
            host: broker.host.to_string(),
            port: u16::try_from(broker.port).unwrap_or(0),
        };
        let mut list: Vec<_> = answer.brokers.iter().map(broker).collect();
        list.sort();
        Ok(Brokers { cluster_id: answer.cluster_id.map(|id| id.to_string()), list })
    }

    /// Topics by their names; what may not be seen is refused one by one.
    pub(crate) async fn topics(&mut self, names: &[String]) -> Result<Vec<Topic>, Failure> {
        let name = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let answer = self.metadata(names.iter().map(name).collect()).await?;
        let topics = answer.topics.into_iter().map(|topic| {
            let name = topic.name.map(|name| name.to_string()).unwrap_or_default();
            let partitions = topic.partitions.iter().map(|partition| Partition::read(&name, partition)).collect();
            let partitions = match topic.error_code {
                LEADER_NOT_AVAILABLE => Ok(partitions),
                code => known(code, None).map(|()| partitions),
            };
            Topic { name, partitions }
        });
        Ok(topics.collect())
    }

    async fn metadata(&mut self, topics: Vec<MetadataRequestTopic>) -> Result<MetadataResponse, Failure> {
        let question = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false);
        let answer = self.ask(&question, 9).await?;
        known(answer.error_code, None)?;
        Ok(answer)
    }

    /// Brokers that the controller has shut out. Older brokers do not tell.
    pub(crate) async fn fenced(&mut self) -> Result<Vec<i32>, Failure> {
        let question = DescribeClusterRequest::default().with_endpoint_type(BROKERS).with_include_fenced_brokers(true);
        let answer = self.ask(&question, 2).await?;
        known(answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.brokers.iter().filter(|broker| broker.is_fenced).map(|broker| broker.broker_id.0).collect())
    }

    /// The `min.insync.replicas` of topics.
    pub(crate) async fn min_in_sync(&mut self, names: &[String]) -> Result<BTreeMap<String, usize>, Failure> {
        let of = |name: &String| {
            DescribeConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(name.clone().into())
                .with_configuration_keys(Some(vec![StrBytes::from_static_str("min.insync.replicas")]))
        };
        let question = DescribeConfigsRequest::default().with_resources(names.iter().map(of).collect());
        let answer = self.ask(&question, 4).await?;
        let mut least = BTreeMap::new();
        for of in answer.results {
            known(of.error_code, of.error_message.as_ref())?;
            let value = of.configs.first().and_then(|config| config.value.as_ref()?.parse().ok());
            least.extend(value.map(|value| (of.resource_name.to_string(), value)));
        }
        Ok(least)
    }

    /// The folders of this broker, without what is in them.
    pub(crate) async fn log_dirs(&mut self) -> Result<Vec<LogDir>, Failure> {
        let answer = self.ask(&DescribeLogDirsRequest::default().with_topics(Some(Vec::new())), 3).await?;
        known(answer.error_code, None)?;
        let dir = |dir: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| LogDir {
            failed: dir.error_code != 0,
            total_bytes: u64::try_from(dir.total_bytes).ok(),
            usable_bytes: u64::try_from(dir.usable_bytes).ok(),
        };
        Ok(answer.results.iter().map(dir).collect())
    }

    /// The broker hands this question on to the leader of the controllers. Where there is none it never answers.
    pub(crate) async fn quorum(&mut self) -> Result<Quorum, Failure> {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default().with_topic_name(topic_name(CONTROLLERS)).with_partitions(vec![partition]);
        let answer = self.ask(&DescribeQuorumRequest::default().with_topics(vec![topic]), 1).await?;
        known(answer.error_code, answer.error_message.as_ref())?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        let partition = partition.ok_or_else(|| lie("the answer to DescribeQuorum says nothing of the quorum"))?;
        known(partition.error_code, partition.error_message.as_ref())?;
        let voters = &partition.current_voters;
        // Of the leader it is its own time, so that no clock of ours is needed.
        let now = voters.iter().map(|voter| voter.last_fetch_timestamp).max().unwrap_or_default();
        let end = voters.iter().map(|voter| voter.log_end_offset).max().unwrap_or_default();
        let lag = |of: &i64| end - (*of).max(0);
        let asked = voters.iter().map(|voter| voter.last_fetch_timestamp).filter(|time| *time > 0).min().unwrap_or(now);
        Ok(Quorum {
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            voters: voters.len(),
            lag: voters.iter().map(|voter| lag(&voter.log_end_offset)).max().unwrap_or_default(),
            silence: Duration::from_millis(u64::try_from(now - asked).unwrap_or_default()),
        })
    }

    /// The batch of records at an offset, of the leader of a partition.
    pub(crate) async fn fetch(&mut self, topic: &str, partition: i32, offset: i64, limit: Duration) -> Result<Fetched, Failure> {
        let partition =
            FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(CANARY_READ);
        let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
        let question = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(limit.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(CANARY_READ)
            .with_topics(vec![topic]);
        // The last version that calls topics by their names.
        let answer = self.ask_in(&question, 12).await?;
        known(answer.error_code, None)?;
        let Some(partition) = answer.responses.into_iter().flat_map(|topic| topic.partitions).next() else {
            return Ok(Fetched::Nothing);
        };
        known(partition.error_code, None)?;
        let batch = partition.records.filter(|batch| !batch.is_empty());
        let attributes = batch.as_ref().and_then(|batch| batch.get(ATTRIBUTES)?.try_into().ok()).map(u16::from_be_bytes);
        Ok(match (batch, attributes) {
            (_, Some(attributes)) if attributes & COMPRESSION != 0 => Fetched::Compressed,
            (Some(batch), Some(_)) => Fetched::Batch(batch),
            _ => Fetched::Nothing,
        })
    }
}

impl Partition {
    fn read(topic: &str, partition: &MetadataResponsePartition) -> Self {
        Self {
            topic: topic.to_owned(),
            number: partition.partition_index,
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0 && partition.error_code != LEADER_NOT_AVAILABLE),
            replicas: partition.replica_nodes.len(),
            in_sync: partition.isr_nodes.len(),
        }
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(name.to_owned().into())
}
