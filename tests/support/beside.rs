//! A program that runs beside ours and ends with it, also when only ours is signalled: the agent of the demonstration.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::servers;

/// How often the end of the program is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program to its end. A `TERM`, `INT` or `HUP` to this process stops it by `TERM` and waits for it; the kernel does
/// the former when this process is killed.
pub(crate) fn run(program: &Path, args: &[&Path]) -> io::Result<ExitStatus> {
    let mut command = match servers::find("setpriv") {
        None => Command::new(program),
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
    };
    // Its own group: a Ctrl-C that reached both would be its second signal, at which it does not drain.
    command.args(args).process_group(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            tokio::select! {
                _ = terminate.recv() => stop(&child),
                _ = interrupt.recv() => stop(&child),
                _ = hang_up.recv() => stop(&child),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    })
}

/// Asks it to end; one that has just ended needs no signal.
fn stop(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}
