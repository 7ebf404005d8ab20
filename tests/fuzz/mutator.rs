//! Changes a conversation: the same seed, the same change, on every machine.
//!
//! A case has one change in most cases, at a message that may be anywhere, so that the steps behind the log-in are
//! reached as often as the first one; and the number in front of the message is put right in most cases, so that what is
//! behind it is read.

use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

use super::corpus::Conversation;
use super::grammar::Grammar;

/// No answer gets longer: as much again as a run may read.
const LONGEST: usize = 4 << 20;

/// One change of one conversation.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) subject: &'static str,
    pub(super) seed: u64,
    pub(super) number: u64,
}

/// A conversation that was changed.
#[derive(Clone, Debug)]
pub(super) struct Mutant {
    pub(super) conversation: Conversation,
    /// Where the server closes the connection: behind this turn of this connection.
    pub(super) closes: Option<(usize, usize)>,
    /// Whether what must fit the question is made to.
    pub(super) correlates: bool,
    /// What was done, for people.
    pub(super) deeds: Vec<String>,
}

impl Mutant {
    /// As it was recorded.
    pub(super) fn of(conversation: Conversation) -> Self {
        Self { conversation, closes: None, correlates: true, deeds: Vec::new() }
    }
}

impl Case {
    fn rng(&self) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.subject, self.seed, self.number).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }

    pub(super) fn mutate(&self, conversation: &Conversation, grammar: Grammar) -> Mutant {
        let mut rng = self.rng();
        let mut mutant = Mutant::of(conversation.clone());
        mutant.correlates = rng.u8(..20) != 0;
        let changes = if rng.u8(..10) < 7 { 1 } else { rng.usize(2..=4) };
        for _ in 0..changes {
            change(&mut mutant, grammar, &mut rng);
        }
        mutant
    }
}

/// One of these.
pub(super) fn pick<T: Copy, const N: usize>(rng: &mut Rng, among: [T; N]) -> T {
    among[rng.usize(..N)]
}

fn change(mutant: &mut Mutant, grammar: Grammar, rng: &mut Rng) {
    let talks = &mut mutant.conversation.0;
    let talk = rng.usize(..talks.len());
    let turn = rng.usize(..talks[talk].len());
    let spoken = talks[talk].len();
    let answer = &mut talks[talk][turn].answer;
    let messages = grammar.messages(answer);
    if messages.is_empty() {
        return;
    }
    let number = rng.usize(..messages.len());
    let range = messages[number].clone();
    let mut message = answer[range.clone()].to_vec();
    let start = grammar.body(&message);
    let deed = rng.u8(..20);
    let done = match deed {
        0..=2 => bits(&mut message, start, rng),
        3..=5 => lengths(&mut message, start, rng),
        6 => numbers(&mut message, rng),
        7 => {
            let at = rng.usize(..=message.len());
            message.truncate(at);
            "truncation"
        }
        8 => {
            let (from, to) = slice(&message, start, rng);
            message.drain(from..to);
            "removal"
        }
        9 => {
            let (from, to) = slice(&message, start, rng);
            let most = pick(rng, [2, 20, 2000]);
            let piece = message[from..to].repeat(rng.usize(1..=most));
            message.splice(from..from, piece);
            "repetition inside"
        }
        10 => {
            let most = pick(rng, [3, 30, 3000]);
            message = message.repeat(rng.usize(2..=most).min(1 + LONGEST / message.len().max(1)));
            answer.splice(range, message);
            note(mutant, talk, turn, number, "repetition");
            return;
        }
        11 => {
            let other = rng.usize(..messages.len());
            let (one, two) = (number.min(other), number.max(other));
            let (first, second) = (answer[messages[one].clone()].to_vec(), answer[messages[two].clone()].to_vec());
            answer.splice(messages[two].clone(), first);
            answer.splice(messages[one].clone(), second);
            note(mutant, talk, turn, number, "order of messages");
            return;
        }
        12 => {
            let other = rng.usize(..spoken);
            let theirs = talks[talk][other].answer.clone();
            let ours = std::mem::replace(&mut talks[talk][turn].answer, theirs);
            if rng.bool() {
                talks[talk][other].answer = ours;
            }
            note(mutant, talk, turn, number, "order of answers");
            return;
        }
        13 => {
            let at = rng.usize(start..=message.len());
            let most = pick(rng, [4, 64, 4096]);
            let count = rng.usize(1..=most);
            let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(count).collect();
            message.splice(at..at, noise);
            "insertion"
        }
        14 => texts(&mut message, start, rng),
        15 => {
            mutant.closes = Some((talk, turn));
            let at = rng.usize(..=message.len());
            message.truncate(at);
            answer.truncate(range.start);
            answer.extend(message);
            note(mutant, talk, turn, number, "close");
            return;
        }
        _ => {
            let depth = pick(rng, [2, 20, 60, 100, 130, 500, 5000, 40_000]);
            match grammar.nest(&message, depth, rng) {
                Some(nested) => {
                    message = nested;
                    if rng.u8(..8) == 0 {
                        message.truncate(message.len() / 2);
                    }
                    "nesting"
                }
                None => bits(&mut message, start, rng),
            }
        }
    };
    if rng.u8(..5) != 0 {
        grammar.reframe(&mut message);
    }
    message.truncate(LONGEST);
    answer.splice(range, message);
    note(mutant, talk, turn, number, done);
}

fn note(mutant: &mut Mutant, talk: usize, turn: usize, number: usize, deed: &str) {
    mutant.deeds.push(format!("{deed} at message {number} of turn {turn} on connection {talk}"));
}

/// Where a change happens: in the inner part, mostly.
fn place(message: &[u8], start: usize, rng: &mut Rng) -> usize {
    let start = if rng.u8(..6) == 0 { 0 } else { start };
    if start < message.len() { rng.usize(start..message.len()) } else { 0 }
}

fn slice(message: &[u8], start: usize, rng: &mut Rng) -> (usize, usize) {
    let from = place(message, start, rng);
    let longest = pick(rng, [1, 4, 16, 256]);
    (from, (from + rng.usize(1..=longest)).min(message.len()))
}

fn bits(message: &mut [u8], start: usize, rng: &mut Rng) -> &'static str {
    for _ in 0..rng.usize(1..=4) {
        let at = place(message, start, rng);
        if let Some(byte) = message.get_mut(at) {
            *byte = if rng.bool() { *byte ^ 1 << rng.u8(..8) } else { pick(rng, [0, 1, 0x7f, 0x80, 0xfb, 0xfe, 0xff]) };
        }
    }
    "bits"
}

/// Puts a number where one may be: at the edges of what fits, or a little beside what was there.
fn lengths(message: &mut [u8], start: usize, rng: &mut Rng) -> &'static str {
    let width = pick(rng, [1, 2, 4, 8]);
    let is_big = rng.bool();
    let at = place(message, start, rng);
    let Some(bytes) = message.get_mut(at..at + width) else { return "nothing" };
    let mut padded = [0; 8];
    if is_big {
        padded[8 - width..].copy_from_slice(bytes);
    } else {
        bytes.iter().rev().enumerate().for_each(|(number, byte)| padded[8 - width + number] = *byte);
    }
    let known = u64::from_be_bytes(padded);
    let bit = 8 * u32::try_from(width).unwrap_or(1) - 1;
    let whole = u64::MAX >> (63 - bit);
    let edges = [
        0,
        1,
        known.wrapping_add(1),
        known.wrapping_sub(1),
        known.wrapping_mul(2),
        1 << bit,
        (1 << bit) - 1,
        whole,
        whole - 1,
        0x7fff,
        0xffff,
        0x00ff_ffff,
    ];
    let value = (pick(rng, edges) & whole).to_be_bytes();
    bytes.copy_from_slice(&value[8 - width..]);
    if !is_big {
        bytes.reverse();
    }
    "lengths"
}

/// Puts another number in the place of one that is text.
fn numbers(message: &mut Vec<u8>, rng: &mut Rng) -> &'static str {
    let is_digit = |at: usize| message.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<_> = (0..message.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1))).collect();
    if starts.is_empty() {
        return "nothing";
    }
    let from = starts[rng.usize(..starts.len())];
    let to = (from..message.len()).find(|at| !is_digit(*at)).unwrap_or(message.len());
    let other = pick(
        rng,
        [
            "",
            "-",
            "0",
            "-1",
            "00000000000000000000001",
            "255",
            "65536",
            "2147483648",
            "4294967295",
            "9223372036854775807",
            "18446744073709551616",
            "1e309",
            "0.1",
            "NaN",
        ],
    );
    message.splice(from..to, other.bytes());
    "numbers"
}

/// Breaks a text: bytes that are not UTF-8, ends of lines and of texts, terminals' escapes.
fn texts(message: &mut Vec<u8>, start: usize, rng: &mut Rng) -> &'static str {
    let (from, to) = slice(message, start, rng);
    let pieces: [&[u8]; 10] = [
        b"\xff\xfe",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\0",
        b"\r\n",
        b"\x1b[2J",
        b"\"",
        b"\\u0000",
        b"\xf0\x9f\x92\xa9",
        "ſ".as_bytes(),
    ];
    let piece = pick(rng, pieces);
    if rng.bool() {
        // As long as before.
        message[from..to].iter_mut().zip(piece.iter().cycle()).for_each(|(byte, new)| *byte = *new);
    } else {
        message.splice(from..to, piece.iter().copied());
    }
    "texts"
}
