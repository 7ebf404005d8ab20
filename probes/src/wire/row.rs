//! One row of a database's answer as text, whatever the client library has made of it.

use std::collections::HashMap;

/// Values by the names of their columns; NULL is absent.
#[derive(Debug)]
pub(crate) struct Row(HashMap<String, String>);

impl FromIterator<(String, String)> for Row {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Row {
    /// The value of a column.
    pub(crate) fn word(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// The same as a whole number.
    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        self.word(column)?.parse().ok()
    }

    /// The value of a column, taken out.
    pub(crate) fn take(&mut self, column: &str) -> Option<String> {
        self.0.remove(column)
    }
}
