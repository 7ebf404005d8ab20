//! One connection: how long it may idle, dawdle over a request, or take to read an answer.
//!
//! hyper's own `header_read_timeout` counts from the end of the request before, so it cannot tell an
//! idle keep-alive connection from a slow client; here they have different limits.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Between two requests.
const IDLE: Duration = Duration::from_mins(1);

/// From the first byte of a request to the end of its head.
const REQUEST: Duration = Duration::from_secs(5);

/// From the end of its head to the last byte of the answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What a connection is at, and until when it has to be done.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    state: Mutex<State>,
    /// Woken when the connection must make room for another one.
    dismissal: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Idle,
    Request,
    Answer,
}

#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    until: Instant,
}

impl Patience {
    pub(super) fn new() -> Self {
        let state = Mutex::new(State { stage: Stage::Idle, until: Instant::now() + IDLE });
        Self(Arc::new(Limits { state, dismissal: Notify::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sorts the connections that may be closed for another one: idle before unfinished, oldest first. `None` while an
    /// answer is under way.
    pub(super) fn precedence(&self) -> Option<impl Ord + use<>> {
        let State { stage, until } = *self.state();
        (stage != Stage::Answer).then_some((stage, until))
    }

    /// Ends the connection, so that another one has room.
    pub(super) fn dismiss(&self) {
        self.0.dismissal.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_dismissed(&self) -> bool {
        use futures_util::FutureExt;
        let dismissed = self.0.dismissal.notified().now_or_never().is_some();
        if dismissed {
            self.dismiss();
        }
        dismissed
    }

    fn enter(&self, stage: Stage, limit: Duration) {
        *self.state() = State { stage, until: Instant::now() + limit };
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.state().stage == stage
    }

    fn until(&self) -> Instant {
        self.state().until
    }

    /// The head of a request is complete.
    pub(super) fn asked(&self) {
        self.enter(Stage::Answer, ANSWER);
    }

    /// Something was read.
    pub(super) fn heard(&self) {
        if self.is_at(Stage::Idle) {
            self.enter(Stage::Request, REQUEST);
        }
    }

    /// Everything was written.
    pub(super) fn told(&self) {
        if self.is_at(Stage::Answer) {
            self.enter(Stage::Idle, IDLE);
        }
    }

    /// Drives a connection until it ends, its time is up, or another one needs its place. Whether it ended by itself.
    pub(super) async fn endure(&self, connection: impl Future<Output = ()>) -> bool {
        let mut connection = pin!(connection);
        let mut dismissed = pin!(self.0.dismissal.notified());
        let mut armed = self.until();
        let mut alarm = pin!(sleep_until(armed));
        poll_fn(move |cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if dismissed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            // Limits that move away are noticed when the alarm rings; only nearer ones need a new alarm.
            let until = self.until();
            if until < armed {
                armed = until;
                alarm.as_mut().reset(armed);
            }
            while alarm.as_mut().poll(cx).is_ready() {
                armed = self.until();
                if armed <= Instant::now() {
                    return Poll::Ready(false);
                }
                alarm.as_mut().reset(armed);
            }
            Poll::Pending
        })
        .await
    }
}

/// A stream that tells when something is read and when everything is written.
pub(super) struct Attended<S> {
    pub(super) stream: S,
    pub(super) patience: Patience,
}

impl<S: AsyncRead + Unpin> AsyncRead for Attended<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.patience.heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Attended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper comes here only when its own buffer is empty.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.patience.told();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    async fn lasts(patience: &Patience, connection: impl Future<Output = ()>) -> Option<Duration> {
        let start = Instant::now();
        (!patience.endure(connection).await).then(|| start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_stage_has_its_own_limit() {
        let idle = Patience::new();
        assert_eq!(lasts(&idle, std::future::pending()).await, Some(IDLE));
        let slow = Patience::new();
        let dawdle = async {
            sleep(Duration::from_secs(10)).await;
            slow.heard();
            std::future::pending::<()>().await;
        };
        assert_eq!(lasts(&slow, dawdle).await, Some(Duration::from_secs(15)));
        let deaf = Patience::new();
        let stuck = async {
            deaf.heard();
            deaf.asked();
            std::future::pending::<()>().await;
        };
        assert_eq!(lasts(&deaf, stuck).await, Some(ANSWER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_must_make_room_ends_at_once() {
        let idle = Patience::new();
        let dismissal = async {
            sleep(Duration::from_secs(3)).await;
            idle.dismiss();
            std::future::pending::<()>().await;
        };
        assert_eq!(lasts(&idle, dismissal).await, Some(Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_lives_on() {
        let busy = Patience::new();
        let requests = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(40)).await;
                busy.heard();
                busy.asked();
                busy.told();
            }
        };
        assert_eq!(lasts(&busy, requests).await, None);
    }
}
