//! What a dependency that answered had to say of itself: facts worth knowing, and findings,
//! which are the reasons why it is nevertheless not well.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::Status;

/// Longest text of a fact, in bytes.
const TEXT_LIMIT: usize = 128;

/// A number, word or switch that was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A whole number in the unit that the name tells.
    Count(i64),
    /// A number in the unit that the name tells.
    Amount(f64),
    /// A word, at most 128 bytes.
    Text(String),
}

impl Value {
    /// As a number for a metric: switches are 0 or 1, words have none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "metrics are doubles by definition")]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Self::Count(count) => Some(*count as f64),
            Self::Amount(amount) => Some(*amount),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Amount(amount) if *amount >= 100.0 => write!(f, "{amount:.0}"),
            Self::Amount(amount) => write!(f, "{}", (amount * 1000.0).round() / 1000.0),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
impl From<i64> for Value {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}
impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}
impl From<u16> for Value {
    fn from(count: u16) -> Self {
        Self::Count(count.into())
    }
}
impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::from(count as u64)
    }
}
impl From<f64> for Value {
    fn from(amount: f64) -> Self {
        Self::Amount(amount)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(crate::redact::one_line(text, TEXT_LIMIT))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// What is known of the peer, by name; the names are declared in the backend's manual.
pub type Facts = BTreeMap<Cow<'static, str>, Value>;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It serves, but not as it should.
    Degraded,
    /// It answers, but cannot do what is expected of it.
    Unhealthy,
}

impl From<Severity> for Status {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Degraded => Self::Degraded,
            Severity::Unhealthy => Self::Unhealthy,
        }
    }
}

/// Why a dependency that did answer is not well.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// The rule, as named in the backend's manual.
    pub code: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub observed: Value,
    /// What it was held against, where there is such a thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Value>,
    /// How long it must have stood before whoever asks again and again lets it count. A single run says it at once.
    #[serde(skip)]
    pub hold: Duration,
}

impl Finding {
    /// A degraded dependency.
    pub fn degraded(code: &'static str, observed: impl Into<Value>) -> Self {
        let (severity, observed) = (Severity::Degraded, observed.into());
        Self { code: code.into(), severity, observed, threshold: None, hold: Duration::ZERO }
    }

    /// An unhealthy dependency.
    pub fn unhealthy(code: &'static str, observed: impl Into<Value>) -> Self {
        Self { severity: Severity::Unhealthy, ..Self::degraded(code, observed) }
    }

    /// Of a severity that depends on what is expected.
    pub fn when(unhealthy: bool, code: &'static str, observed: impl Into<Value>) -> Self {
        if unhealthy { Self::unhealthy(code, observed) } else { Self::degraded(code, observed) }
    }

    /// With what it was held against.
    #[must_use]
    pub fn against(mut self, threshold: impl Into<Value>) -> Self {
        self.threshold = Some(threshold.into());
        self
    }

    /// Counts only once it has stood so long: for states that servers pass through of themselves.
    #[must_use]
    pub fn held_for(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.observed)?;
        match &self.threshold {
            Some(threshold) => write!(f, " of {threshold}"),
            None => Ok(()),
        }
    }
}
