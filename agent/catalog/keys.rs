//! The catalog's own keys, as written: what every dependency may say besides its backend's part, and
//! what `[agent]` may say. Each sentence here is the manual; each default here is the only one.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize};

use probity_probes::{ConnectionPolicy, Depth, duration::Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{Criticality, Readiness};

/// The `[agent]` table: the agent itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AgentKeys {
    /// Name of this agent in documents; the name of the machine unless given.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) id: Option<String>,
    /// Address and port of every surface. In a pod `"0.0.0.0:8686"`, so that kubelet and Prometheus
    /// reach it. `PROBITY_LISTEN` and `--listen` override it.
    #[schemars(extend("format" = "socket-address"))]
    pub(crate) listen: SocketAddr,
    /// When a required dependency makes the agent not ready.
    pub(crate) readiness: Readiness,
    /// Ready again after having been not ready for so long: a restart of one replica could not have
    /// helped. Off unless given.
    pub(crate) fail_open_after: Option<Span>,
    /// Show a server's own words on every surface, not only in `--check`.
    pub(crate) verbose_errors: bool,
    /// Cap on runs at the same time. Unset, each dependency owns a seat and none waits for another;
    /// a cap is for tiny environments and trades that away.
    pub(crate) max_in_flight: Option<NonZeroUsize>,
    /// Accept passwords that are typed into the catalog. For demonstrations and tests.
    pub(crate) allow_literal_secrets: bool,
    /// Refuse secret files that every user of the machine may read, instead of warning.
    pub(crate) strict_secret_files: bool,
}

impl Default for AgentKeys {
    fn default() -> Self {
        Self {
            id: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8686)),
            readiness: Readiness::default(),
            fail_open_after: None,
            verbose_errors: false,
            max_in_flight: None,
            allow_literal_secrets: false,
            strict_secret_files: false,
        }
    }
}

/// What every dependency may set, and `[defaults]` for all of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CommonKeys {
    /// What its standing means for readiness.
    pub(crate) criticality: Criticality,
    /// From one run to the next: at least 100ms, at most 1day.
    pub(crate) interval: Span,
    /// Of a whole run, at least 10ms. Must be shorter than `interval`.
    pub(crate) timeout: Span,
    /// Consecutive ambiguous failures (a timeout, say) to unhealthy; decisive ones count at once.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) fall: u32,
    /// Consecutive successes back to healthy.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) rise: u32,
    /// How far a run goes; each depth includes the ones before it. A deep question that is refused
    /// lowers coverage, never status. `roundtrip` writes, reads and removes an object of Probity's own,
    /// where the backend has one.
    pub(crate) depth: Depth,
    /// Deep questions are asked at most so often, and at `interval` while a deep finding stands.
    pub(crate) deep_interval: Span,
    /// A round trip (`depth = "roundtrip"`) is made at most so often, and at `interval` while one goes wrong.
    pub(crate) roundtrip_interval: Span,
    /// A fresh session is opened at least so often; at once after a failure or a changed secret or
    /// certificate.
    pub(crate) fresh_every: Span,
    /// Whether a session is kept between runs.
    pub(crate) connection: ConnectionPolicy,
    /// What several hosts in one URL mean to each other.
    pub(crate) targets: Targets,
    /// Partial coverage is degraded.
    pub(crate) require_coverage: bool,
    /// How long first failures of the kinds that may have it stay `pending`.
    pub(crate) startup_grace: Span,
    /// Whether other replicas use it too; `probity validate` warns when it is required as well.
    pub(crate) shared: bool,
    /// Thresholds above which it is degraded; the backend adds its own.
    pub(crate) degraded: DegradedKeys,
}

impl Default for CommonKeys {
    fn default() -> Self {
        Self {
            criticality: Criticality::default(),
            interval: Span::seconds(10),
            timeout: Span::seconds(3),
            fall: 2,
            rise: 2,
            depth: Depth::default(),
            deep_interval: Span::seconds(60),
            roundtrip_interval: Span::seconds(60),
            fresh_every: Span::seconds(300),
            connection: ConnectionPolicy::default(),
            targets: Targets::default(),
            require_coverage: false,
            startup_grace: Span::seconds(30),
            shared: true,
            degraded: DegradedKeys::default(),
        }
    }
}

/// What several hosts in one URL mean to each other.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Targets {
    /// One of them is enough: the first that opens a session is asked, and whoever failed before it is a finding.
    #[default]
    Any,
}

/// Thresholds that every backend has.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DegradedKeys {
    /// Above this time of the query phase, in 3 of the last 5 runs, it is degraded; the backend's own
    /// default is on its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Span>,
    /// A certificate of the presented chain that expires sooner makes it degraded.
    pub(crate) certificate: Span,
}

impl Default for DegradedKeys {
    fn default() -> Self {
        Self { latency: None, certificate: Span::days(14) }
    }
}

/// What only a single dependency can say of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OwnKeys {
    /// The word of its backend: which kind of system is asked.
    pub(crate) backend: String,
    /// What it is, in the catalog's own words; shown, never interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Who answers for it; a label of `probity_dependency_info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// What to do when it is down, usually a link; a label of `probity_dependency_info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runbook: Option<String>,
    /// Further labels of `probity_dependency_info`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
}
