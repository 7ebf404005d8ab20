//! `RabbitMQ`: a channel opened and closed on a live AMQP 0-9-1 connection; queues, alarms and nodes for the rest.
//!
//! Log-ins and channels succeed all through an alarm: only who publishes is told of it, or who asks the management
//! API. The broker logs every connection, so those that are opened are kept.
//! Protocol: <https://www.rabbitmq.com/amqp-0-9-1-protocol>; reply codes: 1.2 of its reference.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use lapin::{
    BasicProperties, Channel, Event,
    options::{
        BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind},
    finding::Finding,
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    run::{Depth, Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        amqp::{Link, Login, failure},
        dial::Target,
        guard::{self, Grammar},
        rabbitmq::{Check, Management, Node, Overview},
        sniff::Protocol,
    },
};

/// A `RabbitMQ` broker.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RabbitmqConfig {
    /// `amqp://[user@]host[:5672][,host…][/vhost]`: of several brokers the first that opens is asked. `amqps://` for
    /// TLS, with port 5671. Without a path the virtual host is `/`; one that has a slash in its name is written with `%2f`.
    url: Address,
    /// User name, if it is not in the URL; `guest` where there is none.
    username: Option<String>,
    /// Password of the user, or a token where the broker takes one for it.
    password: Option<Secret>,
    /// How to log in.
    #[serde(default)]
    mechanism: Mechanism,
    /// Files and names for TLS; needs `amqps://`. A `management` with `https://` uses them too.
    tls: Option<TlsConfig>,
    /// Queues that must be there.
    #[serde(default)]
    queues: Vec<String>,
    /// Management API, such as `http://host:15672`: alarms, nodes, virtual hosts.
    management: Option<Address>,
    /// What must be true of the broker; without it Probity does not guess.
    #[serde(default)]
    expect: RabbitmqExpect,
    /// From where on the broker counts as degraded.
    #[serde(default)]
    degraded: RabbitmqDegraded,
}

/// A way to log in.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mechanism {
    /// User and password.
    #[default]
    Plain,
    /// The client certificate in `tls` says who we are.
    External,
}

/// What must be true of a `RabbitMQ` broker.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitmqExpect {
    /// Publishing must be possible: an alarm is unhealthy, not degraded. A second connection is kept that publishes
    /// an empty message to nobody with each deep question, and so hears when publishers are blocked.
    writable: bool,
}

/// Limits beyond which a `RabbitMQ` broker is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitmqDegraded {
    /// Messages that may wait in one of `queues`; without it they are not judged.
    queue_messages: Option<u32>,
    /// Consumers that each of `queues` must have; without it they are not judged.
    #[schemars(range(min = 1))]
    queue_consumers: Option<u32>,
    /// Share of file descriptors or sockets in use on a node; needs `management`.
    #[schemars(range(min = 0.0, max = 1.0))]
    descriptors: f64,
}

impl Default for RabbitmqDegraded {
    fn default() -> Self {
        Self { queue_messages: None, queue_consumers: None, descriptors: 0.85 }
    }
}

/// Longest name that the protocol has room for.
const LONGEST_NAME: usize = 255;

/// Asks a `RabbitMQ` broker.
pub struct Rabbitmq {
    target: Target,
    credentials: Credentials,
    mechanism: Mechanism,
    vhost: String,
    queues: Vec<String>,
    management: Option<(Target, Credentials)>,
    expect: RabbitmqExpect,
    degraded: RabbitmqDegraded,
}

/// An open conversation.
pub struct RabbitmqSession {
    link: Link,
    /// Beside it, because the broker stops reading from a publisher that it blocks.
    publisher: Option<Publisher>,
}

/// Something that may take longer than a run, because a broker does not read from whom it blocks.
type Lasting<T> = BoxFuture<'static, Result<T, Failure>>;

/// A connection that publishes.
struct Publisher {
    link: Link,
    channel: Channel,
    /// The confirmation that is waited for, across runs if need be.
    pending: Option<Lasting<()>>,
    /// The round trip that is under way, likewise: what it wrote, and what it read.
    trip: Option<Lasting<(String, Option<String>)>>,
    /// Why the broker blocks publishers.
    blocked: Option<&'static str>,
    /// The account may not publish; each further try would be a line in the broker's log.
    denied: bool,
}

impl Backend for Rabbitmq {
    type Config = RabbitmqConfig;
    type Session = RabbitmqSession;

    const KIND: &'static str = "rabbitmq";
    const EXAMPLE: &'static str = r#"backend = "rabbitmq"
url = "amqp://localhost:5672"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Amqp;
    const GUARD: Option<Grammar> = Some(guard::amqp::frames);
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: RabbitmqConfig) -> Result<Self, ConfigError> {
        let RabbitmqConfig { url, username, password, mechanism, tls, queues, management, expect, degraded } = config;
        url.expect(&["amqp", "amqps"], &[]).map_err(ConfigError::at("url"))?;
        let vhost = match url.url().path() {
            "" => "/".to_owned(),
            _ => url.path().unwrap_or_default(),
        };
        if vhost.len() > LONGEST_NAME {
            return Err(ConfigError::new("url", "the name of the virtual host is too long"));
        }
        if queues.iter().any(|queue| queue.is_empty() || queue.len() > LONGEST_NAME) {
            return Err(ConfigError::new("queues", format!("the name of a queue has 1 to {LONGEST_NAME} bytes")));
        }
        let credentials = url.credentials(username, password)?;
        if mechanism == Mechanism::External {
            if tls.as_ref().is_none_or(|tls| tls.cert.is_none()) {
                return Err(ConfigError::new("mechanism", "`external` needs a client certificate: `tls.cert` and `tls.key`"));
            }
            if credentials.password.is_some() {
                return Err(ConfigError::new("password", "`external` takes no password"));
            }
        } else if credentials.user.is_none() && credentials.password.is_some() {
            return Err(ConfigError::new("password", "`password` needs `username` beside it"));
        }
        let management = management
            .map(|address| {
                address.expect(&["http", "https"], &[]).map_err(ConfigError::at("management"))?;
                address.one_host("`management` is that of one node").map_err(ConfigError::at("management"))?;
                let own = address.credentials(None, None)?;
                let secure = address.scheme() == "https";
                let target = address.target(15_672, secure, tls.clone().filter(|_| secure))?;
                Ok((target, if own.user.is_some() { own } else { credentials.clone() }))
            })
            .transpose()?;
        let secure = url.scheme() == "amqps";
        let target = url.target(if secure { 5671 } else { 5672 }, secure, tls)?;
        Ok(Self { target, credentials, mechanism, vhost, queues, management, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<RabbitmqSession, Failure> {
        let link = self.link(run).await?;
        run.fact_if("product", link.property("product"));
        run.fact_if("version", link.property("version"));
        run.fact_if("cluster_name", link.property("cluster_name"));
        let mut publisher = None;
        if self.expect.writable || run.depth() == Depth::Roundtrip {
            let link = self.link(run).await?;
            publisher = Some(run.phase(Phase::Auth, Publisher::new(link)).await?);
        }
        Ok(RabbitmqSession { link, publisher })
    }

    async fn ask(&self, session: &mut RabbitmqSession, _: &mut Run) -> Result<(), Failure> {
        let channel = session.link.channel().await?;
        channel.close(200, "".into()).await.map_err(|error| failure(&error))
    }

    async fn examine(&self, session: &mut RabbitmqSession, run: &mut Run) -> Result<(), Failure> {
        self.examine_queues(&mut session.link, run).await?;
        if let Some(publisher) = session.publisher.as_mut().filter(|_| self.expect.writable) {
            publisher.examine(run).await?;
        }
        match &self.management {
            Some((target, login)) => self.examine_management(target, login, run).await,
            None => Ok(()),
        }
    }

    async fn roundtrip(&self, session: &mut RabbitmqSession, run: &mut Run) -> Result<(), Failure> {
        match &mut session.publisher {
            Some(publisher) => publisher.roundtrip(run).await,
            None => Err(Failure::new(FailureKind::Unexpected, "the session was not opened for round trips")),
        }
    }

    async fn close(&self, session: RabbitmqSession) {
        let publisher = async {
            if let Some(publisher) = session.publisher {
                publisher.link.close().await;
            }
        };
        tokio::join!(session.link.close(), publisher);
    }
}

impl Rabbitmq {
    /// A connection with the virtual host open.
    async fn link(&self, run: &mut Run) -> Result<Link, Failure> {
        let external = self.mechanism == Mechanism::External;
        let (username, password) = if external { Default::default() } else { account(&self.credentials, run).await? };
        let login = Login { username, password: password.to_string(), external, vhost: self.vhost.clone() };
        let stream = run.dial(&self.target).await?;
        run.phase(Phase::Auth, async { Link::open(stream, login).await.map_err(at_login) }).await
    }

    /// Each on a channel of its own, because a queue that is missing costs the channel.
    async fn examine_queues(&self, link: &mut Link, run: &mut Run) -> Result<(), Failure> {
        let (mut ready, mut consumers) = (0_u64, None::<u32>);
        for name in &self.queues {
            let channel = link.channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let declared = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await;
            let queue = match declared.map_err(|error| failure(&error)) {
                Ok(queue) => queue,
                Err(refused) if refused.code.as_deref() == Some("403") => {
                    run.missing(format!("queue {name}"));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            channel.close(200, "".into()).await.map_err(|error| failure(&error))?;
            ready += u64::from(queue.message_count());
            consumers = Some(consumers.unwrap_or(u32::MAX).min(queue.consumer_count()));
            if let Some(limit) = self.degraded.queue_messages.filter(|limit| queue.message_count() > *limit) {
                run.finding(Finding::degraded("queue_messages", format!("{name}: {}", queue.message_count())).against(limit));
            }
            if let Some(least) = self.degraded.queue_consumers.filter(|least| queue.consumer_count() < *least) {
                run.finding(Finding::degraded("queue_consumers", format!("{name}: {}", queue.consumer_count())).against(least));
            }
        }
        if let Some(consumers) = consumers {
            run.fact("queue_messages_ready", ready);
            run.fact("queue_consumers", consumers);
        }
        Ok(())
    }

    async fn examine_management(&self, target: &Target, login: &Credentials, run: &mut Run) -> Result<(), Failure> {
        let certified = self.mechanism == Mechanism::External && login.user.is_none();
        let login = if certified { None } else { Some(account(login, run).await?) };
        let login = login.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
        let answers = run.beside(async |run| {
            let mut api = Management::open(run, target, login).await?;
            let answers = Answers {
                alarms: api.check("alarms", run).await?,
                vhosts: api.check("virtual-hosts", run).await?,
                quorum: api.check("node-is-quorum-critical", run).await?,
                serving: api.check("ready-to-serve-clients", run).await?,
                overview: api.document("/api/overview?disable_stats=true", run).await?,
                nodes: api.document(NODES, run).await?,
            };
            api.close().await;
            Ok::<_, Failure>(answers)
        });
        match answers.await {
            Ok(answers) => self.judge(&answers, run),
            Err(_) => run.missing("management"),
        }
        Ok(())
    }

    fn judge(&self, answers: &Answers, run: &mut Run) {
        let alarms: Vec<_> = match &answers.alarms {
            Check::Failed(reason) => reason.alarms.iter().map(|alarm| alarm.resource.as_str()).collect(),
            _ => Vec::new(),
        };
        run.fact("mem_alarm", alarms.contains(&"memory"));
        run.fact("disk_alarm", alarms.iter().any(|alarm| alarm.starts_with("disk")));
        if !alarms.is_empty() {
            run.finding(Finding::when(self.expect.writable, "alarm", alarms.join(", ")));
        }
        if let Check::Failed(reason) = &answers.vhosts {
            let ours = reason.vhosts.contains(&self.vhost);
            run.finding(Finding::when(ours, "vhost_down", reason.vhosts.join(", ")));
        }
        for (check, code) in [(&answers.quorum, "no_failure_tolerance"), (&answers.serving, "not_serving")] {
            if matches!(check, Check::Failed(_)) {
                run.finding(Finding::degraded(code, true));
            }
        }
        run.fact_if("node", answers.overview.node.clone());
        run.fact_if("erlang_version", answers.overview.erlang_version.clone());
        let running = answers.nodes.iter().filter(|node| node.running).count();
        run.fact("nodes", answers.nodes.len());
        run.fact("nodes_running", running);
        if running < answers.nodes.len() {
            run.finding(Finding::degraded("node_down", running).against(answers.nodes.len()));
        }
        let partitions: usize = answers.nodes.iter().map(|node| node.partitions.len()).sum();
        run.fact("partitions", partitions);
        if partitions > 0 {
            run.finding(Finding::unhealthy("partitions", partitions));
        }
        let used = |node: &Node| [share(node.fd_used, node.fd_total), share(node.sockets_used, node.sockets_total)];
        if let Some(used) = answers.nodes.iter().flat_map(used).flatten().max_by(f64::total_cmp) {
            run.fact("fd_used_ratio", used);
            if used >= self.degraded.descriptors {
                run.finding(Finding::degraded("descriptors", used).against(self.degraded.descriptors));
            }
        }
    }
}

/// The tables of nodes can be long: these columns are enough.
const NODES: &str = "/api/nodes?columns=running,partitions,fd_used,fd_total,sockets_used,sockets_total";

/// What the management API said.
struct Answers {
    alarms: Check,
    vhosts: Check,
    quorum: Check,
    serving: Check,
    overview: Overview,
    nodes: Vec<Node>,
}

impl Publisher {
    async fn new(mut link: Link) -> Result<Self, Failure> {
        let channel = link.channel().await?;
        want_confirmations(&channel).await?;
        Ok(Self { link, channel, pending: None, trip: None, blocked: None, denied: false })
    }

    /// Publishes an empty message to nobody, which the broker confirms and forgets, and notes whether it did.
    async fn examine(&mut self, run: &mut Run) -> Result<(), Failure> {
        const QUESTION: &str = "publish";
        if self.denied {
            run.missing(QUESTION);
            return Ok(());
        }
        let mut pending = self.pending.take().unwrap_or_else(|| publish(self.channel.clone()).boxed());
        let answer = self.wait(&mut pending, run.question_limit()).await;
        let confirmed = answer.is_some();
        match answer {
            Some(answer) => {
                if let Err(refused) = &answer {
                    self.denied = refused.code.as_deref() == Some("403");
                }
                run.optional(QUESTION, answer)?;
            }
            None => self.pending = Some(pending),
        }
        self.note(confirmed, run);
        Ok(())
    }

    /// Sends a message to a queue of our own, and takes it from there.
    async fn roundtrip(&mut self, run: &mut Run) -> Result<(), Failure> {
        let mut trip = self.trip.take().unwrap_or_else(|| travel(self.link.opening(), run.nonce()).boxed());
        let answer = self.wait(&mut trip, run.question_limit()).await;
        self.note(answer.is_some(), run);
        match answer {
            Some(answer) => {
                let (written, read) = answer?;
                run.compare(&written, read.as_deref());
            }
            None => self.trip = Some(trip),
        }
        Ok(())
    }

    /// What something that publishes comes to; `None` where the broker blocks it, or is silent for too long.
    async fn wait<T>(&mut self, pending: &mut Lasting<T>, limit: Duration) -> Option<Result<T, Failure>> {
        while let Some(Some(event)) = self.link.event().now_or_never() {
            hear(&mut self.blocked, event);
        }
        let answer = async {
            loop {
                tokio::select! {
                    biased;
                    Some(event) = self.link.event(), if self.blocked.is_none() => hear(&mut self.blocked, event),
                    answer = &mut *pending => break Some(answer),
                    () = std::future::ready(()), if self.blocked.is_some() => break None,
                }
            }
        };
        timeout(limit, answer).await.unwrap_or_default()
    }

    fn note(&self, confirmed: bool, run: &mut Run) {
        run.fact("blocked", !confirmed);
        if !confirmed {
            run.finding(Finding::unhealthy("blocked", self.blocked.unwrap_or("no confirmation")));
        }
    }
}

/// A message that meets an alarm is still confirmed; it is what comes behind it that the broker no longer reads.
async fn publish(channel: Channel) -> Result<(), Failure> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let published = channel.basic_publish("".into(), "probity.nobody".into(), options, b"", properties).await;
    let confirmed = published.map_err(|error| failure(&error))?.await.map_err(|error| failure(&error))?;
    if confirmed.is_nack() {
        return Err(Failure::new(FailureKind::Overload, "the broker did not take a message"));
    }
    want_confirmations(&channel).await
}

/// There and back through a queue that belongs to this connection alone, and ends with it if not before.
async fn travel(
    channel: impl Future<Output = Result<Channel, Failure>>,
    nonce: String,
) -> Result<(String, Option<String>), Failure> {
    let channel = channel.await?;
    let read = exchange(&channel, &nonce).await?;
    channel.close(200, "".into()).await.map_err(|error| failure(&error))?;
    Ok((nonce, read))
}

async fn exchange(channel: &Channel, nonce: &str) -> Result<Option<String>, Failure> {
    let failed = |error: lapin::Error| failure(&error);
    want_confirmations(channel).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), own, FieldTable::default()).await.map_err(failed)?.name().clone();
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published = channel.basic_publish("".into(), queue.clone(), mandatory, nonce.as_bytes(), BasicProperties::default());
    let confirmed = published.await.map_err(failed)?.await.map_err(failed)?;
    if confirmed.is_nack() {
        return Err(Failure::new(FailureKind::Overload, "the broker did not take a message"));
    }
    let message = channel.basic_get(queue.clone(), BasicGetOptions::default()).await.map_err(failed)?;
    let read = match message {
        Some(message) => {
            message.delivery.acker.ack(BasicAckOptions::default()).await.map_err(failed)?;
            Some(String::from_utf8_lossy(&message.delivery.data).into_owned())
        }
        None => None,
    };
    channel.queue_delete(queue, QueueDeleteOptions::default()).await.map_err(failed)?;
    Ok(read)
}

/// Asked twice, it changes nothing, but has to be answered.
async fn want_confirmations(channel: &Channel) -> Result<(), Failure> {
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| failure(&error))
}

/// Why brokers block publishers.
const REASONS: [&str; 3] = ["low on memory", "low on disk", "low on disk & memory"];

fn hear(blocked: &mut Option<&'static str>, event: Event) {
    match event {
        Event::ConnectionBlocked(reason) => {
            *blocked = Some(REASONS.into_iter().find(|known| *known == reason).unwrap_or("another reason"));
        }
        Event::ConnectionUnblocked => *blocked = None,
        _ => {}
    }
}

/// The account, `guest` by default as in every client of `RabbitMQ`.
async fn account(credentials: &Credentials, run: &mut Run) -> Result<(String, Zeroizing<String>), Failure> {
    let user = credentials.user.clone().unwrap_or_else(|| "guest".into());
    let password = match &credentials.password {
        Some(password) => run.secret(password).await?,
        None if credentials.user.is_none() || user == "guest" => Zeroizing::new("guest".into()),
        None => Zeroizing::default(),
    };
    Ok((user, password))
}

/// At the login a refusal is about who we are, and one code stands for many reasons, which only its text tells apart.
fn at_login(mut failure: Failure) -> Failure {
    let words = failure.server_message.clone().unwrap_or_default();
    let says = |text: &str| words.contains(text);
    let reason = match failure.code.as_deref() {
        Some("403") => "login",
        Some("530") if says("limit") => "limit",
        Some("530") if says("not found") => "not found",
        Some("530") if says("refused") => "refused",
        Some("530" | "541") if says("is down") => "down",
        _ => return failure,
    };
    failure.code = failure.code.map(|code| format!("{code} {reason}"));
    failure
}

#[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = (part?, whole?);
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "RabbitMQ",
    summary: "RabbitMQ 3.8 and later by AMQP 0-9-1, with its management API where that is named. One connection is kept, \
              two with `expect.writable` or round trips; each has a thread of its own, which the client library wants.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `amqps://`", privilege: "–" },
        LevelRow { level: "handshake", question: "login, and opening the virtual host", privilege: "any permission in the virtual host, be it on nothing" },
        LevelRow { level: "query", question: "a channel, opened and closed", privilege: "the same" },
        LevelRow { level: "deep", question: "`queues` declared passively; with `expect.writable` a message to nobody; with `management` health checks, overview and nodes", privilege: "write on the default exchange for the message, the tag `monitoring` for the API" },
        LevelRow { level: "roundtrip", question: "on the second connection a queue named by the broker, exclusive and auto-deleted: a message published with a confirmation, taken, acknowledged, and the queue deleted", privilege: "configure and read `^amq\\.gen`, write `^amq\\.default$`" },
    ],
    facts: &[
        FactRow { name: "product", metric: false, meaning: "Product, as the broker names itself." },
        FactRow { name: "version", metric: false, meaning: "Version of the broker." },
        FactRow { name: "cluster_name", metric: false, meaning: "Name of its cluster." },
        FactRow { name: "node", metric: false, meaning: "Node that answered (from `management`)." },
        FactRow { name: "erlang_version", metric: false, meaning: "Version of Erlang (from `management`)." },
        FactRow { name: "nodes", metric: true, meaning: "Nodes of the cluster (from `management`)." },
        FactRow { name: "nodes_running", metric: true, meaning: "Nodes that run (from `management`)." },
        FactRow { name: "mem_alarm", metric: true, meaning: "Whether a memory alarm is in force (from `management`)." },
        FactRow { name: "disk_alarm", metric: true, meaning: "Whether a disk alarm is in force (from `management`)." },
        FactRow { name: "partitions", metric: true, meaning: "Partitions that nodes see (from `management`)." },
        FactRow { name: "fd_used_ratio", metric: true, meaning: "Highest share of file descriptors or sockets in use on a node (from `management`)." },
        FactRow { name: "blocked", metric: true, meaning: "Whether publishers are blocked (with `expect.writable` or round trips)." },
        FactRow { name: "queue_messages_ready", metric: true, meaning: "Messages that wait in `queues`, all together." },
        FactRow { name: "queue_consumers", metric: true, meaning: "Consumers of the one of `queues` that has the fewest." },
    ],
    findings: &[
        FindingRow { code: "alarm", meaning: "A memory or disk alarm is in force (observed: which): degraded, unhealthy with `expect.writable`.", remedy: "Free memory or disk on the node, or consume what waits; until then nobody can publish." },
        FindingRow { code: "blocked", meaning: "`expect.writable` is set or round trips are made, and the broker blocks publishers (observed: `low on memory`, `low on disk` or `another reason`) or does not confirm: unhealthy.", remedy: "Free memory or disk on the node, or consume what waits." },
        FindingRow { code: "queue_messages", meaning: "More messages wait in one of `queues` than `degraded.queue_messages`: degraded.", remedy: "Look at its consumers: they are too few, too slow or gone." },
        FindingRow { code: "queue_consumers", meaning: "One of `queues` has fewer consumers than `degraded.queue_consumers`: degraded.", remedy: "Look for the consumers that are gone." },
        FindingRow { code: "vhost_down", meaning: "Virtual hosts are down (observed: which): unhealthy when ours is among them, degraded otherwise.", remedy: "Restart them with `rabbitmqctl restart_vhost`, and read the node's log." },
        FindingRow { code: "no_failure_tolerance", meaning: "Quorum queues or streams would lose their majority without this node: degraded.", remedy: "Bring the missing nodes back before this one is stopped." },
        FindingRow { code: "not_serving", meaning: "The node says that it is not ready to serve clients (RabbitMQ 4.1 and later): degraded.", remedy: "It starts, drains or is in maintenance mode: `rabbitmq-upgrade revive` ends that." },
        FindingRow { code: "node_down", meaning: "Fewer nodes run than the cluster has: degraded.", remedy: "Bring the missing nodes back." },
        FindingRow { code: "partitions", meaning: "Nodes see others as cut off: unhealthy, because their data differ from now on.", remedy: "Mend the network, then choose the side to keep and restart the other." },
        FindingRow { code: "descriptors", meaning: "File descriptors or sockets of a node ≥ `degraded.descriptors` of the limit: degraded.", remedy: "Look for clients that leak connections, or raise the limit." },
    ],
    codes: &[
        CodeRow { code: "403 login", kind: FailureKind::Auth, message: "the broker rejected the credentials", remedy: "" },
        CodeRow { code: "403", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "530 limit", kind: FailureKind::Overload, message: "a limit of connections is reached: of the virtual host, the user or the node", remedy: "Look for clients that leak connections, or raise the limit." },
        CodeRow { code: "530 not found", kind: FailureKind::Config, message: "the virtual host does not exist", remedy: "Correct the path of the URL: none stands for the virtual host `/`, `/` alone for one without a name." },
        CodeRow { code: "530 refused", kind: FailureKind::Permission, message: "the user may not use the virtual host", remedy: "Give the user a permission in it, be it on nothing: `set_permissions -p VHOST USER '' '' ''`." },
        CodeRow { code: "530 down", kind: FailureKind::NotReady, message: "the virtual host is down", remedy: "Restart it with `rabbitmqctl restart_vhost`, and read the node's log." },
        CodeRow { code: "541 down", kind: FailureKind::NotReady, message: "the virtual host is down", remedy: "Restart it with `rabbitmqctl restart_vhost`, and read the node's log." },
        CodeRow { code: "530", kind: FailureKind::Query, message: "the broker does not allow the connection", remedy: "" },
        CodeRow { code: "320", kind: FailureKind::NotReady, message: "the broker ended the connection: it stops, drains, or an operator did it", remedy: "" },
        CodeRow { code: "404", kind: FailureKind::Config, message: "a queue of `queues` does not exist", remedy: "Correct `queues`, or declare the queue." },
        CodeRow { code: "402", kind: FailureKind::Config, message: "the virtual host does not exist", remedy: "" },
        CodeRow { code: "405", kind: FailureKind::Query, message: "a queue of `queues` belongs to another connection alone", remedy: "" },
        CodeRow { code: "406", kind: FailureKind::Config, message: "the broker has it in another form than we asked for", remedy: "" },
        CodeRow { code: "311", kind: FailureKind::Overload, message: "the broker does not take a message of this size", remedy: "" },
        CodeRow { code: "506", kind: FailureKind::Overload, message: "the broker has no resources left", remedy: "" },
        CodeRow { code: "541", kind: FailureKind::Query, message: "the broker met an error of its own", remedy: "Read the broker's log." },
        CodeRow { code: "50*", kind: FailureKind::Protocol, message: "the broker did not understand us", remedy: "" },
        CodeRow { code: "540", kind: FailureKind::Protocol, message: "the broker lacks what we asked for", remedy: "" },
    ],
    unsupported: &[
        "Parameters in the URL (`?heartbeat=…`, `?cacertfile=…`): keys of the entry stand for them.",
        "AMQP 1.0, and the mechanisms AMQPLAIN and RABBIT-CR-DEMO.",
        "An alarm without `management`, `expect.writable` and round trips: the broker tells only those who publish.",
    ],
};
