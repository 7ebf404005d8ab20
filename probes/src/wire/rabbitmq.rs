//! `RabbitMQ`'s management API, as far as a probe asks it.
//!
//! Health checks answer 200 or 503 with a reason; releases that lack one answer 404.
//! Reference: <https://www.rabbitmq.com/docs/http-api-reference>.

use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    failure::Failure,
    run::Run,
    wire::{
        api::{Api, Headers},
        dial::Target,
    },
};

/// A connection to the management API.
pub(crate) struct Management(Api);

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
        let mut headers = Headers::of(target, run)?;
        if let Some((user, password)) = login {
            headers = headers.with_basic(user, password, run)?;
        }
        Ok(Self(Api::open_beside(run, target, headers).await?))
    }

    /// Asks a health check.
    pub(crate) async fn check(&mut self, name: &str, run: &mut Run) -> Result<Check, Failure> {
        let reply = self.0.get(&format!("/api/health/checks/{name}"), run).await?;
        match reply.status {
            StatusCode::OK => Ok(Check::Passed),
            StatusCode::SERVICE_UNAVAILABLE => Ok(Check::Failed(reply.document().unwrap_or_default())),
            StatusCode::NOT_FOUND => Ok(Check::Unknown),
            _ => Err(Failure::server(reply.status_code(), "")),
        }
    }

    /// Asks for a document.
    pub(crate) async fn document<T: DeserializeOwned>(&mut self, path: &str, run: &mut Run) -> Result<T, Failure> {
        let reply = self.0.get(path, run).await?;
        if reply.status == StatusCode::OK { reply.document() } else { Err(Failure::server(reply.status_code(), "")) }
    }

    pub(crate) async fn close(self) {
        self.0.close().await;
    }
}
