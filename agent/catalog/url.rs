//! Variables inside a URL: each value is encoded for the place where it was written, so that it moves no border.
//!
//! The structure is that of the text as typed. Where the scheme itself comes from a variable there is none, and the
//! URL counts as written by others: nothing is encoded, and what is ambiguous is refused by [`Address::parse`].
//!
//! [`Address::parse`]: probity_probes::address::Address::parse

use std::cell::RefCell;

use probity_probes::plain;

use super::expand::{Environment, Expanded, Unexpandable, expand};

/// A URL after expansion.
#[derive(Debug, Default)]
pub(super) struct ExpandedUrl {
    pub(super) expanded: Expanded,
    /// Whether anything in it came from the environment.
    pub(super) has_values: bool,
    /// Whether the path did, or a part of it.
    pub(super) has_path_value: bool,
    /// The values in path and parameters.
    pub(super) values: Vec<String>,
}

/// Why a URL cannot be expanded.
pub(super) enum NoUrl {
    Reference(Unexpandable),
    /// A sentence that quotes nothing of a value.
    Value(String),
}

/// Where a value stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There is no structure around it.
    Whole,
    UserInfo,
    Host {
        is_first: bool,
    },
    Path,
    Parameter,
    /// One parameter or several.
    Parameters,
}

/// A character that stands for a value until its place is known: from a plane of Unicode for private use.
const MARKS: std::ops::Range<u32> = 0xf_0000..0xf_ff00;

/// Expands a URL.
pub(super) fn expand_url(raw: &str, environment: Environment<'_>) -> Result<ExpandedUrl, NoUrl> {
    if raw.chars().any(|letter| MARKS.contains(&u32::from(letter))) {
        return Err(NoUrl::Value("a URL with a character for private use".into()));
    }
    let found: RefCell<Vec<(String, String)>> = RefCell::default();
    let marked = |name: &str| {
        let value = match environment(name)? {
            Some(value) if !value.is_empty() => value,
            nothing => return Ok(nothing),
        };
        let mut found = found.borrow_mut();
        let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let mark = char::from_u32(MARKS.start.saturating_add(number)).filter(|mark| MARKS.contains(&u32::from(*mark)));
        if mark.is_some() {
            found.push((name.to_owned(), value));
        }
        Ok(mark.map(|mark| mark.to_string()))
    };
    let template = expand(raw, &marked).map_err(NoUrl::Reference)?.text;
    let found = found.into_inner();
    let borders = Borders::of(&template);
    let mut url = ExpandedUrl::default();
    for (at, letter) in template.char_indices() {
        let value = u32::from(letter).checked_sub(MARKS.start).and_then(|number| found.get(usize::try_from(number).ok()?));
        let Some((name, value)) = value else {
            url.expanded.text.push(letter);
            continue;
        };
        let place = borders.place(&template, at);
        let encoded = encoded(value, place).ok_or_else(|| NoUrl::Value(refusal(name, place)))?;
        url.expanded.push(&encoded);
        url.has_values = true;
        url.has_path_value |= matches!(place, Place::Path | Place::Whole);
        if matches!(place, Place::Path | Place::Parameter | Place::Parameters) {
            url.values.push(value.clone());
        }
    }
    Ok(url)
}

/// Where the parts of a URL as typed end.
struct Borders {
    /// Behind `://`; none without a scheme that was typed.
    authority: Option<usize>,
    /// Behind the last `@` of the authority.
    host: usize,
    path: usize,
    parameters: usize,
}

impl Borders {
    fn of(template: &str) -> Self {
        let is_mark = |letter: char| MARKS.contains(&u32::from(letter));
        let Some(scheme) = template.find("://").filter(|at| !template[..*at].contains(is_mark)) else {
            return Self { authority: None, host: 0, path: 0, parameters: 0 };
        };
        let authority = scheme + 3;
        // Lists of hosts may repeat the scheme.
        let again = format!(",{}://", &template[..scheme]);
        let mut path = authority;
        loop {
            path += template[path..].find(['/', '?', '#']).unwrap_or(template.len() - path);
            let is_again = template[..path].ends_with(&again[..again.len() - 2]) && template[path..].starts_with("//");
            if !is_again {
                break;
            }
            path += 2;
        }
        let host = template[authority..path].rfind('@').map_or(authority, |at| authority + at + 1);
        let parameters = template[path..].find('?').map_or(template.len(), |at| path + at);
        Self { authority: Some(authority), host, path, parameters }
    }

    fn place(&self, template: &str, at: usize) -> Place {
        let Some(authority) = self.authority else { return Place::Whole };
        match at {
            _ if at < self.host => Place::UserInfo,
            _ if at < self.path => Place::Host { is_first: at == authority },
            _ if at < self.parameters => Place::Path,
            _ => {
                let pair = template[self.parameters..at].rsplit(['?', '&']).next().unwrap_or_default();
                if pair.contains('=') { Place::Parameter } else { Place::Parameters }
            }
        }
    }
}

fn is_unreserved(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-._~".contains(letter)
}

/// A value as it may stand in a place; none where it would move a border, or means two things.
fn encoded(value: &str, place: Place) -> Option<String> {
    let is_all = |allowed: &dyn Fn(char) -> bool| value.chars().all(allowed).then(|| value.to_owned());
    match place {
        Place::Whole => Some(value.to_owned()),
        Place::UserInfo | Place::Parameter if !has_code(value) => Some(with_codes(value, is_unreserved)),
        Place::UserInfo | Place::Parameter => is_encoded(value).then(|| value.to_owned()),
        // A socket instead of a host.
        Place::Host { is_first: true } if value.starts_with('/') => {
            is_all(&|letter| letter.is_alphanumeric() || "/-._~".contains(letter))
        }
        Place::Host { .. } => is_all(&|letter| letter.is_alphanumeric() || "-._:[],".contains(letter)),
        Place::Path if has_code(value) => is_all(&|letter| is_unreserved(letter) || "%/:,+=!$&'()*;".contains(letter)),
        Place::Path => Some(with_codes(value, |letter| is_unreserved(letter) || "/:,+=!$&'()*;".contains(letter))),
        Place::Parameters => is_all(&|letter| is_unreserved(letter) || "%=&+/:,;".contains(letter)),
    }
}

/// Whether there is a `%` with two digits behind it.
fn has_code(value: &str) -> bool {
    value.as_bytes().windows(3).any(|part| part[0] == b'%' && part[1].is_ascii_hexdigit() && part[2].is_ascii_hexdigit())
}

/// Whether nothing in a value would have to be encoded.
fn is_encoded(value: &str) -> bool {
    let mut rest = value;
    while let Some(letter) = rest.chars().next() {
        let code = rest.as_bytes().get(1..3).filter(|code| letter == '%' && code.iter().all(u8::is_ascii_hexdigit));
        match code {
            Some(_) => rest = &rest[3..],
            None if is_unreserved(letter) => rest = &rest[1..],
            None => return false,
        }
    }
    true
}

fn with_codes(value: &str, stays: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        if stays(letter) {
            text.push(letter);
        } else {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                text.push('%');
                text.extend([byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])));
            }
        }
    }
    text
}

fn refusal(name: &str, place: Place) -> String {
    let shown = plain::spaced_variable(name);
    let of = if shown.is_empty() { "of a variable".to_owned() } else { format!("of{shown}") };
    let reference = if shown.is_empty() { "…".to_owned() } else { format!("\"{}\"", shown.trim()) };
    match place {
        Place::UserInfo => format!(
            "a URL in whose user info the value {of} is encoded in part: encode all of it, or use `password = {{ env = {reference} }}`"
        ),
        Place::Host { .. } => {
            format!(
                "a URL in whose host the value {of} has characters that no host and port have: let the whole URL come from it"
            )
        }
        _ => format!("a URL in which the value {of} has characters with a meaning of their own: percent-encode them"),
    }
}

#[cfg(test)]
mod tests {
    use probity_probes::address::Address;

    use super::*;

    fn filled(raw: &str, value: &str) -> Result<String, String> {
        match expand_url(raw, &|name| Ok((name == "V").then(|| value.to_owned()))) {
            Ok(url) => Ok(url.expanded.text),
            Err(NoUrl::Value(why)) => Err(why),
            Err(NoUrl::Reference(why)) => Err(why.title),
        }
    }

    /// Whatever the password is, the rest of the URL stays what it was.
    #[test]
    fn a_password_moves_no_border() {
        for secret in [
            "a?b",
            "a/b",
            "a#b",
            "a%b",
            "a@b",
            "a:b",
            "a b",
            "a\"b'",
            "пароль",
            "a%zz",
            "%",
            "?",
            "#/@:",
            "a,b",
            "[x]",
            "\\",
            "a\tb\n",
            "a@other:1/x?y#z",
            "a+b=c&d",
        ] {
            let text = filled("postgres://user:${V}@host:5433/db?sslmode=disable", secret)
                .unwrap_or_else(|why| panic!("{secret:?}: {why}"));
            let address = Address::parse(&text).unwrap_or_else(|why| panic!("{secret:?}: {why}"));
            let password = address.password().expect("one").read().expect("at hand");
            assert_eq!((address.user(), password.as_str()), (Some("user"), secret));
            assert_eq!(address.to_string(), "postgres://host:5433/db");
            assert_eq!(address.parameters().collect::<Vec<_>>(), [("sslmode".to_owned(), "disable".to_owned())]);
        }
    }

    #[test]
    fn a_password_that_is_encoded_stays_so() {
        assert_eq!(filled("x://u:${V}@h", "s%40cret-._~").as_deref(), Ok("x://u:s%40cret-._~@h"));
        assert_eq!(
            filled("x://u:${V}@h", "s%40cr?t"),
            Err("a URL in whose user info the value of a variable is encoded in part: encode all of it, or use `password = { env = … }`".into())
        );
    }

    #[test]
    fn other_places_keep_their_borders_too() {
        for (raw, value, text) in [
            ("x://${V}/db", "h:1", Some("x://h:1/db")),
            ("x://${V}/db", "a:1,b:2", Some("x://a:1,b:2/db")),
            ("x://${V}", "/run/x.sock", Some("x:///run/x.sock")),
            ("x://${V}/db", "u:p@h", None),
            ("x://${V}/db", "h/other", None),
            ("x://${V}/db", "h?x", None),
            ("x://h:${V}/db", "1@evil", None),
            ("x://h/${V}", "a/b", Some("x://h/a/b")),
            ("x://h/${V}", "a?b#c@d", Some("x://h/a%3Fb%23c%40d")),
            ("x://h/${V}", "a%20b", Some("x://h/a%20b")),
            ("x://h/${V}", "a%20b?c", None),
            ("x://h/?k=${V}", "a&b=c#@d", Some("x://h/?k=a%26b%3Dc%23%40d")),
            ("x://h/?${V}", "a=1&b=2", Some("x://h/?a=1&b=2")),
            ("x://h/?${V}", "a=1#b", None),
            ("x://h/?${V}", "a=@b", None),
            ("${V}", "x://u:p%40@h/db", Some("x://u:p%40@h/db")),
            ("${V}/db", "x://u:p?@h", Some("x://u:p?@h/db")),
            ("x://u:${N:-a}@h", "", Some("x://u:a@h")),
        ] {
            assert_eq!(filled(raw, value).ok().as_deref(), text, "{raw} with {value}");
        }
    }
}
