//! MQTT 5 and 3.1.1: `PINGREQ` answered by `PINGRESP` on a live connection, `$SYS` for the rest.
//!
//! The session is clean, has no will, and its client id is its own: nothing of a probe outlives it, and no two probes
//! throw each other out. Brokers log every connection, so one is kept.
//! Reason codes: <https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html> 2.4.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind},
    finding::Finding,
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        mqtt::{Client, Conversation, Delivery, Packet, Version},
        sniff::Protocol,
    },
};

/// An MQTT broker.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://[user@]host[:1883][,host…]`: of several brokers the first that opens is asked. `mqtts://` for TLS, with
    /// port 8883.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user, or a token where the broker takes one for it.
    password: Option<Secret>,
    /// Client id, where the broker only lets known ones in. No other client may have it, no other replica either.
    client_id: Option<String>,
    /// Version of the protocol, `5` or `3.1.1`; without it 5, and 3.1.1 where the broker does not know 5.
    version: Option<MqttVersion>,
    /// Files and names for TLS; needs `mqtts://`.
    tls: Option<TlsConfig>,
    /// From where on the broker counts as degraded.
    #[serde(default)]
    degraded: MqttDegraded,
}

/// A version of MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum MqttVersion {
    /// The one of 2014.
    #[serde(rename = "3.1.1")]
    Three,
    /// The one of 2019, with reasons for refusals.
    #[serde(rename = "5")]
    Five,
}

/// Limits beyond which an MQTT broker is degraded.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MqttDegraded {
    /// Messages that may be dropped between two deep questions; without it they are not judged.
    dropped_messages: Option<u64>,
}

/// Asks an MQTT broker.
pub struct Mqtt {
    target: Target,
    credentials: Credentials,
    client_id: Option<String>,
    version: Option<Version>,
    degraded: MqttDegraded,
    /// The broker refused version 5; it will again.
    old: AtomicBool,
    /// What sessions leave behind for the next one.
    left: Arc<Left>,
    /// Messages dropped, at the last look.
    dropped: Mutex<Option<u64>>,
}

/// What is known of the sessions before this one.
#[derive(Debug, Default)]
struct Left {
    /// How many there were.
    sessions: AtomicU64,
    /// How many of them another client took over.
    takeovers: AtomicU64,
    /// Whether the last of those was not told of yet.
    untold: AtomicBool,
}

/// An open conversation.
pub struct MqttSession {
    /// `None` only while it is closed.
    conversation: Option<Conversation>,
    number: u64,
    left: Arc<Left>,
    /// How our own messages go.
    delivery: Delivery,
}

/// The values of `$SYS` that Mosquitto and its kin publish, and the facts they are.
const SYS: [(&str, &str); 6] = [
    ("$SYS/broker/version", "broker_version"),
    ("$SYS/broker/uptime", "uptime_seconds"),
    ("$SYS/broker/clients/connected", "clients_connected"),
    ("$SYS/broker/publish/messages/dropped", "messages_dropped_total"),
    ("$SYS/broker/retained messages/count", "retained_messages"),
    ("$SYS/broker/subscriptions/count", "subscriptions"),
];

const TAKEN_OVER: u8 = 0x8e;

/// From this reason code on, something was refused.
const REFUSED: u8 = 0x80;

impl Backend for Mqtt {
    type Config = MqttConfig;
    type Session = MqttSession;

    const KIND: &'static str = "mqtt";
    const EXAMPLE: &'static str = r#"backend = "mqtt"
url = "mqtt://localhost:1883"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Mqtt;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: MqttConfig) -> Result<Self, ConfigError> {
        let MqttConfig { url, username, password, client_id, version, tls, degraded } = config;
        url.expect(&["mqtt", "mqtts"], &[]).map_err(ConfigError::at("url"))?;
        if url.path().is_some() {
            return Err(ConfigError::new("url", "an MQTT URL has no path"));
        }
        let secure = url.scheme() == "mqtts";
        let target = url.target(if secure { 8883 } else { 1883 }, secure, tls)?;
        let version = version.map(|version| match version {
            MqttVersion::Three => Version::Three,
            MqttVersion::Five => Version::Five,
        });
        let credentials = url.credentials(username, password)?;
        if version == Some(Version::Three) && credentials.user.is_none() && credentials.password.is_some() {
            return Err(ConfigError::new("password", "in MQTT 3.1.1 `password` needs `username` beside it"));
        }
        let (old, dropped) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { target, credentials, client_id, version, degraded, old, left: Arc::default(), dropped })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<MqttSession, Failure> {
        let old = self.old.load(Ordering::Relaxed);
        match self.version {
            Some(version) => self.connect(version, run).await,
            None if old => self.connect(Version::Three, run).await,
            None => match self.connect(Version::Five, run).await {
                Err(failure) if failure.code.as_deref().is_some_and(|code| UNKNOWN_VERSION.contains(&code)) => {
                    self.old.store(true, Ordering::Relaxed);
                    run.start_over();
                    self.connect(Version::Three, run).await
                }
                other => other,
            },
        }
    }

    async fn ask(&self, session: &mut MqttSession, run: &mut Run) -> Result<(), Failure> {
        run.fact("session_takeovers_total", self.left.takeovers.load(Ordering::Relaxed));
        if self.left.untold.swap(false, Ordering::Relaxed) {
            run.finding(Finding::degraded("session_taken_over", self.client_id.as_deref().unwrap_or("its client id")));
        }
        let conversation = session.conversation()?;
        conversation.ping().await?;
        loop {
            match next(conversation).await? {
                Packet::PingResp => return Ok(()),
                // What was under way when its subscription ended, or came too late for a round trip.
                Packet::Publish { .. } | Packet::PubAck(_) => {}
                _ => return Err(Failure::new(FailureKind::Protocol, "the answer to PINGREQ is not PINGRESP")),
            }
        }
    }

    async fn examine(&self, session: &mut MqttSession, run: &mut Run) -> Result<(), Failure> {
        let values = sys(session.conversation()?).await?;
        if values.is_empty() {
            run.missing("$SYS");
            return Ok(());
        }
        for (topic, fact) in SYS {
            let Some(value) = values.get(topic) else { continue };
            match fact {
                "broker_version" => run.fact(fact, value.as_str()),
                // "1234 seconds"
                _ => run.fact_if(fact, value.split(' ').next().and_then(|number| number.parse::<u64>().ok())),
            }
        }
        let dropped = values.get("$SYS/broker/publish/messages/dropped").and_then(|value| value.parse::<u64>().ok());
        let before = std::mem::replace(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner), dropped);
        // The counter begins anew with the broker.
        if let (Some(limit), Some(before), Some(now)) = (self.degraded.dropped_messages, before, dropped)
            && now.saturating_sub(before) > limit
        {
            run.finding(Finding::degraded("dropped_messages", now - before).against(limit));
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut MqttSession, run: &mut Run) -> Result<(), Failure> {
        let (topic, nonce) = (format!("probity/{}", run.canary()), run.nonce());
        let (limit, delivery) = (run.question_limit(), session.delivery);
        let conversation = session.conversation()?;
        conversation.subscribe(&[&topic], delivery).await?;
        loop {
            match next(conversation).await? {
                Packet::SubAck(code) if code >= REFUSED => {
                    let reason = conversation.version().reason(code);
                    // 3.1.1 has but the one code, and brokers of 5 that do not say why mean it as they did there.
                    let denied = matches!(code, 0x80 | 0x87);
                    return Err(Failure::server(if denied { format!("SUBACK {reason}") } else { reason }, ""));
                }
                Packet::SubAck(_) => break,
                _ => {}
            }
        }
        let arrived = timeout(limit, echo(conversation, &topic, &nonce, delivery)).await.unwrap_or(Ok(false))?;
        // The answer also shows that the broker does not just hang.
        leave(conversation, &[&topic]).await?;
        run.compare(&nonce, arrived.then_some(&nonce));
        Ok(())
    }

    async fn close(&self, mut session: MqttSession) {
        if let Some(conversation) = session.conversation.take() {
            conversation.disconnect().await;
        }
    }
}

impl Mqtt {
    async fn connect(&self, version: Version, run: &mut Run) -> Result<MqttSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        let id = self.client_id.clone().unwrap_or_else(own_id);
        let client = Client {
            id: &id,
            username: self.credentials.user.as_deref().unwrap_or_default(),
            password: password.as_ref().map_or("", |password| password.as_str()),
        };
        let mut conversation = Conversation::new(run.dial(&self.target).await?, version);
        let (session_present, limits) = run.phase(Phase::Auth, introduce(&mut conversation, &client)).await?;
        run.fact("protocol_version", version.to_string());
        if session_present {
            run.finding(Finding::degraded("protocol_violation", "a session of ours, where none may be"));
        }
        let mut delivery = Delivery::AtLeastOnce;
        if let Some(limits) = limits {
            if limits.max_qos == Some(0) {
                delivery = Delivery::AtMostOnce;
            }
            run.fact_if("server_keep_alive_seconds", limits.server_keep_alive);
            run.fact_if("receive_maximum", limits.receive_max);
            run.fact_if("maximum_qos", limits.max_qos.map(u32::from));
            run.fact_if("retain_available", limits.retain_available.map(|available| available == 1));
            run.fact_if("assigned_client_id", limits.assigned_client_identifier);
        }
        let number = self.left.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(MqttSession { conversation: Some(conversation), number, left: Arc::clone(&self.left), delivery })
    }
}

impl MqttSession {
    fn conversation(&mut self) -> Result<&mut Conversation, Failure> {
        self.conversation.as_mut().ok_or_else(|| Failure::new(FailureKind::Unexpected, "the session has ended"))
    }

    /// Whether the broker's last word was that another client has our id now. A newer session of ours had to do
    /// that, where the id is the same.
    fn was_taken_over(&mut self) -> bool {
        let newest = self.left.sessions.load(Ordering::Relaxed) == self.number;
        let Some(conversation) = self.conversation.as_mut().filter(|_| newest) else { return false };
        // What has arrived is read without waiting; it is little, as nothing is subscribed between two runs.
        while let Some(Ok(packet)) = conversation.packet().now_or_never() {
            if let Packet::Disconnect(code) = packet {
                return code == TAKEN_OVER;
            }
        }
        false
    }
}

/// A session that was lost is let go of without a word. The broker's last word is in it.
impl Drop for MqttSession {
    fn drop(&mut self) {
        if self.was_taken_over() {
            self.left.takeovers.fetch_add(1, Ordering::Relaxed);
            self.left.untold.store(true, Ordering::Relaxed);
        }
    }
}

/// An id of letters and digits that every broker takes (MQTT 5, 3.1.3.1: up to 23 of them).
fn own_id() -> String {
    let random = std::iter::repeat_with(fastrand::alphanumeric).take(16);
    "probity".chars().chain(random).collect()
}

/// From CONNECT to CONNACK.
async fn introduce(
    conversation: &mut Conversation,
    client: &Client<'_>,
) -> Result<(bool, Option<rumqttc::v5::mqttbytes::v5::ConnAckProperties>), Failure> {
    let answer = match conversation.connect(client).await {
        Ok(()) => conversation.packet().await,
        Err(failure) => Err(failure),
    };
    match answer {
        Ok(Packet::ConnAck { code: 0, session_present, properties }) => Ok((session_present, properties)),
        Ok(Packet::ConnAck { code, properties, .. }) => {
            let words = properties.and_then(|properties| properties.reason_string).unwrap_or_default();
            Err(Failure::server(conversation.version().reason(code), words))
        }
        Ok(Packet::Disconnect(code)) => Err(Failure::server(conversation.version().reason(code), "")),
        Ok(_) => Err(Failure::new(FailureKind::Protocol, "the answer to CONNECT is not CONNACK")),
        // Mosquitto at `max_connections` does just that.
        Err(failure) if failure.kind == FailureKind::ConnectionLost && conversation.is_drained() => {
            Err(Failure::new(FailureKind::Overload, "the broker closed the connection instead of answering CONNECT")
                .with_remedy("It may have reached its connection limit, or expect TLS or another protocol; read its log."))
        }
        Err(failure) => Err(failure),
    }
}

/// The next packet, unless the broker takes leave. A message is acknowledged, or the broker would stop sending any.
async fn next(conversation: &mut Conversation) -> Result<Packet, Failure> {
    match conversation.packet().await? {
        Packet::Disconnect(code) => {
            let reason = conversation.version().reason(code);
            // At the login it is about the login, here it is about what we may do.
            Err(Failure::server(if code == 0x87 { "DISCONNECT 0x87".to_owned() } else { reason }, ""))
        }
        Packet::Publish { topic, text, id } => {
            if id > 0 {
                conversation.acknowledge(id).await?;
            }
            Ok(Packet::Publish { topic, text, id })
        }
        packet => Ok(packet),
    }
}

/// Publishes to ourselves and waits for it, or for the broker's refusal, which only version 5 has.
async fn echo(conversation: &mut Conversation, topic: &str, nonce: &str, delivery: Delivery) -> Result<bool, Failure> {
    conversation.publish(topic, nonce, delivery).await?;
    loop {
        match next(conversation).await? {
            // A probe of the same name, such as `--check` beside an agent, has the same topic.
            Packet::Publish { text, .. } if text == nonce => return Ok(true),
            Packet::PubAck(code) if code >= REFUSED => {
                let reason = conversation.version().reason(code);
                // At the login it is about the login.
                return Err(Failure::server(if code == 0x87 { "PUBACK 0x87".to_owned() } else { reason }, ""));
            }
            _ => {}
        }
    }
}

/// Ends subscriptions.
async fn leave(conversation: &mut Conversation, topics: &[&str]) -> Result<(), Failure> {
    conversation.unsubscribe(topics).await?;
    while !matches!(next(conversation).await?, Packet::UnsubAck) {}
    Ok(())
}

/// The values that the broker has of itself: retained, so they come with the subscription. A granted subscription
/// proves nothing, and silence neither; so a ping behind it tells when to stop.
async fn sys(conversation: &mut Conversation) -> Result<HashMap<String, String>, Failure> {
    let topics = SYS.map(|(topic, _)| topic);
    let mut values = HashMap::new();
    conversation.subscribe(&topics, Delivery::AtMostOnce).await?;
    conversation.ping().await?;
    loop {
        match next(conversation).await? {
            Packet::Publish { topic, text, .. } if topics.contains(&topic.as_str()) => drop(values.insert(topic, text)),
            Packet::PingResp => break,
            _ => {}
        }
    }
    leave(conversation, &topics).await?;
    Ok(values)
}

/// How a broker refuses version 5: in its own words, or in those of version 3.
const UNKNOWN_VERSION: [&str; 2] = ["0x84", "0x01"];

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "MQTT",
    summary: "Brokers of MQTT 5 and 3.1.1: Mosquitto, EMQX, HiveMQ, VerneMQ, RabbitMQ and NATS with MQTT, and those of \
              clouds. One connection is kept and pinged.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `mqtts://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`CONNECT` with a clean session and no will", privilege: "may connect" },
        LevelRow { level: "query", question: "`PINGREQ`, answered by `PINGRESP`", privilege: "may connect" },
        LevelRow { level: "deep", question: "six values of `$SYS/broker/…`, subscribed and left again", privilege: "read `$SYS/broker/#`" },
        LevelRow { level: "roundtrip", question: "`PUBLISH` to ourselves on `probity/…`, not retained, QoS 1 where the broker has it", privilege: "read and write `probity/#`" },
    ],
    facts: &[
        FactRow { name: "protocol_version", metric: false, meaning: "Version of the protocol that is spoken." },
        FactRow { name: "broker_version", metric: false, meaning: "Product and version, as `$SYS` has them." },
        FactRow { name: "server_keep_alive_seconds", metric: false, meaning: "Silence that the broker allows, where it says so." },
        FactRow { name: "receive_maximum", metric: false, meaning: "Messages that may be under way at once (version 5)." },
        FactRow { name: "maximum_qos", metric: false, meaning: "Highest quality of service, where it is below 2 (version 5)." },
        FactRow { name: "retain_available", metric: false, meaning: "Whether messages may be retained (version 5)." },
        FactRow { name: "assigned_client_id", metric: false, meaning: "Client id that the broker gave us instead of ours." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the broker started (`$SYS`)." },
        FactRow { name: "clients_connected", metric: true, meaning: "Clients connected (`$SYS`)." },
        FactRow { name: "messages_dropped_total", metric: true, meaning: "Messages dropped at limits of clients (`$SYS`)." },
        FactRow { name: "retained_messages", metric: true, meaning: "Messages retained (`$SYS`)." },
        FactRow { name: "subscriptions", metric: true, meaning: "Subscriptions of all clients (`$SYS`)." },
        FactRow { name: "session_takeovers_total", metric: true, meaning: "How often another client took our id, and with it our session (version 5 says so)." },
    ],
    findings: &[
        FindingRow { code: "session_taken_over", meaning: "Another client connected with our client id and threw us out (observed: the id): degraded.", remedy: "Give each replica a `client_id` of its own, or leave it out: then it is random." },
        FindingRow { code: "protocol_violation", meaning: "The broker claims a session of ours although a clean one was asked for: degraded.", remedy: "Report it to the broker's makers." },
        FindingRow { code: "dropped_messages", meaning: "More messages were dropped since the deep question before than `degraded.dropped_messages`: degraded.", remedy: "Look for subscribers that are too slow or away, and at the broker's queue limits." },
    ],
    codes: &[
        CodeRow { code: "1", kind: FailureKind::Protocol, message: "the broker does not know this version of MQTT", remedy: "Leave `version` out, or use another one." },
        CodeRow { code: "0x01", kind: FailureKind::Protocol, message: "the broker does not know version 5 of MQTT", remedy: "Leave `version` out, or use `3.1.1`." },
        CodeRow { code: "0x84", kind: FailureKind::Protocol, message: "the broker does not know this version of MQTT", remedy: "Leave `version` out, or use another one." },
        CodeRow { code: "0x81", kind: FailureKind::Protocol, message: "the broker did not understand us", remedy: "" },
        CodeRow { code: "0x82", kind: FailureKind::Protocol, message: "the broker did not understand us", remedy: "" },
        CodeRow { code: "2", kind: FailureKind::Config, message: "the broker does not accept our client id", remedy: "" },
        CodeRow { code: "0x85", kind: FailureKind::Config, message: "the broker does not accept our client id", remedy: "" },
        CodeRow { code: "3", kind: FailureKind::NotReady, message: "the broker is not available", remedy: "" },
        CodeRow { code: "0x88", kind: FailureKind::NotReady, message: "the broker is not available", remedy: "" },
        CodeRow { code: "0x8B", kind: FailureKind::NotReady, message: "the broker shuts down", remedy: "" },
        CodeRow { code: "0x98", kind: FailureKind::NotReady, message: "an operator ended the connection", remedy: "" },
        CodeRow { code: "0x9C", kind: FailureKind::NotReady, message: "the broker sends us to another server", remedy: "" },
        CodeRow { code: "0x9D", kind: FailureKind::NotReady, message: "the broker has moved to another server", remedy: "" },
        CodeRow { code: "4", kind: FailureKind::Auth, message: "the broker rejected the credentials", remedy: "" },
        CodeRow { code: "5", kind: FailureKind::Auth, message: "the broker rejected the credentials, or does not let us in", remedy: "" },
        CodeRow { code: "0x86", kind: FailureKind::Auth, message: "the broker rejected the credentials", remedy: "" },
        CodeRow { code: "0x87", kind: FailureKind::Auth, message: "the broker rejected the credentials, or does not let us in", remedy: "" },
        CodeRow { code: "0x8A", kind: FailureKind::Auth, message: "the broker has banned us", remedy: "" },
        CodeRow { code: "0x8C", kind: FailureKind::Auth, message: "the broker wants another way to log in", remedy: "" },
        CodeRow { code: "SUBACK*", kind: FailureKind::Permission, message: "the broker does not let us subscribe to our own topic", remedy: "Allow reading `probity/#`." },
        CodeRow { code: "PUBACK 0x87", kind: FailureKind::Permission, message: "the broker does not let us publish to our own topic", remedy: "Allow writing `probity/#`." },
        CodeRow { code: "DISCONNECT 0x87", kind: FailureKind::Permission, message: "the broker does not allow what we asked", remedy: "" },
        CodeRow { code: "0x89", kind: FailureKind::Overload, message: "the broker is busy", remedy: "" },
        CodeRow { code: "0x93", kind: FailureKind::Overload, message: "the broker has too many messages of ours under way", remedy: "" },
        CodeRow { code: "0x96", kind: FailureKind::Overload, message: "the broker finds us too fast", remedy: "" },
        CodeRow { code: "0x97", kind: FailureKind::Overload, message: "a quota of the broker is used up", remedy: "" },
        CodeRow { code: "0x9F", kind: FailureKind::Overload, message: "the broker takes no more connections at this rate", remedy: "" },
        CodeRow { code: "0x8D", kind: FailureKind::Timeout, message: "the broker heard nothing of us for too long", remedy: "" },
        CodeRow { code: "0x8E", kind: FailureKind::Config, message: "another client connected with our client id", remedy: "Give each replica a `client_id` of its own, or leave it out: then it is random." },
        CodeRow { code: "0x8F", kind: FailureKind::Config, message: "the broker does not accept a topic filter", remedy: "" },
        CodeRow { code: "0x90", kind: FailureKind::Config, message: "the broker does not accept a topic", remedy: "" },
        CodeRow { code: "0x95", kind: FailureKind::Config, message: "a packet is too large for the broker", remedy: "" },
        CodeRow { code: "0x9A", kind: FailureKind::Config, message: "the broker does not retain messages", remedy: "" },
        CodeRow { code: "0x9B", kind: FailureKind::Config, message: "the broker does not know this quality of service", remedy: "" },
        CodeRow { code: "0x80", kind: FailureKind::Query, message: "the broker does not say why it refuses us", remedy: "" },
        CodeRow { code: "0x83", kind: FailureKind::Query, message: "the broker refuses us for a reason of its own", remedy: "" },
    ],
    unsupported: &[
        "WebSocket URLs (`ws://`, `wss://`), and ALPN where MQTT shares port 443.",
        "Enhanced authentication of version 5 (SCRAM, Kerberos).",
        "`$SYS` of EMQX, HiveMQ and clouds, which differs or is closed: coverage is then partial.",
    ],
};
