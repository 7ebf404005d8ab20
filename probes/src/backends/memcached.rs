//! Memcached: `version` on a warm session, `stats` for the rest.
//!
//! A full cache is no illness: it evicts. One that may not evict, refuses connections or no longer accepts them is
//! ill. Nothing here is logged by a server. An own question is a key, which is looked at without making it younger
//! where the server can do that (`mg` with the flag `u`, from 1.6 on); no other key is touched.

use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, LONGEST_VALUE, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        memcached::{Conversation, Stats, refusal},
        sniff::Protocol,
    },
};

/// A Memcached server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemcachedConfig {
    /// `memcached://[user@]host[:11211]`; `memcached+tls://` for TLS; `unix:///path` for a socket.
    url: Address,
    /// User of the server's authentication file (`-Y`), if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Files and names for TLS; needs `memcached+tls://`.
    tls: Option<TlsConfig>,
    /// A key that is looked up in every run, instead of asking for the version: one row where it exists. It is not
    /// fetched where it has more than 4096 bytes; its length in parentheses, such as `(5000 bytes)`, stands for it then.
    /// The server counts it as a read; before 1.6 it is one, with the whole value.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: MemcachedExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: MemcachedDegraded,
}

/// What must be true of a Memcached server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemcachedExpect {
    /// Writes must be possible: refusing them for lack of memory is unhealthy, not degraded.
    writable: bool,
    /// The value of the key that `query` names.
    value: Option<Value>,
    /// 1 where the key that `query` names must exist, 0 where it must not.
    #[schemars(range(min = 0, max = 1))]
    rows: Option<u64>,
}

/// Limits beyond which a Memcached server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemcachedDegraded {
    /// Share of the connection limit (`-c`) in use.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
    /// Share of the memory (`-m`) in use, where nothing may be evicted (`-M`).
    #[schemars(range(min = 0.0, max = 1.0))]
    memory: f64,
    /// Evictions in a second, between two deep questions; without it they are not judged.
    #[schemars(range(min = 0.0))]
    evictions_per_second: Option<f64>,
    /// Least share of reads that must hit, between two deep questions; without it they are not judged.
    #[schemars(range(min = 0.0, max = 1.0))]
    hit_ratio: Option<f64>,
    /// How long after its start the cache counts as cold; without it that is not judged.
    cold: Option<Span>,
}

impl Default for MemcachedDegraded {
    fn default() -> Self {
        Self { connections: 0.9, memory: 0.9, evictions_per_second: None, hit_ratio: None, cold: None }
    }
}

/// Fewer reads than these say nothing of the hit ratio.
const FEW_READS: u64 = 100;

/// Longest key that the protocol has room for.
const LONGEST_KEY: usize = 250;

/// After so many seconds the server forgets a canary whose probe has died.
const CANARY_SECONDS: u32 = 30;

/// Asks a Memcached server.
pub struct Memcached {
    target: Target,
    credentials: Credentials,
    question: Option<Question>,
    expect: MemcachedExpect,
    degraded: MemcachedDegraded,
    /// The counters of the last look, whichever session had it.
    before: Mutex<Option<Counters>>,
}

/// An open conversation.
pub struct MemcachedSession {
    conversation: Conversation,
    /// Whether the server may evict, which never changes while it runs.
    evicts: Option<bool>,
    /// It does not know `mg`.
    old: bool,
}

/// What only its growth says something of.
#[derive(Clone, Copy)]
struct Counters {
    uptime: u64,
    evictions: u64,
    hits: u64,
    misses: u64,
    refused_connections: u64,
    refused_writes: u64,
}

impl Backend for Memcached {
    type Config = MemcachedConfig;
    type Session = MemcachedSession;

    const KIND: &'static str = "memcached";
    const EXAMPLE: &'static str = r#"backend = "memcached"
url = "memcached://localhost:11211"
degraded = { connections = 0.9 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Memcached;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: MemcachedConfig) -> Result<Self, ConfigError> {
        let MemcachedConfig { url, username, password, tls, query, mut expect, degraded } = config;
        url.expect(&["memcached", "memcached+tls", "unix"], &[]).map_err(ConfigError::at("url"))?;
        let why = "each server holds a part of the keys, so give each an entry of its own";
        url.one_host(why).map_err(ConfigError::at("url"))?;
        let credentials = url.credentials(username, password)?;
        if credentials.user.is_some() != credentials.password.is_some() {
            return Err(ConfigError::new("password", "`username` and `password` need each other"));
        }
        let target = match (url.scheme(), url.path()) {
            ("unix", _) => url.on_sockets(vec![url.socket().map_err(ConfigError::at("url"))?], tls.as_ref())?,
            (_, Some(_)) => return Err(ConfigError::new("url", "a Memcached URL has no path")),
            (scheme, None) => url.target(11_211, scheme == "memcached+tls", tls)?,
        };
        let question = Question::of_key(query, expect.value.take(), expect.rows)?;
        let is_key = |text: &str| text.len() <= LONGEST_KEY && !text.chars().any(|c| c.is_ascii_control() || c == ' ');
        if question.as_ref().is_some_and(|question| !is_key(question.text())) {
            return Err(ConfigError::new(
                "query",
                format!("a key has up to {LONGEST_KEY} bytes, none of them a space or control"),
            ));
        }
        Ok(Self { target, credentials, question, expect, degraded, before: Mutex::default() })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<MemcachedSession, Failure> {
        let login = self.login(run).await?;
        // A full server refuses in plain text whoever is about to begin with TLS.
        let dialled = run.dial(&self.target).await;
        let stream = dialled.map_err(|failure| match failure.kind {
            FailureKind::Tls => refusal(&run.first_bytes()).map_or(failure, |full| run.stamp(Phase::Auth, full)),
            _ => failure,
        })?;
        let mut conversation = Conversation::new(stream);
        let version = run.phase(Phase::Auth, greet(&mut conversation, login)).await?;
        run.fact("version", version);
        Ok(MemcachedSession { conversation, evicts: None, old: false })
    }

    async fn ask(&self, session: &mut MemcachedSession, run: &mut Run) -> Result<(), Failure> {
        match &self.question {
            Some(question) => question.judge(&session.look_up(question.text()).await?, run),
            None => drop(version(&mut session.conversation).await?),
        }
        Ok(())
    }

    async fn examine(&self, session: &mut MemcachedSession, run: &mut Run) -> Result<(), Failure> {
        let Some(stats) = session.stats("stats", run).await? else { return Ok(()) };
        if session.evicts.is_none() {
            let settings = session.stats("stats settings", run).await?;
            session.evicts = settings.and_then(|settings| settings.word("evictions").map(|word| word == "on"));
        }
        run.fact_if("evicts", session.evicts);
        note(&stats, run);
        self.judge_connections(&stats, run);
        self.judge_memory(&stats, session.evicts, run);
        let now = Counters::read(&stats);
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        // Counters begin anew with the server.
        if let Some(before) = before.filter(|before| before.uptime <= now.uptime) {
            self.judge_growth(&before, &now, run);
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut MemcachedSession, run: &mut Run) -> Result<(), Failure> {
        let nonce = run.nonce();
        // A key of this round trip alone, because `--check` beside an agent has the same canary.
        let key = format!("probity:canary:{}:{nonce}", run.canary());
        let length = nonce.len();
        let conversation = &mut session.conversation;
        match conversation.ask(&format!("set {key} 0 {CANARY_SECONDS} {length}\r\n{nonce}\r\n")).await {
            Ok(answer) if answer == "STORED" => {}
            Ok(_) => return Err(Failure::new(FailureKind::Protocol, "the answer to set is not STORED")),
            Err(Failure { code: Some(code), .. }) if code.starts_with(OUT_OF_MEMORY) => {
                run.finding(Finding::when(self.expect.writable, "out_of_memory", code));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
        let read = conversation.get(&key).await?;
        conversation.ask(&format!("delete {key}\r\n")).await?;
        run.compare(&nonce, read.as_deref().map(String::from_utf8_lossy).as_deref());
        Ok(())
    }

    async fn close(&self, session: MemcachedSession) {
        session.conversation.quit().await;
    }
}

impl Memcached {
    /// The line that logs in: it looks like a write of user and password, and must never reach a server that
    /// would take it for one.
    async fn login(&self, run: &mut Run) -> Result<Option<Zeroizing<String>>, Failure> {
        let Credentials { user: Some(user), password: Some(password) } = &self.credentials else { return Ok(None) };
        let password = run.secret(password).await?;
        let mut line = Zeroizing::new(String::with_capacity(user.len() + password.len() + 64));
        let length = user.len() + 1 + password.len();
        let _ = write!(line, "set probity 0 0 {length}\r\n{user} {}\r\n", *password);
        Ok(Some(line))
    }

    fn judge_connections(&self, stats: &Stats, run: &mut Run) {
        if stats.number("accepting_conns") == Some(0) {
            run.finding(Finding::unhealthy("not_accepting", "accepting_conns 0"));
        }
        let share = share(stats.number("curr_connections"), stats.number("max_connections"));
        if let Some(share) = share.filter(|share| *share >= self.degraded.connections) {
            run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
        }
    }

    fn judge_memory(&self, stats: &Stats, evicts: Option<bool>, run: &mut Run) {
        let share = share(stats.number("bytes"), stats.number("limit_maxbytes"));
        if let Some(share) = share.filter(|share| evicts == Some(false) && *share >= self.degraded.memory) {
            run.finding(Finding::degraded("memory", share).against(self.degraded.memory));
        }
        if let (Some(cold), Some(uptime)) = (self.degraded.cold, stats.number("uptime"))
            && uptime < cold.0.as_secs()
        {
            run.finding(Finding::degraded("cold", uptime).against(cold.0.as_secs()));
        }
    }

    /// What has happened between two looks, by the server's own clock.
    fn judge_growth(&self, before: &Counters, now: &Counters, run: &mut Run) {
        let grown = |of: fn(&Counters) -> u64| of(now).saturating_sub(of(before));
        let refused = grown(|counters| counters.refused_connections);
        if refused > 0 {
            run.finding(Finding::degraded("rejecting_connections", refused));
        }
        let lost = grown(|counters| counters.refused_writes);
        if lost > 0 {
            run.finding(Finding::when(self.expect.writable, "out_of_memory", lost));
        }
        let rate = share(Some(grown(|counters| counters.evictions)), Some(grown(|counters| counters.uptime)));
        if let (Some(limit), Some(rate)) = (self.degraded.evictions_per_second, rate)
            && rate > limit
        {
            run.finding(Finding::degraded("evictions", rate).against(limit));
        }
        let (hits, misses) = (grown(|counters| counters.hits), grown(|counters| counters.misses));
        let ratio = share(Some(hits), Some(hits + misses));
        run.fact_if("hit_ratio", ratio);
        if let (Some(least), Some(ratio)) = (self.degraded.hit_ratio, ratio)
            && hits + misses >= FEW_READS
            && ratio < least
        {
            run.finding(Finding::degraded("hit_ratio", ratio).against(least));
        }
    }
}

impl MemcachedSession {
    /// What there is behind a key. Its length comes first, because a value comes as a whole.
    async fn look_up(&mut self, key: &str) -> Result<Answer, Failure> {
        let value = if self.old {
            self.conversation.get(key).await?
        } else {
            match self.conversation.length(key).await {
                Ok(Some(length)) if length > LONGEST_VALUE as u64 => {
                    return Ok(Answer { value: Some(format!("({length} bytes)")), rows: 1 });
                }
                Ok(Some(_)) => self.conversation.peek(key).await?,
                Ok(None) => None,
                // Whatever it has against it, it answers to `get`, or says there what is wrong.
                Err(Failure { code: Some(_), .. }) => {
                    self.old = true;
                    self.conversation.get(key).await?
                }
                Err(failure) => return Err(failure),
            }
        };
        let value = value.map(|value| String::from_utf8_lossy(&value).into_owned());
        Ok(Answer { rows: value.is_some().into(), value })
    }

    /// A list of statistics; `None` where there is none, as behind a proxy, or where it is refused.
    async fn stats(&mut self, question: &'static str, run: &mut Run) -> Result<Option<Stats>, Failure> {
        match self.conversation.stats(&format!("{question}\r\n")).await {
            Err(Failure { code: Some(code), .. }) if code == "ERROR" => {
                run.missing(question);
                Ok(None)
            }
            answer => run.optional(question, answer),
        }
    }
}

impl Counters {
    fn read(stats: &Stats) -> Self {
        let number = |name| stats.number(name).unwrap_or(0);
        Self {
            uptime: number("uptime"),
            evictions: number("evictions"),
            hits: number("get_hits"),
            misses: number("get_misses"),
            // Either of them grows, depending on whether the server answers whom it refuses.
            refused_connections: number("rejected_connections") + number("listen_disabled_num"),
            refused_writes: number("store_no_memory"),
        }
    }
}

/// Learns the version, and logs in where the server asks for it: with `-Y` it answers nothing else before.
async fn greet(conversation: &mut Conversation, login: Option<Zeroizing<String>>) -> Result<String, Failure> {
    let known = version(conversation).await;
    match (known, login) {
        (Ok(_), Some(_)) => Err(Failure::new(FailureKind::Config, "the server wants no login, but the entry has one")
            .with_remedy("Leave user and password out: such a server would store them as a value.")),
        (Err(Failure { code: Some(code), .. }), Some(login)) if code == UNAUTHENTICATED => {
            match conversation.ask(&login).await?.as_str() {
                "STORED" => version(conversation).await,
                _ => Err(Failure::new(FailureKind::Protocol, "the answer to the login is not STORED")),
            }
        }
        (known, _) => known,
    }
}

const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

const OUT_OF_MEMORY: &str = "SERVER_ERROR out of memory";

async fn version(conversation: &mut Conversation) -> Result<String, Failure> {
    let answer = conversation.ask("version\r\n").await?;
    let version = answer.strip_prefix("VERSION ").map(str::to_owned);
    version.ok_or_else(|| Failure::new(FailureKind::Protocol, "the answer to version is not one"))
}

/// The statistics that are facts as they stand.
fn note(stats: &Stats, run: &mut Run) {
    for (stat, fact) in [
        ("uptime", "uptime_seconds"),
        ("curr_connections", "curr_connections"),
        ("max_connections", "max_connections"),
        ("bytes", "bytes"),
        ("limit_maxbytes", "limit_maxbytes"),
        ("curr_items", "curr_items"),
        ("evictions", "evictions_total"),
        ("listen_disabled_num", "listen_disabled_total"),
        ("rejected_connections", "rejected_connections_total"),
        ("threads", "threads"),
    ] {
        run.fact_if(fact, stats.number(stat));
    }
    run.fact_if("accepting_conns", stats.number("accepting_conns").map(|accepting| accepting == 1));
}

#[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let (part, whole) = (part?, whole?);
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Memcached",
    summary: "Memcached 1.4 and later, by its text protocol. Each server is an entry of its own: they know nothing of \
              each other.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `memcached+tls://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`version`, and the login where it is refused", privilege: "a user of `-Y`" },
        LevelRow { level: "query", question: "`version`", privilege: "the same" },
        LevelRow { level: "query", question: "with `query` instead `mg KEY s u` and `mg KEY v u`; before 1.6 `get KEY`", privilege: "the same" },
        LevelRow { level: "deep", question: "`stats`, and `stats settings` once in a session", privilege: "the same" },
        LevelRow { level: "roundtrip", question: "`set probity:canary:…` for 30 s, `get`, `delete`", privilege: "the same" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the server started." },
        FactRow { name: "curr_connections", metric: true, meaning: "Connections open." },
        FactRow { name: "max_connections", metric: true, meaning: "Limit of connections; some are for the server itself." },
        FactRow { name: "accepting_conns", metric: true, meaning: "Whether the server accepts connections." },
        FactRow { name: "listen_disabled_total", metric: true, meaning: "How often the server stopped to accept connections at its limit." },
        FactRow { name: "rejected_connections_total", metric: true, meaning: "Connections refused at the limit." },
        FactRow { name: "bytes", metric: true, meaning: "Memory in use by items." },
        FactRow { name: "limit_maxbytes", metric: true, meaning: "Limit of the memory." },
        FactRow { name: "curr_items", metric: true, meaning: "Items stored." },
        FactRow { name: "evicts", metric: true, meaning: "Whether the server may evict items to make room." },
        FactRow { name: "evictions_total", metric: true, meaning: "Items evicted to make room." },
        FactRow { name: "hit_ratio", metric: true, meaning: "Share of reads that hit since the deep question before." },
        FactRow { name: "threads", metric: false, meaning: "Threads that serve connections." },
    ],
    findings: &[
        FindingRow { code: "not_accepting", meaning: "`accepting_conns` is 0: the server is at its limit and lets new connections wait (`no_maxconns_fast`). Unhealthy.", remedy: "Look for clients that leak connections, or raise `-c`." },
        FindingRow { code: "connections", meaning: "Connections ≥ `degraded.connections` of the limit: degraded.", remedy: "Look for clients that leak connections, or raise `-c`." },
        FindingRow { code: "rejecting_connections", meaning: "Connections were refused or kept waiting since the deep question before (observed: how many): degraded.", remedy: "Look for clients that leak connections, or raise `-c`." },
        FindingRow { code: "memory", meaning: "Memory ≥ `degraded.memory` of the limit and nothing may be evicted (`-M`): degraded.", remedy: "Remove items, raise `-m`, or let the server evict: writes fail when it is full." },
        FindingRow { code: "out_of_memory", meaning: "Writes were refused for lack of memory since the deep question before (observed: how many), or that of a round trip (observed: the refusal): degraded, unhealthy with `expect.writable`.", remedy: "Remove items, raise `-m`, or let the server evict." },
        FindingRow { code: "evictions", meaning: "More evictions in a second than `degraded.evictions_per_second`: degraded.", remedy: "Raise `-m`, or store less and for shorter." },
        FindingRow { code: "hit_ratio", meaning: "Fewer reads hit than `degraded.hit_ratio`, of at least 100 since the deep question before: degraded.", remedy: "Look for a restart, for evictions, or for a change in what is read." },
        FindingRow { code: "cold", meaning: "The server started less than `degraded.cold` ago, and its cache is empty: degraded.", remedy: "Expect more load on what the cache stands before, until it is warm." },
    ],
    codes: &[
        CodeRow { code: "ERROR Too many open connections", kind: FailureKind::Overload, message: "the server has reached its limit of connections", remedy: "Look for clients that leak connections, or raise `-c`." },
        CodeRow { code: UNAUTHENTICATED, kind: FailureKind::Auth, message: "the server wants a login", remedy: "Give the entry a user and a password of the server's authentication file." },
        CodeRow { code: "CLIENT_ERROR authentication failure", kind: FailureKind::Auth, message: "the server rejected the credentials", remedy: "" },
        CodeRow { code: "SERVER_ERROR out of memory*", kind: FailureKind::Overload, message: "the server has no memory left", remedy: "" },
        CodeRow { code: "SERVER_ERROR*", kind: FailureKind::Query, message: "the server answered with an error of its own", remedy: "" },
        CodeRow { code: "CLIENT_ERROR*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "ERROR*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
    ],
    unsupported: &[
        "Several servers in one URL: each holds a part of the keys, so give each an entry of its own.",
        "The binary protocol, and with it SASL; UDP.",
        "Proxies that refuse `stats` by closing the connection (Twemproxy): set `depth = \"query\"`.",
    ],
};
