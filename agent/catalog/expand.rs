//! `${VAR}` and `${VAR:-default}` in strings; `$${` is a literal `${`.

use std::ops::Range;

/// Looks an environment variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

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
    let mut expanded = Expanded::default();
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.text.push_str(&rest[..at - 1]);
            expanded.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        expanded.text.push_str(&rest[..at]);
        let Some(length) = rest[at..].find('}') else {
            return Err(Unexpandable {
                reference: "${".into(),
                title: "`${` without a closing `}`".into(),
                help: "write `$${` for a literal `${`".into(),
            });
        };
        let reference = &rest[at..=at + length];
        let inner = &reference[2..reference.len() - 1];
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        if !is_name(name) {
            return Err(Unexpandable {
                reference: "${".into(),
                title: "this is not the name of an environment variable".into(),
                help: "write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`".into(),
            });
        }
        match (environment(name), default) {
            (Some(value), None) => expanded.push(&value),
            (Some(value), Some(_)) if !value.is_empty() => expanded.push(&value),
            (_, Some(default)) => expanded.text.push_str(default),
            (None, None) => {
                return Err(Unexpandable {
                    reference: reference.into(),
                    title: format!("the environment variable {name} is not set"),
                    help: format!("set it, or give a default: `${{{name}:-…}}`"),
                });
            }
        }
        rest = &rest[at + length + 1..];
    }
    expanded.text.push_str(rest);
    Ok(expanded)
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

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
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
        ] {
            assert_eq!(expand(raw, &environment).map_err(|error| error.title), Err(title.to_owned()), "{raw}");
        }
    }

    #[test]
    fn what_was_typed_is_known() {
        let expanded = expand("ab${HOST}cd${NONE:-ef}", &environment).unwrap_or_default();
        assert_eq!(expanded.text, "abdbcdef");
        assert!(expanded.is_typed(0..2) && expanded.is_typed(6..8) && !expanded.is_typed(0..3) && !expanded.is_typed(2..4));
    }
}
