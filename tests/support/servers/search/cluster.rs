//! Three nodes, each with a part of the data, and each fit to be master.

use super::super::super::free_port;
use super::{Node, Product};

/// Three running nodes.
#[derive(Debug)]
pub(crate) struct Cluster<P>(Vec<Node<P>>);

impl<P: Product> Cluster<P> {
    /// Starts them and waits until each sees the other two.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let seeds = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        let launch = |(number, port): (usize, u16)| {
            Node::builder()
                .setting("node.name", format!("n{number}"))
                .setting("transport.port", port)
                .setting("discovery.type", "zen")
                .setting("discovery.seed_hosts", &seeds)
                .setting(P::FIRST_MASTERS, "n0,n1,n2")
                .launch()
        };
        let nodes: Vec<_> = ports.into_iter().enumerate().map(launch).collect();
        for node in &nodes {
            node.process().wait_until("three nodes see each other", || {
                let path = "/_cluster/health?wait_for_nodes=3&wait_for_status=green&timeout=1s&master_timeout=1s";
                node.get(path).ok().filter(|answer| answer.status == 200)
            });
        }
        Self(nodes)
    }

    /// The node that is master, and the other two.
    #[track_caller]
    pub(crate) fn master_first(&self) -> [&Node<P>; 3] {
        let master = self.0[0].get("/_cat/master?h=node").expect("it answers").body;
        let number = master.trim().trim_start_matches('n').parse::<usize>().expect("it names a node");
        [&self.0[number], &self.0[(number + 1) % 3], &self.0[(number + 2) % 3]]
    }
}
