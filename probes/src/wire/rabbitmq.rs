//! `RabbitMQ`'s management API, as far as a probe asks it.
//!
//! Health checks answer 200 or 503 with a reason; releases that lack one answer 404.
//! Reference: <https://www.rabbitmq.com/docs/http-api-reference>.

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, FailureKind},
    run::Run,
    wire::{dial::Target, http::HttpConnection},
};

/// Most bytes of an answer; a node of a list has about a hundred.
const ANSWER_LIMIT: usize = 1 << 20;

/// A connection to the management API.
pub(crate) struct Management {
    connection: HttpConnection,
    host: HeaderValue,
    login: Option<HeaderValue>,
}

/// What a health check says.
#[derive(Debug)]
pub(crate) enum Check {
    Passed,
    Failed(Reason),
    /// This release does not have it, or does not tell us.
    Unknown,
}

/// Why a health check failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reason {
    pub(crate) alarms: Vec<Alarm>,
    #[serde(rename = "virtual-hosts")]
    pub(crate) vhosts: Vec<String>,
    #[serde(rename = "reason")]
    pub(crate) words: String,
}

/// An alarm of a node.
#[derive(Debug, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) resource: String,
}

/// What the cluster says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Overview {
    pub(crate) node: Option<String>,
    pub(crate) erlang_version: Option<String>,
}

/// What is known of a node. Without the tag `monitoring` it is less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) running: bool,
    pub(crate) partitions: Vec<String>,
    pub(crate) fd_used: Option<u64>,
    pub(crate) fd_total: Option<u64>,
    pub(crate) sockets_used: Option<u64>,
    pub(crate) sockets_total: Option<u64>,
}

impl Management {
    /// Dials; who logs in is said with every request.
    pub(crate) async fn open(run: &mut Run, target: &Target, login: Option<(&str, &str)>) -> Result<Self, Failure> {
        let unusable = |_| Failure::new(FailureKind::Config, "host, user or password cannot be sent in a header");
        let login = login
            .map(|(user, password)| {
                let pair = Zeroizing::new(format!("{user}:{password}"));
                let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))?;
                value.set_sensitive(true);
                Ok::<_, header::InvalidHeaderValue>(value)
            })
            .transpose()
            .map_err(unusable)?;
        let host = HeaderValue::try_from(run.endpoint(target).to_string()).map_err(unusable)?;
        Ok(Self { connection: HttpConnection::open(run, target).await?, host, login })
    }

    /// Asks a health check.
    pub(crate) async fn check(&mut self, name: &str) -> Result<Check, Failure> {
        let (status, body) = self.get(&format!("/api/health/checks/{name}")).await?;
        match status {
            200 => Ok(Check::Passed),
            503 => Ok(Check::Failed(serde_json::from_slice(&body).unwrap_or_default())),
            404 => Ok(Check::Unknown),
            _ => Err(Failure::server(format!("HTTP {status}"), "")),
        }
    }

    /// Asks for a document.
    pub(crate) async fn document<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        match self.get(path).await? {
            (200, body) => serde_json::from_slice(&body)
                .map_err(|_| Failure::new(FailureKind::Protocol, "the management API's answer is not understood")),
            (status, _) => Err(Failure::server(format!("HTTP {status}"), "")),
        }
    }

    async fn get(&mut self, path: &str) -> Result<(u16, Bytes), Failure> {
        let mut request = Request::get(path)
            .header(header::HOST, &self.host)
            .header(header::USER_AGENT, concat!("probity/", env!("CARGO_PKG_VERSION")));
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let request = request.body(Full::default());
        let request = request.map_err(|_| Failure::new(FailureKind::Unexpected, "no request can be made"))?;
        let reply = self.connection.send(request, ANSWER_LIMIT).await?;
        Ok((reply.status.as_u16(), reply.body))
    }

    pub(crate) async fn close(self) {
        self.connection.close().await;
    }
}
