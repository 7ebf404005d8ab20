//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::servers::sqlserver::shared;

fault_tests! { "sqlserver", shared(), |addr| entry(addr, json!({})) }

host_tests! { "sqlserver", shared(), |addr| entry(addr, json!({})) }
