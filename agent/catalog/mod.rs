//! From a file to a plan.

pub mod plan;
