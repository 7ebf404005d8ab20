//! What the mutator knows of each protocol: where a message ends, which numbers must fit the question, and how its values
//! nest. As little as lets a change get past the first check of a codec.

use std::ops::Range;

use fastrand::Rng;

use super::mutator::pick;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    Amqp,
    Bolt,
    Cql,
    Http,
    Kafka,
    Lines,
    Mongodb,
    Mqtt,
    Mysql,
    Nats,
    Postgres,
    Resp,
    Tds,
    Tns,
}

/// A number in front of a message that says how long it is.
#[derive(Clone, Copy, Debug)]
struct Length {
    at: usize,
    width: usize,
    big: bool,
    /// What the whole message has beyond it.
    more: usize,
}

impl Grammar {
    fn length(self, tns_is_wide: bool) -> Option<Length> {
        let length = |at, width, big, more| Some(Length { at, width, big, more });
        match self {
            Self::Amqp => length(3, 4, true, 8),
            Self::Bolt => length(0, 2, true, 2),
            Self::Cql => length(5, 4, true, 9),
            Self::Kafka => length(0, 4, true, 4),
            Self::Mongodb => length(0, 4, false, 0),
            Self::Mysql => length(0, 3, false, 4),
            Self::Postgres => length(1, 4, true, 1),
            Self::Tds => length(2, 2, true, 0),
            Self::Tns => length(0, if tns_is_wide { 4 } else { 2 }, true, 0),
            Self::Http | Self::Lines | Self::Mqtt | Self::Nats | Self::Resp => None,
        }
    }

    /// The messages of an answer; what is none at its end is one more.
    pub(super) fn messages(self, answer: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = 0;
        while start < answer.len() {
            let rest = &answer[start..];
            let end = self.end(rest).filter(|end| (1..=rest.len()).contains(end)).unwrap_or(rest.len());
            found.push(start..start + end);
            start += end;
        }
        found
    }

    fn end(self, rest: &[u8]) -> Option<usize> {
        if let Some(length) = self.length(is_wide(rest)) {
            return Some(read(rest, length)? + length.more);
        }
        match self {
            Self::Mqtt => {
                let (value, width) = varint(rest.get(1..)?)?;
                Some(1 + width + value)
            }
            Self::Http => Some(body(rest)? + declared(rest).unwrap_or(0)),
            _ => rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
        }
    }

    /// Where the inner part of a message begins.
    pub(super) fn body(self, message: &[u8]) -> usize {
        let start = match self {
            Self::Amqp => 7,
            Self::Bolt | Self::Mqtt => 2,
            Self::Cql => 9,
            Self::Http => body(message).unwrap_or(0),
            Self::Kafka | Self::Tds | Self::Tns => 8,
            Self::Lines | Self::Resp => 1,
            Self::Mongodb => 16,
            Self::Mysql => 4,
            Self::Nats | Self::Postgres => 5,
        };
        start.min(message.len())
    }

    /// Makes a message that was changed as long as it says, as far as its number can say it.
    pub(super) fn reframe(self, message: &mut Vec<u8>) {
        if self == Self::Mongodb && message.len() > 25 && message[16..21] == [0; 5] {
            // The one document of an OP_MSG.
            let length = u32::try_from(message.len() - 21).unwrap_or(u32::MAX);
            message[21..25].copy_from_slice(&length.to_le_bytes());
        }
        if let Some(length) = self.length(is_wide(message)) {
            let value = message.len().saturating_sub(length.more);
            write(message, length, value);
        } else if self == Self::Mqtt && message.len() > 1 {
            if let Some((_, width)) = varint(&message[1..]) {
                let rest = message.len() - 1 - width;
                message.splice(1..=width, to_varint(rest));
            }
        } else if self == Self::Http
            && let Some(start) = body(message)
            && declared(message).is_some()
        {
            let length = message.len() - start;
            let head = String::from_utf8_lossy(&message[..start]).into_owned();
            let lines = head.split_inclusive("\r\n").map(|line| match line.split_once(':') {
                Some((name, _)) if name.eq_ignore_ascii_case("content-length") => format!("{name}: {length}\r\n"),
                _ => line.to_owned(),
            });
            let head: String = lines.collect();
            message.splice(..start, head.into_bytes());
        }
    }

    /// Makes an answer fit the question: numbers that a client compares before it reads on.
    pub(super) fn correlate(self, question: &[u8], answer: &mut [u8]) {
        let copy = |from: usize, to: usize, width: usize, question: &[u8], message: &mut [u8]| {
            if let (Some(from), Some(to)) = (question.get(from..from + width), message.get_mut(to..to + width)) {
                to.copy_from_slice(from);
            }
        };
        if self == Self::Nats {
            return inbox(question, answer);
        }
        let (from, to, width) = match self {
            Self::Mongodb => (4, 8, 4),
            Self::Kafka => (8, 4, 4),
            Self::Cql => (2, 2, 2),
            _ => return,
        };
        let questions = self.messages(question);
        for (number, message) in self.messages(answer).into_iter().enumerate() {
            let Some(asked) = questions.get(number).or(questions.last()) else { return };
            copy(from, to, width, &question[asked.clone()], &mut answer[message]);
        }
    }

    /// A value that holds itself so many times, and what must be changed in a message to hold it. `None`: nothing of the
    /// message can.
    pub(super) fn nest(self, message: &[u8], depth: usize, rng: &mut Rng) -> Option<Vec<u8>> {
        let after = |needle: &[u8], rng: &mut Rng| {
            let found: Vec<_> = message.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle).collect();
            (!found.is_empty()).then(|| found[rng.usize(..found.len())].0 + needle.len())
        };
        let put = |at: usize, drop: usize, piece: &[u8]| {
            let mut changed = message.to_vec();
            changed.splice(at..(at + drop).min(message.len()), piece.iter().copied());
            Some(changed)
        };
        let wrap = |open: &[u8], close: &[u8]| [open.repeat(depth), close.repeat(depth)].concat();
        match self {
            Self::Mongodb if message.len() > 25 => {
                let kind = pick(rng, [3, 4]);
                let mut inner = Vec::new();
                for level in 0..depth {
                    let size = u32::try_from(5 + 8 * (depth - level - 1)).unwrap_or(u32::MAX);
                    inner.extend([&[kind][..], if kind == 3 { b"a\0" } else { b"0\0" }, &size.to_le_bytes()].concat());
                }
                inner.extend(vec![0; depth]);
                put(25, 0, &inner)
            }
            Self::Amqp if message.len() > 17 => {
                let mut inner = Vec::new();
                let is_table = rng.bool();
                for level in 0..depth {
                    let size = |each: usize| u32::try_from(each * (depth - level - 1)).unwrap_or(u32::MAX).to_be_bytes();
                    // A table names its values, an array does not.
                    let piece = if is_table { [&b"\x01aF"[..], &size(7)].concat() } else { [&b"A"[..], &size(5)].concat() };
                    inner.extend(piece);
                }
                let inner = if is_table { inner } else { [&b"\x01a"[..], &inner].concat() };
                let known = u32::from_be_bytes(message[13..17].try_into().ok()?);
                let mut changed = put(17, 0, &inner)?;
                let length = known.wrapping_add(u32::try_from(inner.len()).ok()?);
                changed[13..17].copy_from_slice(&length.to_be_bytes());
                Some(changed)
            }
            Self::Http | Self::Nats => {
                let open = pick(rng, [&b"["[..], b"{\"a\":"]);
                let value = [open.repeat(depth), b"0".to_vec(), if open == b"[" { b"]" } else { b"}" }.repeat(depth)].concat();
                match rng.u8(..3) {
                    0 => after(b"[", rng).and_then(|at| put(at, 0, &[value, b",".to_vec()].concat())),
                    1 => after(b"{", rng).and_then(|at| put(at, 0, &[b"\"nest\":".to_vec(), value, b",".to_vec()].concat())),
                    _ => after(b"\":", rng).and_then(|at| {
                        let end = message[at..].iter().position(|byte| b",}]".contains(byte))?;
                        put(at, end, &value)
                    }),
                }
            }
            Self::Resp => {
                let open = pick(rng, [&b"*1\r\n"[..], b"*2\r\n:1\r\n", b"%1\r\n+a\r\n", b"~1\r\n", b">1\r\n", b"|1\r\n+a\r\n"]);
                Some([open.repeat(depth), message.to_vec()].concat())
            }
            Self::Bolt => {
                let open = pick(rng, [&b"\x91"[..], b"\xd4\x01", b"\xa1\x81a", b"\xb1N", b"\xd8\x01\x81a"]);
                let value = [open.repeat(depth), vec![1]].concat();
                if rng.bool() {
                    // Into the map of a message, which has one entry more then.
                    let at = message.iter().position(|byte| (0xa0..0xaf).contains(byte))?;
                    let mut changed = put(at + 1, 0, &[b"\x81a".to_vec(), value].concat())?;
                    changed[at] += 1;
                    Some(changed)
                } else {
                    put(rng.usize(2.min(message.len())..=message.len()), 0, &value)
                }
            }
            Self::Cql => {
                let (kind, known) =
                    (pick(rng, [&b"\0\x20"[..], b"\0\x22", b"\0\x31\0\x01"]), [&b"\0\x0d"[..], b"\0\x09", b"\0\x0c", b"\0\x10"]);
                let known = pick(rng, known);
                after(known, rng).and_then(|at| put(at - 2, 0, &kind.repeat(depth)))
            }
            Self::Tns => put(rng.usize(..=message.len()), 0, &wrap(b"(A=", b")")),
            Self::Postgres => put(rng.usize(..=message.len()), 0, &wrap(b"{", b"}")),
            // Nothing nests: the message in itself.
            _ => {
                let at = self.body(message);
                let inner = message.to_vec();
                put(at, 0, &inner.repeat(depth.min(1 + (64 << 10) / inner.len().max(1))))
            }
        }
    }
}

/// TNS from version 315 on: a length of four bytes, of which the first two are nothing.
fn is_wide(packet: &[u8]) -> bool {
    packet.starts_with(&[0, 0])
}

fn read(message: &[u8], length: Length) -> Option<usize> {
    let bytes = message.get(length.at..length.at + length.width)?;
    let fold = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
    Some(if length.big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
}

fn write(message: &mut [u8], length: Length, value: usize) {
    let Some(bytes) = message.get_mut(length.at..length.at + length.width) else { return };
    let value = value.to_be_bytes();
    bytes.copy_from_slice(&value[value.len() - length.width..]);
    if !length.big {
        bytes.reverse();
    }
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (number, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Some((value, number + 1));
        }
    }
    None
}

fn to_varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 || bytes.len() == 3 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Where the body of an HTTP message begins.
fn body(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// What an HTTP message says of its length.
fn declared(message: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(&message[..body(message)?]).ok()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.trim().parse().ok()
}

/// Where a NATS client wants to have its answer: the same length each time.
fn inbox(question: &[u8], answer: &mut [u8]) {
    const INBOX: &[u8] = b"_INBOX.";
    let subject = |text: &[u8], from: usize| {
        let start = from + text[from..].windows(INBOX.len()).position(|window| window == INBOX)?;
        let end = text[start..].iter().position(|byte| b" \r\n".contains(byte)).map_or(text.len(), |end| start + end);
        Some(start..end)
    };
    // The last one in the question is where the request wants its answer; one with a `*` is a subscription.
    let mut wanted = None;
    let mut from = 0;
    while let Some(found) = subject(question, from) {
        from = found.end;
        wanted = Some(found);
    }
    let (Some(wanted), Some(place)) = (wanted, subject(answer, 0)) else { return };
    if wanted.len() == place.len() {
        answer[place].copy_from_slice(&question[wanted]);
    }
}

#[test]
fn answers_fall_into_messages_and_are_made_to_fit() {
    let split = |grammar: Grammar, bytes: &[u8]| grammar.messages(bytes).into_iter().map(|range| range.len()).collect::<Vec<_>>();
    assert_eq!(split(Grammar::Postgres, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"), [9, 6]);
    assert_eq!(split(Grammar::Mysql, b"\x02\0\0\x01ab\x01\0\0\x02c"), [6, 5]);
    assert_eq!(split(Grammar::Http, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 204 No\r\n\r\n"), [40, 19]);
    assert_eq!(split(Grammar::Resp, b"+OK\r\n$1\r\na\r\n"), [5, 4, 3]);
    assert_eq!(split(Grammar::Mqtt, b"\x20\x03\0\0\0\xd0\0"), [5, 2]);
    let fit = |grammar: Grammar, bytes: &[u8]| {
        let mut message = bytes.to_vec();
        grammar.reframe(&mut message);
        message
    };
    assert_eq!(fit(Grammar::Postgres, b"R\0\0\0\x63\0\0\0\0"), b"R\0\0\0\x08\0\0\0\0");
    assert_eq!(fit(Grammar::Mqtt, b"\x20\x01\0\0\0"), b"\x20\x03\0\0\0");
    assert_eq!(
        fit(Grammar::Http, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}x"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}x"
    );
    let mut answer = [0; 16];
    answer[0] = 16;
    Grammar::Mongodb.correlate(b"\x10\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0", &mut answer);
    assert_eq!(answer[8..12], [7, 0, 0, 0]);
}
