//! What both manuals say alike; each backend puts its own before it.

use crate::manual::{FindingRow, LevelRow};

#[rustfmt::skip] // one row, one line: it is a table
pub(crate) const LEVELS: &[LevelRow] = &[
    LevelRow { level: "connect", question: "TCP, and TLS with `https://`", privilege: "–" },
    LevelRow { level: "handshake", question: "`/`, which says who answers; `_cluster/state/blocks`, which says whether it has a master", privilege: "a log-in; `monitor` (`cluster:monitor/main`), or neither is checked" },
    LevelRow { level: "query", question: "`_cluster/state/blocks` and `_cluster/health`, both of the node itself; with `query` a count of its documents", privilege: "`monitor` (`cluster:monitor/state`, `cluster:monitor/health`); `read` on the index" },
    LevelRow { level: "deep", question: "`_cluster/health` and `_cat/master` of the master, breakers and thread pools of the node, a search of `indices`", privilege: "the same with `cluster:monitor/nodes/stats`; `read` on the indices" },
    LevelRow { level: "roundtrip", question: "a document in `probity-canary` put, read, deleted; the index must be there: `PUT /probity-canary`, with one shard", privilege: "`read` and `write` on `probity-canary`" },
];

#[rustfmt::skip]
pub(crate) const FINDINGS: &[FindingRow] = &[
    FindingRow { code: "read_only", meaning: "The whole cluster is read-only (block 6 or 13), which its health does not show: degraded, unhealthy with `expect.writable`.", remedy: "Set `cluster.blocks.read_only` and `cluster.blocks.read_only_allow_delete` to null, both transient and persistent." },
    FindingRow { code: "flood_stage", meaning: "An index may not be written to because a disk is nearly full (block 12), which the health does not show: degraded, unhealthy with `expect.writable`.", remedy: "Free space on the data nodes; the server lifts the block by itself, some seconds later." },
    FindingRow { code: "write_block", meaning: "One of `indices`, or that of `query`, is read-only or blocked for writes (block 5 or 8): degraded, unhealthy with `expect.writable`.", remedy: "Set `index.blocks.write` and `index.blocks.read_only` of the index to null." },
    FindingRow { code: "read_block", meaning: "One of `indices`, or that of `query`, is blocked for reads (block 7): unhealthy.", remedy: "Set `index.blocks.read` of the index to null." },
    FindingRow { code: "create_index_blocked", meaning: "No index can be made (block 10, which OpenSearch sets when disks are nearly full): degraded.", remedy: "Free space on the data nodes, or set `cluster.blocks.create_index` to null." },
    FindingRow { code: "cluster_block", meaning: "The whole cluster has another block (observed: its number): degraded.", remedy: "`_cluster/state/blocks` describes it." },
    FindingRow { code: "red", meaning: "Primary shards are missing (observed: shards that are not assigned), and stay so for `hold.red`: unhealthy, degraded where all of `indices` have theirs.", remedy: "`_cluster/allocation/explain` says why; bring the nodes back that hold the data." },
    FindingRow { code: "yellow", meaning: "Replicas are missing (observed: shards that are not assigned), and stay so for `hold.yellow`: degraded. With a single data node only with `expect.replicas`.", remedy: "`_cluster/allocation/explain` says why; bring nodes back, or ask for fewer replicas." },
    FindingRow { code: "delayed_shards", meaning: "A node has left, and its shards wait for its return: degraded.", remedy: "Bring the node back; without it the shards are made anew after `index.unassigned.node_left.delayed_timeout`." },
    FindingRow { code: "nodes_missing", meaning: "There are fewer nodes than `expect.min_nodes`: degraded.", remedy: "Look for the node that left." },
    FindingRow { code: "another_cluster", meaning: "The cluster has another name than `expect.cluster_name`: unhealthy.", remedy: "Point the entry at the right cluster, or correct the name." },
    FindingRow { code: "pending_tasks", meaning: "`degraded.pending_tasks` tasks wait for the master: degraded.", remedy: "`_cluster/pending_tasks` lists them: look for indices or mappings that are made in masses." },
    FindingRow { code: "task_waiting", meaning: "A task has waited for the master for `degraded.task_waiting` (observed: seconds): degraded.", remedy: "`_cluster/pending_tasks` lists them; look at the load of the master." },
    FindingRow { code: "health_timed_out", meaning: "The master did not find the time to say how the cluster is: degraded.", remedy: "Look at the load of the master." },
    FindingRow { code: "master_silent", meaning: "The node answers, its master does not: degraded, unhealthy with `expect.writable`.", remedy: "Look at the master: it may hang. The others notice only after half a minute." },
    FindingRow { code: "breaker_open", meaning: "The node's memory is at the limit of its parent breaker (observed and threshold: bytes), so that searches and writes are refused: degraded.", remedy: "Look for large requests and aggregations; give the node more heap." },
    FindingRow { code: "rejections", meaning: "Breakers or full queues of the node have refused requests since the last deep question (observed: how many), or our own search (observed: its code): degraded.", remedy: "Ask less, or in smaller requests; look at `_nodes/stats/breaker,thread_pool`." },
    FindingRow { code: "partial_results", meaning: "A search was answered, with status 200, by some of its shards only (threshold: all of them), or not to its end in time: degraded.", remedy: "Look for shards that are not assigned, and nodes that hang." },
    FindingRow { code: "search_failing", meaning: "A search of `indices` was answered by none of its shards (observed: the code): unhealthy.", remedy: "`_cluster/allocation/explain` says why shards are not assigned." },
    FindingRow { code: "unanswered", meaning: "A deep question was not answered in its time, at most a second (observed: which): degraded.", remedy: "Look for a node that hangs, and for the load of the nodes." },
];

/// The facts of both, and those that one has besides.
macro_rules! facts {
    ($($own:expr),* $(,)?) => {{
        use $crate::manual::FactRow;
        &[
            FactRow { name: "version", metric: false, meaning: "Version of the node." },
            FactRow { name: "cluster_name", metric: false, meaning: "Name of the cluster." },
            $($own,)*
            FactRow { name: "status_code", metric: true, meaning: "Colour of the cluster: 0 green, 1 yellow, 2 red." },
            FactRow { name: "number_of_nodes", metric: true, meaning: "Nodes." },
            FactRow { name: "number_of_data_nodes", metric: true, meaning: "Nodes that hold data." },
            FactRow { name: "active_primary_shards", metric: true, meaning: "Primary shards that are assigned and started." },
            FactRow { name: "active_shards", metric: true, meaning: "Shards that are assigned and started." },
            FactRow { name: "relocating_shards", metric: true, meaning: "Shards that move to another node." },
            FactRow { name: "initializing_shards", metric: true, meaning: "Shards that are being started." },
            FactRow { name: "unassigned_shards", metric: true, meaning: "Shards that no node has." },
            FactRow { name: "delayed_unassigned_shards", metric: true, meaning: "Shards that wait for the return of their node." },
            FactRow { name: "pending_tasks", metric: true, meaning: "Tasks that wait for the master." },
            FactRow { name: "task_max_waiting_seconds", metric: true, meaning: "How long the oldest of them waits." },
            FactRow { name: "active_shards_percent", metric: true, meaning: "Share of the shards that are active, in percent." },
            FactRow { name: "master_node", metric: false, meaning: "Name of the master." },
            FactRow { name: "blocks", metric: false, meaning: "Numbers of the blocks of the cluster and of its indices, with `indices` of those only." },
            FactRow { name: "read_only_block", metric: true, meaning: "Whether the whole cluster is read-only." },
            FactRow { name: "breaker_tripped_total", metric: true, meaning: "Requests that the node's breakers have refused." },
            FactRow { name: "rejected_total", metric: true, meaning: "Requests that the node's queues have refused." },
        ]
    }};
}

/// The codes of both, and those that one has besides: a status, and what the server calls the error.
macro_rules! codes {
    ($($own:expr),* $(,)?) => {{
        use $crate::{FailureKind, manual::CodeRow};
        &[
            $($own,)*
            CodeRow { code: "no_master", kind: FailureKind::NotReady, message: "the cluster has no master", remedy: "Bring a majority of the nodes that may be master up and in touch with each other." },
            CodeRow { code: "index_closed", kind: FailureKind::Config, message: "one of the indices is closed", remedy: "Open it, or take it out of the entry." },
            CodeRow { code: "401*", kind: FailureKind::Auth, message: "the server, or what stands before it, rejected the log-in", remedy: "" },
            CodeRow { code: "403 cluster_block_exception/12", kind: FailureKind::Overload, message: "a disk is nearly full, and the index takes no writes", remedy: "Free space on the data nodes." },
            CodeRow { code: "429 cluster_block_exception/12", kind: FailureKind::Overload, message: "a disk is nearly full, and the index takes no writes", remedy: "Free space on the data nodes." },
            CodeRow { code: "403 cluster_block_exception/6", kind: FailureKind::NotReady, message: "the cluster is read-only", remedy: "Set `cluster.blocks.read_only` to null." },
            CodeRow { code: "403 cluster_block_exception/13", kind: FailureKind::NotReady, message: "the cluster is read-only", remedy: "Set `cluster.blocks.read_only_allow_delete` to null." },
            CodeRow { code: "403 cluster_block_exception*", kind: FailureKind::NotReady, message: "a block forbids this", remedy: "Look at the settings `index.blocks.*` of the index." },
            CodeRow { code: "403 index_create_block_exception", kind: FailureKind::Overload, message: "no index can be made, as a disk is nearly full", remedy: "Free space on the data nodes." },
            CodeRow { code: "403 security_exception", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
            CodeRow { code: "403*", kind: FailureKind::Permission, message: "the user may not do this", remedy: "" },
            CodeRow { code: "404 index_not_found_exception", kind: FailureKind::Config, message: "there is no such index", remedy: "Make the index, or correct its name in the entry." },
            CodeRow { code: "400 index_closed_exception", kind: FailureKind::Config, message: "the index is closed", remedy: "Open it, or take it out of the entry." },
            CodeRow { code: "400 tls", kind: FailureKind::Tls, message: "the port expects TLS", remedy: "Write `https://` in the URL." },
            CodeRow { code: "400*", kind: FailureKind::Config, message: "the server does not understand the request: it is too old, or too new", remedy: "" },
            CodeRow { code: "404*", kind: FailureKind::Config, message: "the server does not have what was asked for", remedy: "" },
            CodeRow { code: "405*", kind: FailureKind::Config, message: "the server does not allow the request", remedy: "" },
            CodeRow { code: "410*", kind: FailureKind::Config, message: "the service does not offer this", remedy: "" },
            CodeRow { code: "429 circuit_breaking_exception", kind: FailureKind::Overload, message: "a breaker refuses the request, as memory is short", remedy: "Look for large requests; give the node more heap." },
            CodeRow { code: "429*", kind: FailureKind::Overload, message: "a queue of the server is full", remedy: "Ask less, or in smaller requests." },
            CodeRow { code: "503 search_phase_execution_exception", kind: FailureKind::NotReady, message: "no shard of the index answers", remedy: "`_cluster/allocation/explain` says why shards are not assigned." },
            CodeRow { code: "503 unavailable_shards_exception", kind: FailureKind::NotReady, message: "the primary shard is not assigned", remedy: "`_cluster/allocation/explain` says why." },
            CodeRow { code: "503 no_shard_available_action_exception", kind: FailureKind::NotReady, message: "the shard is not assigned, or has not started yet", remedy: "`_cluster/allocation/explain` says why." },
            CodeRow { code: "500 node_not_connected_exception", kind: FailureKind::NotReady, message: "the node does not reach another one", remedy: "Look for the node that left." },
            CodeRow { code: "502*", kind: FailureKind::NotReady, message: "what stands before the server cannot reach it", remedy: "" },
            CodeRow { code: "503*", kind: FailureKind::NotReady, message: "the server, or what stands before it, does not serve", remedy: "" },
            CodeRow { code: "504*", kind: FailureKind::NotReady, message: "what stands before the server waited in vain for it", remedy: "The node may hang: look at it." },
        ]
    }};
}

pub(crate) use {codes, facts};
