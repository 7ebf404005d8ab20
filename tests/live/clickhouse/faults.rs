//! A bad network in front of it, and bad hosts beside it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::servers::clickhouse;

fault_tests! { "clickhouse", clickhouse::shared(), |addr| entry(addr, json!({})) }

host_tests! { "clickhouse", clickhouse::shared(), |addr| entry(addr, json!({})) }
