//! Elasticsearch 7.17, well and sick.

mod access;
mod faults;
mod sessions;

#[path = "search/blocks.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod blocks;
#[path = "search/colours.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod colours;
#[path = "search/load.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod load;
#[path = "search/masters.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod masters;
#[path = "search/serving.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod serving;
#[path = "search/tls.rs"]
#[expect(clippy::duplicate_mod, reason = "both products are held against it")]
mod tls;

use crate::support::truth::State;

pub(crate) use crate::support::servers::search::Elasticsearch as Server;

pub(crate) const KIND: &str = "elasticsearch";

pub(crate) const STATES: &[&[State]] =
    &[access::STATES, blocks::STATES, colours::STATES, load::STATES, masters::STATES, serving::STATES, tls::STATES];
