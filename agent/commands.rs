//! From arguments to an exit code.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use probity_probes::panics;

use crate::{
    catalog::{
        self, Mistakes,
        plan::{Criticality, Plan},
    },
    cli::{Cli, Command, Common},
    lifecycle::Starting,
    logging,
    surface::{check, health},
};

/// A mistake in the usage or the catalog.
pub const USAGE: u8 = 2;

/// Does what the command line asks for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    if cli.command.is_some() && cli.check.check {
        return usage("--check and a subcommand exclude each other");
    }
    let level = if cli.command.is_none() && !cli.check.check { "info" } else { "warn" };
    if let Err(sentence) = logging::start(&cli.common, level) {
        return usage(&sentence);
    }
    panics::install();
    match &cli.command {
        Some(Command::Health(args)) => health::run(args, cli.common.listen, &cli.common.catalog),
        Some(Command::Schema) => print_schema(),
        Some(Command::Validate) => with_plan(&cli.common, "validate", |plan| validate(&plan, &cli.common.catalog)),
        None if cli.check.check => with_plan(&cli.common, "check", |plan| check::run(&plan, &cli.check)),
        None => agent(&cli.common),
    }
}

/// Runs the agent until it is told to stop.
fn agent(common: &Common) -> ExitCode {
    let mut starting = match Starting::new() {
        Ok(starting) => starting,
        Err(code) => return code,
    };
    let path = common.catalog.clone();
    let loaded = match starting.meanwhile(move || catalog::load(&path, "agent")) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    with_loaded(loaded, common, |plan| {
        for warning in &plan.warnings {
            tracing::warn!("{warning}");
        }
        starting.run(plan)
    })
}

fn usage(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::from(USAGE)
}

/// What a catalog needs for an exit code to mean something.
pub(crate) const NOTHING_REQUIRED: &str = "nothing is required, so whatever is down, the answer is ready (exit 0); set `criticality = \"required\"`, \
     or name dependencies with --check --only";

/// `warning: …` to stderr.
pub(crate) fn warn(sentence: &str) {
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}warning{style:#}: {sentence}");
}

/// `error: …` to stderr.
pub(crate) fn complain(sentence: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    // Nobody reads stderr any more when this fails; the exit code still tells.
    let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {sentence}");
}

fn with_plan(common: &Common, process: &'static str, then: impl FnOnce(Plan) -> ExitCode) -> ExitCode {
    with_loaded(catalog::load(&common.catalog, process), common, then)
}

fn with_loaded(loaded: Result<Plan, Mistakes>, common: &Common, then: impl FnOnce(Plan) -> ExitCode) -> ExitCode {
    match loaded {
        Ok(mut plan) => {
            if let Some(listen) = common.listen {
                plan.agent.listen = listen;
            }
            then(plan)
        }
        Err(mistakes) => {
            report(&mistakes, &common.catalog);
            ExitCode::from(USAGE)
        }
    }
}

fn report(mistakes: &Mistakes, catalog: &Path) {
    let coloured = io::stderr().is_terminal();
    let summary = mistakes.summary();
    let _ = writeln!(anstream::stderr(), "{}\n\n{}: {summary}", mistakes.render(coloured), catalog.display());
}

fn validate(plan: &Plan, catalog: &Path) -> ExitCode {
    let required = plan.dependencies.iter().any(|dependency| dependency.criticality == Criticality::Required);
    let warnings: Vec<_> = plan.warnings.iter().map(String::as_str).chain((!required).then_some(NOTHING_REQUIRED)).collect();
    for warning in &warnings {
        warn(warning);
    }
    let count = match plan.dependencies.len() {
        1 => "1 dependency".to_owned(),
        several => format!("{several} dependencies"),
    };
    let warnings = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        several => format!(", {several} warnings"),
    };
    print(&format!("{}: {count}, no mistakes{warnings}\n", catalog.display()))
}

fn print_schema() -> ExitCode {
    print(&format!("{:#}\n", catalog::schema::catalog()))
}

/// Data to stdout. A reader that went away (`| head`) is no reason to panic.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("stdout cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}
