//! What outcomes mean: from an outcome to a standing, from standings to readiness. Pure: the clock is an argument.

pub mod readiness;
mod standing;
mod tally;

pub use standing::{Identity, PastFailure, Standing, ViewStatus, why};
pub use tally::{Histogram, Tally};
