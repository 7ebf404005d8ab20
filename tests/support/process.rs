//! Child processes that cannot outlive the test, and that can be frozen, thawed, killed and started again.
//!
//! A test that panics drops its [`Server`], which ends and reaps the process; [`launch`] takes care of a test
//! process that is killed.

mod launch;

use std::fs;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use launch::Stop;

pub(crate) use launch::Launch;
pub(crate) use rustix::process::Signal;

use super::{PATIENCE, eventually, procfs};

/// A running process; ended and reaped when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    child: Mutex<Child>,
}

impl Server {
    fn new(launch: Launch, child: Child) -> Self {
        Self { launch, child: Mutex::new(child) }
    }

    /// Its process id (`setpriv` becomes the program, so this is the program's own).
    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Stops it and its children: connections are still completed by the kernel, and never answered.
    ///
    /// To stop the main process alone, send it [`Signal::STOP`].
    pub(crate) fn freeze(&self) {
        let mut family = self.signal_tree(Signal::STOP);
        family.push(self.pid());
        eventually(PATIENCE, "all threads are stopped", || family.iter().all(|&pid| procfs::is_stopped(pid)).then_some(()));
    }

    /// Lets it and its children go on after [`freeze`](Self::freeze).
    pub(crate) fn thaw(&self) {
        self.signal_tree(Signal::CONT);
    }

    /// Sends a signal to the main process; does nothing when that has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if is_alive(&mut child) {
            send(child.id(), signal);
        }
    }

    /// Kills it and its children at once, as a crash or the kernel's memory killer would, and waits for their end.
    pub(crate) fn kill9(&self) {
        let family = self.signal_tree(Signal::KILL);
        self.wait_exit(PATIENCE);
        eventually(PATIENCE, "killed children are gone", || family.iter().all(|&pid| procfs::is_gone(pid)).then_some(()));
    }

    /// Waits until the main process has ended by itself; `None` when `timeout` passes first.
    pub(crate) fn wait_exit(&self, timeout: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + timeout;
        loop {
            let status = self.child().try_wait().ok().flatten();
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the main process has not ended.
    pub(crate) fn is_running(&self) -> bool {
        is_alive(&mut self.child())
    }

    /// Starts it again, the same way; kills it first if it still runs.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.kill9();
        *self.child() = self.launch.spawn();
    }

    /// Everything it has written so far; standard output is apart only where the launch said so.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.launch.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines of [`log`](Self::log).
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log().lines().map(str::to_owned).collect()
    }

    /// Waits until `look` finds its answer, and panics with the log when it does not or the process ends first.
    #[track_caller]
    pub(crate) fn wait_until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = look() {
                return answer;
            }
            let (running, in_time) = (self.is_running(), Instant::now() < end);
            assert!(
                running && in_time,
                "{}: {what}: {}; its log:\n{}",
                self.launch.program.display(),
                if running { "not in time" } else { "the process ended" },
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Signals the process and all below it, parents first, and says which those were.
    pub(crate) fn signal_tree(&self, signal: Signal) -> Vec<u32> {
        let mut child = self.child();
        if !is_alive(&mut child) {
            return Vec::new();
        }
        let mut family = vec![child.id()];
        family.extend(procfs::descendants(child.id()));
        for &pid in &family {
            send(pid, signal);
        }
        family.split_off(1)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        /// What a polite stop may take before it is a kill.
        const POLITE: Duration = Duration::from_secs(5);
        if self.launch.stop == Stop::Quit {
            self.thaw();
            self.signal(Signal::QUIT);
            self.wait_exit(POLITE);
        }
        self.signal_tree(Signal::KILL);
        let _ = self.child().wait();
    }
}

fn is_alive(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

/// Signals one process; one that has just ended needs no signal.
fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}
