//! From arguments to an exit code.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use probity_probes::panics;

use crate::{
    catalog::{self, Mistakes, plan::Plan},
    cli::{Cli, Command, Common},
    logging,
    surface::{check, health},
};

/// A mistake in the usage or the catalog.
pub const USAGE: u8 = 2;

/// Does what the command line asks for. `agent` runs a plan until it is told to stop.
pub fn run(agent: impl FnOnce(Plan) -> ExitCode) -> ExitCode {
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
        Some(Command::Health(args)) => health::run(args, cli.common.listen),
        Some(Command::Schema) => print_schema(),
        Some(Command::Validate) => with_plan(&cli.common, "validate", |plan| validate(&plan, &cli.common.catalog)),
        None if cli.check.check => with_plan(&cli.common, "check", |plan| check::run(&plan, &cli.check)),
        None => with_plan(&cli.common, "agent", |plan| {
            for warning in &plan.warnings {
                tracing::warn!("{warning}");
            }
            agent(plan)
        }),
    }
}

fn usage(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::from(USAGE)
}

/// `error: …` to stderr.
pub(crate) fn complain(sentence: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    // Nobody reads stderr any more when this fails; the exit code still tells.
    let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {sentence}");
}

fn with_plan(common: &Common, process: &'static str, then: impl FnOnce(Plan) -> ExitCode) -> ExitCode {
    match catalog::load(&common.catalog, process) {
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
    let count = match mistakes.count() {
        1 => "1 mistake".to_owned(),
        several => format!("{several} mistakes"),
    };
    let _ = writeln!(anstream::stderr(), "{}\n\n{}: {count}", mistakes.render(coloured), catalog.display());
}

fn validate(plan: &Plan, catalog: &Path) -> ExitCode {
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    for warning in &plan.warnings {
        let _ = writeln!(anstream::stderr(), "{style}warning{style:#}: {warning}");
    }
    let count = match plan.dependencies.len() {
        1 => "1 dependency".to_owned(),
        several => format!("{several} dependencies"),
    };
    let warnings = match plan.warnings.len() {
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
