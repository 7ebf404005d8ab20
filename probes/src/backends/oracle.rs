//! Oracle Database: `SELECT 1 FROM DUAL` on a warm session, a few views for the rest.
//!
//! A listener answers for databases that are down, so nothing short of a log-in counts. Ten wrong passwords in a row
//! lock an account for good, and nothing but a right one sets their number back: rejected credentials are tried twice.
//! No real server was to be had: an error of a view that has no row in the manual lowers coverage, and not status.
//! Errors: <https://docs.oracle.com/en/error-help/db/>.

use std::{sync::Arc, time::Duration};

use oracledb::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    canary::Canary,
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::Question,
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        oracle::{
            Answer, connect_data,
            driver::{Driver, MOST_THREADS, Record, Session},
            knock,
        },
        sniff::Protocol,
    },
};

/// An Oracle database.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OracleConfig {
    /// `oracle://[user@]host[:1521][,host…]/service`: of several listeners the first that lets us in is asked.
    /// `tcps://host[:2484]/service` for TLS. `?sid=NAME` instead of a service for an instance.
    url: Address,
    /// User name, if it is not in the URL. Without one only the listener is asked, and nothing is healthy.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Files and names for TLS; needs `tcps://`.
    tls: Option<TlsConfig>,
    /// Own question in the place of `SELECT 1 FROM DUAL`: one `SELECT`, or `WITH`, without a semicolon, put in a
    /// read-only transaction that is rolled back, and interrupted at the deadline. A value that is neither text, number,
    /// time nor boolean is `(other)`.
    query: Option<String>,
    /// What must be true of the database; without it Probity does not guess.
    #[serde(default)]
    expect: OracleExpect,
    /// From where on the database counts as degraded.
    #[serde(default)]
    degraded: OracleDegraded,
}

/// What must be true of an Oracle database.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OracleExpect {
    /// The role it must have in Data Guard.
    role: Option<Role>,
    /// Writes must be possible: it must be open `READ WRITE`. Needs `V$DATABASE` and `V$PDBS`.
    writable: bool,
    /// What the answer to `query` must have in the first column of its first row.
    value: Option<Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// A role in Data Guard.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It follows nobody.
    Primary,
    /// It follows another one: physical, logical or snapshot.
    Standby,
}

/// Limits beyond which an Oracle database is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OracleDegraded {
    /// Share of `processes` or of `sessions` in use.
    #[schemars(range(min = 0.0, max = 1.0))]
    sessions: f64,
    /// How far a standby may be behind.
    replication_lag: Span,
    /// How soon our own password may expire.
    password_expiry: Span,
}

impl Default for OracleDegraded {
    fn default() -> Self {
        Self { sessions: 0.85, replication_lag: Span::seconds(60), password_expiry: Span::days(14) }
    }
}

/// Asks an Oracle database.
pub struct Oracle {
    target: Target,
    credentials: Credentials,
    /// `(SERVICE_NAME=…)` or `(SID=…)`.
    wanted: String,
    question: Option<Question>,
    expect: OracleExpect,
    degraded: OracleDegraded,
    threads: Arc<Semaphore>,
}

/// An open conversation.
pub struct OracleSession {
    driver: Session,
    /// What the log-in came with.
    warning: Option<String>,
}

impl Backend for Oracle {
    type Config = OracleConfig;
    type Session = OracleSession;

    const KIND: &'static str = "oracle";
    const EXAMPLE: &'static str = r#"backend = "oracle"
url = "oracle://localhost:1521/FREEPDB1"
degraded = { sessions = 0.85 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Oracle;
    const MOST_REJECTIONS: Option<usize> = Some(2);
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(500);

    fn build(config: OracleConfig) -> Result<Self, ConfigError> {
        let OracleConfig { url, username, password, tls, query, mut expect, degraded } = config;
        url.expect(&["oracle", "tcps"], &["sid"]).map_err(ConfigError::at("url"))?;
        let sid = url.parameters().last().map(|(_, sid)| sid);
        let wanted = match (url.path(), sid) {
            (Some(service), None) => format!("(SERVICE_NAME={})", name(&service)?),
            (None, Some(sid)) => format!("(SID={})", name(&sid)?),
            (None, None) => {
                return Err(ConfigError::new("url", "the URL names no service: `/service`, or `?sid=` for an instance"));
            }
            (Some(_), Some(_)) => return Err(ConfigError::new("url", "a service and `?sid=` exclude each other")),
        };
        let credentials = url.credentials(username, password)?;
        if credentials.user.is_some() != credentials.password.is_some() {
            return Err(ConfigError::new("password", "`username` and `password` need each other"));
        }
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        if let Some(question) = &question {
            let word = question.text().split_whitespace().next().unwrap_or_default().to_uppercase();
            if !["SELECT", "WITH"].contains(&word.as_str()) || question.text().contains(';') {
                let message = "one `SELECT` or `WITH` without a semicolon: what else there is ends the read-only transaction";
                return Err(ConfigError::new("query", message));
            }
        }
        let secured = url.scheme() == "tcps";
        let target = url.target(if secured { 2484 } else { 1521 }, secured, tls)?;
        let threads = Arc::new(Semaphore::new(MOST_THREADS));
        Ok(Self { target, credentials, wanted, question, expect, degraded, threads })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<OracleSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        let user = self.credentials.user.as_deref().unwrap_or(NOBODY);
        let password = password.as_deref().map_or(NOBODY, String::as_str);
        let mut stream = run.dial(&self.target).await?;
        let driver = run.phase(Phase::Auth, Driver::start(user, password, &self.threads)).await?;
        let mut elsewhere = None;
        let mut words = connect_data(run.endpoint(&self.target), self.target.tls.is_some(), &self.wanted);
        for _ in 0..MOST_TURNS {
            let target = elsewhere.as_ref().unwrap_or(&self.target);
            match run.phase(Phase::Auth, knock(&mut stream, &driver.head, &words, elsewhere.is_some())).await? {
                Answer::Accepted(_) if self.credentials.user.is_none() => {
                    let nobody = Failure::new(FailureKind::Config, "the database is there, and wants a user and a password")
                        .with_remedy("Set `username` and `password`.");
                    return run.phase(Phase::Auth, async { Err(nobody) }).await;
                }
                Answer::Accepted(accept) => {
                    let driver = run.phase(Phase::Auth, driver.log_in(stream, accept)).await?;
                    run.fact_if("version", driver.peek(Connection::version).map(|version| version.to_string()));
                    let warning = driver.peek(Connection::last_warning).flatten();
                    return Ok(OracleSession { driver, warning });
                }
                Answer::Anew => stream = run.renegotiate(stream, target).await?,
                Answer::Elsewhere(endpoint, others) => {
                    // The first listener closes, which is no loss of the session.
                    run.connections.clear();
                    let target = self.target.elsewhere(endpoint);
                    stream = run.dial(&target).await?;
                    (elsewhere, words) = (Some(target), others);
                }
            }
        }
        let lost = Failure::new(FailureKind::NotReady, "the listeners send us to each other without end");
        run.phase(Phase::Auth, async { Err(lost) }).await
    }

    async fn ask(&self, session: &mut OracleSession, run: &mut Run) -> Result<(), Failure> {
        if let Some(question) = &self.question {
            let (text, most) = (question.text().to_owned(), question.enough_rows());
            let answer = session.driver.put(text, most, run.server_limit_now()).await?;
            question.judge(&answer, run);
            return Ok(());
        }
        match session.driver.rows("SELECT 1 FROM DUAL").await?.first().and_then(|row| row.first()?.1.as_deref()) {
            Some("1") => Ok(()),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to SELECT 1 FROM DUAL is not 1")),
        }
    }

    async fn examine(&self, session: &mut OracleSession, run: &mut Run) -> Result<(), Failure> {
        let role = session.view("SYS_CONTEXT", CONTEXT, run).await?;
        let role = role.first().map(|row| self.judge_role(row, run)).unwrap_or_default();
        if let Some(row) = session.view("V$INSTANCE", INSTANCE, run).await?.first() {
            judge_instance(row, run);
        }
        if let Some(row) = session.view("V$DATABASE", DATABASE, run).await?.first() {
            self.judge_mode(row, run);
        }
        if role.ends_with("STANDBY") {
            self.judge_lag(&session.view("V$DATAGUARD_STATS", DATAGUARD, run).await?, run);
        }
        self.judge_limits(&session.view("V$RESOURCE_LIMIT", LIMITS, run).await?, run);
        let account = session.view("USER_USERS", ACCOUNT, run).await?;
        self.judge_password(account.first(), session.warning.as_deref(), run);
        Ok(())
    }

    async fn roundtrip(&self, session: &mut OracleSession, run: &mut Run) -> Result<(), Failure> {
        let canary = Canary::of(run);
        let read = session.driver.send(&canary, run.server_limit_now()).await?;
        canary.judge(read.as_deref(), run);
        Ok(())
    }

    async fn close(&self, session: OracleSession) {
        session.driver.end().await;
    }
}

/// With what the driver knocks where nobody is to log in: it does not without.
const NOBODY: &str = "nobody";

/// To how many listeners we let ourselves be sent, or how often TLS begins anew.
const MOST_TURNS: usize = 4;

/// Needs no grant.
const CONTEXT: &str = "SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') AS database_role, \
     SYS_CONTEXT('USERENV', 'DB_UNIQUE_NAME') AS db_unique_name, SYS_CONTEXT('USERENV', 'INSTANCE_NAME') AS instance_name, \
     SYS_CONTEXT('USERENV', 'SERVICE_NAME') AS service_name, SYS_CONTEXT('USERENV', 'CON_NAME') AS con_name FROM DUAL";

const INSTANCE: &str = "SELECT status, logins, shutdown_pending, archiver, ROUND((SYSDATE - startup_time) * 86400) AS uptime \
     FROM V$INSTANCE";

/// In a container of its own `V$DATABASE` has the mode of the whole.
const DATABASE: &str = "SELECT NVL((SELECT p.open_mode FROM V$PDBS p WHERE p.con_id = SYS_CONTEXT('USERENV', 'CON_ID')), \
     d.open_mode) AS open_mode FROM V$DATABASE d";

const DATAGUARD: &str = "SELECT name, value FROM V$DATAGUARD_STATS WHERE name IN ('apply lag', 'transport lag')";

const LIMITS: &str = "SELECT resource_name, current_utilization, limit_value FROM V$RESOURCE_LIMIT \
     WHERE resource_name IN ('processes', 'sessions')";

/// Of the user that asks; needs no grant.
const ACCOUNT: &str = "SELECT account_status, ROUND((expiry_date - SYSDATE) * 86400) AS expires_in FROM USER_USERS";

/// A name that ends no parenthesis of the words that it stands in.
fn name(name: &str) -> Result<&str, ConfigError> {
    if name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._$#-".contains(letter)) {
        return Ok(name);
    }
    Err(ConfigError::new("url", "a service or instance is named by letters, digits and `._$#-`"))
}

fn text<'a>(row: &'a Record, name: &str) -> Option<&'a str> {
    row.iter().find(|(column, _)| column == name).and_then(|(_, value)| value.as_deref()).map(str::trim)
}

fn number(row: &Record, name: &str) -> Option<i64> {
    text(row, name)?.parse().ok()
}

/// `+00 00:01:05`, in seconds.
fn interval(text: &str) -> Option<i64> {
    let (days, time) = text.trim_start_matches('+').split_once(' ')?;
    let seconds =
        |text: &str| text.split(':').try_fold(0_i64, |sum, part| Some(sum * 60 + part.split('.').next()?.parse::<i64>().ok()?));
    Some(days.parse::<i64>().ok()? * 86_400 + seconds(time)?)
}

impl OracleSession {
    /// The rows of a view; none where it is refused, or where what it says of itself is not known here.
    async fn view(&mut self, name: &'static str, sql: &'static str, run: &mut Run) -> Result<Vec<Record>, Failure> {
        match self.driver.rows(sql).await {
            Err(failure) if failure.code.is_some() && MANUAL.code(failure.code.as_deref().unwrap_or_default()).is_none() => {
                run.missing(name);
                Ok(Vec::new())
            }
            answer => Ok(run.optional(name, answer)?.unwrap_or_default()),
        }
    }
}

impl Oracle {
    fn judge_role(&self, row: &Record, run: &mut Run) -> String {
        for fact in ["database_role", "db_unique_name", "instance_name", "service_name"] {
            run.fact_if(fact, text(row, fact));
        }
        run.fact_if("container", text(row, "con_name"));
        let role = text(row, "database_role").unwrap_or_default().to_owned();
        let (wanted, is_so) = match self.expect.role {
            None => return role,
            Some(Role::Primary) => ("primary", role == "PRIMARY"),
            Some(Role::Standby) => ("standby", role.ends_with("STANDBY")),
        };
        if !is_so {
            run.finding(Finding::unhealthy("role_mismatch", role.as_str()).against(wanted));
        }
        role
    }

    fn judge_mode(&self, row: &Record, run: &mut Run) {
        let Some(mode) = text(row, "open_mode") else { return };
        run.fact("open_mode", mode);
        run.fact("open_read_write", mode == "READ WRITE");
        if self.expect.writable && mode != "READ WRITE" {
            run.finding(Finding::unhealthy("read_only", mode));
        }
    }

    fn judge_lag(&self, rows: &[Record], run: &mut Run) {
        let lag = |name| rows.iter().find(|row| text(row, "name") == Some(name)).and_then(|row| interval(text(row, "value")?));
        run.fact_if("transport_lag_seconds", lag("transport lag"));
        let Some(apply) = lag("apply lag") else { return };
        run.fact("apply_lag_seconds", apply);
        let most = self.degraded.replication_lag.0.as_secs();
        if apply.unsigned_abs() >= most {
            run.finding(Finding::degraded("replication_lag", apply).against(most));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
    fn judge_limits(&self, rows: &[Record], run: &mut Run) {
        let names = [("processes", "processes_current", "processes_limit"), ("sessions", "sessions_current", "sessions_limit")];
        for (name, current_fact, limit_fact) in names {
            let row = rows.iter().find(|row| text(row, "resource_name") == Some(name));
            let Some((current, limit)) = row.and_then(|row| number(row, "current_utilization").zip(number(row, "limit_value")))
            else {
                continue;
            };
            run.fact(current_fact, current);
            run.fact(limit_fact, limit);
            let share = current as f64 / limit.max(1) as f64;
            if share >= self.degraded.sessions {
                run.finding(Finding::degraded(name, share).against(self.degraded.sessions));
            }
        }
    }

    /// The log-in may have come with a warning, and the account says how long its password lasts.
    fn judge_password(&self, account: Option<&Record>, warning: Option<&str>, run: &mut Run) {
        let left = account.and_then(|row| number(row, "expires_in"));
        run.fact_if("password_expiry_seconds", left);
        let most = self.degraded.password_expiry.0.as_secs();
        let in_grace = account.and_then(|row| text(row, "account_status")).filter(|status| status.contains("EXPIRED"));
        let warned = warning.filter(|words| ["ORA-28002", "ORA-28011"].iter().any(|code| words.contains(code)));
        if let Some(words) = in_grace.or(warned) {
            run.finding(Finding::degraded("password_expiring", words));
        } else if let Some(left) = left.filter(|left| u64::try_from(*left).unwrap_or(0) < most) {
            run.finding(Finding::degraded("password_expiring", left).against(most));
        }
    }
}

fn judge_instance(row: &Record, run: &mut Run) {
    run.fact_if("instance_status", text(row, "status"));
    run.fact_if("logins", text(row, "logins"));
    run.fact_if("uptime_seconds", number(row, "uptime"));
    if text(row, "logins") == Some("RESTRICTED") {
        run.finding(Finding::degraded("restricted", "RESTRICTED"));
    }
    if text(row, "archiver") == Some("FAILED") {
        run.finding(Finding::degraded("archiver_failed", "FAILED"));
    }
    if text(row, "shutdown_pending") == Some("YES") {
        run.finding(Finding::degraded("shutdown_pending", "YES"));
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Oracle Database",
    summary: "Oracle Database 12.1 and later, by Oracle's own driver for Rust (`oracledb`, a pre-release). **No Oracle Database could be \
              had for its tests**: all that is said here was seen on a stand-in of ours, shaped as 19c, to which python-oracledb, \
              node-oracledb and the crate `oracledb` log in, ask and write as well. What the views and tables of a real one answer, its \
              redirects and its TCPS were not seen. One session is kept. Rejected credentials are tried twice in a row, and then not \
              before their file changes or Probity is started anew: ten wrong ones lock an account (`FAILED_LOGIN_ATTEMPTS`). Give \
              Probity an account of its own.",
    levels: &[
        LevelRow { level: "connect", question: "TCP to the listener, and TLS with `tcps://`: a listener answers for databases that are down", privilege: "–" },
        LevelRow { level: "handshake", question: "`CONNECT` with the service or instance, where the listener sends us too; log-in", privilege: "`CREATE SESSION`" },
        LevelRow { level: "query", question: "`SELECT 1 FROM DUAL`", privilege: "the same" },
        LevelRow { level: "query", question: "with `query` that instead, in `SET TRANSACTION READ ONLY`, rolled back", privilege: "what it reads" },
        LevelRow { level: "deep", question: "`SYS_CONTEXT('USERENV', …)`, `USER_USERS`", privilege: "the same" },
        LevelRow { level: "deep", question: "`V$INSTANCE`, `V$DATABASE` with `V$PDBS`, `V$RESOURCE_LIMIT`; on a standby `V$DATAGUARD_STATS`", privilege: "`SELECT` on `SYS.V_$INSTANCE`, `V_$DATABASE`, `V_$PDBS`, `V_$RESOURCE_LIMIT`, `V_$DATAGUARD_STATS`" },
        LevelRow { level: "roundtrip", question: "a row of `probity.canary` is merged, read and deleted in one transaction, and committed", privilege: "`CREATE TABLE probity.canary (id VARCHAR2(16) PRIMARY KEY, nonce VARCHAR2(16) NOT NULL)`, whose owner has a quota; `GRANT SELECT, INSERT, UPDATE, DELETE ON probity.canary` to the probe's user" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the database." },
        FactRow { name: "instance_name", metric: false, meaning: "The instance that answers: of a cluster it may be another one with each session." },
        FactRow { name: "db_unique_name", metric: false, meaning: "Unique name of the database." },
        FactRow { name: "container", metric: false, meaning: "The pluggable database." },
        FactRow { name: "service_name", metric: false, meaning: "The service, as the database calls it." },
        FactRow { name: "database_role", metric: false, meaning: "`PRIMARY`, or what kind of standby." },
        FactRow { name: "instance_status", metric: false, meaning: "`OPEN`, `MOUNTED` or `STARTED`." },
        FactRow { name: "open_mode", metric: false, meaning: "Of the pluggable database where it is one: `READ WRITE`, `READ ONLY`, `READ ONLY WITH APPLY`, `MOUNTED`." },
        FactRow { name: "open_read_write", metric: true, meaning: "Whether it is open for writing." },
        FactRow { name: "logins", metric: false, meaning: "`ALLOWED` or `RESTRICTED`." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Seconds since the instance started." },
        FactRow { name: "apply_lag_seconds", metric: true, meaning: "How far a standby is behind." },
        FactRow { name: "transport_lag_seconds", metric: true, meaning: "How much of the primary's changes a standby has not received." },
        FactRow { name: "processes_current", metric: true, meaning: "Processes in use." },
        FactRow { name: "processes_limit", metric: true, meaning: "Most processes." },
        FactRow { name: "sessions_current", metric: true, meaning: "Sessions in use." },
        FactRow { name: "sessions_limit", metric: true, meaning: "Most sessions." },
        FactRow { name: "password_expiry_seconds", metric: true, meaning: "Seconds until our own password expires." },
    ],
    findings: &[
        FindingRow { code: "role_mismatch", meaning: "The role is not `expect.role`: unhealthy.", remedy: "After a switchover correct the URL or `expect.role`, or use a service that follows the role." },
        FindingRow { code: "read_only", meaning: "It is not open `READ WRITE` although `expect.writable` is set (observed: the mode): unhealthy.", remedy: "`ALTER DATABASE OPEN` or `ALTER PLUGGABLE DATABASE … OPEN READ WRITE`; a standby is read-only by nature." },
        FindingRow { code: "restricted", meaning: "Only users with `RESTRICTED SESSION` may log in, of which we are one: degraded.", remedy: "`ALTER SYSTEM DISABLE RESTRICTED SESSION`." },
        FindingRow { code: "archiver_failed", meaning: "The archiver cannot write: degraded. Soon all writes wait.", remedy: "Make room where archived redo logs go." },
        FindingRow { code: "shutdown_pending", meaning: "The instance is about to be shut down: degraded.", remedy: "Nothing, if somebody meant it." },
        FindingRow { code: "replication_lag", meaning: "The apply lag of a standby is `degraded.replication_lag` or more: degraded.", remedy: "Look at the standby's redo apply, its load, and the network to the primary." },
        FindingRow { code: "processes", meaning: "The share of `processes` in use is `degraded.sessions` or more: degraded.", remedy: "Look for pools that are too large, or raise `PROCESSES`." },
        FindingRow { code: "sessions", meaning: "The share of `sessions` in use is `degraded.sessions` or more: degraded.", remedy: "Look for pools that are too large, or raise `SESSIONS`." },
        FindingRow { code: "password_expiring", meaning: "Our own password expires sooner than `degraded.password_expiry`, or has and is in its days of grace: degraded.", remedy: "Change it, or give the account a profile with `PASSWORD_LIFE_TIME UNLIMITED`." },
    ],
    codes: &[
        CodeRow { code: "ORA-01017", kind: FailureKind::Auth, message: "the database rejected the user name or password", remedy: "Correct them; a changed file is tried at once. Two attempts are made in a row and no third, because ten lock the account." },
        CodeRow { code: "ORA-01005", kind: FailureKind::Auth, message: "the password is empty", remedy: "" },
        CodeRow { code: "ORA-28000", kind: FailureKind::Auth, message: "the account is locked", remedy: "`ALTER USER … ACCOUNT UNLOCK`, after whoever logs in with a wrong password was found; then start Probity anew." },
        CodeRow { code: "ORA-28001", kind: FailureKind::Auth, message: "the password has expired", remedy: "`ALTER USER … IDENTIFIED BY …`." },
        CodeRow { code: "ORA-28040", kind: FailureKind::Auth, message: "database and driver know no log-in in common", remedy: "Look at `SQLNET.ALLOWED_LOGON_VERSION_SERVER`, and set the password anew for a verifier of 12c." },
        CodeRow { code: "ORA-28009", kind: FailureKind::Auth, message: "this user may only log in as SYSDBA, which Probity does not", remedy: "Use an account of its own." },
        CodeRow { code: "ORA-01045", kind: FailureKind::Permission, message: "the user may not log in", remedy: "`GRANT CREATE SESSION`." },
        CodeRow { code: "ORA-00942 in roundtrip", kind: FailureKind::Config, message: "the table for round trips does not exist, or the user may not see it", remedy: "CREATE TABLE probity.canary (id VARCHAR2(16) PRIMARY KEY, nonce VARCHAR2(16) NOT NULL), with the grants of the reference page." },
        CodeRow { code: "ORA-00904 in roundtrip", kind: FailureKind::Config, message: "the table for round trips is not as it should be", remedy: "DROP TABLE probity.canary; CREATE TABLE probity.canary (id VARCHAR2(16) PRIMARY KEY, nonce VARCHAR2(16) NOT NULL)." },
        CodeRow { code: "ORA-01031 in roundtrip", kind: FailureKind::Permission, message: "the user may not write to the table for round trips", remedy: "GRANT SELECT, INSERT, UPDATE, DELETE ON probity.canary to the probe's user." },
        CodeRow { code: "ORA-00942", kind: FailureKind::Permission, message: "there is no such table, or the user may not see it", remedy: "" },
        CodeRow { code: "ORA-01031", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "ORA-01950", kind: FailureKind::Permission, message: "the table's owner has no quota", remedy: "`ALTER USER … QUOTA … ON …`." },
        CodeRow { code: "ORA-01456", kind: FailureKind::Permission, message: "the question writes, and an own question may only read", remedy: "Ask a question that writes nothing." },
        CodeRow { code: "ORA-12514", kind: FailureKind::Config, message: "the listener knows no such service", remedy: "Correct the service in the URL; up to a minute after its start a database has not told the listener yet." },
        CodeRow { code: "ORA-12505", kind: FailureKind::Config, message: "the listener knows no such SID", remedy: "Correct `?sid=`; up to a minute after its start a database has not told the listener yet." },
        CodeRow { code: "ORA-12504", kind: FailureKind::Config, message: "the listener was told no service", remedy: "" },
        CodeRow { code: "ORA-12541", kind: FailureKind::ConnectRefused, message: "behind the listener nobody listens", remedy: "Start the listener of the database that was named." },
        CodeRow { code: "ORA-12528", kind: FailureKind::NotReady, message: "the instance takes no connections: it is not mounted", remedy: "It starts, or waits to be mounted by hand." },
        CodeRow { code: "ORA-12526", kind: FailureKind::NotReady, message: "the instance is in restricted mode", remedy: "`ALTER SYSTEM DISABLE RESTRICTED SESSION`." },
        CodeRow { code: "ORA-12527", kind: FailureKind::NotReady, message: "the instance is in restricted mode, or takes no connections", remedy: "" },
        CodeRow { code: "ORA-01033", kind: FailureKind::NotReady, message: "the database starts or shuts down: it may be mounted and not open", remedy: "`ALTER DATABASE OPEN`, if nobody does." },
        CodeRow { code: "ORA-01034", kind: FailureKind::NotReady, message: "the database is not started", remedy: "" },
        CodeRow { code: "ORA-01035", kind: FailureKind::NotReady, message: "only users with RESTRICTED SESSION may log in", remedy: "`ALTER SYSTEM DISABLE RESTRICTED SESSION`." },
        CodeRow { code: "ORA-01089", kind: FailureKind::NotReady, message: "the database is being shut down", remedy: "" },
        CodeRow { code: "ORA-01090", kind: FailureKind::NotReady, message: "the database is being shut down", remedy: "" },
        CodeRow { code: "ORA-01109", kind: FailureKind::NotReady, message: "the database is not open", remedy: "" },
        CodeRow { code: "ORA-01219", kind: FailureKind::NotReady, message: "the database is not open", remedy: "" },
        CodeRow { code: "ORA-16000", kind: FailureKind::NotReady, message: "the database is open for reading only", remedy: "A standby takes no round trips; `ALTER DATABASE OPEN READ WRITE`, if it is none." },
        CodeRow { code: "ORA-12516", kind: FailureKind::Overload, message: "no instance has a handler free for us", remedy: "Look at `PROCESSES` and `SESSIONS`, and for pools that are too large." },
        CodeRow { code: "ORA-12518", kind: FailureKind::Overload, message: "the listener could not hand us on", remedy: "" },
        CodeRow { code: "ORA-12519", kind: FailureKind::Overload, message: "no handler is free for us", remedy: "Look at `PROCESSES` and `SESSIONS`, and for pools that are too large." },
        CodeRow { code: "ORA-12520", kind: FailureKind::Overload, message: "no handler of this kind is free for us", remedy: "" },
        CodeRow { code: "ORA-00018", kind: FailureKind::Overload, message: "all sessions are in use", remedy: "Look for pools that are too large, or raise `SESSIONS`." },
        CodeRow { code: "ORA-00020", kind: FailureKind::Overload, message: "all processes are in use", remedy: "Look for pools that are too large, or raise `PROCESSES`." },
        CodeRow { code: "ORA-02391", kind: FailureKind::Overload, message: "the user has as many sessions as it may have", remedy: "Look at `SESSIONS_PER_USER` of its profile." },
        CodeRow { code: "ORA-04031", kind: FailureKind::Overload, message: "the shared memory is used up", remedy: "" },
        CodeRow { code: "ORA-00257", kind: FailureKind::Overload, message: "the archiver has no room left, and nobody can log in", remedy: "Make room where archived redo logs go." },
        CodeRow { code: "ORA-01536", kind: FailureKind::Overload, message: "the quota of the table's owner is used up", remedy: "`ALTER USER … QUOTA … ON …`." },
        CodeRow { code: "ORA-01653", kind: FailureKind::Overload, message: "the tablespace of the table is full", remedy: "Make room in it, or add a file." },
        CodeRow { code: "ORA-01654", kind: FailureKind::Overload, message: "the tablespace of the index is full", remedy: "Make room in it, or add a file." },
        CodeRow { code: "ORA-30036", kind: FailureKind::Overload, message: "the undo tablespace is full", remedy: "Look for transactions that do not end, or add a file." },
        CodeRow { code: "ORA-00028", kind: FailureKind::ConnectionLost, message: "somebody has killed the session", remedy: "" },
        CodeRow { code: "ORA-01012", kind: FailureKind::ConnectionLost, message: "the session is logged on no more", remedy: "" },
        CodeRow { code: "ORA-02396", kind: FailureKind::ConnectionLost, message: "the session was idle for too long", remedy: "Look at `IDLE_TIME` of the user's profile." },
        CodeRow { code: "ORA-02399", kind: FailureKind::ConnectionLost, message: "the session has lasted as long as it may", remedy: "Look at `CONNECT_TIME` of the user's profile." },
        CodeRow { code: "ORA-03113", kind: FailureKind::ConnectionLost, message: "the session's process has ended", remedy: "" },
        CodeRow { code: "ORA-03135", kind: FailureKind::ConnectionLost, message: "the session was lost", remedy: "" },
        CodeRow { code: "ORA-01013", kind: FailureKind::Timeout, message: "the question was interrupted at its limit", remedy: "Look for load and locks." },
        CodeRow { code: "ORA-03136", kind: FailureKind::Timeout, message: "the log-in took longer than the database waits for it", remedy: "" },
        CodeRow { code: "ORA-00600", kind: FailureKind::Query, message: "the database has met an internal error", remedy: "Its alert log has more." },
        CodeRow { code: "ORA-07445", kind: FailureKind::Query, message: "a process of the database has crashed", remedy: "Its alert log has more." },
        CodeRow { code: "version", kind: FailureKind::Config, message: "the database is older than 12.1, which the driver does not speak with", remedy: "" },
        CodeRow { code: "native_encryption", kind: FailureKind::Config, message: "the database demands Oracle's native network encryption, which the driver does not have", remedy: "Use TCPS, or set `SQLNET.ENCRYPTION_SERVER` and `SQLNET.CRYPTO_CHECKSUM_SERVER` to less than REQUIRED." },
    ],
    unsupported: &[
        "A proof of the server: it sends one with the log-in, which the driver does not check. Who is asked is certain with `tcps://` alone.",
        "TNS aliases, wallets in Oracle's own format, Kerberos, proxy users, log-ins as SYSDBA or by certificate; a wallet's CA as PEM is `tls.ca`.",
        "Native network encryption, and databases before 12.1: the driver has neither, and both are said.",
        "A server that means harm: a panic of the driver is caught and is `protocol`, but how much memory the driver takes is what the server says.",
    ],
};
