//! Three NATS servers with `JetStream`, which elect a leader and can lose it.

use super::super::super::{PATIENCE, eventually, free_port};
use super::super::{PASSWORD, USER};
use super::{Builder, Nats};

/// Three servers with `JetStream` that have elected a leader; [`USER`] may use `JetStream`.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Its members, in no order.
    pub(crate) nodes: [Nats; 3],
}

impl Cluster {
    /// Starts three and waits until they agree on a leader and all are healthy.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::of(|| Nats::builder().jetstream())
    }

    /// The same of the farm's version, with room for a megabyte in files.
    #[track_caller]
    pub(crate) fn newest() -> Self {
        Self::of(|| Nats::builder().newest().setting("jetstream { max_mem: 1M, max_file: 1M }"))
    }

    #[track_caller]
    fn of(builder: impl Fn() -> Builder) -> Self {
        let ports = [(); 3].map(|()| free_port());
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let mut number = 0;
        let nodes = ports.map(|port| {
            number += 1;
            let mut builder = builder();
            builder.login = format!("\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"");
            builder
                .setting(format!("server_name: s{number}"))
                .setting(format!("cluster {{ name: t, listen: 127.0.0.1:{port}, routes: [ {routes} ] }}"))
                .setting(format!(
                    "accounts {{ $SYS {{ users: [ {{user: sys, password: sys}} ] }}, \
                     APP {{ jetstream: enabled, users: [ {{user: {USER}, password: \"{PASSWORD}\"}} ] }} }}"
                ))
                .launch(free_port(), free_port())
        });
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            node.process.wait_until("the node is healthy", || {
                let health = node.watch("/healthz").ok()?;
                (health.status == 200 && cluster.leader().is_some()).then_some(())
            });
        }
        cluster
    }

    /// The node that leads `JetStream`, as the nodes that still run see it.
    pub(crate) fn leader(&self) -> Option<&Nats> {
        let running = || self.nodes.iter().zip(1..).filter(|(node, _)| node.process.is_running());
        let seen = running().find_map(|(node, _)| {
            let jetstream = node.watch("/jsz").ok()?.json();
            Some(jetstream["meta_cluster"]["leader"].as_str()?.to_owned())
        })?;
        let mut nodes = running();
        nodes.find_map(|(node, number)| (seen == format!("s{number}")).then_some(node))
    }

    /// Kills two, the leader among them, and waits until the third knows that nobody leads: about fifteen seconds.
    #[track_caller]
    pub(crate) fn lose_leader(&self) -> &Nats {
        let leader = self.leader().expect("a healthy cluster has a leader");
        let mut others = self.nodes.iter().filter(|node| node.port != leader.port);
        let (left, follower) = (others.next(), others.next());
        let (left, follower) = left.zip(follower).expect("there are three nodes");
        leader.process.kill9();
        follower.process.kill9();
        eventually(PATIENCE, "the last node knows that nobody leads", || {
            let reply = left.request("$JS.API.INFO").ok()?;
            reply.contains("10008").then_some(())
        });
        left
    }
}
