//! Redis and Valkey: `PING` on a warm session, `INFO` for the rest.
//!
//! `INFO` succeeds while a server loads or is a stale replica, and `PING` does not; so `PING` decides
//! whether it serves, and `INFO` how well. Nothing here is logged by a server at its default level.
//! RESP: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::{collections::HashMap, time::Duration};

use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, aio::MultiplexedConnection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Credentials, Endpoint},
    backend::{Backend, ConfigError},
    duration::Span,
    failure::{Failure, FailureKind},
    finding::Finding,
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{Background, dial::Target, sniff::Protocol},
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

/// Asks a Redis or Valkey server.
pub struct Redis {
    target: Target,
    form: Form,
    credentials: Credentials,
    database: i64,
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
    connection: MultiplexedConnection,
    /// Where the sentinels said that the master is.
    master: Option<Endpoint>,
    _driver: Background,
    /// Servers before 7 take one section of `INFO` at a time.
    sections: bool,
    rejected_connections: Option<i64>,
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
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: RedisConfig) -> Result<Self, ConfigError> {
        let RedisConfig { url, username, password, sentinel_username, sentinel_password, tls, expect, degraded } = config;
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
        let database = database
            .parse()
            .map_err(|_| ConfigError::new("url", format!("the database of the URL must be a number, not `{database}`")))?;
        Ok(Self { target, form, credentials, database, expect, degraded })
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
        let (mut sentinel, _) = log_in(&self.target, credentials, 0, run).await?;
        let place = run.phase(Phase::Auth, sentinel.master_of(master)).await?;
        self.close(sentinel).await;
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
            Ok(answer) if answer == "PONG" => Ok(()),
            Ok(_) => Err(Failure::new(FailureKind::Protocol, "the answer to PING is not PONG")),
            // It reads, but does not write; whether that is enough is for the catalog to say.
            Err(refused) if refused.code.as_deref() == Some("MISCONF") && !self.expect.writable => {
                run.finding(Finding::degraded("persistence_blocks_writes", "MISCONF"));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
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

    async fn close(&self, session: RedisSession) {
        // The server closes after QUIT; a client that just leaves is as silent, but keeps the port in TIME-WAIT.
        let mut session = session;
        let _ = session.ask::<String>(&redis::cmd("QUIT")).await;
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
        let (mut session, hello) = log_in(target, &self.credentials, self.database, run).await?;
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
            let from = run.aside(candidate);
            let place = run.endpoint(&self.target).to_string();
            let view = self.view(run).await;
            run.back(&from);
            match view {
                Ok(view) => views.push(view),
                Err(failure) => silent.push(format!("{place} ({})", failure.kind)),
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
        if let Some(words) = views.iter().find_map(|view| view.no_quorum.as_deref()) {
            run.finding(Finding::degraded("sentinel_no_quorum", words));
        }
        if views.windows(2).any(|pair| pair[0].cluster_state != pair[1].cluster_state) {
            run.finding(Finding::degraded("cluster_view_split", "cluster_state"));
        }
        let masters: Vec<_> = views.iter().filter_map(|view| view.master.as_ref()).collect();
        // As if it had been lost, which leads to the new one.
        match masters.first() {
            Some(place) if !masters.iter().any(|known| Some(*known) == session.master.as_ref()) => {
                Err(Failure::new(FailureKind::ConnectionLost, format!("the sentinels name another master now: {place}")))
            }
            _ => Ok(()),
        }
    }

    /// What the address that the run has turned to thinks of the whole.
    async fn view(&self, run: &mut Run) -> Result<View, Failure> {
        let mut view = View::default();
        let Form::Sentinel { master, credentials } = &self.form else {
            let (mut session, _) = log_in(&self.target, &self.credentials, 0, run).await?;
            let answer = run.phase(Phase::Deep, session.ask::<String>(redis::cmd("CLUSTER").arg("INFO"))).await;
            view.cluster_state =
                run.optional("CLUSTER INFO", answer)?.and_then(|text| Some(Info::read(&text).word("cluster_state")?.to_owned()));
            self.close(session).await;
            return Ok(view);
        };
        let (mut session, _) = log_in(&self.target, credentials, 0, run).await?;
        view.master = Some(run.phase(Phase::Deep, session.master_of(master)).await?);
        let question = |word| redis::cmd("SENTINEL").arg(word).arg(master).to_owned();
        let about = run.phase(Phase::Deep, session.ask::<HashMap<String, String>>(&question("MASTER"))).await;
        let about = run.optional("SENTINEL MASTER", about)?;
        view.flags = about.and_then(|mut about| about.remove("flags")).unwrap_or_default();
        match run.phase(Phase::Deep, session.ask::<String>(&question("CKQUORUM"))).await {
            Err(refused) if refused.code.as_deref() == Some("NOQUORUM") => view.no_quorum = refused.server_message,
            answer => drop(run.optional("SENTINEL CKQUORUM", answer)?),
        }
        self.close(session).await;
        Ok(view)
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

/// What a sentinel or a node thinks of the whole.
#[derive(Default)]
struct View {
    master: Option<Endpoint>,
    flags: String,
    no_quorum: Option<String>,
    cluster_state: Option<String>,
}

/// Dials and logs in; with it comes the answer to `HELLO`.
async fn log_in(
    target: &Target,
    credentials: &Credentials,
    database: i64,
    run: &mut Run,
) -> Result<(RedisSession, HashMap<String, redis::Value>), Failure> {
    let password = credentials.password.as_ref().map(|secret| run.secret(secret)).transpose()?;
    let login = match (credentials.user.as_deref(), password.as_deref()) {
        (None, None) => None,
        (None, Some(password)) => Some(redis::cmd("AUTH").arg(password).to_owned()),
        (Some(user), password) => Some(redis::cmd("AUTH").arg(user).arg(password.map_or("", String::as_str)).to_owned()),
    };
    let stream = run.dial(target).await?;
    // The library would call every refusal of its own log-in a wrong password: it is told of none.
    let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
    let patience = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let opened = run
        .phase(Phase::Auth, async {
            let (connection, driver) =
                MultiplexedConnection::new_with_config(&bare, stream, patience).await.map_err(|error| failure(&error))?;
            let mut session = RedisSession {
                connection,
                _driver: Background::spawn(driver),
                master: None,
                sections: false,
                rejected_connections: None,
            };
            if let Some(login) = &login {
                session.ask::<()>(login).await?;
            }
            let hello = session.greet().await?;
            if database != 0 {
                session.ask::<()>(redis::cmd("SELECT").arg(database)).await?;
            }
            Ok::<_, Failure>((session, hello))
        })
        .await;
    opened.map_err(|failure| match failure.kind {
        FailureKind::ConnectionLost => unasked(&run.first_bytes()).unwrap_or(failure),
        _ => failure,
    })
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
    /// Says who we are, and learns whom we speak to.
    async fn greet(&mut self) -> Result<HashMap<String, redis::Value>, Failure> {
        match self.ask(redis::cmd("HELLO").arg(2).arg("SETNAME").arg("probity")).await {
            // Older than 6, or not allowed to: it has answered, and that is all we need.
            Err(Failure { code: Some(code), .. })
                if ["NOPERM", "NOPROTO", "ERR unknown", "ERR Unknown", "ERR syntax"].iter().any(|no| code.starts_with(no)) =>
            {
                Ok(HashMap::new())
            }
            other => other,
        }
    }

    /// Asks a sentinel where the master of a name is.
    async fn master_of(&mut self, name: &str) -> Result<Endpoint, Failure> {
        let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).to_owned();
        match self.ask::<Option<(String, u16)>>(&question).await? {
            Some((host, port)) => Ok(Endpoint::Tcp { host, port }),
            None => Err(Failure::server("sentinel_unknown_master", "")),
        }
    }

    async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, Failure> {
        question.query_async(&mut self.connection).await.map_err(|error| failure(&error))
    }
}

/// From the library's error: the server's own prefix decides; a plain `ERR` is told apart by its text,
/// which is part of the protocol and not translated.
fn failure(error: &RedisError) -> Failure {
    match error.code() {
        Some(code) => refusal(code, error.detail().unwrap_or_default()),
        None if error.is_io_error() || error.is_connection_dropped() => Failure::from_chain(error, FailureKind::ConnectionLost),
        None => Failure::from_chain(error, FailureKind::Protocol),
    }
}

fn refusal(code: &str, words: &str) -> Failure {
    let code = if code == "ERR" { format!("ERR {words}") } else { code.to_owned() };
    Failure::server(code, words)
}

/// A server that is full or protected refuses whoever connects before it is asked anything, and closes.
/// The library drops an answer without a question.
fn unasked(first: &[u8]) -> Option<Failure> {
    let line = String::from_utf8_lossy(first);
    let line = line.strip_prefix('-')?.lines().next()?;
    let (code, words) = line.split_once(' ').unwrap_or((line, ""));
    Some(refusal(code, words))
}

/// The answer to `INFO`: lines of `field:value`.
struct Info<'a>(HashMap<&'a str, &'a str>);

impl<'a> Info<'a> {
    fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.trim_end().split_once(':')).collect())
    }

    fn word(&self, field: &str) -> Option<&'a str> {
        self.0.get(field).copied()
    }

    fn number(&self, field: &str) -> Option<i64> {
        self.word(field)?.parse().ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
    fn share(&self, part: &str, whole: &str) -> Option<f64> {
        let (part, whole) = (self.number(part)?, self.number(whole)?);
        (whole > 0).then(|| part as f64 / whole as f64)
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
        LevelRow { level: "deep", question: "`INFO`; in cluster mode `CLUSTER INFO`", privilege: "`+info +cluster|info`" },
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
        CodeRow { code: "NOPERM", kind: FailureKind::Permission, message: "the ACL user may not run this command", remedy: "Grant `+ping +info` (and `+cluster|info` in a cluster) to the probe's user." },
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
        CodeRow { code: "OOM", kind: FailureKind::Overload, message: "the server has reached its memory limit", remedy: "" },
        CodeRow { code: "ERR max number of clients*", kind: FailureKind::Overload, message: "the server has reached its limit of clients", remedy: "Look for clients that leak connections, or raise `maxclients`." },
        CodeRow { code: "MOVED", kind: FailureKind::Config, message: "the target is a node of a cluster and sends us elsewhere", remedy: "" },
        CodeRow { code: "ERR DB index is out of range*", kind: FailureKind::Config, message: "the server has no database of this number", remedy: "Correct the path of the URL." },
        CodeRow { code: "ERR invalid DB index*", kind: FailureKind::Config, message: "the server has no database of this number", remedy: "Correct the path of the URL." },
        CodeRow { code: "ERR SELECT is not allowed in cluster mode*", kind: FailureKind::Config, message: "a cluster has only database 0", remedy: "Remove the database from the URL." },
        CodeRow { code: "ERR unknown command*", kind: FailureKind::Permission, message: "the server does not know the command; it may be renamed or disabled", remedy: "" },
        CodeRow { code: "ERR Protocol error*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
    ],
    unsupported: &[
        "Replicas by way of sentinels (`?role=replica`), and the nodes of a cluster that the URL does not name: give each an entry of its own.",
        "IAM authentication of managed services.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_nobody_asked_for_is_read() {
        let code = |first: &[u8]| unasked(first).and_then(|failure| failure.code);
        assert_eq!(code(b"-ERR max number of clients reached\r\n").as_deref(), Some("ERR max number of clients reached"));
        assert_eq!(code(b"-DENIED Redis is running in protected mode bec").as_deref(), Some("DENIED"));
        assert_eq!(code(b"+OK\r\n"), None);
    }

    #[test]
    fn info_is_read_line_by_line() {
        let info = Info::read("# Memory\r\nused_memory:900\r\nmaxmemory:1000\r\nbroken\r\n");
        assert_eq!(info.share("used_memory", "maxmemory"), Some(0.9));
        assert_eq!(info.number("broken"), None);
    }
}
