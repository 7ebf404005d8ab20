//! OpenSearch by its HTTP API: who answers, its security plugin, then the questions that it shares with Elasticsearch
//! ([`crate::wire::search`]).
//!
//! In compatibility mode it calls itself version 7.10.2 and drops the word that names the product; what is left then is
//! its motto.

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

/// An OpenSearch cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpensearchConfig {
    /// `http://[user@]host[:9200][,host…]` or `https://…`: of several nodes the first that opens, and has a master, is asked. A
    /// path, where a proxy wants one.
    url: Address,
    /// User name, unless the URL has it.
    username: Option<String>,
    /// Password, unless the URL has it.
    password: Option<Secret>,
    /// Bearer token, such as a JSON web token; instead of user and password.
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

/// Asks an OpenSearch cluster.
pub struct Opensearch {
    cluster: Cluster,
    credentials: Credentials,
    token: Option<Secret>,
}

/// A kept-alive connection.
pub struct OpensearchSession(ClusterSession);

impl Backend for Opensearch {
    type Config = OpensearchConfig;
    type Session = OpensearchSession;

    const KIND: &'static str = "opensearch";
    const EXAMPLE: &'static str = r#"backend = "opensearch"
url = "http://localhost:9200"
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const ROUNDTRIP: bool = true;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: OpensearchConfig) -> Result<Self, ConfigError> {
        let OpensearchConfig { url, username, password, token, tls, indices, query, expect, hold, degraded } = config;
        let credentials = url.credentials(username, password)?;
        if token.is_some() && (credentials.user.is_some() || credentials.password.is_some()) {
            return Err(ConfigError::new("token", "one way to log in is enough: user and password, or `token`"));
        }
        let cluster = Cluster::new(Settings { url, tls, indices, query, expect, hold, degraded })?;
        Ok(Self { cluster, credentials, token })
    }

    fn target(&self) -> &Target {
        self.cluster.target()
    }

    async fn open(&self, run: &mut Run) -> Result<OpensearchSession, Failure> {
        let mut headers = Headers::of(self.target(), run)?.with_login(&self.credentials, run).await?;
        if let Some(token) = &self.token {
            headers = headers.with_secret(header::AUTHORIZATION, &format!("Bearer {}", *run.secret(token).await?))?;
        }
        let (session, front) = self.cluster.open(headers, run).await?;
        if let Some(front) = front {
            recognise(&front)?;
            run.fact("distribution", front.version.distribution.as_deref().unwrap_or("opensearch, in compatibility mode"));
        }
        Ok(OpensearchSession(session))
    }

    async fn ask(&self, session: &mut OpensearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.ask(&mut session.0, run).await
    }

    async fn examine(&self, session: &mut OpensearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.examine(&mut session.0, run).await?;
        // Whoever has no such plugin has no such page.
        let reply = self.cluster.look("/_plugins/_security/health", &mut session.0, run).await?;
        run.fact_if("security_status", reply.and_then(|reply| reply.document::<Security>().ok()).map(|security| security.status));
        Ok(())
    }

    async fn roundtrip(&self, session: &mut OpensearchSession, run: &mut Run) -> Result<(), Failure> {
        self.cluster.roundtrip(&mut session.0, run).await
    }

    async fn close(&self, session: OpensearchSession) {
        session.0.close().await;
    }
}

/// What the security plugin says of itself, to anybody.
#[derive(Deserialize)]
struct Security {
    status: String,
}

fn recognise(front: &Front) -> Result<(), Failure> {
    match front.product() {
        Some(Product::Opensearch) => Ok(()),
        Some(Product::Elasticsearch) => Err(Failure::server("elasticsearch", "")),
        None => Err(Failure::server("stranger", "")),
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "OpenSearch",
    summary: "OpenSearch by its HTTP API, through one of its nodes or what stands before them, compatibility mode included; run against \
              version 2.19. Elasticsearch has an entry of its own.",
    levels: rows::LEVELS,
    facts: rows::facts![
        FactRow { name: "distribution", metric: false, meaning: "What the server calls itself." },
        FactRow { name: "security_status", metric: false, meaning: "What the security plugin says of itself, where there is one." },
    ],
    findings: rows::FINDINGS,
    codes: rows::codes![
        CodeRow { code: "stranger", kind: FailureKind::Protocol, message: "the peer speaks HTTP, but does not answer like OpenSearch", remedy: "" },
        CodeRow { code: "elasticsearch", kind: FailureKind::Config, message: "the server is Elasticsearch, not OpenSearch", remedy: "Write `backend = \"elasticsearch\"`." },
        CodeRow { code: "503 OpenSearch Security not initialized.", kind: FailureKind::NotReady, message: "the security plugin has not been set up yet", remedy: "It takes some seconds after a start; if it lasts, run `securityadmin.sh`." },
        CodeRow { code: "503 cluster_manager_not_discovered_exception", kind: FailureKind::NotReady, message: "the cluster has no cluster manager", remedy: "Bring a majority of the nodes that may be cluster manager up and in touch with each other." },
        CodeRow { code: "429 rejected_execution_exception", kind: FailureKind::Overload, message: "a queue of the server is full", remedy: "Ask less, or in smaller requests; look at `_nodes/stats/thread_pool`." },
    ],
    unsupported: &[
        "Signatures of AWS (SigV4): a domain there must let a user with a password in.",
        "Sniffing of further nodes: the URL says whom to ask.",
    ],
};
