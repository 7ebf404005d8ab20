//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::support::servers::postgres;

fault_tests! { "postgres", postgres::shared(), |addr| entry(addr, json!({})) }
