//! What ends the wait for the next run: the warm session is closed by its peer, or a file of the dependency changes.

use std::{future::pending, sync::Arc};

use futures_util::future::select_all;
use tokio::sync::watch;

use crate::{files::Stamp, wire::stream::Watch};

/// What is watched while no run goes on.
#[derive(Clone, Default)]
pub(crate) struct Idle {
    /// The sockets of the warm session.
    pub(crate) sockets: Vec<Arc<Watch>>,
    /// The files that the last opening read, or tried to.
    pub(crate) files: Vec<Stamp>,
}

/// Completes when the next run is due at once. What is watched may change meanwhile, and may be nothing.
pub(crate) async fn over(mut idle: watch::Receiver<Idle>) {
    loop {
        // Let go of as soon as a run takes the session: a watch keeps its socket open.
        let Idle { sockets, files } = idle.borrow_and_update().clone();
        tokio::select! {
            () = any(sockets.iter().map(|socket| socket.closed())) => return,
            () = any(files.iter().map(Stamp::change)) => return,
            changed = idle.changed() => if changed.is_err() { pending().await },
        }
    }
}

/// Completes with the first of several, and never without one.
async fn any<F: Future<Output = ()> + Send>(several: impl Iterator<Item = F>) {
    let several: Vec<_> = several.map(Box::pin).collect();
    if several.is_empty() {
        pending::<()>().await;
    } else {
        drop(select_all(several).await);
    }
}
