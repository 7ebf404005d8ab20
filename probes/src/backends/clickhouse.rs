//! ClickHouse by its HTTP interface: `SELECT 1` on a kept-alive connection, its system tables for the rest.
//!
//! `/ping` asks for no credentials and touches no engine: it tells a ClickHouse from other HTTP services, and no
//! more. Questions go by `GET`, which the server itself makes read-only, with the credentials in headers, where
//! no log has them. A question that was refused, or is too new for the server, is not put again in this session:
//! each would be a line in the server's log. Interface: <https://clickhouse.com/docs/interfaces/http>.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::Run,
    secret::Secret,
    tls::TlsConfig,
    wire::{
        api::{self, Api, Headers},
        dial::Target,
        http::Reply,
        json,
        sniff::Protocol,
    },
};

/// A ClickHouse server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClickhouseConfig {
    /// `http://[user@]host[:8123][,host…]` or `https://[user@]host[:8443]`: of several replicas the first that opens is
    /// asked. `?database=` for one that must be there.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Files and names for TLS; needs `https://`.
    tls: Option<TlsConfig>,
    /// Own question in the place of `SELECT 1`: a single statement that only reads, without `FORMAT`.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: ClickhouseExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: ClickhouseDegraded,
}

/// What must be true of a ClickHouse server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClickhouseExpect {
    /// Writes must be possible: a lost Keeper, a read-only replica or a full disk is unhealthy, not degraded.
    writable: bool,
    /// Reads must be fresh: a replica that is ten times `degraded.replica_delay` behind is unhealthy.
    fresh_reads: bool,
    /// What the answer to `query` must have in the first column of its first row.
    value: Option<Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// Limits above which a ClickHouse server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClickhouseDegraded {
    /// How far a replica may be behind.
    replica_delay: Span,
    /// Share of `parts_to_throw_insert` that the largest partition may have in parts.
    #[schemars(range(min = 0.0, max = 1.0))]
    parts: f64,
    /// How long a mutation may take.
    mutation_age: Span,
    /// Share of a disk in use; from 0.98 on unhealthy with `expect.writable`.
    #[schemars(range(min = 0.0, max = 1.0))]
    disk: f64,
}

impl Default for ClickhouseDegraded {
    fn default() -> Self {
        Self { replica_delay: Span::seconds(300), parts: 0.8, mutation_age: Span::seconds(3600), disk: 0.9 }
    }
}

/// Above this share of its disk a server that must be writable is as good as full.
const FULL: f64 = 0.98;

/// Asks a ClickHouse server.
pub struct Clickhouse {
    target: Target,
    credentials: Credentials,
    database: Option<String>,
    question: Option<Question>,
    expect: ClickhouseExpect,
    degraded: ClickhouseDegraded,
    /// The user's profile allows no change of settings; it will not the next time either.
    fixed_settings: AtomicBool,
}

/// A kept-alive connection and what is sent on it.
pub struct ClickhouseSession {
    api: Api,
    /// What every question is asked with, such as the database.
    parameters: String,
    version: (u32, u32),
    /// Questions that were refused, which are not put again.
    refused: Vec<&'static str>,
    /// Inserts that were delayed or rejected, as of the last deep question.
    pressed_back: Option<i64>,
}

impl Backend for Clickhouse {
    type Config = ClickhouseConfig;
    type Session = ClickhouseSession;

    const KIND: &'static str = "clickhouse";
    const EXAMPLE: &'static str = r#"backend = "clickhouse"
url = "http://localhost:8123"
degraded = { disk = 0.9 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: ClickhouseConfig) -> Result<Self, ConfigError> {
        let ClickhouseConfig { url, username, password, tls, query, mut expect, degraded } = config;
        if matches!(url.scheme(), "clickhouse" | "clickhouses" | "tcp") {
            let message = "the native protocol is not spoken here: use `http://` with port 8123, or `https://` with port 8443";
            return Err(ConfigError::new("url", message));
        }
        url.expect(&["http", "https"], &["database"]).map_err(ConfigError::at("url"))?;
        let target = api::target(&url, 8123, 8443, tls)?;
        let database = url.parameters().last().map(|(_, database)| database);
        let credentials = url.credentials(username, password)?;
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        let fixed_settings = AtomicBool::new(false);
        Ok(Self { target, credentials, database, question, expect, degraded, fixed_settings })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<ClickhouseSession, Failure> {
        let headers = self.headers(run).await?;
        let mut session = ClickhouseSession {
            api: Api::open(run, &self.target, headers).await?,
            parameters: String::new(),
            version: (0, 0),
            refused: Vec::new(),
            pressed_back: None,
        };
        session.ping(run).await?;
        let row = self.greet(&mut session, run).await?;
        run.fact_if("version", row.first().map(String::as_str));
        run.fact_if("timezone", row.get(1).map(String::as_str));
        Ok(session)
    }

    async fn ask(&self, session: &mut ClickhouseSession, run: &mut Run) -> Result<(), Failure> {
        if let Some(question) = &self.question {
            let answer = session.put(question, self.fixed_settings.load(Ordering::Relaxed), run).await?;
            question.judge(&answer, run);
            return Ok(());
        }
        let reply = session.get("SELECT 1", run).await?;
        match &*reply.body {
            b"1\n" => Ok(()),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to SELECT 1 is not 1")),
        }
    }

    async fn examine(&self, session: &mut ClickhouseSession, run: &mut Run) -> Result<(), Failure> {
        let metrics = session.pairs("system.metrics", METRICS, run).await?;
        if let Some(metrics) = &metrics {
            note_metrics(metrics, run);
        }
        if let Some(row) = session.row("uptime", "SELECT uptime()", run).await? {
            run.fact_if("uptime_seconds", row.number(0));
        }
        if let Some(events) = session.pairs("system.events", EVENTS, run).await? {
            judge_inserts(session, &events, run);
        }
        if let Some(parts) = session.pairs("system.asynchronous_metrics", PARTS, run).await? {
            self.judge_parts(&parts, run);
        }
        if let Some(macros) = session.pairs("system.macros", MACROS, run).await? {
            run.fact_if("shard", macros.get("shard").map(String::as_str));
            run.fact_if("replica", macros.get("replica").map(String::as_str));
        }
        self.examine_replicas(session, metrics.as_ref(), run).await?;
        self.examine_mutations(session, run).await?;
        if session.version >= DISKS_SINCE {
            let disks = session.rows("system.disks", DISKS, run).await?.unwrap_or_default();
            self.judge_disks(&disks, run);
        } else {
            run.missing("system.disks");
        }
        Ok(())
    }

    async fn close(&self, session: ClickhouseSession) {
        session.api.close().await;
    }
}

const METRICS: &str = "SELECT metric, value FROM system.metrics WHERE metric IN \
     ('ReadonlyReplica', 'DelayedInserts', 'ZooKeeperSession', 'HTTPConnection', 'TCPConnection')";

/// Counted since the server started; those that never happened are absent.
const EVENTS: &str = "SELECT event, value FROM system.events WHERE event IN ('DelayedInserts', 'RejectedInserts')";

const PARTS: &str = "SELECT metric, toString(value) FROM system.asynchronous_metrics \
     WHERE metric = 'MaxPartCountForPartition' UNION ALL \
     SELECT name, value FROM system.merge_tree_settings WHERE name = 'parts_to_throw_insert'";

const MACROS: &str = "SELECT macro, substitution FROM system.macros WHERE macro IN ('shard', 'replica')";

/// Without the four columns that read from Keeper for every table.
const REPLICAS: &str = "SELECT count(), sum(is_readonly), sum(is_session_expired), max(absolute_delay), max(queue_size) \
     FROM system.replicas";

const READONLY: &str = "SELECT concat(database, '.', table) FROM system.replicas WHERE is_readonly OR is_session_expired \
     ORDER BY database, table LIMIT 3";

/// From this version on a mutation says why it failed.
const FAIL_REASONS_SINCE: (u32, u32) = (20, 1);

/// From this version on there is `system.disks`.
const DISKS_SINCE: (u32, u32) = (20, 1);

const DISKS: &str = "SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0";

/// "Cannot modify a setting in read-only mode", and what later servers say where only this one is not allowed.
const FIXED_SETTINGS: [&str; 2] = ["164", "452"];

impl Clickhouse {
    async fn headers(&self, run: &mut Run) -> Result<Headers, Failure> {
        let mut headers = Headers::of(&self.target, run)?;
        let Credentials { user, password } = &self.credentials;
        if user.is_some() || password.is_some() {
            let user = user.as_deref().unwrap_or("default");
            headers = headers.with(HeaderName::from_static("x-clickhouse-user"), user)?;
        }
        match password {
            Some(password) => headers.with_secret(HeaderName::from_static("x-clickhouse-key"), &run.secret(password).await?),
            None => Ok(headers),
        }
    }

    /// The first question with credentials. Where the profile allows it, no question is logged and each has its limit.
    async fn greet(&self, session: &mut ClickhouseSession, run: &mut Run) -> Result<Vec<String>, Failure> {
        let limit = run.server_limit();
        let parameters = |settings: bool| {
            let mut parameters = form_urlencoded::Serializer::new(String::new());
            parameters.append_pair("wait_end_of_query", "1");
            if let Some(database) = &self.database {
                parameters.append_pair("database", database);
            }
            if settings {
                let limit = limit.as_secs().max(1).to_string();
                parameters.extend_pairs([("log_queries", "0"), ("max_threads", "1"), ("max_execution_time", &limit)]);
            }
            parameters.finish()
        };
        let free = !self.fixed_settings.load(Ordering::Relaxed);
        session.parameters = parameters(free);
        let mut answer = session.get(GREETING, run).await;
        if free
            && answer.as_ref().is_err_and(|refused| refused.code.as_deref().is_some_and(|code| FIXED_SETTINGS.contains(&code)))
        {
            self.fixed_settings.store(true, Ordering::Relaxed);
            session.parameters = parameters(false);
            answer = session.get(GREETING, run).await;
        }
        let row = table(&answer?.body).into_iter().next().unwrap_or_default();
        session.version = row.first().map(|version| parse_version(version)).unwrap_or_default();
        Ok(row)
    }

    fn judge_parts(&self, parts: &HashMap<String, String>, run: &mut Run) {
        let number = |name: &str| parts.get(name).and_then(|value| value.parse::<f64>().ok());
        // The server counts in the background: a young one does not know it yet.
        let Some(most) = number("MaxPartCountForPartition") else { return };
        run.fact("max_parts_per_partition", most);
        if let Some(limit) = number("parts_to_throw_insert").filter(|limit| *limit > 0.0) {
            let share = most / limit;
            if share >= self.degraded.parts {
                run.finding(Finding::degraded("parts", share).against(self.degraded.parts));
            }
        }
    }

    /// Replicas, their Keeper and their delay.
    async fn examine_replicas(
        &self,
        session: &mut ClickhouseSession,
        metrics: Option<&HashMap<String, String>>,
        run: &mut Run,
    ) -> Result<(), Failure> {
        let metric = |name: &str| metrics.and_then(|metrics| metrics.get(name)?.parse::<i64>().ok());
        let Some(row) = session.row("system.replicas", REPLICAS, run).await? else {
            if let Some(readonly) = metric("ReadonlyReplica").filter(|readonly| *readonly > 0) {
                run.finding(Finding::when(self.expect.writable, "readonly_replicas", readonly));
            }
            return Ok(());
        };
        let number = |at| row.number(at).unwrap_or_default();
        let (tables, readonly, expired, delay) = (number(0), number(1), number(2), number(3));
        run.fact("replicated_tables", tables);
        if tables == 0 {
            return Ok(());
        }
        run.fact("readonly_replicas", readonly);
        run.fact("max_absolute_delay_seconds", delay);
        run.fact_if("max_queue_size", row.number(4));
        if readonly > 0 || expired > 0 {
            let names = session.rows("system.replicas", READONLY, run).await?.unwrap_or_default();
            let names = names.iter().filter_map(|row| row.word(0)).collect::<Vec<_>>().join(", ");
            let observed = format!("{} of {tables}: {names}", readonly.max(expired));
            run.finding(Finding::when(self.expect.writable, "readonly_replicas", observed));
        }
        let limit = self.degraded.replica_delay.0.as_secs();
        if delay.unsigned_abs() >= limit {
            let stale = self.expect.fresh_reads && delay.unsigned_abs() >= limit.saturating_mul(10);
            run.finding(Finding::when(stale, "replica_delay", delay).against(limit));
        }
        // This page counts only against a server: for read-only tables it has said that all is well.
        let page = session.api.get("/replicas_status", run).await?;
        if metric("ZooKeeperSession") == Some(0) {
            run.finding(Finding::when(self.expect.writable, "keeper_lost", "no session"));
        } else if page.status.is_server_error() {
            let observed = exception(&page.body).map_or(page.status.as_str().to_owned(), |(code, _)| format!("error {code}"));
            run.finding(Finding::when(self.expect.writable, "replicas_status", observed));
        }
        Ok(())
    }

    async fn examine_mutations(&self, session: &mut ClickhouseSession, run: &mut Run) -> Result<(), Failure> {
        let limit = self.degraded.mutation_age.0.as_secs();
        let failing = if session.version >= FAIL_REASONS_SINCE { "countIf(latest_fail_reason != '')" } else { "0" };
        let question = format!(
            "SELECT countIf(create_time <= now() - {limit}), {failing}, toUInt64(max(now() - create_time)) FROM system.mutations \
             WHERE NOT is_done"
        );
        let Some(row) = session.row("system.mutations", &question, run).await? else { return Ok(()) };
        self.judge_mutations(&row, run);
        Ok(())
    }

    fn judge_mutations(&self, row: &Row, run: &mut Run) {
        let limit = self.degraded.mutation_age.0.as_secs();
        if let Some(failing) = row.number(1).filter(|failing| *failing > 0) {
            run.finding(Finding::degraded("mutations_failing", failing));
        }
        if row.number(0).is_some_and(|stuck| stuck > 0) {
            run.finding(Finding::degraded("mutations_stuck", row.number(2).unwrap_or_default()).against(limit));
        }
    }

    fn judge_disks(&self, disks: &[Row], run: &mut Run) {
        for disk in disks {
            let (Some(name), Some(free), Some(total)) = (disk.word(0), disk.amount(1), disk.amount(2)) else { continue };
            let used = 1.0 - free / total;
            if used >= self.degraded.disk {
                let full = self.expect.writable && used >= FULL;
                let limit = if full { FULL } else { self.degraded.disk };
                run.finding(Finding::when(full, "disk", format!("{name}: {used:.3}")).against(limit));
            }
        }
    }
}

const GREETING: &str = "SELECT version(), timezone()";

fn note_metrics(metrics: &HashMap<String, String>, run: &mut Run) {
    let number = |name: &str| metrics.get(name).and_then(|value| value.parse::<i64>().ok());
    run.fact_if("connections_http", number("HTTPConnection"));
    run.fact_if("connections_tcp", number("TCPConnection"));
    run.fact_if("delayed_inserts", number("DelayedInserts"));
    run.fact_if("keeper_connected", number("ZooKeeperSession").map(|sessions| sessions > 0));
}

/// Inserts that the server holds back because merges do not keep up.
fn judge_inserts(session: &mut ClickhouseSession, events: &HashMap<String, String>, run: &mut Run) {
    let count = events.values().filter_map(|value| value.parse::<i64>().ok()).sum();
    if let Some(before) = session.pressed_back.replace(count).filter(|before| count > *before) {
        run.finding(Finding::degraded("insert_backpressure", count - before));
    }
}

impl ClickhouseSession {
    /// Whether it is ClickHouse at all.
    async fn ping(&mut self, run: &mut Run) -> Result<(), Failure> {
        let reply = self.api.get("/ping", run).await?;
        if reply.status.is_success() && reply.body.starts_with(b"Ok.") {
            return Ok(());
        }
        let native = String::from_utf8_lossy(&reply.body).contains("is for clickhouse-client program");
        let failure = if native {
            Failure::new(FailureKind::Protocol, "this is the port of ClickHouse's native protocol, not of HTTP")
                .with_code("native_port")
                .with_remedy("Point the entry at the HTTP port, which is usually 8123, or 8443 with TLS.")
        } else {
            refusal(&reply).unwrap_or_else(|| Failure::new(FailureKind::Protocol, "the peer speaks HTTP, but is not ClickHouse"))
        };
        Err(failure)
    }

    /// The answer to a question; an exception is a failure, whatever the status of the answer.
    async fn get(&mut self, query: &str, run: &mut Run) -> Result<Reply, Failure> {
        self.get_with("", query, run).await
    }

    async fn get_with(&mut self, parameters: &str, query: &str, run: &mut Run) -> Result<Reply, Failure> {
        let query = form_urlencoded::byte_serialize(query.as_bytes()).collect::<String>();
        let reply = self.api.get(&format!("/?{}{parameters}&query={query}", self.parameters), run).await?;
        refusal(&reply).map_or(Ok(reply), Err)
    }

    /// Puts an own question. Where it may be told so, the server ends the answer behind the block that has enough rows.
    async fn put(&mut self, question: &Question, fixed_settings: bool, run: &mut Run) -> Result<Answer, Failure> {
        let enough = question.enough_rows();
        let limits = if fixed_settings { String::new() } else { format!("&max_result_rows={enough}&result_overflow_mode=break") };
        let reply = self.get_with(&format!("&default_format=JSONCompact{limits}"), question.text(), run).await?;
        let table: Table = json::read(String::from_utf8_lossy(&reply.body).as_bytes(), |_| {
            Failure::new(FailureKind::Config, "the answer to the own question is not a table in the format that was asked for")
                .with_code("not_json")
                .with_remedy("Leave `FORMAT` out of `query`, and let it ask for rows.")
        })?;
        let value = table.data.into_iter().next().and_then(|row| row.into_iter().next());
        let value = value.filter(|value| !value.is_null());
        let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        Ok(Answer { value, rows: table.rows.min(enough) })
    }

    /// The rows of a question that may be refused.
    async fn rows(&mut self, name: &'static str, query: &str, run: &mut Run) -> Result<Option<Vec<Row>>, Failure> {
        if self.refused.contains(&name) {
            run.missing(name);
            return Ok(None);
        }
        let answer = self.get(query, run).await;
        let reply = run.optional(name, answer)?;
        if reply.is_none() {
            self.refused.push(name);
        }
        Ok(reply.map(|reply| table(&reply.body).into_iter().map(Row).collect()))
    }

    async fn row(&mut self, name: &'static str, query: &str, run: &mut Run) -> Result<Option<Row>, Failure> {
        Ok(self.rows(name, query, run).await?.and_then(|rows| rows.into_iter().next()))
    }

    async fn pairs(
        &mut self,
        name: &'static str,
        query: &str,
        run: &mut Run,
    ) -> Result<Option<HashMap<String, String>>, Failure> {
        let pair = |row: Row| <[String; 2]>::try_from(row.0).ok().map(|[name, value]| (name, value));
        Ok(self.rows(name, query, run).await?.map(|rows| rows.into_iter().filter_map(pair).collect()))
    }
}

/// An answer in the format `JSONCompact`.
#[derive(Deserialize)]
struct Table {
    data: Vec<Vec<serde_json::Value>>,
    rows: u64,
}

/// One row of an answer.
struct Row(Vec<String>);

impl Row {
    fn word(&self, at: usize) -> Option<&str> {
        self.0.get(at).map(String::as_str)
    }

    fn number(&self, at: usize) -> Option<i64> {
        self.word(at)?.parse().ok()
    }

    fn amount(&self, at: usize) -> Option<f64> {
        self.word(at)?.parse().ok()
    }
}

/// The format TabSeparated, the interface's own. Nothing that we ask for needs its escapes undone.
fn table(body: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(body);
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The first two numbers of `24.8.4.13` and the like.
fn parse_version(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// The server's exception, or what something in between says in its place.
fn refusal(reply: &Reply) -> Option<Failure> {
    let named = reply.header("x-clickhouse-exception-code");
    if let Some((code, words)) = exception(&reply.body) {
        return Some(Failure::server(code, words));
    }
    if let Some(code) = named {
        return Some(Failure::server(code, String::from_utf8_lossy(&reply.body)));
    }
    (!reply.status.is_success())
        .then(|| Failure::server(format!("HTTP {}", reply.status.as_u16()), reply.status.canonical_reason().unwrap_or_default()))
}

/// Code and words of an exception in a body. It may come behind the first rows of an answer, with status 200.
/// Old servers: `Code: 193, e.displayText() = DB::Exception: words, e.what() = …`; later ones: `Code: 193. DB::Exception: words`.
fn exception(body: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let rest = text.lines().find_map(|line| line.strip_prefix("Code: "))?;
    let (code, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let words = rest.split_once("DB::Exception: ")?.1;
    let words = words.split(", e.what()").next().unwrap_or(words);
    Some((code.to_owned(), words.to_owned())).filter(|(code, _)| !code.is_empty())
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "ClickHouse",
    summary: "ClickHouse by HTTP, as a single server or as one replica. Run against version 18.16; what later versions changed is \
              taken from their documentation.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `https://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`/ping`, then `SELECT version(), timezone()`", privilege: "a log-in" },
        LevelRow { level: "query", question: "`SELECT 1`", privilege: "the same" },
        LevelRow { level: "query", question: "or the own question (`query`), of whose answer, of at most 1 MiB, the first row is kept; its limits of rows and time hold where the user's profile allows settings", privilege: "`SELECT` on what it reads" },
        LevelRow { level: "deep", question: "metrics, events, parts, replicas and `/replicas_status`, mutations, disks", privilege: "`SELECT` on system.metrics, events, asynchronous_metrics, merge_tree_settings, macros, replicas, mutations, disks, where the server grants it to nobody by itself" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "timezone", metric: false, meaning: "Time zone of the server." },
        FactRow { name: "shard", metric: false, meaning: "The macro `shard`." },
        FactRow { name: "replica", metric: false, meaning: "The macro `replica`." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the server started." },
        FactRow { name: "connections_http", metric: true, meaning: "Connections by HTTP." },
        FactRow { name: "connections_tcp", metric: true, meaning: "Connections by the native protocol." },
        FactRow { name: "delayed_inserts", metric: true, meaning: "Inserts that are held back now." },
        FactRow { name: "max_parts_per_partition", metric: true, meaning: "Parts of the partition that has most of them." },
        FactRow { name: "keeper_connected", metric: true, meaning: "Whether there is a session with ZooKeeper or Keeper." },
        FactRow { name: "replicated_tables", metric: true, meaning: "Replicated tables that the user sees." },
        FactRow { name: "readonly_replicas", metric: true, meaning: "Replicated tables that take no writes." },
        FactRow { name: "max_absolute_delay_seconds", metric: true, meaning: "Delay of the replica that is most behind." },
        FactRow { name: "max_queue_size", metric: true, meaning: "Longest replication queue of a table." },
    ],
    findings: &[
        FindingRow { code: "keeper_lost", meaning: "There are replicated tables and no session with ZooKeeper or Keeper: degraded, unhealthy with `expect.writable`.", remedy: "Bring ZooKeeper or Keeper back, or check the network towards it: reads go on, inserts fail." },
        FindingRow { code: "readonly_replicas", meaning: "Replicated tables are read-only or their session has expired: degraded, unhealthy with `expect.writable`.", remedy: "If Keeper is well, SYSTEM RESTART REPLICA; if the metadata is lost, SYSTEM RESTORE REPLICA." },
        FindingRow { code: "replicas_status", meaning: "`/replicas_status` answers with an error: degraded, unhealthy with `expect.writable`.", remedy: "Look at system.replicas for the table that is meant." },
        FindingRow { code: "replica_delay", meaning: "A replica is `degraded.replica_delay` behind: degraded; ten times that with `expect.fresh_reads`: unhealthy.", remedy: "Look at system.replication_queue for what it waits for." },
        FindingRow { code: "insert_backpressure", meaning: "Inserts were delayed or rejected since the last deep question (observed: how many): degraded.", remedy: "Insert less often and more at a time; look at system.merges for what holds merges up." },
        FindingRow { code: "parts", meaning: "A partition has `degraded.parts` of the parts at which inserts are rejected: degraded.", remedy: "Insert less often and more at a time; look at system.merges for what holds merges up." },
        FindingRow { code: "mutations_stuck", meaning: "A mutation is not done after `degraded.mutation_age` (observed: seconds of the oldest): degraded.", remedy: "Look at system.mutations; KILL MUTATION ends one that cannot be done." },
        FindingRow { code: "mutations_failing", meaning: "Mutations fail and are tried again and again: degraded.", remedy: "Look at latest_fail_reason in system.mutations; KILL MUTATION ends one that cannot be done." },
        FindingRow { code: "disk", meaning: "A disk is used by `degraded.disk`: degraded; from 0.98 on unhealthy with `expect.writable`.", remedy: "Free space, or add some: inserts and merges fail on a full disk." },
    ],
    // <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>; `HTTP` is what others say in between.
    codes: &[
        CodeRow { code: "192", kind: FailureKind::Auth, message: "the server does not know the user", remedy: "" },
        CodeRow { code: "193", kind: FailureKind::Auth, message: "the server rejected the password", remedy: "" },
        CodeRow { code: "194", kind: FailureKind::Auth, message: "the server wants a password and none is configured", remedy: "Set `password`." },
        CodeRow { code: "195", kind: FailureKind::Auth, message: "the server does not let the user in from here", remedy: "Add this machine to the user's networks." },
        CodeRow { code: "516", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "" },
        CodeRow { code: "497", kind: FailureKind::Permission, message: "the user may not do this", remedy: "Grant `SELECT` on what the reference page lists." },
        CodeRow { code: "497 in query", kind: FailureKind::Permission, message: "the user may not do what the own question asks for", remedy: "Grant `SELECT` on what it reads." },
        CodeRow { code: "164 in query", kind: FailureKind::Config, message: "the own question writes or changes a setting, and was refused", remedy: "Correct `query`: it may only read." },
        CodeRow { code: "60 in query", kind: FailureKind::Config, message: "the table of the own question does not exist", remedy: "Correct `query`." },
        CodeRow { code: "47 in query", kind: FailureKind::Config, message: "a column of the own question does not exist", remedy: "Correct `query`." },
        CodeRow { code: "46 in query", kind: FailureKind::Config, message: "a function of the own question does not exist", remedy: "Correct `query`." },
        CodeRow { code: "62 in query", kind: FailureKind::Config, message: "the own question is not understood, or is not a single statement", remedy: "Correct `query`." },
        CodeRow { code: "body_too_large in query", kind: FailureKind::Protocol, message: "the answer to the own question is longer than 1 MiB", remedy: "Let `query` ask for less, such as by LIMIT." },
        CodeRow { code: "291", kind: FailureKind::Permission, message: "the user may not use this database", remedy: "Add the database to the user's." },
        CodeRow { code: "164", kind: FailureKind::Permission, message: "the user's profile does not allow this", remedy: "" },
        CodeRow { code: "452", kind: FailureKind::Permission, message: "the user's profile does not allow a setting to be changed", remedy: "" },
        CodeRow { code: "392", kind: FailureKind::Permission, message: "the user's profile does not allow this kind of query", remedy: "" },
        CodeRow { code: "81", kind: FailureKind::Config, message: "the database does not exist", remedy: "Correct `database` in the URL." },
        CodeRow { code: "60", kind: FailureKind::Config, message: "a table does not exist: the server is too old, or too new", remedy: "" },
        CodeRow { code: "47", kind: FailureKind::Config, message: "a column does not exist: the server is too old, or too new", remedy: "" },
        CodeRow { code: "46", kind: FailureKind::Config, message: "a function does not exist: the server is too old, or too new", remedy: "" },
        CodeRow { code: "62", kind: FailureKind::Config, message: "the server does not understand the query", remedy: "" },
        CodeRow { code: "115", kind: FailureKind::Config, message: "the server does not know a setting", remedy: "" },
        CodeRow { code: "202", kind: FailureKind::Overload, message: "too many queries run at the same time", remedy: "Raise `max_concurrent_queries`, or ask less." },
        CodeRow { code: "203", kind: FailureKind::Overload, message: "the server has no free connection", remedy: "" },
        CodeRow { code: "241", kind: FailureKind::Overload, message: "the server has reached a memory limit", remedy: "" },
        CodeRow { code: "252", kind: FailureKind::Overload, message: "a table has too many parts", remedy: "Insert less often and more at a time." },
        CodeRow { code: "201", kind: FailureKind::Overload, message: "the user has used up a quota", remedy: "Raise the quota of the probe's user." },
        CodeRow { code: "243", kind: FailureKind::Overload, message: "the server's disk is full", remedy: "" },
        CodeRow { code: "439", kind: FailureKind::Overload, message: "the server has no thread left", remedy: "" },
        CodeRow { code: "159", kind: FailureKind::Timeout, message: "the server gave up on the query in our time limit", remedy: "Look for load on the server." },
        CodeRow { code: "160", kind: FailureKind::Timeout, message: "the server expects the query to be too slow", remedy: "" },
        CodeRow { code: "209", kind: FailureKind::Timeout, message: "the server waited too long for another one", remedy: "" },
        CodeRow { code: "225", kind: FailureKind::NotReady, message: "the server has no ZooKeeper or Keeper", remedy: "Bring it back." },
        CodeRow { code: "242", kind: FailureKind::NotReady, message: "a table takes no writes", remedy: "Bring ZooKeeper or Keeper back." },
        CodeRow { code: "285", kind: FailureKind::NotReady, message: "too few replicas are alive for writes", remedy: "Bring replicas back." },
        CodeRow { code: "999", kind: FailureKind::NotReady, message: "ZooKeeper or Keeper reports an error", remedy: "" },
        CodeRow { code: "369", kind: FailureKind::NotReady, message: "every replica is too far behind", remedy: "" },
        CodeRow { code: "279", kind: FailureKind::NotReady, message: "the server reaches none of the others", remedy: "" },
        CodeRow { code: "99", kind: FailureKind::Protocol, message: "the server got a packet it does not know", remedy: "" },
        CodeRow { code: "100", kind: FailureKind::Protocol, message: "the server got a packet it does not know", remedy: "" },
        CodeRow { code: "101", kind: FailureKind::Protocol, message: "the server got a packet out of turn", remedy: "" },
        CodeRow { code: "102", kind: FailureKind::Protocol, message: "the server got a packet out of turn", remedy: "" },
        CodeRow { code: "217", kind: FailureKind::Protocol, message: "this is the port of another protocol", remedy: "Point the entry at the HTTP port." },
        CodeRow { code: "210", kind: FailureKind::ConnectionLost, message: "the server reports a broken connection", remedy: "" },
        CodeRow { code: "HTTP 401", kind: FailureKind::Auth, message: "the user name or password was rejected on the way to the server", remedy: "" },
        CodeRow { code: "HTTP 403", kind: FailureKind::Permission, message: "the way to the server is forbidden", remedy: "" },
        CodeRow { code: "HTTP 429", kind: FailureKind::Overload, message: "what stands before the server takes no more requests", remedy: "" },
        CodeRow { code: "HTTP 502", kind: FailureKind::NotReady, message: "what stands before the server cannot reach it", remedy: "" },
        CodeRow { code: "HTTP 503", kind: FailureKind::NotReady, message: "the server, or what stands before it, does not serve", remedy: "" },
        CodeRow { code: "HTTP 504", kind: FailureKind::NotReady, message: "what stands before the server waited too long for it", remedy: "" },
        CodeRow { code: "HTTP*", kind: FailureKind::Protocol, message: "the peer speaks HTTP, but does not answer like ClickHouse", remedy: "" },
    ],
    unsupported: &[
        "Round trips.",
        "The native protocol (ports 9000 and 9440).",
        "Log-ins by token, Kerberos and client certificate alone; a certificate beside a password is sent.",
        "The disks of servers before 20.1, which have no table of them.",
        "Whether a service in the cloud is idle: the first question wakes it.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn exception_of(text: &str) -> Option<(String, String)> {
        exception(text.as_bytes())
    }

    #[test]
    fn exceptions_of_old_and_new_servers_are_found_in_a_body() {
        let told = |code: &str, words: &str| Some((code.to_owned(), words.to_owned()));
        let old = "Code: 193, e.displayText() = DB::Exception: Wrong password for user probe, e.what() = DB::Exception\n";
        assert_eq!(exception_of(old), told("193", "Wrong password for user probe"));
        let new = "Code: 516. DB::Exception: probe: Authentication failed. (AUTHENTICATION_FAILED) (version 24.8.4.13)\n";
        assert_eq!(exception_of(new), told("516", "probe: Authentication failed. (AUTHENTICATION_FAILED) (version 24.8.4.13)"));
        let late = "1\n2\nCode: 241. DB::Exception: Memory limit exceeded\n";
        assert_eq!(exception_of(late), told("241", "Memory limit exceeded"));
        for innocent in ["1\n", "Code: x. DB::Exception: y", "a\tCode: 1. DB::Exception: y", "Code: 1"] {
            assert_eq!(exception_of(innocent), None, "{innocent}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert_eq!(["18.16.1", "24.8.4.13-stable", "head"].map(parse_version), [(18, 16), (24, 8), (0, 0)]);
    }
}
