//! Hides what may be a secret in the lines that a mistake shows, also where the text is not TOML.
//!
//! It looks at text, not at meaning, and rather hides too much: the value of every key that sounds like
//! a secret or that nobody knows, and the user part of every URL. A masked byte becomes one `*`, so that
//! places stay what they were.

use std::ops::Range;

use probity_probes::plain;

use super::known::{Guess, KnownKeys, names_a_secret};

/// What is known of the places in a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Certainly secrets.
    pub(super) hidden: Vec<Range<usize>>,
    /// Certainly none.
    pub(super) cleared: Vec<Range<usize>>,
    /// Here the text is no TOML, so that nobody knows where a value ends.
    pub(super) broken: Vec<usize>,
}

/// The text with everything hidden that may be a secret.
pub(super) fn mask(text: &str, known: &KnownKeys, places: &Places) -> String {
    let mut mask = Mask { text, known, hide: vec![false; text.len()] };
    mask.keys();
    for range in &places.cleared {
        mask.set(range.clone(), false);
    }
    for range in &places.hidden {
        mask.quoted(range.clone());
    }
    mask.urls();
    for at in &places.broken {
        mask.broken_line(*at);
    }
    let mut masked = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        if mask.hide[at] && letter != '\n' && letter != '\r' {
            masked.extend(std::iter::repeat_n('*', letter.len_utf8()));
        } else {
            masked.push(letter);
        }
    }
    masked
}

struct Mask<'a> {
    text: &'a str,
    known: &'a KnownKeys,
    hide: Vec<bool>,
}

impl Mask<'_> {
    fn set(&mut self, range: Range<usize>, hide: bool) {
        if let Some(part) = self.hide.get_mut(range) {
            part.fill(hide);
        }
    }

    /// Hides a value, but not the quotes around it.
    fn quoted(&mut self, range: Range<usize>) {
        let Some(value) = self.text.get(range.clone()) else { return };
        let quotes =
            if value.starts_with("\"\"\"") || value.starts_with("'''") { 3 } else { usize::from(value.starts_with(['"', '\''])) };
        let inner = if value.len() >= 2 * quotes { range.start + quotes..range.end - quotes } else { range };
        self.unless_reference(inner);
    }

    /// Goes through the lines: `key = value`, `key: value`, `[table]`, values that go on over lines.
    fn keys(&mut self) {
        let mut table = Guess::Plain;
        let mut open: Option<Open> = None;
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let end = start + line.trim_end_matches(['\n', '\r']).len();
            let trimmed = line.trim_start();
            let at = start + line.len() - trimmed.len();
            match &open {
                Some(Open::Text { quotes }) => {
                    // It may have swallowed what was to stand behind it.
                    let close = self.text[start..end].find(quotes).map(|at| start + at);
                    self.set(start..close.unwrap_or(end), true);
                    if close.is_some() {
                        open = None;
                    }
                }
                Some(Open::List) => {
                    self.set(start..end, true);
                    if trimmed.contains(']') {
                        open = None;
                    }
                }
                None if trimmed.starts_with('[') => {
                    let name = trimmed.trim_matches(|c: char| matches!(c, '[' | ']') || c.is_whitespace());
                    table = match self.guess_path(name) {
                        Guess::Secret => Guess::Secret,
                        _ => Guess::Plain,
                    };
                }
                None if trimmed.is_empty() || trimmed.starts_with('#') => {}
                None => open = self.pairs(at, end, table),
            }
            start += line.len();
        }
    }

    /// The pairs of one line, also inside inline tables.
    fn pairs(&mut self, mut at: usize, end: usize, table: Guess) -> Option<Open> {
        let mut inside: Vec<Guess> = vec![table];
        while at < end {
            let rest = &self.text[at..end];
            match rest.as_bytes()[0] {
                b'}' => {
                    if inside.len() > 1 {
                        inside.pop();
                    }
                    at += 1;
                    continue;
                }
                b'#' => return None,
                b' ' | b'\t' | b',' | b'{' | b']' => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let length = rest.find(['=', ':', ' ', '\t']).unwrap_or(rest.len());
            let length = if rest.starts_with(['"', '\'']) { string(rest).map_or(length, str::len) } else { length };
            let key = rest[..length.min(rest.len())].trim_matches(['"', '\'']);
            let value = rest[length..].trim_start_matches([' ', '\t', '=', ':']);
            let guess = match (inside.last().copied().unwrap_or(Guess::Plain), self.guess_path(key)) {
                (_, Guess::Plain) if matches!(key, "file" | "env") => Guess::Plain,
                (Guess::Secret, _) => Guess::Secret,
                (_, guess) => guess,
            };
            at = end - value.len();
            if value.starts_with('{') {
                inside.push(guess);
                at += 1;
                continue;
            }
            let (skip, open) = self.value(at, end, guess);
            if open.is_some() {
                return open;
            }
            at += skip.max(1);
        }
        None
    }

    /// Hides the value at a place as its key demands. Returns its length, and how it goes on.
    fn value(&mut self, at: usize, end: usize, guess: Guess) -> (usize, Option<Open>) {
        let value = &self.text[at..end];
        for quotes in ["\"\"\"", "'''"] {
            if value.starts_with(quotes) {
                let hide = guess != Guess::Plain;
                let close = value[3..].find(quotes).map(|length| at + 3 + length);
                self.set(at + 3..close.unwrap_or(end), hide);
                return match close {
                    Some(close) => (close + 3 - at, None),
                    None => (value.len(), Some(Open::Text { quotes })),
                };
            }
        }
        if value.starts_with(['"', '\'']) {
            let Some(string) = string(value) else {
                // The closing quote is missing: nobody can tell where it ends.
                self.set(at + 1..end, guess != Guess::Plain);
                return (value.len(), None);
            };
            let inner = &string[1..string.len() - 1];
            let is_shown = plain::is_readable(inner) || plain::is_path(inner) || inner.contains("://");
            self.set(at + 1..at + string.len() - 1, guess != Guess::Plain || !is_shown);
            return (string.len(), None);
        }
        match guess {
            Guess::Secret => {
                self.set(at..end, true);
                let goes_on = value.starts_with('[') && !value.contains(']');
                (value.len(), goes_on.then_some(Open::List))
            }
            Guess::Unknown if !value.starts_with(|c: char| c.is_ascii_digit() || c == '[') && !is_switch(value) => {
                self.set(at..end, true);
                (value.len(), None)
            }
            _ if value.starts_with('$') => {
                self.unless_reference(at..end);
                (value.len(), None)
            }
            _ => (value.find([',', '}', ' ']).unwrap_or(value.len()), None),
        }
    }

    /// A dotted key: a secret if any part of it is.
    fn guess_path(&self, path: &str) -> Guess {
        let mut last = Guess::Plain;
        for part in path.split('.') {
            last = self.known.guess(part.trim_matches(|c: char| matches!(c, '"' | '\'') || c.is_whitespace()));
            if last == Guess::Secret {
                break;
            }
        }
        last
    }

    /// Hides a line that is no TOML behind its first key, if anything in it sounds like a secret.
    fn broken_line(&mut self, at: usize) {
        let at = self.text.floor_char_boundary(at.min(self.text.len()));
        let start = self.text[..at].rfind('\n').map_or(0, |found| found + 1);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        let line = &self.text[start..end];
        let word = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'));
        let first = line.find(['=', ':']).unwrap_or(0);
        // A name with a space in it is a common slip.
        let is_header = line.trim_start().starts_with('[')
            && line.len() <= 100
            && line.trim().chars().all(|c| c.is_ascii_alphanumeric() || " []._-\"'".contains(c));
        let harmless = (is_header || self.known.is_plain(line[..first].trim()) && line.len() <= 120)
            && plain::is_readable(&line[first..])
            && !line.contains(['@', '$'])
            && line.split(word).all(|word| is_header || self.known.guess(word) != Guess::Secret);
        if !harmless {
            self.set(start + first..end, true);
        }
    }

    /// Hides comments, and user parts and parameters of whatever looks like a URL, wherever it stands.
    fn urls(&mut self) {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let mut at = 0;
            while at < line.len() {
                let rest = &line[at..];
                let Some(open) = rest.find(['"', '\'', '#']) else {
                    self.url(start + at, rest);
                    break;
                };
                self.url(start + at, &rest[..open]);
                if rest[open..].starts_with('#') {
                    self.set(start + at + open + 1..start + line.len(), true);
                    break;
                }
                let inner = string(&rest[open..]).map_or(&rest[open..], |string| string);
                self.url(start + at + open, inner);
                at += open + inner.len();
            }
            start += line.len();
        }
    }

    fn url(&mut self, at: usize, text: &str) {
        let body = text.trim_start_matches(['"', '\'']).trim_end_matches(['"', '\'', '\n', '\r']);
        let at = at + text.len() - text.trim_start_matches(['"', '\'']).len();
        let authority = body.find("://").map(|found| found + 3);
        // Without a scheme any of it may be a password: `user/password@//host`, `nats//token@host`.
        if let Some(scheme) =
            body.find("://").map(|end| body[..end].rfind([' ', '=', '"', '\'', ',', '-']).map_or(0, |at| at + 1)..end)
            && !plain::is_scheme(&body[scheme.clone()])
        {
            self.unless_reference(at + scheme.start..at + scheme.end);
        }
        let last = body.rfind('@');
        let before = &body[..last.unwrap_or(0)];
        let user = before.find("://").map(|found| found + 3).or_else(|| before.find([':', '=']).map(|found| found + 1));
        if let Some(to) = last
            && let from = user.unwrap_or(0)
            && from < to
        {
            self.unless_reference(at + from..at + to);
        } else if let Some(from) = authority {
            // Without `@`: `scheme://user:password`, where a port would have been digits.
            let rest = &body[from..];
            let whole = rest.find(['/', '?', '#', ']', ' ']).unwrap_or(rest.len());
            if let Some(colon) = rest[..whole].rfind(':')
                && !rest[colon + 1..whole].bytes().all(|byte| byte.is_ascii_digit())
            {
                self.unless_reference(at + from..at + from + whole);
            }
        }
        // Inside a string a parameter ends with `&`; elsewhere nobody knows.
        let ends: &[char] = if text.starts_with(['"', '\'']) { &['&'] } else { &['&', ';', ' ', '"', '\''] };
        for (found, _) in body.match_indices(['?', '&']) {
            let pair = &body[found + 1..];
            let whole = pair.find(ends).unwrap_or(pair.len());
            let length = pair[..whole].find('=').unwrap_or(whole);
            if !(1..=24).contains(&length)
                || !pair.as_bytes()[..length].iter().all(|byte| byte.is_ascii_alphabetic() || b"_-".contains(byte))
            {
                self.unless_reference(at + found + 1..at + found + 1 + whole);
            }
        }
        for (found, _) in body.match_indices('=') {
            let name =
                body[..found].rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).next().unwrap_or_default();
            let value = &body[found + 1..];
            let is_parameter = body[..found - name.len()].ends_with(['?', '&']);
            let length = value.find(ends).unwrap_or(value.len());
            let is_plain = is_setting(&value[..length]) && !names_a_secret(name);
            if !name.is_empty() && found > name.len() && (self.known.guess(name) == Guess::Secret || is_parameter && !is_plain) {
                self.unless_reference(at + found + 1..at + found + 1 + length);
            }
        }
    }

    /// Hides a stretch, but for `${NAME}` in it, which says nothing.
    fn unless_reference(&mut self, range: Range<usize>) {
        self.set(range.clone(), true);
        let mut at = range.start;
        while let Some(found) = self.text[at..range.end].find("${") {
            let start = at + found;
            let Some(length) = self.text[start..range.end].find('}') else { return };
            if plain::is_variable(&self.text[start + 2..start + length]) {
                self.set(start..start + length + 1, false);
            }
            at = start + length + 1;
        }
    }
}

/// A value that goes on in the next line.
enum Open {
    Text { quotes: &'static str },
    List,
}

/// The string at the start of a text, with its quotes; `None` if it does not end.
fn string(text: &str) -> Option<&str> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\\' if quote == '"' && !escaped => escaped = true,
            letter if letter == quote && !escaped => return Some(&text[..=at]),
            _ => escaped = false,
        }
    }
    None
}

/// Whether the value of a parameter is a word or a small number: `verify-full`, `5432`.
fn is_setting(value: &str) -> bool {
    let is_word = value.len() <= 24 && value.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-".contains(&byte));
    is_word || value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_switch(value: &str) -> bool {
    value.starts_with("true") || value.starts_with("false")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> KnownKeys {
        let mut known = KnownKeys::default();
        known.learn(&serde_json::json!({ "properties": {
            "password": { "writeOnly": true }, "interval": {}, "url": {}, "tls": {}, "ca": {}, "backend": {},
        } }));
        known
    }

    #[test]
    fn nothing_that_sounds_like_a_secret_is_shown() {
        const S: &str = "hunter2-sentinel";
        for line in [
            "password = \"§\"",
            "password = '§'",
            "password = §",
            "password: §",
            "password: \"§\"",
            "password §",
            "password = \"§",
            "password = [\"§\"]",
            "password = [\n  \"§\",\n]",
            "password = { value = \"§\" }",
            "password = { value = § }",
            "password.value = \"§\"",
            "x = { password = \"§\" }",
            "x = { a = 1, password = \"§\" }",
            "[dependencies.db.password]\nvalue = \"§\"",
            "pasword = \"§\"",
            "pw = \"§\"",
            "\"password\" = \"§\"",
            "PASSWORD = \"§\"",
            "admin_token = \"§\"",
            "password = \"\"\"§\"\"\"",
            "password = \"\"\"\nS\n\"\"\"",
            "password = '''\nS",
            "password = \"${VAR:-§}\"",
            "url = \"postgres://u:§@h/db\"",
            "url = \"postgres://u:§/§@h/db\"",
            "url = \"postgres://u:§@§@h/db\"",
            "url = \"postgres//u:§@h/db\"",
            "url = \"postgres:/u:§@h\"",
            "url = \"postgres://u:§\"",
            "url = \"nats://§@h\"",
            "url = postgres://u:§@h/db",
            "url = \"postgres://u:§@h",
            "url = \"postgres://h/db?password=§\"",
            "url = \"postgres://h/db?a=1&sslpassword=§&b=2\"",
            "url = \"host=h password=§ user=u\"",
            "url = \"${URL:-postgres://u:§@h/db}\"",
            "interval = 3 # postgres://u:§@h/db",
            "interval = \"10s\" , password = \"§\"",
            "tls = { ca = \"x\", password = \"§\"",
            "url = \"nats//§@h\"",
            "url = \"u/§@//h:1521/svc\"",
            "url = \"http://h/x?sv=1&X-Amz-Signature=§&x=§\"",
            "interval = \"3s\" # the old one was §",
            "# password is §",
            "url = \"redis://h\" # §",
            "interval = ${§}",
            "url = \"http://h/x?sig=abc §\"",
            "url = \"http://h/x?sig=a;§\"",
            "url = \"http://h/x?token=x'§\"",
            "url = \"http://h/x?x[sig]=§&token=a\"",
            "url = \"http://h/x?token=x&X.y~z=§\"",
            "url = \"http://h/x?api'_key=§&x=1\"",
        ] {
            let text = line.replace('§', S);
            let masked = mask(&text, &known(), &Places::default());
            assert!(!masked.contains(S), "{masked}");
            assert_eq!(masked.len(), text.len());
        }
    }

    #[test]
    fn what_is_harmless_stays() {
        for text in [
            "interval = \"10s\"",
            "intervall = \"10s\"",
            "password = { file = \"/run/secrets/db\" }",
            "password = { env = \"DB_PASSWORD\" }",
            "url = \"postgres://db:5432/orders\"",
            "url = \"postgres://${USER}:${PASSWORD}@db/orders\"",
            "url = \"http://[::1]:80/x?a=b\"",
            "[dependencies.db]",
            "tls = { ca = \"/etc/ca.pem\" }",
            "frobnicate = 3",
        ] {
            let masked = mask(text, &known(), &Places::default());
            let expected = text.replace("${USER}:${PASSWORD}", "${USER}*${PASSWORD}");
            assert_eq!(masked, expected);
        }
    }

    fn spot(start: usize, end: usize) -> Range<usize> {
        start..end
    }

    #[test]
    fn what_is_certain_overrules_what_is_guessed() {
        let text = "team = \"core\"\nx = \"abc\"";
        let places = Places { hidden: vec![spot(18, 23)], cleared: vec![spot(7, 13)], broken: Vec::new() };
        assert_eq!(mask(text, &known(), &places), "team = \"core\"\nx = \"***\"");
    }
}
