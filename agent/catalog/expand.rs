//! `${VAR}` and `${VAR:-default}` in strings; `$${` is a literal `${`.
//!
//! A default may hold references, too, and braces in pairs. It is used when the variable is not set or empty.

use std::ops::Range;

/// A variable whose value is not UTF-8 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotText;

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Result<Option<String>, NotText>;

/// References inside each other's defaults.
const DEEPEST: usize = 8;

/// A string after expansion, and which parts of it came from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    from_environment: Vec<Range<usize>>,
}

impl Expanded {
    /// Whether this part of the text was typed into the catalog: nothing in it came from outside.
    pub(super) fn is_typed(&self, part: Range<usize>) -> bool {
        !part.is_empty() && !self.from_environment.iter().any(|known| known.start < part.end && part.start < known.end)
    }
}

/// Why a string cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unexpandable {
    /// The reference as written, `${…}`; its end is missing when there is none.
    pub(super) reference: String,
    pub(super) title: String,
    pub(super) help: String,
}

/// Expands one string.
pub(super) fn expand(raw: &str, environment: Environment<'_>) -> Result<Expanded, Unexpandable> {
    let mut expansion = Expansion { raw, at: 0, depth: 0, is_unused: false, environment, expanded: Expanded::default() };
    expansion.text()?;
    Ok(expansion.expanded)
}

struct Expansion<'a> {
    raw: &'a str,
    at: usize,
    /// How many defaults are open.
    depth: usize,
    /// In a default that is not used: its variables need not be set.
    is_unused: bool,
    environment: Environment<'a>,
    expanded: Expanded,
}

impl Expansion<'_> {
    fn rest(&self) -> &str {
        &self.raw[self.at..]
    }

    /// Text up to the end, or to the brace that ends a default.
    fn text(&mut self) -> Result<(), Unexpandable> {
        // Braces that are part of a default.
        let mut open = 0;
        while let Some(letter) = self.rest().chars().next() {
            if self.rest().starts_with("$${") {
                self.expanded.text.push_str("${");
                self.at += 3;
                open += 1;
                continue;
            }
            if self.rest().starts_with("${") {
                self.reference()?;
                continue;
            }
            self.at += letter.len_utf8();
            match letter {
                '}' if self.depth > 0 && open == 0 => return Ok(()),
                '}' if self.depth > 0 => open -= 1,
                '{' => open += 1,
                _ => {}
            }
            self.expanded.text.push(letter);
        }
        if self.depth > 0 { Err(unclosed()) } else { Ok(()) }
    }

    fn reference(&mut self) -> Result<(), Unexpandable> {
        let start = self.at;
        let inner = &self.raw[start + 2..];
        let Some(length) = inner.find(['}', ':']) else { return Err(unclosed()) };
        let (name, end) = (&inner[..length], &inner[length..]);
        let has_default = end.starts_with(":-");
        if !is_name(name) || !(has_default || end.starts_with('}')) {
            return Err(Unexpandable {
                reference: "${".into(),
                title: "this is not the name of an environment variable".into(),
                help: "write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`".into(),
            });
        }
        self.at = start + 2 + length + if has_default { 2 } else { 1 };
        let value = if self.is_unused { Ok(None) } else { (self.environment)(name) };
        let value = value.map_err(|NotText| Unexpandable {
            reference: format!("${{{name}"),
            title: format!("the environment variable {name} is not UTF-8 text"),
            help: "set it to text in UTF-8".into(),
        })?;
        match value {
            Some(value) if !has_default => self.expanded.push(&value),
            Some(value) if !value.is_empty() => {
                self.default(true)?;
                self.expanded.push(&value);
            }
            _ if has_default => self.default(self.is_unused)?,
            _ if self.is_unused => {}
            _ => {
                return Err(Unexpandable {
                    reference: self.raw[start..self.at].into(),
                    title: format!("the environment variable {name} is not set"),
                    help: format!("set it, or give a default: `${{{name}:-…}}`"),
                });
            }
        }
        Ok(())
    }

    fn default(&mut self, is_unused: bool) -> Result<(), Unexpandable> {
        if self.depth == DEEPEST {
            return Err(Unexpandable {
                reference: "${".into(),
                title: format!("more than {DEEPEST} references inside each other"),
                help: "use fewer variables".into(),
            });
        }
        let before = (self.is_unused, self.expanded.text.len(), self.expanded.from_environment.len());
        self.is_unused = is_unused;
        self.depth += 1;
        self.text()?;
        self.depth -= 1;
        self.is_unused = before.0;
        if is_unused {
            self.expanded.text.truncate(before.1);
            self.expanded.from_environment.truncate(before.2);
        }
        Ok(())
    }
}

fn unclosed() -> Unexpandable {
    Unexpandable {
        reference: "${".into(),
        title: "`${` without a closing `}`".into(),
        help: "write `$${` for a literal `${`".into(),
    }
}

impl Expanded {
    /// Appends a value that came from outside.
    pub(super) fn push(&mut self, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.from_environment.push(start..self.text.len());
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Result<Option<String>, NotText> {
        Ok(match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            "LATIN1" => return Err(NotText),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_escapes() {
        for (raw, text) in [
            ("plain", "plain"),
            ("${HOST}:1", "db:1"),
            ("${NONE:-a}-${HOST:-b}", "a-db"),
            ("${EMPTY:-a}${EMPTY}", "a"),
            ("$${HOST} $5 $", "${HOST} $5 $"),
            ("${NONE:-}", ""),
            ("$$${HOST}", "$${HOST}"),
            ("}{", "}{"),
            // in a default: references, their escape, braces in pairs
            ("${NONE:-${HOST}}", "db"),
            ("${HOST:-${NONE}}!", "db!"),
            ("${NONE:-a${EMPTY:-${HOST}:1}b}c", "adb:1bc"),
            ("${NONE:-$${HOST}}", "${HOST}"),
            ("${NONE:-{\"a\":{}}}!", "{\"a\":{}}!"),
            ("${HOST:-{\"a\":{}}}!", "db!"),
            ("${NONE:-:-}", ":-"),
        ] {
            assert_eq!(expand(raw, &environment).map(|expanded| expanded.text), Ok(text.to_owned()), "{raw}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        for (raw, title) in [
            ("a ${NONE} b", "the environment variable NONE is not set"),
            ("${HOST", "`${` without a closing `}`"),
            ("${}", "this is not the name of an environment variable"),
            ("${1A}", "this is not the name of an environment variable"),
            ("${HOST:?must be set}", "this is not the name of an environment variable"),
            ("${NONE:-${OTHER}}", "the environment variable OTHER is not set"),
            ("${NONE:-${HOST}", "`${` without a closing `}`"),
            ("${HOST:-{}", "`${` without a closing `}`"),
            ("${HOST:-${1A}}", "this is not the name of an environment variable"),
            ("${LATIN1}", "the environment variable LATIN1 is not UTF-8 text"),
            ("${LATIN1:-latin}", "the environment variable LATIN1 is not UTF-8 text"),
        ] {
            assert_eq!(expand(raw, &environment).map_err(|error| error.title), Err(title.to_owned()), "{raw}");
        }
    }

    #[test]
    fn references_inside_each_other_have_a_limit() {
        let nested = |depth: usize| format!("{}x{}", "${A:-".repeat(depth), "}".repeat(depth));
        assert_eq!(expand(&nested(8), &environment).map(|expanded| expanded.text), Ok("x".to_owned()));
        let title = expand(&nested(100_000), &environment).map_err(|error| error.title);
        assert_eq!(title, Err("more than 8 references inside each other".to_owned()));
    }

    #[test]
    fn what_was_typed_is_known() {
        let expanded = expand("ab${HOST}cd${NONE:-ef}", &environment).unwrap_or_default();
        assert_eq!(expanded.text, "abdbcdef");
        let nested = expand("${NONE:-${HOST}e}", &environment).unwrap_or_default();
        assert!(!nested.is_typed(0..2) && nested.is_typed(2..3));
        assert!(expanded.is_typed(0..2) && expanded.is_typed(6..8) && !expanded.is_typed(0..3) && !expanded.is_typed(2..4));
    }
}
