//! `docs/reference/conformance.md`: every check and every backend.

use std::fmt::Write;

use super::strangers::{MEETINGS, Meeting, PEERS};
use super::{CHECKS, Own, Ring, Row};
use crate::generated::NOTE;
use crate::live::BACKENDS;
use crate::support::truth::{Expected, State};

const INTRO: &str = "\
# Conformance

What every backend must do, and what it does: the same checks for all of them, made by tests against real servers (or \
a peer, where the row says so), through a proxy that plays a bad network, and with certificates of an authority of their own. A cell is what the test demands; \
what was seen is in [the truth table](truth.md). ✓ is a test that goes through all backends, – a check that does not apply, \
for the reason below. `cargo test --test it live` makes them all again.
";

pub(crate) fn page() -> String {
    let mut page = format!("{NOTE}{INTRO}\n{}", header("what is done", "what is wanted"));
    for check in &CHECKS {
        let _ = write!(page, "| {} | {}", check.done, check.wanted);
        for backend in BACKENDS {
            let cell = match check.row(backend) {
                None => "✓".to_owned(),
                Some(Ok(row)) => verdict(&row),
                Some(Err(_)) => "–".to_owned(),
            };
            let _ = write!(page, " | {cell}");
        }
        page.push_str(" |\n");
    }
    page.push_str("\n## Where they are made\n\n| what is done | by |\n| --- | --- |\n");
    for check in &CHECKS {
        let by = match &check.proof {
            Ring(test) => format!("the test `{test}`"),
            Row(row, _) => format!("each backend's row “{row}”"),
            Own(_) => {
                let rows: Vec<_> =
                    BACKENDS.into_iter().filter_map(|backend| Some((backend, check.row(backend)?.ok()?.state))).collect();
                let told: Vec<_> = rows.iter().map(|(backend, row)| format!("{backend}: “{row}”")).collect();
                told.join("<br>")
            }
        };
        let _ = writeln!(page, "| {} | {by} |", check.done);
    }
    page.push_str("\n## What does not apply\n\n");
    for check in &CHECKS {
        for backend in BACKENDS {
            if let Some(Err(why)) = check.row(backend) {
                let _ = writeln!(page, "- {backend}, {}: {why}.", check.done);
            }
        }
    }
    page.push_str(&strangers());
    page
}

/// Who met whom.
fn strangers() -> String {
    let mut page = "\n## Another server on the port\n\nEach backend, down, is sent to the port of each server, across. A *name* is what the \
        first bytes gave away, at once. *Closed* is a peer that hangs up without a word, which is told at once, with the hint. *Silent* \
        is one that waits for a message that never comes: a timeout of the first phase that reads, with the hint, and nobody could know \
        more. MySQL and NATS greet, so that their probes say nothing first, and meet silence wherever the peer waits, too.\n\n"
        .to_owned();
    let peers: Vec<_> = PEERS.iter().map(|(peer, _)| *peer).collect();
    let _ = writeln!(page, "| | {} |\n| --- |{}", peers.join(" | "), " --- |".repeat(peers.len()));
    for (backend, meetings) in BACKENDS.into_iter().zip(MEETINGS) {
        let _ = write!(page, "| **{backend}**");
        for ((_, name), meeting) in PEERS.into_iter().zip(meetings) {
            let cell = match meeting {
                Meeting::Same => "its own",
                Meeting::Named => name,
                Meeting::Closed => "*closed*",
                Meeting::Silent => "*silent*",
            };
            let _ = write!(page, " | {cell}");
        }
        page.push_str(" |\n");
    }
    page
}

fn header(first: &str, second: &str) -> String {
    format!("| {first} | {second} | {} |\n| --- | --- |{}\n", BACKENDS.join(" | "), " --- |".repeat(BACKENDS.len()))
}

/// In one word.
fn verdict(row: &State) -> String {
    let Expected { failure, finding, .. } = row.expected;
    match failure.map(probity_probes::FailureKind::as_str).or(finding) {
        Some(word) => format!("`{word}`"),
        None => "healthy".to_owned(),
    }
}
