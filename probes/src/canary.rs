//! Canary rows: what a round trip writes to an SQL server, into a table that is there for it alone.
//!
//! It is written, read and removed in one transaction. That commits like any other, so that whatever refuses or holds
//! up commits does so here; yet wherever it is cut off nothing is left behind, nobody else sees the row, and two probes
//! of one name wait for each other instead of taking the other's row for a loss.

use crate::run::Run;

/// One row of `probity.canary (id, nonce)`. Both are hexadecimal digits, which no statement has to quote.
pub(crate) struct Canary {
    id: String,
    nonce: String,
}

impl Canary {
    /// The row of this run.
    pub(crate) fn of(run: &Run) -> Self {
        Self { id: run.canary().to_owned(), nonce: run.nonce() }
    }

    /// What stands behind `INSERT INTO` and the like.
    #[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlserver"))]
    pub(crate) fn row(&self) -> String {
        format!("probity.canary (id, nonce) VALUES ('{}', '{}')", self.id, self.nonce)
    }

    /// The statement that writes it over whatever was left behind, where there is `MERGE`.
    #[cfg(feature = "oracle")]
    pub(crate) fn merge(&self) -> String {
        let Self { id, nonce } = self;
        format!(
            "MERGE INTO probity.canary c USING DUAL ON (c.id = '{id}') WHEN MATCHED THEN UPDATE SET c.nonce = '{nonce}' \
             WHEN NOT MATCHED THEN INSERT (id, nonce) VALUES ('{id}', '{nonce}')"
        )
    }

    /// The statement that reads the column `nonce`.
    pub(crate) fn read(&self) -> String {
        format!("SELECT nonce FROM probity.canary WHERE id = '{}'", self.id)
    }

    /// The statement that leaves nothing behind.
    pub(crate) fn remove(&self) -> String {
        format!("DELETE FROM probity.canary WHERE id = '{}'", self.id)
    }

    /// Holds what was read against what was written.
    pub(crate) fn judge(&self, read: Option<&str>, run: &mut Run) {
        run.compare(&self.nonce, read);
    }
}
