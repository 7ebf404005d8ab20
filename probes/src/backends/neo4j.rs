//! Neo4j by its Bolt protocol: where the database is served, and `RETURN 1` on it, in one exchange on a warm session.
//!
//! `ROUTE` says at once that a database is not available, and `RETURN 1` only after two seconds; but `ROUTE` succeeds
//! with an expired password, and so does the log-in. The first question after a server's start takes seconds, because
//! its plan is made by code that has never run: it is rehearsed while a session is opened, so that the latency is that
//! of the database. Protocol: <https://neo4j.com/docs/bolt/current/bolt/>.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{
    address::{Address, Credentials, Endpoint},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{self, Question},
    run::{Depth, Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        bolt::{Answer, Conversation, Query, Table, is_answer},
        dial::Target,
        packstream::Value as Field,
        sniff::Protocol,
    },
};

/// A Neo4j server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Neo4jConfig {
    /// `bolt://[user@]host[:7687][,host…][?database=NAME]`: of several servers the first that opens is asked. `neo4j://`
    /// where applications are routed: then those that the routing table names must be reachable, too. `bolt+s://` and
    /// `neo4j+s://` for TLS. Without a database it is the user's own.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Files and names for TLS; needs `bolt+s://` or `neo4j+s://`.
    tls: Option<TlsConfig>,
    /// Own question in the place of `RETURN 1`, in Cypher: in read mode, so that the server refuses one that writes. One
    /// row is fetched, or one more than `expect.rows`, each of at most 128 KiB and all of at most 2 MiB. A list, map,
    /// node, relationship or path is its kind in parentheses, such as `(node)`.
    query: Option<String>,
    /// What must be true of the database; without it Probity does not guess.
    #[serde(default)]
    expect: Neo4jExpect,
}

/// What must be true of a Neo4j database.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Neo4jExpect {
    /// Writes must be possible: a database without a writer, or that is read-only, is unhealthy.
    writable: bool,
    /// What the first value of the first row that answers `query` must be.
    value: Option<Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// Most rows of `SHOW DATABASES`: one for each database on each server.
const MOST_DATABASES: i64 = 500;

/// Most servers of a routing table that are looked at.
const MOST_SERVERS: usize = 16;

/// Where a server keeps what it knows of its databases; it answers commands alone.
const SYSTEM: &str = "system";

/// Asks a Neo4j server.
pub struct Neo4j {
    target: Target,
    credentials: Credentials,
    database: Option<String>,
    /// Whether applications are led by the routing table.
    routed: bool,
    question: Option<Question>,
    expect: Neo4jExpect,
}

/// An open conversation.
pub struct Neo4jSession {
    conversation: Conversation,
    /// Where the server is, as the catalog says.
    address: String,
    /// The last routing table; none where the server has none.
    table: Option<Table>,
}

impl Backend for Neo4j {
    type Config = Neo4jConfig;
    type Session = Neo4jSession;

    const KIND: &'static str = "neo4j";
    const EXAMPLE: &'static str = r#"backend = "neo4j"
url = "bolt://localhost:7687"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Bolt;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: Neo4jConfig) -> Result<Self, ConfigError> {
        let Neo4jConfig { url, username, password, tls, query, mut expect } = config;
        if let Some(scheme) = ["bolt", "neo4j"].into_iter().find(|scheme| url.scheme().strip_suffix("+ssc") == Some(scheme)) {
            let message = format!("`+ssc` verifies nothing: use `{scheme}+s` with `tls.ca`, or with `tls.insecure = true`");
            return Err(ConfigError::new("url", message));
        }
        url.expect(&["bolt", "bolt+s", "neo4j", "neo4j+s"], &["database"]).map_err(ConfigError::at("url"))?;
        if url.path().is_some() {
            return Err(ConfigError::new("url", "a Bolt URL has no path; the database is named with `?database=`"));
        }
        let credentials = url.credentials(username, password)?;
        if credentials.user.is_some() != credentials.password.is_some() {
            return Err(ConfigError::new("password", "`username` and `password` need each other"));
        }
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        let target = url.target(7687, url.scheme().ends_with("+s"), tls)?;
        let routed = url.scheme().starts_with("neo4j");
        let database = url.parameters().last().map(|(_, name)| name);
        let neo4j = Self { target, credentials, database, routed, question, expect };
        if neo4j.is_system() && neo4j.question.is_none() {
            return Err(ConfigError::new(
                "query",
                "the database `system` answers no `RETURN 1`: set `query`, to `SHOW DATABASES` say",
            ));
        }
        Ok(neo4j)
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<Neo4jSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        let login = self.credentials.user.as_deref().zip(password.as_ref().map(|password| password.as_str()));
        let stream = run.dial(&self.target).await?;
        let (limit, rehearse) = (run.server_limit(), run.depth() >= Depth::Query);
        let address = run.endpoint(&self.target).to_string();
        let opening = async {
            let mut conversation = Conversation::open(stream).await?;
            let welcome = conversation.log_in(login, self.routed.then_some(address.as_str())).await?;
            if welcome.expired {
                return Err(Failure::server(EXPIRED, "credentials_expired"));
            }
            let mut session = Neo4jSession { conversation, address, table: Some(Table::default()) };
            if rehearse {
                self.rehearse(&mut session, limit).await?;
            }
            Ok((session, welcome.server))
        };
        let (session, server) = run.phase(Phase::Auth, opening).await?;
        run.fact("bolt_version", session.conversation.version().to_string());
        run.fact_if("version", server.as_deref().and_then(|server| server.strip_prefix("Neo4j/")));
        run.fact_if("server_agent", server);
        Ok(session)
    }

    async fn ask(&self, session: &mut Neo4jSession, run: &mut Run) -> Result<(), Failure> {
        let answer = self.exchange(session, &self.first(run.server_limit())).await?;
        if session.table.as_ref().is_some_and(|table| table.writers.is_empty()) {
            run.finding(Finding::when(self.expect.writable, "no_writer", "ROUTE"));
        }
        let first = answer.rows.first().and_then(|row| row.first());
        match &self.question {
            Some(question) => {
                let value = first.and_then(Field::shown);
                question.judge(&question::Answer { value, rows: answer.count }, run);
                Ok(())
            }
            None if first == Some(&Field::Int(1)) => Ok(()),
            None => Err(Failure::new(FailureKind::Protocol, "the answer to RETURN 1 is not 1")),
        }
    }

    async fn examine(&self, session: &mut Neo4jSession, run: &mut Run) -> Result<(), Failure> {
        if let Some(table) = &session.table {
            run.fact_if("database", table.database.clone());
            run.fact_if("routing_ttl_seconds", table.ttl_seconds);
            run.fact("routing_writers", table.writers.len());
            run.fact("routing_readers", table.readers.len());
        }
        self.examine_databases(session, run).await?;
        if let Some(table) = session.table.as_ref().filter(|_| self.routed) {
            self.examine_routes(table, &session.address, run).await;
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut Neo4jSession, run: &mut Run) -> Result<(), Failure> {
        session.conversation.settle().await?;
        let nonce = run.nonce();
        // A node of this round trip alone, because two checks at once have the same canary.
        let parameters = vec![("probe", run.canary().into()), ("nonce", nonce.as_str().into())];
        let query = |text, bookmark: Option<String>| Query {
            parameters: parameters.clone(),
            writes: true,
            bookmark,
            ..self.query(text, run.server_limit())
        };
        let written = session.conversation.ask(&query(WRITE, None), 0).await?;
        let read = session.conversation.ask(&Query { writes: false, ..query(READ, written.bookmark) }, 1).await?;
        session.conversation.ask(&query(DELETE, None), 0).await?;
        run.compare(&nonce, read.rows.first().and_then(|row| row.first()?.text()));
        Ok(())
    }

    async fn close(&self, session: Neo4jSession) {
        session.conversation.goodbye().await;
    }
}

/// What a round trip writes, reads and removes; and what others that died have left behind.
const WRITE: &str = "MERGE (c:ProbityCanary {probe: $probe, nonce: $nonce}) SET c.at = timestamp()";
const READ: &str = "MATCH (c:ProbityCanary {probe: $probe, nonce: $nonce}) RETURN c.nonce";
const DELETE: &str = "MATCH (c:ProbityCanary) \
     WHERE c.probe = $probe AND c.nonce = $nonce OR c.at < timestamp() - 60000 DELETE c";

/// How the server calls a password that must be changed.
const EXPIRED: &str = "Neo.ClientError.Security.CredentialsExpired";

/// How it calls what a user may not do.
const FORBIDDEN: &str = "Neo.ClientError.Security.Forbidden";

impl Neo4j {
    fn query<'a>(&'a self, text: &'a str, limit: Duration) -> Query<'a> {
        Query { text, parameters: Vec::new(), database: self.database.as_deref(), writes: false, limit, bookmark: None, most: 1 }
    }

    /// What is asked in every run.
    fn first(&self, limit: Duration) -> Query<'_> {
        match &self.question {
            Some(question) => {
                let most = i64::try_from(question.enough_rows()).unwrap_or(i64::MAX);
                Query { most, ..self.query(question.text(), limit) }
            }
            None => Query { writes: self.expect.writable, ..self.query("RETURN 1", limit) },
        }
    }

    /// Asks where the database is served, and the question behind it, which is ignored where that fails.
    async fn exchange(&self, session: &mut Neo4jSession, query: &Query<'_>) -> Result<Answer, Failure> {
        session.conversation.settle().await?;
        if session.table.is_some() {
            session.conversation.say_route(self.database.as_deref(), self.routed.then_some(session.address.as_str()));
            session.conversation.say_query(query);
            match session.conversation.table().await {
                Ok(table) => {
                    session.table = Some(table);
                    return session.conversation.answer(1).await;
                }
                Err(failure) if !self.routed && knows_no_routes(&failure) => {
                    session.table = None;
                    session.conversation.reset().await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        session.conversation.ask(query, 1).await
    }

    /// Has the server make its plans before anything is timed. What it refuses now it will refuse again.
    async fn rehearse(&self, session: &mut Neo4jSession, limit: Duration) -> Result<(), Failure> {
        let explain = self.question.as_ref().map(|question| format!("EXPLAIN {}", question.text()));
        let first = explain.as_deref().unwrap_or("RETURN 1");
        let mut rehearsed = self.exchange(session, &self.query(first, limit)).await;
        if rehearsed.is_ok() && explain.is_some() && !self.is_system() {
            // A plan alone does not run anything.
            rehearsed = session.conversation.ask(&self.query("RETURN 1", limit), 1).await;
        }
        match rehearsed {
            Err(failure) if is_survived(&failure) => session.conversation.reset().await,
            other => other.map(drop),
        }
    }

    /// Whether it is the database that answers nothing but commands.
    fn is_system(&self) -> bool {
        self.database.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(SYSTEM))
    }

    /// Its first answer after a server's start may take seconds, and nobody else waits for it: one that is not there in
    /// time is left to the next run to be read over.
    async fn examine_databases(&self, session: &mut Neo4jSession, run: &mut Run) -> Result<(), Failure> {
        let query = Query { database: Some(SYSTEM), most: MOST_DATABASES, ..self.query("SHOW DATABASES", run.server_limit()) };
        let Ok(answer) = timeout(run.remaining() / 2, session.conversation.ask(&query, usize::MAX)).await else {
            run.missing("SHOW DATABASES");
            return Ok(());
        };
        match answer {
            Ok(answer) => self.judge(&answer, session, run),
            Err(failure) if is_survived(&failure) => {
                session.conversation.reset().await?;
                run.missing("SHOW DATABASES");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// There is a row for each database on each server; what we may not use is left out.
    fn judge(&self, answer: &Answer, session: &Neo4jSession, run: &mut Run) {
        let places: Vec<_> = answer.rows.iter().map(|row| Place::read(answer, row)).collect();
        let mut online = BTreeMap::new();
        for place in places.iter().filter(|place| place.requested == "online") {
            *online.entry(place.name).or_insert(false) |= place.status == "online";
        }
        run.fact("databases_online", online.values().filter(|online| **online).count());
        run.fact("databases_not_online", online.values().filter(|online| !**online).count());
        let name = session.table.as_ref().and_then(|table| table.database.as_deref()).or(self.database.as_deref());
        let own: Vec<_> = places.iter().filter(|place| place.is(name)).collect();
        let Some(first) = own.first() else { return run.missing("SHOW DATABASES") };
        let here = own.iter().find(|place| place.address == session.address).unwrap_or(first);
        run.fact_if("access", Some(here.access).filter(|access| !access.is_empty()));
        run.fact("current_status", here.status);
        if own.len() == 1 || here.address == session.address {
            run.fact("role", here.role);
        }
        let count = |role: &str| own.iter().filter(|place| place.role == role && place.status == "online").count();
        let (primaries, all) = (count("primary"), own.iter().filter(|place| place.role == "primary").count());
        run.fact("primaries_online", primaries);
        run.fact("secondaries_online", count("secondary"));
        if own.iter().any(|place| place.writer.is_some()) {
            let writer = own.iter().any(|place| place.writer == Some(true));
            run.fact("writer", writer);
            if !writer {
                run.finding(Finding::when(self.expect.writable, "no_writer", "SHOW DATABASES"));
            }
        }
        if self.expect.writable && here.access == "read-only" {
            run.finding(Finding::unhealthy("read_only", here.access));
        }
        if let Some(ill) = own.iter().find(|place| place.status != place.requested) {
            run.finding(Finding::when(2 * primaries <= all, "database_state", ill.status).against(ill.requested));
        } else if all > 1 && primaries == all / 2 + 1 && primaries < all {
            run.finding(Finding::degraded("no_failure_tolerance", primaries).against(all));
        }
    }

    /// Applications that are routed connect to what the table names, whatever the server is called here.
    async fn examine_routes(&self, table: &Table, own: &str, run: &mut Run) {
        let mut reached = BTreeMap::new();
        let named: BTreeSet<_> = table.writers.iter().chain(&table.readers).take(MOST_SERVERS).collect();
        for address in named.into_iter().filter(|address| *address != own) {
            let answers = match self.at(address) {
                Some(target) => run.beside(async |run| answers(&target, run).await).await.is_ok(),
                None => false,
            };
            reached.insert(address, answers);
        }
        let is_reached = |address: &String| reached.get(address).is_none_or(|reached| *reached);
        if let Some((address, _)) = reached.iter().find(|(_, reached)| !**reached) {
            let serves = |servers: &[String]| servers.is_empty() || servers.iter().any(is_reached);
            let lost = !serves(&table.readers) || !serves(&table.writers);
            run.finding(Finding::when(lost, "route_unreachable", address.as_str()));
        }
    }

    /// The target at another address, which is as a client of the routing table writes it.
    fn at(&self, address: &str) -> Option<Target> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(self.target.elsewhere(Endpoint::Tcp { host, port: port.parse().ok()? }))
    }
}

/// Whether somebody speaks Bolt there.
async fn answers(target: &Target, run: &mut Run) -> Result<(), Failure> {
    let stream = run.dial(target).await?;
    Conversation::open(stream).await?.goodbye().await;
    Ok(())
}

/// What speaks the protocol need not know `ROUTE`.
fn knows_no_routes(failure: &Failure) -> bool {
    is_answer(failure) && !has_code(failure, "Neo.") || has_code(failure, "Neo.ClientError.Request.")
}

/// Whether the conversation goes on after a failure; after others the server closes it.
fn is_survived(failure: &Failure) -> bool {
    let fatal = ["Neo.ClientError.Security", "Neo.ClientError.Request", "Neo.TransientError.Request"];
    is_answer(failure) && (has_code(failure, FORBIDDEN) || !fatal.iter().any(|start| has_code(failure, start)))
}

fn has_code(failure: &Failure, start: &str) -> bool {
    failure.code.as_deref().is_some_and(|code| code.starts_with(start))
}

/// A database on a server.
struct Place<'a> {
    name: &'a str,
    aliases: Vec<&'a str>,
    address: &'a str,
    access: &'a str,
    role: &'a str,
    /// Servers before 5 do not say.
    writer: Option<bool>,
    requested: &'a str,
    status: &'a str,
    home: bool,
}

impl<'a> Place<'a> {
    fn read(answer: &Answer, row: &'a [Field]) -> Self {
        let text = |name| answer.field(row, name).and_then(Field::text).unwrap_or_default();
        let flag = |name| match answer.field(row, name) {
            Some(Field::Bool(flag)) => Some(*flag),
            _ => None,
        };
        let aliases = answer.field(row, "aliases").and_then(Field::list).unwrap_or_default();
        Self {
            name: text("name"),
            aliases: aliases.iter().filter_map(Field::text).collect(),
            address: text("address"),
            access: text("access"),
            role: text("role"),
            writer: flag("writer"),
            requested: text("requestedStatus"),
            status: text("currentStatus"),
            home: flag("home") == Some(true),
        }
    }

    /// Names are compared without regard to case; without a name it is the user's own database.
    fn is(&self, name: Option<&str>) -> bool {
        name.map_or(self.home, |name| {
            self.name.eq_ignore_ascii_case(name) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        })
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Neo4j",
    summary: "Neo4j 4.4 and later, by Bolt 4.4 and 5.0 to 5.8. What else speaks Bolt is asked without `ROUTE` where it has none. \
              One session is kept. The first questions after a server's start take it seconds: a run may time out then, and the \
              next does not; the latency is that of later ones.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `bolt+s://` or `neo4j+s://`", privilege: "–" },
        LevelRow { level: "handshake", question: "versions, `HELLO`, `LOGON`; then `RETURN 1` once, and `EXPLAIN` of `query`, so that the server has made its plans", privilege: "a user; `ACCESS` on the database" },
        LevelRow { level: "query", question: "`ROUTE` for the database and `RETURN 1` on it, in one exchange", privilege: "the same" },
        LevelRow { level: "query", question: "with `query` that instead of `RETURN 1`, in read mode, which the server enforces", privilege: "what it reads" },
        LevelRow { level: "deep", question: "`SHOW DATABASES`; with `neo4j://` a connection to each server of the routing table, without a log-in", privilege: "the same" },
        LevelRow { level: "roundtrip", question: "a node `ProbityCanary` merged, read with the write's bookmark, deleted; its label and three property names stay known to the database", privilege: "write on `ProbityCanary`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "server_agent", metric: false, meaning: "What the server calls itself; another product that speaks Bolt has another name." },
        FactRow { name: "bolt_version", metric: false, meaning: "Version of the protocol that was agreed on." },
        FactRow { name: "database", metric: false, meaning: "The database that is asked." },
        FactRow { name: "role", metric: false, meaning: "primary or secondary: what this server is for the database." },
        FactRow { name: "access", metric: false, meaning: "read-write or read-only." },
        FactRow { name: "current_status", metric: false, meaning: "Status of the database on this server, or on the first where that cannot be told." },
        FactRow { name: "writer", metric: true, meaning: "Whether the database has a writer." },
        FactRow { name: "databases_online", metric: true, meaning: "Databases that should be online and are, on some server." },
        FactRow { name: "databases_not_online", metric: true, meaning: "Databases that should be online and are not." },
        FactRow { name: "primaries_online", metric: true, meaning: "Servers on which the database is a primary and online." },
        FactRow { name: "secondaries_online", metric: true, meaning: "Servers on which the database is a secondary and online." },
        FactRow { name: "routing_ttl_seconds", metric: false, meaning: "How long a client may keep the routing table." },
        FactRow { name: "routing_writers", metric: true, meaning: "Servers that the routing table names for writing." },
        FactRow { name: "routing_readers", metric: true, meaning: "Servers that the routing table names for reading." },
    ],
    findings: &[
        FindingRow { code: "no_writer", meaning: "The database has no writer (observed: who says so): degraded, unhealthy with `expect.writable`.", remedy: "Look at the other servers: without a majority of the primaries there is no leader." },
        FindingRow { code: "read_only", meaning: "The database is read-only although `expect.writable` is set: unhealthy. It still has a writer, and is routed to for writing.", remedy: "Look at `server.databases.default_to_read_only`, `server.databases.read_only` and `ALTER DATABASE … SET ACCESS`." },
        FindingRow { code: "database_state", meaning: "On some server the database is not in the state that was asked for (observed: the state): degraded, unhealthy without a majority of the primaries.", remedy: "`SHOW DATABASE` has a `statusMessage`; the log of that server has more." },
        FindingRow { code: "no_failure_tolerance", meaning: "Of the database's primaries no further one may fail (observed: how many are online): degraded.", remedy: "Bring the missing primaries back." },
        FindingRow { code: "route_unreachable", meaning: "A server of the routing table does not answer at its address (observed: the address): degraded, unhealthy when none for reading or none for writing does. Only with `neo4j://`.", remedy: "Set `server.bolt.advertised_address` to what applications can connect to; unset it is localhost:7687." },
    ],
    codes: &[
        CodeRow { code: "Neo.ClientError.Security.Unauthorized", kind: FailureKind::Auth, message: "the server rejected the user name or password", remedy: "" },
        CodeRow { code: EXPIRED, kind: FailureKind::Auth, message: "the password must be changed before anything can be asked", remedy: "`ALTER CURRENT USER SET PASSWORD FROM '…' TO '…'` on the database `system`." },
        CodeRow { code: "Neo.ClientError.Security.AuthenticationRateLimit", kind: FailureKind::Auth, message: "the server rejects the user, whatever the password, after too many wrong ones", remedy: "Find who logs in with a wrong password; the lock ends 5 seconds after the last try (`dbms.security.auth_lock_time`)." },
        CodeRow { code: "Neo.ClientError.Security.TokenExpired", kind: FailureKind::Auth, message: "the token has expired", remedy: "" },
        CodeRow { code: "Neo.ClientError.Security.AuthorizationExpired", kind: FailureKind::Auth, message: "what the server knows of our rights has expired", remedy: "" },
        CodeRow { code: "Neo.ClientError.Security.AuthProviderFailed", kind: FailureKind::NotReady, message: "the server cannot ask whoever knows its users", remedy: "Look at its LDAP or single sign-on." },
        CodeRow { code: "Neo.ClientError.Security.AuthProviderTimeout", kind: FailureKind::NotReady, message: "whoever knows the server's users does not answer it", remedy: "Look at its LDAP or single sign-on." },
        CodeRow { code: FORBIDDEN, kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "Neo.ClientError.Security.*", kind: FailureKind::Auth, message: "the server refuses the user", remedy: "" },
        CodeRow { code: "Neo.ClientError.Statement.AccessMode", kind: FailureKind::Permission, message: "the question writes, and an own question may only read", remedy: "Ask a question that writes nothing." },
        CodeRow { code: "Neo.ClientError.Database.DatabaseNotFound", kind: FailureKind::Config, message: "the database does not exist", remedy: "Correct `?database=` in the URL." },
        CodeRow { code: "Neo.TransientError.General.DatabaseUnavailable", kind: FailureKind::NotReady, message: "the database is not available", remedy: "It starts, was stopped, or failed: `SHOW DATABASE` on `system` has a `statusMessage`, and the server's log more." },
        CodeRow { code: "Neo.ClientError.Cluster.NotALeader", kind: FailureKind::NotReady, message: "the server is not the database's leader", remedy: "" },
        CodeRow { code: "Neo.ClientError.Cluster.Routing", kind: FailureKind::NotReady, message: "the servers have nobody to route to", remedy: "" },
        CodeRow { code: "Neo.TransientError.Cluster.*", kind: FailureKind::NotReady, message: "the servers do not agree at present", remedy: "" },
        CodeRow { code: "Neo.ClientError.Routing.RoutingFailed", kind: FailureKind::NotReady, message: "the servers have nobody to route to", remedy: "" },
        CodeRow { code: "Neo.TransientError.Transaction.LeaderSwitch", kind: FailureKind::NotReady, message: "the servers change their leader", remedy: "" },
        CodeRow { code: "Neo.ClientError.General.WriteOnReadOnlyAccessDatabase", kind: FailureKind::NotReady, message: "the database is read-only", remedy: "Look at `server.databases.default_to_read_only`, `server.databases.read_only` and `ALTER DATABASE … SET ACCESS`." },
        CodeRow { code: "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", kind: FailureKind::NotReady, message: "the database is read-only", remedy: "" },
        CodeRow { code: "Neo.TransientError.General.MemoryPoolOutOfMemoryError", kind: FailureKind::Overload, message: "the question takes more memory than transactions may have", remedy: "Look at `db.memory.transaction.max`, `dbms.memory.transaction.total.max`, and for questions that hold too much." },
        CodeRow { code: "Neo.TransientError.General.OutOfMemoryError", kind: FailureKind::Overload, message: "the server has no memory left", remedy: "" },
        CodeRow { code: "Neo.TransientError.General.TransactionMemoryLimit", kind: FailureKind::Overload, message: "transactions have used up their memory", remedy: "" },
        CodeRow { code: "Neo.TransientError.Request.NoThreadsAvailable", kind: FailureKind::Overload, message: "the server has no thread left for Bolt", remedy: "Look for transactions that are left open, idle ones included, or raise `server.bolt.thread_pool_max_size`." },
        CodeRow { code: "Neo.TransientError.Request.ResourceExhaustion", kind: FailureKind::Overload, message: "the server has no resources left", remedy: "" },
        CodeRow { code: "Neo.TransientError.Transaction.MaximumTransactionLimitReached", kind: FailureKind::Overload, message: "the server has as many transactions as it may have", remedy: "Look for transactions that are left open, or raise `db.transaction.concurrent.maximum`." },
        CodeRow { code: "Neo.ClientError.Transaction.TransactionTimedOut*", kind: FailureKind::Timeout, message: "the server gave up on the question in its time limit, or ours", remedy: "Look for load and locks." },
        CodeRow { code: "Neo.TransientError.Transaction.LockAcquisitionTimeout", kind: FailureKind::Timeout, message: "a lock was not to be had in time", remedy: "Look for long transactions." },
        CodeRow { code: "Neo.TransientError.Transaction.BookmarkTimeout", kind: FailureKind::Timeout, message: "the server is behind what was written elsewhere", remedy: "" },
        CodeRow { code: "Neo.ClientError.Request.*", kind: FailureKind::Protocol, message: "the server did not understand us", remedy: "" },
        CodeRow { code: "Neo.ClientError.Statement.SyntaxError", kind: FailureKind::Config, message: "the question is not understood", remedy: "Correct `query`." },
        CodeRow { code: "Neo.ClientError.Statement.SemanticError", kind: FailureKind::Config, message: "the question makes no sense to the server", remedy: "Correct `query`." },
        CodeRow { code: "Neo.ClientError.Statement.ParameterMissing", kind: FailureKind::Config, message: "the question has parameters, and none are given", remedy: "Correct `query`." },
        CodeRow { code: "Neo.ClientError.Statement.UnsupportedAdministrationCommand", kind: FailureKind::Config, message: "this edition does not know the command", remedy: "" },
        CodeRow { code: "Neo.ClientError.Statement.NotSystemDatabaseError", kind: FailureKind::Config, message: "the command belongs to the database `system`", remedy: "" },
        CodeRow { code: "Neo.ClientError.Procedure.ProcedureNotFound", kind: FailureKind::Config, message: "the server has no such procedure", remedy: "" },
        CodeRow { code: "Neo.DatabaseError.*", kind: FailureKind::Query, message: "the server reports an internal error", remedy: "Read the server's log." },
    ],
    unsupported: &[
        "Following the routing table: each question goes to a server that the URL names.",
        "Bolt before 4.4, and with it Neo4j before 4.4.",
        "`bolt+ssc://` and `neo4j+ssc://`: use `+s` with `tls.ca`, or with `tls.insecure`.",
        "Bearer tokens and Kerberos; the HTTP interface.",
    ],
};
