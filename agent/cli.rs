//! The command line: what may be asked of `probity`, in words.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use probity_probes::duration::Span;

use crate::catalog::DEFAULT_PATH;

const EXAMPLES: &str = "\
Examples:
  probity                                  run the agent on ./probe-catalog.toml
  probity --check                          ask everything once, report, exit
  probity --check --wait 60s --only db     wait until one of them is ready
  probity --check --format json | jq .ready
  probity validate --catalog /etc/probity  all mistakes of a catalog in one go
  probity health                           ask the agent that runs here

Exit codes of --check:
  0 ready, 1 not ready, 2 usage or catalog error, 3 degraded under --strict,
  124 --wait ran out
Exit codes of the agent:
  0 clean stop, 1 it could not start, 2 usage or catalog error,
  128 + signal when a second signal cut the drain short";

/// Tells truthfully and at once whether what a service depends on can serve it.
///
/// Without a subcommand and without --check it runs the agent: it asks every
/// dependency of the catalog again and again, and serves how they are over HTTP.
#[derive(Clone, Debug, Parser)]
#[command(name = "probity", version, after_help = EXAMPLES, max_term_width = 80, disable_help_subcommand = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// Ask everything at once, report, and exit.
    #[command(flatten)]
    pub check: CheckArgs,
    /// Another thing to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The catalog: a file, a folder whose *.toml are read in name order, or - for
    /// standard input.
    #[arg(long, value_name = "PATH", env = "PROBITY_CATALOG", default_value = DEFAULT_PATH, global = true, hide_env_values = true)]
    pub catalog: PathBuf,
    /// Where the agent listens, instead of what the catalog says.
    #[arg(long, value_name = "ADDRESS", env = "PROBITY_LISTEN", global = true, hide_env_values = true)]
    pub listen: Option<SocketAddr>,
    /// How much is logged: error, warn, info, debug, trace, or directives such as
    /// probity=debug.
    #[arg(long, value_name = "LEVEL", env = "PROBITY_LOG", global = true, hide_env_values = true)]
    pub log_level: Option<String>,
    /// How logs are written; they go to stderr.
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// Log more: -v is debug, -vv trace.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON document per line.
    Json,
}

/// What belongs to `--check`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "One-off check")]
pub struct CheckArgs {
    /// Ask every dependency once, all in parallel, report, and exit.
    #[arg(long)]
    pub check: bool,
    /// Retry until every required dependency is ready, or until this time has
    /// passed. The report is that of the last round, in which all are asked at
    /// the same time.
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Require that it stays ready for this long; counts inside --wait.
    #[arg(long = "for", value_name = "DURATION", requires = "wait", value_parser = duration)]
    pub stable: Option<Duration>,
    /// Only these dependencies; they count as required.
    #[arg(long, value_name = "NAME", requires = "check", num_args = 1.., value_delimiter = ',')]
    pub only: Vec<String>,
    /// How the report is written; it goes to stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text", requires = "check")]
    pub format: ReportFormat,
    /// Degraded fails too, with exit code 3.
    #[arg(long, requires = "check")]
    pub strict: bool,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A table for people.
    Text,
    /// The document that /health?verbose serves.
    Json,
}

/// Another thing to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask a running agent whether it is ready: exit 0 ready, 1 not.
    ///
    /// For exec probes and HEALTHCHECK in images without curl.
    Health(HealthArgs),
    /// Check the catalog, asking no one: exit 0, or 2 with all mistakes.
    Validate,
    /// Print the catalog's JSON Schema, for editors.
    Schema,
}

/// What belongs to `probity health`.
#[derive(Clone, Debug, Args)]
pub struct HealthArgs {
    /// The agent: a URL, or HOST:PORT; without a path, /health is asked. Without
    /// it: --listen or its variable, then `listen` of the catalog, then
    /// 127.0.0.1:8686.
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// How long to wait for the answer; kubelet waits 1 s for an exec probe.
    #[arg(long, value_name = "DURATION", default_value = "900ms", value_parser = duration)]
    pub timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    Span::parse(text).map(|span| span.0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
