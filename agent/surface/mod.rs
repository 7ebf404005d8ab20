//! Ways to show how things stand: functions of a snapshot, and the thread that serves them.

mod answer;
pub mod check;
mod connection;
mod draft;
mod engine;
pub mod health;
pub mod http;
mod kubernetes;
pub mod metrics;
pub mod report;
mod room;
mod routes;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Question, answer};
pub use engine::About;
pub use room::connection_limit;
pub use routes::{ROUTES, Route};
