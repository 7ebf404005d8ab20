//! Postgres 15, well and sick.
use crate::support::truth::State;
pub(crate) const STATES: &[&[State]] = &[];
