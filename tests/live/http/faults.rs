//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::nginx::Nginx;

fault_tests! { "http", Nginx::start(), |addr| entry(addr, "/health", json!({})) }
