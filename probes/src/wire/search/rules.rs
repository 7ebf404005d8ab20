//! When a cluster that answers is nevertheless not well.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Cluster,
    documents::{Blocks, Colour, Health, Search, seconds},
    no_master,
};
use crate::{
    duration::Span,
    failure::Failure,
    finding::{Finding, Value},
    run::Run,
};

/// What must be true of a cluster.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchExpect {
    /// It must take writes: blocks are then unhealthy, not degraded.
    pub(super) writable: bool,
    /// Replicas must be assigned even where there is only one data node.
    pub(super) replicas: bool,
    /// Nodes that must be there.
    #[schemars(range(min = 1))]
    pub(super) min_nodes: Option<u64>,
    /// Name that the cluster must have.
    pub(super) cluster_name: Option<String>,
    /// How many documents the index in `query` must have.
    pub(super) value: Option<Value>,
}

/// How long a cluster may have a colour before it counts. A check that asks only once says it at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchHold {
    /// How long replicas may be missing, as for seconds after an index was made.
    yellow: Span,
    /// How long primary shards may be missing, as for a moment after a node was started.
    red: Span,
}

impl Default for SearchHold {
    fn default() -> Self {
        Self { yellow: Span::seconds(60), red: Span::seconds(2) }
    }
}

/// Limits from which on a cluster is degraded.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchDegraded {
    /// Tasks that wait for the master.
    #[schemars(range(min = 1))]
    pending_tasks: u64,
    /// How long the oldest of them waits.
    task_waiting: Span,
}

impl Default for SearchDegraded {
    fn default() -> Self {
        Self { pending_tasks: 100, task_waiting: Span::seconds(30) }
    }
}

impl Cluster {
    /// Blocks of the whole cluster, and of the application's indices. Where none is named, only the flood stage counts:
    /// old indices are often read-only or closed on purpose.
    pub(super) fn judge_blocks(&self, blocks: &Blocks, run: &mut Run) -> Result<(), Failure> {
        let of_indices = || blocks.indices.values().flat_map(|index| index.keys());
        let ids: BTreeSet<u64> = blocks.global.keys().chain(of_indices()).filter_map(|id| id.parse().ok()).collect();
        run.fact("blocks", ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
        let has = |id: &str| blocks.global.contains_key(id);
        run.fact("read_only_block", has("6") || has("13"));
        if !blocks.has_master() {
            return Err(no_master());
        }
        for id in blocks.global.keys() {
            match id.as_str() {
                "6" | "13" => run.finding(Finding::when(self.expect.writable, "read_only", id.as_str())),
                "10" => run.finding(Finding::degraded("create_index_blocked", true)),
                other => run.finding(Finding::degraded("cluster_block", other)),
            }
        }
        if let Some(indices) = with_block(blocks, &["12"]) {
            run.finding(Finding::when(self.expect.writable, "flood_stage", indices));
        }
        if self.named.is_empty() {
            return Ok(());
        }
        if let Some(indices) = with_block(blocks, &["4"]) {
            return Err(Failure::server("index_closed", indices));
        }
        if let Some(indices) = with_block(blocks, &["7"]) {
            run.finding(Finding::unhealthy("read_block", indices));
        }
        if let Some(indices) = with_block(blocks, &["5", "8"]) {
            run.finding(Finding::when(self.expect.writable, "write_block", indices));
        }
        Ok(())
    }

    pub(super) fn judge_colour(&self, health: &Health, is_ours: bool, run: &mut Run) {
        let missing = health.unassigned_shards;
        match health.status {
            Colour::Red => run.finding(Finding::when(is_ours, "red", missing).held_for(self.hold.red.0)),
            // Alone it has nowhere to put a replica.
            Colour::Yellow if health.number_of_data_nodes > 1 || self.expect.replicas => {
                run.finding(Finding::degraded("yellow", missing).held_for(self.hold.yellow.0));
            }
            Colour::Yellow | Colour::Green => {}
        }
    }

    pub(super) fn judge_counts(&self, health: &Health, run: &mut Run) {
        if let Some(name) = self.expect.cluster_name.as_deref().filter(|name| *name != health.cluster_name) {
            run.finding(Finding::unhealthy("another_cluster", health.cluster_name.as_str()).against(name));
        }
        if let Some(least) = self.expect.min_nodes.filter(|least| health.number_of_nodes < *least) {
            run.finding(Finding::degraded("nodes_missing", health.number_of_nodes).against(least));
        }
        if health.delayed_unassigned_shards > 0 {
            run.finding(Finding::degraded("delayed_shards", health.delayed_unassigned_shards));
        }
        let limit = self.degraded.pending_tasks;
        if health.number_of_pending_tasks >= limit {
            run.finding(Finding::degraded("pending_tasks", health.number_of_pending_tasks).against(limit));
        }
        let (waiting, limit) = (seconds(health.task_max_waiting_in_queue_millis), self.degraded.task_waiting.0.as_secs_f64());
        if waiting >= limit {
            run.finding(Finding::degraded("task_waiting", waiting).against(limit));
        }
    }
}

/// Whether every shard has answered. OpenSearch counts those without a node neither as successful nor as failed.
pub(super) fn is_whole(found: &Search, run: &mut Run) -> bool {
    let (got, all) = (found.shards.successful, found.shards.total);
    let whole = got == all && !found.timed_out;
    if !whole {
        run.finding(Finding::degraded("partial_results", got).against(all));
    }
    whole
}

/// The first index with one of the blocks, and how many more there are.
fn with_block(blocks: &Blocks, ids: &[&str]) -> Option<String> {
    let mut indices = blocks.indices.iter().filter(|(_, own)| ids.iter().any(|id| own.contains_key(*id))).map(|(index, _)| index);
    let first = indices.next()?;
    Some(match indices.count() {
        0 => first.clone(),
        more => format!("{first} and {more} more"),
    })
}
