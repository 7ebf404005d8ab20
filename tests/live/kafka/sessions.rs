//! Sessions that live, hang, end, and are not left behind.

use serde_json::json;

use super::entry;
use crate::live::sessions::specimen;
use crate::support::servers::kafka::Kafka;

specimen! { "kafka", Kafka, |addr| entry(addr, json!({}));
    fn start_impatient() -> Self {
        Self::builder().setting("connections.max.idle.ms", 1500).start()
    }
}
