//! Every test that is not beside the code it tests: one binary, so that the clients are linked once.
#![expect(clippy::expect_used, reason = "a test says what it takes for granted")]

mod catalog;
mod cli;
mod conformance;
mod fuzz;
mod generated;
mod live;
mod pipeline;
mod sources;
#[allow(dead_code, unused_imports, unused_macros, reason = "a build with fewer backends uses less of it")]
mod support;
mod tidy;
