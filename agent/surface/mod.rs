//! Ways to show a snapshot: functions of it, and the thread that serves them.

pub mod metrics;
