//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::servers::oracle::shared;

fault_tests! { "oracle", shared(), |addr| entry(addr, json!({})) }

host_tests! { "oracle", shared(), |addr| entry(addr, json!({})) }
