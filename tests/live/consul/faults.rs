//! A bad network in between.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::consul::shared;

fault_tests! { "consul", shared(), |addr| entry(addr, json!({})) }
