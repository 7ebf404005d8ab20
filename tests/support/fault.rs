//! A TCP proxy that can be told, while it runs, to be a bad network.
//!
//! It stands between a client and a real server, so that delays, freezes and broken connections hit a conversation
//! that was going well. It knows no protocol. Faults are seen from the client: "server to client" is what it receives.

mod relay;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::background::{Background, adopt, listener};

/// What the network does to the connections through a [`FaultProxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: bytes pass as they come.
    Pass,
    /// What the server says arrives so much later.
    Delay(Duration),
    /// Connections are accepted, and not a byte passes in either direction; what was sent passes once this ends.
    Stall,
    /// Every connection, old or new, is reset (RST).
    Reset,
    /// Every connection, old or new, is closed in order (FIN).
    Close,
    /// What the server says arrives in pieces of so many bytes, one at a time.
    Drip {
        /// Size of a piece.
        bytes: usize,
        /// Time before each piece.
        every: Duration,
    },
    /// What the server says arrives as as many random bytes.
    Garbage,
    /// The server's direction is closed (FIN); what the client says still passes.
    HalfClose,
    /// The client receives random bytes without end.
    Flood,
}

/// The proxy; it and its connections end when this is dropped.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _thread: Background,
}

impl FaultProxy {
    /// Starts one in front of `upstream`, on a free port of 127.0.0.1, passing everything.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::new(upstream));
        let state = Arc::clone(&shared);
        let accept = move || async move {
            let listener = adopt(listener);
            loop {
                // Out of descriptors, say: the test will see that it cannot connect.
                let Ok((client, _)) = listener.accept().await else {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                tokio::spawn(relay::serve(client, Arc::clone(&state)));
            }
        };
        Self { addr, shared, _thread: Background::spawn("fault-proxy", accept) }
    }

    /// Where clients connect to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the fault, for the connections that are open too.
    pub(crate) fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Resets the connections that are open now; new ones are welcome.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that neither side has closed yet.
    pub(crate) fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes received from clients so far.
    pub(crate) fn bytes_up(&self) -> u64 {
        self.shared.bytes_up.load(Ordering::SeqCst)
    }

    /// Bytes sent to clients so far.
    pub(crate) fn bytes_down(&self) -> u64 {
        self.shared.bytes_down.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    fault: watch::Sender<Fault>,
    cuts: watch::Sender<u64>,
    accepted: AtomicU64,
    open: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Shared {
    fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            fault: watch::Sender::new(Fault::Pass),
            cuts: watch::Sender::new(0),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        }
    }
}
