//! Panics: a client library may panic over what a peer sent, and that must neither end the process nor print.
//!
//! A panic unwinds to whoever catches it; this says where it began, and logs that as one line. Its words are never
//! shown: they may repeat what a peer sent, or a secret.

use std::{
    cell::RefCell,
    panic::{self, PanicHookInfo},
    thread,
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

/// Where the last panic of this thread began, if the hook is installed; once.
pub(crate) fn last() -> Option<String> {
    LAST.try_with(|last| last.try_borrow_mut().ok()?.take()).ok().flatten()
}

/// Whether it is code of this project.
pub(crate) fn is_own(place: &str) -> bool {
    ["probes/", "agent/", "src/"].iter().any(|root| place.starts_with(root))
}

/// A source file without the folders of whoever built this: from the crate on.
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
            ("/x/.cargo/registry/src/crates-1949/oracledb-26.0.0/src/row.rs", "oracledb-26.0.0/src/row.rs", false),
            ("/x/.cargo/git/checkouts/lapin-12ab/34cd/src/lib.rs", "34cd/src/lib.rs", false),
            ("/rustc/0a1b2c/library/alloc/src/vec/mod.rs", "library/alloc/src/vec/mod.rs", false),
            ("probes/src/wire/cql.rs", "probes/src/wire/cql.rs", true),
            ("agent/keeper.rs", "agent/keeper.rs", true),
        ] {
            assert_eq!((short(file), is_own(shown)), (shown, own));
        }
    }
}
