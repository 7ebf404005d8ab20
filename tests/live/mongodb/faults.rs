//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::servers::mongodb::MongoDb;

fault_tests! { "mongodb", MongoDb::start(), |addr| entry(addr, json!({})) }

host_tests! { "mongodb", MongoDb::start(), |addr| entry(addr, json!({})) }
