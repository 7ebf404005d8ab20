//! What the servers answer, as far as it is looked at.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{run::Run, wire::http::Reply};

/// `GET /`: who answers.
#[derive(Deserialize)]
pub(crate) struct Front {
    #[serde(default)]
    pub(super) cluster_name: String,
    pub(crate) version: Version,
    #[serde(default)]
    tagline: String,
    /// What Elasticsearch says of itself with every answer.
    #[serde(skip)]
    header: Option<String>,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Elasticsearch,
    Opensearch,
}

#[derive(Deserialize)]
pub(crate) struct Version {
    pub(crate) number: String,
    pub(crate) distribution: Option<String>,
}

impl Front {
    /// None when it is something else.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let front: Self = reply.document().ok()?;
        let header = reply.header("x-elastic-product").map(str::to_owned);
        Some(Self { header, ..front })
    }

    /// Elasticsearch before 7.14, or behind a proxy that drops headers, has nothing but its motto, and so has OpenSearch
    /// in compatibility mode.
    pub(crate) fn product(&self) -> Option<Product> {
        match (self.header.as_deref(), self.version.distribution.as_deref(), self.tagline.as_str()) {
            (Some("Elasticsearch"), ..) | (None, None, "You Know, for Search") => Some(Product::Elasticsearch),
            (None, Some("opensearch"), _) => Some(Product::Opensearch),
            (None, None, motto) if motto.starts_with("The OpenSearch Project") => Some(Product::Opensearch),
            _ => None,
        }
    }
}

/// `_cluster/health`.
#[derive(Deserialize)]
pub(super) struct Health {
    pub(super) cluster_name: String,
    pub(super) status: Colour,
    pub(super) timed_out: bool,
    pub(super) number_of_nodes: u64,
    pub(super) number_of_data_nodes: u64,
    active_primary_shards: u64,
    active_shards: u64,
    relocating_shards: u64,
    initializing_shards: u64,
    pub(super) unassigned_shards: u64,
    pub(super) delayed_unassigned_shards: u64,
    pub(super) number_of_pending_tasks: u64,
    pub(super) task_max_waiting_in_queue_millis: u64,
    active_shards_percent_as_number: f64,
    /// Of OpenSearch.
    pub(super) discovered_master: Option<bool>,
    /// With `level=indices`.
    #[serde(default)]
    indices: BTreeMap<String, IndexHealth>,
}

#[derive(Deserialize)]
struct IndexHealth {
    status: Colour,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Colour {
    Green,
    Yellow,
    Red,
}

impl Health {
    pub(super) fn note(&self, run: &mut Run) {
        run.fact("cluster_name", self.cluster_name.as_str());
        run.fact("status_code", self.status as u64);
        run.fact("number_of_nodes", self.number_of_nodes);
        run.fact("number_of_data_nodes", self.number_of_data_nodes);
        run.fact("active_primary_shards", self.active_primary_shards);
        run.fact("active_shards", self.active_shards);
        run.fact("relocating_shards", self.relocating_shards);
        run.fact("initializing_shards", self.initializing_shards);
        run.fact("unassigned_shards", self.unassigned_shards);
        run.fact("delayed_unassigned_shards", self.delayed_unassigned_shards);
        run.fact("pending_tasks", self.number_of_pending_tasks);
        run.fact("task_max_waiting_seconds", seconds(self.task_max_waiting_in_queue_millis));
        run.fact("active_shards_percent", self.active_shards_percent_as_number);
    }

    pub(super) fn knows(&self, index: &str) -> bool {
        self.indices.contains_key(index)
    }

    pub(super) fn has_red_index(&self) -> bool {
        self.indices.values().any(|index| index.status == Colour::Red)
    }
}

pub(super) fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

/// `_cluster/state/blocks`.
#[derive(Deserialize)]
pub(super) struct State {
    #[serde(default)]
    pub(super) blocks: Blocks,
}

/// Blocks by their numbers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Blocks {
    pub(super) global: BTreeMap<String, serde_json::Value>,
    pub(super) indices: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
}

impl Blocks {
    /// There is none while the state was not recovered (1), or nobody leads (2).
    pub(super) fn has_master(&self) -> bool {
        !["1", "2"].iter().any(|id| self.global.contains_key(*id))
    }
}

/// `_cat/master`.
#[derive(Deserialize)]
pub(super) struct Master {
    pub(super) node: String,
}

/// `_nodes/_local/stats`.
#[derive(Deserialize)]
pub(super) struct Nodes {
    pub(super) nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
pub(super) struct Node {
    #[serde(default)]
    pub(super) breakers: BTreeMap<String, Breaker>,
    #[serde(default)]
    pub(super) thread_pool: BTreeMap<String, Pool>,
}

#[derive(Deserialize)]
pub(super) struct Breaker {
    pub(super) tripped: u64,
    #[serde(default, rename = "limit_size_in_bytes")]
    pub(super) limit: i64,
    #[serde(default, rename = "estimated_size_in_bytes")]
    pub(super) estimated: i64,
}

impl Breaker {
    /// The next request that needs memory would be refused. A limit below zero is none.
    pub(super) fn is_open(&self) -> bool {
        self.limit >= 0 && self.estimated >= self.limit
    }
}

#[derive(Deserialize)]
pub(super) struct Pool {
    pub(super) rejected: u64,
}

/// `_search`, without hits.
#[derive(Deserialize)]
pub(super) struct Search {
    pub(super) timed_out: bool,
    #[serde(rename = "_shards")]
    pub(super) shards: Shards,
    pub(super) hits: Hits,
}

#[derive(Deserialize)]
pub(super) struct Shards {
    pub(super) total: u64,
    pub(super) successful: u64,
}

#[derive(Deserialize)]
pub(super) struct Hits {
    pub(super) total: Total,
}

#[derive(Deserialize)]
pub(super) struct Total {
    pub(super) value: u64,
}

/// A document, or what became of it.
#[derive(Deserialize)]
pub(super) struct Document {
    /// An answer without it is not about a document.
    #[serde(rename = "_id")]
    _id: String,
    #[serde(rename = "_source")]
    pub(super) source: Option<Source>,
}

#[derive(Deserialize)]
pub(super) struct Source {
    pub(super) nonce: Option<String>,
}

/// An error.
#[derive(Deserialize)]
pub(super) struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Words(String),
    Typed {
        #[serde(rename = "type")]
        name: String,
        #[serde(default)]
        reason: Option<String>,
    },
}

impl Refusal {
    /// The name of the error, with the number of the block where there is one.
    pub(super) fn name_and_words(self) -> (String, String) {
        match self.error {
            Reason::Words(words) => (String::new(), words),
            Reason::Typed { name, reason } => {
                let words = reason.unwrap_or_default();
                let block = words.split("blocked by: [").nth(1).and_then(|rest| rest.split('/').nth(1));
                (block.map_or_else(|| name.clone(), |block| format!("{name}/{block}")), words)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_part_of_the_name_of_its_error() {
        let named = |body: &str| serde_json::from_str::<Refusal>(body).expect("an error").name_and_words().0;
        let reason = "index [y] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];";
        assert_eq!(
            named(&format!(r#"{{"error":{{"type":"cluster_block_exception","reason":"{reason}"}},"status":429}}"#)),
            "cluster_block_exception/12"
        );
        assert_eq!(
            named(r#"{"error":{"type":"circuit_breaking_exception","reason":"[parent] Data too large"}}"#),
            "circuit_breaking_exception"
        );
        assert_eq!(named(r#"{"error":{"type":"x","reason":null}}"#), "x");
        assert_eq!(named(r#"{"error":"no handler found for uri [/x]"}"#), "");
    }
}
