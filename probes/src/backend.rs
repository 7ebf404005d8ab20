//! What a backend's file provides ([`Backend`]) and what a host of probes sees ([`Probe`]).

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    failure::{Failure, FailureKind},
    manual::Manual,
    run::{Depth, Outcome, Run},
    secret::Secret,
    wire::{dial::Target, guard::Grammar, resolve::Resolver, sniff::Protocol},
};

/// Everything a backend file provides. The frame owns the rest: deadlines, sessions, limits, panics, redaction.
pub trait Backend: Send + Sync + Sized + 'static {
    /// The backend's own part of a catalog entry.
    type Config: DeserializeOwned + JsonSchema;
    /// An open, authenticated conversation.
    type Session: Send;

    /// The word for it in the catalog.
    const KIND: &'static str;
    /// A catalog entry that works as it stands; embedded, documented, tested.
    const EXAMPLE: &'static str;
    /// What is declared once about it.
    const MANUAL: &'static Manual;
    /// What its peers speak, so that others are recognised.
    const SPEAKS: Protocol;
    /// Whether the server speaks first, so that a silent close means that it is full.
    const GREETS: bool = false;
    /// The grammar that its peers are held to before anything of theirs is decoded: how deep values may be nested, how many
    /// there may be, how much work may be asked for. None where what decodes them has limits of its own.
    const GUARD: Option<Grammar> = None;
    /// Whether the server counts connections that end before their log-in, and in the end blocks the machine they
    /// come from: it is never dialled without a log-in, and a failed TLS handshake pauses like rejected credentials.
    const COUNTS_INTERRUPTIONS: bool = false;
    /// How often rejected credentials are tried in a row where a server locks an account for good: after that they are
    /// left alone until one of their files changes.
    const MOST_REJECTIONS: Option<usize> = None;
    /// Whether it can write, read and remove a canary of our own.
    const ROUNDTRIP: bool = false;
    /// The query phase above which it is degraded, unless the catalog says otherwise.
    const LATENCY: Duration;

    /// Checks a configuration and makes a backend of it. Reads no file and opens no connection.
    ///
    /// # Errors
    /// The key at fault and a sentence.
    fn build(config: Self::Config) -> Result<Self, ConfigError>;

    /// Where it is.
    fn target(&self) -> &Target;

    /// Itself where it is now, if the catalog has a name that stands for its addresses; asked before each opening.
    fn locate(&self, _: &mut Run) -> impl Future<Output = Result<Option<Self>, Failure>> + Send {
        async { Ok(None) }
    }

    /// Resolve, connect, tls, auth: from nothing to a session that can be asked.
    fn open(&self, run: &mut Run) -> impl Future<Output = Result<Self::Session, Failure>> + Send;

    /// The cheapest true question.
    fn ask(&self, session: &mut Self::Session, run: &mut Run) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Role, lag, quorum, alarms: notes facts and findings. Refusal for lack of privilege lowers coverage, never status.
    fn examine(&self, session: &mut Self::Session, run: &mut Run) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Writes, reads and removes [`Run::canary`], where [`Backend::ROUNDTRIP`] says so. Refusal is a failure: it was asked for.
    fn roundtrip(&self, _: &mut Self::Session, _: &mut Run) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Err(Failure::new(FailureKind::Unexpected, "the backend says that it makes round trips, and makes none")) }
    }

    /// Ends politely, so that the server's log stays silent.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key at fault, with dots between levels; empty for the entry as a whole.
    pub key: String,
    /// What is wrong, as a sentence that repeats no secret.
    pub message: String,
}

impl ConfigError {
    /// A mistake at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// For `map_err`: a sentence becomes a mistake at `key`.
    pub fn at<M: Into<String>>(key: &'static str) -> impl FnOnce(M) -> Self {
        move |message| Self::new(key, message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.key, self.message) }
    }
}

impl std::error::Error for ConfigError {}

/// Whether sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionPolicy {
    /// One warm session, with fresh checks every `fresh_every`.
    #[default]
    Auto,
    /// Every run opens and closes.
    Fresh,
}

/// How a probe goes about its runs; the same for every backend.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far a run goes.
    pub depth: Depth,
    /// Deep questions are asked at most so often, unless a deep finding stands.
    pub deep_interval: Duration,
    /// A round trip is made at most so often, unless the last one went wrong.
    pub roundtrip_interval: Duration,
    /// Who asks: probes of the same name share their canary.
    pub name: String,
    /// A fresh session is opened at least so often.
    pub fresh_every: Duration,
    /// Whether sessions are kept.
    pub connection: ConnectionPolicy,
    /// Whether partial coverage is degraded.
    pub require_coverage: bool,
    /// The query phase above which it is degraded; `None` for the backend's own.
    pub latency: Option<Duration>,
    /// A certificate that expires sooner is degraded.
    pub certificate: Duration,
    /// Who resolves names.
    pub resolver: Resolver,
    /// Texts that no text of a peer may bring back: parts of a URL that came from the environment, say.
    pub concealed: Vec<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            depth: Depth::Deep,
            deep_interval: Duration::from_mins(1),
            roundtrip_interval: Duration::from_mins(1),
            name: String::new(),
            fresh_every: Duration::from_mins(5),
            connection: ConnectionPolicy::Auto,
            require_coverage: false,
            latency: None,
            certificate: Duration::from_hours(336),
            resolver: Resolver::System,
            concealed: Vec::new(),
        }
    }
}

/// A built dependency, ready to be run: the object-safe face of every [`Backend`].
pub trait Probe: Send + Sync {
    /// The backend's word.
    fn kind(&self) -> &'static str;

    /// What is declared about the backend.
    fn manual(&self) -> &'static Manual;

    /// A run to be handed to [`Probe::attempt`].
    fn prepare(&self, timeout: Duration) -> Run;

    /// Does a run. [`crate::Prober`] is the way to call it: it holds the deadline and catches panics.
    fn attempt(self: Arc<Self>, run: Run) -> BoxFuture<'static, Outcome>;

    /// Completes when the peer of the warm session has closed it, or when a file that the last session was opened from
    /// has changed, appeared or gone.
    fn lost(&self) -> BoxFuture<'static, ()>;

    /// Closes the warm session politely.
    fn close(self: Arc<Self>) -> BoxFuture<'static, ()>;
}
