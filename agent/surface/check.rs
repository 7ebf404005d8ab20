//! `probity --check`: everything once, in parallel, judged raw, reported, done.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    process::ExitCode,
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use indicatif::{ProgressBar, ProgressStyle};
use probity_probes::{Outcome, Prober, Status, address::unknown};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::report;
use crate::{
    catalog::plan::{Criticality, DependencyPlan, Plan},
    cli::{CheckArgs, ReportFormat},
    commands::{USAGE, complain, print},
    document::{Detail, Document},
    judge::own_fault,
    lifecycle::start_workers,
};

/// From one run of a dependency to the next, under `--wait`.
const PAUSE: Duration = Duration::from_millis(500);

/// Closing every session politely may take this long.
const FAREWELL: Duration = Duration::from_millis(300);

/// Who is faster than this needs no spinner.
const PATIENCE: Duration = Duration::from_millis(200);

/// Threads that run probes. Probes wait for their peers, not for processors.
const MOST_WORKERS: usize = 4;

/// Degraded, under `--strict`.
const DEGRADED: u8 = 3;

/// `--wait` ran out; the code of coreutils' `timeout`.
const TIME_IS_UP: u8 = 124;

/// Asks, reports, and says by its exit code how it went.
#[must_use]
pub fn run(plan: &Plan, args: &CheckArgs) -> ExitCode {
    let chosen = match choose(&plan.dependencies, &args.only) {
        Ok(chosen) => chosen,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::from(USAGE);
        }
    };
    // Two runtimes: a backend that blocks the threads of the one cannot stop the clock of the other.
    let workers = thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_WORKERS);
    let runtimes = start_workers(workers).and_then(|probes| Ok((probes, Builder::new_current_thread().enable_all().build()?)));
    let (probes, clock) = match runtimes {
        Ok(runtimes) => runtimes,
        Err(error) => {
            complain(&format!("cannot start the threads for probes: {error}; raise the limits of this process (`ulimit -u`)"));
            return ExitCode::FAILURE;
        }
    };
    let code = clock.block_on(async {
        tokio::select! {
            code = ask_and_report(plan, &chosen, args, probes.handle()) => code,
            code = interrupted() => ExitCode::from(code),
        }
    });
    leave(probes);
    code
}

/// Nothing that still runs may hold the process back.
fn leave(probes: Runtime) {
    probes.shutdown_background();
}

/// As PID 1 of a container nobody else would end us.
async fn interrupted() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

fn choose<'a>(dependencies: &'a [DependencyPlan], only: &[String]) -> Result<Vec<&'a DependencyPlan>, String> {
    let names: Vec<&str> = dependencies.iter().map(|dependency| &*dependency.name).collect();
    if let Some(stranger) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(unknown("dependency", stranger, &names));
    }
    Ok(dependencies.iter().filter(|dependency| only.is_empty() || only.iter().any(|name| **name == *dependency.name)).collect())
}

async fn ask_and_report(plan: &Plan, chosen: &[&DependencyPlan], args: &CheckArgs, runtime: &Handle) -> ExitCode {
    let probers: Vec<_> = chosen.iter().map(|dependency| Prober::new(dependency.probe.clone(), runtime.clone())).collect();
    let outcomes = ask(chosen, &probers, args).await;
    let round: Vec<_> = chosen.iter().copied().zip(&outcomes).collect();
    let document = Document::checked(&plan.agent, &round, Detail::Verbose);
    let settled = round.iter().all(|(dependency, outcome)| is_fine(dependency.criticality, outcome.status, args.strict));
    let printed = print(&match args.format {
        ReportFormat::Text => report::table(&document, report::width()),
        ReportFormat::Json => serde_json::to_string_pretty(&document).unwrap_or_default() + "\n",
    });
    // A session that does not end in time ends with the process.
    let _ = timeout(FAREWELL, join_all(probers.iter().map(Prober::close))).await;
    match code(&document, settled, args) {
        0 => printed,
        code => ExitCode::from(code),
    }
}

/// What the exit code says.
fn code(document: &Document, settled: bool, args: &CheckArgs) -> u8 {
    match (document.ready, document.status) {
        _ if args.wait.is_some() && !settled => TIME_IS_UP,
        (false, _) => 1,
        (true, Status::Degraded | Status::Unhealthy) if args.strict => DEGRADED,
        (true, _) => 0,
    }
}

/// Whether `--wait` need not wait for it.
fn is_fine(criticality: Criticality, status: Status, strict: bool) -> bool {
    match (criticality, status) {
        (Criticality::Informational, _) | (_, Status::Healthy) => true,
        (Criticality::Required, Status::Unhealthy) => false,
        _ => !strict,
    }
}

/// One outcome for each; under `--wait` again and again, until all are fine or time is up.
async fn ask(chosen: &[&DependencyPlan], probers: &[Prober], args: &CheckArgs) -> Vec<Outcome> {
    let started = Instant::now();
    let deadline = args.wait.map(|wait| started + wait);
    let mut latest: Vec<Option<Outcome>> = vec![None; chosen.len()];
    let mut runs = JoinSet::new();
    for index in 0..chosen.len() {
        start(&mut runs, index, chosen, probers, deadline, Duration::ZERO);
    }
    let mut progress = Progress::new(started);
    loop {
        let joined = tokio::select! {
            joined = runs.join_next() => joined,
            () = progress.due() => {
                progress.show(chosen, &latest, args.strict);
                continue;
            }
        };
        let Some(joined) = joined else { break };
        let Ok((index, outcome)) = joined else { continue };
        let dependency = chosen[index];
        let fine = is_fine(dependency.criticality, outcome.status, args.strict);
        latest[index] = Some(outcome);
        progress.update(chosen, &latest, args.strict);
        let Some(deadline) = deadline else { continue };
        if latest.iter().zip(chosen).all(|(outcome, dependency)| {
            outcome.as_ref().is_some_and(|outcome| is_fine(dependency.criticality, outcome.status, args.strict))
        }) {
            break;
        }
        if !fine && Instant::now() + PAUSE < deadline {
            start(&mut runs, index, chosen, probers, Some(deadline), PAUSE);
        }
    }
    progress.end();
    latest.into_iter().flatten().collect()
}

/// Starts one run, after a pause. It ends with `--wait` at the latest.
fn start(
    runs: &mut JoinSet<(usize, Outcome)>,
    index: usize,
    chosen: &[&DependencyPlan],
    probers: &[Prober],
    deadline: Option<Instant>,
    pause: Duration,
) {
    let (prober, limit) = (probers[index].clone(), chosen[index].timing.timeout);
    runs.spawn(async move {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let limit = deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(Instant::now())));
        (index, own_fault(prober.run(limit).await, limit))
    });
}

/// Who is still waited for, on stderr, when that is a terminal.
struct Progress {
    due: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self { due: io::stderr().is_terminal().then_some(started + PATIENCE), bar: None }
    }

    /// Completes once, when the spinner should appear.
    async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn show(&mut self, chosen: &[&DependencyPlan], latest: &[Option<Outcome>], strict: bool) {
        self.due = None;
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
        self.update(chosen, latest, strict);
    }

    fn update(&self, chosen: &[&DependencyPlan], latest: &[Option<Outcome>], strict: bool) {
        let Some(bar) = &self.bar else { return };
        let waiting: BTreeSet<&str> = chosen
            .iter()
            .zip(latest)
            .filter(|(dependency, outcome)| {
                outcome.as_ref().is_none_or(|outcome| !is_fine(dependency.criticality, outcome.status, strict))
            })
            .map(|(dependency, _)| &*dependency.name)
            .collect();
        bar.set_message(format!("waiting for {}", waiting.into_iter().collect::<Vec<_>>().join(", ")));
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for() {
        use Criticality::{Informational, Optional, Required};
        use Status::{Degraded, Healthy, Unhealthy};
        for (criticality, status, plain, strict) in [
            (Required, Unhealthy, false, false),
            (Required, Degraded, true, false),
            (Required, Healthy, true, true),
            (Optional, Unhealthy, true, false),
            (Optional, Degraded, true, false),
            (Informational, Unhealthy, true, true),
        ] {
            assert_eq!(is_fine(criticality, status, false), plain, "{criticality:?} {status}");
            assert_eq!(is_fine(criticality, status, true), strict, "{criticality:?} {status} strict");
        }
    }
}
