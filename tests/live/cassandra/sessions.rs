//! Sessions that end.

use serde_json::{Value as Json, json};

use super::entry;
use crate::live::hosts::host_tests;
use crate::live::sessions::specimen;
use crate::support::servers::cassandra::{Cassandra, shared};

specimen! { "cassandra", Cassandra, alone;
    fn start_impatient() -> Self {
        Self::builder().line("native_transport_idle_timeout: 1000ms").start()
    }

    fn sessions(&self) -> Option<usize> {
        Self::sessions(self)
    }
}

host_tests! { "cassandra", shared(), |addr| entry(addr, json!({})) }

/// Nobody has made a table there.
fn alone(addr: std::net::SocketAddr) -> Json {
    json!({ "url": format!("cassandra://{addr}") })
}
