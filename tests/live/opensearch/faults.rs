//! A bad network in front of it.

use serde_json::json;

use super::Server;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::live::search::entry;
use crate::support::servers::search::Product;

fault_tests! { "opensearch", Server::shared(), |addr| entry(addr, json!({})) }

host_tests! { "opensearch", Server::shared(), |addr| entry(addr, json!({})) }
