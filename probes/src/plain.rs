//! What a sentence may quote of a catalog or a configuration.
//!
//! A password slips into every place: it is typed as a key, as a file name, as the name of a variable, or it breaks
//! the URL it stands in. So nothing is quoted because of where it stands, but only because of what it looks like.

use crate::address::nearest;

/// The longest word that is quoted, in bytes.
const LONGEST_WORD: usize = 32;

/// The longest path that is quoted, in bytes.
const LONGEST_PATH: usize = 255;

/// Whether this is a short word of letters, digits and `._+-`.
#[must_use]
pub fn is_word(text: &str) -> bool {
    (1..=LONGEST_WORD).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-'))
}

/// The word, if it is plain and resembles a known one.
pub fn near<'w, 'k>(word: &'w str, known: impl IntoIterator<Item = &'k str>) -> Option<&'w str> {
    is_word(word).then_some(word).filter(|word| nearest(word, known).is_some())
}

/// Whether an unknown parameter of a URL may be named.
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    (2..=24).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Whether a scheme of a URL may be named.
#[must_use]
pub fn is_scheme(name: &str) -> bool {
    (2..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'+' | b'-'))
}

/// Whether this looks like the name of an environment variable, and like nothing else: upper-case letters, digits
/// and `_`.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    (2..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether this looks like a path: it begins with `/`, `./` or `../`, and has only letters, digits, spaces and `/._+,@:~-`.
#[must_use]
pub fn is_path(text: &str) -> bool {
    text.len() <= LONGEST_PATH
        && ["/", "./", "../"].iter().any(|start| text.starts_with(start))
        && text.chars().all(|c| c.is_alphanumeric() || " /._+,@:~-".contains(c))
        && !text.contains("//")
}

/// Whether a text reads as names and numbers do: each run of letters and digits is letters with at most three digits
/// behind them, or at most six digits with at most four letters behind them, such as `250ms`.
#[must_use]
pub fn is_readable(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()).all(|run| {
        let behind = run.trim_start_matches(char::is_alphabetic);
        let digits = run.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_name = behind.len() <= 3 && behind.bytes().all(|byte| byte.is_ascii_digit());
        let is_amount = run.len() - digits.len() <= 6 && digits.len() <= 4 && digits.chars().all(char::is_alphabetic);
        run.len() <= 40 && (is_name || is_amount)
    })
}

/// Whether this may be shown as the name of something of the catalog's own: letters, digits, spaces and `._-`, at most
/// 63 of them, and readable.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-".contains(&byte))
        && is_readable(text)
}

/// Whether this may be shown as a key that nobody knows: up to 24 small letters, `_` and `-`.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte))
}

/// A path with a space before it, or nothing if it does not look like one.
#[must_use]
pub fn spaced_path(path: &std::path::Path) -> String {
    path.to_str().filter(|text| is_path(text)).map(|text| format!(" {text}")).unwrap_or_default()
}

/// A variable's name with a space before it, or nothing if it does not look like one.
#[must_use]
pub fn spaced_variable(name: &str) -> String {
    if is_variable(name) { format!(" {name}") } else { String::new() }
}

/// "unknown X `y`; did you mean `z`?", or the list of what is known. The word is quoted only if it is plain and near.
#[must_use]
pub fn mistaken(what: &str, word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) if is_word(word) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        _ => format!("unknown {what}; known are {}", known.join(", ")),
    }
}

/// The words of serde for a mistake in a configuration, without the value that it quotes.
#[must_use]
pub fn serde_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let expected = text.rfind(", expected ").map_or("", |at| &text[at..]);
    for (start, words) in [("invalid type: ", "invalid type"), ("invalid value: ", "invalid value")] {
        if text.starts_with(start) {
            return format!("{words}{expected}");
        }
    }
    for what in ["unknown field", "unknown variant"] {
        let Some(rest) = text.strip_prefix(what).and_then(|rest| rest.strip_prefix(" `")) else { continue };
        // What is known stands behind the last of these words; the unknown one may hold anything.
        let Some((word, known)) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no fields")) else {
            return what.to_owned();
        };
        let words = known.split('`').skip(1).step_by(2);
        let quoted = near(word, words).map(|word| format!(" `{word}`")).unwrap_or_default();
        return format!("{what}{quoted}{}{known}", if known.is_empty() { "" } else { ", expected " });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_quoted_only_where_it_is_plain_and_near() {
        let known = ["postgres", "redis"];
        assert_eq!(mistaken("backend", "postgers", &known), "unknown backend `postgers`; did you mean `postgres`?");
        for word in ["Zq7SENTINELx9", "postgres://u:Zq7SENTINELx9@h/db", "", &"x".repeat(99)] {
            assert_eq!(mistaken("backend", word, &known), "unknown backend; known are postgres, redis", "{word}");
        }
    }

    #[test]
    fn names_and_paths_are_told_from_secrets() {
        for name in ["DB_PASSWORD", "PW", "_X1"] {
            assert!(is_variable(name), "{name}");
        }
        for name in ["s3cr3t-value", "hunter2", "Zq7SENTINELx9", "A", "", "1A"] {
            assert!(!is_variable(name), "{name}");
        }
        for path in ["/run/secrets/orders-db", "./secret", "../a b/c.pem"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["hunter2", "u/Zq7SENTINELx9@//h", "/abc=?", "//h/x", ""] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn serde_s_words_come_without_values() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its errors are of interest")]
        struct Config {
            password: Option<u8>,
        }
        let words = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).expect("it is JSON");
            serde_words(&serde_json::from_value::<Config>(value).expect_err("a mistake"))
        };
        assert_eq!(words(r#"{"passwrd": 1}"#), "unknown field `passwrd`, expected `password`");
        assert_eq!(words(r#"{"Zq7SENTINELx9": 1}"#), "unknown field, expected `password`");
        assert_eq!(words(r#"{"a`, expected b": 1}"#), "unknown field, expected `password`");
        assert!(words(r#"{"password": "Zq7, expected SENTINELx9"}"#).starts_with("invalid type, expected u8"));
    }
}
