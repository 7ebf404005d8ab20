//! The Probity agent: when probes run, what their outcomes mean, and how that is shown.

pub mod catalog;
pub mod document;
pub mod judge;
pub mod snapshot;

#[cfg(test)]
mod testing;
