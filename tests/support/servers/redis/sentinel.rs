//! Sentinels, which watch a master and make a replica the next one.

use super::{Builder, Redis};

/// What the master is called.
pub(crate) const MASTER: &str = "orders";

impl Redis {
    /// A sentinel that watches a server and is quick to think it down; so many must agree.
    pub(crate) fn sentinel(of: &Self, quorum: usize) -> Builder {
        let mut builder = Self::builder();
        builder.sentinel = true;
        builder
            .setting(format!("sentinel monitor {MASTER} 127.0.0.1 {} {quorum}", of.port))
            .setting(format!("sentinel down-after-milliseconds {MASTER} 1000"))
            .setting(format!("sentinel failover-timeout {MASTER} 5000"))
    }
}

/// Sentinels of a master that know each other and its replicas.
#[track_caller]
pub(crate) fn sentinels<const COUNT: usize>(of: &Redis, quorum: usize, replicas: usize) -> [Redis; COUNT] {
    let sentinels = [(); COUNT].map(|()| Redis::sentinel(of, quorum).start());
    for sentinel in &sentinels {
        sentinel.process().wait_until("it knows the others and the replicas", || {
            let usable = sentinel.command(&["SENTINEL", "CKQUORUM", MASTER]);
            let about = sentinel.command(&["SENTINEL", "MASTER", MASTER]);
            let known = usable.starts_with(&format!("OK {COUNT} usable")) && about.contains(&format!("num-slaves\n{replicas}\n"));
            known.then_some(())
        });
    }
    sentinels
}
