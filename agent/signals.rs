//! Signals: what stops the agent, what is answered, what is ignored. As the first process of a container it also waits for
//! children that lost their parent.
//!
//! All of them are handled explicitly: the default of most is to kill the process, and the first process of a container has
//! no defaults at all. SIGQUIT, SIGTSTP, SIGTTIN and SIGTTOU keep theirs, for the user at the terminal.

use std::io;

use rustix::process::{WaitOptions, getpid, wait};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// Those that stop it, with their numbers.
const STOPPING: [(SignalKind, u8); 2] = [(SignalKind::terminate(), 15), (SignalKind::interrupt(), 2)];

/// Signals that mean nothing to the agent and would kill it: USR1, USR2, ALRM, VTALRM, PROF, IO.
const IGNORED: [i32; 6] = [10, 12, 14, 26, 27, 29];

/// From now on every signal is handled; those that stop the agent arrive in the channel. Needs a runtime.
///
/// # Errors
/// The system allows no handler.
pub(crate) fn install() -> io::Result<mpsc::Receiver<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    for (kind, number) in STOPPING {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(number).await.is_ok() {} });
    }
    tokio::spawn(answer(signal(SignalKind::hangup())?));
    for number in IGNORED {
        // The handler stays when nobody listens.
        drop(signal(SignalKind::from_raw(number))?);
    }
    if getpid().is_init() {
        tokio::spawn(reap(signal(SignalKind::child())?));
    }
    Ok(receiver)
}

async fn answer(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!("SIGHUP: reload is not supported by this version; restart the agent to read the catalog again");
    }
}

/// Waits for every child that has ended. The agent starts none; as the first process it inherits those of others.
async fn reap(mut children: Signal) {
    loop {
        while let Ok(Some((child, _))) = wait(WaitOptions::NOHANG) {
            tracing::debug!(pid = child.as_raw_nonzero().get(), "an orphaned process has ended");
        }
        if children.recv().await.is_none() {
            return;
        }
    }
}
