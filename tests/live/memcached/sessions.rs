//! Sessions that are kept, lost and ended.

use serde_json::json;

use super::entry;
use crate::live::sessions::specimen;
use crate::support::servers::memcached::Memcached;

specimen! { "memcached", Memcached, |addr| entry(addr, json!({}));
    fn start_impatient() -> Self {
        Self::builder().args(["-o", "idle_timeout=1"]).start()
    }

    /// But for the client that looks, and the listener.
    fn sessions(&self) -> Option<usize> {
        usize::try_from(self.stat("curr_connections").saturating_sub(2)).ok()
    }
}
