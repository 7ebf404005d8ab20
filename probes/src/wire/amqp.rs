//! An AMQP 0-9-1 connection of ours with lapin behind it, on a leash.
//!
//! lapin runs a thread for each connection, and that thread waits for its socket for as long as the peer is silent,
//! even when nobody waits for the connection any more. So it gets a stream of ours, which fails every operation once
//! its [`Leash`] is let go of: that ends the thread, and with it the socket. This leans on how lapin 4.12 and
//! async-rs 0.8 are made; the test below notices when that changes.
//! Protocol: <https://www.rabbitmq.com/amqp-0-9-1-protocol>.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use async_rs::{
    Runtime, Tokio,
    traits::{Executor, Reactor, RuntimeKit},
    util::Task,
};
use futures_util::{Stream as FutureStream, StreamExt, stream::BoxStream, task::AtomicWaker};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind, Event,
    uri::{AMQPAuthority, AMQPQueryString, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// lapin keeps 64 times as much memory for each connection. A login with a long token needs more than the least.
const FRAME_MAX: u32 = 8192;

/// How many first bytes are kept to find out what the server says of itself.
const FIRST: usize = 4096;

/// Who logs in, and where to.
pub(crate) struct Login {
    /// The account; empty with `EXTERNAL`.
    pub(crate) username: String,
    /// Its password; empty with `EXTERNAL`.
    pub(crate) password: String,
    /// By the client certificate alone.
    pub(crate) external: bool,
    /// The virtual host to be opened.
    pub(crate) vhost: String,
}

/// An open connection. Letting go of it ends its thread and its socket, whatever the peer does.
pub(crate) struct Link {
    connection: Arc<Connection>,
    events: BoxStream<'static, Event>,
    leash: Leash,
}

impl Link {
    /// Logs in and opens the virtual host.
    pub(crate) async fn open(stream: Stream, login: Login) -> Result<Self, Failure> {
        let (stream, leash) = Leashed::new(stream);
        let mechanism = if login.external { SASLMechanism::External } else { SASLMechanism::Plain };
        let uri = AMQPUri {
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: login.username, password: login.password },
                ..AMQPAuthority::default()
            },
            vhost: login.vhost,
            query: AMQPQueryString { frame_max: Some(FRAME_MAX), auth_mechanism: Some(mechanism), ..AMQPQueryString::default() },
            ..AMQPUri::default()
        };
        let slot = Mutex::new(Some(stream));
        let hand_over = async move |_: AMQPUri, _: Runtime<Kit>| {
            let stream = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            // There is no second one: lapin must not connect again by itself.
            stream.map(AsyncTcpStream::Plain).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
        };
        let properties = ConnectionProperties::default().with_connection_name("probity".into());
        let runtime = Runtime::new(Kit(Tokio::current()));
        let connection = Connection::connector(uri, runtime, hand_over, properties).await.map_err(|error| failure(&error))?;
        let events = connection.events_listener().boxed();
        Ok(Self { connection: Arc::new(connection), events, leash })
    }

    pub(crate) async fn channel(&mut self) -> Result<Channel, Failure> {
        self.opening().await
    }

    /// A channel, for something that may take longer than a run.
    pub(crate) fn opening(&self) -> impl Future<Output = Result<Channel, Failure>> + Send + 'static {
        let connection = Arc::clone(&self.connection);
        async move { connection.create_channel().await.map_err(|error| failure(&error)) }
    }

    /// What the server said in passing. Never ends while the connection stands.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// A property of the server's greeting (`Connection.Start`, AMQP 0-9-1, 4.2.5.5: a short name, `S`, a long text).
    /// lapin reads over them.
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        let greeting = self.leash.0.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [&[u8::try_from(name.len()).ok()?], name.as_bytes(), b"S"].concat();
        let at = greeting.windows(key.len()).position(|window| window == key)? + key.len();
        let (length, rest) = greeting.get(at..)?.split_first_chunk()?;
        let text = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Ends politely.
    pub(crate) async fn close(self) {
        let _ = self.connection.close(200, "".into()).await;
    }
}

/// From lapin's error: the server's reply code, or what lies beneath.
pub(crate) fn failure(error: &lapin::Error) -> Failure {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Failure::server(error.get_id().to_string(), error.get_message().to_string()),
        ErrorKind::IOError(error) => Failure::from_io(error),
        ErrorKind::InvalidProtocolVersion(version) => {
            Failure::new(FailureKind::Protocol, format!("the server only speaks AMQP {version}"))
        }
        ErrorKind::ParsingError(_) => Failure::from_chain(error, FailureKind::Protocol),
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannel(_) => {
            Failure::new(FailureKind::ConnectionLost, "the connection has ended").with_words(error.to_string())
        }
        ErrorKind::MissingHeartbeatError => Failure::new(FailureKind::Timeout, "the server has sent no heartbeat for too long"),
        _ => Failure::from_chain(error, FailureKind::Unexpected),
    }
}

/// Holds a connection: once it is dropped, every operation of its stream fails.
struct Leash(Arc<Held>);

#[derive(Default)]
struct Held {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
    greeting: Mutex<Vec<u8>>,
}

impl Held {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }
}

/// A stream on a leash, as lapin wants to have it.
struct Leashed {
    stream: Stream,
    held: Arc<Held>,
}

impl Leashed {
    fn new(stream: Stream) -> (Self, Leash) {
        let held = Arc::<Held>::default();
        (Self { stream, held: Arc::clone(&held) }, Leash(held))
    }

    /// The stream, unless the leash is gone; its end wakes whoever waits.
    fn writer(&mut self, cx: &Context<'_>) -> io::Result<Pin<&mut Stream>> {
        self.held.writer.register(cx.waker());
        self.held.check()?;
        Ok(Pin::new(&mut self.stream))
    }
}

impl futures_io::AsyncRead for Leashed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.held.reader.register(cx.waker());
        self.held.check()?;
        let mut buffer = ReadBuf::new(bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let mut greeting = self.held.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = FIRST - greeting.len();
        greeting.extend(buffer.filled().iter().take(room));
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl futures_io::AsyncWrite for Leashed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer(cx)?.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.writer(cx) {
            Ok(stream) => stream.poll_shutdown(cx),
            // lapin waits for this, and would report an error.
            Err(_) => Poll::Ready(Ok(())),
        }
    }
}

/// lapin lets go of a stream without a word, and the frame's eye on the socket keeps that open: the peer learns of
/// the end here, and answers it with its own.
impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

/// Tokio, as lapin wants to have it, but for connections, which are ours.
#[derive(Clone, Debug)]
struct Kit(Tokio);

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Leashed;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Not called on the way that we go. The bound on descriptors cannot be named outside of async-rs.
    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static> {
        Err::<Leashed, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl FutureStream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    /// Not called on the way that we go: the frame dials.
    fn tcp_connect_addr(&self, _: SocketAddr) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, net::TcpListener, thread};

    use serde_json::json;

    use super::*;
    use crate::{Options, Prober, find};

    /// Threads of lapin in this process; no other test beside this one makes any.
    fn threads() -> usize {
        let names = fs::read_dir("/proc/self/task").expect("Linux").flatten();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        names.map(name).filter(|name| name.starts_with("lapin")).count()
    }

    #[test]
    fn no_thread_and_no_socket_survives_a_hung_broker() {
        const ATTEMPTS: usize = 10;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = json!({ "url": format!("amqp://{address}"), "username": "probe", "password": "p" });
        let probe = find("rabbitmq").expect("it is there").build(config, Options::default()).expect("it is good");
        let prober = Prober::new(probe, runtime.handle().clone());
        let mut sockets = Vec::new();
        for _ in 0..ATTEMPTS {
            let outcome = runtime.block_on(prober.run(Duration::from_millis(100)));
            let failure = outcome.failure.expect("nobody answers");
            assert_eq!((failure.kind, outcome.abandoned), (FailureKind::Timeout, false), "{failure:?}");
            sockets.push(listener.accept().expect("it has connected").0);
        }
        // Each socket is closed by its own end, not by ours.
        for mut socket in sockets {
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
            let mut said = Vec::new();
            socket.read_to_end(&mut said).expect("it is closed");
            assert_eq!(said, b"AMQP\0\0\x09\x01");
        }
        for _ in 0..500 {
            if threads() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{} threads are left", threads());
    }
}
