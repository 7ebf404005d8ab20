//! Renders `docs/reference` from the types, tables and texts that the agent itself uses, so that no page
//! can say anything else than the program does.

use std::{fmt::Write, sync::Arc};

use clap::CommandFactory;
use probity_probes::{
    Entry, FailureKind,
    duration::Span,
    manual::{COMMON_FACTS, COMMON_FINDINGS, FactRow, FindingRow},
    registry,
};
use serde_json::Value;

use crate::{
    catalog::{
        self,
        schema::{self, Key},
    },
    cli::Cli,
    document,
    keeper::Keeper,
    surface::metrics::{self, MetricRow},
    vitals::Vitals,
};

const NOTE: &str = "<!-- Generated from the source by `PROBITY_UPDATE=1 cargo test generated`; do not edit. -->\n\n";

/// A generated file: its path below `docs/reference`, and its content.
pub type Page = (String, String);

/// Every generated file.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut pages = vec![
        ("catalog.md".into(), catalog()),
        ("catalog.schema.json".into(), pretty(&schema::catalog())),
        ("document.schema.json".into(), pretty(document::schema().as_value())),
        ("cli.md".into(), command_line()),
        ("metrics.md".into(), metrics()),
        ("backends/README.md".into(), backends()),
    ];
    for row in registry() {
        if let Some(entry) = &row.entry {
            pages.push((format!("backends/{}.md", row.kind), backend(row.kind, entry)));
        }
    }
    pages
}

/// The table of backends for the README: what each is asked.
#[must_use]
pub fn overview() -> String {
    let mut table =
        "| backend | asked in every run | and every minute | own question | round trip |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in registry() {
        let Some(entry) = &row.entry else { continue };
        let level = |depth: &str| {
            let level = entry.manual.levels.iter().find(|level| level.level == depth);
            level.map_or_else(String::new, |level| cell(level.question))
        };
        let takes_query = schema::keys(&schema::own_of(entry)).iter().any(|key| key.path == "query");
        let _ = writeln!(
            table,
            "| [{}](docs/reference/backends/{}.md) | {} | {} | {} | {} |",
            entry.manual.title,
            row.kind,
            level("query"),
            level("deep"),
            tick(takes_query),
            tick(entry.roundtrip),
        );
    }
    table
}

fn tick(yes: bool) -> &'static str {
    if yes { "✓" } else { "" }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn catalog() -> String {
    let mut page = format!("{NOTE}# The catalog\n\n");
    page.push_str(
        "`probe-catalog.toml`, or the file or folder that `--catalog` or `PROBITY_CATALOG` names, or standard input (`-`). In a \
         folder, every `*.toml` is read in the order of the names; hidden files are left out with a warning, and an entry \
         that cannot be read is an error. Unknown keys, unknown words and everything else that cannot be honoured are \
         refused, all in one go: `probity validate` shows them. Editors can use `catalog.schema.json`.\n\n\
         In every string `${VAR}` and `${VAR:-default}` are replaced from the environment; `$${` is a literal `${`. The default \
         is used when the variable is not set or empty. It may hold references (`${A:-${B:-c}}`, at most eight inside each \
         other) and braces in pairs. A variable that is not set, or not UTF-8 text, is an error; the latter also where there \
         is a default. \
         A *secret* is `{ file = \"PATH\" }` or `{ env = \"NAME\" }`: UTF-8 text, not empty, without NUL, in a regular file of \
         at most 64 KiB. Typed out it is refused unless \
         `agent.allow_literal_secrets` is set. A *duration* has its unit in the value: `\"250ms\"`, `\"3s\"`, `\"5m\"`, `\"14d\"`.\n",
    );
    for (title, words, schema) in [
        ("`[agent]`", "The agent itself.", schema::agent()),
        (
            "`[defaults]` and `[dependencies.NAME]`",
            "Set in `[defaults]` for all dependencies, or in one of them.",
            schema::common(),
        ),
        (
            "`[dependencies.NAME]` only",
            "NAME has up to 63 of `a-z`, `0-9`, `.`, `_` and `-`, and starts with a letter or a digit. The keys of its \
             backend stand beside these: see [the backends](backends/README.md).",
            schema::words(),
        ),
    ] {
        let _ = write!(page, "\n## {title}\n\n{words}\n\n{}", keys(&schema));
    }
    page
}

fn keys(schema: &Value) -> String {
    let mut table = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for Key { path, sort, default, meaning } in schema::keys(schema) {
        let _ = writeln!(table, "| `{path}` | {} | {} | {} |", cell(&sort), cell(&default), cell(&meaning));
    }
    table
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn backends() -> String {
    let mut page = format!("{NOTE}# Backends\n\n| `backend` | system | `degraded.latency` |\n| --- | --- | --- |\n");
    for row in registry() {
        if let Some(entry) = &row.entry {
            let _ = writeln!(page, "| [`{0}`]({0}.md) | {1} | {2} |", row.kind, entry.manual.title, Span(entry.latency));
        }
    }
    page.push_str("\n## Findings of every backend\n\nWhy a dependency that answered is still not well.\n\n");
    page.push_str(&findings(COMMON_FINDINGS));
    page.push_str("\n## Facts of every backend\n\n");
    page.push_str(&facts(COMMON_FACTS, None));
    page.push_str("\n## Kinds of failure\n\nWhy a run did not finish: one of 15.\n\n| kind | fault domain | what to do |\n| --- | --- | --- |\n");
    for kind in FailureKind::ALL {
        let domain = serde_json::to_value(kind.fault_domain()).unwrap_or_default();
        let _ = writeln!(page, "| `{kind}` | {} | {} |", domain.as_str().unwrap_or_default(), cell(kind.remedy()));
    }
    page
}

fn backend(kind: &str, entry: &Entry) -> String {
    let manual = entry.manual;
    let mut page = format!("{NOTE}# {}\n\n{}\n", manual.title, manual.summary);
    if !manual.unsupported.is_empty() {
        page.push_str("\nNot supported:\n\n");
        for line in manual.unsupported {
            let _ = writeln!(page, "- {line}");
        }
    }
    let _ = write!(page, "\n## Example\n\n```toml\n[dependencies.NAME]\n{}```\n", entry.example);
    let _ = write!(
        page,
        "\n## Keys\n\nBeside those that [every dependency](../catalog.md) has; `degraded.latency` is {} unless given.\n\n{}",
        Span(entry.latency),
        keys(&schema::own_of(entry))
    );
    page.push_str("\n## What is asked\n\n| depth | question | privilege |\n| --- | --- | --- |\n");
    for level in manual.levels {
        let _ = writeln!(page, "| `{}` | {} | {} |", level.level, cell(level.question), cell(level.privilege));
    }
    if !manual.facts.is_empty() {
        let _ = write!(page, "\n## Facts\n\nBeside those of [every backend](README.md).\n\n{}", facts(manual.facts, Some(kind)));
    }
    if !manual.findings.is_empty() {
        let _ = write!(page, "\n## Findings\n\nBeside those of [every backend](README.md).\n\n{}", findings(manual.findings));
    }
    if !manual.codes.is_empty() {
        page.push_str("\n## Codes of the server\n\n| code | kind | meaning | what to do |\n| --- | --- | --- | --- |\n");
        for row in manual.codes {
            let remedy = if row.remedy.is_empty() { row.kind.remedy() } else { row.remedy };
            let _ = writeln!(page, "| `{}` | `{}` | {} | {} |", row.code, row.kind, cell(row.message), cell(remedy));
        }
    }
    page
}

fn facts(rows: &[FactRow], kind: Option<&str>) -> String {
    let mut table = "| fact | metric | meaning |\n| --- | --- | --- |\n".to_owned();
    for row in rows {
        let metric = match kind {
            Some(kind) if row.metric => format!("`probity_{kind}_{}`", row.name),
            _ => String::new(),
        };
        let _ = writeln!(table, "| `{}` | {metric} | {} |", row.name, cell(row.meaning));
    }
    table
}

fn findings(rows: &[FindingRow]) -> String {
    let mut table = "| finding | when | what to do |\n| --- | --- | --- |\n".to_owned();
    for row in rows {
        let _ = writeln!(table, "| `{}` | {} | {} |", row.code, cell(row.meaning), cell(row.remedy));
    }
    table
}

fn metrics() -> String {
    let vitals = Arc::new(Vitals::new(0));
    let (_, reader) = Keeper::new(Arc::new(catalog::default_agent()), &[], Arc::clone(&vitals));
    let (dependencies, own) = metrics::manual(&reader.borrow(), &vitals);
    let mut page = format!(
        "{NOTE}# Metrics\n\n`/metrics` answers in the text format of Prometheus. Times are seconds, sizes are bytes. A number \
         that is not known, or is too old to be believed, is left out.\n\n## Of each dependency\n\nEach has the labels \
         `dependency`, `backend` and `criticality`; some have more.\n\n"
    );
    page.push_str(&rows(&dependencies));
    page.push_str(
        "\nFacts of a backend that are numbers are `probity_<backend>_<fact>`: [each backend's page](backends/README.md) \
         lists them.\n\n## Of the agent\n\n",
    );
    page.push_str(&rows(&own));
    page
}

fn rows(metrics: &[MetricRow]) -> String {
    let mut table = "| metric | type | further labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for MetricRow { name, kind, labels, meaning } in metrics {
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {} |", cell(labels), cell(meaning));
    }
    table
}

fn command_line() -> String {
    let mut page = format!("{NOTE}# Command line\n");
    let mut command = Cli::command().term_width(80);
    command.build();
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let _ = write!(page, "\n## `probity`\n\n{}", help(&mut command));
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            let _ = write!(page, "\n## `probity {name}`\n\n{}", help(sub));
        }
    }
    page
}

fn help(command: &mut clap::Command) -> String {
    let text = command.render_long_help().to_string();
    let lines: Vec<_> = text.trim().lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}
