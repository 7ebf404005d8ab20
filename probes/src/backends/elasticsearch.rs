//! Elasticsearch by its HTTP API: who answers, then the questions that it shares with OpenSearch ([`crate::wire::search`]).
//!
//! Every answer of the real product says so in a header; before 7.14 only the words of `/` did. Elasticsearch's own
//! clients refuse OpenSearch, and so does this: the two are configured, secured and repaired differently.

use std::time::Duration;

use http::header;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    failure::Failure,
    manual::Manual,
    run::Run,
    secret::Secret,
    tls::TlsConfig,
    wire::{
        api::Headers,
        dial::Target,
        search::{Cluster, ClusterSession, Front, Product, SearchDegraded, SearchExpect, SearchHold, Settings, rows},
        sniff::Protocol,
    },
};

/// An Elasticsearch cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// `http://[user@]host[:9200][,host…]` or `https://…`: of several nodes the first that opens, and has a master, is asked. A
    /// path, where a proxy wants one.
    url: Address,
    /// User name, unless the URL has it.
    username: Option<String>,
    /// Password, unless the URL has it.
    password: Option<Secret>,
    /// API key as the server gave it, encoded; instead of user and password.
    api_key: Option<Secret>,
    /// Token of a service account, or another bearer token; instead of user and password.
    token: Option<Secret>,
    /// Files and names for TLS; needs `https://`.
    tls: Option<TlsConfig>,
    /// Indices, aliases or data streams that the application uses: they must be there, and answer a search.
    #[serde(default)]
    indices: Vec<String>,
    /// Own question: an index, whose documents are counted.
    query: Option<String>,
    /// What must be true of the cluster; without it Probity does not guess.
    #[serde(default)]
    expect: SearchExpect,
    /// How long a colour may last before it counts.
    #[serde(default)]
    hold: SearchHold,
    /// From where on it counts as degraded.
    #[serde(default)]
    degraded: SearchDegraded,
}

/// Asks an Elasticsearch cluster.
pub struct Elasticsearch {
    cluster: Cluster,
    login: Login,
}

enum Login {
    Basic(Credentials),
    ApiKey(Secret),
    Bearer(Secret),
}

/// A kept-alive connection.
pub struct ElasticsearchSession(ClusterSession);

impl Backend for Elasticsearch {
    type Config = ElasticsearchConfig;
    type Session = ElasticsearchSession;

    const KIND: &'static str = "elasticsearch";
    const EXAMPLE: &'static str = r#"backend = "elasticsearch"
url = "http://localhost:9200"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: ElasticsearchConfig) -> Result<Self, ConfigError> {
        let ElasticsearchConfig { url, username, password, api_key, token, tls, indices, query, expect, hold, degraded } = config;
        let credentials = url.credentials(username, password)?;
        let is_named = credentials.user.is_some() || credentials.password.is_some();
        let login = match (api_key, token) {
            (Some(_), _) if is_named => return Err(one_login("api_key")),
            (_, Some(_)) if is_named => return Err(one_login("token")),
            (Some(_), Some(_)) => return Err(one_login("token")),
            (Some(key), None) => Login::ApiKey(key),
            (None, Some(token)) => Login::Bearer(token),
            (None, None) => Login::Basic(credentials),
        };
        let cluster = Cluster::new(Settings { url, tls, indices, query, expect, hold, degraded })?;
        Ok(Self { cluster, login })
    }

    fn target(&self) -> &Target {
        self.cluster.target()
    }

    async fn open(&self, run: &mut Run) -> Result<ElasticsearchSession, Failure> {
        let headers = Headers::of(self.target(), run)?;
        let headers = match &self.login {
            Login::Basic(credentials) => headers.with_login(credentials, run).await?,
            Login::ApiKey(key) => headers.with_secret(header::AUTHORIZATION, &format!("ApiKey {}", *run.secret(key).await?))?,
            Login::Bearer(token) => {
                headers.with_secret(header::AUTHORIZATION, &format!("Bearer {}", *run.secret(token).await?))?
            }
        };
        let (session, front) = self.cluster.open(headers, run).await?;
        front.map_or(Ok(()), |front| recognise(&front))?;
        Ok(ElasticsearchSession(session))
    }

    async fn ask(&self, session: &mut ElasticsearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.ask(&mut session.0, run).await
    }

    async fn examine(&self, session: &mut ElasticsearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.examine(&mut session.0, run).await
    }

    async fn roundtrip(&self, session: &mut ElasticsearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.roundtrip(&mut session.0, run).await
    }

    async fn close(&self, session: ElasticsearchSession) {
        session.0.close().await;
    }
}

fn one_login(key: &str) -> ConfigError {
    ConfigError::new(key, "one way to log in is enough: user and password, `api_key`, or `token`")
}

fn recognise(front: &Front) -> Result<(), Failure> {
    match front.product() {
        Some(Product::Elasticsearch) => Ok(()),
        Some(Product::Opensearch) => Err(Failure::server("opensearch", "")),
        None => Err(Failure::server("stranger", "")),
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "Elasticsearch",
    summary: "Elasticsearch from version 7 on, by its HTTP API, through one of its nodes or what stands before them; run against version \
              7.17. OpenSearch has an entry of its own.",
    levels: rows::LEVELS,
    facts: rows::facts![],
    findings: rows::FINDINGS,
    codes: rows::codes![
        CodeRow { code: "stranger", kind: FailureKind::Protocol, message: "the peer speaks HTTP, but does not answer like Elasticsearch", remedy: "" },
        CodeRow { code: "opensearch", kind: FailureKind::Config, message: "the server is OpenSearch, not Elasticsearch", remedy: "Write `backend = \"opensearch\"`." },
        CodeRow { code: "503 master_not_discovered_exception", kind: FailureKind::NotReady, message: "the cluster has no master", remedy: "Bring a majority of the nodes that may be master up and in touch with each other." },
        CodeRow { code: "429 es_rejected_execution_exception", kind: FailureKind::Overload, message: "a queue of the server is full", remedy: "Ask less, or in smaller requests; look at `_nodes/stats/thread_pool`." },
    ],
    unsupported: &[
        "Cloud IDs: write the address that Elastic Cloud shows beside it.",
        "Fingerprints of a CA: name its file in `tls.ca`.",
        "Sniffing of further nodes: the URL says whom to ask.",
    ],
};
