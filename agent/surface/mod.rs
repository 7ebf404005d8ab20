//! Ways to show a snapshot: functions of it, and the thread that serves them.

mod answer;
mod connection;
mod draft;
mod engine;
pub mod http;
mod kubernetes;
pub mod metrics;
mod routes;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Question, answer};
pub use engine::About;
pub use routes::{ROUTES, Route};
