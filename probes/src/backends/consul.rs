//! Consul by its HTTP API: who leads, on a kept-alive connection; autopilot, checks and services for the rest.
//!
//! `/v1/status/leader` answers at once and always with status 200: without a leader its body is an empty string.
//! Everything else then answers after 7 to 12 seconds, so it is asked only where there is a leader, and whatever
//! is silent leads back to that question. Lists that are empty may mean "no rights": they count only with a token
//! that the server knows. API: <https://developer.hashicorp.com/consul/api-docs>.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderName, Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use crate::{
    address::Address,
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

/// A Consul agent, client or server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsulConfig {
    /// `http://host[:8500][,host…]` or `https://host[:8501]`: of several agents the first that opens is asked; `?dc=` for
    /// another datacenter. Usually the agent of this machine.
    url: Address,
    /// ACL token.
    token: Option<Secret>,
    /// Files and names for TLS; needs `https://`.
    tls: Option<TlsConfig>,
    /// Services that must have an instance whose checks pass.
    #[serde(default)]
    services: Vec<String>,
    /// Own question: a key of the key-value store.
    query: Option<String>,
    /// What must be true of the servers; without it Probity does not guess.
    #[serde(default)]
    expect: ConsulExpect,
    /// From where on they count as degraded.
    #[serde(default)]
    degraded: ConsulDegraded,
}

/// What must be true of Consul's servers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulExpect {
    /// Servers that must be there.
    #[schemars(range(min = 1))]
    min_servers: Option<usize>,
    /// What the value of the key in `query` must be.
    value: Option<Value>,
    /// How many keys `query` must find: 0 or 1.
    rows: Option<u64>,
}

/// Limits above which Consul is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulDegraded {
    /// How long ago a server may have heard of the leader.
    last_contact: Span,
}

impl Default for ConsulDegraded {
    fn default() -> Self {
        Self { last_contact: Span::seconds(5) }
    }
}

/// Asks a Consul agent.
pub struct Consul {
    target: Target,
    token: Option<Secret>,
    datacenter: Option<String>,
    services: Vec<String>,
    question: Option<Question>,
    expect: ConsulExpect,
    degraded: ConsulDegraded,
}

/// A kept-alive connection and what was learned on it.
pub struct ConsulSession {
    api: Api,
    /// The agent's node, once it was told.
    node: Option<String>,
    /// What an empty list means; not known before there was a leader.
    rights: Option<Rights>,
}

/// Who we are to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// There are no ACLs, or it knows our token: an empty list is empty.
    Known,
    /// We have no token, and it has ACLs: an empty list may mean anything.
    Anonymous,
}

impl Backend for Consul {
    type Config = ConsulConfig;
    type Session = ConsulSession;

    const KIND: &'static str = "consul";
    const EXAMPLE: &'static str = r#"backend = "consul"
url = "http://localhost:8500"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_millis(250);

    fn build(config: ConsulConfig) -> Result<Self, ConfigError> {
        let ConsulConfig { url, token, tls, services, query, mut expect, degraded } = config;
        url.expect(&["http", "https"], &["dc"]).map_err(ConfigError::at("url"))?;
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        if services.iter().any(|name| name.trim().is_empty()) {
            return Err(ConfigError::new("services", "the name of a service is empty"));
        }
        let target = api::target(&url, 8500, 8501, tls)?;
        let datacenter = url.parameters().last().map(|(_, datacenter)| datacenter);
        Ok(Self { target, token, datacenter, services, question, expect, degraded })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<ConsulSession, Failure> {
        let mut headers = Headers::of(&self.target, run)?;
        if let Some(token) = &self.token {
            headers = headers.with_secret(HeaderName::from_static("x-consul-token"), &run.secret(token).await?)?;
        }
        let api = Api::open(run, &self.target, headers).await?;
        let mut session = ConsulSession { api, node: None, rights: None };
        // No leader is no reason to hang up: the question says it.
        if self.leader(&mut session, run).await?.is_some() {
            self.show_token(&mut session, run).await?;
        }
        Ok(session)
    }

    async fn ask(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let leader = self.leader(session, run).await?.ok_or_else(no_leader)?;
        run.fact("leader_address", leader);
        if self.token.is_some() || session.rights.is_none() {
            self.show_token(session, run).await?;
        }
        let Some(question) = &self.question else { return Ok(()) };
        let path = self.path(&format!("/v1/kv/{}?raw", key(question.text())));
        let answer = match self.answer(session, &path, run).await? {
            reply if reply.status == StatusCode::NOT_FOUND => Answer::default(),
            reply => Answer { value: Some(accepted(reply)?.text()), rows: 1 },
        };
        question.judge(&answer, run);
        Ok(())
    }

    async fn examine(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        if session.node.is_none()
            && let Some(agent) = self.document::<Agent>("agent/self", "/v1/agent/self", session, run).await?
        {
            session.node = Some(agent.config.node);
            run.fact("version", agent.config.version);
            run.fact("datacenter", agent.config.datacenter);
            run.fact("mode", if agent.config.is_server { "server" } else { "client" });
        }
        self.examine_servers(session, run).await?;
        self.examine_checks(session, run).await?;
        for service in &self.services {
            self.examine_service(service, session, run).await?;
        }
        Ok(())
    }

    async fn roundtrip(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let (key, nonce) = (format!("probity/canary/{}", run.canary()), run.nonce());
        let steps = json!([
            { "KV": { "Verb": "set", "Key": key, "Value": BASE64_STANDARD.encode(&nonce) } },
            { "KV": { "Verb": "get", "Key": key } },
            { "KV": { "Verb": "delete", "Key": key } },
        ]);
        let path = self.path("/v1/txn");
        let reply = session.api.try_send(Method::PUT, &path, steps.to_string().into(), run).await?;
        let reply = self.unless_silent(reply, session, run).await?;
        let done: Transaction =
            if reply.status == StatusCode::CONFLICT { reply.document()? } else { accepted(reply)?.document()? };
        if let Some(error) = done.errors.into_iter().flatten().next() {
            return Err(refused(StatusCode::CONFLICT, &error.what));
        }
        let read = done.results.into_iter().flatten().find_map(|result| result.kv.value);
        run.compare(&BASE64_STANDARD.encode(&nonce), read.as_deref());
        Ok(())
    }

    async fn close(&self, session: ConsulSession) {
        session.api.close().await;
    }
}

/// What became of a transaction: its results, or what was wrong with it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction {
    results: Option<Vec<StepResult>>,
    errors: Option<Vec<StepError>>,
}

#[derive(Deserialize)]
struct StepResult {
    #[serde(rename = "KV")]
    kv: StepValue,
}

/// Without a value where the step wrote one.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepValue {
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepError {
    what: String,
}

/// What an agent says of itself; there is more in it that nobody should see.
#[derive(Deserialize)]
struct Agent {
    #[serde(rename = "Config")]
    config: AgentConfig,
}

#[derive(Deserialize)]
struct AgentConfig {
    #[serde(rename = "NodeName")]
    node: String,
    #[serde(rename = "Datacenter")]
    datacenter: String,
    #[serde(rename = "Server")]
    is_server: bool,
    #[serde(rename = "Version")]
    version: String,
}

/// What the servers think of each other.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Autopilot {
    healthy: bool,
    failure_tolerance: i64,
    #[serde(default)]
    servers: Vec<Peer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Peer {
    healthy: bool,
    voter: bool,
}

/// A check, of a node or of a service.
#[derive(Deserialize)]
struct Check {
    #[serde(rename = "Node")]
    node: String,
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "Status")]
    status: String,
}

/// An instance of a service.
#[derive(Deserialize)]
struct Instance {
    #[serde(rename = "Checks")]
    checks: Vec<Check>,
}

impl Consul {
    /// A path with the datacenter that is asked for.
    fn path(&self, path: &str) -> String {
        let Some(datacenter) = &self.datacenter else { return path.to_owned() };
        let joint = if path.contains('?') { '&' } else { '?' };
        format!("{path}{joint}dc={}", byte_serialize(datacenter.as_bytes()).collect::<String>())
    }

    /// The address of the leader; none when there is none, which the server says with status 200.
    async fn leader(&self, session: &mut ConsulSession, run: &mut Run) -> Result<Option<String>, Failure> {
        let reply = accepted(session.api.get(&self.path("/v1/status/leader"), run).await?)?;
        let leader = json::read::<String>(&reply.body, |_| {
            Failure::new(FailureKind::Protocol, "the peer speaks HTTP, but is not Consul")
        })?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }

    /// Shows the token: the question for the leader takes any. Who has just been elected knows none for a moment, and
    /// answers consistently only from then on; so a token is unknown when such an answer says so, too.
    async fn show_token(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let unknown = |failure: &Failure| failure.server_message.as_deref().is_some_and(|words| words.contains(NOT_FOUND));
        let reply = self.answer(session, &self.path("/v1/acl/token/self"), run).await?;
        let unused = reply.status == StatusCode::UNAUTHORIZED && reply.text().contains("ACL support disabled");
        session.rights = match accepted(reply) {
            Ok(_) => Some(Rights::Known),
            Err(_) if unused => Some(Rights::Known),
            Err(failure) if unknown(&failure) && self.token.is_none() => Some(Rights::Anonymous),
            Err(failure) if unknown(&failure) => {
                let reply = session.api.try_get(&self.path("/v1/acl/token/self?consistent"), run).await?;
                accepted(reply.ok_or_else(|| Failure::server("leader_not_ready", ""))?)?;
                Some(Rights::Known)
            }
            Err(failure) => return Err(failure),
        };
        Ok(())
    }

    /// The answer to a question that takes a leader. Silence means that there may be none any more.
    async fn answer(&self, session: &mut ConsulSession, path: &str, run: &mut Run) -> Result<Reply, Failure> {
        let reply = session.api.try_get(path, run).await?;
        self.unless_silent(reply, session, run).await
    }

    async fn unless_silent(&self, reply: Option<Reply>, session: &mut ConsulSession, run: &mut Run) -> Result<Reply, Failure> {
        if let Some(reply) = reply {
            return Ok(reply);
        }
        match self.leader(session, run).await? {
            None => Err(no_leader()),
            Some(_) => Err(Failure::new(FailureKind::Timeout, "the server knows a leader, but does not answer")),
        }
    }

    /// The answer to a deep question. It may be refused; silence while there is a leader is a refusal, too.
    async fn deep(
        &self,
        name: &'static str,
        path: &str,
        session: &mut ConsulSession,
        run: &mut Run,
    ) -> Result<Option<Reply>, Failure> {
        match self.answer(session, &self.path(path), run).await {
            Err(failure) if failure.kind == FailureKind::Timeout => {
                run.missing(name);
                Ok(None)
            }
            reply => run.optional(name, reply.and_then(accepted)),
        }
    }

    async fn document<T: DeserializeOwned>(
        &self,
        name: &'static str,
        path: &str,
        session: &mut ConsulSession,
        run: &mut Run,
    ) -> Result<Option<T>, Failure> {
        self.deep(name, path, session, run).await?.map(|reply| reply.document()).transpose()
    }

    /// A list, and the answer that it came in. One that was cut to what we may see lowers coverage, and so does an
    /// empty one that was given to nobody.
    async fn list<T: DeserializeOwned>(
        &self,
        name: &'static str,
        path: &str,
        session: &mut ConsulSession,
        run: &mut Run,
    ) -> Result<Option<(Reply, Vec<T>)>, Failure> {
        let Some(reply) = self.deep(name, path, session, run).await? else { return Ok(None) };
        let list: Vec<T> = reply.document()?;
        let filtered = reply.header("x-consul-results-filtered-by-acls") == Some("true");
        if filtered || list.is_empty() && session.rights != Some(Rights::Known) {
            run.missing(name);
            return Ok((!list.is_empty()).then_some((reply, list)));
        }
        Ok(Some((reply, list)))
    }

    /// Autopilot says with status 429 that it is not content: no limit of requests was reached.
    async fn examine_servers(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let path = "/v1/operator/autopilot/health";
        if let Some(autopilot) = self.document::<Autopilot>("operator/autopilot/health", path, session, run).await? {
            let voters = autopilot.servers.iter().filter(|server| server.voter).count();
            run.fact("voters", voters);
            run.fact("servers_healthy", autopilot.servers.iter().filter(|server| server.healthy).count());
            run.fact("failure_tolerance", autopilot.failure_tolerance);
            if !autopilot.healthy {
                let ill = autopilot.servers.iter().filter(|server| !server.healthy).count();
                run.finding(Finding::degraded("autopilot_unhealthy", ill));
            }
            // A single server is always well and tolerates nothing.
            if autopilot.failure_tolerance == 0 && (voters > 1 || self.expect.min_servers.is_some_and(|least| least > 1)) {
                run.finding(Finding::degraded("no_failure_tolerance", 0_i64));
            }
        }
        if let Some(peers) = self.document::<Vec<String>>("status/peers", "/v1/status/peers", session, run).await? {
            run.fact("peers", peers.len());
            if let Some(least) = self.expect.min_servers.filter(|least| peers.len() < *least) {
                run.finding(Finding::degraded("servers_missing", peers.len()).against(least));
            }
        }
        Ok(())
    }

    /// What is critical, as a server near by knows it, and how fresh that is.
    async fn examine_checks(&self, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let Some((reply, checks)) =
            self.list::<Check>("health/state/critical", "/v1/health/state/critical?stale", session, run).await?
        else {
            return Ok(());
        };
        let contact =
            reply.header("x-consul-lastcontact").and_then(|millis| millis.parse::<u64>().ok()).map(Duration::from_millis);
        run.fact_if("last_contact_seconds", contact.map(|contact| contact.as_secs_f64()));
        if reply.header("x-consul-knownleader") == Some("false") {
            run.finding(Finding::degraded("stale_agent", "no known leader"));
        } else if let Some(contact) = contact.filter(|contact| *contact > self.degraded.last_contact.0) {
            let limit = self.degraded.last_contact.0.as_secs_f64();
            run.finding(Finding::degraded("stale_agent", contact.as_secs_f64()).against(limit));
        }
        run.fact("nodes_critical", checks.iter().filter(|check| check.id == "serfHealth").count());
        if checks.iter().any(|check| check.id == "_node_maintenance" && Some(&check.node) == session.node.as_ref()) {
            run.finding(Finding::degraded("node_maintenance", true));
        }
        Ok(())
    }

    async fn examine_service(&self, service: &str, session: &mut ConsulSession, run: &mut Run) -> Result<(), Failure> {
        let path = format!("/v1/health/service/{}?stale", key(service));
        let Some((_, instances)) = self.list::<Instance>("health/service", &path, session, run).await? else { return Ok(()) };
        let well =
            |instance: &&Instance| instance.checks.iter().all(|check| check.status == "passing" || check.status == "warning");
        let passing = instances.iter().filter(well).count();
        if passing == 0 {
            let seen = if instances.is_empty() { format!("{service}: not registered") } else { service.to_owned() };
            run.finding(Finding::unhealthy("service_unavailable", seen));
        } else if passing < instances.len() {
            let seen = format!("{service}: {} of {}", instances.len() - passing, instances.len());
            run.finding(Finding::degraded("service_critical", seen));
        }
        Ok(())
    }
}

/// How the answer ends when the token is not one.
const NOT_FOUND: &str = "ACL not found";

fn no_leader() -> Failure {
    Failure::server("no_leader", "")
}

/// A key as part of a path; slashes stay.
fn key(text: &str) -> String {
    text.split('/')
        .map(|part| byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect::<Vec<_>>()
        .join("/")
}

/// An answer that is one. The words of a refusal are its code, because the status is shared by several.
fn accepted(reply: Reply) -> Result<Reply, Failure> {
    let is_verdict = reply.status == StatusCode::TOO_MANY_REQUESTS && reply.document::<Autopilot>().is_ok();
    if reply.status.is_success() || is_verdict {
        return Ok(reply);
    }
    Err(refused(reply.status, &reply.text()))
}

fn refused(status: StatusCode, words: &str) -> Failure {
    let words = words.trim().trim_start_matches("rpc error making call: ").trim_start_matches("rpc error getting client: ");
    // Behind these words it names tokens, nodes and services.
    let public = words.lines().next().unwrap_or_default().split(" with ").next().unwrap_or_default();
    let public = public.split(" lacks ").next().unwrap_or_default();
    Failure::server(format!("{} {public}", status.as_u16()).trim_end(), words)
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Consul",
    summary: "Consul by its HTTP API, through an agent in client or server mode; run against version 1.22. The agent of this machine \
              is the usual target: what it cannot reach, applications here cannot either.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `https://`", privilege: "–" },
        LevelRow { level: "handshake", question: "`/v1/status/leader`; with a leader `/v1/acl/token/self`", privilege: "–; a token that the server knows" },
        LevelRow { level: "query", question: "`/v1/status/leader`, which must name one; with a token `/v1/acl/token/self`; with `query` the key", privilege: "the same; `key:read` for `query`" },
        LevelRow { level: "deep", question: "autopilot, peers, critical checks, the agent itself, `services`", privilege: "`operator:read`, `node:read`, `service:read`, `agent:read`" },
        LevelRow { level: "roundtrip", question: "`probity/canary/…` set, read and deleted in one transaction", privilege: "`key:write` on `probity/canary/`" },
    ],
    facts: &[
        FactRow { name: "version", metric: false, meaning: "Version of the agent." },
        FactRow { name: "datacenter", metric: false, meaning: "Datacenter of the agent." },
        FactRow { name: "mode", metric: false, meaning: "`server` or `client`: what the agent is." },
        FactRow { name: "leader_address", metric: false, meaning: "Address of the leading server." },
        FactRow { name: "peers", metric: true, meaning: "Servers in the quorum." },
        FactRow { name: "voters", metric: true, meaning: "Servers that vote." },
        FactRow { name: "servers_healthy", metric: true, meaning: "Servers that autopilot finds healthy." },
        FactRow { name: "failure_tolerance", metric: true, meaning: "Servers that may fail before the quorum is lost." },
        FactRow { name: "last_contact_seconds", metric: true, meaning: "How long ago the server that answered heard of the leader." },
        FactRow { name: "nodes_critical", metric: true, meaning: "Nodes whose gossip check is critical." },
    ],
    findings: &[
        FindingRow { code: "autopilot_unhealthy", meaning: "Autopilot does not find every server healthy (observed: how many are not): degraded.", remedy: "`consul operator autopilot state` names the server." },
        FindingRow { code: "no_failure_tolerance", meaning: "Of several voters none may fail without the quorum: degraded.", remedy: "Bring the missing server back, or add one." },
        FindingRow { code: "servers_missing", meaning: "There are fewer servers than `expect.min_servers`: degraded.", remedy: "Look for the server that left or was removed." },
        FindingRow { code: "stale_agent", meaning: "The server that answered knows no leader, or last heard of it `degraded.last_contact` ago: degraded.", remedy: "Check the network between the servers, and their load." },
        FindingRow { code: "node_maintenance", meaning: "The agent's node is in maintenance: its services are not offered: degraded.", remedy: "`consul maint -disable` when the work is done." },
        FindingRow { code: "service_unavailable", meaning: "No instance of one of `services` passes its checks, or there is none: unhealthy.", remedy: "`consul health` of the service: look at the output of its checks." },
        FindingRow { code: "service_critical", meaning: "Some instances of one of `services` do not pass their checks: degraded.", remedy: "Look at the output of the checks of those instances." },
    ],
    codes: &[
        CodeRow { code: "no_leader", kind: FailureKind::NotReady, message: "the servers have no leader", remedy: "Bring a majority of the servers up and in touch with each other." },
        CodeRow { code: "500 No cluster leader*", kind: FailureKind::NotReady, message: "the servers have no leader", remedy: "Bring a majority of the servers up and in touch with each other." },
        CodeRow { code: "500 failed to get conn*", kind: FailureKind::NotReady, message: "the server cannot reach the one that it calls the leader", remedy: "An election takes some seconds; if it lasts, look at the network between the servers." },
        CodeRow { code: "500 Raft leader not found*", kind: FailureKind::NotReady, message: "the server cannot reach the one that it calls the leader", remedy: "An election takes some seconds; if it lasts, look at the network between the servers." },
        CodeRow { code: "leader_not_ready", kind: FailureKind::NotReady, message: "the leader does not know its tokens yet", remedy: "It has just been elected; if it lasts, look at the load and the log of that server." },
        CodeRow { code: "500 Not ready to serve consistent reads*", kind: FailureKind::NotReady, message: "the leader does not know its tokens yet", remedy: "It has just been elected; if it lasts, look at the load and the log of that server." },
        CodeRow { code: "500 No known Consul servers*", kind: FailureKind::NotReady, message: "the agent knows no servers", remedy: "Check the agent's `retry_join` and the network to the servers." },
        CodeRow { code: "500 No path to datacenter*", kind: FailureKind::Config, message: "the servers know no such datacenter", remedy: "Correct `?dc=` in the URL." },
        CodeRow { code: "403 ACL system must be bootstrapped*", kind: FailureKind::NotReady, message: "the servers have had no leader yet and know no token", remedy: "Wait for the first leader; a cluster that stays so must be bootstrapped." },
        CodeRow { code: "403 ACL not found*", kind: FailureKind::Auth, message: "the servers do not know the token", remedy: "" },
        CodeRow { code: "403 token does not exist*", kind: FailureKind::Auth, message: "the servers do not know the token", remedy: "" },
        CodeRow { code: "403 Permission denied: anonymous*", kind: FailureKind::Permission, message: "this takes a token, and none is configured", remedy: "Set `token`." },
        CodeRow { code: "403*", kind: FailureKind::Permission, message: "the token may not do this", remedy: "" },
        CodeRow { code: "401*", kind: FailureKind::Auth, message: "something in between wants a log-in", remedy: "" },
        CodeRow { code: "400 Client sent an HTTP request to an HTTPS server*", kind: FailureKind::Tls, message: "the port expects TLS", remedy: "Write `https://` in the URL." },
        CodeRow { code: "400*", kind: FailureKind::Config, message: "the agent does not understand the request", remedy: "" },
        CodeRow { code: "404*", kind: FailureKind::Config, message: "the peer has no such page: it may not be Consul", remedy: "" },
        CodeRow { code: "409 Permission denied*", kind: FailureKind::Permission, message: "the token may not write the canary", remedy: "Grant `key:write` on `probity/canary/`." },
        CodeRow { code: "429*", kind: FailureKind::Overload, message: "the agent limits requests, and the limit is reached", remedy: "" },
        CodeRow { code: "502*", kind: FailureKind::NotReady, message: "what stands before the agent cannot reach it", remedy: "" },
        CodeRow { code: "503*", kind: FailureKind::NotReady, message: "the agent is not ready", remedy: "" },
        CodeRow { code: "504*", kind: FailureKind::Timeout, message: "what stands before the agent waited in vain for it", remedy: "" },
    ],
    unsupported: &[
        "Namespaces and partitions of Consul Enterprise.",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parts_of_paths() {
        assert_eq!(key("app/über uns?"), "app/%C3%BCber%20uns%3F");
    }
}
