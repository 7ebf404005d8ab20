//! The table of backends: two lines each. Kinds left out of a build stay in it.

use crate::registry::Registration;

pub(crate) const TABLE: &[Registration] = &[];
