//! Peers that no real server can play: silent, absent, talkative, or of another protocol.

use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::background::{Background, adopt, listener};
use super::free_port;

/// A peer on a free port of 127.0.0.1; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    addr: SocketAddr,
    counts: Arc<Counts>,
    _thread: Option<Background>,
    _full: Option<FullBacklog>,
}

impl Peer {
    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Connections that the client has not closed yet.
    pub(crate) fn open(&self) -> u64 {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Bytes sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::SeqCst)
    }

    /// A peer that treats each connection by `talk` and then, whatever that did, waits for the client to close.
    fn serving<F>(name: &str, talk: impl Fn(TcpStream, Arc<Counts>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let counts = Arc::new(Counts::default());
        let state = Arc::clone(&counts);
        let accept = move || async move {
            let listener = adopt(listener);
            while let Ok((stream, _)) = listener.accept().await {
                state.accepted.fetch_add(1, Ordering::SeqCst);
                state.open.fetch_add(1, Ordering::SeqCst);
                let (talk, state) = (talk(stream, Arc::clone(&state)), Arc::clone(&state));
                tokio::spawn(async move {
                    if let Some(mut stream) = talk.await {
                        let mut ignored = [0; 4096];
                        while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
                    }
                    state.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        };
        Self { addr, counts, _thread: Some(Background::spawn(name, accept)), _full: None }
    }

    /// An address where nobody accepts.
    fn absent(port: u16, full: Option<FullBacklog>) -> Self {
        Self { addr: (Ipv4Addr::LOCALHOST, port).into(), counts: Arc::default(), _thread: None, _full: full }
    }
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    open: AtomicU64,
    sent: AtomicU64,
}

/// Accepts, reads everything and never answers.
pub(crate) fn black_hole() -> Peer {
    Peer::serving("black-hole", |stream, _| async { Some(stream) })
}

/// A port with nobody behind it: connections are refused.
pub(crate) fn refused() -> Peer {
    Peer::absent(free_port(), None)
}

/// Says `bytes` to whoever connects, then nothing: the banner of another protocol, say.
pub(crate) fn speaks(bytes: impl Into<Vec<u8>>) -> Peer {
    let bytes = bytes.into();
    Peer::serving("speaks", move |mut stream, counts| {
        let bytes = bytes.clone();
        async move {
            stream.write_all(&bytes).await.ok()?;
            counts.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            Some(stream)
        }
    })
}

/// Reads one piece of what the client says, answers `bytes` and closes.
pub(crate) fn answers(bytes: impl Into<Vec<u8>>) -> Peer {
    let bytes = bytes.into();
    Peer::serving("answers", move |mut stream, counts| {
        let bytes = bytes.clone();
        async move {
            let mut question = [0; 16 << 10];
            let _ = stream.read(&mut question).await.ok()?;
            stream.write_all(&bytes).await.ok()?;
            counts.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            stream.shutdown().await.ok()?;
            Some(stream)
        }
    })
}

/// Says `start`, then the letter `x` up to 2 GiB, as fast as the client takes it.
///
/// With a start such as `$536870912\r\n` it is an endless value rather than another protocol.
pub(crate) fn flood(start: impl Into<Vec<u8>>) -> Peer {
    const CAP: u64 = 2 << 30;
    static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
    let start = start.into();
    Peer::serving("flood", move |mut stream, counts| {
        let start = start.clone();
        async move {
            stream.write_all(&start).await.ok()?;
            let mut left = CAP;
            while left > 0 {
                stream.write_all(&PIECE).await.ok()?;
                counts.sent.fetch_add(PIECE.len() as u64, Ordering::SeqCst);
                left = left.saturating_sub(PIECE.len() as u64);
            }
            Some(stream)
        }
    })
}

/// A host that drops the first packet: connecting neither succeeds nor fails.
pub(crate) fn syn_black_hole() -> Peer {
    let full = FullBacklog::new();
    let port = full.port;
    Peer::absent(port, Some(full))
}

/// A listener that never accepts, its queue filled: Linux then ignores further connections.
#[derive(Debug)]
struct FullBacklog {
    port: u16,
    _runtime: Background,
    _fillers: Vec<StdStream>,
}

impl FullBacklog {
    fn new() -> Self {
        /// A connection on loopback that takes longer is being ignored.
        const IGNORED: Duration = Duration::from_millis(200);
        let (found, port) = std::sync::mpsc::channel();
        let runtime = Background::spawn("full-backlog", move || async move {
            let listener = shallow_listener();
            let _ = found.send(listener.local_addr().map(|addr| addr.port()));
            std::future::pending::<()>().await;
        });
        let port = port.recv().expect("the listener's thread answers");
        let port = port.expect("a listener has an address");
        let addr = (Ipv4Addr::LOCALHOST, port).into();
        let connect = || StdStream::connect_timeout(&addr, IGNORED).ok();
        let fillers = std::iter::from_fn(connect).take(64).collect();
        Self { port, _runtime: runtime, _fillers: fillers }
    }
}

/// A listener with the shortest queue that the system gives.
fn shallow_listener() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(any).expect("a port of 127.0.0.1 is free");
    socket.listen(0).expect("a bound socket can listen")
}
