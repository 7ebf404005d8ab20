//! `probity --check`: everything once, in parallel, judged raw, reported, done.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
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
    time::{Instant, sleep_until, timeout},
};

use super::report;
use crate::{
    catalog::plan::{Criticality, DependencyPlan, Plan},
    cli::{CheckArgs, ReportFormat},
    commands::{NOTHING_REQUIRED, USAGE, complain, print, warn},
    document::{Chosen, Detail, Document},
    judge::own_fault,
    lifecycle::start_workers,
};

/// From the start of one round to the start of the next, under `--wait`.
const ROUND: Duration = Duration::from_secs(1);

/// The last round starts this long before `--wait` runs out, so that it can end.
const LAST_ROUND: Duration = Duration::from_millis(250);

/// Closing every session politely may take this long.
const FAREWELL: Duration = Duration::from_millis(300);

/// Checks that finish sooner show no spinner.
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

/// The dependencies to ask. The ones that are named count as required: they are what the caller needs.
fn choose<'a>(dependencies: &'a [DependencyPlan], only: &[String]) -> Result<Vec<Chosen<'a>>, String> {
    let names: Vec<&str> = dependencies.iter().map(|dependency| &*dependency.name).collect();
    if let Some(stranger) = only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(unknown("dependency", stranger, &names));
    }
    if only.is_empty() {
        return Ok(dependencies.iter().map(|plan| Chosen { plan, criticality: plan.criticality }).collect());
    }
    let wanted = dependencies.iter().filter(|dependency| only.iter().any(|name| **name == *dependency.name));
    Ok(wanted.map(|plan| Chosen { plan, criticality: Criticality::Required }).collect())
}

/// Warns where no outcome could make the exit code other than 0.
fn warn_if_nothing_counts(chosen: &[Chosen<'_>]) {
    if !chosen.is_empty() && chosen.iter().all(|chosen| chosen.criticality != Criticality::Required) {
        warn(NOTHING_REQUIRED);
    }
}

async fn ask_and_report(plan: &Plan, chosen: &[Chosen<'_>], args: &CheckArgs, runtime: &Handle) -> ExitCode {
    warn_if_nothing_counts(chosen);
    let probers: Vec<_> = chosen.iter().map(|chosen| Prober::new(chosen.plan.probe.clone(), runtime.clone())).collect();
    let (outcomes, settled) = ask(chosen, &probers, args).await;
    let round: Vec<_> = chosen.iter().copied().zip(&outcomes).collect();
    let document = Document::checked(&plan.agent, &round, Detail::Verbose);
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
        _ if args.wait.is_some_and(|wait| !wait.is_zero()) && !settled => TIME_IS_UP,
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

/// The outcomes of one round, whose runs all start together, and whether it is one that `--wait` waits for. Under `--wait`
/// round follows round until one is fine, and has been for `--for`, or until time is up.
async fn ask(chosen: &[Chosen<'_>], probers: &[Prober], args: &CheckArgs) -> (Vec<Outcome>, bool) {
    let started = Instant::now();
    // Without any time to wait, there is one round as without `--wait`.
    let wait = args.wait.filter(|wait| !wait.is_zero());
    let deadline = wait.map(|wait| started + wait);
    let last_start = wait.map(|wait| started + wait.saturating_sub(LAST_ROUND));
    let mut progress = Progress::new(started);
    let mut latest: Vec<Option<Outcome>> = vec![None; chosen.len()];
    let mut fine_since = None;
    let settled = loop {
        let begun = Instant::now();
        progress.begin(chosen, &latest, args.strict);
        let is_fine = round(chosen, probers, deadline, &mut latest, &mut progress, args.strict).await;
        let Some(last_start) = last_start else { break is_fine };
        let since = *fine_since.get_or_insert(begun);
        if !is_fine {
            fine_since = None;
        } else if begun.duration_since(since) >= args.stable.unwrap_or_default() {
            break true;
        }
        if Instant::now() >= last_start {
            break false;
        }
        sleep_until(last_start.min(begun + ROUND)).await;
    };
    progress.end();
    (latest.into_iter().flatten().collect(), settled)
}

/// Runs everything once, all at the same time. Whether every outcome is fine.
async fn round(
    chosen: &[Chosen<'_>],
    probers: &[Prober],
    deadline: Option<Instant>,
    latest: &mut [Option<Outcome>],
    progress: &mut Progress,
    strict: bool,
) -> bool {
    let mut runs = JoinSet::new();
    for (index, (prober, chosen)) in probers.iter().zip(chosen).enumerate() {
        let whole = chosen.plan.timing.timeout;
        let limit = deadline.map_or(whole, |deadline| whole.min(deadline.saturating_duration_since(Instant::now())));
        let prober = prober.clone();
        runs.spawn(async move { (index, own_fault(prober.run(limit).await, limit), limit < whole) });
    }
    let mut all_fine = true;
    loop {
        let joined = tokio::select! {
            joined = runs.join_next() => joined,
            () = progress.due() => {
                progress.show();
                continue;
            }
        };
        let Some(joined) = joined else { return all_fine };
        let Ok((index, outcome, is_cut)) = joined else {
            all_fine = false;
            continue;
        };
        let fine = is_fine(chosen[index].criticality, outcome.status, strict);
        all_fine &= fine;
        progress.answered(&chosen[index].plan.name, fine);
        // The end of `--wait` cut this run short, so that it says less than the one before.
        if !(is_cut && !fine && latest[index].is_some()) {
            latest[index] = Some(outcome);
        }
    }
}

/// Which dependencies are still waited for, on stderr, when that is a terminal.
struct Progress {
    due: Option<Instant>,
    bar: Option<ProgressBar>,
    waiting: BTreeSet<Arc<str>>,
}

impl Progress {
    fn new(started: Instant) -> Self {
        Self { due: io::stderr().is_terminal().then_some(started + PATIENCE), bar: None, waiting: BTreeSet::new() }
    }

    /// Completes once, when the spinner should appear.
    async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn show(&mut self) {
        self.due = None;
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
        self.update();
    }

    /// A round begins: everything that was not fine is waited for.
    fn begin(&mut self, chosen: &[Chosen<'_>], latest: &[Option<Outcome>], strict: bool) {
        let is_awaited = |chosen: &Chosen<'_>, outcome: &Option<Outcome>| {
            outcome.as_ref().is_none_or(|outcome| !is_fine(chosen.criticality, outcome.status, strict))
        };
        let awaited = chosen.iter().zip(latest).filter(|(chosen, outcome)| is_awaited(chosen, outcome));
        self.waiting = awaited.map(|(chosen, _)| Arc::clone(&chosen.plan.name)).collect();
        self.update();
    }

    fn answered(&mut self, name: &Arc<str>, fine: bool) {
        if fine {
            self.waiting.remove(name);
        } else {
            self.waiting.insert(Arc::clone(name));
        }
        self.update();
    }

    fn update(&self) {
        let Some(bar) = &self.bar else { return };
        bar.set_message(format!("waiting for {}", self.waiting.iter().map(|name| &**name).collect::<Vec<_>>().join(", ")));
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
