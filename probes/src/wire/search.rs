//! Elasticsearch and OpenSearch where they are truly alike: the questions, by HTTP on one kept-alive connection.
//!
//! `_cluster/health` is green while nothing can be written and while searches are refused, so it is never believed
//! alone: the blocks are asked with it, and both of the node itself (`local=true`), which answers at once even without
//! a master. Every question that may reach the master carries `timeout` and `master_timeout`: their default of 30
//! seconds is longer than any run.
//!
//! Which product it is, and who logs in how, each of the two backends knows for itself.

mod documents;
pub(crate) mod rows;
mod rules;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use url::form_urlencoded::byte_serialize;

use crate::{
    address::Address,
    backend::ConfigError,
    failure::{Failure, FailureKind},
    finding::Finding,
    question::{Answer, Question},
    run::Run,
    tls::TlsConfig,
    wire::{
        api::{self, Api, Headers},
        dial::Target,
        http::Reply,
    },
};

use documents::{Blocks, Document, Health, Master, Nodes, Refusal, Search, State};
pub(crate) use documents::{Front, Product};
pub use rules::{SearchDegraded, SearchExpect, SearchHold};

/// The index of the round trip. Who wants one makes it: an index that a write would make is made as the server likes.
const CANARY: &str = "/probity-canary/_doc";

/// What both backends take of a catalog entry.
pub(crate) struct Settings {
    pub(crate) url: Address,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) indices: Vec<String>,
    pub(crate) query: Option<String>,
    pub(crate) expect: SearchExpect,
    pub(crate) hold: SearchHold,
    pub(crate) degraded: SearchDegraded,
}

/// Asks a cluster, by one of its nodes.
pub(crate) struct Cluster {
    target: Target,
    /// What stands before every path, where a proxy wants that.
    prefix: String,
    /// The indices of the application, as they stand in a path; empty when none is named.
    indices: String,
    /// The same with the index of the own question.
    named: String,
    question: Option<Question>,
    expect: SearchExpect,
    hold: SearchHold,
    degraded: SearchDegraded,
    /// What a node had refused when it was last asked.
    before: Mutex<Option<Counters>>,
}

/// A kept-alive connection.
pub(crate) struct ClusterSession {
    api: Api,
}

/// What a node has refused since it started.
#[derive(Clone, PartialEq, Eq)]
struct Counters {
    node: String,
    tripped: u64,
    rejected: u64,
}

impl Cluster {
    pub(crate) fn new(settings: Settings) -> Result<Self, ConfigError> {
        let Settings { url, tls, indices, query, mut expect, hold, degraded } = settings;
        url.expect(&["http", "https"], &[]).map_err(ConfigError::at("url"))?;
        let target = api::target(&url, 9200, 9200, tls)?;
        let prefix = url.url().path().trim_end_matches('/').to_owned();
        let question = Question::of(query, expect.value.take(), None)?;
        let own = question.as_ref().map(Question::text);
        for (key, index) in indices.iter().map(|index| ("indices", index.as_str())).chain(own.map(|index| ("query", index))) {
            if index.trim().is_empty() || index.starts_with('_') || index.contains(['/', ',', ' ', '"', '?', '#']) {
                return Err(ConfigError::new(
                    key,
                    "an index, an alias or a data stream has a name that does not begin with `_` and has none of `/`, `,`, `\"`, `?`, `#` and spaces in it",
                ));
            }
        }
        let named: BTreeSet<&str> = indices.iter().map(String::as_str).chain(own).collect();
        let [indices, named] = [indices.iter().map(String::as_str).collect(), named].map(in_path);
        Ok(Self { target, prefix, indices, named, question, expect, hold, degraded, before: Mutex::default() })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Dials, and asks who answers: none when we may not know. Of several nodes one that has lost the others is passed over.
    pub(crate) async fn open(&self, headers: Headers, run: &mut Run) -> Result<(ClusterSession, Option<Front>), Failure> {
        let mut session = ClusterSession { api: Api::open(run, &self.target, headers).await? };
        let reply = self.send(Method::GET, "/", Bytes::new(), &mut session, run).await?;
        let refused = refusal(&reply);
        let front = match Front::of(&reply) {
            Some(front) if reply.status.is_success() => front,
            _ if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND => {
                return Err(Failure::server("stranger", ""));
            }
            // The server itself may refuse this alone; what stands before it refuses everything.
            _ if refused.code.as_deref() == Some("403 security_exception") => {
                run.missing("/");
                return Ok((session, None));
            }
            _ => return Err(refused),
        };
        run.fact("version", front.version.number.as_str());
        run.fact("cluster_name", front.cluster_name.as_str());
        let blocks = self.state(&mut session, run).await?;
        match run.optional("_cluster/state", blocks)? {
            Some(blocks) if !blocks.has_master() => Err(no_master()),
            _ => Ok((session, Some(front))),
        }
    }

    /// What the node knows itself, at once: blocks before the colour.
    pub(crate) async fn ask(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let sees_blocks = self.blocks(session, run).await?;
        let health = self.health("/_cluster/health", "local=true", session, run).await;
        let health = run.optional("_cluster/health", health)?;
        if let Some(health) = &health {
            self.judge_health(health, session, run).await?;
        }
        if let Some(question) = &self.question {
            let found = self.search(&in_path([question.text()].into()), session, run).await?;
            if rules::is_whole(&found, run) {
                question.judge(&Answer { value: Some(found.hits.total.value.to_string()), rows: 1 }, run);
            }
        } else if !sees_blocks && health.is_none() {
            // Whoever may search, and nothing else, is answered by a search.
            if self.indices.is_empty() {
                return Err(Failure::server("403 security_exception", ""));
            }
            let found = self.search(&self.indices, session, run).await?;
            rules::is_whole(&found, run);
        }
        Ok(())
    }

    /// What the master says, what the node had to refuse, and a search of the application's indices.
    pub(crate) async fn examine(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let path = self.path(&format!("/_cluster/health?{}", limits(run)));
        match session.api.try_get(&path, run).await? {
            None => run.finding(Finding::when(self.expect.writable, "master_silent", true)),
            Some(reply) => {
                let health = run.optional("_cluster/health", health_of(&reply))?;
                if let Some(health) = health {
                    if health.timed_out {
                        run.finding(Finding::degraded("health_timed_out", true));
                    }
                    self.judge_health(&health, session, run).await?;
                }
                self.examine_master(session, run).await?;
            }
        }
        self.examine_node(session, run).await?;
        if self.indices.is_empty() { Ok(()) } else { self.examine_indices(session, run).await }
    }

    /// Writes, reads and removes a document of our own, in an index that must be there.
    pub(crate) async fn roundtrip(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let (path, nonce) = (format!("{CANARY}/{}", run.canary()), run.nonce());
        // A write would make the index; a look does not.
        let before = self.send(Method::GET, &path, Bytes::new(), session, run).await?;
        document(&before)?;
        let timed = format!("{path}?timeout={}", limit(run));
        let body = Bytes::from(format!("{{\"nonce\":\"{nonce}\"}}"));
        accepted(self.send(Method::PUT, &timed, body, session, run).await?)?;
        let read = self.send(Method::GET, &path, Bytes::new(), session, run).await?;
        let read = document(&read)?.source.and_then(|source| source.nonce);
        run.compare(&nonce, read.as_deref());
        let removed = self.send(Method::DELETE, &timed, Bytes::new(), session, run).await?;
        document(&removed).map(drop)
    }

    /// The master's name.
    async fn examine_master(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let path = format!("/_cat/master?format=json&h=node&master_timeout={}", limit(run));
        if let Some(reply) = self.deep("_cat/master", &path, session, run).await? {
            let masters: Vec<Master> = reply.document()?;
            run.fact_if("master_node", masters.into_iter().next().map(|master| master.node));
        }
        Ok(())
    }

    /// Breakers and pools of the node; what they count says something only from one time to the next.
    async fn examine_node(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let path = format!(
            "/_nodes/_local/stats/breaker,thread_pool?timeout={}&filter_path=nodes.*.breakers.*.tripped,\
             nodes.*.breakers.parent.*_in_bytes,nodes.*.thread_pool.*.rejected",
            limit(run)
        );
        let Some(reply) = self.deep("_nodes/stats", &path, session, run).await? else { return Ok(()) };
        let Some((node, stats)) = reply.document::<Nodes>()?.nodes.into_iter().next() else { return Ok(()) };
        let now = Counters {
            node,
            tripped: stats.breakers.values().map(|breaker| breaker.tripped).sum(),
            rejected: stats.thread_pool.values().map(|pool| pool.rejected).sum(),
        };
        run.fact("breaker_tripped_total", now.tripped);
        run.fact("rejected_total", now.rejected);
        if let Some(parent) = stats.breakers.get("parent").filter(|parent| parent.is_open()) {
            run.finding(Finding::degraded("breaker_open", parent.estimated).against(parent.limit));
        }
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).replace(now.clone());
        if let Some(before) = before.filter(|before| before.node == now.node) {
            let news = now.tripped.saturating_sub(before.tripped) + now.rejected.saturating_sub(before.rejected);
            if news > 0 {
                run.finding(Finding::degraded("rejections", news));
            }
        }
        Ok(())
    }

    /// The only reads that meet breakers and full queues.
    async fn examine_indices(&self, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        let path = self.path(&search_path(&self.indices, run));
        let found = match session.api.try_get(&path, run).await? {
            None => {
                run.finding(Finding::degraded("unanswered", "_search"));
                return Ok(());
            }
            Some(reply) => accepted(reply).and_then(|reply| reply.document::<Search>()),
        };
        match found {
            Ok(found) if found.shards.total == 0 => Err(nothing_there()),
            Ok(found) => {
                rules::is_whole(&found, run);
                Ok(())
            }
            Err(mut failure) => {
                run.manual.explain(&mut failure);
                let code = failure.code.clone().unwrap_or_default();
                match failure.kind {
                    FailureKind::Overload => run.finding(Finding::degraded("rejections", code)),
                    FailureKind::NotReady => run.finding(Finding::unhealthy("search_failing", code)),
                    FailureKind::Permission => run.missing("_search"),
                    _ => return Err(failure),
                }
                Ok(())
            }
        }
    }

    async fn judge_health(&self, health: &Health, session: &mut ClusterSession, run: &mut Run) -> Result<(), Failure> {
        health.note(run);
        if health.discovered_master == Some(false) {
            return Err(no_master());
        }
        let mut is_ours = true;
        if health.status == documents::Colour::Red && !self.named.is_empty() {
            is_ours = self.ours(session, run).await?.is_none_or(|ours| ours.has_red_index());
        }
        self.judge_colour(health, is_ours, run);
        self.judge_counts(health, run);
        Ok(())
    }

    /// The answer to a deep question, which may be refused, for want of rights or of memory, or not come in its time.
    async fn deep(
        &self,
        name: &'static str,
        path: &str,
        session: &mut ClusterSession,
        run: &mut Run,
    ) -> Result<Option<Reply>, Failure> {
        let Some(reply) = session.api.try_get(&self.path(path), run).await? else {
            run.finding(Finding::degraded("unanswered", name));
            return Ok(None);
        };
        match run.optional(name, accepted(reply)) {
            Err(failure) if failure.kind == FailureKind::Overload => {
                run.finding(Finding::degraded("rejections", failure.code.unwrap_or_default()));
                Ok(None)
            }
            answer => answer,
        }
    }

    /// Judges the blocks; false when we may not see them.
    async fn blocks(&self, session: &mut ClusterSession, run: &mut Run) -> Result<bool, Failure> {
        let blocks = self.state(session, run).await?;
        let Some(mut blocks) = run.optional("_cluster/state", blocks)? else { return Ok(false) };
        if !blocks.indices.is_empty() && !self.named.is_empty() {
            // The server names all of them, whichever are asked for, and none by an alias.
            let ours = self.ours(session, run).await?;
            blocks.indices.retain(|index, _| ours.as_ref().is_some_and(|ours| ours.knows(index)));
        }
        self.judge_blocks(&blocks, run)?;
        Ok(true)
    }

    /// The blocks that the node knows of, which may be refused.
    async fn state(&self, session: &mut ClusterSession, run: &mut Run) -> Result<Result<Blocks, Failure>, Failure> {
        let path = format!(
            "/_cluster/state/blocks?local=true&master_timeout={}&filter_path=blocks.global.*.retryable,blocks.indices.*.*.retryable",
            limit(run)
        );
        let reply = self.send(Method::GET, &path, Bytes::new(), session, run).await?;
        Ok(accepted(reply).and_then(|reply| reply.document::<State>()).map(|state| state.blocks))
    }

    /// The health of each index that the entry names, by whatever name; none when we may not see it.
    async fn ours(&self, session: &mut ClusterSession, run: &mut Run) -> Result<Option<Health>, Failure> {
        // An index that is not there would be waited for.
        let path = format!("/_cluster/health/{}", self.named);
        let ours = self.health(&path, "local=true&level=indices&timeout=0s", session, run).await;
        run.optional("_cluster/health", ours)
    }

    async fn health(&self, path: &str, how: &str, session: &mut ClusterSession, run: &mut Run) -> Result<Health, Failure> {
        let path = format!("{path}?{how}&master_timeout={}", limit(run));
        health_of(&self.send(Method::GET, &path, Bytes::new(), session, run).await?)
    }

    async fn search(&self, indices: &str, session: &mut ClusterSession, run: &mut Run) -> Result<Search, Failure> {
        let path = search_path(indices, run);
        let found: Search = accepted(self.send(Method::GET, &path, Bytes::new(), session, run).await?)?.document()?;
        if found.shards.total == 0 { Err(nothing_there()) } else { Ok(found) }
    }

    /// Asks for a page that may not be there, and whose answer may not come.
    #[cfg(feature = "opensearch")]
    pub(crate) async fn look(&self, path: &str, session: &mut ClusterSession, run: &mut Run) -> Result<Option<Reply>, Failure> {
        session.api.try_get(&self.path(path), run).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        session: &mut ClusterSession,
        run: &mut Run,
    ) -> Result<Reply, Failure> {
        session.api.send(method, &self.path(path), body, run).await
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl ClusterSession {
    /// Ends in order.
    pub(crate) async fn close(self) {
        self.api.close().await;
    }
}

/// A limit for the server, below ours, so that it gives up first and says why.
fn limit(run: &Run) -> String {
    format!("{}ms", run.question_limit().mul_f64(0.9).as_millis().max(1))
}

fn limits(run: &Run) -> String {
    let limit = limit(run);
    format!("timeout={limit}&master_timeout={limit}")
}

fn search_path(indices: &str, run: &Run) -> String {
    format!("/{indices}/_search?size=0&track_total_hits=true&timeout={}", limit(run))
}

/// Names as one part of a path.
fn in_path(names: BTreeSet<&str>) -> String {
    let encode = |name: &str| byte_serialize(name.as_bytes()).collect::<String>().replace("%2A", "*");
    names.into_iter().map(encode).collect::<Vec<_>>().join(",")
}

fn no_master() -> Failure {
    Failure::server("no_master", "")
}

/// A pattern that nothing matches is no error to the server.
fn nothing_there() -> Failure {
    Failure::server("404 index_not_found_exception", "no index matches")
}

/// A health that was not as good as wanted comes with status 408.
fn health_of(reply: &Reply) -> Result<Health, Failure> {
    if reply.status == StatusCode::REQUEST_TIMEOUT || reply.status.is_success() { reply.document() } else { Err(refusal(reply)) }
}

/// A document, or that there is none, which comes with status 404 like an index that is not there.
fn document(reply: &Reply) -> Result<Document, Failure> {
    let missing = reply.status == StatusCode::NOT_FOUND;
    match reply.document::<Document>() {
        Ok(document) if reply.status.is_success() || missing => Ok(document),
        _ => Err(refusal(reply)),
    }
}

fn accepted(reply: Reply) -> Result<Reply, Failure> {
    if reply.status.is_success() { Ok(reply) } else { Err(refusal(&reply)) }
}

/// What the server calls the error, behind the status, which decides where one name has two meanings. The block is
/// part of the name, because it alone tells a full disk from a setting.
fn refusal(reply: &Reply) -> Failure {
    let status = reply.status.as_u16();
    let is_plain = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
    match reply.document::<Refusal>() {
        Ok(refusal) => {
            let (name, words) = refusal.name_and_words();
            Failure::server(format!("{status} {name}").trim_end(), words)
        }
        Err(_) if reply.expects_tls() => Failure::server(format!("{status} tls"), ""),
        Err(_) if is_plain => {
            let text = reply.text();
            let line = text.lines().next().unwrap_or_default();
            Failure::server(format!("{status} {line}").trim_end(), text)
        }
        Err(_) => Failure::server(status.to_string(), ""),
    }
}
