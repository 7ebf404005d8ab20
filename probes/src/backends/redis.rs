//! Redis and Valkey: `PING` on a warm session, `INFO` for the rest.
//!
//! `INFO` succeeds while a server loads or is a stale replica, and `PING` does not; so `PING` decides
//! whether it serves, and `INFO` how well. Nothing here is logged by a server at its default level. An own question
//! is a key, of which a bounded part is read.
//! RESP: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Credentials, Endpoint},
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
        guard::{self, Grammar},
        redis::{Conversation, Info, View},
        sniff::Protocol,
    },
};

/// A Redis or Valkey server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user@]host[:6379][,host…][/database]`: of several hosts the first that opens is asked; `rediss://` for
    /// TLS; `valkey://` and `valkeys://` mean the same. `unix:///path[?db=1]` or `redis+unix://` for a socket.
    /// `redis+sentinel://[user@]host[:26379][,host…]/master[/database]` asks sentinels where the master is, such as
    /// `redis+sentinel://s1,s2,s3/orders`. `redis+cluster://[user@]host[:6379][,host…]` names nodes of a cluster. Both
    /// begin with `rediss+` for TLS.
    url: Address,
    /// ACL user, if it is not in the URL.
    username: Option<String>,
    /// Password of the user, or the server's `requirepass`.
    password: Option<Secret>,
    /// ACL user at the sentinels, where they have one.
    sentinel_username: Option<String>,
    /// Password at the sentinels, where it is needed; the other one is that of the master.
    sentinel_password: Option<Secret>,
    /// Files and names for TLS; needs `rediss://`.
    tls: Option<TlsConfig>,
    /// A key that is looked up in every run, behind `PING`. A string is one row with a value, of which 4096 bytes are
    /// read; a list, set, sorted set, hash or stream is as many rows as it has elements, and its value is its type in
    /// parentheses, such as `(list)`. A key that does not exist is no row. The look counts as a use of the key.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: RedisExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: RedisDegraded,
}

/// What must be true of a Redis server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisExpect {
    /// The role it must have.
    role: Option<Role>,
    /// Writes must be possible: a full memory, failing persistence or too few replicas are unhealthy, not degraded, and
    /// so is a replica that takes no writes.
    writable: bool,
    /// Reads must be fresh: a replica whose link is down is unhealthy, not degraded.
    fresh_reads: bool,
    /// The value of the key that `query` names.
    value: Option<Value>,
    /// How many rows there are behind the key that `query` names; 0 where it must not exist.
    rows: Option<u64>,
}

/// A role in replication.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Replica,
}

/// Limits above which a Redis server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisDegraded {
    /// Share of `maxmemory` in use, where nothing may be evicted; from 0.98 on unhealthy with `expect.writable`.
    #[schemars(range(min = 0.0, max = 1.0))]
    memory: f64,
    /// Share of `maxclients` connected.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
    /// Bytes by which a replica may be behind.
    replication_lag_bytes: u64,
    /// How long a replica may hear nothing from its primary.
    replication_silence: Span,
}

impl Default for RedisDegraded {
    fn default() -> Self {
        Self { memory: 0.9, connections: 0.85, replication_lag_bytes: 10 << 20, replication_silence: Span::seconds(30) }
    }
}

/// Above this share of its memory a server that must be writable is as good as full.
const FULL: f64 = 0.98;

/// After so long the server forgets a canary whose probe has died.
const CANARY_MILLISECONDS: u64 = 30_000;

/// How many slots are tried in a cluster for one that belongs to the node that is asked.
const SLOTS_TRIED: u32 = 64;

/// Asks a Redis or Valkey server.
pub struct Redis {
    target: Target,
    form: Form,
    credentials: Credentials,
    database: i64,
    question: Option<Question>,
    expect: RedisExpect,
    degraded: RedisDegraded,
}

/// What stands at the addresses of the URL.
enum Form {
    /// Servers.
    Server,
    /// Nodes of one cluster.
    Cluster,
    /// Sentinels, which know where the master of this name is.
    Sentinel { master: String, credentials: Credentials },
}

/// An open conversation.
pub struct RedisSession {
    conversation: Conversation,
    /// Where the sentinels said that the master is.
    master: Option<Endpoint>,
    /// Servers before 7 take one section of `INFO` at a time.
    sections: bool,
    rejected_connections: Option<i64>,
    /// What brings a canary into a slot of this node, where it is one of a cluster.
    slot: u32,
}

impl Backend for Redis {
    type Config = RedisConfig;
    type Session = RedisSession;

    const KIND: &'static str = "redis";
    const EXAMPLE: &'static str = r#"backend = "redis"
url = "redis://localhost:6379/0"
degraded = { memory = 0.9 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Redis;
    const GUARD: Option<Grammar> = Some(guard::resp::answers);
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: RedisConfig) -> Result<Self, ConfigError> {
        let RedisConfig { url, username, password, sentinel_username, sentinel_password, tls, query, mut expect, degraded } =
            config;
        let on_socket = ["unix", "redis+unix"].contains(&url.scheme());
        url.expect(&SCHEMES, if on_socket { &["db"] } else { &[] }).map_err(ConfigError::at("url"))?;
        let credentials = url.credentials(username, password)?;
        let at_sentinels = Credentials { user: sentinel_username, password: sentinel_password };
        if (at_sentinels.user.is_some() || at_sentinels.password.is_some()) && !url.scheme().ends_with("+sentinel") {
            return Err(ConfigError::new("sentinel_password", "what is for sentinels needs `redis+sentinel://`"));
        }
        let secure = ["rediss", "valkeys", "rediss+sentinel", "rediss+cluster"].contains(&url.scheme());
        let (target, form, database) = if on_socket {
            let target = url.on_sockets(vec![url.socket().map_err(ConfigError::at("url"))?], tls.as_ref())?;
            (target, Form::Server, url.parameters().last().map(|(_, database)| database))
        } else if url.scheme().ends_with("+sentinel") {
            let Some(path) = url.path() else {
                return Err(ConfigError::new("url", "the path of the URL must name the master: `redis+sentinel://host/NAME`"));
            };
            let (master, database) = path.split_once('/').map_or((&*path, None), |(name, rest)| (name, Some(rest.to_owned())));
            let form = Form::Sentinel { master: master.to_owned(), credentials: at_sentinels };
            (url.target(26_379, secure, tls)?, form, database)
        } else if url.scheme().ends_with("+cluster") {
            if url.path().is_some_and(|path| path != "0") {
                return Err(ConfigError::new("url", "a cluster has only database 0: remove the path of the URL"));
            }
            (url.target(6379, secure, tls)?, Form::Cluster, None)
        } else {
            (url.target(6379, secure, tls)?, Form::Server, url.path())
        };
        let database = database.unwrap_or_else(|| "0".into());
        let database = database.parse().map_err(|_| ConfigError::new("url", "the database of the URL must be a number"))?;
        let question = Question::of_key(query, expect.value.take(), expect.rows)?;
        Ok(Self { target, form, credentials, database, question, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<RedisSession, Failure> {
        let Form::Sentinel { master, credentials } = &self.form else {
            let mut session = self.enter(&self.target, run).await?;
            if matches!(self.form, Form::Cluster) {
                let answer = run.phase(Phase::Auth, session.ask::<String>(redis::cmd("CLUSTER").arg("INFO"))).await;
                // Who may not ask this learns of it with the deep questions.
                if let Some(failure) = answer.err().filter(|failure| failure.kind != FailureKind::Permission) {
                    self.close(session).await;
                    return Err(failure);
                }
            }
            return Ok(session);
        };
        let (mut sentinel, _) = Conversation::open(&self.target, credentials, 0, run).await?;
        let place = run.phase(Phase::Auth, sentinel.master_of(master)).await?;
        run.phase(Phase::Auth, sentinel.quit()).await?;
        run.start_over();
        let mut session = self.enter(&self.target.elsewhere(place.clone()), run).await?;
        let role = run.phase(Phase::Auth, session.ask::<Vec<redis::Value>>(&redis::cmd("ROLE"))).await;
        let role = run.optional("ROLE", role)?.and_then(|role| String::from_redis_value_ref(role.first()?).ok());
        if role.is_some_and(|role| role != "master") {
            self.close(session).await;
            return Err(Failure::server("sentinel_not_a_master", ""));
        }
        session.master = Some(place);
        Ok(session)
    }

    async fn ask(&self, session: &mut RedisSession, run: &mut Run) -> Result<(), Failure> {
        match session.ask::<String>(&redis::cmd("PING")).await {
            Ok(answer) if answer == "PONG" => {}
            Ok(_) => return Err(Failure::new(FailureKind::Protocol, "the answer to PING is not PONG")),
            // It reads, but does not write; whether that is enough is for the catalog to say.
            Err(refused) if refused.code.as_deref() == Some("MISCONF") && !self.expect.writable => {
                run.finding(Finding::degraded("persistence_blocks_writes", "MISCONF"));
            }
            Err(failure) => return Err(failure),
        }
        // Not instead of it: a key can still be read where persistence blocks writes.
        if let Some(question) = &self.question {
            question.judge(&session.look_up(question.text()).await?, run);
        }
        Ok(())
    }

    async fn examine(&self, session: &mut RedisSession, run: &mut Run) -> Result<(), Failure> {
        let mut question = redis::cmd("INFO");
        if session.sections {
            question.arg(&["server", "clients", "memory", "persistence", "stats", "replication", "cluster"]);
        }
        if !matches!(self.form, Form::Server) {
            self.examine_others(session, run).await?;
        }
        let answer = session.ask::<String>(&question).await;
        let Some(text) = run.optional("INFO", answer)? else { return Ok(()) };
        let info = Info::read(&text);
        self.judge_server(&info, session, run);
        self.judge_replication(&info, run);
        if info.number("cluster_enabled") == Some(1) {
            let answer = session.ask::<String>(redis::cmd("CLUSTER").arg("INFO")).await;
            if let Some(text) = run.optional("CLUSTER INFO", answer)? {
                judge_cluster(&Info::read(&text), run);
            }
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut RedisSession, run: &mut Run) -> Result<(), Failure> {
        let nonce = run.nonce();
        let mut tries = 0;
        let key = loop {
            // A key of this round trip alone, because `--check` beside an agent has the same canary; what lies between
            // the braces decides on its slot in a cluster.
            let key = format!("probity:canary:{{{}.{}}}:{nonce}", run.canary(), session.slot);
            match session.ask::<()>(redis::cmd("SET").arg(&key).arg(&nonce).arg("PX").arg(CANARY_MILLISECONDS)).await {
                Err(elsewhere) if elsewhere.code.as_deref() == Some("MOVED") && tries < SLOTS_TRIED => session.slot += 1,
                written => break written.map(|()| key)?,
            }
            tries += 1;
        };
        let read: Option<String> = session.ask(redis::cmd("GET").arg(&key)).await?;
        session.ask::<()>(redis::cmd("DEL").arg(&key)).await?;
        run.compare(&nonce, read.as_deref());
        Ok(())
    }

    async fn close(&self, session: RedisSession) {
        let _ = session.conversation.quit().await;
    }
}

/// Every scheme that is understood.
const SCHEMES: [&str; 10] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

impl Redis {
    /// Logs in to the server that is judged.
    async fn enter(&self, target: &Target, run: &mut Run) -> Result<RedisSession, Failure> {
        let (conversation, hello) = Conversation::open(target, &self.credentials, self.database, run).await?;
        let mut session = RedisSession { conversation, master: None, sections: false, rejected_connections: None, slot: 0 };
        let word = |key: &str| hello.get(key).and_then(|value| String::from_redis_value_ref(value).ok());
        if let Some(version) = word("version") {
            session.sections =
                version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major >= 7);
            run.fact("version", version);
        }
        run.fact_if("server", word("server"));
        run.fact_if("mode", word("mode"));
        Ok(session)
    }

    /// Asks every other address of the URL: each sentinel of the master, each node of its cluster.
    async fn examine_others(&self, session: &RedisSession, run: &mut Run) -> Result<(), Failure> {
        let (mut views, mut silent) = (Vec::new(), Vec::new());
        for candidate in 0..self.target.candidates() {
            let view = run.beside_at(&self.target, candidate, async |run| match &self.form {
                Form::Sentinel { master, credentials } => View::of_sentinel(&self.target, credentials, master, run).await,
                _ => View::of_node(&self.target, &self.credentials, run).await,
            });
            match view.await {
                Ok(view) => views.push(view),
                Err(place) => silent.push(place),
            }
        }
        if !silent.is_empty() {
            run.finding(Finding::degraded("seeds_failing", silent.join(", ")));
        }
        run.fact("seeds_answering", views.len());
        let worst = |flag: &str| views.iter().any(|view| view.flags.contains(flag));
        if worst("down") {
            run.finding(Finding::when(worst("o_down"), "sentinel_sees_down", if worst("o_down") { "o_down" } else { "s_down" }));
        }
        if views.iter().any(|view| view.no_quorum) {
            run.finding(Finding::degraded("sentinel_no_quorum", true));
        }
        if views.windows(2).any(|pair| pair[0].cluster_state != pair[1].cluster_state) {
            run.finding(Finding::degraded("cluster_view_split", "cluster_state"));
        }
        let masters: Vec<_> = views.iter().filter_map(|view| view.master.as_ref()).collect();
        // As if it had been lost, which leads to the new one.
        match masters.first() {
            Some(place) if !masters.iter().any(|known| Some(*known) == session.master.as_ref()) => {
                Err(Failure::new(FailureKind::ConnectionLost, "the sentinels name another master now")
                    .with_words(place.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn judge_server(&self, info: &Info<'_>, session: &mut RedisSession, run: &mut Run) {
        run.fact_if("version", info.word("valkey_version").or_else(|| info.word("redis_version")));
        run.fact_if("mode", info.word("redis_mode"));
        for (field, fact) in [
            ("uptime_in_seconds", "uptime_seconds"),
            ("used_memory", "used_memory_bytes"),
            ("maxmemory", "maxmemory_bytes"),
            ("connected_clients", "connected_clients"),
            ("maxclients", "maxclients"),
            ("blocked_clients", "blocked_clients"),
            ("evicted_keys", "evicted_keys_total"),
            ("rejected_connections", "rejected_connections_total"),
        ] {
            run.fact_if(fact, info.number(field));
        }
        run.fact_if("loading", info.number("loading").map(|loading| loading == 1));
        run.fact_if("maxmemory_policy", info.word("maxmemory_policy"));

        let evicts = info.word("maxmemory_policy").is_some_and(|policy| policy != "noeviction");
        if let Some(share) = info.share("used_memory", "maxmemory").filter(|share| !evicts && *share >= self.degraded.memory) {
            let full = self.expect.writable && share >= FULL;
            run.finding(Finding::when(full, "memory", share).against(if full { FULL } else { self.degraded.memory }));
        }
        if let Some(share) = info.share("connected_clients", "maxclients").filter(|share| *share >= self.degraded.connections) {
            run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
        }
        let rejected = info.number("rejected_connections");
        if let (Some(before), Some(now)) = (session.rejected_connections, rejected)
            && now > before
        {
            run.finding(Finding::degraded("rejecting_connections", now - before));
        }
        session.rejected_connections = rejected;

        let saves = info.word("rdb_last_bgsave_status").map(|status| status == "ok");
        run.fact_if("rdb_last_save_ok", saves);
        let appends = info.word("aof_last_write_status").map(|status| status == "ok");
        if saves == Some(false) || appends == Some(false) {
            let which = if saves == Some(false) { "rdb_last_bgsave_status" } else { "aof_last_write_status" };
            run.finding(Finding::degraded("persistence_failing", which));
        }
    }

    fn judge_replication(&self, info: &Info<'_>, run: &mut Run) {
        let role = match info.word("role") {
            Some("master") => Role::Primary,
            Some("slave") => Role::Replica,
            _ => return,
        };
        let word = if role == Role::Primary { "primary" } else { "replica" };
        run.fact("role", word);
        run.fact_if("connected_replicas", info.number("connected_slaves"));
        let other = if role == Role::Primary { "replica" } else { "primary" };
        let read_only = role == Role::Replica && info.number("slave_read_only") != Some(0);
        if self.expect.role.is_some_and(|expected| expected != role) || (self.expect.writable && read_only) {
            run.finding(Finding::unhealthy("role_mismatch", word).against(other));
        }
        if role == Role::Primary {
            // The field exists only where `min-replicas-to-write` is set, which is then at least 1.
            if info.number("min_slaves_good_slaves") == Some(0) {
                run.finding(Finding::when(self.expect.writable, "min_replicas_unmet", 0_i64));
            }
            return;
        }
        let linked = info.word("master_link_status") == Some("up");
        run.fact("master_link_up", linked);
        if info.number("master_sync_in_progress") == Some(1) {
            run.finding(Finding::degraded("replication_syncing", "full synchronisation"));
        } else if !linked {
            run.finding(Finding::when(self.expect.fresh_reads, "replication_broken", "link down"));
        }
        let silence = info.number("master_last_io_seconds_ago").filter(|seconds| *seconds >= 0);
        run.fact_if("replication_last_io_seconds", silence);
        let limit = self.degraded.replication_silence.0.as_secs();
        if let Some(seconds) = silence.filter(|seconds| linked && seconds.unsigned_abs() >= limit) {
            run.finding(Finding::degraded("replication_silent", seconds).against(limit));
        }
        // What it has read but not applied; its own `master_repl_offset` is what it has applied.
        let read = info.number("slave_read_repl_offset");
        if let (Some(read), Some(applied)) = (read, info.number("slave_repl_offset")) {
            let lag = read.saturating_sub(applied).max(0);
            run.fact("replication_lag_bytes", lag);
            if lag.unsigned_abs() > self.degraded.replication_lag_bytes {
                run.finding(Finding::degraded("replication_lag", lag).against(self.degraded.replication_lag_bytes));
            }
        }
    }
}

fn judge_cluster(info: &Info<'_>, run: &mut Run) {
    let ok = info.word("cluster_state") == Some("ok");
    run.fact("cluster_state_ok", ok);
    run.fact_if("cluster_slots_ok", info.number("cluster_slots_ok"));
    run.fact_if("cluster_known_nodes", info.number("cluster_known_nodes"));
    if !ok {
        run.finding(Finding::unhealthy("cluster_down", info.word("cluster_state").unwrap_or("unknown")));
        return;
    }
    // The cluster says ok although slots are gone: it was told not to require full coverage.
    let failing = ["cluster_slots_fail", "cluster_slots_pfail"].into_iter().filter_map(|field| info.number(field)).sum::<i64>();
    if failing > 0 {
        run.finding(Finding::degraded("cluster_slots_failing", failing).against(0_i64));
    }
    if let Some(slots) = info.number("cluster_slots_assigned").filter(|slots| *slots < 16_384) {
        run.finding(Finding::degraded("cluster_slots_unassigned", slots).against(16_384_i64));
    }
}

impl RedisSession {
    async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, Failure> {
        self.conversation.ask(question).await
    }

    /// What there is behind a key: nothing that blocks, and nothing that takes longer the more there is.
    async fn look_up(&mut self, key: &str) -> Result<Answer, Failure> {
        let kind: String = self.ask(redis::cmd("TYPE").arg(key)).await?;
        let count = match kind.as_str() {
            "none" => return Ok(Answer::default()),
            "string" => {
                // One byte more shows that the value is longer.
                let value: Vec<u8> = self.ask(redis::cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_VALUE)).await?;
                return Ok(Answer { value: Some(String::from_utf8_lossy(&value).into_owned()), rows: 1 });
            }
            "list" => "LLEN",
            "set" => "SCARD",
            "zset" => "ZCARD",
            "hash" => "HLEN",
            "stream" => "XLEN",
            // Types of modules have each a command of its own.
            _ => return Ok(Answer { value: Some(format!("({kind})")), rows: 1 }),
        };
        Ok(Answer { value: Some(format!("({kind})")), rows: self.ask(redis::cmd(count).arg(key)).await? })
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Redis",
    summary: "Redis 4 and later, Valkey, and managed servers that speak RESP, as a single server, as one node of a \
              replication or a cluster, by way of sentinels, or as a cluster.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `rediss://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`AUTH`, `HELLO 2 SETNAME probity`", privilege: "`+hello` (optional)" },
        LevelRow { level: "query", question: "`PING`", privilege: "`+ping`" },
        LevelRow { level: "query", question: "with `query` also `TYPE` of the key, and `GETRANGE`, `LLEN`, `SCARD`, `ZCARD`, `HLEN` or `XLEN`", privilege: "`+type +getrange` (or the one for its type) and `%R~KEY`" },
        LevelRow { level: "deep", question: "`INFO`; in cluster mode `CLUSTER INFO`", privilege: "`+info +cluster|info`" },
        LevelRow { level: "roundtrip", question: "`SET probity:canary:… PX 30000`, `GET`, `DEL`", privilege: "`+set +get +del ~probity:canary:*`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "server", metric: false, meaning: "Product, as the server names itself." },
        FactRow { name: "mode", metric: false, meaning: "standalone, sentinel or cluster." },
        FactRow { name: "role", metric: false, meaning: "primary or replica." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the server started." },
        FactRow { name: "loading", metric: true, meaning: "Whether the server still loads its data set." },
        FactRow { name: "used_memory_bytes", metric: true, meaning: "Memory in use by the data and its overhead." },
        FactRow { name: "maxmemory_bytes", metric: true, meaning: "Limit of the memory; 0 is none." },
        FactRow { name: "maxmemory_policy", metric: false, meaning: "What happens at the limit." },
        FactRow { name: "connected_clients", metric: true, meaning: "Clients connected." },
        FactRow { name: "maxclients", metric: true, meaning: "Limit of connected clients." },
        FactRow { name: "blocked_clients", metric: true, meaning: "Clients waiting in a blocking command." },
        FactRow { name: "evicted_keys_total", metric: true, meaning: "Keys evicted at the memory limit." },
        FactRow { name: "rejected_connections_total", metric: true, meaning: "Connections refused at the limit of clients." },
        FactRow { name: "connected_replicas", metric: true, meaning: "Replicas connected to this server." },
        FactRow { name: "master_link_up", metric: true, meaning: "Whether a replica has its link to the primary." },
        FactRow { name: "replication_lag_bytes", metric: true, meaning: "Bytes that a replica has received and not yet applied." },
        FactRow { name: "replication_last_io_seconds", metric: true, meaning: "Time since a replica heard from its primary." },
        FactRow { name: "rdb_last_save_ok", metric: true, meaning: "Whether the last background save succeeded." },
        FactRow { name: "cluster_state_ok", metric: true, meaning: "Whether the node sees the cluster as ok." },
        FactRow { name: "cluster_slots_ok", metric: true, meaning: "Slots served by nodes that are well." },
        FactRow { name: "seeds_answering", metric: true, meaning: "Sentinels, or nodes of the cluster, that the URL names and that answer." },
        FactRow { name: "cluster_known_nodes", metric: true, meaning: "Nodes that the node knows of." },
    ],
    findings: &[
        FindingRow { code: "persistence_blocks_writes", meaning: "`PING` answers `MISCONF`: the server cannot persist and refuses writes. Degraded; a `not_ready` failure with `expect.writable`.", remedy: "Read the server's log for the failed save: disk full, permission or fork." },
        FindingRow { code: "persistence_failing", meaning: "The last background save or append failed: degraded.", remedy: "Read the server's log: disk full, permission or fork." },
        FindingRow { code: "memory", meaning: "`used_memory` ≥ `degraded.memory` of `maxmemory` and nothing is evicted: degraded; from 0.98 on unhealthy with `expect.writable`.", remedy: "Free memory, raise `maxmemory` or choose an eviction policy: writes fail with OOM at the limit." },
        FindingRow { code: "connections", meaning: "`connected_clients` ≥ `degraded.connections` of `maxclients`: degraded.", remedy: "Look for clients that leak connections, or raise `maxclients`." },
        FindingRow { code: "rejecting_connections", meaning: "`rejected_connections` grew since the last deep question: degraded.", remedy: "The server reaches `maxclients` at times: look for bursts, or raise it." },
        FindingRow { code: "role_mismatch", meaning: "The role is not `expect.role`, or a replica takes no writes and `expect.writable` is set: unhealthy.", remedy: "A fail-over happened, or the address leads to the wrong node." },
        FindingRow { code: "replication_broken", meaning: "A replica has no link to its primary: degraded, unhealthy with `expect.fresh_reads`.", remedy: "Check the primary, and the network and credentials between both." },
        FindingRow { code: "replication_syncing", meaning: "A replica copies the whole data set: degraded until it is done.", remedy: "Wait; when it repeats, enlarge the replication backlog." },
        FindingRow { code: "replication_lag", meaning: "A replica has received `degraded.replication_lag_bytes` and not yet applied them: degraded.", remedy: "Look for load on the replica and for the network." },
        FindingRow { code: "replication_silent", meaning: "A replica has heard nothing for `degraded.replication_silence`: degraded.", remedy: "The primary may hang: ask it." },
        FindingRow { code: "min_replicas_unmet", meaning: "`min-replicas-to-write` is set and no replica is good: writes fail with NOREPLICAS. Degraded, unhealthy with `expect.writable`.", remedy: "Bring replicas back, or lower `min-replicas-to-write`." },
        FindingRow { code: "cluster_down", meaning: "`cluster_state` is not ok: unhealthy.", remedy: "Run `redis-cli --cluster check`: slots without a node, or no majority." },
        FindingRow { code: "cluster_view_split", meaning: "Nodes that the URL names disagree about `cluster_state`: degraded.", remedy: "Look for a network that parts the nodes: `CLUSTER NODES` on each." },
        FindingRow { code: "seeds_failing", meaning: "A sentinel, or a node of the cluster, that the URL names does not answer (observed: address and kind): degraded.", remedy: "Bring it back, or take it out of the URL." },
        FindingRow { code: "sentinel_no_quorum", meaning: "`SENTINEL CKQUORUM` answers NOQUORUM: no fail-over would happen. Degraded.", remedy: "Bring sentinels back." },
        FindingRow { code: "sentinel_sees_down", meaning: "A sentinel thinks that the master is down: degraded with `s_down`, unhealthy with `o_down`, which several agree on.", remedy: "Look at the network between sentinels and master, and for a fail-over that cannot be done." },
        FindingRow { code: "cluster_slots_failing", meaning: "Slots lie on nodes that failed or are suspected to have: degraded.", remedy: "Look at `CLUSTER NODES` for the failing ones." },
        FindingRow { code: "cluster_slots_unassigned", meaning: "Fewer than 16384 slots are assigned: degraded.", remedy: "Assign the missing slots with `redis-cli --cluster fix`." },
    ],
    codes: &[
        CodeRow { code: "WRONGPASS", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "" },
        CodeRow { code: "NOAUTH", kind: FailureKind::Auth, message: "the server wants a password and none is configured", remedy: "Set `password`, and `username` for an ACL user." },
        CodeRow { code: "ERR invalid password*", kind: FailureKind::Auth, message: "the server rejected the password", remedy: "" },
        CodeRow { code: "ERR Client sent AUTH, but no password is set*", kind: FailureKind::Config, message: "a password is configured, but the server has none", remedy: "Remove `password`, or set `requirepass` on the server." },
        CodeRow { code: "ERR AUTH <password> called without any password*", kind: FailureKind::Config, message: "a password is configured, but the server has none", remedy: "Remove `password`, or set `requirepass` on the server." },
        CodeRow { code: "ERR wrong number of arguments for 'auth'*", kind: FailureKind::Config, message: "a user is configured, but the server is older than Redis 6 and has none", remedy: "Remove `username`." },
        CodeRow { code: "DENIED", kind: FailureKind::Auth, message: "the server is in protected mode and refuses other machines", remedy: "Set a password on the server, or bind it to the right interface." },
        CodeRow { code: "NOPERM", kind: FailureKind::Permission, message: "the ACL user may not run this command", remedy: "Grant the probe's user what the reference page lists: `+ping +info`, and more for `query`, round trips and clusters." },
        CodeRow { code: "LOADING", kind: FailureKind::NotReady, message: "the server is loading its data set", remedy: "Wait until it has loaded; INFO persistence shows how far it is." },
        CodeRow { code: "MASTERDOWN", kind: FailureKind::NotReady, message: "the replica has lost its primary and does not serve stale data", remedy: "Bring the primary back, or fail over." },
        CodeRow { code: "MISCONF", kind: FailureKind::NotReady, message: "the server cannot persist and refuses writes", remedy: "Read the server's log for the failed save: disk full, permission or fork." },
        CodeRow { code: "BUSY", kind: FailureKind::NotReady, message: "a script blocks the server", remedy: "End it with SCRIPT KILL, or FUNCTION KILL." },
        CodeRow { code: "CLUSTERDOWN", kind: FailureKind::NotReady, message: "the cluster does not serve", remedy: "Run `redis-cli --cluster check`." },
        CodeRow { code: "TRYAGAIN", kind: FailureKind::NotReady, message: "the cluster is moving slots", remedy: "" },
        CodeRow { code: "sentinel_unknown_master", kind: FailureKind::Config, message: "the sentinel knows no master of this name", remedy: "Correct the path of the URL; `SENTINEL MASTERS` lists the names." },
        CodeRow { code: "sentinel_not_a_master", kind: FailureKind::NotReady, message: "the server that the sentinel names is not a master", remedy: "A fail-over is under way: wait, or look at the log of the sentinel." },
        CodeRow { code: "IDONTKNOW", kind: FailureKind::NotReady, message: "the sentinel has not found out yet where the master is", remedy: "" },
        CodeRow { code: "ERR This instance has cluster support disabled*", kind: FailureKind::Config, message: "the server is not a node of a cluster", remedy: "Use `redis://` instead of `redis+cluster://`." },
        CodeRow { code: "NOREPLICAS", kind: FailureKind::NotReady, message: "too few replicas are connected for writes", remedy: "Bring replicas back." },
        CodeRow { code: "READONLY", kind: FailureKind::NotReady, message: "the server is a replica and takes no writes", remedy: "Point the entry at the primary." },
        CodeRow { code: "NOQUORUM", kind: FailureKind::NotReady, message: "the sentinels have no quorum", remedy: "Bring sentinels back." },
        CodeRow { code: "WRONGTYPE", kind: FailureKind::Config, message: "the key holds another type of value", remedy: "" },
        CodeRow { code: "OOM", kind: FailureKind::Overload, message: "the server has reached its memory limit", remedy: "" },
        CodeRow { code: "ERR max number of clients*", kind: FailureKind::Overload, message: "the server has reached its limit of clients", remedy: "Look for clients that leak connections, or raise `maxclients`." },
        CodeRow { code: "MOVED", kind: FailureKind::Config, message: "the target is a node of a cluster and sends us elsewhere", remedy: "Ask the node that has the key; a replica has none to write to." },
        CodeRow { code: "ERR DB index is out of range*", kind: FailureKind::Config, message: "the server has no database of this number", remedy: "Correct the path of the URL." },
        CodeRow { code: "ERR invalid DB index*", kind: FailureKind::Config, message: "the server has no database of this number", remedy: "Correct the path of the URL." },
        CodeRow { code: "ERR SELECT is not allowed in cluster mode*", kind: FailureKind::Config, message: "a cluster has only database 0", remedy: "Remove the database from the URL." },
        CodeRow { code: "ERR unknown command*", kind: FailureKind::Permission, message: "the server does not know the command; it may be renamed or disabled", remedy: "" },
        CodeRow { code: "ERR syntax error*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "NOPROTO", kind: FailureKind::Protocol, message: "the server does not speak this version of the protocol", remedy: "" },
        CodeRow { code: "ERR Protocol error*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
    ],
    unsupported: &[
        "Replicas by way of sentinels (`?role=replica`), and the nodes of a cluster that the URL does not name: give each an entry of its own.",
        "IAM authentication of managed services.",
    ],
};
