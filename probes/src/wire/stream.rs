//! A connection of ours: what a client library gets to read and write.
//!
//! It counts what a run may still read, remembers the first bytes, and can be watched for its end from
//! outside, whatever the library that holds it does.

use std::{
    fmt, io,
    os::fd::AsFd,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use crate::{
    address::Endpoint,
    failure::{Failure, FailureKind, WireFault},
    wire::{
        guard::{Grammar, Guard, MOST_VALUES},
        sniff::Protocol,
    },
};

/// How many bytes one run may read from one peer.
pub(crate) const READ_LIMIT: u64 = 2 * 1024 * 1024;

/// How many first bytes are remembered.
const FIRST: usize = 64;

/// What the frame keeps of a connection after it has handed the stream to a client library.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) tether: Arc<Tether>,
    pub(crate) watch: Arc<Watch>,
}

impl Connection {
    pub(crate) fn has_ended(&self) -> bool {
        self.tether.has_ended() || self.watch.is_closed()
    }
}

/// Limits and first bytes, shared by a stream and the frame.
#[derive(Debug)]
pub(crate) struct Tether {
    left: AtomicU64,
    /// How many values the peer may still send in this run, where a guard counts them.
    values: AtomicU64,
    /// What came last will have the library compute, as a guard has seen.
    toil: AtomicBool,
    first: Mutex<First>,
    /// Whether the peer has closed, or the network has.
    ended: AtomicBool,
    /// What was wrong with what came in, for when a library only says that the connection is gone.
    fault: Mutex<Option<Failure>>,
}

/// The first bytes of a conversation, and what they should belong to.
#[derive(Debug)]
struct First {
    bytes: Vec<u8>,
    expected: Protocol,
}

impl First {
    fn new(expected: Protocol) -> Self {
        Self { bytes: Vec::new(), expected }
    }
}

impl Tether {
    pub(crate) fn new(expected: Protocol) -> Self {
        Self {
            left: AtomicU64::new(READ_LIMIT),
            values: AtomicU64::new(MOST_VALUES),
            toil: AtomicBool::new(false),
            first: Mutex::new(First::new(expected)),
            ended: AtomicBool::new(false),
            fault: Mutex::default(),
        }
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the peer must speak TLS.
    pub(crate) fn expect_tls(&self) {
        *self.first() = First::new(Protocol::Tls);
    }

    /// The first bytes that came in, or the first after [`Tether::expect_tls`]: at most 64.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.first().bytes.clone()
    }

    /// A new run may read anew.
    pub(crate) fn refill(&self) {
        self.left.store(READ_LIMIT, Ordering::Relaxed);
        self.values.store(MOST_VALUES, Ordering::Relaxed);
    }

    /// Takes note that the reader of what came last will compute. The stream keeps that back until it is asked again.
    pub(crate) fn toil(&self) {
        self.toil.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted since this was last called.
    #[cfg(feature = "mysql")]
    pub(crate) fn take_toil(&self) -> bool {
        self.toil.swap(false, Ordering::Relaxed)
    }

    /// Takes note of values that came in.
    pub(crate) fn count(&self, values: u64) -> Result<(), WireFault> {
        let left = self.room_for(values)?;
        self.values.store(left, Ordering::Relaxed);
        Ok(())
    }

    /// Whether so many values may still come in this run; how many more.
    pub(crate) fn room_for(&self, values: u64) -> Result<u64, WireFault> {
        self.values.load(Ordering::Relaxed).checked_sub(values).ok_or(WireFault::TooMany { limit: MOST_VALUES })
    }

    /// Whether the peer has not sent a single byte.
    pub(crate) fn is_silent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == READ_LIMIT && self.first().bytes.is_empty()
    }

    /// Whether anybody has met the end of the connection.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Why reading ended, where it was more than an end.
    pub(crate) fn fault(&self) -> Option<Failure> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn mourn(&self, error: &io::Error) {
        self.blame(Failure::from_io(error));
    }

    /// Takes note of what is wrong with what came in, if that is what it is.
    pub(crate) fn blame(&self, failure: Failure) {
        if matches!(failure.kind, FailureKind::Tls | FailureKind::Protocol) {
            self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        }
    }

    /// Takes note of bytes that came in.
    fn account(&self, bytes: &[u8]) -> io::Result<()> {
        let before = self.left.load(Ordering::Relaxed);
        let Some(left) = before.checked_sub(bytes.len() as u64) else {
            return Err(WireFault::TooLong { limit: READ_LIMIT }.into_io());
        };
        self.left.store(left, Ordering::Relaxed);
        let mut first = self.first();
        if first.bytes.len() < FIRST && !bytes.is_empty() {
            let room = FIRST - first.bytes.len();
            first.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            let expected = first.expected;
            let foreign = match expected {
                Protocol::Tls => Protocol::plaintext_instead_of_tls(&first.bytes),
                own => own.foreign(&first.bytes),
            };
            if let Some(seen) = foreign {
                return Err(WireFault::Foreign { expected, seen }.into_io());
            }
        }
        Ok(())
    }
}

/// Tells when the peer has closed a connection, beside whatever reads from it.
///
/// It is a second descriptor of the same socket in the runtime's poller: the kernel reports the end of
/// the peer's sending side without anybody reading. Nothing is ever read or written through it.
#[derive(Debug)]
pub(crate) struct Watch(Socket);

impl Watch {
    /// Completes when the peer has closed its side. Arriving data wakes it, but does not complete it.
    pub(crate) async fn closed(&self) {
        while let Ok(ready) = self.0.ready().await {
            if ready.is_read_closed() {
                return;
            }
            self.0.not_ready();
        }
    }

    /// Whether the peer has closed its side already.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed().now_or_never().is_some()
    }
}

/// How a protocol carries a TLS handshake inside of its own packets; behind it the records go as they are.
pub trait Envelope: fmt::Debug + Send + Sync {
    /// Our part of the handshake, as the peer wants it.
    fn seal(&self, records: &[u8]) -> Vec<u8>;

    /// How many bytes of the peer's part follow behind a header: at least one.
    ///
    /// # Errors
    /// It is not the header of such a packet, or of an empty one.
    fn open(&self, header: [u8; HEADER]) -> Result<usize, Failure>;
}

/// The header of a packet that carries a part of a handshake.
pub const HEADER: usize = 8;

/// A handshake that goes on inside of packets.
#[derive(Debug)]
struct Enclosed {
    envelope: &'static dyn Envelope,
    /// What we say, until it is flushed; then what of it is still to be written.
    out: Vec<u8>,
    sealed: bool,
    header: Vec<u8>,
    /// How much of the present packet is still to be read.
    left: usize,
}

/// A socket of ours with its limits.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    tether: Arc<Tether>,
    enclosed: Option<Enclosed>,
    guard: Option<Box<Guard>>,
    /// What has been read, and is kept back once.
    held: Vec<u8>,
}

/// What the kernel gives.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Whom it is connected to.
    pub(crate) fn peer(&self, endpoint: &Endpoint) -> Option<String> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok().map(|peer| peer.to_string()),
            Self::Unix(_) => Some(endpoint.to_string()),
        }
    }

    /// A second descriptor of the same socket.
    fn twin(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket.as_fd().try_clone_to_owned()?.into())?),
            Self::Unix(socket) => Self::Unix(UnixStream::from_std(socket.as_fd().try_clone_to_owned()?.into())?),
        })
    }

    async fn ready(&self) -> io::Result<Ready> {
        match self {
            Self::Tcp(socket) => socket.ready(Interest::READABLE).await,
            Self::Unix(socket) => socket.ready(Interest::READABLE).await,
        }
    }

    /// Waits for the next event instead of reporting the last one again.
    fn not_ready(&self) {
        let nothing = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
        let _ = match self {
            Self::Tcp(socket) => socket.try_io(Interest::READABLE, nothing),
            Self::Unix(socket) => socket.try_io(Interest::READABLE, nothing),
        };
    }
}

impl Wire {
    pub(crate) fn new(socket: Socket, expected: Protocol, grammar: Option<Grammar>) -> io::Result<(Self, Connection)> {
        let watch = Watch(socket.twin()?);
        let tether = Arc::new(Tether::new(expected));
        let connection = Connection { tether: Arc::clone(&tether), watch: Arc::new(watch) };
        let guard = grammar.map(|grammar| Box::new(Guard::new(grammar, &tether)));
        Ok((Self { socket, tether, enclosed: None, guard, held: Vec::new() }, connection))
    }

    /// From here on the TLS handshake goes on inside of packets.
    pub(crate) fn enclose(&mut self, envelope: &'static dyn Envelope) {
        self.enclosed = Some(Enclosed { envelope, out: Vec::new(), sealed: false, header: Vec::new(), left: 0 });
    }

    /// The handshake is over.
    pub(crate) fn disclose(&mut self) {
        self.enclosed = None;
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }

    /// Reads from inside of packets, and of their headers nothing that lies behind them.
    fn poll_enclosed(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while let Some(Enclosed { envelope, header, left: 0, .. }) = &self.enclosed {
            let (envelope, known, mut piece) = (*envelope, header.len(), [0; HEADER]);
            let mut piece = ReadBuf::new(&mut piece[known..]);
            ready!(self.poll_socket(cx, &mut piece))?;
            let Some(enclosed) = &mut self.enclosed else { break };
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            enclosed.header.extend_from_slice(piece.filled());
            if let Ok(header) = <[u8; HEADER]>::try_from(enclosed.header.as_slice()) {
                enclosed.header.clear();
                enclosed.left = envelope.open(header).map_err(io::Error::other)?;
            }
        }
        let most = self.enclosed.as_ref().map_or(0, |enclosed| enclosed.left.min(buf.remaining()));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(self.poll_socket(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        if let Some(enclosed) = &mut self.enclosed {
            enclosed.left -= read;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn tether(&self) -> &Tether {
        &self.tether
    }

    /// What was written. To a peer that has closed it seems to be everything: its last words may still wait to be
    /// read ("too many clients"), and whoever reads comes upon the end right after them.
    fn unless_closed(&self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        written.map(|result| {
            let Err(error) = result else { return result };
            self.tether.ended.store(true, Ordering::Release);
            match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(all),
                _ => Err(error),
            }
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(if self.enclosed.is_some() { self.poll_enclosed(cx, buf) } else { self.poll_socket(cx, buf) });
        if read.is_err() || (buf.filled().len() == before && buf.remaining() > 0) {
            self.tether.ended.store(true, Ordering::Release);
        }
        read?;
        Poll::Ready(self.tether.account(&buf.filled()[before..]))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(enclosed) = &mut self.enclosed {
            enclosed.out.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
        };
        self.unless_closed(written, buf.len())
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if let Some(enclosed) = &mut self.enclosed {
            for buf in bufs {
                enclosed.out.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(all));
        }
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        };
        self.unless_closed(written, all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was said of a handshake goes out at once, so that a flight is a packet.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut enclosed) = self.enclosed.take() else { return Poll::Ready(Ok(())) };
        if !enclosed.out.is_empty() && !enclosed.sealed {
            (enclosed.out, enclosed.sealed) = (enclosed.envelope.seal(&enclosed.out), true);
        }
        let mut end = Poll::Ready(Ok(()));
        while !enclosed.out.is_empty() {
            match self.as_mut().poll_write(cx, &enclosed.out) {
                Poll::Ready(Ok(written)) => drop(enclosed.out.drain(..written)),
                Poll::Ready(Err(error)) => {
                    end = Poll::Ready(Err(error));
                    break;
                }
                Poll::Pending => {
                    end = Poll::Pending;
                    break;
                }
            }
        }
        enclosed.sealed &= !enclosed.out.is_empty();
        self.enclosed = Some(enclosed);
        end
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// A connection in plain text or under TLS.
#[derive(Debug)]
pub enum Stream {
    /// As it came from the dial.
    Plain(Wire),
    /// Under TLS, verified.
    Tls(Box<TlsStream<Wire>>),
}

impl Stream {
    /// The end entity certificate of the peer, in DER.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }

    pub(crate) fn tether(&self) -> &Arc<Tether> {
        match self {
            Self::Plain(wire) => &wire.tether,
            Self::Tls(tls) => &tls.get_ref().0.tether,
        }
    }

    /// Gives back what was read of the peer, for the next reader.
    #[cfg(feature = "postgres")]
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.wire().held.splice(0..0, bytes.iter().copied());
    }

    fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(tls) => tls.get_mut().0,
        }
    }

    /// Shows plain text of the peer to the guard; whether it is to be kept back once.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let wire = self.wire();
        let Some(guard) = &mut wire.guard else { return Ok(false) };
        let before = wire.tether.toil.load(Ordering::Relaxed);
        guard.follow(bytes).map_err(WireFault::into_io)?;
        Ok(!before && wire.tether.toil.load(Ordering::Relaxed))
    }

    /// The protocol that was agreed on inside TLS.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }
}

macro_rules! either {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match $self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let held = &mut self.wire().held;
        if !held.is_empty() {
            let most = held.len().min(buf.remaining());
            buf.put_slice(&held[..most]);
            held.drain(..most);
            return Poll::Ready(Ok(()));
        }
        let (this, before) = (self.as_mut(), buf.filled().len());
        let mut read = either!(this, poll_read, cx, buf);
        if let Poll::Ready(Ok(())) = &read {
            match self.follow(&buf.filled()[before..]) {
                Ok(false) => {}
                Ok(true) => {
                    self.wire().held = buf.filled()[before..].to_vec();
                    buf.set_filled(before);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => {
                    buf.set_filled(before);
                    read = Poll::Ready(Err(error));
                }
            }
        }
        if let Poll::Ready(Err(error)) = &read {
            self.tether().mourn(error);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, cx)
    }
}
