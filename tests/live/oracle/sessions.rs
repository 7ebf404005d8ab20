//! Sessions that end.

use serde_json::json;

use super::entry;
use crate::live::sessions::specimen;
use crate::support::servers::oracle::Oracle;

specimen! { "oracle", Oracle, |addr| entry(addr, json!({}));
    fn end_sessions(&self) {
        self.disconnect();
    }
}
