//! SQL Server and what speaks its protocol: `SELECT 1` on a warm session, the state of the database, its replicas.
//!
//! A database that is not there and one that is down refuse a log-in with the same number: then the server itself is
//! asked which of the two it is. Who is let in may be sent to another address, as Azure does.
//! Protocol: <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/>.

use std::time::Duration;

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tiberius::{AuthMethod, Client, ColumnData, Config, QueryItem, Row as LibraryRow, error::Error};
use tokio::time::timeout;

use crate::{
    address::{Address, Credentials, Endpoint},
    backend::{Backend, ConfigError},
    canary::Canary,
    duration::Span,
    failure::{Failure, FailureKind, WireFault},
    finding::{self, Finding},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        guard::MOST_VALUES,
        row::Row,
        sniff::Protocol,
        tds::{ALPN, Encryption, End, InPrelogin, Link},
    },
};

/// A database of SQL Server, of Azure SQL, or of what speaks their protocol.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlServerConfig {
    /// `sqlserver://user@host[:1433][,host…]?database=name`: of several hosts the first that opens is asked. `mssql://`
    /// means the same. `&encrypt=true` (unless said otherwise), `strict` (TDS 8) or `disable`: plain text, the password
    /// included; `&applicationIntent=ReadOnly` to be sent to a readable secondary.
    url: Address,
    /// User name of an SQL log-in, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Files and names of TLS. The server is always verified.
    tls: Option<TlsConfig>,
    /// Own question in the place of `SELECT 1`, put in a transaction that is rolled back.
    query: Option<String>,
    /// What must be true of the database; without it Probity does not guess.
    #[serde(default)]
    expect: SqlServerExpect,
    /// From where on the database counts as degraded.
    #[serde(default)]
    degraded: SqlServerDegraded,
}

/// What must be true of a database.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlServerExpect {
    /// The role that its replica must have in the availability group.
    role: Option<Role>,
    /// Writes must be possible.
    writable: bool,
    /// What the answer to `query` must have in the first column of its first row.
    value: Option<finding::Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// A role in an availability group.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows the primary.
    Secondary,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// Limits above which a database is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlServerDegraded {
    /// How far a secondary may be behind.
    replication_lag: Span,
    /// How much the primary may have to send to a secondary, in bytes.
    log_send_queue: u64,
    /// How much a secondary may have to apply, in bytes.
    redo_queue: u64,
}

impl Default for SqlServerDegraded {
    fn default() -> Self {
        Self { replication_lag: Span::seconds(30), log_send_queue: 1 << 30, redo_queue: 1 << 30 }
    }
}

/// Asks a database of SQL Server.
pub struct SqlServer {
    target: Target,
    encryption: Encryption,
    credentials: Credentials,
    database: Option<String>,
    read_only: bool,
    question: Option<Question>,
    expect: SqlServerExpect,
    degraded: SqlServerDegraded,
}

/// An open conversation.
pub struct SqlServerSession {
    client: Client<Link>,
    end: End,
}

impl Backend for SqlServer {
    type Config = SqlServerConfig;
    type Session = SqlServerSession;

    const KIND: &'static str = "sqlserver";
    const EXAMPLE: &'static str = r#"backend = "sqlserver"
url = "sqlserver://probe@localhost:1433?database=master"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Tds;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(500);

    fn build(config: SqlServerConfig) -> Result<Self, ConfigError> {
        let SqlServerConfig { url, username, password, tls, query, mut expect, degraded } = config;
        let parameters = ["database", "encrypt", "applicationIntent"];
        url.expect(&["sqlserver", "mssql"], &parameters).map_err(ConfigError::at("url"))?;
        if url.path().is_some() {
            let message = "the path would be a named instance, whose port is not looked up: name its port, and the database \
                           with `?database=`";
            return Err(ConfigError::new("url", message));
        }
        let encryption = encryption(&url, url.parameter("encrypt").as_deref())?;
        let target = match encryption {
            Encryption::Disabled if tls.is_some() => {
                return Err(ConfigError::new("url", "`encrypt=disable` contradicts the `tls` table"));
            }
            Encryption::Disabled => url.upgraded_target(1433, None)?,
            Encryption::Mandatory => {
                let mut target = url.upgraded_target(1433, Some(tls.unwrap_or_default()))?;
                target.envelope = Some(&InPrelogin);
                target
            }
            Encryption::Strict => {
                let mut target = url.target(1433, true, tls)?;
                target.alpn = ALPN;
                target
            }
        };
        let read_only = match url.parameter("applicationIntent").map(|intent| intent.to_lowercase()).as_deref() {
            None | Some("readwrite") => false,
            Some("readonly") => true,
            Some(other) => {
                let message = url.mistaken("applicationIntent", other, &["ReadOnly", "ReadWrite"]);
                return Err(ConfigError::new("url", message));
            }
        };
        let credentials = url.credentials(username, password)?;
        if credentials.user.is_none() {
            return Err(ConfigError::new("username", "there is no log-in without a user: name one here or in the URL"));
        }
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        Ok(Self { target, encryption, credentials, database: url.parameter("database"), read_only, question, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<SqlServerSession, Failure> {
        match self.log_in(self.database.as_deref(), run).await {
            Err(failure) if failure.code.as_deref() == Some(NO_DATABASE) => Err(self.why_not(failure, run).await),
            opened => opened,
        }
    }

    async fn ask(&self, session: &mut SqlServerSession, run: &mut Run) -> Result<(), Failure> {
        if let Some(question) = &self.question {
            let answer = session.put(question, run.server_limit_now()).await?;
            question.judge(&answer, run);
            return Ok(());
        }
        match session.rows("SELECT 1 AS one").await?.first().and_then(|row| row.number("one")) {
            Some(1) => Ok(()),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to SELECT 1 is not 1")),
        }
    }

    async fn examine(&self, session: &mut SqlServerSession, run: &mut Run) -> Result<(), Failure> {
        let properties = session.rows(PROPERTIES).await;
        let Some(row) = run.optional("database properties", properties)?.and_then(|rows| rows.into_iter().next()) else {
            return Ok(());
        };
        self.judge_database(&row, run);
        if row.number("hadr") == Some(1) {
            let replicas = session.rows(REPLICAS).await;
            if let Some(replicas) = run.optional("sys.dm_hadr_database_replica_states", replicas)? {
                self.judge_replicas(&replicas, run);
            }
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut SqlServerSession, run: &mut Run) -> Result<(), Failure> {
        let canary = Canary::of(run);
        let read = session.send(&canary).await?;
        canary.judge(read.as_deref(), run);
        Ok(())
    }

    async fn close(&self, session: SqlServerSession) {
        // Whoever is gone need not be taken leave of.
        let _ = session.client.close().await;
    }
}

/// "Cannot open database … requested by the login": it is not there, it is down, or this user may not enter it.
const NO_DATABASE: &str = "4060";

/// "Login failed": the state behind it says why, where the server tells it.
const LOGIN_FAILED: u32 = 18456;

/// A server that sends us on more often sends us in a circle.
const MOST_ROUTES: usize = 3;

/// No right is needed. As text, because the properties have no type of their own.
const PROPERTIES: &str = "SELECT DB_NAME() AS name, CAST(@@SERVERNAME AS nvarchar(256)) AS server, \
     CAST(DATABASEPROPERTYEX(DB_NAME(), 'Status') AS nvarchar(128)) AS state, \
     CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128)) AS updateability, \
     CAST(DATABASEPROPERTYEX(DB_NAME(), 'UserAccess') AS nvarchar(128)) AS access, \
     CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)) AS collation, \
     CAST(DATABASEPROPERTYEX(DB_NAME(), 'IsAutoClose') AS int) AS auto_close, \
     CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)) AS version, \
     CAST(SERVERPROPERTY('Edition') AS nvarchar(128)) AS edition, CAST(SERVERPROPERTY('IsHadrEnabled') AS int) AS hadr";

/// A primary knows of all replicas, a secondary of itself alone.
const REPLICAS: &str = "SELECT g.name AS ag, r.replica_server_name AS replica, CAST(s.is_local AS int) AS local, \
     s.role_desc AS role, s.connected_state_desc AS connected, r.availability_mode_desc AS mode, \
     d.synchronization_state_desc AS state, d.synchronization_health_desc AS health, \
     d.log_send_queue_size AS send_kib, d.redo_queue_size AS redo_kib, d.secondary_lag_seconds AS lag \
     FROM sys.dm_hadr_database_replica_states d \
     JOIN sys.availability_groups g ON g.group_id = d.group_id \
     JOIN sys.availability_replicas r ON r.replica_id = d.replica_id \
     JOIN sys.dm_hadr_availability_replica_states s ON s.replica_id = d.replica_id WHERE d.database_id = DB_ID()";

/// What `DATABASEPROPERTYEX` calls the states of a database.
const STATES: [&str; 6] = ["RESTORING", "RECOVERING", "RECOVERY_PENDING", "SUSPECT", "EMERGENCY", "OFFLINE"];

/// The words of several drivers for the same thing; some would leave it to the server.
fn encryption(url: &Address, word: Option<&str>) -> Result<Encryption, ConfigError> {
    match word.map(str::to_lowercase).as_deref() {
        None | Some("true" | "yes" | "mandatory") => Ok(Encryption::Mandatory),
        Some("strict") => Ok(Encryption::Strict),
        Some("disable") => Ok(Encryption::Disabled),
        Some(word @ ("false" | "no" | "optional")) => {
            let message = format!("`encrypt={word}` would leave it to the server: use `true`, or `disable` for plain text");
            Err(ConfigError::new("url", message))
        }
        Some(other) => Err(ConfigError::new("url", url.mistaken("encrypt", other, &["true", "strict", "disable"]))),
    }
}

impl SqlServer {
    /// Logs in, wherever the server sends us.
    async fn log_in(&self, database: Option<&str>, run: &mut Run) -> Result<SqlServerSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        let mut target = self.target.clone();
        let mut routed: Option<String> = None;
        for _ in 0..=MOST_ROUTES {
            let place = run.endpoint(&target).to_string();
            let mut config = Config::new();
            let user = self.credentials.user.as_deref().unwrap_or_default();
            config.authentication(AuthMethod::sql_server(user, password.as_deref().map_or("", String::as_str)));
            config.application_name("probity");
            config.host(&place);
            config.readonly(self.read_only);
            // The frame has the clock.
            config.handshake_timeout(None);
            config.command_timeout(None);
            if let Some(database) = database {
                config.database(database);
            }
            let stream = run.dial_tds(&target, self.encryption).await?;
            run.fact("encrypted", self.encryption != Encryption::Disabled);
            run.fact_if("routed_to", routed.take());
            let link = Link::new(stream);
            let end = link.end();
            // The library's is large.
            let login = Box::pin(async {
                match Client::connect(config, link).await {
                    Ok(client) => {
                        let mut session = SqlServerSession { client, end };
                        session.rows("SET LOCK_TIMEOUT 1000").await?;
                        Ok(Ok(session))
                    }
                    Err(Error::Routing { host, port }) => Ok(Err((host, port))),
                    Err(error) => Err(failure(&error, &end)),
                }
            });
            let (host, port) = match run.phase(Phase::Auth, login).await? {
                Ok(session) => return Ok(session),
                Err(elsewhere) => elsewhere,
            };
            // An instance behind the name has said its port already.
            let host = host.split('\\').next().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let endpoint = Endpoint::Tcp { host, port };
            run.start_over();
            routed = Some(endpoint.to_string());
            target = self.target.elsewhere(endpoint);
        }
        let message = format!("the server sends us on more than {MOST_ROUTES} times");
        Err(run.stamp(Phase::Auth, Failure::new(FailureKind::Protocol, message).with_code("routing")))
    }

    /// Asks the server for the state of a database that it does not open, as the same user elsewhere.
    async fn why_not(&self, refused: Failure, run: &mut Run) -> Failure {
        let Some(database) = &self.database else { return refused };
        run.start_over();
        let Ok(mut session) = self.log_in(None, run).await else { return refused };
        let question =
            format!("SELECT CAST(DATABASEPROPERTYEX(N'{}', 'Status') AS nvarchar(128)) AS state", database.replace('\'', "''"));
        let state = run.phase(Phase::Auth, session.rows(&question)).await;
        let state = state.ok().and_then(|rows| rows.into_iter().next()?.take("state"));
        self.close(session).await;
        match state.as_deref() {
            Some("ONLINE") => Failure {
                message: "the database is online, and does not let this user in".into(),
                remedy: "CREATE USER for the log-in in this database.".into(),
                ..of_kind(FailureKind::Permission, refused)
            },
            Some(state) => Failure {
                message: match STATES.iter().find(|known| **known == state) {
                    Some(state) => format!("the database is not online, but {state}"),
                    None => "the database is not online".into(),
                },
                ..of_kind(FailureKind::NotReady, refused)
            },
            None => refused,
        }
    }

    fn judge_database(&self, row: &Row, run: &mut Run) {
        for (fact, column) in [("version", "version"), ("edition", "edition"), ("server_name", "server"), ("database", "name")] {
            run.fact_if(fact, row.word(column));
        }
        match row.word("state") {
            Some(state) => {
                run.fact("database_state", state);
                run.fact("database_online", state == "ONLINE");
                if state != "ONLINE" {
                    run.finding(Finding::unhealthy("database_not_online", state).against("ONLINE"));
                } else if row.word("collation").is_none() {
                    run.finding(Finding::unhealthy("database_not_started", "no collation yet"));
                }
            }
            None => run.missing("database state"),
        }
        let read_only = row.word("updateability").map(|word| word == "READ_ONLY");
        run.fact_if("read_only", read_only);
        if self.expect.writable && read_only == Some(true) {
            run.finding(Finding::unhealthy("read_only", "READ_ONLY"));
        }
        if let Some(access) = row.word("access").filter(|access| *access != "MULTI_USER") {
            run.finding(Finding::degraded("restricted_access", access).against("MULTI_USER"));
        }
        if row.number("auto_close") == Some(1) {
            run.finding(Finding::degraded("auto_close", "on"));
        }
        if row.number("hadr") != Some(1) && self.expect.role.is_some() {
            self.judge_role(None, run);
        }
    }

    fn judge_role(&self, role: Option<&str>, run: &mut Run) {
        run.fact_if("role", role);
        run.fact_if("is_primary", role.map(|role| role == "primary"));
        if let Some(expected) = self.expect.role.map(Role::as_str).filter(|expected| role != Some(expected)) {
            run.finding(Finding::unhealthy("role_mismatch", role.unwrap_or("none")).against(expected));
        }
    }

    fn judge_replicas(&self, replicas: &[Row], run: &mut Run) {
        let own = replicas.iter().find(|row| row.number("local") == Some(1));
        let role = own.and_then(|row| row.word("role")).map(str::to_lowercase);
        self.judge_role(role.as_deref(), run);
        let Some(own) = own else { return };
        run.fact_if("ag_name", own.word("ag"));
        let connected = replicas.iter().filter(|row| row.word("connected") == Some("CONNECTED")).count();
        run.fact("replicas_connected", u64::try_from(connected).unwrap_or(u64::MAX));
        let health = own.word("health");
        run.fact_if("synchronization_health", health.and_then(|word| HEALTH.iter().position(|known| *known == word)));
        if let Some(health) = health.filter(|health| *health != "HEALTHY") {
            let down = health == "NOT_HEALTHY" && role.as_deref() == Some("primary");
            run.finding(Finding::when(down, "synchronization_health", health).against("HEALTHY"));
        }
        for row in replicas.iter().filter(|row| row.number("local") != Some(1)) {
            let lost = row.word("connected") == Some("DISCONNECTED");
            let stopped = row.word("mode") == Some("SYNCHRONOUS_COMMIT") && row.word("state") == Some("NOT SYNCHRONIZING");
            if lost || stopped {
                let name = row.word("replica").unwrap_or("a replica");
                let observed = format!("{name}: {}", if lost { "DISCONNECTED" } else { "NOT SYNCHRONIZING" });
                let observed = run.redactor().clean(&observed);
                run.finding(Finding::degraded("replica_not_synchronizing", observed));
            }
        }
        self.judge_lag(replicas, run);
    }

    /// Of several replicas the worst.
    fn judge_lag(&self, replicas: &[Row], run: &mut Run) {
        let worst = |column| replicas.iter().filter_map(|row| row.number(column)).filter_map(|it| u64::try_from(it).ok()).max();
        let bytes = |column| worst(column).map(|kib| kib.saturating_mul(1024));
        for (name, seen, limit) in [
            ("secondary_lag_seconds", worst("lag"), self.degraded.replication_lag.0.as_secs()),
            ("log_send_queue_bytes", bytes("send_kib"), self.degraded.log_send_queue),
            ("redo_queue_bytes", bytes("redo_kib"), self.degraded.redo_queue),
        ] {
            run.fact_if(name, seen);
            if let Some(seen) = seen.filter(|seen| *seen >= limit) {
                let code = name.trim_end_matches("_seconds").trim_end_matches("_bytes");
                run.finding(Finding::degraded(code, seen).against(limit));
            }
        }
    }
}

/// In the order of their numbers.
const HEALTH: [&str; 3] = ["NOT_HEALTHY", "PARTIALLY_HEALTHY", "HEALTHY"];

impl SqlServerSession {
    /// Puts an own question. What takes too long is called off at the server, too.
    async fn put(&mut self, question: &Question, limit: Duration) -> Result<Answer, Failure> {
        let enough = question.enough_rows();
        self.rows(&format!("SET ROWCOUNT {enough}; BEGIN TRANSACTION")).await?;
        let Ok(answer) = timeout(limit, self.answer(question.text(), enough)).await else {
            self.client.cancel_query().await.map_err(|error| failure(&error, &self.end))?;
            return Err(Failure::new(FailureKind::Timeout, "the own question took too long, and was called off")
                .with_code("attention")
                .with_remedy("Look for load and locks, or ask for less."));
        };
        let answer = answer?;
        self.rows("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET ROWCOUNT 0").await?;
        Ok(answer)
    }

    async fn answer(&mut self, question: &str, enough: u64) -> Result<Answer, Failure> {
        let end = &self.end;
        let mut rows = self.client.simple_query(question).await.map_err(|error| failure(&error, end))?;
        let (mut told, mut values) = (Answer::default(), 0);
        while let Some(item) = rows.next().await {
            let QueryItem::Row(row) = item.map_err(|error| failure(&error, end))? else { continue };
            count(&mut values, &row)?;
            if row.result_index() == 0 {
                if told.rows == 0 {
                    told.value = row.cells().next().and_then(|(_, value)| text(value));
                }
                told.rows = enough.min(told.rows + 1);
            }
        }
        Ok(told)
    }

    /// Writes, reads and removes a canary in one transaction.
    async fn send(&mut self, canary: &Canary) -> Result<Option<String>, Failure> {
        self.rows("BEGIN TRANSACTION").await?;
        self.rows(&canary.remove()).await?;
        self.rows(&format!("INSERT INTO {}", canary.row())).await?;
        let read = self.rows(&canary.read()).await?;
        self.rows(&canary.remove()).await?;
        self.rows("COMMIT TRANSACTION").await?;
        Ok(read.into_iter().next().and_then(|mut row| row.take("nonce")))
    }

    /// The rows of the first result.
    async fn rows(&mut self, query: &str) -> Result<Vec<Row>, Failure> {
        let end = &self.end;
        let mut items = self.client.simple_query(query).await.map_err(|error| failure(&error, end))?;
        let (mut rows, mut values) = (Vec::new(), 0);
        while let Some(item) = items.next().await {
            let QueryItem::Row(row) = item.map_err(|error| failure(&error, end))? else { continue };
            count(&mut values, &row)?;
            if row.result_index() == 0 {
                rows.push(read(&row));
            }
        }
        Ok(rows)
    }
}

/// Counts values: one of a type without bytes takes nothing on the wire.
fn count(values: &mut u64, row: &LibraryRow) -> Result<(), Failure> {
    *values += row.len().max(1) as u64;
    if *values > MOST_VALUES { Err(WireFault::TooMany { limit: MOST_VALUES }.to_failure()) } else { Ok(()) }
}

fn read(row: &LibraryRow) -> Row {
    row.cells().filter_map(|(column, value)| Some((column.name().to_owned(), text(value)?))).collect()
}

/// A value as text; what has no plain one is named by its type.
fn text(value: &ColumnData<'_>) -> Option<String> {
    let named = |is_there: bool, name: &str| is_there.then(|| format!("({name})"));
    match value {
        ColumnData::U8(value) => value.map(|value| value.to_string()),
        ColumnData::I16(value) => value.map(|value| value.to_string()),
        ColumnData::I32(value) => value.map(|value| value.to_string()),
        ColumnData::I64(value) => value.map(|value| value.to_string()),
        ColumnData::F32(value) => value.map(|value| value.to_string()),
        ColumnData::F64(value) => value.map(|value| value.to_string()),
        ColumnData::Bit(value) => value.map(|value| value.to_string()),
        ColumnData::String(value) => value.as_deref().map(str::to_owned),
        ColumnData::Guid(value) => value.map(|value| value.to_string()),
        ColumnData::Numeric(value) => value.map(|value| value.to_string()),
        ColumnData::Xml(value) => value.as_deref().map(ToString::to_string),
        ColumnData::Binary(value) => named(value.is_some(), "binary"),
        ColumnData::DateTime(value) => named(value.is_some(), "datetime"),
        ColumnData::SmallDateTime(value) => named(value.is_some(), "smalldatetime"),
        ColumnData::Time(value) => named(value.is_some(), "time"),
        ColumnData::Date(value) => named(value.is_some(), "date"),
        ColumnData::DateTime2(value) => named(value.is_some(), "datetime2"),
        ColumnData::DateTimeOffset(value) => named(value.is_some(), "datetimeoffset"),
    }
}

/// The same failure as another kind.
fn of_kind(kind: FailureKind, failure: Failure) -> Failure {
    Failure { kind, fault_domain: kind.fault_domain(), remedy: kind.remedy().to_owned(), ..failure }
}

/// From the library's error; why the connection ended says more than that it did.
fn failure(error: &Error, end: &End) -> Failure {
    match error {
        // State 1 is what a server says that does not tell why.
        Error::Server(token) if token.code() == LOGIN_FAILED && token.state() > 1 => {
            Failure::server(format!("{LOGIN_FAILED} state {}", token.state()), token.message())
        }
        Error::Server(token) => Failure::server(token.code().to_string(), token.message()),
        other => end.get().unwrap_or_else(|| {
            Failure::new(FailureKind::Protocol, "the server's answer does not follow the protocol").with_words(other.to_string())
        }),
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "SQL Server",
    summary: "SQL Server, Azure SQL and what speaks their protocol (TDS 7.4 and 8). No SQL Server could be had for its tests: it was \
              tested against stand-ins only, which clients of other people take for one. Own questions are put in a transaction \
              that is rolled back. One session is kept: it is one connection of the server.",
    levels: &[
        LevelRow { level: "connect", question: "TCP", privilege: "none; the server's log mentions connections that break off" },
        LevelRow { level: "handshake", question: "PRELOGIN, TLS, LOGIN7 with the database, wherever the server sends us", privilege: "`CREATE LOGIN probe …`, and in the database `CREATE USER probe FOR LOGIN probe`" },
        LevelRow { level: "query", question: "`SELECT 1`, with `SET LOCK_TIMEOUT 1000`", privilege: "the same" },
        LevelRow { level: "query", question: "or the own question (`query`), in a transaction that is rolled back: its first row, and as many more as `expect.rows` has to count", privilege: "`SELECT` on what it reads, and no other: the protocol has no transaction that refuses writes, and a question may end its own" },
        LevelRow { level: "deep", question: "`DATABASEPROPERTYEX` and `SERVERPROPERTY`", privilege: "the same" },
        LevelRow { level: "deep", question: "where availability groups are on, `sys.dm_hadr_database_replica_states` and what belongs to it", privilege: "`VIEW SERVER STATE` and `VIEW ANY DEFINITION`; from 2022 on the role `##MS_ServerStateReader##`" },
        LevelRow { level: "roundtrip", question: "a row of `probity.canary` is written, read and deleted in one transaction", privilege: "`CREATE SCHEMA probity; CREATE TABLE probity.canary (id varchar(16) PRIMARY KEY, nonce varchar(16) NOT NULL); GRANT SELECT, INSERT, DELETE ON probity.canary TO probe`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "edition", metric: false, meaning: "Edition of the server." },
        FactRow { name: "server_name", metric: false, meaning: "`@@SERVERNAME`." },
        FactRow { name: "routed_to", metric: false, meaning: "The address that the server sent us to, if it did." },
        FactRow { name: "encrypted", metric: true, meaning: "Whether the session is under TLS." },
        FactRow { name: "database", metric: false, meaning: "Name of the database." },
        FactRow { name: "database_state", metric: false, meaning: "`Status` of the database: ONLINE, RESTORING, RECOVERING, SUSPECT, EMERGENCY, OFFLINE." },
        FactRow { name: "database_online", metric: true, meaning: "Whether that is ONLINE." },
        FactRow { name: "read_only", metric: true, meaning: "Whether the database takes no writes." },
        FactRow { name: "ag_name", metric: false, meaning: "Availability group of the database." },
        FactRow { name: "role", metric: false, meaning: "Role of the replica that answers: primary, secondary or resolving." },
        FactRow { name: "is_primary", metric: true, meaning: "Whether that is primary." },
        FactRow { name: "synchronization_health", metric: true, meaning: "Of the database on the replica that answers: 0 not healthy, 1 partially, 2 healthy." },
        FactRow { name: "replicas_connected", metric: true, meaning: "Replicas that are connected, as the one that answers knows them." },
        FactRow { name: "secondary_lag_seconds", metric: true, meaning: "How far a secondary is behind; of several the worst." },
        FactRow { name: "log_send_queue_bytes", metric: true, meaning: "Log that is still to be sent to a secondary; of several the most." },
        FactRow { name: "redo_queue_bytes", metric: true, meaning: "Log that is still to be applied by a secondary; of several the most." },
    ],
    findings: &[
        FindingRow { code: "database_not_online", meaning: "The state of the database is not ONLINE, though it lets us in: unhealthy.", remedy: "Look at the server's ERRORLOG; finish the restore, or bring the database online." },
        FindingRow { code: "database_not_started", meaning: "The database is said to be ONLINE, but has no collation, which it has from its start on: unhealthy.", remedy: "Wait for its recovery; with AUTO_CLOSE it starts with each first user." },
        FindingRow { code: "read_only", meaning: "`expect.writable`, and the database takes no writes: unhealthy.", remedy: "A fail-over happened, the intent of the connection is ReadOnly, or the database was set READ_ONLY." },
        FindingRow { code: "restricted_access", meaning: "The database is in SINGLE_USER or RESTRICTED_USER mode: degraded.", remedy: "ALTER DATABASE … SET MULTI_USER when the maintenance is over." },
        FindingRow { code: "auto_close", meaning: "AUTO_CLOSE is on, so that the database closes with its last user: degraded.", remedy: "ALTER DATABASE … SET AUTO_CLOSE OFF." },
        FindingRow { code: "role_mismatch", meaning: "The role is not `expect.role`: unhealthy.", remedy: "A fail-over happened, or the address leads to the wrong replica; use the listener." },
        FindingRow { code: "synchronization_health", meaning: "The database on the replica that answers is not in step with its group: degraded; NOT_HEALTHY on a primary: unhealthy.", remedy: "Look at the dashboard of the availability group." },
        FindingRow { code: "replica_not_synchronizing", meaning: "Another replica is disconnected, or a synchronous one does not synchronize (observed: which): degraded.", remedy: "Bring it back, or resume its data movement." },
        FindingRow { code: "secondary_lag", meaning: "A secondary is `degraded.replication_lag` behind: degraded.", remedy: "Look for load on it, and for long transactions." },
        FindingRow { code: "log_send_queue", meaning: "A secondary is still to be sent `degraded.log_send_queue` bytes: degraded.", remedy: "Look at the network between the replicas." },
        FindingRow { code: "redo_queue", meaning: "A secondary is still to apply `degraded.redo_queue` bytes: degraded.", remedy: "Look for load on the secondary, and for queries that hold up its redo." },
    ],
    // <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors> and
    // <https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues>.
    codes: &[
        CodeRow { code: "18456 state 38", kind: FailureKind::Config, message: "the server rejected the log-in: it finds no such database", remedy: "Correct `?database=`." },
        CodeRow { code: "18456 state 40", kind: FailureKind::Config, message: "the server rejected the log-in: the user's own database cannot be opened", remedy: "Name another one with `?database=`, or change the log-in's default." },
        CodeRow { code: "18456 state 5", kind: FailureKind::Auth, message: "the server knows no such user", remedy: "CREATE LOGIN, or correct the user name." },
        CodeRow { code: "18456 state 7", kind: FailureKind::Auth, message: "the log-in is disabled, and the password is wrong", remedy: "" },
        CodeRow { code: "18456 state 8", kind: FailureKind::Auth, message: "the password is wrong", remedy: "" },
        CodeRow { code: "18456 state 58", kind: FailureKind::Auth, message: "the server lets Windows accounts in only", remedy: "Switch the server to mixed mode: SQL log-ins are refused without it." },
        CodeRow { code: "18456*", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "The server's ERRORLOG says why, as the state of error 18456." },
        CodeRow { code: "18452", kind: FailureKind::Auth, message: "the server lets Windows accounts in only", remedy: "Switch the server to mixed mode, or use an SQL log-in." },
        CodeRow { code: "18470", kind: FailureKind::Auth, message: "the log-in is disabled", remedy: "ALTER LOGIN … ENABLE." },
        CodeRow { code: "18486", kind: FailureKind::Auth, message: "the log-in is locked", remedy: "ALTER LOGIN … WITH PASSWORD = … UNLOCK; give the probe a log-in of its own." },
        CodeRow { code: "18487", kind: FailureKind::Auth, message: "the password has expired", remedy: "Set a new one." },
        CodeRow { code: "18488", kind: FailureKind::Auth, message: "the password must be changed", remedy: "Set a new one." },
        CodeRow { code: "40607", kind: FailureKind::Auth, message: "Windows accounts are not let in here", remedy: "" },
        CodeRow { code: "18461", kind: FailureKind::NotReady, message: "the server is in single-user mode, and somebody is in", remedy: "" },
        CodeRow { code: "40615", kind: FailureKind::Permission, message: "the server's firewall does not let this machine in", remedy: "Add a firewall rule for this machine." },
        CodeRow { code: "4060", kind: FailureKind::Config, message: "the database cannot be opened, and this user cannot see why: it does not exist, or is hidden from him", remedy: "Correct `?database=`, or create a user for the log-in there." },
        CodeRow { code: "229 in roundtrip", kind: FailureKind::Permission, message: "the user may not write to the table for round trips", remedy: "GRANT SELECT, INSERT, DELETE ON probity.canary to the probe's user." },
        CodeRow { code: "208 in roundtrip", kind: FailureKind::Config, message: "the table for round trips does not exist", remedy: "CREATE SCHEMA probity; CREATE TABLE probity.canary (id varchar(16) PRIMARY KEY, nonce varchar(16) NOT NULL), with the grants of the reference page." },
        CodeRow { code: "229", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "262", kind: FailureKind::Permission, message: "the user may not do this in this database", remedy: "" },
        CodeRow { code: "297", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "300", kind: FailureKind::Permission, message: "the user may not see the state of the server", remedy: "Grant `VIEW SERVER STATE` to the probe's log-in." },
        CodeRow { code: "916", kind: FailureKind::Permission, message: "the user may not enter this database", remedy: "" },
        CodeRow { code: "102", kind: FailureKind::Config, message: "the server does not understand the statement", remedy: "" },
        CodeRow { code: "156", kind: FailureKind::Config, message: "the server does not understand the statement", remedy: "" },
        CodeRow { code: "207", kind: FailureKind::Config, message: "a column does not exist", remedy: "" },
        CodeRow { code: "208", kind: FailureKind::Config, message: "a table does not exist, or is hidden from the user", remedy: "" },
        CodeRow { code: "911", kind: FailureKind::Config, message: "a database does not exist", remedy: "" },
        CodeRow { code: "2812", kind: FailureKind::Config, message: "a procedure does not exist", remedy: "" },
        CodeRow { code: "40613", kind: FailureKind::NotReady, message: "the database is not available at present", remedy: "It wakes up, scales or fails over; if it stays so, ask Azure's support with the session's id." },
        CodeRow { code: "40197", kind: FailureKind::NotReady, message: "the service fails over", remedy: "" },
        CodeRow { code: "40540", kind: FailureKind::NotReady, message: "the service fails over", remedy: "" },
        CodeRow { code: "42108", kind: FailureKind::NotReady, message: "the pool is paused", remedy: "Resume it." },
        CodeRow { code: "42109", kind: FailureKind::NotReady, message: "the pool is warming up", remedy: "" },
        CodeRow { code: "976", kind: FailureKind::NotReady, message: "the database is on a secondary that takes no connections", remedy: "Use the listener, or make the secondary readable." },
        CodeRow { code: "978", kind: FailureKind::NotReady, message: "the secondary takes connections with ReadOnly intent only", remedy: "Add `applicationIntent=ReadOnly`, or use the listener." },
        CodeRow { code: "979", kind: FailureKind::NotReady, message: "the primary takes no connections with ReadOnly intent", remedy: "" },
        CodeRow { code: "983", kind: FailureKind::NotReady, message: "the replica is neither primary nor secondary at present", remedy: "Its group fails over, or has lost its quorum." },
        CodeRow { code: "922", kind: FailureKind::NotReady, message: "the database recovers", remedy: "" },
        CodeRow { code: "924", kind: FailureKind::NotReady, message: "the database is in single-user mode, and somebody is in", remedy: "" },
        CodeRow { code: "926", kind: FailureKind::NotReady, message: "the database is suspect", remedy: "Look at the ERRORLOG, then DBCC CHECKDB or a restore." },
        CodeRow { code: "927", kind: FailureKind::NotReady, message: "the database is being restored", remedy: "" },
        CodeRow { code: "942", kind: FailureKind::NotReady, message: "the database is offline", remedy: "ALTER DATABASE … SET ONLINE." },
        CodeRow { code: "945", kind: FailureKind::NotReady, message: "the database's files are not to be had, or memory or disk is short", remedy: "Look at the ERRORLOG." },
        CodeRow { code: "952", kind: FailureKind::NotReady, message: "the database is in transition", remedy: "" },
        CodeRow { code: "6005", kind: FailureKind::NotReady, message: "the server shuts down", remedy: "" },
        CodeRow { code: "17142", kind: FailureKind::NotReady, message: "the server is paused", remedy: "" },
        CodeRow { code: "3906", kind: FailureKind::NotReady, message: "the database is read-only", remedy: "" },
        CodeRow { code: "40501", kind: FailureKind::Overload, message: "the service is busy", remedy: "" },
        CodeRow { code: "49918", kind: FailureKind::Overload, message: "the service has not enough resources", remedy: "" },
        CodeRow { code: "49919", kind: FailureKind::Overload, message: "the service has too much to do", remedy: "" },
        CodeRow { code: "49920", kind: FailureKind::Overload, message: "the service has too much to do", remedy: "" },
        CodeRow { code: "10928", kind: FailureKind::Overload, message: "the database has no workers or sessions left", remedy: "Look for clients that leak connections or hold locks, or scale it up." },
        CodeRow { code: "10929", kind: FailureKind::Overload, message: "the server is too busy for more than the database's guaranteed share", remedy: "" },
        CodeRow { code: "17809", kind: FailureKind::Overload, message: "the server has no connections left", remedy: "Look for clients that leak connections, or raise `user connections`." },
        CodeRow { code: "17810", kind: FailureKind::Overload, message: "the dedicated administrator connection is taken", remedy: "" },
        CodeRow { code: "701", kind: FailureKind::Overload, message: "the server is out of memory", remedy: "" },
        CodeRow { code: "802", kind: FailureKind::Overload, message: "the server is out of memory for its buffers", remedy: "" },
        CodeRow { code: "1105", kind: FailureKind::Overload, message: "a filegroup of the database is full", remedy: "" },
        CodeRow { code: "9002", kind: FailureKind::Overload, message: "the transaction log is full", remedy: "`log_reuse_wait_desc` in sys.databases says what holds it up." },
        CodeRow { code: "1204", kind: FailureKind::Query, message: "the server has no locks left", remedy: "" },
        CodeRow { code: "1205", kind: FailureKind::Query, message: "the statement was chosen to end a deadlock", remedy: "" },
        CodeRow { code: "1222", kind: FailureKind::Timeout, message: "a lock was not to be had in time", remedy: "Look for long transactions." },
        CodeRow { code: "596", kind: FailureKind::ConnectionLost, message: "the session was killed", remedy: "" },
        CodeRow { code: "17182", kind: FailureKind::Tls, message: "the server's TLS could not be begun", remedy: "Look at the ERRORLOG for its certificate." },
        CodeRow { code: "17187", kind: FailureKind::NotReady, message: "the server is not ready to take connections yet", remedy: "" },
    ],
    unsupported: &[
        "Log-ins of Windows (NTLM, Kerberos) and Entra ID; client certificates inside of PRELOGIN are presented where they are asked for.",
        "Named instances, whose port the SQL Server Browser knows; connection strings of ADO and ODBC.",
        "Encryption of the log-in alone (`encrypt=false` or `optional` of other clients).",
        "MARS, connections that the client resumes, and databases other than that of the entry.",
        "The text of dates and times in answers to own questions: cast them.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_is_never_left_to_the_server() {
        let url = Address::parse("sqlserver://h").expect("a URL");
        let word = |word| encryption(&url, Some(word)).map_err(|error| error.message);
        assert_eq!(encryption(&url, None), Ok(Encryption::Mandatory));
        assert_eq!([word("Strict"), word("disable")], [Ok(Encryption::Strict), Ok(Encryption::Disabled)]);
        assert!(word("optional").is_err_and(|message| message.contains("leave it to the server")));
        assert_eq!(word("stric"), Err("unknown encrypt `stric`; did you mean `strict`?".into()));
    }
}
