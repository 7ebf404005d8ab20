//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::cassandra::shared;

fault_tests! { "cassandra", shared(), |addr| entry(addr, json!({})) }
