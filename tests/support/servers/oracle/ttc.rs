//! What is inside the packets once a client was accepted: functions, key/value pairs, rows, errors. As 19.1 writes them.

/// Types of messages.
pub(super) const PROTOCOL: u8 = 1;
pub(super) const DATA_TYPES: u8 = 2;
pub(super) const FUNCTION: u8 = 3;
const ERROR: u8 = 4;
const ROW_HEADER: u8 = 6;
const ROW_DATA: u8 = 7;
const PARAMETER: u8 = 8;
const STATUS: u8 = 9;
const WARNING: u8 = 15;
const DESCRIBE: u8 = 16;

/// Functions.
pub(super) const LOG_OFF: u8 = 9;
pub(super) const COMMIT: u8 = 14;
pub(super) const ROLLBACK: u8 = 15;
pub(super) const EXECUTE: u8 = 94;
pub(super) const LOG_IN: u8 = 115;
pub(super) const LOG_IN_BEGIN: u8 = 118;
pub(super) const PING: u8 = 147;

/// After the last row.
const NO_MORE_ROWS: u32 = 1403;

const UTF8: u16 = 873;
const UTF16: u16 = 2000;

/// A column, and whether it is a number rather than a text.
pub(super) type Column = (String, bool);

/// An answer that is being written.
#[derive(Debug, Default)]
pub(super) struct Answer(Vec<u8>);

impl Answer {
    /// Who we are, and what we can do: version 12 of the fields is 19.1.
    pub(super) fn protocol() -> Vec<u8> {
        let mut abilities = [0; 45];
        abilities[4] = 8 | 32 | 64;
        abilities[7] = 12;
        let mut fdo = [0; 11 + 4];
        let size = u8::try_from(fdo.len()).unwrap_or_default();
        [fdo[5], fdo[6]] = [0, 0];
        let [high, low] = UTF16.to_be_bytes();
        [fdo[9], fdo[10]] = [high, low];
        let mut answer = Self(vec![PROTOCOL, 6, 0]);
        answer.0.extend(b"x86_64/Linux 2.4.xx\0");
        answer.0.extend(UTF8.to_le_bytes());
        // flags, no elements
        answer.0.extend([1, 0, 0, 0, size]);
        let answer = answer.raw(&fdo).bytes(&abilities).bytes(&[2, 0, 0, 0, 0, 0, 4]);
        answer.0
    }

    pub(super) fn data_types() -> Vec<u8> {
        vec![DATA_TYPES, 0, 0]
    }

    /// Nothing but that it is done.
    pub(super) fn status() -> Vec<u8> {
        Self::default().ended().0
    }

    /// Keys, values and their flags, and with them a warning, where there is one.
    pub(super) fn pairs(pairs: &[(&str, &str, u64)], warning: Option<(u32, &str)>) -> Vec<u8> {
        let mut answer = Self(vec![PARAMETER]).number(pairs.len() as u64);
        for (key, value, flags) in pairs {
            answer = answer.text(key).text(value).number(*flags);
        }
        if let Some((code, text)) = warning {
            answer = answer.byte(WARNING).number(code.into()).number(text.len() as u64).number(0).bytes(text.as_bytes());
        }
        answer.ended().0
    }

    /// An error of the database; 0 for none.
    pub(super) fn error(code: u32, text: &str) -> Vec<u8> {
        Self::default().failed(code, text, 0).0
    }

    /// All rows of an answer at once, so that there is nothing left to fetch.
    pub(super) fn rows(columns: &[Column], rows: &[Vec<Option<String>>]) -> Vec<u8> {
        let mut answer = Self(vec![DESCRIBE]).bytes(&[]).number(64).number(columns.len() as u64).byte(1);
        for (at, (name, is_number)) in columns.iter().enumerate() {
            let (kind, size, charset, form) = if *is_number { (2, 22, 0, 0) } else { (1, 4000, UTF8, 1) };
            // type, flags, precision, scale; size, elements, flags, no identifier, version
            answer = answer.raw(&[kind, 0, 0, 0]).number(size).number(0).number(0).number(0).number(0);
            // character set and form, size, identifier, nullable, length of the name in version 7
            answer = answer.number(charset.into()).byte(form).number(size).number(0).raw(&[1, 0]);
            answer = answer.text(name).text("").text("").number(at as u64 + 1).number(0);
        }
        answer = answer.number(0).number(0).number(0).number(0).number(0).number(0);
        answer = answer.raw(&[ROW_HEADER, 0]).number(columns.len() as u64).number(0).number(0).number(0).number(0).number(0);
        for row in rows {
            answer = answer.byte(ROW_DATA);
            for ((_, is_number), value) in columns.iter().zip(row) {
                answer = match value {
                    None => answer.bytes(&[]),
                    Some(value) if *is_number => answer.bytes(&number(value)),
                    Some(value) => answer.bytes(value.as_bytes()),
                };
            }
        }
        answer.failed(NO_MORE_ROWS, "ORA-01403: no data found\n", rows.len() as u64).0
    }

    fn failed(self, code: u32, text: &str, rows: u64) -> Self {
        // status, rows, short number, two elements, cursor, position
        let answer = self.byte(ERROR).number(0).number(0).number(rows).number(0).number(0).number(0).number(0).number(0);
        // types and flags; the identifier of a row; of the operating system, statement, call
        let answer = answer.raw(&[0; 6]).number(0).number(0).byte(0).number(0).number(0).number(0).raw(&[0, 0]);
        // padding, iterations, logical identifier, three lists of errors
        let answer = answer.number(0).number(0).number(0).number(0).number(0).number(0);
        let answer = answer.number(code.into()).number(rows);
        if code == 0 { answer } else { answer.bytes(text.as_bytes()) }
    }

    fn ended(self) -> Self {
        self.byte(STATUS).number(0).number(0)
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Without leading zeros, behind how many bytes are left.
    fn number(self, number: u64) -> Self {
        let bytes = number.to_be_bytes();
        let short = &bytes[number.leading_zeros() as usize / 8..];
        self.bytes(short)
    }

    /// Behind their number; texts of ours are short.
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.push(u8::try_from(bytes.len()).ok().filter(|length| *length < LONG).expect("a short text"));
        self.raw(bytes)
    }

    fn text(self, text: &str) -> Self {
        let answer = self.number(text.len() as u64);
        if text.is_empty() { answer } else { answer.bytes(text.as_bytes()) }
    }
}

/// In the place of a length: pieces follow, the last of them empty.
const LONG: u8 = 254;

/// A whole number as Oracle keeps it: digits to the base of 100 behind their exponent.
fn number(text: &str) -> Vec<u8> {
    let mut left: u64 = text.parse().expect("a whole number");
    let mut digits = Vec::new();
    while left > 0 {
        digits.push(u8::try_from(left % 100).unwrap_or_default() + 1);
        left /= 100;
    }
    let exponent = 0xc0 + u8::try_from(digits.len()).unwrap_or_default();
    digits.reverse();
    let kept = digits.iter().rposition(|digit| *digit > 1).map_or(0, |last| last + 1);
    digits.truncate(kept);
    if digits.is_empty() { vec![0x80] } else { [&[exponent], &digits[..]].concat() }
}

/// What a client asks.
#[derive(Debug)]
pub(super) struct Question<'a>(&'a [u8]);

impl<'a> Question<'a> {
    /// Behind the head of a function: its type, itself, its number.
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message.get(3..).unwrap_or_default())
    }

    /// The user of a log-in, and its keys and values.
    pub(super) fn log_in(mut self) -> Option<(String, Vec<(String, String)>)> {
        self.skip(1)?;
        let user = self.number()?;
        self.number()?;
        self.skip(1)?;
        let pairs = self.number()?;
        self.skip(2)?;
        let user = if user > 0 { self.text()? } else { String::new() };
        let mut pair = || {
            let key = if self.number()? > 0 { self.text()? } else { String::new() };
            let value = if self.number()? > 0 { self.text()? } else { String::new() };
            self.number()?;
            Some((key, value))
        };
        let pairs = (0..pairs).map(|_| pair()).collect::<Option<_>>()?;
        Some((user, pairs))
    }

    /// The statement that is to be executed.
    pub(super) fn statement(mut self) -> Option<String> {
        // options, cursor; pointer, length; pointer, array; two pointers; sizes; binds
        self.numbers(2)?.skip(1)?.numbers(1)?.skip(1)?.numbers(1)?.skip(2)?.numbers(3)?.skip(1)?.numbers(1)?;
        // five pointers, defines; registration; objects
        self.skip(6)?.numbers(2)?.skip(3)?.numbers(1)?.skip(1)?.numbers(2)?.skip(1)?.numbers(1)?.skip(1)?;
        // from 12.2 on: signature, identifier, pieces
        self.skip(1)?.numbers(1)?.skip(1)?.numbers(1)?.skip(2)?.numbers(1)?;
        self.text()
    }

    fn skip(&mut self, bytes: usize) -> Option<&mut Self> {
        self.0 = self.0.get(bytes..)?;
        Some(self)
    }

    fn numbers(&mut self, numbers: usize) -> Option<&mut Self> {
        for _ in 0..numbers {
            self.number()?;
        }
        Some(self)
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(bytes)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u64> {
        let length = self.byte()?;
        let bytes = self.take(length.into())?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self) -> Option<String> {
        let mut text = Vec::new();
        match self.byte()? {
            LONG => loop {
                let length = usize::try_from(self.number()?).ok()?;
                if length == 0 {
                    break;
                }
                text.extend(self.take(length)?);
            },
            length => text.extend(self.take(length.into())?),
        }
        String::from_utf8(text).ok()
    }
}
