//! Makes text that a peer sent fit to be shown: one line, bounded, and without secrets.
//!
//! A secret is looked for in the whole text before anything is cut, and in the forms in which servers really repeat
//! what they were sent: as it is, in other case, with white space, control characters and zero-width characters inside,
//! percent-encoded, escaped as in JSON or HTML, in hexadecimal, and in base64 at any place of the encoded text. A piece
//! of a secret is hidden, too, if it is long enough to be no accident, or stands where a text was cut.
//! What is not found: hashes, encodings of encodings, other character sets for secrets with hardly any ASCII in them,
//! and texts that were made to defeat this, such as a secret that is reversed.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, LazyLock, OnceLock},
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use regex::Regex;
use zeroize::Zeroizing;

use crate::finding::Value;

/// Longest text of a peer that is kept, in bytes.
pub(crate) const MESSAGE_LIMIT: usize = 256;

/// What replaces a secret.
const MASK: &str = "[secret]";

/// So many secrets are remembered, more than an entry has: those of before a rotation may still be in what a peer says.
const MOST: usize = 256;

/// So many equal pieces of one secret are looked for.
const MOST_ALIKE: usize = 4;

/// A shorter secret, and a word of letters alone, is hidden only where it stands by itself: removing every "a" would
/// make messages useless without hiding anything.
const SHORTEST: usize = 4;
const LONGEST_WORD: usize = 16;

/// A piece of a secret is hidden from this length on: anywhere, if it is its beginning, and at a cut.
const PIECE: usize = 12;
const BEGINNING: usize = 8;
const AT_CUT: usize = 4;

/// Shapes of secrets that are removed even when we never saw them.
static SHAPES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        // user:password@ in a URL
        (r#"://[^\s"'<>]*@"#, "://[secret]@"),
        // key=value and "key": "value"
        (
            r#"(?i)\b(password|passwd|pwd|token|secret|api[_-]?key|authorization|x-[a-z-]*-token|x-[a-z-]*-signature|sig|signature|sasl\.jaas\.config)\b("?\s*[=:]\s*"?)(?:(?:basic|bearer)\s+)?[^\s"',;&]+"#,
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
    /// The one that was read last is the last.
    secrets: Vec<Arc<Zeroizing<String>>>,
    index: OnceLock<Arc<Index>>,
    read: bool,
}

impl Redactor {
    /// From now on this value is removed wherever it appears.
    pub(crate) fn learn(&mut self, secret: &str) {
        self.read = true;
        self.avoid(secret);
    }

    /// The same, for what is no credential of a log-in: a part of a URL, say.
    pub(crate) fn avoid(&mut self, secret: &str) {
        if let Some(at) = self.secrets.iter().position(|known| known.as_str() == secret) {
            // The index does not depend on their order.
            let known = self.secrets.remove(at);
            self.secrets.push(known);
        } else if !squeezed(secret).is_empty() {
            if self.secrets.len() == MOST {
                self.secrets.remove(0);
            }
            self.secrets.push(Arc::new(Zeroizing::new(secret.to_owned())));
            self.index = OnceLock::new();
        }
    }

    /// Whether any secret was read.
    pub(crate) fn knows_secrets(&self) -> bool {
        self.read
    }

    /// A text of a peer: one line of at most 256 bytes without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.cleaned(text, true)
    }

    /// A sentence of ours. Words of the language stay in it, because their absence would say that they are secrets.
    pub(crate) fn clean_own(&self, text: &str) -> String {
        self.cleaned(text, false)
    }

    /// What a peer said of itself: words are cleaned.
    pub(crate) fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::from(self.clean(&text)),
            other => other,
        }
    }

    fn cleaned(&self, text: &str, is_foreign: bool) -> String {
        let index = self.index.get_or_init(|| Arc::new(Index::of(&self.secrets)));
        // Much longer than what is shown, so that a long secret is seen as a whole; its beginning at the end is hidden.
        let (mut line, is_cut) = one_line_within(text, 16 * MESSAGE_LIMIT + 8 * index.longest);
        let found = index.find(&line, is_foreign);
        for range in found.into_iter().rev() {
            line.replace_range(range, MASK);
        }
        for (shape, with) in SHAPES.iter() {
            if shape.is_match(&line) {
                line = shape.replace_all(&line, *with).into_owned();
            }
        }
        cut(line, is_cut, MESSAGE_LIMIT)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

/// One line: control characters become spaces, runs of white space one space, the rest is cut at `limit` bytes.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let (line, is_cut) = one_line_within(text, limit);
    cut(line, is_cut, limit)
}

/// The same without a mark where it was cut, and whether it was.
fn one_line_within(text: &str, limit: usize) -> (String, bool) {
    let mut line = String::new();
    let mut is_space = false;
    for letter in text.chars().filter(|letter| !is_invisible(*letter)) {
        if letter.is_control() || letter.is_whitespace() {
            is_space = !line.is_empty();
            continue;
        }
        if line.len() + usize::from(is_space) + letter.len_utf8() > limit {
            return (line, true);
        }
        if is_space {
            line.push(' ');
            is_space = false;
        }
        line.push(letter);
    }
    (line, false)
}

fn cut(mut line: String, is_cut: bool, limit: usize) -> String {
    if is_cut || line.len() > limit {
        line.truncate(line.floor_char_boundary(limit - '…'.len_utf8()));
        line.push('…');
    }
    line
}

/// Zero-width characters and those that turn the direction: they only serve to hide something.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What is compared of a text: its visible characters, in lower case.
fn squeezed(text: &str) -> Vec<u8> {
    let seen = text.chars().filter(|letter| !letter.is_control() && !letter.is_whitespace() && !is_invisible(*letter));
    seen.collect::<String>().to_ascii_lowercase().into_bytes()
}

/// The forms of all secrets, and where their pieces are.
struct Index {
    /// Forms that are hidden in whole and in pieces.
    forms: Vec<Form>,
    /// Those of fewer bytes than a key, and every fifth place of the others by the eight bytes there: a piece of twelve has
    /// one of them.
    short: Vec<usize>,
    places: HashMap<[u8; 8], Vec<(usize, usize)>>,
    /// Words and secrets of up to three characters, in lower case.
    words: Vec<Zeroizing<Vec<u8>>>,
    /// Whether a form has only the ASCII characters of its secret.
    has_skeletons: bool,
    longest: usize,
}

struct Form {
    bytes: Zeroizing<Vec<u8>>,
    /// What is left of it stands in the same run of base64.
    is_base64: bool,
    /// The secret without its other characters, for peers that cannot show them.
    is_skeleton: bool,
}

impl Index {
    fn of(secrets: &[Arc<Zeroizing<String>>]) -> Self {
        let mut index = Self {
            forms: Vec::new(),
            short: Vec::new(),
            places: HashMap::new(),
            words: Vec::new(),
            has_skeletons: false,
            longest: secrets.iter().map(|secret| secret.len()).max().unwrap_or_default(),
        };
        for secret in secrets {
            index.add(secret);
        }
        index
    }

    fn add(&mut self, secret: &str) {
        let squeezed = squeezed(secret);
        let is_word = squeezed.len() <= LONGEST_WORD && secret.trim().bytes().all(|byte| byte.is_ascii_alphabetic());
        if squeezed.len() < SHORTEST || is_word {
            self.words.push(Zeroizing::new(squeezed.clone()));
        }
        if !is_word && squeezed.len() >= SHORTEST {
            let skeleton: Vec<u8> = squeezed.iter().copied().filter(u8::is_ascii).collect();
            if skeleton.len() < squeezed.len() && skeleton.len() >= AT_CUT {
                self.form(skeleton, false, true);
            }
            self.form(squeezed, false, false);
        }
        if secret.len() >= SHORTEST {
            self.form(secret.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(), false, false);
        }
        // What stands before it moves it by up to two bytes; the ends are shared with what is around it.
        for before in 0..3 {
            let text = BASE64_STANDARD_NO_PAD.encode([&[0; 3][..before], secret.as_bytes()].concat());
            let from = (before * 4).div_ceil(3);
            let till = (before + secret.len()) * 4 / 3;
            let Some(sure) = text.get(from..till).filter(|sure| sure.len() >= BEGINNING) else { continue };
            let url_safe = sure.replace('+', "-").replace('/', "_");
            for sure in if url_safe == sure { vec![url_safe] } else { vec![sure.to_owned(), url_safe] } {
                self.form(sure.to_ascii_lowercase().into_bytes(), true, false);
            }
        }
    }

    fn form(&mut self, bytes: Vec<u8>, is_base64: bool, is_skeleton: bool) {
        let number = self.forms.len();
        if bytes.len() < 8 {
            self.short.push(number);
        }
        for (offset, key) in bytes.windows(8).enumerate().step_by(PIECE - 7) {
            let Ok(key) = key.try_into() else { continue };
            let places = self.places.entry(key).or_default();
            // A secret that repeats itself is found by its first places, and comparing stays bounded.
            if places.iter().filter(|(known, _)| *known == number).count() < MOST_ALIKE {
                places.push((number, offset));
            }
        }
        self.has_skeletons |= is_skeleton;
        self.forms.push(Form { bytes: Zeroizing::new(bytes), is_base64, is_skeleton });
    }

    /// Where something has to be hidden: in order, and apart from each other.
    fn find(&self, line: &str, is_foreign: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if !self.forms.is_empty() || !self.words.is_empty() {
            let is_encoded = line.contains(['%', '\\', '&']);
            let mut ways = vec![Way::default()];
            ways.extend(is_encoded.then_some(Way { decode: true, ..Way::default() }));
            ways.extend(line.contains('+').then_some(Way { decode: is_encoded, plus_is_space: true, ..Way::default() }));
            if self.has_skeletons {
                let skeletons: Vec<_> = ways.iter().map(|way| Way { only_ascii: true, ..*way }).collect();
                ways.extend(skeletons);
            }
            for way in ways {
                let view = View::of(line, way);
                self.find_in(&view, line, &mut found);
                if is_foreign && !view.only_ascii {
                    self.find_words(&view, &mut found);
                }
            }
        }
        found.sort_by_key(|range: &Range<usize>| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in found {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        apart
    }

    fn find_in(&self, view: &View, line: &str, found: &mut Vec<Range<usize>>) {
        let bytes = &view.bytes[..];
        let mut note = |form: &Form, part: Range<usize>| {
            let mut range = view.range(part);
            if form.is_base64 {
                let is_outside = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"+/_=-".contains(byte);
                let line = line.as_bytes();
                range.start = line[..range.start].iter().rposition(is_outside).map_or(0, |at| at + 1);
                range.end = line[range.end..].iter().position(is_outside).map_or(line.len(), |at| range.end + at);
            }
            found.push(range);
        };
        let fits = |form: &Form| form.is_skeleton == view.only_ascii || view.only_ascii && form.bytes.is_ascii();
        let mut done = HashMap::new();
        for at in 0..bytes.len().saturating_sub(7) {
            let Some(places) = bytes[at..].first_chunk::<8>().and_then(|key| self.places.get(key)) else { continue };
            for &(number, offset) in places {
                let form = &self.forms[number];
                // Along one diagonal a run is found once.
                let diagonal = done.entry((number, at.wrapping_sub(offset))).or_insert(0);
                if *diagonal > at || !fits(form) {
                    continue;
                }
                let same = |(a, b): &(&u8, &u8)| a == b;
                let before = bytes[..at].iter().rev().zip(form.bytes[..offset].iter().rev()).take_while(same).count();
                let behind = bytes[at..].iter().zip(&form.bytes[offset..]).take_while(same).count();
                *diagonal = at + behind;
                let enough = if before == offset { BEGINNING } else { PIECE };
                if before + behind >= enough.min(form.bytes.len()) {
                    note(form, at - before..at + behind);
                }
            }
        }
        for form in self.short.iter().map(|number| &self.forms[*number]).filter(|form| fits(form)) {
            for at in 0..=bytes.len().saturating_sub(form.bytes.len()) {
                if bytes[at..].starts_with(&form.bytes) {
                    note(form, at..at + form.bytes.len());
                }
            }
        }
        // At the ends, and where somebody else has cut.
        for Range { start, end } in view.stretches() {
            for form in self.forms.iter().filter(|form| fits(form)) {
                let most = form.bytes.len().min(PIECE + BEGINNING).min(end - start);
                let mut lengths = (AT_CUT..=most).rev();
                if let Some(length) = lengths.clone().find(|length| bytes[start..end].ends_with(&form.bytes[..*length])) {
                    note(form, end - length..end);
                }
                let tail = |length: usize| &form.bytes[form.bytes.len() - length..];
                if let Some(length) = lengths.find(|length| bytes[start..end].starts_with(tail(*length))) {
                    note(form, start..start + length);
                }
            }
        }
    }

    /// Words that stand alone. What a view leaves out, such as an escaped line break, ends a word.
    fn find_words(&self, view: &View, found: &mut Vec<Range<usize>>) {
        let is_part = |at: usize| view.bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        let touches = |at: usize| match (view.from.get(at), view.from.get(at + 1)) {
            (Some(left), Some(right)) => left == right || left.1 == right.0,
            _ => false,
        };
        for word in &self.words {
            for at in 0..=view.bytes.len().saturating_sub(word.len()) {
                let end = at + word.len();
                let goes_on = |inside: usize, outside: usize, left: usize| is_part(inside) && is_part(outside) && touches(left);
                if view.bytes[at..].starts_with(word)
                    && (at..end - 1).all(touches)
                    && !(at > 0 && goes_on(at, at - 1, at - 1))
                    && !goes_on(end - 1, end, end - 1)
                {
                    found.push(view.range(at..end));
                }
            }
        }
    }
}

/// How a text is looked at.
#[derive(Clone, Copy, Default)]
struct Way {
    decode: bool,
    plus_is_space: bool,
    only_ascii: bool,
}

/// What is compared of a text, and where each byte of it comes from.
struct View {
    bytes: Vec<u8>,
    from: Vec<(usize, usize)>,
    only_ascii: bool,
}

impl View {
    fn of(line: &str, way: Way) -> Self {
        let mut view =
            Self { bytes: Vec::with_capacity(line.len()), from: Vec::with_capacity(line.len()), only_ascii: way.only_ascii };
        let mut at = 0;
        while let Some(letter) = line[at..].chars().next() {
            let decoded = if way.decode { decoded(&line[at..]) } else { None };
            let (symbol, length) = decoded.unwrap_or((Symbol::Letter(letter), letter.len_utf8()));
            match symbol {
                Symbol::Letter('+') if way.plus_is_space && decoded.is_none() => {}
                Symbol::Letter(letter) if letter.is_whitespace() || letter.is_control() || is_invisible(letter) => {}
                Symbol::Letter(letter) => {
                    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                        view.push(byte, at..at + length);
                    }
                }
                Symbol::Byte(byte) if byte.is_ascii_whitespace() || byte.is_ascii_control() => {}
                Symbol::Byte(byte) => view.push(byte, at..at + length),
            }
            at += length;
        }
        view
    }

    fn push(&mut self, byte: u8, from: Range<usize>) {
        if byte.is_ascii() || !self.only_ascii {
            self.bytes.push(byte.to_ascii_lowercase());
            self.from.push((from.start, from.end));
        }
    }

    /// Where a part of it comes from.
    fn range(&self, part: Range<usize>) -> Range<usize> {
        match (self.from.get(part.start), self.from.get(part.end - 1)) {
            (Some((start, _)), Some((_, end))) => *start..*end,
            _ => 0..0,
        }
    }

    /// The parts between marks of a cut, without the punctuation around them.
    fn stretches(&self) -> Vec<Range<usize>> {
        const MARKS: [&[u8]; 2] = ["…".as_bytes(), b"..."];
        let mut stretches = Vec::new();
        let mut start = 0;
        for at in 0..=self.bytes.len() {
            let mark = MARKS.iter().find(|mark| self.bytes[at..].starts_with(mark));
            if at < start || mark.is_none() && at < self.bytes.len() {
                continue;
            }
            let trim = |byte: &u8| b"'\"`()[]<>{}.,;:!?".contains(byte);
            let stretch = &self.bytes[start..at];
            let first = stretch.iter().position(|byte| !trim(byte)).unwrap_or(stretch.len());
            let last = stretch.iter().rposition(|byte| !trim(byte)).map_or(first, |last| last + 1);
            stretches.push(start + first..start + last);
            // A secret may have punctuation of its own.
            if first > 0 || last < stretch.len() {
                stretches.push(start..at);
            }
            start = at + mark.map_or(0, |mark| mark.len());
        }
        stretches
    }
}

#[derive(Clone, Copy)]
enum Symbol {
    Letter(char),
    Byte(u8),
}

/// The encoded character at the start of a text, and its length there.
fn decoded(text: &str) -> Option<(Symbol, usize)> {
    let hex = |from: usize, length: usize| {
        let digits = text.get(from..from + length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let byte = |from: usize| hex(from, 2).and_then(|byte| u8::try_from(byte).ok());
    match text.as_bytes() {
        [b'%', ..] => Some((Symbol::Byte(byte(1)?), 3)),
        [b'\\', b'x', ..] => Some((Symbol::Byte(byte(2)?), 4)),
        [b'\\', b'u', ..] => {
            let first = hex(2, 4)?;
            let second = if text[6..].starts_with("\\u") { hex(8, 4) } else { None };
            match (first, second) {
                (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
                    let letter = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
                    Some((Symbol::Letter(letter), 12))
                }
                _ => Some((Symbol::Letter(char::from_u32(first)?), 6)),
            }
        }
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => Some((Symbol::Letter(' '), 2)),
        [b'\\', sign @ (b'"' | b'\'' | b'\\' | b'/'), ..] => Some((Symbol::Letter(char::from(*sign)), 2)),
        [b'&', ..] => {
            let end = text.bytes().take(10).position(|byte| byte == b';')?;
            let name = &text[1..end];
            let letter = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                "nbsp" => ' ',
                _ => {
                    let number = name.strip_prefix('#')?;
                    let code = match number.strip_prefix(['x', 'X']) {
                        Some(digits) => u32::from_str_radix(digits, 16),
                        None => number.parse(),
                    };
                    char::from_u32(code.ok()?)?
                }
            };
            Some((Symbol::Letter(letter), end + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(secrets: &[&str]) -> Redactor {
        let mut redactor = Redactor::default();
        for secret in secrets {
            redactor.learn(secret);
        }
        redactor
    }

    #[test]
    fn words_stand_alone_in_escaped_text_as_well() {
        let redactor = knows(&["correcthorse", "open  sesame"]);
        for (text, clean) in [
            (r"unknown *3\r\n$12\r\ncorrecthorse\r\n", r"unknown *3\r\n$12\r\n[secret]\r\n"),
            (r"p\u0000correcthorse\u0000", r"p\u0000[secret]\u0000"),
            ("AUTH%20correcthorse%0d%0a", "AUTH%20[secret]%0d%0a"),
            ("GET ?tok%3Dcorrecthorse", "GET ?tok%3D[secret]"),
            ("got CorrectHorse.", "got [secret]."),
            ("got correcthorses", "got correcthorses"),
            ("got open sesame here", "got [secret] here"),
            ("got open%20sesame", "got [secret]"),
            ("got opensesame", "got [secret]"),
        ] {
            assert_eq!(redactor.clean(text), clean, "{text}");
        }
    }

    #[test]
    fn a_piece_of_twelve_is_found_wherever_it_begins() {
        const SECRET: &str = "Kd8wQz3nVx6rTy1mBp5sHj9cLf2gNa7e";
        let redactor = knows(&[SECRET]);
        for start in 0..=SECRET.len() - PIECE {
            assert_eq!(
                redactor.clean(&format!("got <{}> here", &SECRET[start..start + PIECE])),
                "got <[secret]> here",
                "{start}"
            );
        }
    }

    #[test]
    fn an_entry_with_forty_secrets_hides_them_all() {
        let secrets: Vec<_> = (0..40).map(|n| format!("Hq{n:02}SENTINELz{n:02}")).collect();
        let redactor = knows(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        for secret in &secrets {
            assert_eq!(redactor.clean(&format!("got {secret} here")), "got [secret] here");
        }
    }

    #[test]
    fn known_and_shaped_secrets_are_removed() {
        let redactor = knows(&["hunter2-sentinel"]);
        for (text, clean) in [
            ("login hunter2-sentinel failed", "login [secret] failed"),
            ("login HUNTER2-SENTINEL failed", "login [secret] failed"),
            ("dial postgres://u:pw@h/db", "dial postgres://[secret]@h/db"),
            ("dial postgres://u:p/w@h/db", "dial postgres://[secret]@h/db"),
            ("password=abc next", "password=[secret] next"),
            ("https://h/x?X-Amz-Signature=abc&y", "https://h/x?X-Amz-Signature=[secret]&y"),
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

    /// No telling piece of a secret is left, however it is written.
    #[track_caller]
    fn hides(redactor: &Redactor, secret: &str, text: &str) {
        let clean = redactor.clean(text);
        assert!(clean.contains(MASK), "{text:?} became {clean:?}");
        let rest: Vec<u8> = clean.replace(MASK, "\u{1}").to_lowercase().bytes().filter(|byte| *byte != b' ').collect();
        for piece in squeezed(secret).windows(4).filter(|piece| piece.iter().all(u8::is_ascii_alphanumeric)) {
            let shown = rest.windows(4).any(|window| window == piece);
            assert!(!shown, "{text:?} became {clean:?} with {:?}", String::from_utf8_lossy(piece));
        }
    }

    #[test]
    fn forms_that_servers_echo_are_removed() {
        use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
        let mut random = fastrand::Rng::with_seed(7);
        let random: String = (0..4096).map(|_| random.alphanumeric()).collect();
        let periodic = "Q7x-".to_owned() + &"kL9_vB3~".repeat(512);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            ["MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"; 9].join("\n")
        );
        for secret in [
            "Zq7SENTINELx9",
            "q8\"z&k<w>'v\\m/n %41+#?@",
            "two words\tand 3 tabs",
            "pässwört-ünd-42",
            "пароль-Zq7-x9",
            &random,
            &periodic,
            &pem,
        ] {
            let redactor = knows(&[secret]);
            let percent = |upper: bool| -> String {
                let code = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                secret
                    .bytes()
                    .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { code(byte) })
                    .collect()
            };
            let html = secret
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;");
            let json = serde_json::to_string(secret).unwrap_or_default();
            let escaped = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
            let split: String = secret.chars().flat_map(|letter| [letter, '\0']).collect();
            let hidden: String = secret.chars().flat_map(|letter| [letter, '\u{200b}']).collect();
            let hex = secret.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
            let pair = format!("probe:{secret}");
            for form in [
                secret.to_owned(),
                secret.to_uppercase(),
                percent(true),
                percent(false),
                percent(true).replace("%20", "+"),
                html,
                json,
                escaped,
                split,
                hidden,
                hex,
                BASE64_STANDARD.encode(secret),
                BASE64_STANDARD.encode(&pair),
                BASE64_STANDARD.encode(format!("\0probe\0{secret}")),
                BASE64_URL_SAFE.encode(&pair),
                BASE64_URL_SAFE_NO_PAD.encode(&pair),
                secret.chars().enumerate().flat_map(|(at, letter)| [letter, if at % 5 == 0 { '\n' } else { '\r' }]).collect(),
            ] {
                for text in
                    [form.clone(), format!("denied: {form}"), format!("'{form}' and more"), format!("{}{form}", " ".repeat(1020))]
                {
                    hides(&redactor, secret, &text);
                }
            }
        }
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_text_is_cut() {
        let secret = "Zq7SENTINELx9-and-some-more-0815";
        let redactor = knows(&[secret]);
        for before in (180..260).chain(1000..1030).chain(4000..4200) {
            let clean = redactor.clean(&format!("{}{secret} tail", "x".repeat(before)));
            assert!(!clean.contains("Zq7S"), "{before}: {clean}");
        }
        // A peer that has cut it itself.
        for length in 4..secret.len() {
            for text in [
                format!("no {}", &secret[..length]),
                format!("no '{}'", &secret[..length]),
                format!("no {}... at 3", &secret[..length]),
            ] {
                let clean = redactor.clean(&text);
                assert!(!clean.contains("Zq7S"), "{text}: {clean}");
            }
            let clean = redactor.clean(&format!("…{} is wrong", &secret[secret.len() - length..]));
            assert!(length > 20 || !clean.contains("0815"), "{clean}");
        }
        assert_eq!(redactor.clean("got SENTINELx9-and-some, not"), "got [secret], not");
    }

    #[test]
    fn short_secrets_and_words_are_hidden_where_they_stand_alone() {
        let redactor = knows(&["ab", "x1", "error", "Redis"]);
        for (text, clean) in [
            ("login ab failed", "login [secret] failed"),
            ("a table of abbreviations", "a table of abbreviations"),
            ("'x1'", "'[secret]'"),
            ("an error in redis", "an [secret] in [secret]"),
            ("errors of rediscovery", "errors of rediscovery"),
        ] {
            assert_eq!(redactor.clean(text), clean);
        }
        assert_eq!(redactor.clean_own("the server answered with an error"), "the server answered with an error");
    }

    #[test]
    fn a_secret_of_before_a_rotation_stays_known_for_a_while() {
        let mut redactor = knows(&["first-Zq7"]);
        for number in 0..MOST - 1 {
            redactor.learn(&format!("later-{number}-Zq7"));
        }
        assert_eq!(redactor.clean("first-Zq7"), MASK);
        redactor.learn("first-Zq7");
        redactor.learn("one-more-x9");
        assert_eq!((redactor.clean("first-Zq7").as_str(), redactor.secrets.len()), (MASK, MOST));
        assert_eq!(redactor.clean("later-0-Zq7"), "later-0-Zq7");
    }
}
