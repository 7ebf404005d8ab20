//! Guards: what a peer sends is followed on our own wire, before a library decodes it.
//!
//! Most decoders recurse over nested values, so a few kilobytes of brackets could exhaust a thread's stack, which ends
//! the process. Most also build a value of 100 bytes and more from one byte on the wire. A guard knows only as much of
//! a protocol's grammar as it takes to see how deep values are nested and how many there are. It reads plain text:
//! it is attached to the [`Stream`](super::stream::Stream), behind TLS and before any local link to a library.
//!
//! A grammar is an async function that asks its [`Input`] for bytes. It is polled whenever bytes arrive, so bytes may be
//! split anywhere. It never waits for anything else, and keeps one number per level of nesting.

#[cfg(feature = "rabbitmq")]
pub(crate) mod amqp;
#[cfg(feature = "mongodb")]
pub(crate) mod bson;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod resp;

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;

use super::stream::Tether;
use crate::failure::WireFault;

/// Levels of nested values that are passed on. Real servers use fewer than ten.
pub const DEEPEST: usize = 64;

/// Values that a peer may send in one run.
pub const MOST_VALUES: u64 = 65_536;

/// What a grammar keeps of the last read, to be used again by the next.
const KEPT: usize = 4096;

/// A protocol's grammar. It ends with a fault, or with `Ok` where nothing that follows needs to be followed.
pub type Grammar = fn(Input) -> Following;

/// A grammar at work.
pub type Following = BoxFuture<'static, Result<(), WireFault>>;

/// Follows one connection.
pub(crate) struct Guard {
    state: Mutex<State>,
    fresh: Arc<Mutex<Vec<u8>>>,
}

enum State {
    Following(Following),
    /// The rest is harmless.
    Passing,
    Failed(WireFault),
}

impl Guard {
    pub(crate) fn new(grammar: Grammar, tether: &Arc<Tether>) -> Self {
        let fresh = Arc::default();
        let input = Input {
            fresh: Arc::clone(&fresh),
            tether: Arc::clone(tether),
            bytes: Vec::new(),
            at: 0,
            position: 0,
            limit: u64::MAX,
        };
        Self { state: Mutex::new(State::Following(grammar(input))), fresh }
    }

    /// Takes the next bytes of the peer, in whatever pieces they come.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        match state {
            State::Passing => return Ok(()),
            State::Failed(fault) => return Err(*fault),
            State::Following(grammar) => {
                lock(&self.fresh).extend_from_slice(bytes);
                match grammar.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => *state = State::Passing,
                    Poll::Ready(Err(fault)) => *state = State::Failed(fault),
                }
            }
        }
        if let State::Failed(fault) = state { Err(*fault) } else { Ok(()) }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a peer, as a grammar reads them.
pub struct Input {
    fresh: Arc<Mutex<Vec<u8>>>,
    tether: Arc<Tether>,
    bytes: Vec<u8>,
    at: usize,
    position: u64,
    limit: u64,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("position", &self.position).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg_attr(not(feature = "all"), allow(dead_code, reason = "no single grammar needs all of these"))]
impl Input {
    /// How many bytes were read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Where the enclosing value ends; reading beyond it is a fault. `u64::MAX` outside of any.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The end of so many bytes from here, which must lie inside of the enclosing value.
    pub(crate) fn end_of(&self, length: u64) -> Result<u64, WireFault> {
        self.position.checked_add(length).filter(|end| *end <= self.limit).ok_or(WireFault::Malformed)
    }

    /// Waits until there is a byte.
    async fn fill(&mut self) {
        while self.at == self.bytes.len() {
            poll_fn(|_| {
                let mut fresh = lock(&self.fresh);
                if fresh.is_empty() {
                    return Poll::Pending;
                }
                self.bytes.clear();
                if self.bytes.capacity() > KEPT {
                    self.bytes = Vec::new();
                }
                std::mem::swap(&mut *fresh, &mut self.bytes);
                self.at = 0;
                Poll::Ready(())
            })
            .await;
        }
    }

    pub(crate) async fn byte(&mut self) -> Result<u8, WireFault> {
        self.end_of(1)?;
        if self.at == self.bytes.len() {
            self.fill().await;
        }
        let byte = self.bytes[self.at];
        self.at += 1;
        self.position += 1;
        Ok(byte)
    }

    pub(crate) async fn array<const N: usize>(&mut self) -> Result<[u8; N], WireFault> {
        if let Some(array) = self.bytes[self.at..].first_chunk().copied() {
            self.position = self.end_of(N as u64)?;
            self.at += N;
            return Ok(array);
        }
        let mut array = [0; N];
        for byte in &mut array {
            *byte = self.byte().await?;
        }
        Ok(array)
    }

    pub(crate) async fn skip(&mut self, mut length: u64) -> Result<(), WireFault> {
        self.end_of(length)?;
        while length > 0 {
            if self.at == self.bytes.len() {
                self.fill().await;
            }
            let here = (self.bytes.len() - self.at).min(usize::try_from(length).unwrap_or(usize::MAX));
            self.at += here;
            self.position += here as u64;
            length -= here as u64;
        }
        Ok(())
    }

    /// Skips what is up to a position and not read yet.
    pub(crate) async fn skip_to(&mut self, end: u64) -> Result<(), WireFault> {
        let left = end.checked_sub(self.position).ok_or(WireFault::Malformed)?;
        self.skip(left).await
    }

    /// Skips a text and the zero behind it.
    pub(crate) async fn skip_text(&mut self) -> Result<(), WireFault> {
        loop {
            self.end_of(1)?;
            self.fill().await;
            let here = &self.bytes[self.at..];
            let end = here.iter().position(|byte| *byte == 0);
            let length = end.map_or(here.len(), |end| end + 1);
            self.position = self.end_of(length as u64)?;
            self.at += length;
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Counts values of this run.
    pub(crate) fn count(&self, values: u64) -> Result<(), WireFault> {
        self.tether.count(values)
    }

    /// Says that the reader of these bytes will compute.
    pub(crate) fn toil(&self) {
        self.tether.toil();
    }

    /// Whether so many values may still come in this run.
    pub(crate) fn may_come(&self, values: u64) -> Result<(), WireFault> {
        self.tether.room_for(values).map(drop)
    }
}

/// The levels that are open, with what is kept of each.
#[derive(Debug)]
pub(crate) struct Levels<T>(Vec<T>);

#[cfg_attr(not(feature = "all"), allow(dead_code, reason = "no single grammar needs all of these"))]
impl<T> Levels<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn open(&mut self, level: T) -> Result<(), WireFault> {
        if self.0.len() >= DEEPEST {
            return Err(WireFault::TooDeep { limit: DEEPEST });
        }
        self.0.push(level);
        Ok(())
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.0.last()
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.0.last_mut()
    }

    pub(crate) fn close(&mut self) {
        self.0.pop();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::sniff::Protocol;

    /// What a grammar says of these bytes: the same, however they are split.
    #[track_caller]
    pub(crate) fn verdict(grammar: Grammar, bytes: &[u8]) -> Result<(), WireFault> {
        let follow = |size: usize| {
            let tether = Arc::new(Tether::new(Protocol::Other("anything")));
            let mut guard = Guard::new(grammar, &tether);
            bytes.chunks(size).try_for_each(|piece| guard.follow(piece))
        };
        let whole = follow(bytes.len().max(1));
        if bytes.len() > 10_000 {
            assert_eq!(follow(4093), whole, "in pieces");
            return whole;
        }
        for size in (1..20).chain([97]) {
            assert_eq!(follow(size), whole, "in pieces of {size}");
        }
        for at in 1..bytes.len().min(700) {
            let tether = Arc::new(Tether::new(Protocol::Other("anything")));
            let mut guard = Guard::new(grammar, &tether);
            let (first, second) = bytes.split_at(at);
            assert_eq!(guard.follow(first).and_then(|()| guard.follow(second)), whole, "split at {at}");
        }
        whole
    }

    fn one(mut input: Input) -> Following {
        Box::pin(async move {
            input.skip(3).await?;
            Err(WireFault::TooDeep { limit: 1 })
        })
    }

    #[test]
    fn a_fault_stays() {
        let tether = Arc::new(Tether::new(Protocol::Redis));
        let mut guard = Guard::new(one, &tether);
        assert_eq!(guard.follow(b"ab"), Ok(()));
        assert_eq!(guard.follow(b"c"), Err(WireFault::TooDeep { limit: 1 }));
        assert_eq!(guard.follow(b"d"), Err(WireFault::TooDeep { limit: 1 }));
    }

    #[test]
    fn values_are_counted_per_run() {
        let tether = Arc::new(Tether::new(Protocol::Redis));
        assert_eq!(tether.count(MOST_VALUES), Ok(()));
        assert_eq!(tether.count(1), Err(WireFault::TooMany { limit: MOST_VALUES }));
        tether.refill();
        assert_eq!(tether.count(1), Ok(()));
    }
}
