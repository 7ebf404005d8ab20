//! The life of the agent: limits, listener, threads, signals, and the way out.
//!
//! Three threads keep out of each other's way. The main one schedules and judges; `probes` (two workers)
//! does what backends ask for; `surface` answers HTTP. A backend that blocks its thread stops neither
//! judging nor answering. Signals are handled from the start (`signals.rs`).

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    catalog::plan::{AgentPlan, DependencyPlan, Plan},
    host,
    keeper::Keeper,
    scheduler, signals,
    surface::{
        About, connection_limit,
        http::{Surface, serve},
    },
    vitals::Vitals,
};

/// The scheduler keeps its own, shorter limits; this one is for when it cannot.
const DRAIN: Duration = Duration::from_secs(2);

/// After the last answer the surface gets so long to end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Files that are enough for everything: the agent's own connections and 10 000 dependencies.
const OPEN_FILES: u64 = 65_536;

/// Why the agent could not start, or did not go on.
#[derive(Debug)]
enum Fault {
    /// Nobody can reach it.
    Listen(SocketAddr, io::Error),
    /// The system gave it no threads or no signals.
    System(&'static str, io::Error),
    /// A part of it ended that should not.
    Part(&'static str, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                let remedy = match error.kind() {
                    ErrorKind::AddrInUse => {
                        "another process listens there; stop it, or choose another address with `agent.listen` or PROBITY_LISTEN"
                    }
                    ErrorKind::PermissionDenied => {
                        "ports below 1024 are for root; choose another one with `agent.listen` or PROBITY_LISTEN"
                    }
                    ErrorKind::AddrNotAvailable => "this machine has no such address; correct `agent.listen` or PROBITY_LISTEN",
                    _ => "correct `agent.listen` or PROBITY_LISTEN",
                };
                write!(f, "cannot listen on {address}: {remedy} ({error})")
            }
            Self::System(what, error) => {
                write!(f, "{what}: {error}; raise the limits of this process (`ulimit -n`, `ulimit -u`)")
            }
            Self::Part(part, how) => write!(f, "the {part} {how}; the agent cannot be believed without it and ends"),
        }
    }
}

/// An agent that handles signals and has no catalog yet.
pub struct Starting {
    runtime: Runtime,
    signals: mpsc::Receiver<u8>,
}

impl Starting {
    /// The first thing to do: from now on no stray signal ends the process.
    ///
    /// # Errors
    /// The exit code; the reason is logged.
    pub fn new() -> Result<Self, ExitCode> {
        Self::prepare().map_err(|fault| {
            tracing::error!("{fault}");
            ExitCode::FAILURE
        })
    }

    fn prepare() -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::System("cannot start the main loop", error))?;
        let signals = runtime.block_on(async { signals::install() });
        let signals = signals.map_err(|error| Fault::System("cannot listen for signals", error))?;
        Ok(Self { runtime, signals })
    }

    /// Does something that may take long, such as reading the catalog, and can be stopped meanwhile.
    ///
    /// # Errors
    /// The exit code of an agent that was stopped before it could start.
    pub fn meanwhile<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ExitCode> {
        let signals = &mut self.signals;
        let (tell, told) = oneshot::channel();
        // Nobody listens any more after a signal.
        let work = move || drop(tell.send(work()));
        let work = Arc::new(Mutex::new(Some(work)));
        let there = Arc::clone(&work);
        let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
        // As much room as the main thread has.
        let thread = thread::Builder::new().name("catalog".into()).stack_size(8 * 1024 * 1024);
        if thread.spawn(move || take(&there).map(|work| work())).is_err()
            && let Some(work) = take(&work)
        {
            work();
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = told => done.map_err(|_| ExitCode::FAILURE),
                signal = signals.recv() => Err(ExitCode::from(128_u8.saturating_add(signal.unwrap_or_default()))),
            }
        })
    }

    /// Runs the agent until a signal ends it.
    #[must_use]
    pub fn run(self, plan: Plan) -> ExitCode {
        match self.run_until_signalled(plan) {
            Ok(code) => code,
            Err(fault) => {
                tracing::error!("{fault}");
                ExitCode::FAILURE
            }
        }
    }

    fn run_until_signalled(self, plan: Plan) -> Result<ExitCode, Fault> {
        let open_files = raise_limit();
        let listener = TcpListener::bind(plan.agent.listen).map_err(|error| Fault::Listen(plan.agent.listen, error))?;
        let probes = start_workers(WORKERS).map_err(|error| Fault::System("cannot start the threads for probes", error))?;
        let ended = self.runtime.block_on(live(plan, listener, open_files, probes.handle(), self.signals));
        // Whatever still runs there may block; nobody waits for it.
        probes.shutdown_background();
        self.runtime.shutdown_background();
        ended.map(|end| match end {
            End::Clean => ExitCode::SUCCESS,
            End::Cut(signal) => ExitCode::from(128_u8.saturating_add(signal)),
        })
    }
}

/// Threads that run probes.
const WORKERS: usize = 2;

/// Besides them: two that answer HTTP, two that look at files, and one that reads them.
const OTHER_THREADS: usize = 5;

/// Starts the runtime that probes run on. Tokio panics or hangs where the system gives it no threads, so it is tried out
/// before.
pub(crate) fn start_workers(workers: usize) -> io::Result<Runtime> {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let mut tried = Vec::new();
    for _ in 0..workers + OTHER_THREADS {
        let released = Arc::clone(&released);
        let wait = move || {
            // Ends when the sender is gone.
            let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
        };
        tried.push(thread::Builder::new().stack_size(64 * 1024).spawn(wait)?);
    }
    drop(release);
    for thread in tried {
        let _ = thread.join();
    }
    Builder::new_multi_thread().worker_threads(workers).thread_name("probes").enable_all().build()
}

/// The limit of open files, raised as far as the system lets us.
fn raise_limit() -> u64 {
    match rlimit::increase_nofile_limit(OPEN_FILES) {
        Ok(limit) => {
            tracing::debug!(limit, "limit of open files");
            limit
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
        }
    }
}

/// How a life ended that was not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Every session was closed.
    Clean,
    /// A second signal did not want to wait.
    Cut(u8),
}

async fn live(
    plan: Plan,
    listener: TcpListener,
    open_files: u64,
    probes: &Handle,
    mut signals: mpsc::Receiver<u8>,
) -> Result<End, Fault> {
    let agent = Arc::new(plan.agent);
    let dependencies: Vec<Arc<DependencyPlan>> = plan.dependencies.into_iter().map(Arc::new).collect();
    let vitals = Arc::new(Vitals::new(dependencies.len()));
    let (keeper, reader) = Keeper::new(Arc::clone(&agent), &dependencies, Arc::clone(&vitals));
    let (stop_answering, answering) = watch::channel(false);
    let surface = Surface {
        reader,
        vitals: Arc::clone(&vitals),
        about: About {
            listen: listener.local_addr().unwrap_or(agent.listen),
            connection_limit: connection_limit(open_files, dependencies.len(), host::memory_limit()),
            open_files_limit: open_files,
            probes: probes.clone(),
        },
    };
    announce(&agent, &dependencies, &surface.about);
    let mut surface = start_surface(listener, surface, answering)?;
    // Each dependency has at most one report under way.
    let (reports, inbox) = mpsc::channel(dependencies.len().max(1));
    let mut keeper = tokio::spawn(keeper.run(inbox));
    let (stop, scheduling) = watch::channel(false);
    let mut scheduler = {
        let (agent, vitals, probes) = (Arc::clone(&agent), Arc::clone(&vitals), probes.clone());
        tokio::spawn(async move { scheduler::run(&agent, &dependencies, &probes, reports, &vitals, scheduling).await })
    };
    let signal = tokio::select! {
        signal = signals.recv() => signal.unwrap_or_default(),
        ended = &mut scheduler => return Err(Fault::Part("scheduler", how(ended.and_then(|ended| ended)))),
        ended = &mut keeper => return Err(Fault::Part("keeper", how(ended))),
        ended = &mut surface => return Err(Fault::Part("HTTP surface", ended.unwrap_or_else(|_| "panicked".into()))),
    };
    tracing::info!(signal, "stopping: no new runs, every session is closed");
    vitals.stop();
    stop.send_replace(true);
    tokio::select! {
        drained = timeout(DRAIN, scheduler) => {
            if drained.is_err() {
                tracing::warn!("some sessions could not be closed in time");
            }
        }
        Some(signal) = signals.recv() => {
            tracing::warn!(signal, "stopping at once");
            return Ok(End::Cut(signal));
        }
    }
    stop_answering.send_replace(true);
    let _ = timeout(FAREWELL, surface).await;
    tracing::info!("stopped");
    Ok(End::Clean)
}

fn announce(agent: &AgentPlan, dependencies: &[Arc<DependencyPlan>], about: &About) {
    tracing::info!(
        agent = agent.id,
        version = env!("CARGO_PKG_VERSION"),
        listen = %about.listen,
        dependencies = dependencies.len(),
        "probity runs"
    );
    if about.connection_limit < 64 {
        tracing::warn!(
            open_files = about.open_files_limit,
            connections = about.connection_limit,
            "files are short: the agent keeps them for its probes and takes few connections; raise `ulimit -n`"
        );
    }
}

/// Starts the thread that answers HTTP. What it returns ends when the thread does.
fn start_surface(
    listener: TcpListener,
    surface: Surface,
    stop: watch::Receiver<bool>,
) -> Result<oneshot::Receiver<String>, Fault> {
    let (tell, ended) = oneshot::channel();
    let work = move || {
        let how = match serve(listener, surface, stop) {
            Ok(()) => "ended".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        // Nobody listens any more when the agent is past its end.
        let _ = tell.send(how);
    };
    match thread::Builder::new().name("surface".into()).spawn(work) {
        Ok(_) => Ok(ended),
        Err(error) => Err(Fault::System("cannot start the HTTP thread", error)),
    }
}

/// How a part ended that should not have.
fn how<T>(ended: Result<T, tokio::task::JoinError>) -> String {
    match ended {
        Ok(_) => "ended".into(),
        Err(error) if error.is_panic() => "panicked".into(),
        Err(error) => format!("failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        sync::atomic::Ordering::Relaxed,
        time::Instant,
    };

    use super::*;
    use crate::{
        catalog::plan::Criticality,
        testing::{Act, Script, agent, healthy, plan_of},
    };

    fn plan(scripts: &[Arc<Script>]) -> Plan {
        let dependency = |(index, script): (usize, &Arc<Script>)| {
            let mut plan = plan_of(&format!("db-{index}"), Criticality::Required, Arc::clone(script));
            plan.timing.interval = Duration::from_millis(200);
            plan.timing.timeout = Duration::from_millis(100);
            plan
        };
        Plan { agent: agent(), dependencies: scripts.iter().enumerate().map(dependency).collect(), warnings: Vec::new() }
    }

    /// An agent on threads of its own, with signals from a channel.
    struct Living {
        address: SocketAddr,
        signals: mpsc::Sender<u8>,
        thread: thread::JoinHandle<Result<End, Fault>>,
    }

    fn start(plan: Plan) -> Living {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (signals, received) = mpsc::channel(4);
        let thread = thread::spawn(move || {
            let probes = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let main = Builder::new_current_thread().enable_all().build().unwrap();
            let ended = main.block_on(live(plan, listener, 1024, probes.handle(), received));
            probes.shutdown_background();
            ended
        });
        Living { address, signals, thread }
    }

    impl Living {
        fn get(&self, path: &str) -> String {
            ask(self.address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        }

        #[track_caller]
        fn until(&self, path: &str, part: &str) -> String {
            let begun = Instant::now();
            loop {
                let answer = self.get(path);
                if answer.contains(part) {
                    return answer;
                }
                assert!(begun.elapsed() < Duration::from_secs(10), "{path} still says {answer}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn an_agent_gets_ready_and_ends_cleanly() {
        let scripts = [Script::of([]), Script::of([])];
        let living = start(plan(&scripts));
        let answer = living.until("/health", "HTTP/1.1 200");
        assert!(answer.contains(r#""status":"healthy","ready":true"#), "{answer}");
        assert!(living.get("/livez").ends_with("\r\n\r\nok"));
        let manifest = living.get("/engine/manifest");
        assert!(manifest.contains(&format!(r#""listen":"{}""#, living.address)), "{manifest}");
        living.signals.blocking_send(15).unwrap();
        let told = Instant::now();
        assert_eq!(living.thread.join().unwrap().unwrap(), End::Clean);
        assert!(told.elapsed() < Duration::from_secs(2));
        assert!(scripts.iter().all(|script| script.closes.load(Relaxed) == 1));
        assert!(TcpStream::connect(living.address).is_err(), "nobody listens any more");
    }

    #[test]
    fn a_second_signal_cuts_the_drain_short() {
        let slow = Script::of([Act::After(Duration::from_secs(5), healthy())]);
        let mut plan = plan(&[Arc::clone(&slow)]);
        plan.dependencies[0].timing.timeout = Duration::from_secs(10);
        let living = start(plan);
        while slow.runs() == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        let told = Instant::now();
        living.signals.blocking_send(15).unwrap();
        let answer = living.until("/readyz", "[-]agent failed: the agent is stopping");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(living.get("/livez").ends_with("ok"), "it lives until it ends");
        living.signals.blocking_send(2).unwrap();
        assert_eq!(living.thread.join().unwrap().unwrap(), End::Cut(2));
        assert!(told.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn a_port_in_use_is_a_sentence_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = TcpListener::bind(address).unwrap_err();
        assert_eq!(
            Fault::Listen(address, error).to_string(),
            format!(
                "cannot listen on {address}: another process listens there; stop it, or choose another address with \
                 `agent.listen` or PROBITY_LISTEN (Address already in use (os error 98))"
            )
        );
    }

    #[test]
    fn odd_requests_are_answered_or_cut() {
        let living = start(plan(&[Script::of([])]));
        living.until("/health", "HTTP/1.1 200");
        let ask = |request: &str| ask(living.address, request);
        let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(40_000));
        assert!(ask(&long).starts_with("HTTP/1.1 414") || ask(&long).starts_with("HTTP/1.1 431"), "{}", ask(&long));
        let heads = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(40_000));
        assert!(ask(&heads).starts_with("HTTP/1.1 431"), "{}", ask(&heads));
        let post = ask("POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nabc");
        assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD"), "{post}");
        let head = ask("HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
        let two = ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(two.matches("HTTP/1.1 200").count(), 2, "{two}");
        assert!(two.contains("cache-control: no-store"));
        living.signals.blocking_send(15).unwrap();
        assert_eq!(living.thread.join().unwrap().unwrap(), End::Clean);
    }
}
