//! Sessions that are kept, lost and ended.

use serde_json::json;

use super::Server;
use crate::live::search::entry;
use crate::live::sessions::specimen;
use crate::support::servers::search::Node;

specimen! { "opensearch", Node<Server>, |addr| entry(addr, json!({}));
    fn start_impatient() -> Self {
        Self::builder().setting("http.read_timeout", "1s").start()
    }

    fn sessions(&self) -> Option<usize> {
        self.connections()
    }
}
