//! Makes text that a peer sent fit to be shown: one line, bounded, and without secrets.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;
use zeroize::Zeroizing;

/// Longest text of a peer that is kept, in bytes.
pub(crate) const MESSAGE_LIMIT: usize = 256;

/// What replaces a secret.
const MASK: &str = "[secret]";

/// Shapes of secrets that are removed even when we never saw them.
static SHAPES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // user:password@ in a URL
        (r"://[^/\s@]+@", "://[secret]@"),
        // key=value and "key": "value"
        (
            r#"(?i)\b(password|passwd|pwd|token|secret|api[_-]?key|authorization|x-[a-z-]*-token|sasl\.jaas\.config)\b("?\s*[=:]\s*"?)(?:(?:basic|bearer)\s+)?[^\s"',;&]+"#,
            "$1$2[secret]",
        ),
        (r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._-]{8,}", "$1 [secret]"),
        (r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", MASK),
        (r"-----BEGIN [A-Z ]+-----[^-]*(-----END [A-Z ]+-----)?", MASK),
    ]
    .into_iter()
    .filter_map(|(pattern, with)| Regex::new(pattern).ok().map(|regex| (regex, with)))
    .collect()
});

/// The secrets of one probe, by value, so that a peer cannot echo them into our documents.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: Vec<Zeroizing<String>>,
    read: bool,
}

impl Redactor {
    /// From now on this value is removed wherever it appears. Short values are left alone: removing
    /// every "a" would make messages useless without hiding anything.
    pub(crate) fn learn(&mut self, secret: &str) {
        self.read = true;
        if secret.len() >= 4 && !self.secrets.iter().any(|known| **known == *secret) {
            self.secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Whether any secret was read.
    pub(crate) fn knows_secrets(&self) -> bool {
        self.read
    }

    /// One line of at most 256 bytes without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        // A peer may send megabytes; what is looked at stays bounded, with room for what is removed.
        let mut text = Cow::Borrowed(head(text, 4 * MESSAGE_LIMIT));
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        for (shape, with) in SHAPES.iter() {
            if shape.is_match(&text) {
                text = Cow::Owned(shape.replace_all(&text, *with).into_owned());
            }
        }
        one_line(&text, MESSAGE_LIMIT)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

/// One line: control characters become spaces, runs of white space one space, the rest is cut at `limit` bytes.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let text = head(text, 4 * limit);
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > limit { format!("{}…", head(&line, limit - '…'.len_utf8())) } else { line }
}

/// The first `limit` bytes, never splitting a character.
fn head(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_and_shaped_secrets_are_removed() {
        let mut redactor = Redactor::default();
        redactor.learn("hunter2-sentinel");
        for (text, clean) in [
            ("login hunter2-sentinel failed", "login [secret] failed"),
            ("dial postgres://u:pw@h/db", "dial postgres://[secret]@h/db"),
            ("password=abc next", "password=[secret] next"),
            ("Authorization: Bearer abcdefgh123", "Authorization: [secret]"),
            ("jwt eyJhbGciOi.eyJzdWIi.sig end", "jwt [secret] end"),
            ("two\r\nlines\u{7}", "two lines"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let clean = Redactor::default().clean(&"ä".repeat(10_000));
        assert!(clean.len() <= MESSAGE_LIMIT && clean.ends_with('…'), "{clean}");
    }
}
