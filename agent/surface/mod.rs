//! Ways to show how things stand.

pub mod check;
pub mod health;
pub mod report;
