//! Cassandra by its native protocol: what the node says of itself, and one row of a table of the user's.
//!
//! `system.local` is answered by the node alone: it stays green with every other node dead, with gossip switched off and
//! with the quorum gone. That data can be served is shown by a read of a replicated table at the application's
//! consistency, and by nothing else. Which nodes are down no table says: a node that was killed is listed as before, for
//! 20 seconds nobody knows, and then nobody writes it down; only its heartbeat has stopped.
//! Tables: <https://cassandra.apache.org/doc/latest/cassandra/managing/operating/virtualtables.html>.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind},
    finding::{Finding, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::{Phase, Run},
    secret::Secret,
    tls::TlsConfig,
    wire::{
        cql::{Consistency as Level, Conversation, LOGIN_UNCHECKED, LOGIN_WANTED, Row, Rows},
        dial::Target,
        sniff::Protocol,
    },
};

/// A Cassandra cluster, by one of its nodes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CassandraConfig {
    /// `cassandra://[user@]host[:9042][,host…][/keyspace]`: of several nodes the first that opens is asked, and the deep
    /// questions look whether those behind it answer. No other node is ever connected to. The keyspace must exist;
    /// its name is written as the server writes it.
    url: Address,
    /// User name, if it is not in the URL.
    username: Option<String>,
    /// Password of the user.
    password: Option<Secret>,
    /// Switches TLS on, with its files and names. The server is always verified.
    tls: Option<TlsConfig>,
    /// Whether the cluster is judged, or the one node that the URL names.
    #[serde(default)]
    mode: Mode,
    /// The consistency at which the application reads and writes: that of the canary, of `query` and of the round trip.
    #[serde(default)]
    consistency: Consistency,
    /// A table of which a row is read in every run, as `keyspace.table`, or `table` with a keyspace in the URL, written as
    /// the server writes them: `(id text, nonce text, PRIMARY KEY (id, nonce))`, which may stay empty, replicated as the
    /// application's are. Without it nothing shows that data can be served. The round trip writes to it.
    canary: Option<String>,
    /// A `SELECT` of one's own, in every run; nothing else is let through. One row is fetched, or one more than
    /// `expect.rows`: at most 1 MiB at a time and 2 MiB in all. What is no text, number, boolean, UUID, address or timestamp is its kind in parentheses, such as `(list)`.
    query: Option<String>,
    /// What must be true of the cluster; without it Probity does not guess.
    #[serde(default)]
    expect: CassandraExpect,
}

/// Who is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The cluster, which goes on without one node.
    #[default]
    Cluster,
    /// The node that is named, and no other.
    Node,
}

/// How many replicas must answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Consistency {
    /// One of them.
    One,
    /// Two of them.
    Two,
    /// Three of them.
    Three,
    /// Most of them.
    Quorum,
    /// All of them.
    All,
    /// Most of those in the data center of the node that is asked.
    #[default]
    LocalQuorum,
    /// Most of those in each data center.
    EachQuorum,
    /// One of those in the data center of the node that is asked.
    LocalOne,
}

impl Consistency {
    const fn level(self) -> Level {
        match self {
            Self::One => Level::One,
            Self::Two => Level::Two,
            Self::Three => Level::Three,
            Self::Quorum => Level::Quorum,
            Self::All => Level::All,
            Self::LocalQuorum => Level::LocalQuorum,
            Self::EachQuorum => Level::EachQuorum,
            Self::LocalOne => Level::LocalOne,
        }
    }
}

/// What must be true of a Cassandra cluster.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CassandraExpect {
    /// The data center of the node that is asked.
    data_center: Option<String>,
    /// Nodes that must be known and not down.
    #[schemars(range(min = 1))]
    min_nodes: Option<usize>,
    /// More nodes down than these are unhealthy.
    max_down_nodes: Option<usize>,
    /// What the first value of the first row that answers `query` must be.
    value: Option<Value>,
    /// How many rows the answer to `query` must have.
    #[schemars(range(max = 100_000))]
    rows: Option<u64>,
}

/// More nodes than these are not looked at.
const MOST_NODES: usize = 1000;

/// A node whose heartbeat stands still while that of the node we ask grows so much is silent. Both grow each second.
const SILENT_BEATS: i64 = 5;

/// After so many seconds the server forgets a canary whose probe has died.
const CANARY_SECONDS: u32 = 120;

const LOCAL: &str = "SELECT release_version, cluster_name, data_center, rack, host_id, schema_version, bootstrapped \
     FROM system.local WHERE key = 'local'";
const PEERS: &str = "SELECT host_id, schema_version FROM system.peers_v2";
/// Before 4.0.
const OLD_PEERS: &str = "SELECT host_id, schema_version FROM system.peers";
const GOSSIP: &str =
    "SELECT host_id, address, port, status_with_port, rpc_ready, generation, heartbeat FROM system_views.gossip_info";

/// Asks a Cassandra cluster.
pub struct Cassandra {
    target: Target,
    credentials: Credentials,
    keyspace: Option<String>,
    mode: Mode,
    consistency: Consistency,
    /// As it is written in a statement.
    canary: Option<String>,
    question: Option<Question>,
    expect: CassandraExpect,
    /// What was heard of the nodes at the last look, whichever session had it.
    heard: Mutex<Heard>,
}

/// An open conversation.
pub struct CassandraSession {
    conversation: Conversation,
    /// What the node said of itself the last time.
    local: Rows,
}

impl Backend for Cassandra {
    type Config = CassandraConfig;
    type Session = CassandraSession;

    const KIND: &'static str = "cassandra";
    const EXAMPLE: &'static str = r#"backend = "cassandra"
url = "cassandra://localhost:9042"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Cql;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: CassandraConfig) -> Result<Self, ConfigError> {
        let CassandraConfig { url, username, password, tls, mode, consistency, canary, query, mut expect } = config;
        url.expect(&["cassandra"], &[]).map_err(ConfigError::at("url"))?;
        if mode == Mode::Node {
            url.one_host("with `mode = \"node\"` each node has an entry of its own").map_err(ConfigError::at("url"))?;
        }
        for (key, is_set) in [("min_nodes", expect.min_nodes.is_some()), ("max_down_nodes", expect.max_down_nodes.is_some())] {
            if is_set && mode == Mode::Node {
                return Err(ConfigError::new(format!("expect.{key}"), "with `mode = \"node\"` no other node is judged"));
            }
        }
        let credentials = url.credentials(username, password)?;
        if credentials.user.is_some() != credentials.password.is_some() {
            return Err(ConfigError::new("password", "`username` and `password` need each other"));
        }
        let keyspace = url.path().as_deref().map(quoted).transpose().map_err(ConfigError::at("url"))?;
        let canary = canary.map(|table| table_name(&table, keyspace.as_deref())).transpose();
        let canary = canary.map_err(ConfigError::at("canary"))?;
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        if question.as_ref().is_some_and(|question| !is_select(question.text())) {
            return Err(ConfigError::new("query", "an own question is a `SELECT`: the protocol cannot keep others from writing"));
        }
        let target = url.target(9042, tls.is_some(), tls)?;
        let heard = Mutex::default();
        Ok(Self { target, credentials, keyspace, mode, consistency, canary, question, expect, heard })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<CassandraSession, Failure> {
        let password = run.secret_if(self.credentials.password.as_ref()).await?;
        let login = self.credentials.user.as_deref().zip(password.as_ref().map(|password| password.as_str()));
        let mut conversation = Conversation::new(run.dial(&self.target).await?);
        let authenticator = run.phase(Phase::Auth, async {
            let authenticator = conversation.log_in(login).await?;
            if let Some(keyspace) = &self.keyspace {
                conversation.ask(&format!("USE {keyspace}"), Level::One, 1).await?;
            }
            Ok::<_, Failure>(authenticator)
        });
        let authenticator = authenticator.await?;
        run.fact("authenticator", authenticator.map_or_else(|| "none".into(), |class| short_name(&class).to_owned()));
        Ok(CassandraSession { conversation, local: Rows::default() })
    }

    async fn ask(&self, session: &mut CassandraSession, run: &mut Run) -> Result<(), Failure> {
        session.local = session.conversation.ask(LOCAL, Level::One, 1).await?;
        match session.local.first() {
            Some(local) => self.judge_node(local, run),
            None => return Err(Failure::new(FailureKind::Protocol, "the node has no row in system.local")),
        }
        if let Some(table) = &self.canary {
            self.read_canary(table, &mut session.conversation, run).await?;
        }
        if let Some(question) = &self.question {
            let most = usize::try_from(question.enough_rows()).unwrap_or(usize::MAX);
            let rows = session.conversation.ask(question.text(), self.consistency.level(), most).await?;
            question.judge(&Answer { value: rows.first_value().map(str::to_owned), rows: rows.len() as u64 }, run);
        }
        Ok(())
    }

    async fn examine(&self, session: &mut CassandraSession, run: &mut Run) -> Result<(), Failure> {
        let peers = match session.conversation.attempt(PEERS, Level::One, MOST_NODES).await? {
            Ok(peers) => peers,
            Err(refusal) if refusal.is_invalid() => session.conversation.ask(OLD_PEERS, Level::One, MOST_NODES).await?,
            Err(refusal) => return Err(refusal.into()),
        };
        let gossip = session.conversation.ask(GOSSIP, Level::One, MOST_NODES).await;
        let gossip = run.optional("gossip_info", gossip)?;
        if let Some(local) = session.local.first() {
            self.judge_nodes(local, &peers, gossip.as_ref(), run);
        }
        self.look_behind(run).await;
        Ok(())
    }

    async fn roundtrip(&self, session: &mut CassandraSession, run: &mut Run) -> Result<(), Failure> {
        let Some(table) = &self.canary else {
            return Err(Failure::new(FailureKind::Config, "a round trip needs a table to write to")
                .with_remedy("Set `canary` to a table that is there for it alone."));
        };
        let (id, nonce, level) = (run.canary().to_owned(), run.nonce(), self.consistency.level());
        // A row of this round trip alone, because two checks at once have the same canary.
        let row = format!("id = '{id}' AND nonce = '{nonce}'");
        let write = format!("INSERT INTO {table} (id, nonce) VALUES ('{id}', '{nonce}') USING TTL {CANARY_SECONDS}");
        session.conversation.ask(&write, level, 1).await?;
        let read = session.conversation.ask(&format!("SELECT nonce FROM {table} WHERE {row}"), level, 1).await?;
        session.conversation.ask(&format!("DELETE FROM {table} WHERE {row}"), level, 1).await?;
        run.compare(&nonce, read.first_value());
        Ok(())
    }

    async fn close(&self, session: CassandraSession) {
        session.conversation.goodbye().await;
    }
}

impl Cassandra {
    fn judge_node(&self, local: Row<'_>, run: &mut Run) {
        for (column, fact) in [
            ("release_version", "version"),
            ("cluster_name", "cluster_name"),
            ("data_center", "data_center"),
            ("rack", "rack"),
            ("host_id", "host_id"),
        ] {
            run.fact_if(fact, local.text(column));
        }
        if let Some(wanted) = self.expect.data_center.as_deref().filter(|wanted| local.text("data_center") != Some(*wanted)) {
            let seen = local.text("data_center").unwrap_or_default();
            run.finding(Finding::unhealthy("wrong_data_center", seen).against(wanted));
        }
        if let Some(state) = local.text("bootstrapped").filter(|state| *state != "COMPLETED") {
            run.finding(Finding::when(self.mode == Mode::Node, "not_joined", state));
        }
    }

    /// Replicas that are known to be down are an error at once; those that are silent cost the server its own patience.
    async fn read_canary(&self, table: &str, conversation: &mut Conversation, run: &mut Run) -> Result<(), Failure> {
        let read = format!("SELECT nonce FROM {table} WHERE id = '{}' LIMIT 1", run.canary());
        let Err(refusal) = conversation.attempt(&read, self.consistency.level(), 1).await? else { return Ok(()) };
        if let Some((required, alive)) = refusal.unavailable() {
            run.fact("canary_required_replicas", i64::from(required));
            run.fact("canary_alive_replicas", i64::from(alive));
            run.finding(Finding::unhealthy("consistency_unavailable", i64::from(alive)).against(i64::from(required)));
            return Ok(());
        }
        if let Some((required, answered)) = refusal.unanswered() {
            run.finding(Finding::degraded("consistency_timeout", i64::from(answered)).against(i64::from(required)));
            return Ok(());
        }
        match Failure::from(refusal) {
            failure if failure.code.as_deref() == Some(UNAUTHORIZED) => run.missing("canary"),
            failure => return Err(failure),
        }
        Ok(())
    }

    /// What is known of the other nodes is what the one that is asked knows.
    fn judge_nodes(&self, local: Row<'_>, peers: &Rows, gossip: Option<&Rows>, run: &mut Run) {
        let known: BTreeSet<_> = peers.iter().filter_map(|peer| peer.text("host_id")).collect();
        run.fact("nodes_known", known.len() + 1);
        let mut down = HashMap::new();
        if let Some(gossip) = gossip {
            let states: Vec<_> = gossip.iter().filter_map(State::read).collect();
            if let Some(own) = states.iter().find(|state| Some(state.host_id) == local.text("host_id")) {
                if let Some(status) = own.absence() {
                    run.finding(Finding::when(self.mode == Mode::Node, "not_joined", status));
                }
                let silent = self.heard.lock().unwrap_or_else(PoisonError::into_inner).listen(own, &states);
                let peers = states.iter().filter(|state| known.contains(state.host_id));
                down.extend(peers.filter_map(|peer| {
                    let why = peer.absence().or_else(|| silent.contains(peer.host_id).then_some("silent"));
                    Some((peer.host_id, format!("{} ({})", peer.address, why?)))
                }));
            }
            let heard = states.iter().filter(|state| known.contains(state.host_id)).count();
            self.judge_counts(1 + heard - down.len(), &down, run);
        }
        // A node that is down will learn the schema when it is up again.
        let of_peers = peers.iter().filter(|peer| peer.text("host_id").is_some_and(|id| !down.contains_key(id)));
        let versions: BTreeSet<_> = of_peers.chain([local]).filter_map(|node| node.text("schema_version")).collect();
        run.fact("schema_versions", versions.len());
        if versions.len() > 1 {
            // Each change of the schema takes its time to come to all nodes.
            run.finding(Finding::degraded("schema_disagreement", versions.len()).held_for(Duration::from_mins(1)));
        }
    }

    fn judge_counts(&self, up: usize, down: &HashMap<&str, String>, run: &mut Run) {
        run.fact("nodes_up", up);
        run.fact("nodes_down", down.len());
        if self.mode == Mode::Node {
            return;
        }
        if let Some(wanted) = self.expect.min_nodes.filter(|wanted| up < *wanted) {
            run.finding(Finding::degraded("nodes_missing", up).against(wanted));
        }
        if !down.is_empty() {
            let names: BTreeSet<_> = down.values().map(String::as_str).collect();
            let is_too_much = self.expect.max_down_nodes.is_some_and(|most| down.len() > most);
            run.finding(Finding::when(is_too_much, "peers_down", names.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }

    /// Asks the nodes of the URL behind the one that is asked whether they serve applications; nobody knows of others
    /// whether they do. Those before it have just failed to open.
    async fn look_behind(&self, run: &mut Run) {
        let mut failing = Vec::new();
        for candidate in run.candidate + 1..self.target.candidates() {
            failing.extend(run.beside_at(&self.target, candidate, async |run| self.greet(run).await).await.err());
        }
        if !failing.is_empty() {
            run.finding(Finding::degraded("contact_points_down", failing.join(", ")));
        }
    }

    async fn greet(&self, run: &mut Run) -> Result<(), Failure> {
        let mut conversation = Conversation::new(run.dial(&self.target).await?);
        run.phase(Phase::Auth, conversation.greet()).await
    }
}

/// What is gossiped of a node.
struct State<'a> {
    host_id: &'a str,
    address: String,
    status: &'a str,
    rpc_ready: Option<&'a str>,
    generation: i64,
    heartbeat: i64,
}

impl<'a> State<'a> {
    fn read(row: Row<'a>) -> Option<Self> {
        let number = |name| row.text(name).and_then(|text| text.parse().ok());
        Some(Self {
            host_id: row.text("host_id")?,
            address: format!("{}:{}", row.text("address")?, row.text("port").unwrap_or_default()),
            status: row.text("status_with_port").and_then(|status| status.split(',').next()).unwrap_or_default(),
            rpc_ready: row.text("rpc_ready"),
            generation: number("generation")?,
            heartbeat: number("heartbeat")?,
        })
    }

    /// What keeps it out of the ring by its own word.
    fn absence(&self) -> Option<&'a str> {
        match (self.status, self.rpc_ready) {
            ("shutdown" | "hibernate", _) => Some(self.status),
            (_, Some("false")) => Some("not serving"),
            _ => None,
        }
    }
}

/// When the heartbeat of each node was last seen to have grown, by the heartbeats of the node that is asked: that is the
/// only clock here, and it stands still where that node has no time to listen either.
#[derive(Default)]
struct Heard {
    /// Who listens, and since which start of it.
    listener: (String, i64),
    nodes: HashMap<String, Beat>,
}

struct Beat {
    last: (i64, i64),
    at: i64,
}

impl Heard {
    /// Takes in what the listener has heard; the nodes that are silent.
    fn listen<'a>(&mut self, own: &State<'_>, states: &[State<'a>]) -> BTreeSet<&'a str> {
        let listener = (own.host_id.to_owned(), own.generation);
        if self.listener != listener {
            *self = Self { listener, nodes: HashMap::new() };
        }
        self.nodes.retain(|id, _| states.iter().any(|state| state.host_id == id));
        let mut silent = BTreeSet::new();
        for state in states {
            let last = (state.generation, state.heartbeat);
            let new = Beat { last, at: own.heartbeat };
            match self.nodes.get_mut(state.host_id) {
                Some(beat) if beat.last == last => {
                    if own.heartbeat - beat.at >= SILENT_BEATS {
                        silent.insert(state.host_id);
                    }
                }
                Some(beat) => *beat = new,
                None => drop(self.nodes.insert(state.host_id.to_owned(), new)),
            }
        }
        silent
    }
}

/// Whether a statement reads. Servers take one statement at a time, and none in front of it but comments.
fn is_select(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let comment = match rest.get(..2) {
            Some("--" | "//") => rest.find(['\n', '\r']).map(|end| end + 1),
            Some("/*") => rest[2..].find("*/").map(|end| end + 4),
            _ => break,
        };
        let Some(end) = comment else { return false };
        rest = rest[end..].trim_start();
    }
    let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    word.eq_ignore_ascii_case("SELECT")
}

/// A name in quotes, so that it is taken as it is written.
fn quoted(name: &str) -> Result<String, String> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { Ok(format!("\"{name}\"")) } else { Err("a name has letters, digits and `_`".into()) }
}

fn table_name(name: &str, keyspace: Option<&str>) -> Result<String, String> {
    match name.split_once('.') {
        Some((keyspace, table)) => Ok(format!("{}.{}", quoted(keyspace)?, quoted(table)?)),
        None if keyspace.is_some() => quoted(name),
        None => Err("a table without a keyspace: write `keyspace.table`, or name a keyspace in the URL".into()),
    }
}

/// A class of Java without its package.
fn short_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// How the server says that a role may not do something.
const UNAUTHORIZED: &str = "0x2100";

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Cassandra",
    summary: "Apache Cassandra, seen with 5.0, by version 4 of its native protocol. One node is asked, by one connection \
              that is kept: no other is connected to but those that the URL names. `system.local`, which is asked in every run, is \
              answered by that node alone and stays green when no other is left: set `canary`, which is read at the consistency of \
              the application. It proves the replicas of one row.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with a `tls` table", privilege: "–" },
        LevelRow { level: "handshake", question: "`STARTUP`, SASL PLAIN where the server wants a log-in; `USE` of the URL's keyspace", privilege: "`LOGIN`" },
        LevelRow { level: "query", question: "one row of `system.local`", privilege: "the same" },
        LevelRow { level: "query", question: "with `canary` a row of it at `consistency`", privilege: "`SELECT` on that table; without it coverage is partial" },
        LevelRow { level: "query", question: "with `query` that, too, at `consistency`; only a `SELECT`", privilege: "what it reads" },
        LevelRow { level: "deep", question: "`system.peers_v2` and `system_views.gossip_info`; `OPTIONS` to the nodes behind in the URL, without a log-in", privilege: "`SELECT` on the keyspace `system_views`, from Cassandra 4.1 on; without it coverage is partial" },
        LevelRow { level: "roundtrip", question: "a row of `canary` inserted with a TTL of 120 s, read and deleted at `consistency`", privilege: "`SELECT` and `MODIFY` on that table" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the node that is asked." },
        FactRow { name: "authenticator", metric: false, meaning: "Who checks log-ins there, or none." },
        FactRow { name: "cluster_name", metric: false, meaning: "Name of the cluster." },
        FactRow { name: "data_center", metric: false, meaning: "Data center of the node." },
        FactRow { name: "rack", metric: false, meaning: "Rack of the node." },
        FactRow { name: "host_id", metric: false, meaning: "Which node it is." },
        FactRow { name: "nodes_known", metric: true, meaning: "Nodes that the node knows, itself among them, up or down." },
        FactRow { name: "nodes_up", metric: true, meaning: "Nodes that are gossiped of and not down." },
        FactRow { name: "nodes_down", metric: true, meaning: "Nodes that are stopped, out of the ring, or silent. Silence takes two deep questions." },
        FactRow { name: "schema_versions", metric: true, meaning: "Versions of the schema among the nodes that are not down." },
        FactRow { name: "canary_required_replicas", metric: true, meaning: "Replicas that the canary's consistency needs, where they are not there." },
        FactRow { name: "canary_alive_replicas", metric: true, meaning: "Replicas that are there, in that case." },
    ],
    findings: &[
        FindingRow { code: "consistency_unavailable", meaning: "The canary cannot be read at the consistency: replicas are known to be down (observed: those alive; threshold: those needed): unhealthy.", remedy: "Bring the nodes back that hold its replicas: `nodetool status`, `nodetool getendpoints`." },
        FindingRow { code: "consistency_timeout", meaning: "The canary was not read in the server's own time: replicas do not answer and nobody has noticed yet (observed: those that answered; threshold: those needed): degraded.", remedy: "Look for nodes that died or hang just now, and for overload: `nodetool tpstats`." },
        FindingRow { code: "peers_down", meaning: "Nodes are down (observed: which, and how that is known): degraded, unhealthy when more than `expect.max_down_nodes`. Not with `mode = \"node\"`. `shutdown`: stopped in order, or its gossip is switched off. `hibernate`: started without joining. `not serving`: its native protocol is not ready. `silent`: its heartbeat stands still.", remedy: "Look at those nodes; one that will not come back is removed by `nodetool removenode`." },
        FindingRow { code: "nodes_missing", meaning: "Fewer nodes are up than `expect.min_nodes`: degraded.", remedy: "Look for nodes that are down, or were removed: `nodetool status`." },
        FindingRow { code: "not_joined", meaning: "The node that is asked is no full member of its ring, though it answers (observed: what it says of itself): degraded, unhealthy with `mode = \"node\"`. `shutdown`: its gossip is switched off, and all others hold it to be down.", remedy: "`nodetool info` on that node; `nodetool enablegossip`, `nodetool join`, or wait until it has bootstrapped." },
        FindingRow { code: "schema_disagreement", meaning: "Nodes that are not down have different versions of the schema (observed: how many): degraded, once it has stood for a minute.", remedy: "`nodetool describecluster` tells which; restart the node that does not catch up." },
        FindingRow { code: "contact_points_down", meaning: "Nodes behind the one in use in the URL do not answer applications (observed: which, and why): degraded.", remedy: "Look at those nodes: `nodetool statusbinary`. Others do not notice it." },
        FindingRow { code: "wrong_data_center", meaning: "The node is in another data center than `expect.data_center`: unhealthy.", remedy: "Correct the URL: a consistency that is local is local to that data center." },
    ],
    codes: &[
        CodeRow { code: "0x0000", kind: FailureKind::Query, message: "the server reports an internal error", remedy: "Read the server's log." },
        CodeRow { code: "0x000a", kind: FailureKind::Protocol, message: "the server does not understand us", remedy: "Servers before Cassandra 2.2 do not speak version 4 of the protocol." },
        CodeRow { code: "0x0100", kind: FailureKind::Auth, message: "the server rejected the user name or password, or the role may not log in", remedy: "" },
        CodeRow { code: LOGIN_WANTED, kind: FailureKind::Auth, message: "the server wants a log-in, and there is none in the entry", remedy: "Set `username` and `password`." },
        CodeRow { code: LOGIN_UNCHECKED, kind: FailureKind::NotReady, message: "the server cannot read its roles, so nobody can log in", remedy: "Bring the nodes back that hold them, and replicate `system_auth` to more; the role `cassandra` is read at QUORUM, others at LOCAL_ONE." },
        CodeRow { code: "0x1000", kind: FailureKind::NotReady, message: "replicas are down, and too few are left for the consistency", remedy: "Bring the nodes back that hold them: `nodetool status`." },
        CodeRow { code: "0x1001", kind: FailureKind::Overload, message: "the server sheds load", remedy: "Look at its limits of requests (`native_transport_max_…`), and for who asks so much." },
        CodeRow { code: "0x1002", kind: FailureKind::NotReady, message: "the node is bootstrapping", remedy: "" },
        CodeRow { code: "0x1003", kind: FailureKind::Query, message: "a table could not be truncated", remedy: "" },
        CodeRow { code: "0x1100", kind: FailureKind::Timeout, message: "replicas did not confirm a write in the server's own time", remedy: "Look for nodes that died or hang just now, and for overload: `nodetool tpstats`." },
        CodeRow { code: "0x1200", kind: FailureKind::Timeout, message: "replicas did not answer in the server's own time", remedy: "Look for nodes that died or hang just now, and for overload: `nodetool tpstats`." },
        CodeRow { code: "0x1300", kind: FailureKind::Query, message: "replicas failed to read", remedy: "Read the logs of the replicas." },
        CodeRow { code: "0x1400", kind: FailureKind::Query, message: "a function of the question failed", remedy: "" },
        CodeRow { code: "0x1500", kind: FailureKind::Query, message: "replicas failed to write", remedy: "Read the logs of the replicas." },
        CodeRow { code: "0x2000", kind: FailureKind::Config, message: "the question is not understood", remedy: "Correct `query`." },
        CodeRow { code: UNAUTHORIZED, kind: FailureKind::Permission, message: "the role may not do this", remedy: "" },
        CodeRow { code: "0x2200", kind: FailureKind::Config, message: "the question names what is not there, or makes no sense to the server", remedy: "Correct the keyspace in the URL, `canary`, `consistency` or `query`." },
        CodeRow { code: "0x2300", kind: FailureKind::Config, message: "the server's configuration does not allow the question", remedy: "" },
    ],
    unsupported: &[
        "ScyllaDB, Astra and DSE: the protocol is theirs, too, but none was at hand to be seen.",
        "Kerberos, and other log-ins than SASL PLAIN.",
        "JMX: what `nodetool` knows beyond the tables is not asked.",
    ],
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_select_is_let_through() {
        for text in ["SELECT 1", " select\n* from t", "-- why\n/* not */ Select x", "SELECT\tJSON a FROM b"] {
            assert!(is_select(text), "{text}");
        }
        for text in [
            "",
            "--",
            "/* SELECT",
            "SELECTED",
            "UPDATE t",
            "BEGIN BATCH SELECT",
            "-- SELECT\nDROP TABLE t",
            "//x",
            "--\rDROP TABLE t /*\nSELECT 1 */",
            "/*/ SELECT */ DROP TABLE t",
        ] {
            assert!(!is_select(text), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_its_key() {
        for (entry, key) in [
            (json!({ "url": "cassandra://a,b", "mode": "node" }), Some("url")),
            (json!({ "url": "cassandra://a", "mode": "node", "expect": { "min_nodes": 3 } }), Some("expect.min_nodes")),
            (json!({ "url": "cassandra://a", "mode": "node", "expect": { "max_down_nodes": 0 } }), Some("expect.max_down_nodes")),
            (json!({ "url": "cassandra://a/no-name" }), Some("url")),
            (json!({ "url": "cassandra://a", "username": "probe" }), Some("password")),
            (json!({ "url": "cassandra://a", "canary": "table" }), Some("canary")),
            (json!({ "url": "cassandra://a", "canary": "keyspace.table; DROP" }), Some("canary")),
            (json!({ "url": "cassandra://a", "query": "TRUNCATE a.b" }), Some("query")),
            (json!({ "url": "cassandra://a,b/k", "canary": "table", "query": "SELECT a FROM b" }), None),
        ] {
            let config = serde_json::from_value(entry.clone()).expect("its keys are known");
            assert_eq!(Cassandra::build(config).err().map(|error| error.key).as_deref(), key, "{entry}");
        }
    }

    fn gossip<'a>(beats: &[(&'a str, i64, i64)]) -> Vec<State<'a>> {
        let state = |&(host_id, generation, heartbeat): &(&'a str, i64, i64)| State {
            host_id,
            address: String::new(),
            status: "NORMAL",
            rpc_ready: None,
            generation,
            heartbeat,
        };
        beats.iter().map(state).collect()
    }

    #[test]
    fn a_node_is_silent_while_others_go_on() {
        let mut heard = Heard::default();
        let mut listen = |beats: &[(&str, i64, i64)]| {
            let states = gossip(beats);
            let silent = heard.listen(&states[0], &states);
            silent.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(listen(&[("a", 1, 10), ("b", 1, 10), ("c", 1, 10)]).is_empty());
        assert!(listen(&[("a", 1, 14), ("b", 1, 10), ("c", 1, 14)]).is_empty(), "it may be late");
        assert_eq!(listen(&[("a", 1, 15), ("b", 1, 10), ("c", 1, 15)]), ["b"]);
        assert_eq!(listen(&[("a", 1, 99), ("b", 1, 10), ("c", 1, 16)]), ["b"]);
        assert!(listen(&[("a", 1, 99), ("b", 2, 1), ("c", 1, 16)]).is_empty(), "started again");
        assert!(listen(&[("c", 1, 200), ("a", 1, 99), ("b", 2, 1)]).is_empty(), "another node listens");
        assert!(listen(&[("c", 2, 300), ("a", 1, 99), ("b", 2, 1)]).is_empty(), "it was started again");
    }
}
