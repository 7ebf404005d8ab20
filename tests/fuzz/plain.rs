//! Makes what was recorded fit to be kept, to be played again, and to be changed.

use super::corpus::{Conversation, Turn};
use super::grammar::Grammar;
use super::subjects::Subject;

pub(super) fn plain(mut heard: Conversation, subject: &Subject) -> Conversation {
    if subject.grammar == Grammar::Postgres && !subject.is_login() {
        heard.0.iter_mut().for_each(without_scram);
    }
    for answer in heard.0.iter_mut().flatten().map(|turn| &mut turn.answer) {
        if subject.grammar == Grammar::Http {
            without_chunks(answer);
        }
        without_places(answer);
    }
    heard
}

/// Without a log-in that cannot be played again, as the client chooses a number for it: Postgres lets it in at once.
fn without_scram(talk: &mut Vec<Turn>) {
    const LET_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    let place = |turn: &Turn| find(&turn.answer, LET_IN);
    let Some((number, at)) = talk.iter().enumerate().find_map(|(number, turn)| Some((number, place(turn)?))) else { return };
    let asked = talk[0].asked;
    talk.drain(..number);
    talk[0].asked = asked;
    talk[0].answer.drain(..at);
}

/// A body in one piece, whose length the mutator can put right.
fn without_chunks(answer: &mut Vec<u8>) {
    let Some(start) = find(answer, b"\r\n\r\n").map(|at| at + 4) else { return };
    let head = String::from_utf8_lossy(&answer[..start]).into_owned();
    let is_chunked = |line: &&str| line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
    let Some(line) = head.lines().find(is_chunked) else { return };
    let (mut body, mut rest) = (Vec::new(), &answer[start..]);
    while let Some(end) = find(rest, b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).ok().and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok());
        let Some(length) = length.filter(|length| *length > 0) else { break };
        let chunk = &rest[end + 2..];
        body.extend_from_slice(&chunk[..length.min(chunk.len())]);
        rest = chunk.get(length + 2..).unwrap_or_default();
    }
    let head = head.replacen(line, &format!("Content-Length: {}", body.len()), 1);
    *answer = [head.as_bytes(), &body].concat();
}

/// Without the name and the folders of the machine, and no longer or shorter for it.
fn without_places(answer: &mut [u8]) {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim().as_bytes();
    let folders = ["tmp", "root", "home", "work"].map(|folder| format!("/{folder}/"));
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    for at in 0..answer.len() {
        let end = at + host.len();
        let alone = !is_word(at.checked_sub(1).and_then(|before| answer.get(before))) && !is_word(answer.get(end));
        if alone && !host.is_empty() && answer[at..].starts_with(host) {
            answer[at..end].fill(b'h');
        }
        if let Some(folder) = folders.iter().find(|folder| answer[at..].starts_with(folder.as_bytes())) {
            let inside = answer[at + folder.len()..].iter_mut();
            let inside = inside.take_while(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(byte));
            inside.filter(|byte| **byte != b'/').for_each(|byte| *byte = b'x');
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[test]
fn what_is_kept_has_one_body_and_no_places() {
    let mut answer =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n".to_vec();
    without_chunks(&mut answer);
    assert_eq!(answer, b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nA: b\r\n\r\nabc0123456789");
    let mut answer = b"at /tmp/.a1/b.conf, /tmp".to_vec();
    without_places(&mut answer);
    assert_eq!(answer, b"at /tmp/xxx/xxxxxx, /tmp");
}
