//! Sessions that are kept, lost and ended.

use serde_json::json;

use super::entry;
use crate::live::sessions::specimen;
use crate::support::servers::consul::Consul;

specimen! { "consul", Consul, |addr| entry(addr, json!({})); }
