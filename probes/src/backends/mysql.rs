//! MySQL, MariaDB and what speaks their protocol: `SELECT 1` on a warm session, a few questions for the rest.
//!
//! A server counts log-ins that break off and in the end blocks the machine they come from, for everybody: so
//! it is never dialled without a log-in, and every session ends with `COM_QUIT`. The names of replication have
//! changed twice; each flavour is asked in the newest words that it knows.
//! Protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

use std::time::Duration;

use mysql_async::{Conn, DriverError, Error, IoError, OptsBuilder, Row as LibraryRow, Value, prelude::Queryable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    canary::Canary,
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{self, Finding},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        guard::{self, Grammar},
        labour::Labour,
        mysql::{Greeting, Link, Port},
        row::Row,
        sniff::Protocol,
    },
};

/// A MySQL or MariaDB server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlConfig {
    /// `mysql://[user@]host[:3306][,host…][/database]`: of several hosts the first that opens is asked;
    /// `?ssl-mode=VERIFY_IDENTITY` for TLS, the same as a `tls` table; `mariadb://` means the same.
    /// `mysql:///database?socket=/run/mysqld/mysqld.sock` for a socket, which is never taken unasked.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Switches TLS on, with its files and names. The server is always verified.
    tls: Option<TlsConfig>,
    /// Own question in the place of `SELECT 1`: a single statement, put in a read-only transaction that is rolled back.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: MysqlExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: MysqlDegraded,
}

/// What must be true of a MySQL server.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MysqlExpect {
    /// The role it must have.
    role: Option<Role>,
    /// Writes must be possible: neither read-only nor in offline mode.
    writable: bool,
    /// Reads must be fresh: a replica that does not replicate, or is ten times `degraded.replication_lag` behind, is
    /// unhealthy.
    fresh_reads: bool,
    /// Nodes that a Galera cluster must have, as this one knows them.
    #[schemars(range(min = 1))]
    min_nodes: Option<i64>,
    /// What the answer to `query` must have in the first column of its first row.
    value: Option<finding::Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// A role in replication.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It follows nobody.
    Source,
    /// It follows another server.
    Replica,
}

/// Limits above which a MySQL server is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MysqlDegraded {
    /// Share of `max_connections` in use.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
    /// Statements that run at the same time; without it they are not judged.
    #[schemars(range(min = 1))]
    threads_running: Option<i64>,
    /// How far a replica may be behind.
    replication_lag: Span,
}

impl Default for MysqlDegraded {
    fn default() -> Self {
        Self { connections: 0.85, threads_running: None, replication_lag: Span::seconds(30) }
    }
}

/// Asks a MySQL or MariaDB server.
pub struct Mysql {
    target: Target,
    credentials: Credentials,
    database: Option<String>,
    question: Option<Question>,
    expect: MysqlExpect,
    degraded: MysqlDegraded,
}

/// An open conversation.
pub struct MysqlSession {
    conn: Conn,
    link: Link,
    mariadb: bool,
}

impl Backend for Mysql {
    type Config = MysqlConfig;
    type Session = MysqlSession;

    const KIND: &'static str = "mysql";
    const EXAMPLE: &'static str = r#"backend = "mysql"
url = "mysql://root@localhost:3306"
degraded = { connections = 0.85 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::MySql;
    const GUARD: Option<Grammar> = Some(guard::mysql::packets);
    const COUNTS_INTERRUPTIONS: bool = true;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(500);

    fn build(config: MysqlConfig) -> Result<Self, ConfigError> {
        let MysqlConfig { url, username, password, tls, query, mut expect, degraded } = config;
        url.expect(&["mysql", "mariadb"], &["ssl-mode", "socket"]).map_err(ConfigError::at("url"))?;
        let mode = url.parameter("ssl-mode").map(|mode| mode.to_uppercase().replace('-', "_"));
        let tls = match mode.as_deref() {
            None => tls,
            Some("DISABLED") if tls.is_some() => {
                return Err(ConfigError::new("url", "`ssl-mode=DISABLED` contradicts the `tls` table"));
            }
            Some("DISABLED") => None,
            Some("REQUIRED" | "VERIFY_CA" | "VERIFY_IDENTITY") => Some(tls.unwrap_or_default()),
            Some("PREFERRED") => {
                let message = "`ssl-mode=PREFERRED` would fall back to plain text silently: use `VERIFY_IDENTITY` or `DISABLED`";
                return Err(ConfigError::new("url", message));
            }
            Some(other) => {
                let known = ["DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"];
                return Err(ConfigError::new("url", url.mistaken("ssl-mode", other, &known)));
            }
        };
        let target = match url.parameter("socket") {
            Some(path) => url.on_sockets(vec![path.into()], tls.as_ref())?,
            None => url.upgraded_target(3306, tls)?,
        };
        let credentials = url.credentials(username, password)?;
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        Ok(Self { target, credentials, database: url.path(), question, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<MysqlSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        // Every question that the library asks for itself is answered here already.
        let options = OptsBuilder::default()
            .user(Some(self.credentials.user.as_deref().unwrap_or("root")))
            .pass(password.as_deref().map(String::as_str))
            .db_name(self.database.as_deref())
            .connect_attribute("program_name", "probity")
            .prefer_socket(false)
            .max_allowed_packet(Some(LONGEST_PACKET))
            .wait_timeout(Some(0))
            .stmt_cache_size(0);
        let mut stream = run.dial(&self.target).await?;
        let greeting = run.phase(Phase::Auth, Greeting::read(&mut stream)).await?;
        run.fact("version", greeting.version());
        if self.target.upgrade && !greeting.offers_tls() {
            let refused = Failure::new(FailureKind::Tls, "the server does not offer TLS")
                .with_code("refused")
                .with_remedy("Set `ssl_cert` and `ssl_key` at the server, or use `ssl-mode=DISABLED`.");
            return run.phase(Phase::Tls, async { Err(refused) }).await;
        }
        let port = run.phase(Phase::Auth, Port::open(self.target.is_private())).await?;
        let mut library = Conn::new(port.lead(options)?);
        let introduced = run.phase(Phase::Auth, async {
            tokio::select! {
                introduced = port.introduce(&greeting) => introduced,
                given_up = &mut library => Err(given_up.map_or_else(|error| failure(&error, None), |_| no_answer())),
            }
        });
        let mut introduction = introduced.await?;
        if self.target.upgrade {
            run.phase(Phase::Tls, introduction.request_tls(&mut stream)).await?;
            stream = run.upgrade(stream, &self.target).await?;
        }
        let labour = Labour::default();
        let link = Link::start(introduction, stream, labour.clone());
        let limit = run.server_limit();
        let login = run.phase(Phase::Auth, async {
            let conn = labour.drive(library).await?.map_err(|error| failure(&error, Some(&link)))?;
            let mut session = MysqlSession { conn, link, mariadb: greeting.is_mariadb() };
            session.limit(limit).await?;
            if self.question.is_some() {
                // What creates and drops ends the transaction that it is in, and so would not be refused by it.
                session.rows("SET SESSION TRANSACTION READ ONLY").await?;
            }
            Ok::<_, Failure>(session)
        });
        login.await
    }

    async fn ask(&self, session: &mut MysqlSession, run: &mut Run) -> Result<(), Failure> {
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

    async fn examine(&self, session: &mut MysqlSession, run: &mut Run) -> Result<(), Failure> {
        let variables = if session.mariadb { VARIABLES } else { MYSQL_VARIABLES };
        let variables = session.rows(variables).await;
        let variables = run.optional("system variables", variables)?.and_then(|rows| rows.into_iter().next());
        let status = session.rows(STATUS).await;
        let status = run.optional("SHOW GLOBAL STATUS", status)?.map(Row::of_pairs);
        if let Some(row) = &variables {
            self.judge_variables(row, session.mariadb, run);
        }
        if let Some(status) = &status {
            self.judge_load(status, variables.as_ref().and_then(|row| row.number("max_connections")), run);
            self.judge_galera(status, run);
        }
        let questions = if session.mariadb {
            ["SHOW ALL REPLICAS STATUS", "SHOW ALL SLAVES STATUS"]
        } else {
            ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"]
        };
        let channels = session.first_known(questions).await;
        if let Some(channels) = run.optional("SHOW REPLICA STATUS", channels)? {
            self.judge_replication(&channels, run);
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut MysqlSession, run: &mut Run) -> Result<(), Failure> {
        let canary = Canary::of(run);
        let read = session.send(&canary).await?;
        canary.judge(read.as_deref(), run);
        Ok(())
    }

    async fn close(&self, session: MysqlSession) {
        let MysqlSession { conn, link, .. } = session;
        if conn.disconnect().await.is_ok() {
            link.closed().await;
        }
    }
}

/// Above what any answer of ours needs.
const LONGEST_PACKET: usize = 1 << 20;

/// What both flavours have; no privilege is needed.
const VARIABLES: &str = "SELECT @@version AS version, @@version_comment AS comment, @@hostname AS hostname, \
     @@global.read_only AS read_only, @@innodb_read_only AS innodb_read_only, @@max_connections AS max_connections";

/// The same from MySQL 5.7 on, with what only that has.
const MYSQL_VARIABLES: &str = "SELECT @@version AS version, @@version_comment AS comment, @@hostname AS hostname, \
     @@global.read_only AS read_only, @@innodb_read_only AS innodb_read_only, @@max_connections AS max_connections, \
     @@global.super_read_only AS super_read_only, @@global.offline_mode AS offline_mode";

const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Threads_running', 'Uptime', \
     'wsrep_provider_name', 'wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_cluster_size')";

/// "You have an error in your SQL syntax": the server knows other words.
const SYNTAX: &str = "1064";

impl Mysql {
    fn judge_variables(&self, row: &Row, mariadb: bool, run: &mut Run) {
        let percona = row.word("comment").is_some_and(|comment| comment.contains("Percona"));
        run.fact_if("version", row.word("version"));
        run.fact(
            "flavor",
            if mariadb {
                "mariadb"
            } else if percona {
                "percona"
            } else {
                "mysql"
            },
        );
        run.fact_if("hostname", row.word("hostname"));
        let read_only =
            ["offline_mode", "super_read_only", "read_only", "innodb_read_only"].into_iter().find(|name| row.is_on(name));
        run.fact("read_only", read_only.is_some());
        if let Some(why) = read_only.filter(|_| self.expect.writable) {
            run.finding(Finding::unhealthy("read_only", why));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
    fn judge_load(&self, status: &Row, most: Option<i64>, run: &mut Run) {
        run.fact_if("uptime_seconds", status.number("Uptime"));
        run.fact_if("max_connections", most);
        let (connected, running) = (status.number("Threads_connected"), status.number("Threads_running"));
        run.fact_if("threads_connected", connected);
        run.fact_if("threads_running", running);
        if let (Some(connected), Some(most)) = (connected, most.filter(|most| *most > 0)) {
            let share = connected as f64 / most as f64;
            if share >= self.degraded.connections {
                run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
            }
        }
        if let (Some(running), Some(limit)) = (running, self.degraded.threads_running)
            && running > limit
        {
            run.finding(Finding::degraded("threads_running", running).against(limit));
        }
    }

    /// MariaDB shows its Galera variables without Galera, too; only the name of the provider is empty then.
    fn judge_galera(&self, status: &Row, run: &mut Run) {
        if status.word("wsrep_provider_name").is_none_or(str::is_empty) {
            return;
        }
        let ready = status.is_on("wsrep_ready");
        let size = status.number("wsrep_cluster_size");
        run.fact("wsrep_ready", ready);
        run.fact_if("wsrep_cluster_size", size);
        let part = status.word("wsrep_cluster_status").unwrap_or("unknown");
        let state = status.word("wsrep_local_state_comment").unwrap_or("unknown");
        if part != "Primary" {
            run.finding(Finding::unhealthy("galera_without_quorum", part).against("Primary"));
        } else if !ready {
            run.finding(Finding::unhealthy("galera_not_ready", state).against("Synced"));
        } else if state != "Synced" {
            run.finding(Finding::when(state.starts_with("Join"), "galera_not_synced", state).against("Synced"));
        }
        if let (Some(size), Some(least)) = (size, self.expect.min_nodes)
            && size < least
        {
            run.finding(Finding::degraded("galera_nodes_missing", size).against(least));
        }
    }

    fn judge_replication(&self, channels: &[Row], run: &mut Run) {
        let role = if channels.is_empty() { Role::Source } else { Role::Replica };
        let word = |role| if role == Role::Source { "source" } else { "replica" };
        run.fact("role", word(role));
        if let Some(expected) = self.expect.role.filter(|expected| *expected != role) {
            run.finding(Finding::unhealthy("role_mismatch", word(role)).against(word(expected)));
        }
        let mut worst: Option<i64> = None;
        let mut running = [true; 2];
        for channel in channels {
            let name = channel.either(["Channel_Name", "Connection_name"]).filter(|name| !name.is_empty());
            let of = name.map(|name| format!("channel {name}: ")).unwrap_or_default();
            let io = channel.either(["Replica_IO_Running", "Slave_IO_Running"]).unwrap_or("unknown");
            let sql = channel.either(["Replica_SQL_Running", "Slave_SQL_Running"]).unwrap_or("unknown");
            running = [running[0] && io == "Yes", running[1] && sql == "Yes"];
            if io != "Yes" || sql != "Yes" {
                let observed = format!("{of}receiving: {io}, applying: {sql}");
                run.finding(Finding::when(self.expect.fresh_reads, "replication_broken", observed));
            }
            let lag = channel.either(["Seconds_Behind_Source", "Seconds_Behind_Master"]).and_then(|lag| lag.parse().ok());
            if lag.is_none() {
                run.finding(Finding::degraded("lag_unknown", format!("{of}NULL")));
            }
            worst = worst.max(lag);
        }
        if role == Role::Replica {
            run.fact("replica_io_running", running[0]);
            run.fact("replica_sql_running", running[1]);
        }
        run.fact_if("replication_lag_seconds", worst);
        let limit = i64::try_from(self.degraded.replication_lag.0.as_secs()).unwrap_or(i64::MAX);
        if let Some(lag) = worst.filter(|lag| *lag >= limit) {
            let stale = self.expect.fresh_reads && lag >= limit.saturating_mul(10);
            run.finding(Finding::when(stale, "replication_lag", lag).against(limit));
        }
    }
}

impl MysqlSession {
    /// Lets the server give up before we do.
    async fn limit(&mut self, limit: Duration) -> Result<(), Failure> {
        let limit = self.time_limit(limit);
        self.set(&format!("lock_wait_timeout = 1, innodb_lock_wait_timeout = 1, {limit}")).await
    }

    fn time_limit(&self, limit: Duration) -> String {
        if self.mariadb {
            format!("max_statement_time = {}", limit.as_secs_f64())
        } else {
            format!("max_execution_time = {}", limit.as_millis())
        }
    }

    /// Sets limits. What does not know them, such as a proxy, is asked without.
    async fn set(&mut self, limits: &str) -> Result<(), Failure> {
        match self.rows(&format!("SET SESSION {limits}")).await {
            Err(Failure { code: Some(code), .. }) if ["1193", SYNTAX].contains(&code.as_str()) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Puts an own question. The server sends no more rows than are needed, unless the question has a limit of its own.
    async fn put(&mut self, question: &Question, limit: Duration) -> Result<Answer, Failure> {
        let (enough, limit) = (question.enough_rows(), self.time_limit(limit));
        self.set(&format!("sql_select_limit = {enough}, {limit}")).await?;
        self.rows("START TRANSACTION READ ONLY").await?;
        let answer = self.answer(question.text(), enough).await?;
        self.rows("ROLLBACK").await?;
        // `SHOW` minds it, too.
        self.set("sql_select_limit = DEFAULT").await?;
        Ok(answer)
    }

    async fn answer(&mut self, question: &str, enough: u64) -> Result<Answer, Failure> {
        let link = &self.link;
        let failure = |error: Error| failure(&error, Some(link));
        let mut rows = self.conn.query_iter(question).await.map_err(failure)?;
        let mut told = Answer::default();
        while let Some(row) = rows.next().await.map_err(failure)? {
            if let (0, Some(Value::Bytes(value))) = (told.rows, row.as_ref(0)) {
                told.value = Some(String::from_utf8_lossy(value).into_owned());
            }
            told.rows = enough.min(told.rows + 1);
        }
        rows.drop_result().await.map_err(failure)?;
        Ok(told)
    }

    /// Writes, reads and removes a canary in one transaction.
    async fn send(&mut self, canary: &Canary) -> Result<Option<String>, Failure> {
        self.rows("START TRANSACTION READ WRITE").await?;
        self.rows(&format!("REPLACE INTO {}", canary.row())).await?;
        let read = self.rows(&canary.read()).await?;
        self.rows(&canary.remove()).await?;
        self.rows("COMMIT").await?;
        Ok(read.into_iter().next().and_then(|mut row| row.take("nonce")))
    }

    /// The answer to the first question whose words the server knows.
    async fn first_known(&mut self, questions: [&str; 2]) -> Result<Vec<Row>, Failure> {
        match self.rows(questions[0]).await {
            Err(unknown) if unknown.code.as_deref() == Some(SYNTAX) => self.rows(questions[1]).await,
            other => other,
        }
    }

    async fn rows(&mut self, query: &str) -> Result<Vec<Row>, Failure> {
        let rows: Vec<LibraryRow> = self.conn.query(query).await.map_err(|error| failure(&error, Some(&self.link)))?;
        Ok(rows.iter().map(read).collect())
    }
}

fn read(row: &LibraryRow) -> Row {
    let columns = row.columns_ref().iter().enumerate();
    let values = columns.filter_map(|(at, column)| match row.as_ref(at)? {
        Value::Bytes(bytes) => Some((column.name_str().into_owned(), String::from_utf8_lossy(bytes).into_owned())),
        _ => None,
    });
    values.collect()
}

impl Row {
    /// From rows of a name and a value each.
    fn of_pairs(rows: Vec<Self>) -> Self {
        let pair = |mut row: Self| Some((row.take("Variable_name")?, row.take("Value")?));
        rows.into_iter().filter_map(pair).collect()
    }

    /// The same thing under a new or an old name.
    fn either(&self, names: [&str; 2]) -> Option<&str> {
        self.word(names[0]).or_else(|| self.word(names[1]))
    }

    /// Newer servers have more ways to be on than one.
    fn is_on(&self, column: &str) -> bool {
        self.word(column).is_some_and(|value| !["0", "OFF"].contains(&value))
    }
}

fn no_answer() -> Failure {
    Failure::new(FailureKind::Protocol, "the server's greeting leads to no log-in")
}

/// From the library's error; why the link ended says more than that it did.
fn failure(error: &Error, link: Option<&Link>) -> Failure {
    // What a guard has found says more than what the library makes of the end that follows.
    if let Some(found) = link.and_then(Link::end).filter(|end| end.kind == FailureKind::Protocol) {
        return found;
    }
    match error {
        Error::Server(error) => Failure::server(error.code.to_string(), error.message.as_str()),
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. } | DriverError::CleartextPluginDisabled | DriverError::MysqlOldPasswordDisabled,
        ) => Failure::new(FailureKind::Auth, "the server asks for a way to log in that is not supported")
            .with_words(error.to_string())
            .with_remedy("Let the account log in with caching_sha2_password, mysql_native_password, ed25519 or parsec."),
        // What the library says of bytes out of order is not of the operating system.
        Error::Io(IoError::Io(io)) if io.kind() == std::io::ErrorKind::Other => {
            Failure::new(FailureKind::Protocol, "the server's answer does not follow the protocol").with_words(io.to_string())
        }
        Error::Driver(DriverError::ConnectionClosed) | Error::Io(_) => {
            link.and_then(Link::end).unwrap_or_else(|| Failure::from_chain(error, FailureKind::ConnectionLost))
        }
        Error::Driver(_) | Error::Other(_) | Error::Url(_) => Failure::from_chain(error, FailureKind::Protocol),
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "MySQL",
    summary: "MySQL 5.7 and later, MariaDB 10.2 and later, Percona Server, Galera clusters, and what speaks their protocol. One \
              session is kept: it is one connection of the server.",
    levels: &[
        LevelRow { level: "connect", question: "as handshake: the server counts connections without a log-in as errors, and blocks hosts for them", privilege: "the same" },
        LevelRow { level: "handshake", question: "greeting, SSLRequest, log-in", privilege: "`CREATE USER probity … WITH MAX_USER_CONNECTIONS 3`, and nothing else" },
        LevelRow { level: "query", question: "`SELECT 1`", privilege: "the same" },
        LevelRow { level: "query", question: "or the own question (`query`), in a read-only transaction: its first row, and as many more as `expect.rows` has to count", privilege: "`SELECT` on what it reads, and no other: administration, such as `SET GLOBAL` and `KILL`, is refused for lack of privilege only" },
        LevelRow { level: "deep", question: "system variables, `SHOW GLOBAL STATUS` of eight names, `SHOW REPLICA STATUS`", privilege: "`REPLICATION CLIENT`; MariaDB 10.5.9 and later: `REPLICA MONITOR`" },
        LevelRow { level: "roundtrip", question: "a row of `probity.canary` is replaced, read and deleted in one transaction, which is in the binary log like any other; a replica that is not read-only takes it, too", privilege: "`CREATE DATABASE probity; CREATE TABLE probity.canary (id varchar(16) PRIMARY KEY, nonce varchar(16) NOT NULL) ENGINE = InnoDB; GRANT SELECT, INSERT, DELETE ON probity.canary TO probity`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "flavor", metric: false, meaning: "mysql, mariadb or percona." },
        FactRow { name: "hostname", metric: false, meaning: "Name that the server has for its machine." },
        FactRow { name: "role", metric: false, meaning: "replica when it follows another server, otherwise source." },
        FactRow { name: "read_only", metric: true, meaning: "Whether `read_only`, `super_read_only`, `innodb_read_only` or `offline_mode` is on." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since the server started." },
        FactRow { name: "threads_connected", metric: true, meaning: "Connections that are open." },
        FactRow { name: "threads_running", metric: true, meaning: "Connections that execute a statement." },
        FactRow { name: "max_connections", metric: true, meaning: "Limit of connections." },
        FactRow { name: "replication_lag_seconds", metric: true, meaning: "How far a replica is behind its source; of several channels the worst." },
        FactRow { name: "replica_io_running", metric: true, meaning: "Whether a replica receives, on every channel." },
        FactRow { name: "replica_sql_running", metric: true, meaning: "Whether a replica applies, on every channel." },
        FactRow { name: "wsrep_ready", metric: true, meaning: "Whether a Galera node takes statements." },
        FactRow { name: "wsrep_cluster_size", metric: true, meaning: "Nodes of the Galera cluster, as this one knows them." },
    ],
    findings: &[
        FindingRow { code: "read_only", meaning: "`expect.writable`, and the server takes no writes (observed: which variable is on): unhealthy.", remedy: "A fail-over happened, or the address leads to a replica; check the variable that is named." },
        FindingRow { code: "role_mismatch", meaning: "The role is not `expect.role`: unhealthy.", remedy: "A fail-over happened, or the address leads to the wrong node." },
        FindingRow { code: "connections", meaning: "`Threads_connected` ≥ `degraded.connections` of `max_connections`: degraded.", remedy: "Look for clients that leak connections, use a pooler, or raise `max_connections`." },
        FindingRow { code: "threads_running", meaning: "`Threads_running` > `degraded.threads_running`, where that is set: degraded.", remedy: "Look at the process list for slow statements and locks." },
        FindingRow { code: "replication_broken", meaning: "A replica does not receive or does not apply: degraded, unhealthy with `expect.fresh_reads`.", remedy: "Look at Last_IO_Error and Last_SQL_Error of SHOW REPLICA STATUS." },
        FindingRow { code: "replication_lag", meaning: "A replica is `degraded.replication_lag` behind: degraded; ten times that with `expect.fresh_reads`: unhealthy.", remedy: "Look for long transactions, and for load on the replica." },
        FindingRow { code: "lag_unknown", meaning: "A replica does not know how far it is behind: degraded.", remedy: "One of its threads does not run: look at SHOW REPLICA STATUS." },
        FindingRow { code: "galera_without_quorum", meaning: "The node is not in the primary component: unhealthy.", remedy: "Bring the other nodes back, or bootstrap the newest one." },
        FindingRow { code: "galera_not_ready", meaning: "The node does not take statements yet: unhealthy.", remedy: "Wait until it is synced; if it does not get there, read its log." },
        FindingRow { code: "galera_not_synced", meaning: "The node is donor or desynced: degraded; it is joining: unhealthy.", remedy: "Wait until the transfer of the state, or the backup, is done." },
        FindingRow { code: "galera_nodes_missing", meaning: "The cluster has fewer nodes than `expect.min_nodes`: degraded.", remedy: "Bring the missing nodes back." },
    ],
    // <https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html> and
    // <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
    codes: &[
        CodeRow { code: "1045", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "Check user, password and the host of the account; without TLS, a MariaDB that requires it answers the same." },
        CodeRow { code: "1698", kind: FailureKind::Auth, message: "the server rejected the user", remedy: "The account may log in by its unix socket only." },
        CodeRow { code: "1251", kind: FailureKind::Auth, message: "no way to log in was agreed on", remedy: "Change the account's authentication plugin." },
        CodeRow { code: "1873", kind: FailureKind::Auth, message: "the server rejected the change of user", remedy: "" },
        CodeRow { code: "1130", kind: FailureKind::Auth, message: "the server does not let this machine in", remedy: "Create the account for this host, too." },
        CodeRow { code: "3118", kind: FailureKind::Auth, message: "the account is locked", remedy: "Unlock it: ALTER USER … ACCOUNT UNLOCK." },
        CodeRow { code: "4151", kind: FailureKind::Auth, message: "the account is locked", remedy: "Unlock it: ALTER USER … ACCOUNT UNLOCK." },
        CodeRow { code: "1820", kind: FailureKind::Auth, message: "the password has expired", remedy: "Set a new one: ALTER USER … IDENTIFIED BY …." },
        CodeRow { code: "1862", kind: FailureKind::Auth, message: "the password has expired", remedy: "Set a new one: ALTER USER … IDENTIFIED BY …." },
        CodeRow { code: "4150", kind: FailureKind::Auth, message: "the account is blocked after too many wrong passwords", remedy: "Correct the password, then FLUSH PRIVILEGES; give the probe an account of its own." },
        CodeRow { code: "1142 in query", kind: FailureKind::Permission, message: "the user may not do what the own question asks for", remedy: "Grant the probe's user `SELECT` on what it reads." },
        CodeRow { code: "1064 in query", kind: FailureKind::Config, message: "the own question is not understood, or is not a single statement", remedy: "Correct `query`." },
        CodeRow { code: "1792 in query", kind: FailureKind::Config, message: "the own question writes, and was refused", remedy: "Correct `query`: it may only read." },
        CodeRow { code: "1290 in query", kind: FailureKind::Config, message: "the own question writes, and was refused", remedy: "Correct `query`: it may only read." },
        CodeRow { code: "1142 in roundtrip", kind: FailureKind::Permission, message: "the user may not write to the table for round trips, or there is none", remedy: "GRANT SELECT, INSERT, DELETE ON probity.canary to the probe's user; the reference page shows how to create it." },
        CodeRow { code: "1146 in roundtrip", kind: FailureKind::Config, message: "the table for round trips does not exist", remedy: "CREATE DATABASE probity; CREATE TABLE probity.canary (id varchar(16) PRIMARY KEY, nonce varchar(16) NOT NULL) ENGINE = InnoDB, with the grants of the reference page." },
        CodeRow { code: "1044", kind: FailureKind::Permission, message: "the user may not use this database", remedy: "Grant the user any right on it." },
        CodeRow { code: "1142", kind: FailureKind::Permission, message: "the user may not read this table", remedy: "" },
        CodeRow { code: "1143", kind: FailureKind::Permission, message: "the user may not read this column", remedy: "" },
        CodeRow { code: "1227", kind: FailureKind::Permission, message: "the user may not do this", remedy: "Grant `REPLICATION CLIENT`, or `REPLICA MONITOR` on MariaDB, to the probe's user." },
        CodeRow { code: "1370", kind: FailureKind::Permission, message: "the user may not execute this routine", remedy: "" },
        CodeRow { code: "1049", kind: FailureKind::Config, message: "the database does not exist", remedy: "Correct the path of the URL." },
        CodeRow { code: "1046", kind: FailureKind::Config, message: "no database is chosen", remedy: "Name one in the path of the URL, or before the name of the table." },
        CodeRow { code: "1054", kind: FailureKind::Config, message: "a column does not exist", remedy: "" },
        CodeRow { code: "1305", kind: FailureKind::Config, message: "a function does not exist", remedy: "" },
        CodeRow { code: "1193", kind: FailureKind::Config, message: "the server does not know a variable: it is too old, or not MySQL", remedy: "" },
        CodeRow { code: "1064", kind: FailureKind::Config, message: "the server does not understand the statement", remedy: "" },
        CodeRow { code: "1146", kind: FailureKind::Config, message: "a table does not exist", remedy: "" },
        CodeRow { code: "1040", kind: FailureKind::Overload, message: "the server has no connections left", remedy: "Look for clients that leak connections, use a pooler, or raise `max_connections`." },
        CodeRow { code: "1203", kind: FailureKind::Overload, message: "the user has no connections left", remedy: "Raise the account's `max_user_connections`." },
        CodeRow { code: "1226", kind: FailureKind::Overload, message: "the user has used up one of its limits", remedy: "Raise the limits of the account." },
        CodeRow { code: "1129", kind: FailureKind::Overload, message: "the server blocks this machine after too many interrupted connections", remedy: "Find what breaks connections off (port scans, load balancers' checks), then FLUSH HOSTS." },
        CodeRow { code: "1135", kind: FailureKind::Overload, message: "the server cannot start another thread", remedy: "Check its memory and its limit of processes." },
        CodeRow { code: "1037", kind: FailureKind::Overload, message: "the server is out of memory", remedy: "" },
        CodeRow { code: "1038", kind: FailureKind::Overload, message: "the server is out of memory for sorting", remedy: "" },
        CodeRow { code: "1041", kind: FailureKind::Overload, message: "the server is out of memory", remedy: "" },
        CodeRow { code: "1053", kind: FailureKind::NotReady, message: "the server shuts down", remedy: "" },
        CodeRow { code: "3032", kind: FailureKind::NotReady, message: "the server is in offline mode", remedy: "Set `offline_mode = OFF` when its maintenance is done." },
        CodeRow { code: "1047", kind: FailureKind::NotReady, message: "the Galera node does not take statements", remedy: "It has lost its quorum or is still joining: look at the other nodes." },
        CodeRow { code: "1290", kind: FailureKind::NotReady, message: "the server is read-only", remedy: "" },
        CodeRow { code: "1792", kind: FailureKind::NotReady, message: "the transaction is read-only", remedy: "" },
        CodeRow { code: "1836", kind: FailureKind::NotReady, message: "the server is read-only", remedy: "" },
        CodeRow { code: "1927", kind: FailureKind::NotReady, message: "the server ended the connection: it shuts down, or an administrator did", remedy: "" },
        CodeRow { code: "3159", kind: FailureKind::Tls, message: "the server requires TLS", remedy: "Use `?ssl-mode=VERIFY_IDENTITY`, or a `tls` table." },
        CodeRow { code: "1158", kind: FailureKind::ConnectionLost, message: "the server could not read from the connection", remedy: "" },
        CodeRow { code: "1159", kind: FailureKind::ConnectionLost, message: "the server waited too long for us", remedy: "" },
        CodeRow { code: "1160", kind: FailureKind::ConnectionLost, message: "the server could not write to the connection", remedy: "" },
        CodeRow { code: "1161", kind: FailureKind::ConnectionLost, message: "the server could not write to the connection in time", remedy: "" },
        CodeRow { code: "4031", kind: FailureKind::ConnectionLost, message: "the server ended the idle session", remedy: "" },
        CodeRow { code: "1205", kind: FailureKind::Query, message: "a lock was not to be had in time", remedy: "Look for long transactions." },
        CodeRow { code: "1213", kind: FailureKind::Query, message: "the statement was chosen to end a deadlock", remedy: "" },
        CodeRow { code: "1317", kind: FailureKind::Timeout, message: "the statement was interrupted", remedy: "" },
        CodeRow { code: "1969", kind: FailureKind::Timeout, message: "the server gave up on the statement in our time limit", remedy: "Look for load and locks." },
        CodeRow { code: "3024", kind: FailureKind::Timeout, message: "the server gave up on the statement in our time limit", remedy: "Look for load and locks." },
        CodeRow { code: "1043", kind: FailureKind::Protocol, message: "the server did not understand our answer to its greeting", remedy: "" },
        CodeRow { code: "1156", kind: FailureKind::Protocol, message: "the server got packets out of order", remedy: "" },
        CodeRow { code: "1157", kind: FailureKind::Protocol, message: "the server could not uncompress a packet", remedy: "" },
    ],
    unsupported: &[
        "`mysql+srv://`.",
        "The X protocol (port 33060), compression.",
        "Log-ins by PAM, LDAP, Kerberos, IAM, clear text, sha256_password and the user of the machine (auth_socket).",
        "Group Replication's members, and the day on which a password expires.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_in_every_spelling() {
        let values = [("a", "0"), ("b", "OFF"), ("c", "1"), ("d", "NO_LOCK")];
        let row: Row = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(["a", "b", "c", "d", "absent"].map(|name| row.is_on(name)), [false, false, true, true, false]);
    }
}
