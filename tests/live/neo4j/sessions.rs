//! Sessions that end.

use serde_json::json;

use super::entry;
use crate::live::sessions::specimen;
use crate::support::servers::neo4j::Neo4j;

specimen! { "neo4j", Neo4j, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        for id in self.sessions() {
            self.rows("neo4j", &format!("CALL dbms.killConnection('{id}')"));
        }
    }

    fn sessions(&self) -> Option<usize> {
        Some(Neo4j::sessions(self).len())
    }
}
