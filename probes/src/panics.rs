//! Panics: a client library may panic over what a peer sent, and that must neither end the process nor print.
//!
//! A panic unwinds to the frame that catches it; this says where it began, and logs that as one line. Its words are never
//! shown: they may repeat what a peer sent, or a secret.

use std::{
    cell::RefCell,
    panic::{self, PanicHookInfo},
    thread,
};

use crate::{
    failure::{Failure, FailureKind},
    run::{Phase, Run},
};

thread_local! {
    /// Where the last panic of this thread began.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the panic hook of the process: a panic is one line of the log with its thread and its place.
pub fn install() {
    panic::set_hook(Box::new(hear));
}

fn hear(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |place| format!("{}:{}", short(place.file()), place.line()));
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    if is_own(&place) {
        tracing::error!(thread, place, "a panic: please report it");
    } else {
        tracing::warn!(thread, place, "a panic in a library");
    }
    // A thread that ends has no place to keep it, and nobody who would ask.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = Some(place)));
}

impl Run {
    /// The failure of a run that ended in a panic just now, on this thread. What a library does not bear of a peer is
    /// the peer's fault, or that of what answers in its place; all else is ours.
    pub(crate) fn panicked(&mut self) -> Failure {
        let place = last();
        let failure = match place {
            Some(place) if !is_own(&place) && self.was_spoken_to() => Failure::library_panic(),
            Some(place) => Failure::new(FailureKind::Unexpected, format!("the probe panicked at {place}")),
            None => Failure::new(FailureKind::Unexpected, "the probe panicked"),
        };
        let phase = self.seen().reached.unwrap_or(Phase::Resolve);
        self.settle(phase, Ok(Err::<(), _>(failure.clone()))).err().unwrap_or(failure)
    }
}

/// Where the last panic of this thread began, if the hook is installed; once.
fn last() -> Option<String> {
    LAST.try_with(|last| last.try_borrow_mut().ok()?.take()).ok().flatten()
}

/// Whether it is code of this project.
fn is_own(place: &str) -> bool {
    ["probes/", "agent/", "src/"].iter().any(|root| place.starts_with(root))
}

/// A source file without the folders of the build machine: from the crate on.
fn short(file: &str) -> &str {
    // …/registry/src/INDEX/CRATE-VERSION/src/…
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, rest)| rest);
    }
    // …/git/checkouts/REPOSITORY/COMMIT/…, /rustc/COMMIT/library/…
    for root in ["/git/checkouts/", "/rustc/"] {
        if let Some((_, rest)) = file.split_once(root) {
            return rest.split_once('/').map_or(rest, |(_, rest)| rest);
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_begin_with_their_crate() {
        for (file, shown, own) in [
            ("/u/x/.cargo/registry/src/crates-1949/oracledb-26.0.0/src/row.rs", "oracledb-26.0.0/src/row.rs", false),
            ("/u/x/.cargo/git/checkouts/lapin-12ab/34cd/src/lib.rs", "34cd/src/lib.rs", false),
            ("/rustc/0a1b2c/library/alloc/src/vec/mod.rs", "library/alloc/src/vec/mod.rs", false),
            ("probes/src/wire/cql.rs", "probes/src/wire/cql.rs", true),
            ("agent/keeper.rs", "agent/keeper.rs", true),
        ] {
            assert_eq!((short(file), is_own(shown)), (shown, own));
        }
    }
}
