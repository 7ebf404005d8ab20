//! A unix socket of this process alone, for client libraries that dial for themselves.

use std::{io, process};

use tokio::net::{UnixListener, UnixStream};

/// A listener without a file (unix(7), the abstract namespace), where nobody but this process is let in.
pub(crate) struct PrivatePort {
    listener: UnixListener,
    name: String,
}

impl PrivatePort {
    pub(crate) fn open() -> io::Result<Self> {
        let name = format!("\0probity-{}-{:016x}{:016x}", process::id(), fastrand::u64(..), fastrand::u64(..));
        Ok(Self { listener: UnixListener::bind(&name)?, name })
    }

    /// Where it is: a path that begins with a zero.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next connection that this process made.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (library, _) = self.listener.accept().await?;
            if library.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok()) == Some(process::id()) {
                return Ok(library);
            }
        }
    }
}
