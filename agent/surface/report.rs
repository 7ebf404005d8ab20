//! The report of `--check` for people: an aligned table that fits the terminal, and one line that sums up.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets::NOTHING};
use probity_probes::{Failure, Severity, Status};

use crate::{
    catalog::plan::Criticality,
    document::{DependencyEntry, Document, FindingEntry, Time},
    judge::ViewStatus,
};

/// Width of a report that goes to a file or a pipe.
const UNKNOWN_WIDTH: u16 = 120;

/// From here on, what to do has a column of its own; below it stands under what is wrong.
const ROOMY: u16 = 110;

/// Longer names are broken.
const LONGEST_NAME: u16 = 24;

/// An outcome shows its age from here on, in seconds. The runs of one round end within their timeouts of each other.
const OLD: i64 = 2;

/// The width of the terminal that stdout is.
#[must_use]
pub fn width() -> u16 {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(UNKNOWN_WIDTH, |(terminal_size::Width(width), _)| width)
}

/// The whole report, with colours that whoever prints it may strip.
#[must_use]
pub fn table(document: &Document, width: u16) -> String {
    let entries = document.dependencies.as_deref().unwrap_or_default();
    let trouble = entries.iter().any(|entry| !troubles(entry, document.at).is_empty());
    let roomy = width >= ROOMY;
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    let columns = ["name", "backend", "status", "latency", "what is wrong", "what to do"];
    let shown = match (trouble, roomy) {
        (false, _) => 4,
        (true, false) => 5,
        (true, true) => 6,
    };
    table.set_header(&columns[..shown]);
    for entry in entries {
        table.add_row(row(entry, document.at, roomy).into_iter().take(shown));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        match index {
            0 => column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(LONGEST_NAME + 2))),
            1..=3 => column.set_constraint(ColumnConstraint::ContentWidth),
            _ => continue,
        };
    }
    let mut text = String::new();
    let lines: Vec<_> = table.lines().collect();
    let status = lines.first().and_then(|header| header.find("status"));
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim_end();
        let coloured = match status {
            _ if index == 0 => format!("{0}{line}{0:#}", Style::new().bold()),
            Some(at) => paint(line, at),
            None => line.to_owned(),
        };
        let _ = writeln!(text, "{coloured}");
    }
    let _ = writeln!(text, "\n{}", summary(document, entries));
    text
}

fn row(entry: &DependencyEntry, now: Time, roomy: bool) -> Vec<String> {
    let mut troubles = troubles(entry, now);
    let remedies = remedies(entry);
    let mut row = vec![
        entry.name.to_string(),
        entry.backend.to_string(),
        entry.status.to_string(),
        entry.latency_seconds.map_or_else(|| "-".into(), latency),
    ];
    if roomy {
        row.extend([troubles.join("\n"), remedies.join("\n")]);
    } else {
        troubles.extend(remedies.iter().map(|remedy| format!("→ {remedy}")));
        row.push(troubles.join("\n"));
    }
    row
}

fn troubles(entry: &DependencyEntry, now: Time) -> Vec<String> {
    let failure = entry.failure.as_ref();
    let words = failure.and_then(|failure| failure.server_message.as_ref()).map(|words| format!("server: {words}"));
    let missing = (!entry.missing.is_empty()).then(|| format!("not answered: {}", entry.missing.join(", ")));
    let findings = entry.findings.iter().map(finding_words);
    failure.map(failure_words).into_iter().chain(words).chain(findings).chain(missing).chain(age(entry, now)).collect()
}

/// "seen 12 s ago", for an outcome that is older than the report.
fn age(entry: &DependencyEntry, now: Time) -> Option<String> {
    let age = now.0.duration_since(entry.checked_at?.0).as_secs();
    (age >= OLD).then(|| format!("seen {age} s ago"))
}

fn remedies(entry: &DependencyEntry) -> Vec<String> {
    let failure = entry.failure.iter().map(|failure| failure.remedy.clone());
    let findings = entry.findings.iter().filter_map(|finding| finding.remedy.as_ref().map(ToString::to_string));
    failure.chain(findings).collect()
}

/// "auth: the password was rejected (code 28P01)".
fn failure_words(failure: &Failure) -> String {
    let code = failure.code.as_ref().map_or_else(String::new, |code| format!(" (code {code})"));
    format!("{}: {}{code}", failure.kind, failure.message)
}

/// "connections 0.94 of 0.9".
fn finding_words(finding: &FindingEntry) -> String {
    let threshold = finding.threshold.as_ref().map_or_else(String::new, |threshold| format!(" of {threshold}"));
    format!("{} {}{threshold}", finding.code, finding.observed)
}

/// With three digits: "0.42 ms", "12.3 ms", "1.20 s".
fn latency(seconds: f64) -> String {
    let (amount, unit) = if seconds < 1.0 { (seconds * 1e3, "ms") } else { (seconds, "s") };
    let digits = match amount {
        amount if amount < 10.0 => 2,
        amount if amount < 100.0 => 1,
        _ => 0,
    };
    format!("{amount:.digits$} {unit}")
}

/// Colours the word that stands in the column of the status.
fn paint(line: &str, at: usize) -> String {
    let Some((before, rest)) = line.is_char_boundary(at).then(|| line.split_at_checked(at)).flatten() else { return line.into() };
    let word = rest.split(' ').next().unwrap_or_default();
    let status =
        [ViewStatus::Healthy, ViewStatus::Degraded, ViewStatus::Unhealthy].into_iter().find(|status| status.to_string() == word);
    match status {
        Some(status) => {
            let style = style(status);
            format!("{before}{style}{word}{style:#}{}", &rest[word.len()..])
        }
        None => line.into(),
    }
}

fn style(status: ViewStatus) -> Style {
    match status {
        ViewStatus::Healthy => AnsiColor::Green.on_default(),
        ViewStatus::Degraded => AnsiColor::Yellow.on_default().bold(),
        _ => AnsiColor::Red.on_default().bold(),
    }
}

/// Names of one kind that the last line lists before it counts the rest.
const NAMED: usize = 3;

/// "ready · 3 of 4 healthy · down (optional): cache", "NOT READY · orders-db: connection refused".
fn summary(document: &Document, entries: &[DependencyEntry]) -> String {
    let is_required = |entry: &&DependencyEntry| entry.criticality == Criticality::Required;
    let down = |entry: &&DependencyEntry| !entry.status.serves();
    let of = |criticality: Criticality| entries.iter().filter(move |entry| entry.criticality == criticality).filter(down);
    let mut parts = Vec::new();
    let colour = if document.ready {
        let healthy = entries.iter().filter(|entry| entry.status == ViewStatus::Healthy).count();
        parts.push(format!("{healthy} of {} healthy", entries.len()));
        if document.status == Status::Healthy { AnsiColor::Green } else { AnsiColor::Yellow }
    } else {
        let blocking = entries.iter().filter(is_required).filter(down);
        parts.push(listed(blocking.map(|entry| format!("{}: {}", entry.name, cause(entry))), "; "));
        AnsiColor::Red
    };
    let also = if document.ready { "" } else { "also " };
    for (criticality, word) in [(Criticality::Optional, "optional"), (Criticality::Informational, "informational")] {
        let names = listed(of(criticality).map(|entry| entry.name.to_string()), ", ");
        if !names.is_empty() {
            parts.push(format!("{also}down ({word}): {names}"));
        }
    }
    let degraded = entries.iter().filter(|entry| entry.status == ViewStatus::Degraded);
    let degraded = listed(degraded.map(|entry| entry.name.to_string()), ", ");
    if !degraded.is_empty() {
        parts.push(format!("degraded: {degraded}"));
    }
    let style = colour.on_default().bold();
    format!("{style}{}{style:#} · {}", if document.ready { "ready" } else { "NOT READY" }, parts.join(" · "))
}

/// Why a dependency is down, without its code and remedy.
fn cause(entry: &DependencyEntry) -> String {
    let failure = entry.failure.as_ref().map(|failure| failure.message.clone());
    let unhealthy = || entry.findings.iter().find(|finding| finding.severity == Severity::Unhealthy).map(finding_words);
    failure.or_else(unhealthy).unwrap_or_else(|| entry.status.to_string())
}

/// The first few, and how many more there are.
fn listed(items: impl Iterator<Item = String>, separator: &str) -> String {
    let items: Vec<_> = items.collect();
    let shown = items[..items.len().min(NAMED)].join(separator);
    if items.len() > NAMED { format!("{shown} and {} more", items.len() - NAMED) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        for (seconds, text) in [(0.000_42, "0.42 ms"), (0.0123, "12.3 ms"), (0.123, "123 ms"), (1.2, "1.20 s"), (12.0, "12.0 s")]
        {
            assert_eq!(latency(seconds), text);
        }
    }

    #[test]
    fn only_a_status_in_its_column_is_coloured() {
        assert_eq!(paint("db  healthy  healthy", 4), "db  \u{1b}[32mhealthy\u{1b}[0m  healthy");
        assert_eq!(paint("    is healthy", 4), "    is healthy");
        assert_eq!(paint("x", 4), "x");
    }
}
