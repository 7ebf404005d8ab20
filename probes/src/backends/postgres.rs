//! `PostgreSQL` and what speaks its protocol: `SELECT 1` on a warm session, one query for the rest.
//!
//! Everything goes by the simple protocol, which poolers understand, in read-only questions that need no
//! privilege. Sessions end with Terminate, so that the server logs nothing. An own question is put by a cursor:
//! only a single `SELECT` can be one, and of its answer only the first row is sent.
//! Protocol: <https://www.postgresql.org/docs/current/protocol.html>.

use std::{
    error::Error,
    io,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls, SimpleColumn, SimpleQueryMessage, config::SslMode};

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    canary::Canary,
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        Background,
        dial::Target,
        guard::{self, Grammar},
        postgres::{self, Begun},
        row::Row,
        sniff::Protocol,
        stream::Stream,
    },
};

/// A `PostgreSQL` server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://[user@]host[:5432][,host…][/database]`: of several hosts the first that opens is asked;
    /// `?sslmode=verify-full` for TLS, the same as a `tls` table. `?target_session_attrs=` passes over hosts that are not
    /// `primary`, `standby`, `read-write` or `read-only`, or takes others last (`prefer-standby`): such as
    /// `postgres://db-1,db-2/orders?target_session_attrs=primary`. `postgres:///database?host=/run/postgresql` for a
    /// socket, whose number may be told by `&port=5432`.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Switches TLS on, with its files and names. The server is always verified.
    tls: Option<TlsConfig>,
    /// Own question in the place of `SELECT 1`: a single `SELECT`, put in a read-only transaction that is rolled back.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: PostgresExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: PostgresDegraded,
}

/// What must be true of a `PostgreSQL` server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresExpect {
    /// The role it must have.
    role: Option<Role>,
    /// Writes must be possible: neither a standby nor read-only, and synchronous standbys connected.
    writable: bool,
    /// Reads must be fresh: a standby that is ten times `degraded.replication_lag` behind is unhealthy.
    fresh_reads: bool,
    /// Standbys that a primary must have connected.
    #[schemars(range(min = 1))]
    min_standbys: Option<i64>,
    /// What the answer to `query` must have in the first column of its first row.
    value: Option<Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// A role in replication.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows a primary.
    Standby,
}

/// Limits above which a `PostgreSQL` server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresDegraded {
    /// Share of the connection slots for ordinary roles in use.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
    /// How far a standby may be behind.
    replication_lag: Span,
}

impl Default for PostgresDegraded {
    fn default() -> Self {
        Self { connections: 0.85, replication_lag: Span::seconds(30) }
    }
}

/// Asks a `PostgreSQL` server.
pub struct Postgres {
    target: Target,
    wanted: Wanted,
    credentials: Credentials,
    database: Option<String>,
    question: Option<Question>,
    expect: PostgresExpect,
    degraded: PostgresDegraded,
    /// A pooler in between refused start-up options; it will again.
    pooled: AtomicBool,
}

/// Which of several servers is looked for, in libpq's words (`target_session_attrs`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Wanted {
    fn parse(url: &Address, word: &str) -> Result<Self, String> {
        let known = [
            ("any", Self::Any),
            ("read-write", Self::ReadWrite),
            ("read-only", Self::ReadOnly),
            ("primary", Self::Primary),
            ("standby", Self::Standby),
            ("prefer-standby", Self::PreferStandby),
        ];
        let found = known.iter().find(|(known, _)| *known == word).map(|(_, wanted)| *wanted);
        found.ok_or_else(|| url.mistaken("target_session_attrs", word, &known.map(|(known, _)| known)))
    }

    /// Whether a server is the one.
    fn is(self, standby: bool, read_only: bool) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !standby && !read_only,
            Self::ReadOnly => standby || read_only,
            Self::Primary => !standby,
            Self::Standby | Self::PreferStandby => standby,
        }
    }
}

/// An open conversation.
pub struct PostgresSession {
    client: Client,
    driver: Background,
}

impl Backend for Postgres {
    type Config = PostgresConfig;
    type Session = PostgresSession;

    const KIND: &'static str = "postgres";
    const EXAMPLE: &'static str = r#"backend = "postgres"
url = "postgres://postgres@localhost:5432/postgres"
degraded = { connections = 0.85 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Postgres;
    const GUARD: Option<Grammar> = Some(guard::postgres::messages);
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(500);

    fn build(config: PostgresConfig) -> Result<Self, ConfigError> {
        let PostgresConfig { url, username, password, tls, query, mut expect, degraded } = config;
        url.expect(&["postgres", "postgresql"], &["sslmode", "host", "port", "target_session_attrs"])
            .map_err(ConfigError::at("url"))?;
        let mode = url.parameter("sslmode");
        let tls = match mode.as_deref() {
            None => tls,
            Some("disable") if tls.is_some() => {
                return Err(ConfigError::new("url", "`sslmode=disable` contradicts the `tls` table"));
            }
            Some("disable") => None,
            Some("require" | "verify-ca" | "verify-full") => Some(tls.unwrap_or_default()),
            Some(soft @ ("allow" | "prefer")) => {
                let message = format!("`sslmode={soft}` would fall back to plain text silently: use `verify-full` or `disable`");
                return Err(ConfigError::new("url", message));
            }
            Some(other) => {
                let known = ["disable", "require", "verify-ca", "verify-full"];
                return Err(ConfigError::new("url", url.mistaken("sslmode", other, &known)));
            }
        };
        let target = match (url.parameter("host"), url.parameter("port").unwrap_or_else(|| "5432".into())) {
            (Some(_), port) if port.parse::<u16>().is_err() => {
                return Err(ConfigError::new("url", "`port` must be a number"));
            }
            (Some(folders), port) => {
                let socket = |folder| PathBuf::from(folder).join(format!(".s.PGSQL.{port}"));
                url.on_sockets(folders.split(',').map(socket).collect(), tls.as_ref())?
            }
            (None, _) if url.parameter("port").is_some() => {
                return Err(ConfigError::new("url", "`port` is the number of a socket; the port of a host stands behind it"));
            }
            (None, _) => url.upgraded_target(5432, tls)?,
        };
        let wanted = url.parameter("target_session_attrs").map_or(Ok(Wanted::Any), |word| Wanted::parse(&url, &word));
        let wanted = wanted.map_err(ConfigError::at("url"))?;
        let target = if wanted == Wanted::PreferStandby { target.with_second_look() } else { target };
        let credentials = url.credentials(username, password)?;
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        let pooled = AtomicBool::new(false);
        Ok(Self { target, wanted, credentials, database: url.path(), question, expect, degraded, pooled })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<PostgresSession, Failure> {
        let options = !self.pooled.load(Ordering::Relaxed);
        match self.login(run, options).await {
            Err(failure) if options && failure.code.as_deref().is_some_and(|code| code.starts_with(UNSUPPORTED_OPTION)) => {
                self.pooled.store(true, Ordering::Relaxed);
                run.start_over();
                self.login(run, false).await
            }
            other => other,
        }
    }

    async fn ask(&self, session: &mut PostgresSession, run: &mut Run) -> Result<(), Failure> {
        if let Some(question) = &self.question {
            let answer = session.put(question, run.server_limit_now()).await?;
            question.judge(&answer, run);
            return Ok(());
        }
        match session.row("SELECT 1 AS one").await?.number("one") {
            Some(1) => Ok(()),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to SELECT 1 is not 1")),
        }
    }

    async fn examine(&self, session: &mut PostgresSession, run: &mut Run) -> Result<(), Failure> {
        let Some(row) = session.deep("recovery and connections", DEEP, run).await? else { return Ok(()) };
        run.fact_if("version", row.word("version"));
        run.fact_if("server_version_num", row.number("version_num"));
        run.fact_if("uptime_seconds", row.number("uptime"));
        self.judge_role(&row, run);
        self.judge_connections(&row, run);
        let standby = row.flag("in_recovery");
        if standby {
            if let Some(row) = session.deep("pg_stat_wal_receiver", STANDBY, run).await? {
                self.judge_standby(&row, run);
            }
        } else if let Some(row) = session.deep("pg_stat_replication", PRIMARY, run).await? {
            self.judge_primary(&row, run);
        }
        if row.number("version_num") >= Some(130_000)
            && let Some(row) = session.deep("pg_replication_slots", SLOTS, run).await?
            && let Some(slots) = row.number("lost").filter(|slots| *slots > 0)
        {
            run.finding(Finding::degraded("replication_slot_lost", slots));
        }
        Ok(())
    }

    /// A commit may wait for a standby for ever, and the server's own limits end with the statement: such a one is
    /// cancelled, or every round trip would leave another behind.
    async fn roundtrip(&self, session: &mut PostgresSession, run: &mut Run) -> Result<(), Failure> {
        let canary = Canary::of(run);
        match run.phase_within(Phase::Roundtrip, run.server_limit_now(), session.send(&canary)).await {
            Ok(read) => {
                canary.judge(read.as_deref(), run);
                Ok(())
            }
            Err(mut failure) => {
                if failure.kind == FailureKind::Timeout && failure.code.is_none() {
                    "Look for a synchronous standby that commits wait for, and for locks.".clone_into(&mut failure.remedy);
                    if let Ok(stream) = self.reach(run).await {
                        // The server never answers to it.
                        let _ = session.client.cancel_token().cancel_query_raw(stream, NoTls).await;
                    }
                }
                Err(failure)
            }
        }
    }

    async fn close(&self, session: PostgresSession) {
        drop(session.client);
        session.driver.finished().await;
    }
}

const SESSION: &str = "SELECT pg_is_in_recovery() AS in_recovery, current_setting('transaction_read_only') AS read_only";

/// Ordinary roles cannot use the reserved slots, so those do not count.
const DEEP: &str = "SELECT pg_is_in_recovery() AS in_recovery, current_setting('transaction_read_only') AS read_only, \
     current_setting('server_version') AS version, current_setting('server_version_num') AS version_num, \
     floor(extract(epoch FROM now() - pg_postmaster_start_time())) AS uptime, \
     current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
     - coalesce(current_setting('reserved_connections', true), '0')::int AS slots, \
     (SELECT sum(numbackends) FROM pg_stat_database) AS connections";

/// The lag is 0 when everything received is replayed: otherwise an idle primary would show an ever-growing one.
/// A standby that has not replayed a commit since it started is behind for at least as long as it runs.
const STANDBY: &str = "SELECT pg_is_wal_replay_paused() AS paused, \
     greatest(0, pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())) AS lag_bytes, \
     CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0 \
     ELSE greatest(0, extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time()))) \
     END AS lag, \
     extract(epoch FROM now() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) AS since_replay, \
     (SELECT count(*) FROM pg_stat_wal_receiver) AS receivers, \
     (SELECT max(status) FROM pg_stat_wal_receiver) AS receiver";

/// A base backup that is being taken is not a standby. Without privilege the state is NULL.
const PRIMARY: &str = "SELECT count(*) FILTER (WHERE state IS DISTINCT FROM 'backup') AS standbys, count(state) AS visible, \
     count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS sync_standbys, \
     current_setting('synchronous_standby_names') AS sync_names FROM pg_stat_replication";

const SLOTS: &str = "SELECT count(*) AS lost FROM pg_replication_slots WHERE wal_status IN ('unreserved', 'lost')";

/// How a pooler refuses start-up options.
const UNSUPPORTED_OPTION: &str = "08P01 unsupported startup parameter";

impl Postgres {
    async fn login(&self, run: &mut Run, options: bool) -> Result<PostgresSession, Failure> {
        let mut config = tokio_postgres::Config::new();
        config.ssl_mode(SslMode::Disable);
        let user = self.credentials.user.as_deref().unwrap_or("postgres");
        config.user(user);
        let mut parameters = vec![("client_encoding", "UTF8"), ("user", user)];
        if let Some(database) = &self.database {
            parameters.push(("database", database));
        }
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        if let Some(password) = &password {
            config.password(password.as_bytes());
        }
        let limit = run.server_limit().as_millis();
        let limits = format!("-c statement_timeout={limit} -c lock_timeout={limit}");
        if options {
            parameters.push(("options", &limits));
        }
        parameters.push(("application_name", "probity"));
        let stream = self.reach(run).await?;
        let login = async {
            let begun = Begun::start(stream, &parameters, password).await?;
            config.connect_raw(begun, NoTls).await.map_err(|error| failure(&error))
        };
        let (client, connection) = run.phase(Phase::Auth, login).await?;
        if !options {
            run.fact("pooler", "refuses start-up options");
        }
        let tether = run.tether();
        let driver = Background::spawn(async move {
            let mut connection = AssertUnwindSafe(connection).catch_unwind();
            let fault = match (&mut connection).await {
                Ok(ended) => ended.err().map(|error| failure(&error)),
                Err(_) => Some(Failure::library_panic()),
            };
            // Only behind this does a question hear that its connection has ended.
            if let (Some(tether), Some(fault)) = (tether, fault) {
                tether.blame(fault);
            }
            drop(connection);
        });
        let session = PostgresSession { client, driver };
        if self.wanted == Wanted::Any || (self.wanted == Wanted::PreferStandby && run.is_second_look(&self.target)) {
            return Ok(session);
        }
        let row = run.phase(Phase::Auth, session.row(SESSION)).await?;
        if self.wanted.is(row.flag("in_recovery"), row.word("read_only") == Some("on")) {
            return Ok(session);
        }
        self.close(session).await;
        run.unwanted();
        Err(Failure::server("target_session_attrs", ""))
    }

    async fn reach(&self, run: &mut Run) -> Result<Stream, Failure> {
        let mut stream = run.dial(&self.target).await?;
        if self.target.upgrade {
            run.phase(Phase::Tls, postgres::request_tls(&mut stream)).await?;
            stream = run.upgrade(stream, &self.target).await?;
        }
        Ok(stream)
    }

    fn judge_role(&self, row: &Row, run: &mut Run) {
        let standby = row.flag("in_recovery");
        let read_only = row.word("read_only") == Some("on");
        let role = if standby { "standby" } else { "primary" };
        run.fact("in_recovery", standby);
        run.fact("role", role);
        run.fact("read_only", read_only);
        let must_write = self.expect.writable || self.expect.role == Some(Role::Primary);
        if must_write && standby {
            run.finding(Finding::unhealthy("role_mismatch", role).against("primary"));
        } else if must_write && read_only {
            run.finding(Finding::unhealthy("role_mismatch", "read-only").against("writable"));
        } else if self.expect.role == Some(Role::Standby) && !standby {
            run.finding(Finding::unhealthy("unexpected_primary", role).against("standby"));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
    fn judge_connections(&self, row: &Row, run: &mut Run) {
        let (Some(used), Some(slots)) = (row.number("connections"), row.number("slots")) else { return };
        run.fact("connections", used);
        run.fact("connections_max", slots);
        let share = used as f64 / slots.max(1) as f64;
        if share >= self.degraded.connections {
            run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
        }
    }

    fn judge_standby(&self, row: &Row, run: &mut Run) {
        run.fact_if("replay_lag_bytes", row.number("lag_bytes"));
        run.fact_if("replication_lag_seconds", row.amount("lag"));
        let limit = self.degraded.replication_lag.0.as_secs_f64();
        if let Some(lag) = row.amount("lag").filter(|lag| *lag >= limit) {
            let stale = self.expect.fresh_reads && lag >= 10.0 * limit;
            run.finding(Finding::when(stale, "replication_lag", lag).against(limit));
        }
        if row.flag("paused") {
            run.finding(Finding::degraded("replay_paused", true));
        }
        let receiver = match (row.number("receivers"), row.word("receiver")) {
            (Some(0), _) => "no WAL receiver",
            (_, Some("streaming")) => return,
            (_, Some(_)) => "WAL receiver not streaming",
            (_, None) => return run.missing("pg_stat_wal_receiver"),
        };
        // Without a receiver everything received is replayed, so only the age of the last change tells.
        if row.amount("since_replay").is_none_or(|age| age >= limit) {
            run.finding(Finding::degraded("replication_broken", receiver));
        }
    }

    fn judge_primary(&self, row: &Row, run: &mut Run) {
        let Some(standbys) = row.number("standbys") else { return };
        run.fact("standbys_connected", standbys);
        if let Some(least) = self.expect.min_standbys.filter(|least| standbys < *least) {
            run.finding(Finding::degraded("standbys_missing", standbys).against(least));
        }
        let wanted = row.word("sync_names").map_or(0, sync_standbys);
        if wanted == 0 {
            return;
        }
        if standbys > 0 && row.number("visible") == Some(0) {
            run.missing("pg_stat_replication");
        } else if let Some(sync) = row.number("sync_standbys").filter(|sync| *sync < wanted) {
            run.finding(Finding::when(self.expect.writable, "sync_standbys_missing", sync).against(wanted));
        }
    }
}

/// How many standbys a commit waits for: `FIRST 2 (a, b, c)`, `ANY 2 (…)`, `2 (…)`, or a list, which means one.
fn sync_standbys(names: &str) -> i64 {
    let names = names.trim();
    let method = ["FIRST", "ANY"]
        .into_iter()
        .find_map(|method| Some(names.get(method.len()..)?).filter(|_| names[..method.len()].eq_ignore_ascii_case(method)));
    let counted = method.unwrap_or(names).split_once('(').and_then(|(count, _)| count.trim().parse().ok());
    counted.unwrap_or(i64::from(!names.is_empty()))
}

impl PostgresSession {
    /// Puts an own question. All of it is on its way before the first answer comes, so that it takes as long as any other.
    async fn put(&self, question: &Question, limit: Duration) -> Result<Answer, Failure> {
        let limit = limit.as_millis();
        // A pooler may have kept the limits of the session from the server.
        let open = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}");
        // What is prepared is a single statement, says the server; what goes by the simple protocol need not be.
        let declare = format!("DECLARE probity CURSOR FOR {}", question.text());
        let fetch = match question.enough_rows() {
            1 => "FETCH 1 FROM probity".to_owned(),
            rows => format!("FETCH 1 FROM probity; MOVE FORWARD {} FROM probity", rows - 1),
        };
        let (begun, declared, fetched, ended) = futures_util::join!(
            self.client.batch_execute(&open),
            self.client.execute_typed(&declare, &[]),
            self.client.simple_query(&fetch),
            self.client.batch_execute("ROLLBACK"),
        );
        let answer = begun.and(declared).and(fetched).and_then(|answer| ended.map(|()| answer));
        let mut told = Answer::default();
        for message in answer.map_err(|error| failure(&error))? {
            match message {
                SimpleQueryMessage::Row(row) => told.value = row.try_get(0).ok().flatten().map(str::to_owned),
                SimpleQueryMessage::CommandComplete(rows) => told.rows += rows,
                _ => {}
            }
        }
        Ok(told)
    }

    /// Writes, reads and removes a canary: statements that are sent together are one transaction.
    async fn send(&self, canary: &Canary) -> Result<Option<String>, Failure> {
        let (row, read, remove) = (canary.row(), canary.read(), canary.remove());
        let query = format!("INSERT INTO {row} ON CONFLICT (id) DO UPDATE SET nonce = excluded.nonce; {read}; {remove}");
        Ok(self.first(&query).await?.and_then(|mut row| row.take("nonce")))
    }

    /// The row of a deep question. What only speaks the protocol may not know what is asked for.
    async fn deep(&self, name: &'static str, query: &str, run: &mut Run) -> Result<Option<Row>, Failure> {
        match self.row(query).await {
            Err(failure) if failure.code.as_deref() == Some("0A000") => {
                run.missing(name);
                Ok(None)
            }
            answer => run.optional(name, answer),
        }
    }

    /// The only row of a query.
    async fn row(&self, query: &str) -> Result<Row, Failure> {
        self.first(query).await?.ok_or_else(|| Failure::new(FailureKind::Protocol, "the answer has no row"))
    }

    /// The first row of a query.
    async fn first(&self, query: &str) -> Result<Option<Row>, Failure> {
        let messages = self.client.simple_query(query).await.map_err(|error| failure(&error))?;
        let first = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns = row.columns().iter().enumerate();
                let named = |(at, column): (usize, &SimpleColumn)| {
                    // `get` would panic over a text that is none.
                    let value = row.try_get(at).map_err(|error| failure(&error)).transpose()?;
                    Some(value.map(|value| (column.name().to_owned(), value.to_owned())))
                };
                Some(columns.filter_map(named).collect())
            }
            _ => None,
        });
        first.transpose()
    }
}

impl Row {
    fn amount(&self, column: &str) -> Option<f64> {
        self.word(column)?.parse().ok()
    }

    fn flag(&self, column: &str) -> bool {
        self.word(column) == Some("t")
    }
}

/// From the library's error. `08P01` is what poolers answer to nearly everything: there the text, which
/// is not translated, is part of the code.
fn failure(error: &tokio_postgres::Error) -> Failure {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let code = if code == "08P01" { format!("{code} {}", db.message()) } else { code.to_owned() };
        return Failure::server(code, db.message());
    }
    if error.is_closed() {
        return Failure::from_io(&io::ErrorKind::ConnectionAborted.into());
    }
    // The library tells the kinds of its own errors by their words only.
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match error.to_string().as_str() {
        // It ends the log-in by itself when it is asked for a password it does not have.
        "invalid configuration" => {
            Failure::new(FailureKind::Auth, "the server wants a password and none is configured").with_remedy("Set `password`.")
        }
        "authentication error" => {
            Failure::new(FailureKind::Auth, "no way to log in was agreed on").with_words(cause).with_remedy(
                "Let pg_hba.conf ask for a password (scram-sha-256 or md5) or a certificate; other ways are not supported.",
            )
        }
        _ => Failure::from_chain(error, FailureKind::Protocol),
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "PostgreSQL",
    summary: "PostgreSQL 10 and later, and what speaks its protocol, also behind PgBouncer. One session is kept: it is one backend \
              process of the server.",
    levels: &[
        LevelRow { level: "connect", question: "TCP; nothing is sent", privilege: "–" },
        LevelRow { level: "handshake", question: "SSLRequest, StartupMessage, login", privilege: "`LOGIN`, `CONNECT` on the database" },
        LevelRow { level: "query", question: "`SELECT 1`", privilege: "the same" },
        LevelRow { level: "query", question: "or the own question (`query`), by a cursor in a read-only transaction: its first row, and as many more as `expect.rows` has to count", privilege: "`SELECT` on what it reads" },
        LevelRow { level: "deep", question: "recovery, read-only, connections, lag, standbys, slots", privilege: "`pg_monitor` for details of replication" },
        LevelRow { level: "roundtrip", question: "a row of `probity.canary` is inserted, read and deleted in one transaction, which commits as the session has it (`synchronous_commit`)", privilege: "`CREATE SCHEMA probity; CREATE TABLE probity.canary (id text PRIMARY KEY, nonce text NOT NULL); GRANT USAGE ON SCHEMA probity TO probe; GRANT SELECT, INSERT, UPDATE, DELETE ON probity.canary TO probe`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "server_version_num", metric: false, meaning: "The same as a number." },
        FactRow { name: "role", metric: false, meaning: "primary or standby." },
        FactRow { name: "in_recovery", metric: true, meaning: "Whether it is a standby, or still recovers." },
        FactRow { name: "read_only", metric: true, meaning: "Whether transactions are read-only by default." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the server started." },
        FactRow { name: "connections", metric: true, meaning: "Connections to all databases." },
        FactRow { name: "connections_max", metric: true, meaning: "Connection slots for ordinary roles." },
        FactRow { name: "replication_lag_seconds", metric: true, meaning: "How far a standby is behind what it has received." },
        FactRow { name: "replay_lag_bytes", metric: true, meaning: "Bytes received by a standby and not yet replayed." },
        FactRow { name: "standbys_connected", metric: true, meaning: "Standbys connected to a primary." },
        FactRow { name: "pooler", metric: false, meaning: "Set when a connection pooler in between was recognised." },
    ],
    findings: &[
        FindingRow { code: "role_mismatch", meaning: "`expect.role = \"primary\"` or `expect.writable`, and it is a standby or read-only: unhealthy.", remedy: "A fail-over happened, or the address leads to the wrong node; check `default_transaction_read_only`." },
        FindingRow { code: "unexpected_primary", meaning: "`expect.role = \"standby\"`, and it is a primary: unhealthy.", remedy: "Make sure that there are not two primaries." },
        FindingRow { code: "connections", meaning: "Connections ≥ `degraded.connections` of the slots for ordinary roles: degraded.", remedy: "Look for clients that leak connections, use a pooler, or raise `max_connections`." },
        FindingRow { code: "replication_lag", meaning: "A standby is `degraded.replication_lag` behind: degraded; ten times that with `expect.fresh_reads`: unhealthy.", remedy: "Look for long queries and load on the standby." },
        FindingRow { code: "replay_paused", meaning: "Replay on the standby is paused: degraded.", remedy: "Call pg_wal_replay_resume() when whoever paused it is done." },
        FindingRow { code: "replication_broken", meaning: "A standby does not stream from its primary, and nothing was replayed for `degraded.replication_lag`: degraded.", remedy: "Check the primary, and `primary_conninfo` of the standby." },
        FindingRow { code: "standbys_missing", meaning: "Fewer standbys than `expect.min_standbys` are connected: degraded.", remedy: "Bring the missing standbys back." },
        FindingRow { code: "sync_standbys_missing", meaning: "Fewer synchronous standbys are connected than commits wait for, so these hang: degraded, unhealthy with `expect.writable`.", remedy: "Bring a standby back, or shorten `synchronous_standby_names`." },
        FindingRow { code: "replication_slot_lost", meaning: "A replication slot has lost, or is about to lose, the WAL it needs: degraded.", remedy: "Look at pg_replication_slots; its standby must be rebuilt." },
    ],
    codes: &[
        CodeRow { code: "28P01", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "" },
        CodeRow { code: "28000", kind: FailureKind::Auth, message: "the server does not let this user in from here", remedy: "Add a line to pg_hba.conf; it may demand TLS or a client certificate." },
        CodeRow { code: "3D000", kind: FailureKind::Config, message: "the database does not exist", remedy: "Correct the path of the URL." },
        CodeRow { code: "42P01", kind: FailureKind::Config, message: "a table does not exist", remedy: "" },
        CodeRow { code: "42883", kind: FailureKind::Config, message: "a function does not exist: the server is too old, or not PostgreSQL", remedy: "" },
        CodeRow { code: "42601", kind: FailureKind::Config, message: "the query is not understood", remedy: "" },
        CodeRow { code: "42*", kind: FailureKind::Config, message: "the server does not know what the query names: it is too old, or not PostgreSQL", remedy: "" },
        CodeRow { code: "42501 in query", kind: FailureKind::Permission, message: "the user may not read what the own question asks for", remedy: "Grant the probe's user `SELECT` on it." },
        CodeRow { code: "42601 in query", kind: FailureKind::Config, message: "the own question is not understood, or is not a single SELECT", remedy: "Correct `query`." },
        CodeRow { code: "42* in query", kind: FailureKind::Config, message: "the server does not know what the own question names", remedy: "Correct `query`." },
        CodeRow { code: "0A000 in query", kind: FailureKind::Config, message: "the own question cannot be put: it writes, or is not a plain SELECT", remedy: "Correct `query`: it may only read." },
        CodeRow { code: "25* in query", kind: FailureKind::Config, message: "the own question writes, and was refused", remedy: "Correct `query`: it may only read." },
        CodeRow { code: "42P01 in roundtrip", kind: FailureKind::Config, message: "the table for round trips does not exist", remedy: "CREATE SCHEMA probity; CREATE TABLE probity.canary (id text PRIMARY KEY, nonce text NOT NULL), with the grants of the reference page." },
        CodeRow { code: "42501 in roundtrip", kind: FailureKind::Permission, message: "the user may not write to the table for round trips", remedy: "GRANT USAGE ON SCHEMA probity, and SELECT, INSERT, UPDATE, DELETE ON probity.canary, to the probe's user." },
        CodeRow { code: "42* in roundtrip", kind: FailureKind::Config, message: "the table for round trips is not as it should be", remedy: "DROP TABLE probity.canary; CREATE TABLE probity.canary (id text PRIMARY KEY, nonce text NOT NULL)." },
        CodeRow { code: "57P04", kind: FailureKind::Config, message: "the database was dropped", remedy: "" },
        CodeRow { code: "42501", kind: FailureKind::Permission, message: "the user may not do this", remedy: "Grant `pg_monitor` to the probe's user." },
        CodeRow { code: "53300", kind: FailureKind::Overload, message: "the server has no connection slots left", remedy: "Look for clients that leak connections, use a pooler, or raise `max_connections`." },
        CodeRow { code: "53100", kind: FailureKind::Overload, message: "the server's disk is full", remedy: "" },
        CodeRow { code: "53200", kind: FailureKind::Overload, message: "the server is out of memory", remedy: "" },
        CodeRow { code: "53*", kind: FailureKind::Overload, message: "the server is out of resources", remedy: "" },
        CodeRow { code: "57P03", kind: FailureKind::NotReady, message: "the server does not accept connections yet", remedy: "It starts, stops or recovers; a standby with `hot_standby=off` never accepts any." },
        CodeRow { code: "57P01", kind: FailureKind::NotReady, message: "the server ended the session: it shuts down, or an administrator did", remedy: "" },
        CodeRow { code: "57P02", kind: FailureKind::NotReady, message: "a process of the server crashed and it recovers", remedy: "Read the server's log." },
        CodeRow { code: "25006", kind: FailureKind::NotReady, message: "the server is read-only", remedy: "" },
        CodeRow { code: "57014", kind: FailureKind::Timeout, message: "the server gave up on the query in our time limit", remedy: "Look for load and locks." },
        CodeRow { code: "55P03", kind: FailureKind::Timeout, message: "a lock was not to be had in time", remedy: "Look for long transactions." },
        CodeRow { code: "57P05", kind: FailureKind::ConnectionLost, message: "the server ended the idle session", remedy: "" },
        CodeRow { code: "08P01 no more connections allowed*", kind: FailureKind::Overload, message: "the pooler has no client connections left", remedy: "Raise `max_client_conn`, or look for leaks." },
        CodeRow { code: "08P01 query_wait_timeout*", kind: FailureKind::Overload, message: "the pooler had no server connection in time", remedy: "Look whether the server behind it is up, and for long transactions; otherwise raise the pool size." },
        CodeRow { code: "08P01 SASL authentication failed*", kind: FailureKind::Auth, message: "the pooler rejected the user name or password", remedy: "" },
        CodeRow { code: "08P01 password authentication failed*", kind: FailureKind::Auth, message: "the pooler rejected the user name or password", remedy: "" },
        CodeRow { code: "08P01 \"trust\" authentication failed*", kind: FailureKind::Auth, message: "the pooler does not know the user", remedy: "" },
        CodeRow { code: "08P01 no such user*", kind: FailureKind::Auth, message: "the pooler does not know the user", remedy: "" },
        CodeRow { code: "08P01 SSL required*", kind: FailureKind::Tls, message: "the pooler takes connections under TLS only", remedy: "Use `sslmode=verify-full`." },
        CodeRow { code: "08P01 server login has been failing*", kind: FailureKind::NotReady, message: "the pooler cannot log in to the server behind it", remedy: "Look whether the server behind it is up, and read the log of the pooler." },
        CodeRow { code: "08P01 client_login_timeout*", kind: FailureKind::NotReady, message: "the pooler did not reach the server behind it in time", remedy: "Look whether the server behind it is up." },
        CodeRow { code: "08P01 database*", kind: FailureKind::NotReady, message: "the database is disabled at the pooler", remedy: "Enable it in the console of the pooler." },
        CodeRow { code: "08P01 server conn*", kind: FailureKind::ConnectionLost, message: "the server behind the pooler closed the connection", remedy: "" },
        CodeRow { code: "08P01 server login failed*", kind: FailureKind::NotReady, message: "the pooler cannot log in to the server behind it", remedy: "" },
        CodeRow { code: "08P01 pgbouncer cannot connect*", kind: FailureKind::NotReady, message: "the pooler cannot reach the server behind it", remedy: "" },
        CodeRow { code: "08P01 no such database*", kind: FailureKind::Config, message: "the pooler knows no such database", remedy: "Correct the path of the URL." },
        CodeRow { code: "08P01 unsupported startup parameter*", kind: FailureKind::Protocol, message: "the pooler does not take our settings of a session", remedy: "Set `ignore_startup_parameters = options` at the pooler." },
        CodeRow { code: "08P01*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "08*", kind: FailureKind::ConnectionLost, message: "the server reports a broken connection", remedy: "" },
        CodeRow { code: "0A000", kind: FailureKind::Protocol, message: "the server does not support what was asked", remedy: "" },
        CodeRow { code: "target_session_attrs", kind: FailureKind::NotReady, message: "the server is not the one that `target_session_attrs` looks for", remedy: "A fail-over may be under way; otherwise name the right hosts in the URL." },
        CodeRow { code: "XX000", kind: FailureKind::Query, message: "the server reports an internal error", remedy: "Read the server's log." },
        CodeRow { code: "XX001", kind: FailureKind::Query, message: "the server has found damaged data", remedy: "Read the server's log, and restore the table from a backup." },
        CodeRow { code: "XX002", kind: FailureKind::Query, message: "the server has found a damaged index", remedy: "Rebuild the index with REINDEX." },
        CodeRow { code: "58*", kind: FailureKind::Query, message: "the server reports a system error", remedy: "Read the server's log." },
    ],
    unsupported: &[
        "Other parameters of libpq in the URL, such as `sslrootcert`, `options` or `passfile`: keys of the entry stand for them.",
        "Keyword DSNs, `load_balance_hosts`, `sslnegotiation=direct`, channel binding.",
        "Own questions that are no `SELECT`, such as `SHOW`, `EXPLAIN` and `CALL`.",
        "GSSAPI, SSPI, OAuth, IAM and Entra log-ins.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synchronous_standbys_are_counted() {
        for (names, wanted) in [
            ("", 0),
            ("a", 1),
            ("a, b", 1),
            ("*", 1),
            ("first (a)", 1),
            ("FIRST 2 (a, b, c)", 2),
            ("any 3(a,b,c)", 3),
            ("2 (a, b)", 2),
        ] {
            assert_eq!(sync_standbys(names), wanted, "{names}");
        }
    }
}
