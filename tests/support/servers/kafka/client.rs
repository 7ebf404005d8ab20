//! Who gives orders to a broker: topics, rights, settings; and a second opinion.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{
    BrokerId, CreateAclsRequest, CreateTopicsRequest, DescribeAclsRequest, DescribeClusterRequest, DescribeClusterResponse,
    DescribeLogDirsRequest, DescribeQuorumRequest, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, TopicName,
    describe_quorum_request::{PartitionData, TopicData},
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What a user is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right {
    /// To see the cluster and all topics, and their settings.
    Look,
    /// To see a topic.
    See(&'static str),
    Write(&'static str),
    Read(&'static str),
}

/// A connection to a plain listener.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Self(stream))
    }

    /// One question and its answer.
    pub(crate) fn ask<R: Request>(&mut self, question: &R, version: i16) -> io::Result<R::Response> {
        let header =
            RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version).with_correlation_id(7);
        let mut message = Vec::new();
        header.encode(&mut message, R::header_version(version)).map_err(io::Error::other)?;
        question.encode(&mut message, version).map_err(io::Error::other)?;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.0.write_all(&[&length.to_be_bytes(), &message[..]].concat())?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer)?;
        let mut answer = &answer[..];
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(io::Error::other)?;
        R::Response::decode(&mut answer, version).map_err(io::Error::other)
    }

    /// How many brokers it knows.
    pub(crate) fn brokers(&mut self) -> io::Result<usize> {
        let none = MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
        Ok(self.ask(&none, 9)?.brokers.len())
    }

    /// Every topic that it shows.
    pub(crate) fn all_topics(&mut self) -> MetadataResponse {
        let all = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        self.ask(&all, 9).expect("it answers")
    }

    /// The names of all topics.
    pub(crate) fn topic_names(&mut self) -> Vec<String> {
        let names = self.all_topics().topics.into_iter().filter_map(|topic| topic.name);
        let mut names: Vec<_> = names.map(|name| name.to_string()).collect();
        names.sort();
        names
    }

    pub(crate) fn cluster(&mut self) -> DescribeClusterResponse {
        self.ask(&DescribeClusterRequest::default().with_endpoint_type(1), 1).expect("it answers")
    }

    /// Asks what a probe asks.
    pub(crate) fn warm_up(&mut self) -> io::Result<()> {
        let topic = TopicData::default()
            .with_topic_name(topic_name("__cluster_metadata"))
            .with_partitions(vec![PartitionData::default().with_partition_index(0)]);
        self.ask(&DescribeQuorumRequest::default().with_topics(vec![topic]), 1)?;
        self.ask(&DescribeLogDirsRequest::default().with_topics(Some(Vec::new())), 4)?;
        self.ask(&DescribeClusterRequest::default().with_endpoint_type(1), 1)?;
        Ok(())
    }

    /// Makes a topic and waits until it has leaders.
    #[track_caller]
    pub(crate) fn create_topic(
        &mut self,
        name: &'static str,
        partitions: i32,
        replicas: i16,
        configs: &[(&'static str, &'static str)],
    ) {
        self.create(CreatableTopic::default().with_num_partitions(partitions).with_replication_factor(replicas), name, configs);
    }

    /// Makes a topic with one partition on these brokers.
    #[track_caller]
    pub(crate) fn create_topic_on(&mut self, name: &'static str, brokers: &[i32], configs: &[(&'static str, &'static str)]) {
        let brokers = brokers.iter().copied().map(BrokerId).collect();
        let assignment = CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(brokers);
        let topic = CreatableTopic::default().with_num_partitions(-1).with_replication_factor(-1);
        self.create(topic.with_assignments(vec![assignment]), name, configs);
    }

    #[track_caller]
    fn create(&mut self, topic: CreatableTopic, name: &'static str, configs: &[(&'static str, &'static str)]) {
        let config = |(name, value): &(&'static str, &'static str)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_static_str(value)))
        };
        let topic = topic.with_name(topic_name(name)).with_configs(configs.iter().map(config).collect());
        let answer = self.ask(&CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000), 7);
        let answer = answer.expect("it answers");
        // While controllers elect, the broker may hand an order on twice: then it is there already (36).
        assert!([0, 36].contains(&answer.topics[0].error_code), "{:?}", answer.topics[0]);
        crate::support::eventually(ANSWER, "the topic has leaders", || {
            let topics = self.all_topics().topics;
            let topic = topics.iter().find(|topic| topic.name.as_ref().is_some_and(|of| &*of.0 == name))?;
            let led = topic
                .partitions
                .iter()
                .all(|partition| partition.leader_id.0 >= 0 && partition.isr_nodes == partition.replica_nodes);
            (led && !topic.partitions.is_empty()).then_some(())
        });
    }

    /// Allows something to a user.
    #[track_caller]
    pub(crate) fn allow(&mut self, user: &str, rights: &[Right]) {
        let acl = |(kind, name, pattern, operation): (i8, &'static str, i8, i8)| {
            AclCreation::default()
                .with_resource_type(kind)
                .with_resource_name(StrBytes::from_static_str(name))
                .with_resource_pattern_type(pattern)
                .with_principal(format!("User:{user}").into())
                .with_host(StrBytes::from_static_str("*"))
                .with_operation(operation)
                .with_permission_type(3)
        };
        // Kinds: topic 2, cluster 4. Operations: read 3, write 4, describe 8, describe configs 10.
        let rows = rights.iter().flat_map(|right| match right {
            Right::Look => vec![(4, "kafka-cluster", 3, 8), (2, "*", 3, 8), (2, "*", 3, 10)],
            Right::See(topic) => vec![(2, *topic, 3, 8)],
            Right::Write(topic) => vec![(2, *topic, 3, 4)],
            Right::Read(topic) => vec![(2, *topic, 3, 3)],
        });
        let answer = self.ask(&CreateAclsRequest::default().with_creations(rows.map(acl).collect()), 3).expect("it answers");
        assert!(answer.results.iter().all(|result| result.error_code == 0), "{answer:?}");
        // 1 is any.
        let known = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_resource_name_filter(None)
            .with_host_filter(None)
            .with_pattern_type_filter(1)
            .with_principal_filter(Some(format!("User:{user}").into()))
            .with_operation(1)
            .with_permission_type(1);
        crate::support::eventually(ANSWER, "the broker knows of it", || {
            let resources = self.ask(&known, 3).expect("it answers").resources;
            let count: usize = resources.iter().map(|resource| resource.acls.len()).sum();
            (count >= answer.results.len()).then_some(())
        });
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(name.to_owned().into())
}
