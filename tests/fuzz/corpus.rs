//! What real servers said to a probe, connection by connection, as text that a person can read.
//!
//! A file of `corpus/` has, for each connection, turns: how many bytes the client had sent when the server answered, and
//! the answer with everything but plain ASCII escaped. What the client said is not kept: it may hold a password.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What one server said on all connections of one run, in the order of their acceptance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation(pub(super) Vec<Talk>);

/// One connection.
pub(super) type Talk = Vec<Turn>;

/// A question, and what was said to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// How many bytes came in before the answer: none before a greeting.
    pub(super) asked: usize,
    pub(super) answer: Vec<u8>,
}

/// A line of a file is not longer than this, unless escapes make it so.
const WIDTH: usize = 100;

impl Conversation {
    /// The recorded one of this name.
    pub(super) fn load(name: &str) -> Self {
        let text = fs::read_to_string(file(name));
        let text = text.unwrap_or_else(|error| panic!("{error}: {name} was never recorded (PROBITY_UPDATE=1)"));
        Self::parse(&text)
    }

    pub(super) fn store(&self, name: &str, comment: &str) {
        fs::write(file(name), format!("# {comment}\n{}", self.print())).expect("the corpus can be written");
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut talks = Vec::<Talk>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if line == "connection" {
                talks.push(Talk::new());
                continue;
            }
            let talk = talks.last_mut().expect("a file begins with a connection");
            if let Some(asked) = line.strip_prefix("asked ") {
                let asked = asked.parse().expect("asked and a number of bytes");
                talk.push(Turn { asked, answer: Vec::new() });
            } else {
                let turn = talk.last_mut().expect("an answer belongs to a turn");
                unescape(line.strip_prefix("  ").expect("an answer is indented"), &mut turn.answer);
            }
        }
        Self(talks)
    }

    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for talk in &self.0 {
            text.push_str("connection\n");
            for turn in talk {
                let _ = writeln!(text, "asked {}", turn.asked);
                // After each end of a line, and where it would be too long.
                for line in turn.answer.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(WIDTH)) {
                    let _ = writeln!(text, "  {}", line.escape_ascii());
                }
            }
        }
        text
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(format!("{name}.txt"))
}

/// The inverse of `escape_ascii`.
fn unescape(text: &str, into: &mut Vec<u8>) {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            into.push(byte);
            continue;
        }
        into.push(match bytes.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [bytes.next().unwrap_or_default(), bytes.next().unwrap_or_default()];
                let digits = std::str::from_utf8(&digits).expect("two digits follow \\x");
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits follow \\x")
            }
            other => other.expect("something follows a backslash"),
        });
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    let answer = (0..=255).cycle().take(1000).collect();
    let conversation = Conversation(vec![vec![Turn { asked: 0, answer }, Turn { asked: 7, answer: b"a\\x'\"\n".to_vec() }]]);
    assert_eq!(Conversation::parse(&conversation.print()), conversation);
}
