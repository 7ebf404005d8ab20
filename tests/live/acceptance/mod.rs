//! What every backend must do, checked once for all of them.

pub(crate) mod strangers;
