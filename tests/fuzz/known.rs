//! Answers that client libraries panic on or give up over: each is the peer's fault, and said to be.

use super::corpus::Conversation;
use super::mutator::Mutant;
use super::subjects::SUBJECTS;
use super::{ask, law};

/// A recorded conversation, in which an answer is another one.
fn instead(conversation: &Conversation, turn: usize, change: impl Fn(&mut Vec<u8>)) -> Mutant {
    let mut changed = conversation.clone();
    change(&mut changed.0[0][turn].answer);
    assert_ne!(changed, *conversation, "nothing was changed");
    Mutant::of(changed)
}

/// Replaces a piece of an answer wherever it is.
fn replace(answer: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    for at in 0..answer.len() {
        if answer[at..].starts_with(old) {
            answer[at..at + new.len()].copy_from_slice(new);
        }
    }
}

#[test]
fn what_a_library_cannot_read_is_the_peers_fault() {
    type Change = fn(&mut Vec<u8>);
    let cases: &[(&str, usize, Change)] = &[
        // Packets without a byte: as an answer, and among rows, where mysql_async panics.
        ("mysql", 2, |answer| *answer = b"\0\0\0\x01".to_vec()),
        ("mysql", 3, |answer| {
            let at = answer.windows(6).position(|packet| packet == b"\x02\0\0\x03\x011").expect("the row of SELECT 1");
            answer.truncate(at);
            answer.extend(b"\0\0\0\x03");
        }),
        // Values that are not UTF-8, and a row of fewer values than columns.
        ("postgres", 2, |answer| replace(answer, b"\0\0\0\x03off", b"\0\0\0\x03\xff\xff\xff")),
        ("postgres", 1, |answer| replace(answer, b"\0\0\0\x0b\0\x01\0\0\0\x011", b"\0\0\0\x0b\0\0\0\0\0\x011")),
    ];
    let asked = cases.iter().filter(|(name, ..)| probity_probes::find(name).is_ok()).map(|(name, turn, change)| {
        let subject = SUBJECTS.iter().find(|subject| subject.name == *name).expect("there is such a subject");
        (subject, instead(&Conversation::load(name), *turn, change))
    });
    let (ended, seen, breaches) = ask(asked.collect(), law::TIMEOUT);
    assert!(breaches.is_empty(), "{breaches:#?}");
    assert!(seen.iter().all(|seen| seen.kind == "protocol"), "{seen:#?}\n{}", ended.stdout);
    // A panic is a line of the log, with its place.
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.contains("a panic in a library thread=")), "{}", ended.stderr);
    assert!(seen.len() <= law::BATCH);
}
