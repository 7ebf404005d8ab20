//! MongoDB and what speaks its protocol: a log-in that proves the credentials, then `hello` on that session.
//!
//! `ping` and `hello` are answered to anybody, so neither proves a log-in: that is done first, and where nobody logs
//! in, a read shows that nobody has to. `hello` rather than `ping` is the question, because a server that shuts down,
//! or is no member any more, says so there and still answers `ping`. `replSetGetStatus` is a member's opinion of the
//! others, seconds old; of itself the member's `hello` counts.
//! Server: <https://www.mongodb.com/docs/manual/reference/command/hello/>.

use std::{future::IntoFuture, io, time::Duration};

use mongodb::{
    Client,
    bson::{DateTime, Document, doc},
    error::ErrorKind,
    options::{ClientOptions, Credential, ServerAddress, ServerMonitoringMode},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    backend::{Backend, ConfigError},
    duration::Span,
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        guard::{self, Grammar},
        mongodb::{
            Hello, Lenient,
            link::Link,
            login::Login,
            query::{Query, counted, first_document, first_value},
            refusal,
            seedlist::{Found, Seedlist, Settings},
            set::Set,
        },
        sniff::Protocol,
    },
};

/// A MongoDB server: alone, a member of a replica set, or a router of a sharded cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MongoDbConfig {
    /// `mongodb://[user@]host[:27017][,host…][/database]`: of several members of a set the first that takes writes, or has
    /// `expect.role`, is asked, and where none does the first that opens; parameters `authSource`, `authMechanism` (`SCRAM-SHA-256`,
    /// `SCRAM-SHA-1`, `MONGODB-X509`), `replicaSet` (its name, which is checked), `loadBalanced`, `tls=true`, the same as a `tls`
    /// table. Or `mongodb+srv://[user@]name[/database]`: the hosts are those of the SRV record `_mongodb._tcp.name`
    /// (`srvServiceName` is another word than `mongodb`), looked up whenever a session is opened and asked in the order of their
    /// names; TLS unless `tls=false`; what the URL leaves open of `authSource`, `replicaSet` and `loadBalanced` is as the TXT record says.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Switches TLS on, with its files and names. The server is always verified.
    tls: Option<TlsConfig>,
    /// A collection, which is counted, or a read in JSON: `{ "find": …, "filter": … }`, `{ "count": …, "query": … }` or
    /// `{ "aggregate": …, "pipeline": … }`. Its value is the first field of the first document that is not `_id`, or the
    /// count. It is asked of the URL's database in every run.
    query: Option<String>,
    /// What must be true of the server; without it Probity does not guess.
    #[serde(default)]
    expect: MongoDbExpect,
    /// From where on the server counts as degraded.
    #[serde(default)]
    degraded: MongoDbDegraded,
}

/// What must be true of a MongoDB server.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MongoDbExpect {
    /// The role that this very server must have.
    role: Option<Role>,
    /// Its replica set must have a primary, whichever member that is.
    writable: bool,
    /// Reads must be fresh: a secondary that is four times `degraded.replication_lag` behind is unhealthy.
    fresh_reads: bool,
    /// Members of its replica set that must be up.
    #[schemars(range(min = 1))]
    min_members: Option<usize>,
    /// What the first value of the answer to `query` must be.
    value: Option<Value>,
    /// How many documents `query` must find.
    rows: Option<u64>,
}

/// What a server is to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The member that takes writes.
    Primary,
    /// A member that follows.
    Secondary,
    /// A member without data, which only votes.
    Arbiter,
    /// `mongos`, in front of shards.
    Router,
    /// A member of nothing.
    Standalone,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Arbiter => "arbiter",
            Self::Router => "router",
            Self::Standalone => "standalone",
        }
    }

    /// None where a clone leaves out what would tell.
    fn of(hello: &Hello) -> Option<Self> {
        if hello.is_router() {
            Some(Self::Router)
        } else if hello.set_name().is_none() {
            Some(Self::Standalone)
        } else if hello.is_arbiter() {
            Some(Self::Arbiter)
        } else if hello.is_writable() {
            Some(Self::Primary)
        } else {
            hello.secondary().filter(|is_one| *is_one).map(|_| Self::Secondary)
        }
    }
}

/// Limits above which a MongoDB server is degraded.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MongoDbDegraded {
    /// Share of the possible connections in use; 1.0 is never exceeded.
    #[schemars(range(min = 0.0, max = 1.0))]
    connections: f64,
    /// How far a secondary may be behind the primary. A set without writes looks up to 12 seconds behind.
    replication_lag: Span,
}

impl Default for MongoDbDegraded {
    fn default() -> Self {
        Self { connections: 0.85, replication_lag: Span::seconds(15) }
    }
}

/// Asks a MongoDB server.
#[derive(Clone)]
pub struct MongoDb {
    target: Target,
    /// What stands for the addresses of the target.
    seedlist: Option<Seedlist>,
    settings: Settings,
    login: Login,
    database: Option<String>,
    query: Option<Query>,
    expect: MongoDbExpect,
    degraded: MongoDbDegraded,
}

/// An open conversation.
pub struct MongoDbSession {
    client: Client,
    link: Link,
    hello: Hello,
    /// Of several members it was the one looked for.
    is_wanted: bool,
}

impl Backend for MongoDb {
    type Config = MongoDbConfig;
    type Session = MongoDbSession;

    const KIND: &'static str = "mongodb";
    const EXAMPLE: &'static str = r#"backend = "mongodb"
url = "mongodb://localhost:27017"
degraded = { connections = 0.85 }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::MongoDb;
    const GUARD: Option<Grammar> = Some(guard::bson::messages);
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: MongoDbConfig) -> Result<Self, ConfigError> {
        let MongoDbConfig { url, username, password, tls, query, mut expect, degraded } = config;
        let parameters = [
            "authSource",
            "authMechanism",
            "replicaSet",
            "loadBalanced",
            "tls",
            "ssl",
            "directConnection",
            "srvServiceName",
            "srvMaxHosts",
        ];
        url.expect(&["mongodb", "mongodb+srv"], &parameters).map_err(ConfigError::at("url"))?;
        let switch = |name: &str| match url.parameter(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ConfigError::new("url", format!("`{name}` is `true` or `false`"))),
        };
        let seedlist = Seedlist::of(&url).map_err(ConfigError::at("url"))?;
        if switch("directConnection")? == Some(false) {
            let message = "`directConnection=false` is not what Probity does: it asks the servers that the URL names";
            return Err(ConfigError::new("url", message));
        }
        let with_tls = switch("tls")?.or(switch("ssl")?).or(seedlist.as_ref().map(|_| true));
        if with_tls == Some(false) && tls.is_some() {
            return Err(ConfigError::new("url", "`tls=false` contradicts the `tls` table"));
        }
        let tls = if with_tls == Some(true) { Some(tls.unwrap_or_default()) } else { tls };
        let has_certificate = tls.as_ref().is_some_and(|tls| tls.cert.is_some());
        let target = looked_at(url.target(27017, tls.is_some(), tls)?);
        let settings = Settings::of(url.parameters()).map_err(ConfigError::at("url"))?;
        settings.check(target.candidates()).map_err(ConfigError::at("url"))?;
        let login = Login::of(&url, url.credentials(username, password)?, has_certificate)?;
        let database = url.path();
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        let query = question.map(|question| Query::of(question, database.as_deref())).transpose()?;
        Ok(Self { target, seedlist, settings, login, database, query, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn locate(&self, run: &mut Run) -> Result<Option<Self>, Failure> {
        let Some(seedlist) = &self.seedlist else { return Ok(None) };
        let Found { hosts, settings } = seedlist.find(run).await?;
        let settings = self.settings.clone().or(settings);
        settings.check(hosts.len()).map_err(|why| seedlist.unusable(why))?;
        Ok(Some(Self { target: looked_at(self.target.at(hosts)), settings, ..self.clone() }))
    }

    async fn open(&self, run: &mut Run) -> Result<MongoDbSession, Failure> {
        let password = self.login.password(run).await?;
        let mut stream = run.dial(&self.target).await?;
        let hello = run.phase(Phase::Auth, async {
            let account = self.login.account(self.source());
            let hello = Hello::ask(&mut stream, account, self.settings.load_balanced == Some(true)).await?;
            self.check(&hello).map(|()| hello)
        });
        let hello = hello.await?;
        let is_wanted = self.is_wanted(&hello);
        if !is_wanted && !run.is_second_look(&self.target) {
            run.unwanted();
            return Err(Failure::server(UNWANTED, ""));
        }
        if !is_wanted && (self.expect.role.is_some() || self.expect.writable) {
            // The one that is missed may be found by the next run.
            run.last_use();
        }
        run.fact_if("max_wire_version", hello.max_wire_version());
        run.fact_if("set_name", hello.set_name());
        // Arbiters hold no users: nobody can log in there.
        let credential = self.login.credential().filter(|_| !hello.is_arbiter());
        if let Some(password) = password.filter(|_| !hello.is_arbiter()) {
            run.phase(Phase::Auth, self.login.prove(&mut stream, &hello, self.source(), password)).await?;
        }
        let (limit, link) = (run.remaining(), Link::start(stream, &hello, credential.is_some())?);
        let session = run.phase(Phase::Auth, async {
            let client = library(&link, credential, limit)?;
            let session = MongoDbSession { client, link, hello, is_wanted };
            let build = session.ask("admin", doc! { "buildInfo": 1 }).await;
            Ok::<_, Failure>((session, build))
        });
        let (session, build) = session.await?;
        if matches!(self.login, Login::Nobody) && !session.hello.is_arbiter() {
            run.phase(Phase::Auth, self.needs_nobody(&session)).await?;
        }
        match build {
            Ok(build) => run.fact_if("version", build.text("version")),
            Err(failure) => drop(run.optional("buildInfo", Err::<(), _>(failure))?),
        }
        Ok(session)
    }

    async fn ask(&self, session: &mut MongoDbSession, run: &mut Run) -> Result<(), Failure> {
        let word = session.hello.word;
        session.hello = Hello::of(session.ask("admin", doc! { word: 1 }).await?, word);
        self.check(&session.hello)?;
        if session.is_wanted && !self.is_wanted(&session.hello) {
            return Err(Failure::new(FailureKind::ConnectionLost, "the member has another role now"));
        }
        self.judge_role(&session.hello, run);
        if let Some(query) = &self.query {
            query.question.judge(&session.put(query, server_limit(run)).await?, run);
        }
        Ok(())
    }

    async fn examine(&self, session: &mut MongoDbSession, run: &mut Run) -> Result<(), Failure> {
        if session.hello.is_arbiter() {
            return Ok(());
        }
        let limit = server_limit(run);
        let status =
            session.ask("admin", doc! { "serverStatus": 1, "repl": 0, "metrics": 0, "locks": 0, "maxTimeMS": limit }).await;
        if let Some(status) = run.optional("serverStatus", status)? {
            self.judge_load(&status, run);
        }
        if session.hello.set_name().is_none() {
            return Ok(());
        }
        run.fact_if("members", session.hello.members());
        let status = session.ask("admin", doc! { "replSetGetStatus": 1, "maxTimeMS": limit }).await;
        if let Some(status) = run.optional("replSetGetStatus", status)? {
            self.judge_set(&Set::of(&status), &session.hello, run);
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut MongoDbSession, run: &mut Run) -> Result<(), Failure> {
        let nonce = run.nonce();
        // A document of this round trip alone, because `--check` beside an agent has the same canary.
        let id = format!("{}:{nonce}", run.canary());
        let limit = server_limit(run);
        let acknowledged = doc! { "w": "majority", "wtimeout": limit };
        let write = doc! {
            "update": CANARIES,
            "updates": [{ "q": { "_id": &id }, "u": { "$set": { "nonce": &nonce, "at": DateTime::now() } }, "upsert": true }],
            "writeConcern": &acknowledged,
            "maxTimeMS": limit,
        };
        session.ask(DATABASE, write).await?;
        let read = doc! {
            "find": CANARIES,
            "filter": { "_id": &id },
            "limit": 1,
            "singleBatch": true,
            "readConcern": { "level": "majority" },
            "maxTimeMS": limit,
        };
        let found = first_document(&session.ask(DATABASE, read).await?);
        // What a run that was cut left behind goes, too.
        let (start, end) = (format!("{}:", run.canary()), format!("{};", run.canary()));
        let stale = DateTime::from_millis(DateTime::now().timestamp_millis() - LEFT_BEHIND_MILLISECONDS);
        let remove = doc! {
            "delete": CANARIES,
            "deletes": [
                { "q": { "_id": &id }, "limit": 1 },
                { "q": { "_id": { "$gte": start, "$lt": end }, "at": { "$lt": stale } }, "limit": 0 },
            ],
            "writeConcern": acknowledged,
            "maxTimeMS": limit,
        };
        session.ask(DATABASE, remove).await?;
        run.compare(&nonce, found.as_ref().and_then(|found| found.text("nonce")));
        Ok(())
    }

    async fn close(&self, session: MongoDbSession) {
        session.client.shutdown().immediate(true).await;
        session.link.closed().await;
    }
}

/// Where round trips write.
const DATABASE: &str = "probity";
const CANARIES: &str = "canary";

/// No round trip takes so long, whatever the clocks of several agents say.
const LEFT_BEHIND_MILLISECONDS: i64 = 3_600_000;

/// The library never asks on its own account, and answers of ours stand behind its watching.
const WATCHED_EVERY: Duration = Duration::from_hours(24);

/// Without the one looked for, any of several is asked.
fn looked_at(target: Target) -> Target {
    if target.candidates() > 1 { target.with_second_look() } else { target }
}

/// In milliseconds, so that the server gives up first and says why.
fn server_limit(run: &Run) -> i64 {
    i64::try_from(run.server_limit_now().as_millis()).unwrap_or(i64::MAX)
}

/// The library at the other end of the link.
fn library(link: &Link, credential: Option<Credential>, limit: Duration) -> Result<Client, Failure> {
    let options = ClientOptions::builder()
        .hosts(vec![ServerAddress::Unix { path: link.path() }])
        .credential(credential)
        .direct_connection(true)
        .server_monitoring_mode(ServerMonitoringMode::Poll)
        .heartbeat_freq(WATCHED_EVERY)
        .max_pool_size(1)
        .retry_reads(false)
        .retry_writes(false)
        .max_adaptive_retries(0)
        .connect_timeout(limit)
        .server_selection_timeout(limit)
        .build();
    Client::with_options(options).map_err(|error| {
        Failure::new(FailureKind::Config, "the client library does not take this configuration").with_words(error.to_string())
    })
}

impl MongoDbSession {
    async fn ask(&self, database: &str, question: Document) -> Result<Document, Failure> {
        let database = self.client.database(database);
        let Some(answer) = self.link.wait(database.run_command(question).into_future()).await else {
            let lost = || Failure::from_io(&io::ErrorKind::UnexpectedEof.into());
            return Err(self.link.failure().unwrap_or_else(lost));
        };
        match answer {
            Ok(answer) => refusal(&answer).map_or(Ok(answer), Err),
            Err(error) => Err(self.link.failure().unwrap_or_else(|| match &*error.kind {
                ErrorKind::Authentication { message, .. } => {
                    Failure::new(FailureKind::Auth, "the log-in broke off at our end").with_words(message)
                }
                _ => Failure::from_chain(&error, FailureKind::Unexpected),
            })),
        }
    }

    /// Asks an own question.
    async fn put(&self, query: &Query, limit: i64) -> Result<Answer, Failure> {
        let limited = |command: &Document| {
            let mut command = command.clone();
            command.insert("maxTimeMS", limit);
            command
        };
        let answer = self.ask(&query.database, limited(&query.read)).await?;
        if let Some(n) = answer.count("n") {
            return Ok(Answer { value: Some(n.to_string()), rows: u64::try_from(n).unwrap_or(0) });
        }
        let document = first_document(&answer);
        let rows = match &query.count {
            None => u64::from(document.is_some()),
            Some(count) => counted(&self.ask(&query.database, limited(count)).await?),
        };
        Ok(Answer { value: document.as_ref().and_then(first_value), rows })
    }
}

impl MongoDb {
    /// The database in which the user was made.
    fn source(&self) -> &str {
        self.settings.source.as_deref().or(self.database.as_deref()).unwrap_or("admin")
    }

    /// Whether there is anything to be asked of such a server.
    fn check(&self, hello: &Hello) -> Result<(), Failure> {
        if hello.lacks_set() {
            return Err(Failure::server(NOT_INITIATED, ""));
        }
        if let Some(wanted) = self.settings.set_name.as_deref().filter(|wanted| hello.set_name() != Some(wanted)) {
            let seen = if hello.set_name().is_some() { "of another replica set" } else { "of no replica set" };
            return Err(Failure::new(FailureKind::Config, format!("the server is {seen}, not of {wanted}"))
                .with_words(hello.set_name().unwrap_or_default())
                .with_code("set_name")
                .with_remedy("Correct the host or `replicaSet`."));
        }
        // It still synchronises, recovers or rolls back: reads would be refused by this code, and log-ins for want of users.
        if hello.set_name().is_some() && hello.secondary() == Some(false) && Role::of(hello).is_none() {
            return Err(Failure::server(NEITHER, ""));
        }
        Ok(())
    }

    /// Whether this is the member to be asked: of several that which takes writes, unless another role is expected.
    fn is_wanted(&self, hello: &Hello) -> bool {
        match (self.target.candidates() > 1, self.expect.role) {
            (false, _) => true,
            (true, Some(role)) => Role::of(hello) == Some(role),
            (true, None) => hello.is_writable(),
        }
    }

    /// Shows that nobody has to log in: the cheapest question that is not answered to everybody.
    async fn needs_nobody(&self, session: &MongoDbSession) -> Result<(), Failure> {
        let database = self.database.as_deref().unwrap_or(DATABASE);
        let read = doc! { "find": CANARIES, "filter": {}, "limit": 1, "singleBatch": true };
        session.ask(database, read).await.map(drop).map_err(|failure| match failure.code.as_deref() {
            Some("13") => Failure { code: Some(LOGIN_WANTED.into()), ..failure },
            _ => failure,
        })
    }

    /// What `hello` says, in every run.
    fn judge_role(&self, hello: &Hello, run: &mut Run) {
        let role = Role::of(hello);
        run.fact_if("role", role.map(Role::as_str));
        let topology = match role {
            Some(Role::Router) => "sharded",
            _ if hello.set_name().is_some() => "replica_set",
            _ => "standalone",
        };
        run.fact("topology", topology);
        run.fact_if("primary", hello.primary());
        if let (Some(expected), Some(role)) = (self.expect.role, role)
            && expected != role
        {
            run.finding(Finding::unhealthy("role_mismatch", role.as_str()).against(expected.as_str()));
        }
        if matches!(role, Some(Role::Secondary | Role::Arbiter)) && hello.primary().is_none() {
            run.finding(Finding::when(self.expect.writable, "no_primary", "none is known"));
        }
    }

    fn judge_load(&self, status: &Document, run: &mut Run) {
        run.fact_if("uptime_seconds", status.count("uptime"));
        let connections = status.get_document("connections").ok();
        let of = |key| connections.and_then(|connections| connections.number(key));
        let (Some(current), Some(available)) = (of("current"), of("available")) else {
            run.missing("serverStatus: connections");
            return;
        };
        #[expect(clippy::cast_possible_truncation, reason = "connections are far below 2^53")]
        for (name, number) in [("connections_current", current), ("connections_available", available)] {
            run.fact(name, number as i64);
        }
        let share = current / (current + available);
        if share > self.degraded.connections {
            run.finding(Finding::degraded("connections", share).against(self.degraded.connections));
        }
    }

    /// What this member knows of the others.
    fn judge_set(&self, set: &Set, hello: &Hello, run: &mut Run) {
        let (all, up) = (set.members.len(), set.up());
        run.fact("members", all);
        run.fact("members_healthy", up);
        run.fact_if("term", set.term);
        for member in set.members.iter().filter(|member| !member.is_up()) {
            run.finding(Finding::degraded("member_unhealthy", format!("{} is {}", member.name, member.state_name)));
        }
        if let Some(least) = self.expect.min_members.filter(|least| up < *least) {
            run.finding(Finding::degraded("members_missing", up).against(least));
        }
        // Of a set in which everybody votes; who else votes is told to administrators only.
        if let Some(majority) = set.majority.filter(|majority| set.voters == Some(all) && up < all && up <= *majority) {
            run.finding(Finding::degraded("no_failure_tolerance", up).against(majority));
        }
        let Some(seconds) = set.worst_lag() else { return };
        run.fact("replication_lag_seconds", seconds);
        if seconds >= self.degraded.replication_lag.0.as_secs_f64() {
            let limit = self.degraded.replication_lag.0.as_secs_f64();
            let own = set.lag_of(hello.me()).is_some_and(|own| own >= 4.0 * limit);
            let unhealthy = self.expect.fresh_reads && own;
            run.finding(Finding::when(unhealthy, "replication_lag", seconds).against(limit));
        }
    }
}

/// `NotYetInitialized`: the set has not been initiated, or this server was removed from it.
const NOT_INITIATED: &str = "94";

/// `NotPrimaryOrSecondary`.
const NEITHER: &str = "13436";

/// A code of ours: another member may be the one.
const UNWANTED: &str = "unwanted_role";

/// What the server calls its refusal to somebody who has not logged in.
const LOGIN_WANTED: &str = "Unauthorized";

#[rustfmt::skip]
static MANUAL: Manual = Manual {
    title: "MongoDB",
    summary: "MongoDB and what speaks its protocol: alone, one member of a replica set, or a router. No `mongod` could be had for its tests: it was run against SecantusDB 0.7 and FerretDB 1.24, and scripted peers where a set has several members. A server that the URL, or the SRV record of its name, names is asked, and its set is judged by what it knows of the others, over one connection that is kept; the client library's second one, by which it watches, ends inside Probity.",
    levels: &[
        LevelRow { level: "connect", question: "SRV and TXT of the name with `mongodb+srv`; TCP, and TLS with `tls`", privilege: "–" },
        LevelRow { level: "handshake", question: "`hello`, SCRAM or X.509, `buildInfo`; without a user a `find` that shows that nobody has to log in", privilege: "a user without roles" },
        LevelRow { level: "query", question: "`hello`, and `query` if there is one", privilege: "a user without roles; `read` for `query`" },
        LevelRow { level: "deep", question: "`serverStatus`, `replSetGetStatus`", privilege: "`clusterMonitor` on `admin`" },
        LevelRow { level: "roundtrip", question: "a document of `probity.canary`: upsert, find and delete, by the majority", privilege: "`readWrite` on `probity`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the server." },
        FactRow { name: "max_wire_version", metric: false, meaning: "Newest version of the protocol that it speaks." },
        FactRow { name: "set_name", metric: false, meaning: "Its replica set." },
        FactRow { name: "topology", metric: false, meaning: "`standalone`, `replica_set` or `sharded`." },
        FactRow { name: "role", metric: false, meaning: "`primary`, `secondary`, `arbiter`, `router` or `standalone`; absent where a clone does not tell." },
        FactRow { name: "primary", metric: false, meaning: "The primary that it knows." },
        FactRow { name: "srv_hosts", metric: true, meaning: "Hosts that the SRV record named when the session was opened; absent where the URL names hosts." },
        FactRow { name: "uptime_seconds", metric: true, meaning: "Time since its start." },
        FactRow { name: "connections_current", metric: true, meaning: "Connections of clients." },
        FactRow { name: "connections_available", metric: true, meaning: "Connections that it would still take." },
        FactRow { name: "members", metric: true, meaning: "Members of its replica set." },
        FactRow { name: "members_healthy", metric: true, meaning: "Members that are up, as it sees them: primary, secondary or arbiter." },
        FactRow { name: "replication_lag_seconds", metric: true, meaning: "How far the last secondary is behind the primary." },
        FactRow { name: "term", metric: true, meaning: "Term of the election: it grows with each." },
    ],
    findings: &[
        FindingRow { code: "role_mismatch", meaning: "The role is not `expect.role`: unhealthy.", remedy: "Ask the right member, or look for a step-down." },
        FindingRow { code: "no_primary", meaning: "The server is a secondary or an arbiter and knows no primary: degraded, unhealthy with `expect.writable`.", remedy: "An election takes some seconds; if it lasts, bring the missing members back: most of the voters must run." },
        FindingRow { code: "member_unhealthy", meaning: "A member is down, or neither primary, secondary nor arbiter (observed: which): degraded.", remedy: "Look at the log of that member." },
        FindingRow { code: "members_missing", meaning: "Fewer members are up than `expect.min_members`: degraded.", remedy: "Bring the missing members back." },
        FindingRow { code: "no_failure_tolerance", meaning: "A member is down, and the rest is just the majority: degraded.", remedy: "Bring the missing member back: with one more gone there is no primary." },
        FindingRow { code: "replication_lag", meaning: "A secondary is behind the primary by `degraded.replication_lag` or more: degraded, unhealthy when this server is four times as far behind and `expect.fresh_reads` is set.", remedy: "Look for load, slow storage or a slow network of that secondary." },
        FindingRow { code: "connections", meaning: "More than `degraded.connections` of the possible connections are in use: degraded.", remedy: "Look for clients that leak connections, or raise `net.maxIncomingConnections` and the limit of open files." },
    ],
    codes: &[
        CodeRow { code: "18", kind: FailureKind::Auth, message: "the server rejected the credentials", remedy: "Check user, password and `authSource`: the database in which the user was made." },
        CodeRow { code: "Unauthorized", kind: FailureKind::Auth, message: "the server wants a log-in, and the entry has none", remedy: "Add a user and its password." },
        CodeRow { code: "11", kind: FailureKind::Auth, message: "there is no such user", remedy: "Check user and `authSource`." },
        CodeRow { code: "214", kind: FailureKind::Auth, message: "the user may not log in from here", remedy: "Look at the user's authentication restrictions." },
        CodeRow { code: "334", kind: FailureKind::Auth, message: "the server does not offer this mechanism", remedy: "Choose another `authMechanism`." },
        CodeRow { code: "8000", kind: FailureKind::Auth, message: "Atlas rejected the credentials", remedy: "" },
        CodeRow { code: "13", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
        CodeRow { code: "10107", kind: FailureKind::NotReady, message: "the server is not the primary", remedy: "Ask the primary, or wait for the end of the election." },
        CodeRow { code: "10058", kind: FailureKind::NotReady, message: "the server is not the primary", remedy: "Ask the primary, or wait for the end of the election." },
        CodeRow { code: "13435", kind: FailureKind::NotReady, message: "the server is not the primary and refuses reads", remedy: "" },
        CodeRow { code: "13436", kind: FailureKind::NotReady, message: "the member is neither primary nor secondary", remedy: "It synchronises, recovers or rolls back: wait, and if it lasts read its log." },
        CodeRow { code: "unwanted_role", kind: FailureKind::NotReady, message: "no member has the role that is looked for", remedy: "" },
        CodeRow { code: "94", kind: FailureKind::NotReady, message: "the server has no replica set yet, or was removed from it", remedy: "Initiate the set, or add the member to it." },
        CodeRow { code: "91", kind: FailureKind::NotReady, message: "the server shuts down", remedy: "" },
        CodeRow { code: "189", kind: FailureKind::NotReady, message: "the primary has stepped down", remedy: "" },
        CodeRow { code: "216", kind: FailureKind::NotReady, message: "an election is going on", remedy: "" },
        CodeRow { code: "11600", kind: FailureKind::NotReady, message: "the server shuts down", remedy: "" },
        CodeRow { code: "11602", kind: FailureKind::NotReady, message: "a change of the member's state interrupted the question", remedy: "" },
        CodeRow { code: "133", kind: FailureKind::NotReady, message: "the router finds no member to ask", remedy: "Look at the shards." },
        CodeRow { code: "64", kind: FailureKind::NotReady, message: "the majority did not confirm the write in time", remedy: "Look for members that are down or behind." },
        CodeRow { code: "100", kind: FailureKind::NotReady, message: "there are not enough members to confirm the write", remedy: "Bring the missing members back." },
        CodeRow { code: "50", kind: FailureKind::Timeout, message: "the server gave up at the limit that we had set", remedy: "" },
        CodeRow { code: "89", kind: FailureKind::Timeout, message: "another server did not answer this one in time", remedy: "" },
        CodeRow { code: "202", kind: FailureKind::Timeout, message: "another server did not answer this one in time", remedy: "" },
        CodeRow { code: "262", kind: FailureKind::Timeout, message: "the server gave up at the limit that we had set", remedy: "" },
        CodeRow { code: "6", kind: FailureKind::NotReady, message: "the server cannot reach another one that it needs", remedy: "Look at the shards and the config servers." },
        CodeRow { code: "7", kind: FailureKind::NotReady, message: "the server cannot resolve another one that it needs", remedy: "Look at the names of the members." },
        CodeRow { code: "59", kind: FailureKind::Config, message: "the server has no such command", remedy: "" },
        CodeRow { code: "115", kind: FailureKind::Config, message: "the server does not support this command", remedy: "" },
        CodeRow { code: "76", kind: FailureKind::Config, message: "the server is not of a replica set", remedy: "" },
        CodeRow { code: "2", kind: FailureKind::Config, message: "the server does not take a value of the question", remedy: "Correct `query`." },
        CodeRow { code: "9", kind: FailureKind::Config, message: "the server does not understand the question", remedy: "Correct `query`." },
        CodeRow { code: "73", kind: FailureKind::Config, message: "there can be no such database or collection", remedy: "Correct `query` or the database of the URL." },
        CodeRow { code: "40415", kind: FailureKind::Config, message: "the server does not know a field of the question", remedy: "Correct `query`." },
        CodeRow { code: "146", kind: FailureKind::Overload, message: "the question needs more memory than the server gives it", remedy: "" },
        CodeRow { code: "14031", kind: FailureKind::Overload, message: "the disk of the server is full", remedy: "Free space where its data is." },
        CodeRow { code: "462", kind: FailureKind::Overload, message: "the server is overloaded and refuses questions", remedy: "" },
    ],
    unsupported: &[
        "`srvMaxHosts`: the hosts of an SRV record are asked in their order, the first 16 at most.",
        "Finding members that neither the URL nor its SRV record names (`directConnection=false`).",
        "Unix sockets.",
        "LDAP (`PLAIN`), Kerberos, OIDC and AWS log-ins; compression; proxies.",
        "Servers before 3.6, which close the connection.",
        "Documents of more than a MiB in the answer to `query`: use a projection.",
    ],
};
