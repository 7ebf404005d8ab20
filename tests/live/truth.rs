//! The truth table as a page: the rows that the tests run from, and what was last seen of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Status};

use super::{BACKENDS, faults, hosts, proxied, sessions, sockets, states, tls};
use crate::support::truth::record::{self, Seen};
use crate::support::truth::{Expected, State};

/// What is to be read before the tables.
const INTRO: &str = "\
# The truth table

What Probity says of the servers that it asks, row by row. Each row is a state that a test makes: it starts the server, \
brings it into that state, asks it with the code that the agent runs, and holds the answer against the row. The server is \
a real one (for MongoDB it is SecantusDB, which speaks its protocol: no `mongod` could be had; for Oracle Database a \
stand-in of our own, for SQL Server pysqlbridge, and where a row says so a stand-in, too); where none can be made to \
do it on demand, the row says `a peer`.

- **must be** is the row: the status, the kind of failure or the finding; **fault domain** is who has to act. A run that \
says anything else, or says it later than **within**, is a failed test. So is a row that was never seen, and one that no \
test looks at does not compile.
- **got** is what was last seen, with the server's own code where it has one, and **after** is how long that run took. Runs \
have a deadline of 3 s, those that must meet it mostly one of 1 s.

`make test` checks every row again. `PROBITY_UPDATE=1 cargo test --test it live` records what is seen in `truth.json`, and \
`PROBITY_UPDATE=1 cargo test --test it generated` makes this page of the rows and the record. The words are those of \
[the backends](backends/README.md). What is asked of every backend alike is in \
[the conformance matrix](conformance.md).
";

/// The record without what is no row (any more), in the order of the rows.
pub(crate) fn pruned() -> Vec<Seen> {
    let seen = record::load();
    states().iter().filter_map(|state| seen.iter().find(|seen| seen.is_of(state)).cloned()).collect()
}

/// Rows that were never seen, or not as they say.
pub(crate) fn mistakes() -> Vec<String> {
    let seen = record::load();
    let mut mistakes = Vec::new();
    for state in states() {
        let wrong = match seen.iter().find(|seen| seen.is_of(&state)) {
            None => "has no record: run its test with PROBITY_UPDATE=1",
            Some(seen) if !agrees(&state, seen) => "is contradicted by its record",
            Some(_) => continue,
        };
        mistakes.push(format!("{}, {} ({}) {wrong}", state.backend, state.state, state.made));
    }
    mistakes
}

fn agrees(state: &State, seen: &Seen) -> bool {
    let Expected { status, failure, finding, domain } = state.expected;
    let has_finding = finding.map_or(seen.findings.is_empty(), |code| seen.findings.iter().any(|found| found == code));
    (seen.status, seen.failure) == (status, failure)
        && (domain.is_none() || seen.domain == domain)
        && has_finding
        && seen.seconds <= state.within.as_secs_f64()
}

/// The page.
pub(crate) fn page() -> String {
    let seen = pruned();
    let mut page = format!("{}{INTRO}\n{}\n{}", crate::generated::NOTE, summary(&seen), coverage());
    for (title, words, rows) in [
        ("The end of a session", "Each of the servers alone.", sessions::states().collect()),
        ("A bad network", "A proxy between Probity and each of the servers.", faults::states().collect::<Vec<_>>()),
        ("A proxy that answers itself", "nginx in front of each server that speaks HTTP.", proxied::states().collect()),
        ("Several hosts", "Two in the URL of each that takes a list, the good one a server.", hosts::states().collect()),
        ("Unix sockets", "In the URL of each that takes one.", sockets::states().collect()),
        ("Certificates", "Each of the servers with TLS.", tls::states().collect()),
    ] {
        let _ = write!(page, "\n## {title}\n\n{words}\n\n{}", matrix(&rows, &seen));
    }
    for backend in BACKENDS {
        let _ =
            write!(page, "\n## {}\n\n[`{backend}`](backends/{backend}.md), here {}.\n", title(backend), server(backend, &seen));
        let mut area = "";
        for state in states().iter().filter(|state| state.backend == backend && !state.area.is_empty()) {
            if state.area != area {
                area = state.area;
                let _ = write!(page, "\n### {}\n\n{HEAD}", heading(area));
            }
            row(&mut page, state, find(state, &seen));
        }
    }
    page
}

const HEAD: &str =
    "| state | how it is made | must be | fault domain | within | got | after |\n| --- | --- | --- | --- | --- | --- | ---: |\n";

fn row(page: &mut String, state: &State, seen: Option<&Seen>) {
    let Expected { status, failure, finding, domain } = state.expected;
    let must = verdict(status, failure, finding.as_slice());
    let _ = write!(page, "| {} | {} | {must} | {} | {} | ", cell(state.state), cell(state.made), act(domain), within(state));
    let _ = match seen {
        Some(seen) => {
            let code = seen.code.as_deref().map(|code| format!(", {}", quoted(code))).unwrap_or_default();
            let findings: Vec<_> = seen.findings.iter().map(String::as_str).collect();
            writeln!(page, "{}{code} | {} |", verdict(seen.status, seen.failure, &findings), time(seen.seconds))
        }
        None => writeln!(page, "never seen | |"),
    };
}

/// One line for what is the same for every backend.
fn matrix(states: &[State], seen: &[Seen]) -> String {
    let mut table = format!(
        "| state | how it is made | must be | {} |\n| --- | --- | --- |{}\n",
        BACKENDS.join(" | "),
        " ---: |".repeat(BACKENDS.len())
    );
    let mut told = BTreeSet::new();
    for first in states.iter().filter(|state| told.insert(state.state)) {
        let same: BTreeMap<_, _> =
            states.iter().filter(|state| state.state == first.state).map(|state| (state.backend, state)).collect();
        let Expected { status, failure, finding, domain } = first.expected;
        let _ =
            write!(table, "| {} | {} | {}", cell(first.state), cell(first.made), verdict(status, failure, finding.as_slice()));
        if domain.is_some() {
            let _ = write!(table, " ({})", act(domain));
        }
        for backend in BACKENDS {
            let Some(state) = same.get(backend) else {
                table.push_str(" | –");
                continue;
            };
            let after = find(state, seen).map_or_else(|| "never seen".to_owned(), |seen| time(seen.seconds));
            let other = state.expected.failure.filter(|_| state.expected != first.expected);
            let _ = write!(table, " | {}{after}", other.map(|kind| format!("`{kind}` ")).unwrap_or_default());
        }
        table.push_str(" |\n");
    }
    table
}

/// How many states each backend has.
fn summary(seen: &[Seen]) -> String {
    let mut table = "| backend | server | healthy | degraded | unhealthy | states | last seen |\n| --- | --- | ---: | ---: | ---: | ---: | --- |\n".to_owned();
    let all = states();
    let mut line = |name: &str, server: &str, is_in: &dyn Fn(&str) -> bool| {
        let states: Vec<_> = all.iter().filter(|state| is_in(state.backend)).collect();
        let days: BTreeSet<_> = seen.iter().filter(|seen| is_in(&seen.backend)).map(|seen| seen.on.as_str()).collect();
        let when = match (days.first(), days.last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (_, last) => last.copied().unwrap_or("never").to_owned(),
        };
        let [healthy, degraded, unhealthy] =
            Status::ALL.map(|status| states.iter().filter(|state| state.expected.status == status).count());
        let _ = writeln!(table, "| {name} | {server} | {healthy} | {degraded} | {unhealthy} | {} | {when} |", states.len());
    };
    for backend in BACKENDS {
        line(&format!("[{backend}](#{})", anchor(title(backend))), &server(backend, seen), &|of| of == backend);
    }
    line("**all**", "", &|_| true);
    table
}

fn coverage() -> String {
    let states = states();
    let kinds: BTreeSet<_> = states.iter().filter_map(|state| state.expected.failure).map(FailureKind::as_str).collect();
    let findings: BTreeSet<_> = states.iter().filter_map(|state| state.expected.finding).collect();
    let missing: Vec<_> =
        FailureKind::ALL.iter().filter(|kind| !kinds.contains(kind.as_str())).map(|kind| format!("`{kind}`")).collect();
    format!(
        "Among them are {} of the {} kinds of failure (not {}) and {} different findings.\n",
        kinds.len(),
        FailureKind::ALL.len(),
        missing.join(", "),
        findings.len()
    )
}

fn find<'a>(state: &State, seen: &'a [Seen]) -> Option<&'a Seen> {
    seen.iter().find(|seen| seen.is_of(state))
}

fn verdict(status: Status, failure: Option<FailureKind>, findings: &[&str]) -> String {
    let words: Vec<_> =
        failure.iter().map(|kind| kind.as_str()).chain(findings.iter().copied()).map(|word| format!("`{word}`")).collect();
    let status = format!("{status:?}").to_lowercase();
    if words.is_empty() { status } else { format!("{status}: {}", words.join(", ")) }
}

fn act(domain: Option<FaultDomain>) -> String {
    domain.map(|domain| format!("{domain:?}").to_lowercase()).unwrap_or_default()
}

fn within(state: &State) -> String {
    match state.expected.failure {
        Some(FailureKind::Timeout) => "its deadline".to_owned(),
        _ => time(state.within.as_secs_f64()),
    }
}

fn time(seconds: f64) -> String {
    let brief = Duration::from_secs_f64(seconds);
    if brief < Duration::from_secs(1) { format!("{} ms", brief.as_millis()) } else { format!("{seconds} s") }
}

/// What a server calls itself, in most of the runs in which it said so.
fn server(backend: &str, seen: &[Seen]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for server in seen.iter().filter(|seen| seen.backend == backend).filter_map(|seen| seen.server.as_deref()) {
        *counts.entry(server).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(server, _)| server.to_owned()).unwrap_or_default()
}

fn title(backend: &str) -> &'static str {
    let entry = probity_probes::find(backend).expect("every backend is in this build");
    entry.manual.title
}

/// As GitHub makes them of headings.
fn anchor(title: &str) -> String {
    let kept = title.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A module's name as a heading.
fn heading(path: &str) -> String {
    let area = path.rsplit("::").next().unwrap_or_default();
    match area {
        "tls" => "TLS".to_owned(),
        "jetstream" => "JetStream".to_owned(),
        "oracle" => "Oracle's MySQL".to_owned(),
        _ => area[..1].to_uppercase() + &area[1..],
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// A code, cut where it is a sentence.
fn quoted(code: &str) -> String {
    const LONGEST: usize = 40;
    let cut: String = code.chars().take(LONGEST).collect();
    format!("`{}{}`", cut.replace('|', "\\|"), if cut.len() < code.len() { "…" } else { "" })
}
