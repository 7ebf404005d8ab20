//! The catalog as it will run: every default filled in, every probe built, every secret behind its type.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use probity_probes::Probe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What runs.
pub struct Plan {
    /// The agent itself.
    pub agent: AgentPlan,
    /// Its dependencies, in the catalog's order.
    pub dependencies: Vec<DependencyPlan>,
    /// What is allowed, but worth a word to whoever wrote the catalog.
    pub warnings: Vec<String>,
}

/// The `[agent]` table.
#[derive(Clone, Debug, Serialize)]
pub struct AgentPlan {
    /// Names this agent in documents.
    pub id: String,
    /// Where every surface listens.
    pub listen: SocketAddr,
    /// What makes the agent not ready.
    pub readiness: Readiness,
    /// Not ready for so long means that a restart of one replica could not help: ready again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_open_after: Option<Duration>,
    /// Show a server's own words on every surface.
    pub verbose_errors: bool,
    /// Cap on runs at the same time; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
}

/// One dependency, ready to be run.
pub struct DependencyPlan {
    /// Its name in the catalog.
    pub name: Arc<str>,
    /// The backend's word.
    pub backend: &'static str,
    /// What its standing means for readiness.
    pub criticality: Criticality,
    /// When it is run and how many outcomes make a standing.
    pub timing: Timing,
    /// The catalog's own words: description, owner, runbook, labels.
    pub words: Words,
    /// Whether other replicas use it too.
    pub shared: bool,
    /// Its configuration with every default, without secrets.
    pub resolved: serde_json::Value,
    /// The probe.
    pub probe: Arc<dyn Probe>,
}

/// When a dependency is run and how many outcomes make a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From one run to the next.
    pub interval: Duration,
    /// Of a whole run.
    pub timeout: Duration,
    /// Consecutive ambiguous failures to unhealthy.
    pub fall: u32,
    /// Consecutive successes back to healthy.
    pub rise: u32,
    /// How long first failures of some kinds stay pending.
    pub startup_grace: Duration,
}

/// What a dependency's standing means for readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// Unhealthy, pending or stale: not ready.
    Required,
    /// Unhealthy: degraded, still ready.
    #[default]
    Optional,
    /// Shown, never counted.
    Informational,
}

impl Criticality {
    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Informational => "informational",
        }
    }
}

/// What makes the agent not ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// Any required dependency that is not healthy or degraded.
    #[default]
    Strict,
    /// The same, but only until all were ready once.
    StartupOnly,
}

/// The catalog's own words about a dependency: shown, never interpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What to do when it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Further labels of `probity_dependency_info`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
