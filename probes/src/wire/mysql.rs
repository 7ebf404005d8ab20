//! A MySQL connection of ours with a client library behind it.
//!
//! `mysql_async` dials for itself and does TLS for itself. So the frame dials and reads the greeting, and the
//! library logs in through a one-shot local port whose bytes are copied. Where TLS is wanted, its answer to
//! the greeting is kept back: the first half of it is the request for TLS, and it follows inside. The server
//! has then seen one packet more than the library has sent, so the numbers of the packets are corrected until
//! the log-in is over. Protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use mysql_async::OptsBuilder;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    failure::{Failure, FailureKind},
    wire::{Background, labour::Labour, private::PrivatePort, stream::Stream},
};

/// Longest first packet that is accepted; an error message has at most 512 bytes.
const GREETING_LIMIT: usize = 1024;

/// Longest answer to it: user, password, database and attributes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Capabilities that the library is not told of: TLS is ours, and nobody reads our files or sends two statements.
const KEPT_BACK: u32 = SSL | LOCAL_FILES | MULTI_STATEMENTS;
const LOCAL_FILES: u32 = 0x80;
const SSL: u32 = 0x800;
const MULTI_STATEMENTS: u32 = 0x1_0000;

/// The first half of the answer to a greeting, which alone is the request for TLS.
const SSL_REQUEST: u8 = 32;

/// `COM_QUIT`, after which the server closes.
const QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// The header of a packet: three bytes of length and its number.
const HEADER: usize = 4;

/// The first packet of a server.
#[derive(Debug)]
pub(crate) struct Greeting {
    packet: Vec<u8>,
    version: String,
    /// Where the lower and the upper half of the capabilities are.
    halves: [usize; 2],
}

impl Greeting {
    /// Reads it; a server that refuses us at once says so instead.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, Failure> {
        let packet = read_packet(stream, GREETING_LIMIT).await?;
        match packet.get(HEADER) {
            Some(10) => Self::parse(packet)
                .ok_or_else(|| Failure::new(FailureKind::Protocol, "the greeting of the server is not of the protocol")),
            Some(0xff) => Err(refusal(&packet[HEADER + 1..])),
            // A notice of the X protocol, whose messages begin with their length, too.
            Some(11) => Err(Failure::new(FailureKind::Protocol, "the peer speaks MySQL's X protocol, not its classic one")
                .with_code("x_protocol")
                .with_remedy("Point the entry at the classic port, which is usually 3306.")),
            _ => Err(Failure::new(FailureKind::Protocol, "the first packet of the server is not a MySQL greeting")),
        }
    }

    /// Protocol version, server version up to a zero, connection (4), nonce (8), a zero, capabilities (2),
    /// collation (1), status (2), capabilities (2).
    fn parse(packet: Vec<u8>) -> Option<Self> {
        let text = HEADER + 1;
        let end = text + packet.get(text..)?.iter().position(|byte| *byte == 0)?;
        let lower = end + 1 + 4 + 8 + 1;
        let halves = [lower, lower + 2 + 1 + 2];
        packet.get(halves[1]..halves[1] + 2)?;
        let version = String::from_utf8_lossy(&packet[text..end]).into_owned();
        Some(Self { packet, version, halves })
    }

    /// The version, without what MariaDB 10 puts before it for old replicas.
    pub(crate) fn version(&self) -> &str {
        self.version.strip_prefix("5.5.5-").unwrap_or(&self.version)
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    pub(crate) fn offers_tls(&self) -> bool {
        let [_, high, ..] = SSL.to_le_bytes();
        self.packet[self.halves[0] + 1] & high != 0
    }

    /// The greeting for the library.
    fn for_library(&self) -> Vec<u8> {
        let mut packet = self.packet.clone();
        for (at, kept_back) in self.halves.into_iter().zip([KEPT_BACK, KEPT_BACK >> 16]) {
            let [low, high, ..] = kept_back.to_le_bytes();
            packet[at] &= !low;
            packet[at + 1] &= !high;
        }
        packet
    }
}

/// One packet with its header, behind which its sender waits for us.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, Failure> {
    let mut packet = Vec::new();
    loop {
        if stream.read_buf(&mut packet).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let [a, b, c, _, ..] = packet[..] else { continue };
        let whole = HEADER + (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16);
        if whole > limit || packet.len() > whole {
            return Err(Failure::new(FailureKind::Protocol, "the first packet is too long for the MySQL protocol"));
        }
        if packet.len() == whole {
            return Ok(packet);
        }
    }
}

/// The error that stands in the place of a greeting: its number and its text.
fn refusal(body: &[u8]) -> Failure {
    match body {
        [low, high, words @ ..] => {
            let words = String::from_utf8_lossy(words);
            // With a state before the text, if the server assumes that we know of it.
            let words = words.strip_prefix('#').and_then(|rest| rest.get(5..)).unwrap_or(&words);
            Failure::server(u16::from_le_bytes([*low, *high]).to_string(), words)
        }
        _ => Failure::new(FailureKind::Protocol, "the server refuses us without saying why"),
    }
}

/// Where the library connects to, once.
///
/// Through TLS the password may pass as it is; but the library sends it so only where it knows the way to be
/// private. A unix socket of ours (without a file, man 7 unix) is private to it, and a loopback port is not.
pub(crate) enum Port {
    Open(TcpListener),
    Private(PrivatePort),
}

impl Port {
    pub(crate) async fn open(private: bool) -> io::Result<Self> {
        if !private {
            return Ok(Self::Open(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?));
        }
        Ok(Self::Private(PrivatePort::open()?))
    }

    /// Sends the library here.
    pub(crate) fn lead(&self, options: OptsBuilder) -> io::Result<OptsBuilder> {
        Ok(match self {
            Self::Open(listener) => options.ip_or_hostname("127.0.0.1").tcp_port(listener.local_addr()?.port()),
            Self::Private(port) => options.socket(Some(port.name())),
        })
    }

    /// Shows the library the greeting and takes its answer, which the server has not seen yet.
    pub(crate) async fn introduce(self, greeting: &Greeting) -> Result<Introduction, Failure> {
        let mut library = self.accept().await?;
        library.write_all(&greeting.for_library()).await?;
        let answer = read_packet(&mut library, ANSWER_LIMIT).await?;
        Ok(Introduction { library, answer, shift: 0 })
    }

    async fn accept(self) -> io::Result<Library> {
        match self {
            Self::Open(listener) => {
                let (library, _) = listener.accept().await?;
                library.set_nodelay(true)?;
                Ok(Box::new(library))
            }
            Self::Private(port) => Ok(Box::new(port.accept().await?)),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Library = Box<dyn Duplex>;

/// The library, and its answer to the greeting.
pub(crate) struct Introduction {
    library: Library,
    answer: Vec<u8>,
    /// How many packets the server has seen that the library did not send.
    shift: u8,
}

impl Introduction {
    /// Asks for TLS. What follows on the stream is the handshake.
    pub(crate) async fn request_tls(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failure> {
        let too_short = || Failure::new(FailureKind::Protocol, "the server's greeting leads to no log-in");
        // Some servers never look at the second copy of the capabilities, so both must be the same.
        let [_, high, ..] = SSL.to_le_bytes();
        *self.answer.get_mut(HEADER + 1).ok_or_else(too_short)? |= high;
        let half = self.answer.get(HEADER..HEADER + usize::from(SSL_REQUEST)).ok_or_else(too_short)?;
        let request = [&[SSL_REQUEST, 0, 0, self.answer[3]], half].concat();
        stream.write_all(&request).await?;
        stream.flush().await?;
        self.shift = 1;
        self.answer[3] += 1;
        Ok(())
    }
}

/// The link between a server and the library.
#[derive(Debug)]
pub(crate) struct Link {
    end: Arc<Mutex<Option<Failure>>>,
    task: Background,
}

impl Link {
    /// Passes the answer on, and then everything.
    pub(crate) fn start(introduction: Introduction, mut server: Stream, labour: Labour) -> Self {
        let end = Arc::new(Mutex::new(None));
        let told = Arc::clone(&end);
        let task = Background::spawn(async move {
            let Introduction { mut library, answer, shift } = introduction;
            let carried = carry(&mut library, &mut server, &answer, shift, &labour).await;
            labour.over();
            if let Err(error) = carried {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Failure::from_io(&error));
            }
            // Only now does the library see its end, so that it finds the cause.
            drop(library);
        });
        Self { end, task }
    }

    /// Why the link ended, if it did by itself.
    pub(crate) fn end(&self) -> Option<Failure> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the server has closed.
    pub(crate) async fn closed(self) {
        self.task.finished().await;
    }
}

/// Copies both ways until either side ends.
async fn carry(library: &mut Library, server: &mut Stream, answer: &[u8], shift: u8, labour: &Labour) -> io::Result<()> {
    let tether = Arc::clone(server.tether());
    server.write_all(answer).await?;
    server.flush().await?;
    let (mut from_library, mut to_library) = tokio::io::split(library);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut down, mut up) = ([0; 4096], [0; 4096]);
    let (mut downwards, mut upwards) = (Numbers::of_server(shift), Numbers::of_library(shift));
    let mut last = false;
    loop {
        tokio::select! {
            read = from_server.read(&mut down) => match read? {
                0 if last => return Ok(()),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    downwards.correct(&mut down[..n]);
                    if tether.take_toil() {
                        labour.announce().await;
                    }
                    to_library.write_all(&down[..n]).await?;
                }
            },
            read = from_library.read(&mut up), if !last => match read? {
                0 => return to_server.shutdown().await,
                n => {
                    labour.over();
                    if !downwards.over {
                        upwards.correct(&mut up[..n]);
                    }
                    to_server.write_all(&up[..n]).await?;
                    to_server.flush().await?;
                    // Whoever closes first keeps the port: that is left to the server.
                    last = up[..n] == QUIT;
                }
            },
        }
    }
}

/// Follows the packets of one direction during the log-in and corrects their numbers.
struct Numbers {
    by: u8,
    of_server: bool,
    /// From here on each command counts from 0 on both sides.
    over: bool,
    /// Which byte of the header comes next; 4 is the first of the body.
    at: usize,
    left: usize,
}

impl Numbers {
    /// The server has seen `shift` packets more than the library has sent.
    fn of_server(shift: u8) -> Self {
        Self { by: shift.wrapping_neg(), of_server: true, over: shift == 0, at: 0, left: 0 }
    }

    fn of_library(shift: u8) -> Self {
        Self { by: shift, of_server: false, ..Self::of_server(shift) }
    }

    fn correct(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.over {
                return;
            }
            match self.at {
                0..3 => {
                    self.left |= usize::from(*byte) << (8 * self.at);
                    self.at += 1;
                }
                3 => {
                    *byte = byte.wrapping_add(self.by);
                    self.at = if self.left == 0 { 0 } else { HEADER };
                }
                at => {
                    // OK or ERR: the server's last word in a log-in.
                    self.over = self.of_server && at == HEADER && matches!(*byte, 0 | 0xff);
                    self.left -= 1;
                    self.at = if self.left == 0 { 0 } else { at + 1 };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &str, capabilities: u32) -> Vec<u8> {
        let [a, b, c, d] = capabilities.to_le_bytes();
        let mut body = [&[10], version.as_bytes(), &[0; 1 + 4 + 8 + 1], &[a, b, 45, 2, 0, c, d, 21], &[0; 10 + 13]].concat();
        body.splice(0..0, [u8::try_from(body.len()).expect("short"), 0, 0, 0]);
        body
    }

    async fn read(bytes: &[u8]) -> Result<Greeting, Failure> {
        Greeting::read(&mut &*bytes).await
    }

    #[tokio::test]
    async fn the_library_sees_a_greeting_without_what_is_ours() {
        let seen = read(&greeting("5.5.5-10.11.6-MariaDB-log", u32::MAX)).await.expect("a greeting");
        assert_eq!((seen.version(), seen.is_mariadb(), seen.offers_tls()), ("10.11.6-MariaDB-log", true, true));
        assert_eq!(seen.for_library(), greeting("5.5.5-10.11.6-MariaDB-log", !KEPT_BACK));
        let plain = read(&greeting("9.7.0", !SSL)).await.expect("a greeting");
        assert_eq!((plain.version(), plain.is_mariadb(), plain.offers_tls()), ("9.7.0", false, false));
    }

    #[tokio::test]
    async fn what_is_no_greeting_is_told_apart() {
        let full = read(b"\x17\0\0\0\xff\x10\x04Too many connections").await.expect_err("an error");
        assert_eq!((full.code.as_deref(), full.server_message.as_deref()), (Some("1040"), Some("Too many connections")));
        let with_state = read(b"\x0c\0\0\0\xff\x10\x04#08004Too").await.expect_err("an error");
        assert_eq!(with_state.server_message.as_deref(), Some("Too"));
        let x = read(b"\x05\0\0\0\x0b\x08\x05\x1a\0").await.expect_err("another protocol");
        assert_eq!(x.code.as_deref(), Some("x_protocol"));
        for bytes in [
            &b"\x01\0\0\0\x0a"[..],
            b"\x01\0\0\0\x0a more",
            b"\x05\0\0\0\x0a8.0\0",
            b"\xff\xff\x01\0\x0a",
            b"\x01\0\0\0\xff",
            b"\0\0\0\0",
        ] {
            assert_eq!(read(bytes).await.expect_err("garbage").kind, FailureKind::Protocol);
        }
    }

    #[test]
    fn numbers_are_corrected_until_the_log_in_is_over() {
        let down = b"\x02\0\0\x03\x01\x03\0\0\0\x04\x03\0\0\x05\0\0\0\x01\0\0\x06\0";
        let told = b"\x02\0\0\x02\x01\x03\0\0\0\x03\x03\0\0\x04\0\0\0\x01\0\0\x06\0";
        for size in 1..=down.len() {
            let (mut numbers, mut bytes) = (Numbers::of_server(1), down.to_vec());
            bytes.chunks_mut(size).for_each(|piece| numbers.correct(piece));
            assert_eq!((bytes.as_slice(), numbers.over), (&told[..], true), "in pieces of {size}");
        }
        let mut up = *b"\x01\0\0\x03\0\x01\0\0\x05\xff";
        Numbers::of_library(1).correct(&mut up);
        assert_eq!(up, *b"\x01\0\0\x04\0\x01\0\0\x06\xff");
    }
}
