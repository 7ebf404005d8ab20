//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::memcached::Memcached;

fault_tests! { "memcached", Memcached::start(), |addr| entry(addr, json!({})) }
