//! NATS and `JetStream`: `PING` answered by `PONG` on a live connection, `$JS.API.INFO` for `JetStream`.
//!
//! Only a live connection hears that its server goes into lame duck mode, and only `$JS.API.INFO` tells
//! `JetStream` off from `JetStream` without a leader; `/healthz` stays green in both cases. It stays green, and
//! `$JS.API.INFO` well, with the storage full, too: then a message is refused, and a replicated stream has no leader.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    address::{Address, Credentials, checked},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind, FaultDomain},
    finding::Finding,
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        api::{self, Headers},
        dial::Target,
        nats::{
            Greeting, Jsz, Link, ServerInfo, Storage, Varz,
            jetstream::{Account, Api, Limits, NO_RESPONDERS, StreamInfo},
            refusal,
        },
        sniff::Protocol,
        stream::Stream,
    },
};

/// A NATS server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://[user@]host[:4222][,host…]`: of several servers the first that opens is asked. `tls://` for TLS. A user without a password is a token.
    #[schemars(extend("x-user-is-secret" = true))]
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Token, instead of a user.
    token: Option<Secret>,
    /// Seed of an `NKey`, instead of a user.
    nkey: Option<Secret>,
    /// Contents of a `.creds` file (JWT and seed), instead of a user.
    credentials: Option<Secret>,
    /// Files and names for TLS; needs `tls://`.
    tls: Option<TlsConfig>,
    /// TLS from the first byte, for servers with `handshake_first`.
    #[serde(default)]
    handshake_first: bool,
    /// Monitoring endpoint of the server, such as `http://host:8222`: connections, storage, meta leader.
    monitor: Option<Address>,
    /// Streams that the service needs: each must have a leader, without which it takes and gives nothing.
    #[serde(default)]
    streams: Vec<String>,
    /// Stream of the subject `_PROBITY.>`, which stores the message of round trips; without it they only pass the server.
    canary_stream: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: NatsExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: NatsDegraded,
}

/// What must be true of a NATS server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NatsExpect {
    /// `JetStream` must be there and have a leader.
    jetstream: bool,
    /// Servers that the cluster must have, as this one knows them.
    #[schemars(range(min = 1))]
    min_servers: Option<usize>,
}

/// Limits above which a NATS server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NatsDegraded {
    /// Share of `JetStream`'s memory, storage or streams in use.
    #[schemars(range(min = 0.0, max = 1.0))]
    jetstream_usage: f64,
    /// Share of `max_connections` in use; needs `monitor`.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
}

impl Default for NatsDegraded {
    fn default() -> Self {
        Self { jetstream_usage: 0.85, connections: 0.85 }
    }
}

/// Asks a NATS server.
pub struct Nats {
    target: Target,
    login: Login,
    monitor: Option<Target>,
    streams: Vec<String>,
    canary_stream: Option<String>,
    expect: NatsExpect,
    degraded: NatsDegraded,
}

enum Login {
    Nobody,
    User(String, Secret),
    Token(Secret),
    NKey(Secret),
    Jwt(Secret),
}

/// An open conversation.
pub struct NatsSession {
    client: Client,
    link: Link,
    greeting: ServerInfo,
    jetstream: Api,
}

impl Backend for Nats {
    type Config = NatsConfig;
    type Session = NatsSession;

    const KIND: &'static str = "nats";
    const EXAMPLE: &'static str = r#"backend = "nats"
url = "nats://localhost:4222"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Nats;
    const GREETS: bool = true;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: NatsConfig) -> Result<Self, ConfigError> {
        let NatsConfig { url, username, password, token, nkey, credentials, tls, handshake_first, monitor, .. } = config;
        let NatsConfig { streams, canary_stream, expect, degraded, .. } = config;
        url.expect(&["nats", "tls"], &[]).map_err(ConfigError::at("url"))?;
        let mut target = url.target(4222, url.scheme() == "tls", tls)?;
        target.upgrade = target.tls.is_some() && !handshake_first;
        if handshake_first && target.tls.is_none() {
            return Err(ConfigError::new("handshake_first", "`handshake_first` needs `tls://`"));
        }
        let monitor = monitor
            .map(|address| {
                address.expect(&["http", "https"], &[]).map_err(ConfigError::at("monitor"))?;
                address.one_host("`monitor` is that of one server").map_err(ConfigError::at("monitor"))?;
                let target = address.target(8222, address.scheme() == "https", None)?;
                target.tls.clone().map_or(Ok(()), |tls| checked(tls).map(drop))?;
                Ok(target)
            })
            .transpose()?;
        let user = url.credentials(username, password)?;
        let given = [token.is_some(), nkey.is_some(), credentials.is_some(), user.user.is_some()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err(ConfigError::new("", "only one of user, `token`, `nkey` and `credentials` can be used"));
        }
        let login = match (token, nkey, credentials) {
            (Some(token), _, _) => Login::Token(token),
            (_, Some(seed), _) => Login::NKey(seed),
            (_, _, Some(jwt)) => Login::Jwt(jwt),
            _ => match user {
                Credentials { user: Some(user), password: Some(password) } => Login::User(user, password),
                Credentials { user: Some(token), password: None } => Login::Token(Secret::value(token)),
                Credentials { user: None, password: Some(_) } => {
                    return Err(ConfigError::new("password", "`password` needs `username` beside it"));
                }
                Credentials { user: None, password: None } => Login::Nobody,
            },
        };
        if !streams.iter().all(|stream| is_stream(stream)) {
            return Err(ConfigError::new("streams", NO_STREAM));
        }
        if canary_stream.as_ref().is_some_and(|stream| !is_stream(stream)) {
            return Err(ConfigError::new("canary_stream", NO_STREAM));
        }
        Ok(Self { target, login, monitor, streams, canary_stream, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<NatsSession, Failure> {
        let login = self.login(run).await?;
        let mut stream = run.dial(&self.target).await.map_err(|failure| self.hint(failure))?;
        let greeting = run.phase(Phase::Auth, Greeting::read(&mut stream)).await.map_err(|failure| self.hint(failure))?;
        if let Some(refusal) = greeting.refusal() {
            return Err(refusal);
        }
        if self.target.upgrade {
            stream = self.upgrade(stream, &greeting, run).await?;
        } else if self.target.tls.is_none() && greeting.info.tls_required {
            return Err(Failure::new(FailureKind::Tls, "the server requires TLS")
                .with_code("tls_expected")
                .with_remedy("Use `tls://`.")
                .with_domain(FaultDomain::Probe));
        }
        let info = greeting.info.clone();
        run.fact("server_name", info.server_name.as_str());
        run.fact("version", info.version.as_str());
        run.fact("jetstream", info.jetstream);
        run.fact("max_payload_bytes", info.max_payload);
        run.fact_if("cluster_name", info.cluster.clone());
        run.fact_if("jetstream_domain", info.domain.clone());
        let link = Link::start(stream, greeting).await?;
        let client = run
            .phase(Phase::Auth, async {
                let connected = login.connect(format!("nats://{}", link.address)).await;
                connected.map_err(|error| match error.kind() {
                    ConnectErrorKind::Authentication => {
                        Failure::new(FailureKind::Config, "the NKey seed or credentials cannot be used to sign")
                    }
                    _ => link.end(),
                })
            })
            .await?;
        Ok(NatsSession { client, link, greeting: info, jetstream: Api::default() })
    }

    async fn ask(&self, session: &mut NatsSession, run: &mut Run) -> Result<(), Failure> {
        session.link.ping().await?;
        let (lame_duck, urls) = session.known(|info| (info.ldm, info.connect_urls.len()));
        run.fact("lame_duck", lame_duck);
        run.fact("connect_urls", urls);
        if lame_duck {
            run.finding(Finding::degraded("lame_duck", "the server shuts down"));
        }
        Ok(())
    }

    async fn examine(&self, session: &mut NatsSession, run: &mut Run) -> Result<(), Failure> {
        let (jetstream, servers) = session.known(|info| (info.jetstream, info.connect_urls.len().max(1)));
        if let Some(least) = self.expect.min_servers.filter(|least| servers < *least) {
            run.finding(Finding::degraded("cluster_size", servers).against(least));
        }
        if (jetstream || self.needs_jetstream()) && self.examine_jetstream(session, run).await? {
            self.examine_streams(session, run).await?;
        }
        match &self.monitor {
            Some(monitor) => self.examine_monitor(monitor, run).await,
            None => Ok(()),
        }
    }

    async fn roundtrip(&self, session: &mut NatsSession, run: &mut Run) -> Result<(), Failure> {
        let (subject, nonce) = (format!("_PROBITY.{}", run.canary()), run.nonce());
        let NatsSession { client, link, jetstream, .. } = session;
        let read = if let Some(stream) = &self.canary_stream {
            jetstream.store((client, link), stream, &subject, &nonce, run).await?
        } else {
            let arrived = tokio::select! {
                arrived = timeout(run.question_limit(), echo(client, &subject, &nonce)) => arrived == Ok(true),
                refusal = refused(link, &subject) => return Err(Failure::server(refusal.clone(), refusal)),
            };
            arrived.then(|| nonce.clone())
        };
        // Whoever still answers has dropped it; a server that hangs or is gone has not.
        if read.is_none() {
            link.ping().await?;
        }
        run.compare(&nonce, read.as_deref());
        Ok(())
    }

    async fn close(&self, session: NatsSession) {
        // Letting go of the client ends it; the link passes the end on to the server.
        drop(session.client);
        session.link.closed().await;
    }
}

impl NatsSession {
    /// Looks at the latest that the server said of itself.
    fn known<T>(&self, look: impl FnOnce(&ServerInfo) -> T) -> T {
        look(self.link.heard().info.as_ref().unwrap_or(&self.greeting))
    }
}

impl Nats {
    async fn login(&self, run: &mut Run) -> Result<ConnectOptions, Failure> {
        let options = match &self.login {
            Login::Nobody => ConnectOptions::new(),
            Login::User(user, password) => {
                ConnectOptions::with_user_and_password(user.clone(), run.secret(password).await?.to_string())
            }
            Login::Token(token) => ConnectOptions::with_token(run.secret(token).await?.to_string()),
            Login::NKey(seed) => ConnectOptions::with_nkey(run.secret(seed).await?.trim().to_owned()),
            Login::Jwt(jwt) => ConnectOptions::with_credentials(&run.secret(jwt).await?)
                .map_err(|_| Failure::new(FailureKind::Config, "`credentials` is not the contents of a .creds file"))?,
        };
        // The library may neither wander off to other servers nor ping by itself: the frame does both.
        Ok(options
            .name("probity")
            .ignore_discovered_servers()
            .max_reconnects(1)
            .connection_timeout(run.remaining())
            .ping_interval(Duration::from_hours(24))
            .read_buffer_capacity(4096))
    }

    /// TLS behind the greeting, which came in plain text: nothing more may come in plain text then.
    async fn upgrade(&self, stream: Stream, greeting: &Greeting, run: &mut Run) -> Result<Stream, Failure> {
        if !greeting.info.tls_required && !greeting.info.tls_available {
            return Err(Failure::new(FailureKind::Tls, "the server does not offer TLS on this port")
                .with_code("plaintext")
                .with_remedy("Switch TLS on in the server, or use `nats://`."));
        }
        if greeting.has_rest() {
            return Err(Failure::new(FailureKind::Protocol, "the server went on in plain text where TLS must begin"));
        }
        let upgraded = run.upgrade(stream, &self.target).await;
        // A full server refuses in plain text whoever is about to begin with TLS.
        upgraded.map_err(|failure| match failure.kind {
            FailureKind::Tls => refusal(&run.first_bytes()).unwrap_or(failure),
            _ => failure,
        })
    }

    /// A side that begins with TLS and one that begins with a greeting never understand each other.
    fn hint(&self, failure: Failure) -> Failure {
        let tls_first = self.target.tls.is_some() && !self.target.upgrade;
        match failure.kind {
            FailureKind::Tls if tls_first && failure.code.as_deref() == Some("plaintext") => {
                failure.with_remedy("The server greets before TLS: leave `handshake_first` out.")
            }
            FailureKind::Timeout if !tls_first && failure.phase == Some(Phase::Auth) => failure.with_remedy(
                "The server accepts connections but does not greet: the port may belong to another protocol, or the \
                 process is stopped. One with `handshake_first` waits for TLS: use `tls://` and `handshake_first = true`.",
            ),
            _ => failure,
        }
    }

    fn needs_jetstream(&self) -> bool {
        self.expect.jetstream || !self.streams.is_empty()
    }

    /// Whether there is a `JetStream` whose streams can be asked for.
    async fn examine_jetstream(&self, session: &mut NatsSession, run: &mut Run) -> Result<bool, Failure> {
        const QUESTION: &str = "$JS.API.INFO";
        let NatsSession { client, link, jetstream, .. } = session;
        let answer = jetstream.ask::<Account>((client, link), QUESTION, String::new(), run).await;
        let failure = match answer {
            Ok(Some(account)) => {
                self.judge_account(&account, run);
                return Ok(true);
            }
            Ok(None) => Failure::server("no answer", ""),
            Err(failure) => failure,
        };
        let unhealthy = self.expect.jetstream;
        match failure.code.as_deref() {
            None => return Err(failure),
            Some("no answer") => {
                run.finding(Finding::when(unhealthy, "jetstream_silent", "no answer"));
                return Ok(false);
            }
            Some(code @ (NO_RESPONDERS | "10039" | "10076" | "10035")) => {
                run.fact("jetstream", false);
                if self.needs_jetstream() {
                    let observed = if code == NO_RESPONDERS { code } else { "not enabled for this account" };
                    run.finding(Finding::unhealthy("jetstream_off", observed));
                }
                return Ok(false);
            }
            Some(code @ ("10008" | "10004" | "10009")) => run.finding(Finding::when(unhealthy, "no_meta_leader", code)),
            Some(code) if code.starts_with("Permissions Violation") => run.missing(QUESTION),
            Some(code) => run.finding(Finding::when(unhealthy, "jetstream_error", code)),
        }
        Ok(true)
    }

    fn judge_account(&self, account: &Account, run: &mut Run) {
        run.fact("js_memory_bytes", account.memory);
        run.fact("js_storage_bytes", account.storage);
        run.fact("js_streams", account.streams);
        let Limits { max_memory, max_storage, max_streams } = account.limits;
        for (used, limit) in [(account.memory, max_memory), (account.storage, max_storage), (account.streams, max_streams)] {
            self.judge_usage(used, limit, run);
        }
    }

    /// Also with the meta leader gone: one of a stream may be left, or not.
    async fn examine_streams(&self, session: &mut NatsSession, run: &mut Run) -> Result<(), Failure> {
        let NatsSession { client, link, jetstream, .. } = session;
        for name in &self.streams {
            let question = format!("$JS.API.STREAM.INFO.{name}");
            match jetstream.ask::<StreamInfo>((client, link), &question, String::new(), run).await {
                Ok(Some(stream)) if stream.has_leader() => {}
                Ok(_) => run.finding(Finding::unhealthy("stream_leader", name.as_str())),
                Err(failure) => match failure.code.as_deref() {
                    Some("10008" | "10004" | "10009" | "10118") => {
                        run.finding(Finding::unhealthy("stream_leader", name.as_str()));
                    }
                    Some(code) if code.starts_with("Permissions Violation") => run.missing(question),
                    _ => return Err(failure),
                },
            }
        }
        Ok(())
    }

    fn judge_usage(&self, used: u64, limit: i64, run: &mut Run) {
        if let Some(share) =
            share(used, u64::try_from(limit).unwrap_or(0)).filter(|share| *share >= self.degraded.jetstream_usage)
        {
            run.finding(Finding::degraded("jetstream_usage", share).against(self.degraded.jetstream_usage));
        }
    }

    async fn examine_monitor(&self, monitor: &Target, run: &mut Run) -> Result<(), Failure> {
        let pages = run.beside(async |run| {
            let headers = Headers::of(monitor, run)?;
            let mut api = api::Api::open_beside(run, monitor, headers).await?;
            let varz: Varz = api.get("/varz", run).await?.document()?;
            let jsz: Jsz = api.get("/jsz", run).await?.document()?;
            api.close().await;
            Ok::<_, Failure>((varz, jsz))
        });
        let Ok((varz, jsz)) = pages.await else {
            run.missing("monitor");
            return Ok(());
        };
        run.fact("connections", varz.connections);
        run.fact("slow_consumers_total", varz.slow_consumers);
        if let Some(share) = share(varz.connections, varz.max_connections).filter(|share| *share >= self.degraded.connections) {
            run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
        }
        if let Some(Storage { max_memory, max_storage }) = jsz.config {
            run.fact("js_storage_limit_bytes", max_storage);
            // Usage of the account is known already; this is the server's own, where a full disk shows.
            self.judge_usage(jsz.memory, max_memory, run);
            self.judge_usage(jsz.storage, max_storage, run);
        }
        if let Some(meta) = jsz.meta_cluster {
            match meta.leader {
                Some(leader) if !leader.is_empty() => run.fact("meta_leader", leader),
                // The answer to $JS.API.INFO may have said so already.
                _ if run.notes.findings.iter().any(|finding| finding.code == "no_meta_leader") => {}
                _ => run.finding(Finding::when(self.expect.jetstream, "no_meta_leader", "none in /jsz")),
            }
        }
        Ok(())
    }
}

/// Publishes to ourselves. False when the library gave up on the connection.
async fn echo(client: &Client, subject: &str, nonce: &str) -> bool {
    let Ok(mut messages) = client.subscribe(subject.to_owned()).await else { return false };
    if client.publish(subject.to_owned(), nonce.to_owned().into()).await.is_err() {
        return false;
    }
    while let Some(message) = messages.next().await {
        // A probe of the same name, such as `--check` beside an agent, has the same subject.
        if message.payload == nonce.as_bytes() {
            return messages.unsubscribe().await.is_ok();
        }
    }
    false
}

/// Waits until the server refuses this subject; it names it, and may still owe us the refusal of another one.
async fn refused(link: &Link, subject: &str) -> String {
    loop {
        let words = link.refused().await;
        if words.contains(subject) {
            return words;
        }
    }
}

const NO_STREAM: &str =
    "the name of a stream has 1 to 255 characters, none of them a space, a control character or one of `.*>/\\`";

/// Whether a stream can have this name: it is a part of subjects.
fn is_stream(name: &str) -> bool {
    !name.is_empty() && name.len() < 256 && !name.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c))
}

#[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
fn share(used: u64, limit: u64) -> Option<f64> {
    (limit > 0).then(|| used as f64 / limit as f64)
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "NATS",
    summary: "NATS servers 2.x, alone or in a cluster, with or without JetStream. One connection is kept and pinged.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `handshake_first`", privilege: "–" },
        LevelRow { level: "handshake", question: "`INFO`, TLS, `CONNECT`, `PING`", privilege: "a user" },
        LevelRow { level: "query", question: "`PING`, answered by `PONG`", privilege: "a user" },
        LevelRow { level: "deep", question: "`$JS.API.INFO`; `$JS.API.STREAM.INFO.…` of each of `streams`; with `monitor` also `/varz` and `/jsz`", privilege: "publish `$JS.API.INFO` and `$JS.API.STREAM.INFO.…`, subscribe `_INBOX.>`" },
        LevelRow { level: "roundtrip", question: "a message to ourselves on `_PROBITY.…`, which a stream of `>` would keep; with `canary_stream` a message that this stream acknowledges, gives back and removes", privilege: "publish and subscribe `_PROBITY.>`; for `canary_stream`, which somebody has made of the subject `_PROBITY.>` and with a short `max_age`, publish `_PROBITY.>`, `$JS.API.STREAM.MSG.GET.…` and `$JS.API.STREAM.MSG.DELETE.…`, subscribe `_INBOX.>`" },
    ],
    facts: &[
        FactRow { name: "server_name", metric: false, meaning: "Name of the server." },
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "cluster_name", metric: false, meaning: "Name of its cluster." },
        FactRow { name: "jetstream", metric: true, meaning: "Whether JetStream is on." },
        FactRow { name: "jetstream_domain", metric: false, meaning: "JetStream domain." },
        FactRow { name: "max_payload_bytes", metric: false, meaning: "Largest message." },
        FactRow { name: "lame_duck", metric: true, meaning: "Whether the server has announced its shutdown." },
        FactRow { name: "connect_urls", metric: true, meaning: "Servers of the cluster that clients are told of." },
        FactRow { name: "connections", metric: true, meaning: "Client connections (from `monitor`)." },
        FactRow { name: "slow_consumers_total", metric: true, meaning: "Slow consumers since the start (from `monitor`)." },
        FactRow { name: "meta_leader", metric: false, meaning: "Leader of JetStream's meta group (from `monitor`)." },
        FactRow { name: "js_memory_bytes", metric: true, meaning: "Memory of the account's streams." },
        FactRow { name: "js_storage_bytes", metric: true, meaning: "File storage of the account's streams." },
        FactRow { name: "js_streams", metric: true, meaning: "Streams of the account." },
        FactRow { name: "js_storage_limit_bytes", metric: true, meaning: "File storage the server may use (from `monitor`)." },
    ],
    findings: &[
        FindingRow { code: "lame_duck", meaning: "The server has announced its shutdown on the live connection: degraded.", remedy: "Clients should reconnect elsewhere; new connections are refused soon." },
        FindingRow { code: "jetstream_off", meaning: "`expect.jetstream` is set, and nobody answers `$JS.API.INFO` or the account has none: unhealthy.", remedy: "Enable JetStream on the server and for the account." },
        FindingRow { code: "no_meta_leader", meaning: "JetStream has no leader of its meta group (code 10008, or none in `/jsz`): degraded, unhealthy with `expect.jetstream`.", remedy: "Bring the missing servers of the cluster back: most of them must run." },
        FindingRow { code: "jetstream_silent", meaning: "`$JS.API.INFO` was not answered within a second: degraded, unhealthy with `expect.jetstream`.", remedy: "Look at the server's log; the leader may be gone." },
        FindingRow { code: "jetstream_error", meaning: "`$JS.API.INFO` was answered with another error (observed): degraded, unhealthy with `expect.jetstream`.", remedy: "Look the code up in the server's errors.json." },
        FindingRow { code: "jetstream_usage", meaning: "Memory, storage or streams ≥ `degraded.jetstream_usage` of the limit: degraded.", remedy: "Remove or shrink streams, or raise the limit: publishing fails when it is full." },
        FindingRow { code: "stream_leader", meaning: "One of `streams` (observed) has no leader, or says nothing: unhealthy. With the storage of a cluster full all of a stream's servers refuse to lead it, while `/healthz` and `$JS.API.INFO` are well.", remedy: "Bring the missing servers back; look for full storage in `/jsz` and for `resource limits exceeded` in the servers' logs." },
        FindingRow { code: "cluster_size", meaning: "Fewer servers than `expect.min_servers`: degraded.", remedy: "Bring the missing servers back." },
        FindingRow { code: "connections", meaning: "Connections ≥ `degraded.connections` of `max_connections` (from `monitor`): degraded.", remedy: "Look for clients that leak connections, or raise `max_connections`." },
    ],
    codes: &[
        CodeRow { code: "Authorization Violation", kind: FailureKind::Auth, message: "the server rejected the credentials", remedy: "" },
        CodeRow { code: "Authentication Timeout", kind: FailureKind::Auth, message: "the server waited in vain for a login", remedy: "" },
        CodeRow { code: "Authorization Timeout", kind: FailureKind::Auth, message: "the server waited in vain for a login", remedy: "" },
        CodeRow { code: "User Authentication Expired", kind: FailureKind::Auth, message: "the user's credentials have expired", remedy: "Issue new credentials." },
        CodeRow { code: "Account Authentication Expired", kind: FailureKind::Auth, message: "the account's credentials have expired", remedy: "Issue new credentials." },
        CodeRow { code: "Permissions Violation*", kind: FailureKind::Permission, message: "the user may not use this subject", remedy: "Allow publishing `$JS.API.INFO` and subscribing `_INBOX.>`; for round trips both on `_PROBITY.>`, or what the reference page says of `canary_stream`." },
        CodeRow { code: "Secure Connection - TLS Required", kind: FailureKind::Tls, message: "the server requires TLS", remedy: "Use `tls://`." },
        CodeRow { code: "maximum connections exceeded", kind: FailureKind::Overload, message: "the server has reached its limit of connections", remedy: "Look for clients that leak connections, or raise `max_connections`." },
        CodeRow { code: "maximum account active connections exceeded", kind: FailureKind::Overload, message: "the account has reached its limit of connections", remedy: "" },
        CodeRow { code: "Slow Consumer", kind: FailureKind::Overload, message: "the server dropped us as a slow consumer", remedy: "" },
        CodeRow { code: "Maximum Payload Violation", kind: FailureKind::Config, message: "the server refused the size of our message", remedy: "" },
        CodeRow { code: "Unknown Protocol Operation", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "Parser Error", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "Invalid Client Protocol", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "Attempted To Connect To Route Port", kind: FailureKind::Protocol, message: "the port is for other servers, not for clients", remedy: "Use the client port, 4222 by default." },
        CodeRow { code: "Attempted To Connect To*", kind: FailureKind::Protocol, message: "the port is for other servers, not for clients", remedy: "Use the client port, 4222 by default." },
        CodeRow { code: "Stale Connection", kind: FailureKind::Timeout, message: "the server missed answers to its pings", remedy: "" },
        CodeRow { code: "no responders", kind: FailureKind::NotReady, message: "nobody takes what JetStream should: it is off, no stream has the subject, or its stream has no leader", remedy: "Look at the stream (`nats stream info`); with the storage full, none of its servers leads it." },
        CodeRow { code: "10023", kind: FailureKind::Overload, message: "JetStream's storage on the server is full", remedy: "Remove or shrink streams, or raise `max_file` and `max_mem`." },
        CodeRow { code: "10002", kind: FailureKind::Overload, message: "the account has used up its JetStream limits", remedy: "Remove or shrink streams, or raise the account's limits." },
        CodeRow { code: "10077", kind: FailureKind::Overload, message: "the stream is full and keeps its oldest messages", remedy: "Let it discard old messages, or raise its limits." },
        CodeRow { code: "10059", kind: FailureKind::Config, message: "the stream does not exist", remedy: "Correct `streams` or `canary_stream`, or create the stream." },
        CodeRow { code: "10060", kind: FailureKind::Config, message: "another stream than `canary_stream` takes `_PROBITY.>`", remedy: "Correct `canary_stream`, or the streams' subjects." },
        CodeRow { code: "10008", kind: FailureKind::NotReady, message: "JetStream has no leader", remedy: "Bring the missing servers of the cluster back: most of them must run." },
        CodeRow { code: "10039", kind: FailureKind::NotReady, message: "JetStream is not enabled for this account", remedy: "" },
        CodeRow { code: "Server Shutdown", kind: FailureKind::NotReady, message: "the server shuts down", remedy: "" },
    ],
    unsupported: &[
        "WebSocket URLs (`ws://`, `wss://`), OCSP, proxies.",
        "System account requests (`$SYS.REQ.…`): use `monitor`.",
    ],
};
