//! Room for connections: how many may be open, and which one goes when there is no room left.
//!
//! A connection that idles or has not finished its request gives way to a new one, because kubelet's and
//! Prometheus' requests come on new connections. One that is being answered is never closed for another.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use tokio::time::Instant;

use super::{connection::Patience, http::QUIET};
use crate::vitals::Vitals;

/// The most connections, whatever the limits of memory and files allow.
const MOST: usize = 1024;

/// The fewest that fit a limit of memory: without them nothing can be asked.
const LEAST: usize = 64;

/// The fewest where files are short.
const LEAST_FILES: usize = 8;

/// Kept for everything that is not a connection.
const OWN_MEMORY: u64 = 40 * 1024 * 1024;

/// What a connection may take: its buffers, its task, the kernel's part.
const CONNECTION_MEMORY: u64 = 24 * 1024;

/// How many connections may be open. Probes get their descriptors first: without them the agent would
/// report its own shortage as failures of others. Half of the memory above the agent's own may go to connections.
#[must_use]
pub fn connection_limit(open_files: u64, dependencies: usize, memory: Option<u64>) -> usize {
    let kept = 32 + 4 * dependencies;
    let by_files = usize::try_from(open_files).unwrap_or(usize::MAX).saturating_sub(kept).clamp(LEAST_FILES, MOST);
    let by_memory = memory.map_or(MOST, |limit| {
        let fitting = limit.saturating_sub(OWN_MEMORY) / 2 / CONNECTION_MEMORY;
        usize::try_from(fitting).unwrap_or(MOST).clamp(LEAST, MOST)
    });
    by_files.min(by_memory)
}

/// The open connections.
pub(super) struct Room {
    limit: usize,
    vitals: Arc<Vitals>,
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    last: u64,
    open: BTreeMap<u64, Patience>,
    warned: Option<Instant>,
}

impl Room {
    pub(super) fn new(limit: usize, vitals: Arc<Vitals>) -> Self {
        Self { limit, vitals, guests: Mutex::default() }
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in. With no room left, the oldest idle connection is closed, else the oldest unfinished request.
    /// `None` when every connection is being answered.
    pub(super) fn admit(self: &Arc<Self>, patience: &Patience) -> Option<Guest> {
        let mut guests = self.guests();
        if guests.open.len() >= self.limit {
            let oldest = guests.open.iter().filter_map(|(number, patience)| Some((patience.precedence()?, *number))).min();
            if guests.warned.is_none_or(|at| at.elapsed() >= QUIET) {
                guests.warned = Some(Instant::now());
                tracing::warn!(
                    limit = self.limit,
                    "all connections to the agent are in use: idle and unfinished ones are closed, oldest first"
                );
            }
            let Some((_, number)) = oldest else {
                self.vitals.refused.fetch_add(1, Relaxed);
                return None;
            };
            if let Some(patience) = guests.open.remove(&number) {
                patience.dismiss();
                self.vitals.dismissed.fetch_add(1, Relaxed);
            }
        }
        guests.last += 1;
        let number = guests.last;
        guests.open.insert(number, patience.clone());
        self.vitals.connections.fetch_add(1, Relaxed);
        Some(Guest { room: Arc::clone(self), number })
    }
}

/// A place in the room, given back at the end of the connection.
pub(super) struct Guest {
    room: Arc<Room>,
    number: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.guests().open.remove(&self.number);
        self.room.vitals.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn files_and_memory_limit_the_connections() {
        for (open_files, dependencies, memory, limit) in [
            (65_536, 4, None, 1024),
            (65_536, 4, Some(64 * MIB), 512),
            (65_536, 4, Some(48 * MIB), 170),
            (65_536, 4, Some(32 * MIB), 64),
            (65_536, 4, Some(8 * 1024 * MIB), 1024),
            (256, 4, None, 208),
            (64, 100, None, 8),
            (64, 100, Some(64 * MIB), 8),
        ] {
            assert_eq!(connection_limit(open_files, dependencies, memory), limit, "{open_files} {dependencies} {memory:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_connection_goes_first_then_the_oldest_unfinished_request() {
        let room = Arc::new(Room::new(3, Arc::new(Vitals::new(0))));
        let mut patiences = Vec::new();
        let mut guests = Vec::new();
        for _ in 0..3 {
            let patience = Patience::new();
            guests.push(room.admit(&patience).unwrap());
            patiences.push(patience);
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
        let [answered, unfinished, idle] = &patiences[..] else { unreachable!() };
        answered.heard();
        answered.asked();
        unfinished.heard();
        let first = Patience::new();
        let first_guest = room.admit(&first).unwrap();
        assert!(idle.is_dismissed() && !unfinished.is_dismissed(), "the idle one goes, although it came last");
        first.heard();
        first.asked();
        let second = Patience::new();
        let second_guest = room.admit(&second).unwrap();
        assert!(unfinished.is_dismissed() && !answered.is_dismissed());
        second.heard();
        second.asked();
        assert!(room.admit(&Patience::new()).is_none(), "each of the three is being answered");
        assert_eq!((room.vitals.dismissed.load(Relaxed), room.vitals.refused.load(Relaxed)), (2, 1));
        answered.told();
        assert!(room.admit(&Patience::new()).is_some());
        drop((guests, first_guest, second_guest));
        assert_eq!(room.vitals.connections.load(Relaxed), 0);
        assert!(room.guests().open.is_empty());
    }
}
