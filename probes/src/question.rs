//! Own questions: what a user asks of a backend besides what Probity asks, and what the answer is held against.

use crate::{
    backend::ConfigError,
    finding::{Finding, Value},
    run::Run,
};

/// A question in the backend's own language, and what is expected of its answer.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    value: Option<Value>,
    rows: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The first value of the first row, as text; none when there was no row, or it held nothing.
    pub value: Option<String>,
    /// How many rows there were.
    pub rows: u64,
}

/// Most bytes of a value that are read where a store may hold any number of them.
pub const LONGEST_VALUE: usize = 4096;

impl Question {
    /// Like [`Question::of`], of a store whose values are read up to [`LONGEST_VALUE`]: a longer one would never come.
    ///
    /// # Errors
    /// The same, and a value that is too long to be read.
    pub fn of_key(query: Option<String>, value: Option<Value>, rows: Option<u64>) -> Result<Option<Self>, ConfigError> {
        match &value {
            Some(Value::Text(text)) if text.len() > LONGEST_VALUE => {
                Err(ConfigError::new("expect.value", format!("no more than {LONGEST_VALUE} bytes of a value are read")))
            }
            _ => Self::of(query, value, rows),
        }
    }

    /// Of the keys `query`, `expect.value` and `expect.rows`; none when nothing is asked.
    ///
    /// # Errors
    /// An empty question, or expectations of none.
    pub fn of(query: Option<String>, value: Option<Value>, rows: Option<u64>) -> Result<Option<Self>, ConfigError> {
        match query {
            Some(text) if text.trim().is_empty() => Err(ConfigError::new("query", "the question is empty")),
            Some(text) => Ok(Some(Self { text, value, rows })),
            None if value.is_some() => Err(ConfigError::new("expect.value", "`expect.value` needs `query` beside it")),
            None if rows.is_some() => Err(ConfigError::new("expect.rows", "`expect.rows` needs `query` beside it")),
            None => Ok(None),
        }
    }

    /// The question itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many rows have to be looked at: from one too many on it does not matter how many there are.
    #[must_use]
    pub fn enough_rows(&self) -> u64 {
        self.rows.map_or(1, |rows| rows.saturating_add(1))
    }

    /// Holds an answer against what is expected of it. What was answered is shown only where it is not what was expected.
    pub fn judge(&self, answer: &Answer, run: &mut Run) {
        if let Some(wanted) = self.rows.filter(|rows| *rows != answer.rows) {
            let counted = answer.rows != self.enough_rows();
            let seen = if counted { Value::from(answer.rows) } else { format!("more than {wanted}").into() };
            run.finding(Finding::unhealthy("unexpected_rows", seen).against(wanted));
        }
        if let Some(wanted) = &self.value
            && !answer.value.as_deref().is_some_and(|got| is_same(got, wanted))
        {
            let got = answer.value.as_deref().map_or_else(|| "nothing".into(), |got| run.redactor().clean(got));
            run.finding(Finding::unhealthy("unexpected_value", got).against(wanted.clone()));
        }
    }
}

/// Servers write one value in several ways: `t` or `1` is true, `3.0` is 3.
fn is_same(got: &str, wanted: &Value) -> bool {
    match wanted {
        Value::Text(text) => got == text,
        Value::Flag(flag) => match got.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" => *flag,
            "f" | "false" | "0" => !*flag,
            _ => false,
        },
        Value::Count(count) => got.parse() == Ok(*count) || same_amount(got, wanted),
        Value::Amount(_) => same_amount(got, wanted),
    }
}

/// Whether a text is the same number, as doubles.
fn same_amount(got: &str, wanted: &Value) -> bool {
    got.parse::<f64>().is_ok_and(|got| wanted.as_number().is_some_and(|wanted| got.total_cmp(&wanted).is_eq()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_written_in_several_ways() {
        for (got, wanted) in [
            ("t", Value::Flag(true)),
            ("0", Value::Flag(false)),
            ("3", Value::Count(3)),
            ("3.0", Value::Count(3)),
            ("2.5", Value::Amount(2.5)),
            ("open", Value::from("open")),
        ] {
            assert!(is_same(got, &wanted), "{got} is {wanted:?}");
        }
        for (got, wanted) in
            [("2", Value::Flag(true)), ("30", Value::Count(3)), ("", Value::Count(0)), ("Open", Value::from("open"))]
        {
            assert!(!is_same(got, &wanted), "{got} is not {wanted:?}");
        }
    }

    #[test]
    fn expectations_need_a_question() {
        let key = |question: Result<Option<Question>, ConfigError>| question.map(|_| ()).map_err(|error| error.key);
        assert_eq!(key(Question::of(None, Some(Value::Count(1)), None)), Err("expect.value".into()));
        assert_eq!(key(Question::of(None, None, Some(1))), Err("expect.rows".into()));
        assert_eq!(key(Question::of(Some(" ".into()), None, None)), Err("query".into()));
        assert_eq!(key(Question::of(Some("SELECT 1".into()), None, Some(1))), Ok(()));
        let of_length = |length| Question::of_key(Some("key".into()), Some(Value::Text("x".repeat(length))), None);
        assert_eq!((key(of_length(4096)), key(of_length(4097))), (Ok(()), Err("expect.value".into())));
    }
}
