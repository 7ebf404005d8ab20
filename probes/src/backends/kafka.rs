//! Kafka by its own protocol: `Metadata` of no topic, and in the deep questions what that leaves out.
//!
//! A broker without its controllers goes on answering `Metadata` and `DescribeCluster` as if nothing was wrong, for as
//! long as one likes to wait. Only `DescribeQuorum` tells, and by not answering; so it is asked on a connection that is
//! thrown away, and has a limit of its own. What a broker says of the others it believes for seconds after they are
//! gone: each is asked at the address that it tells to clients.
//! Protocol: <https://kafka.apache.org/protocol>.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    duration::Span,
    failure::{Failure, FailureKind},
    finding::Finding,
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        kafka::{
            Conversation,
            login::{Login, Mechanism},
            produce::{Way, produce},
            questions::{Broker, Fetched, LogDir, Partition, Quorum},
        },
        sniff::Protocol,
    },
};

/// A Kafka cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `kafka://[user@]host[:9092][,host…]`, or `kafka+ssl://` for TLS: of several brokers the first that opens is asked.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// How the user logs in. Without one it is `SCRAM-SHA-512`.
    mechanism: Option<Mechanism>,
    /// Files and names for TLS; needs `kafka+ssl://`.
    tls: Option<TlsConfig>,
    /// Topics whose partitions are looked at. They must be there; none is ever made.
    #[serde(default)]
    #[schemars(length(max = 100))]
    topics: Vec<String>,
    /// The topic that round trips write to, which must be there. Its retention is what removes their records.
    #[serde(default = "canary_topic")]
    canary_topic: String,
    /// What must be true of the cluster; without it Probity does not guess.
    #[serde(default)]
    expect: KafkaExpect,
    /// From where on the cluster counts as degraded.
    #[serde(default)]
    degraded: KafkaDegraded,
}

fn canary_topic() -> String {
    "probity.canary".into()
}

/// What must be true of a Kafka cluster.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaExpect {
    /// Writes with `acks=all` must be possible, and topics must be able to change: without controllers that answer, or
    /// with fewer replicas in sync than `min.insync.replicas`, it is unhealthy.
    writable: bool,
    /// Brokers that the cluster must have.
    #[schemars(range(min = 1))]
    min_brokers: Option<usize>,
}

/// Limits above or below which a Kafka cluster is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaDegraded {
    /// Share of a broker's disk that must be free; 0.0 is never undercut.
    #[schemars(range(min = 0.0, max = 1.0))]
    disk_free: f64,
    /// How many records a controller may be behind the others.
    quorum_lag: i64,
    /// How long a controller that votes may have been silent.
    quorum_silence: Span,
    /// How long partitions may be short of replicas, as they are while a broker restarts.
    under_replicated: Span,
}

impl Default for KafkaDegraded {
    fn default() -> Self {
        Self { disk_free: 0.1, quorum_lag: 1000, quorum_silence: Span::seconds(10), under_replicated: Span::seconds(60) }
    }
}

/// Most topics that are looked at.
const MOST_TOPICS: usize = 100;

/// Most brokers that are asked at their own address.
const MOST_BROKERS: usize = 16;

/// Asks a Kafka cluster.
pub struct Kafka {
    target: Target,
    login: Option<(Mechanism, String, Secret)>,
    topics: Vec<String>,
    canary_topic: String,
    expect: KafkaExpect,
    degraded: KafkaDegraded,
}

/// An open conversation.
pub struct KafkaSession {
    conversation: Conversation,
    /// The brokers of the last answer.
    brokers: Vec<Broker>,
}

impl Backend for Kafka {
    type Config = KafkaConfig;
    type Session = KafkaSession;

    const KIND: &'static str = "kafka";
    const EXAMPLE: &'static str = r#"backend = "kafka"
url = "kafka://localhost:9092"
topics = ["orders"]
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Kafka;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: KafkaConfig) -> Result<Self, ConfigError> {
        let KafkaConfig { url, username, password, mechanism, tls, topics, canary_topic, expect, degraded } = config;
        url.expect(&["kafka", "kafka+ssl"], &[]).map_err(ConfigError::at("url"))?;
        if url.path().is_some() {
            return Err(ConfigError::new("url", "a Kafka URL has no path; topics are named in `topics`"));
        }
        let login = match url.credentials(username, password)? {
            Credentials { user: Some(user), password: Some(password) } => Some((mechanism.unwrap_or_default(), user, password)),
            Credentials { user: None, password: None } if mechanism.is_none() => None,
            Credentials { user: None, password: None } => {
                return Err(ConfigError::new("mechanism", "`mechanism` needs `username` and `password` beside it"));
            }
            Credentials { .. } => return Err(ConfigError::new("password", "`username` and `password` need each other")),
        };
        if topics.len() > MOST_TOPICS {
            return Err(ConfigError::new("topics", format!("no more than {MOST_TOPICS} topics are looked at")));
        }
        if !topics.iter().all(|name| is_topic(name)) {
            return Err(ConfigError::new("topics", NO_TOPIC));
        }
        if !is_topic(&canary_topic) {
            return Err(ConfigError::new("canary_topic", NO_TOPIC));
        }
        let target = url.target(9092, url.scheme() == "kafka+ssl", tls)?;
        Ok(Self { target, login, topics, canary_topic, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<KafkaSession, Failure> {
        let conversation = self.enter(&self.target, run).await?;
        run.fact_if("version", conversation.metadata_level.map(|level| format!("metadata.version {level}")));
        Ok(KafkaSession { conversation, brokers: Vec::new() })
    }

    async fn ask(&self, session: &mut KafkaSession, run: &mut Run) -> Result<(), Failure> {
        let brokers = session.conversation.brokers().await?;
        run.fact_if("cluster_id", brokers.cluster_id);
        run.fact("brokers", brokers.list.len());
        if brokers.list.is_empty() {
            return Err(Failure::new(FailureKind::NotReady, "the broker knows of no broker"));
        }
        if let Some(wanted) = self.expect.min_brokers.filter(|wanted| brokers.list.len() < *wanted) {
            run.finding(Finding::degraded("too_few_brokers", brokers.list.len()).against(wanted));
        }
        session.brokers = brokers.list;
        Ok(())
    }

    async fn examine(&self, session: &mut KafkaSession, run: &mut Run) -> Result<(), Failure> {
        let fenced = session.conversation.fenced().await;
        if let Some(fenced) = run.optional("DescribeCluster", fenced)? {
            run.fact("brokers_fenced", fenced.len());
            if let Some(id) = fenced.first() {
                run.finding(Finding::degraded("broker_fenced", format!("broker {id}{}", and_more(fenced.len()))));
            }
        }
        let leaders = self.examine_topics(session, run).await?;
        match self.visit(&session.brokers, &leaders, run).await {
            Some(conversation) => self.examine_quorum(conversation, run).await,
            None => run.missing("DescribeQuorum"),
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut KafkaSession, run: &mut Run) -> Result<(), Failure> {
        let login = self.login(run).await?;
        if self.target.tls.as_ref().is_some_and(|tls| tls.server_name.is_some()) {
            return Err(Failure::new(
                FailureKind::Config,
                "`tls.server_name` is not known to the library that writes the record",
            )
            .with_remedy("Take the names that the brokers advertise into their certificates, or ask without round trips."));
        }
        // The library would have a topic made that is not there yet, unless it is told otherwise, and would wait for it.
        let topics = session.conversation.topics(std::slice::from_ref(&self.canary_topic)).await?;
        let partitions = topics.into_iter().map(|topic| topic.partitions).next().unwrap_or_else(|| Ok(Vec::new()))?;
        let at = usize::from_str_radix(run.canary(), 16).unwrap_or(0) % partitions.len().max(1);
        let Some((partition, leader)) = partitions.get(at).and_then(|partition| Some((partition.number, partition.leader?)))
        else {
            return Err(Failure::server("5", ""));
        };
        let leader = session.brokers.iter().find(|broker| broker.id == leader);
        let leader = leader.ok_or_else(|| Failure::server("5", ""))?;
        let nonce = run.nonce();
        // First of all, because our own dial tells what is wrong, and at once; the library tries until its limit.
        let mut reader = self.enter(&self.target.elsewhere(leader.endpoint()), run).await?;
        let way = Way {
            broker: leader.endpoint().to_string(),
            tls: self.target.tls.as_ref(),
            login: login.as_ref(),
            limit: run.server_limit_now(),
        };
        let offset = produce(&way, &self.canary_topic, partition, &nonce).await?;
        let fetched = reader.fetch(&self.canary_topic, partition, offset, run.server_limit_now()).await?;
        reader.close().await;
        match fetched {
            Fetched::Batch(batch) => {
                let found = batch.windows(nonce.len()).any(|bytes| bytes == nonce.as_bytes());
                run.compare(&nonce, Some(if found { &nonce } else { "another record" }));
            }
            Fetched::Nothing => run.compare(&nonce, None),
            Fetched::Compressed => {
                return Err(Failure::new(FailureKind::Config, "the broker compresses what is written to the canary's topic")
                    .with_remedy("Set `compression.type` of that topic to `producer` or `uncompressed`."));
            }
        }
        Ok(())
    }

    async fn close(&self, session: KafkaSession) {
        session.conversation.close().await;
    }
}

impl Kafka {
    async fn login(&self, run: &mut Run) -> Result<Option<Login>, Failure> {
        let Some((mechanism, user, password)) = &self.login else { return Ok(None) };
        let password = run.secret(password).await?;
        Ok(Some(Login { mechanism: *mechanism, user: user.clone(), password }))
    }

    /// From nothing to a broker that answers us.
    async fn enter(&self, target: &Target, run: &mut Run) -> Result<Conversation, Failure> {
        let login = self.login(run).await?;
        let stream = run.dial(target).await?;
        let opening = async {
            let mut conversation = Conversation::open(stream).await?;
            match &login {
                Some(login) => conversation.log_in(login).await?,
                None => conversation.needs_no_login().await?,
            }
            Ok::<_, Failure>(conversation)
        };
        run.phase(Phase::Auth, opening).await
    }

    /// Looks at the topics of the entry, and says who leads their partitions.
    async fn examine_topics(&self, session: &mut KafkaSession, run: &mut Run) -> Result<BTreeSet<i32>, Failure> {
        let (mut partitions, mut visible) = (Vec::new(), Vec::new());
        if self.topics.is_empty() {
            return Ok(BTreeSet::new());
        }
        for topic in session.conversation.topics(&self.topics).await? {
            match topic.partitions {
                Ok(of) => {
                    visible.push(topic.name);
                    partitions.extend(of);
                }
                // One that may not be seen is not visible; one that is not there is a mistake.
                Err(failure) if failure.code.as_deref() == Some(UNKNOWN_TOPIC) => {
                    return Err(failure.with_words(format!("there is no topic {}", topic.name)));
                }
                Err(failure) => drop(run.optional::<()>("topics", Err(failure))?),
            }
        }
        if visible.is_empty() {
            return Ok(BTreeSet::new());
        }
        let least = session.conversation.min_in_sync(&visible).await;
        let least = run.optional("min.insync.replicas", least)?.unwrap_or_default();
        run.fact("topics_checked", visible.len());
        run.fact("partitions_checked", partitions.len());
        self.judge(&partitions, &least, run);
        Ok(partitions.iter().filter_map(|partition| partition.leader).collect())
    }

    fn judge(&self, partitions: &[Partition], least: &BTreeMap<String, usize>, run: &mut Run) {
        let short = |partition: &&Partition| least.get(&partition.topic).is_some_and(|least| partition.in_sync < *least);
        let led = || partitions.iter().filter(|partition| partition.leader.is_some());
        let offline: Vec<_> = partitions.iter().filter(|partition| partition.leader.is_none()).collect();
        let behind: Vec<_> = led().filter(|partition| partition.in_sync < partition.replicas).collect();
        let short: Vec<_> = led().filter(short).collect();
        run.fact("partitions_offline", offline.len());
        run.fact("partitions_under_replicated", behind.len());
        run.fact("partitions_under_min_isr", short.len());
        let first = |of: &[&Partition]| of.first().map(|first| format!("{}-{}{}", first.topic, first.number, and_more(of.len())));
        if let Some(seen) = first(&offline) {
            run.finding(Finding::unhealthy("partitions_offline", seen));
        }
        if let Some(seen) = first(&short) {
            run.finding(Finding::when(self.expect.writable, "under_min_isr", seen));
        }
        if let Some(seen) = first(&behind) {
            run.finding(Finding::degraded("under_replicated", seen).held_for(self.degraded.under_replicated.0));
        }
    }

    /// Asks each broker at the address that clients are told, and leaves the first one open.
    async fn visit(&self, brokers: &[Broker], leaders: &BTreeSet<i32>, run: &mut Run) -> Option<Conversation> {
        let (mut first, mut dirs, mut lost) = (None, Vec::new(), Vec::new());
        let mut order: Vec<_> = brokers.iter().collect();
        // Those that matter most, should there be too many.
        order.sort_by_key(|broker| !leaders.contains(&broker.id));
        for broker in order.into_iter().take(MOST_BROKERS) {
            let target = self.target.elsewhere(broker.endpoint());
            let visit = async |run: &mut Run| {
                let mut conversation = self.enter(&target, run).await?;
                let dirs = conversation.log_dirs().await;
                Ok::<_, Failure>((conversation, run.optional("DescribeLogDirs", dirs)?))
            };
            match run.beside(visit).await {
                Ok((conversation, told)) => {
                    dirs.extend(told.into_iter().flatten());
                    match first {
                        None => first = Some(conversation),
                        Some(_) => conversation.close().await,
                    }
                }
                Err(failure) => lost.push((broker, failure.kind)),
            }
        }
        run.fact("brokers_reachable", brokers.len().min(MOST_BROKERS) - lost.len());
        if let Some((broker, kind)) = lost.first() {
            let leads = lost.iter().any(|(broker, _)| leaders.contains(&broker.id));
            let seen = format!("broker {} at {} ({kind}){}", broker.id, broker.endpoint(), and_more(lost.len()));
            run.finding(Finding::when(leads, "advertised_unreachable", seen));
        }
        self.judge_disks(&dirs, run);
        first
    }

    fn judge_disks(&self, dirs: &[LogDir], run: &mut Run) {
        if dirs.is_empty() {
            return;
        }
        let failed = dirs.iter().filter(|dir| dir.failed).count();
        run.fact("log_dirs_failed", failed);
        if failed > 0 {
            run.finding(Finding::degraded("log_dir_failed", failed).against(dirs.len()));
        }
        run.fact_if("log_dir_usable_bytes", dirs.iter().filter_map(|dir| dir.usable_bytes).min());
        #[expect(clippy::cast_precision_loss, reason = "a share of bytes needs no more")]
        let share = |dir: &LogDir| Some(dir.usable_bytes? as f64 / dir.total_bytes.filter(|total| *total > 0)? as f64);
        if let Some(least) = dirs.iter().filter_map(share).min_by(f64::total_cmp).filter(|least| *least < self.degraded.disk_free)
        {
            run.finding(Finding::degraded("disk_low", least).against(self.degraded.disk_free));
        }
    }

    /// Of all questions only this one reaches the controllers.
    async fn examine_quorum(&self, mut conversation: Conversation, run: &mut Run) {
        let absent = |seen: &str| Finding::when(self.expect.writable, "no_controller", seen).held_for(ELECTION);
        // It is the last question. A broker answers one connection in order: this one will never answer anything again.
        let Ok(answer) = timeout(run.remaining() / 2, conversation.quorum()).await else {
            return run.finding(absent("silent"));
        };
        conversation.close().await;
        match run.optional("DescribeQuorum", answer) {
            Ok(Some(quorum)) => {
                if quorum.leader.is_none() {
                    run.finding(absent("no leader"));
                }
                self.judge_quorum(&quorum, run);
            }
            Ok(None) => {}
            Err(failure) => run.finding(absent(failure.kind.as_str())),
        }
    }

    fn judge_quorum(&self, quorum: &Quorum, run: &mut Run) {
        run.fact_if("quorum_leader_id", quorum.leader.map(i64::from));
        run.fact("quorum_voters", quorum.voters);
        run.fact("quorum_max_lag", quorum.lag);
        run.fact("quorum_silence_seconds", quorum.silence.as_secs_f64());
        if quorum.lag > self.degraded.quorum_lag {
            run.finding(Finding::degraded("controller_behind", quorum.lag).against(self.degraded.quorum_lag));
        } else if quorum.silence > self.degraded.quorum_silence.0 {
            let limit = self.degraded.quorum_silence.0.as_secs_f64();
            run.finding(Finding::degraded("controller_behind", quorum.silence.as_secs_f64()).against(limit));
        }
    }
}

/// Controllers that elect do not answer, and need not so long.
const ELECTION: Duration = Duration::from_secs(5);

/// There is no such topic, or no such partition.
const UNKNOWN_TOPIC: &str = "3";

/// What a name may be (`Topic.validate`).
const NO_TOPIC: &str = "the name of a topic has 1 to 249 letters, digits and `._-`";

fn is_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && ![".", ".."].contains(&name) && name.bytes().all(is_legal)
}

/// What stands behind the first of several.
fn and_more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Kafka",
    summary: "Apache Kafka 2.4 and later; seen with 4.3, without ZooKeeper. One session is kept to the first broker that opens. In \
              the deep questions each broker is dialled at the address that it advertises, at most 16 of them. No topic is made, \
              and no group is looked for. Brokers before 4.0 do not tell of fenced ones, older ones of controllers and disks: \
              coverage is partial then.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `kafka+ssl://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`ApiVersions`; `SaslHandshake` and `SaslAuthenticate`. Without a user `SaslHandshake` shows that nobody has to log in", privilege: "a user, where the listener wants one" },
        LevelRow { level: "query", question: "`Metadata` of no topic: the brokers", privilege: "none" },
        LevelRow { level: "deep", question: "`DescribeCluster` with fenced brokers", privilege: "none" },
        LevelRow { level: "deep", question: "`Metadata` of `topics` and `DescribeConfigs` for their `min.insync.replicas`", privilege: "`Describe` and `DescribeConfigs` on these topics" },
        LevelRow { level: "deep", question: "a log-in and `DescribeLogDirs` at each broker; `DescribeQuorum` at the first, on a connection of its own, within half of the time that is left", privilege: "`Describe` on the cluster" },
        LevelRow { level: "roundtrip", question: "a record written with `acks=all` to `canary_topic` by librdkafka, and read with `Fetch` at its offset, from the leader. The topic must be there, and its retention removes the record", privilege: "`Write`, `Read` and `Describe` on that topic" },
    ],
    facts: &[
        FactRow { name: "cluster_id", metric: false, meaning: "The cluster's own name of itself." },
        FactRow { name: "version", metric: false, meaning: "The level of `metadata.version` that the cluster has agreed on; brokers do not tell their own version." },
        FactRow { name: "brokers", metric: true, meaning: "Brokers that the one that is asked believes to be there." },
        FactRow { name: "brokers_reachable", metric: true, meaning: "Brokers that answer at the address that they advertise." },
        FactRow { name: "brokers_fenced", metric: true, meaning: "Brokers that the controller has shut out: dead, cut off or still starting." },
        FactRow { name: "quorum_leader_id", metric: false, meaning: "The controller that leads. What `Metadata` calls the controller is any broker." },
        FactRow { name: "quorum_voters", metric: true, meaning: "Controllers that vote." },
        FactRow { name: "quorum_max_lag", metric: true, meaning: "How many records the last of the controllers is behind." },
        FactRow { name: "quorum_silence_seconds", metric: true, meaning: "How long ago the most silent of the controllers has asked for records." },
        FactRow { name: "topics_checked", metric: false, meaning: "Topics of the entry that could be looked at." },
        FactRow { name: "partitions_checked", metric: true, meaning: "Partitions of these topics." },
        FactRow { name: "partitions_offline", metric: true, meaning: "Partitions without a leader." },
        FactRow { name: "partitions_under_replicated", metric: true, meaning: "Partitions with fewer replicas in sync than they should have." },
        FactRow { name: "partitions_under_min_isr", metric: true, meaning: "Partitions with fewer replicas in sync than `min.insync.replicas`." },
        FactRow { name: "log_dirs_failed", metric: true, meaning: "Folders that failed, at the brokers that could be asked." },
        FactRow { name: "log_dir_usable_bytes", metric: true, meaning: "What is left on the disk that has least." },
    ],
    findings: &[
        FindingRow { code: "too_few_brokers", meaning: "There are fewer brokers than `expect.min_brokers`: degraded.", remedy: "Look for the brokers that are missing." },
        FindingRow { code: "broker_fenced", meaning: "The controller has shut a broker out (observed: the first): degraded. It may still answer.", remedy: "Look whether it runs and reaches the controllers; a broker that is gone for good is to be unregistered." },
        FindingRow { code: "advertised_unreachable", meaning: "A broker does not answer at the address that it advertises (observed: which, where and the kind of failure): degraded, unhealthy when it leads a partition of `topics`.", remedy: "Set `advertised.listeners` to what clients can connect to from here, or look why the broker does not answer." },
        FindingRow { code: "no_controller", meaning: "`DescribeQuorum` was not answered in time, or with an error, or names no leader (observed: which), for longer than 5 seconds: degraded, unhealthy with `expect.writable`. Everything else is answered as if all was well.", remedy: "Look for controllers that are down: most of them must be up, and reached by the brokers." },
        FindingRow { code: "controller_behind", meaning: "A controller is more than `degraded.quorum_lag` records behind, or has been silent for longer than `degraded.quorum_silence` (observed: records or seconds): degraded.", remedy: "Look for a controller that is down or hangs." },
        FindingRow { code: "partitions_offline", meaning: "A partition of `topics` has no leader (observed: the first): unhealthy.", remedy: "Bring a broker back that has a replica in sync." },
        FindingRow { code: "under_min_isr", meaning: "A partition of `topics` has fewer replicas in sync than `min.insync.replicas` (observed: the first), so that writes with `acks=all` are refused: degraded, unhealthy with `expect.writable`.", remedy: "Bring the missing replicas back." },
        FindingRow { code: "under_replicated", meaning: "A partition of `topics` has had fewer replicas in sync than it should for longer than `degraded.under_replicated` (observed: the first): degraded.", remedy: "Look for brokers that are down, slow, or out of disk." },
        FindingRow { code: "log_dir_failed", meaning: "A folder of a broker has failed (observed: how many of how many): degraded.", remedy: "Look at that broker's disk and log; it has to be restarted to use the folder again." },
        FindingRow { code: "disk_low", meaning: "Less than `degraded.disk_free` of a broker's disk is free (observed: the share): degraded.", remedy: "Free space, or shorten the retention." },
    ],
    codes: &[
        CodeRow { code: "58", kind: FailureKind::Auth, message: "the broker rejected the credentials", remedy: "Check user, password and `mechanism`: a user of SCRAM-SHA-256 is none of SCRAM-SHA-512." },
        CodeRow { code: "33", kind: FailureKind::Auth, message: "the listener does not offer this mechanism", remedy: "Choose another `mechanism`; the broker names those that it has." },
        CodeRow { code: "34", kind: FailureKind::Auth, message: "the listener has no log-in", remedy: "Take user and password out of the entry, or take the port of another listener." },
        CodeRow { code: "29", kind: FailureKind::Permission, message: "the user may not do this with the topic", remedy: "" },
        CodeRow { code: "30", kind: FailureKind::Permission, message: "the user may not do this with the group", remedy: "" },
        CodeRow { code: "31", kind: FailureKind::Permission, message: "the user may not do this with the cluster", remedy: "" },
        CodeRow { code: UNKNOWN_TOPIC, kind: FailureKind::Config, message: "there is no such topic", remedy: "Correct `topics` or `canary_topic`, or make the topic: Probity makes none." },
        CodeRow { code: "17", kind: FailureKind::Config, message: "the name of the topic is not allowed", remedy: "" },
        CodeRow { code: "5", kind: FailureKind::NotReady, message: "the partition has no leader", remedy: "Bring a broker back that has a replica in sync." },
        CodeRow { code: "6", kind: FailureKind::NotReady, message: "the broker does not lead the partition any more", remedy: "" },
        CodeRow { code: "8", kind: FailureKind::NotReady, message: "the broker is not available", remedy: "" },
        CodeRow { code: "9", kind: FailureKind::NotReady, message: "a replica is not available", remedy: "" },
        CodeRow { code: "19", kind: FailureKind::NotReady, message: "there are fewer replicas in sync than `min.insync.replicas`", remedy: "Bring the missing replicas back." },
        CodeRow { code: "20", kind: FailureKind::NotReady, message: "after the write there were fewer replicas in sync than `min.insync.replicas`", remedy: "Bring the missing replicas back." },
        CodeRow { code: "41", kind: FailureKind::NotReady, message: "the controllers change their leader", remedy: "" },
        CodeRow { code: "56", kind: FailureKind::Query, message: "the broker cannot use the folder of the partition", remedy: "Look at its disk: it may be full or broken." },
        CodeRow { code: "7", kind: FailureKind::Timeout, message: "the broker gave up: the replicas did not follow in time", remedy: "Look for brokers that hang, and whether the controllers have a leader." },
        CodeRow { code: "13", kind: FailureKind::ConnectionLost, message: "the broker hung up before it answered", remedy: "" },
        CodeRow { code: "35", kind: FailureKind::Protocol, message: "the broker speaks no version of the protocol that we speak", remedy: "Kafka 2.4 and later are spoken to." },
        CodeRow { code: "42", kind: FailureKind::Protocol, message: "the broker does not understand the question", remedy: "" },
        CodeRow { code: "72", kind: FailureKind::Config, message: "the leader has no such listener", remedy: "Give each broker the same listeners." },
        CodeRow { code: "89", kind: FailureKind::Overload, message: "a quota is used up", remedy: "" },
    ],
    unsupported: &[
        "GSSAPI (Kerberos), OAUTHBEARER, delegation tokens and AWS MSK IAM.",
        "Lists of all topics and groups: a user without rights gets empty ones without an error.",
        "Consumer groups and their lag: looking for a group's coordinator makes a topic.",
        "The port of a controller, which answers other questions.",
        "Compression of the canary's topic, and `tls.server_name` with round trips.",
        "Kafka before 2.4.",
    ],
};
