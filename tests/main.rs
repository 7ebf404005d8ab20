//! Every test that is not beside the code it tests: one binary, so that the clients are linked once.
#![expect(clippy::expect_used, reason = "a test says what it takes for granted")]

mod catalog;
mod cli;
mod generated;
mod live;
#[allow(dead_code, unused_imports, reason = "a build with fewer backends uses less of it")]
mod support;
