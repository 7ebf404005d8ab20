//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::neo4j::shared;

fault_tests! { "neo4j", shared(), |addr| entry(addr, json!({})) }
