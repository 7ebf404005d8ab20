//! The Probity agent: when probes run, what their outcomes mean, and how that is shown.

pub mod catalog;
pub mod cli;
pub mod commands;
pub mod document;
mod host;
pub mod judge;
pub mod keeper;
pub mod lifecycle;
pub mod logging;
pub mod reference;
pub mod scheduler;
mod signals;
pub mod snapshot;
pub mod surface;
pub mod vitals;

#[cfg(test)]
mod testing;
