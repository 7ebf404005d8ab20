//! A bad network in front of it.

use serde_json::json;

use super::entry;
use crate::live::faults::fault_tests;
use crate::live::hosts::host_tests;
use crate::support::servers::kafka::Kafka;

fault_tests! { "kafka", Kafka::start(), |addr| entry(addr, json!({})) }

host_tests! { "kafka", Kafka::start(), |addr| entry(addr, json!({})) }
