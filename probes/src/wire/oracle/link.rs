//! A connection to a database with the driver behind it.

use std::{
    io,
    net::{Shutdown, TcpStream as StdStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use super::{DATA, HEADER};
use crate::{
    failure::{Failure, FailureKind, WireFault},
    wire::{Background, labour, stream::Stream},
};

/// Longest packet of a server; the driver asks for it, and takes a longer one for the end of the connection.
const SDU: usize = 8192;

/// Packets of a session: DATA, MARKER, CONTROL.
const KINDS: [u8; 3] = [DATA, 12, 14];

/// How often a server may have a password hashed is bounded: the driver does so whatever a server says, on a thread that
/// nothing can end; 4096 is usual.
const ROUNDS: [&[u8]; 2] = [b"AUTH_PBKDF2_VGEN_COUNT", b"AUTH_PBKDF2_SDER_COUNT"];

/// What the driver says before it decodes values that nest, by recursion and as deep as a peer likes: the definition of a
/// column of JSON or of a vector (type, flag of indicators, no precision, no scale), and the question for an object's type.
const NESTING: [&[u8]; 3] = [&[119, 1, 0, 0], &[127, 1, 0, 0], b"dbms_pickler"];

/// The link between a database and the driver.
#[derive(Debug)]
pub(super) struct Link {
    knife: Knife,
    end: Arc<Mutex<Option<Failure>>>,
    task: Background,
}

/// Dropped, it ends the driver's connection at once, also where no task runs any more: whatever the driver waits for.
#[derive(Debug)]
struct Knife(StdStream);

impl Drop for Knife {
    fn drop(&mut self) {
        // It fails where it has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Knife {
    /// Who stops waiting cuts, and that before what may have been said meanwhile is dropped: a connection takes leave
    /// then, and would have the runtime wait for an answer.
    async fn wait<T>(&self, mut told: oneshot::Receiver<T>) -> Option<T> {
        struct Waiting<'a>(Option<&'a StdStream>);

        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                let _ = self.0.map(|stream| stream.shutdown(Shutdown::Both));
            }
        }

        let mut waiting = Waiting(Some(&self.0));
        let said = (&mut told).await;
        waiting.0 = None;
        said.ok()
    }
}

impl Link {
    /// Passes everything on, from the packet on that accepts the driver.
    pub(super) fn start(mut driver: TcpStream, mut server: Stream, accept: Vec<u8>) -> io::Result<Self> {
        let twin = driver.as_fd().try_clone_to_owned()?.into();
        let end = Arc::new(Mutex::new(None));
        let told = Arc::clone(&end);
        let task = Background::spawn(async move {
            let carried = carry(&mut driver, &mut server, &accept).await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = carried.err();
            // Only now does the driver see its end, so that whoever asks it finds the cause.
            let _ = driver.shutdown().await;
        });
        Ok(Self { knife: Knife(twin), end, task })
    }

    /// Why the link ended, if it did by itself.
    pub(super) fn end(&self) -> Option<Failure> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the driver; none where it panicked.
    pub(super) async fn wait<T>(&self, told: oneshot::Receiver<T>) -> Option<T> {
        self.knife.wait(told).await
    }

    /// Waits until the driver's end has reached the server.
    pub(super) async fn closed(self) {
        self.task.finished().await;
    }
}

/// Copies both ways until either side ends; of the server's only whole packets, because the driver panics on others.
async fn carry(driver: &mut TcpStream, server: &mut Stream, accept: &[u8]) -> Result<(), Failure> {
    driver.write_all(accept).await?;
    let (mut from_driver, mut to_driver) = driver.split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut down, mut up) = (Vec::with_capacity(SDU), [0; 4096]);
    let mut said = Vec::new();
    loop {
        tokio::select! {
            read = from_server.read_buf(&mut down) => {
                if read? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                let whole = whole_packets(&down)?;
                to_driver.write_all(&down[..whole]).await?;
                down.drain(..whole);
            }
            read = from_driver.read(&mut up) => match read? {
                0 => {
                    to_server.shutdown().await?;
                    return Ok(());
                }
                n => {
                    refuse_nesting(&mut said, &up[..n])?;
                    to_server.write_all(&up[..n]).await?;
                    to_server.flush().await?;
                }
            },
        }
    }
}

/// Ends the link before the driver asks for what it would decode without a limit. `said` is the end of what it said before.
fn refuse_nesting(said: &mut Vec<u8>, now: &[u8]) -> Result<(), Failure> {
    said.extend(now);
    if NESTING.iter().any(|words| said.windows(words.len()).any(|window| window == *words)) {
        return Err(Failure::new(
            FailureKind::Protocol,
            "the answer has a column of JSON, of a vector or of an object, which are not read",
        )
        .with_code("unsupported_type")
        .with_remedy("Select it as text, such as by JSON_SERIALIZE(column)."));
    }
    let longest = NESTING.iter().map(|words| words.len()).max().unwrap_or(0);
    said.drain(..said.len().saturating_sub(longest - 1));
    Ok(())
}

/// How many of these bytes are packets to their end.
fn whole_packets(bytes: &[u8]) -> Result<usize, Failure> {
    let mut whole = 0;
    while let Some([a, b, c, d, kind, ..]) = bytes[whole..].first_chunk::<HEADER>() {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        // A DATA has two bytes of flags, a MARKER three.
        if !(HEADER + 2..=SDU).contains(&length) || !KINDS.contains(kind) {
            return Err(Failure::new(FailureKind::Protocol, "the server's packets are none of Oracle's protocol"));
        }
        let Some(packet) = bytes.get(whole..whole + length) else { break };
        for rounds in ROUNDS.iter().filter_map(|key| rounds(packet, key)) {
            labour::iterations(rounds).map_err(WireFault::to_failure)?;
        }
        whole += length;
    }
    Ok(whole)
}

/// The number behind a key: two lengths and digits.
fn rounds(packet: &[u8], key: &[u8]) -> Option<u64> {
    let at = packet.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = packet[at..].iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_packets_are_passed_on() {
        let packet = |length: u32, kind: u8, body: &[u8]| [&length.to_be_bytes(), &[kind, 0, 0, 0][..], body].concat();
        let good = packet(12, DATA, &[0, 0, 9, 9]);
        assert_eq!(whole_packets(&good).ok(), Some(12));
        assert_eq!(whole_packets(&good[..11]).ok(), Some(0));
        assert_eq!(whole_packets(&[&good[..], &good[..7]].concat()).ok(), Some(12));
        for bad in [packet(8, DATA, &[]), packet(9, DATA, &[0]), packet(9000, DATA, &[0]), packet(12, 99, &[0; 4])] {
            assert_eq!(whole_packets(&bad).expect_err("refused").kind, FailureKind::Protocol);
        }
    }

    /// Takes leave as a connection does: it waits for its peer.
    struct Leaving(StdStream, std::sync::mpsc::Sender<io::Result<usize>>);

    impl Drop for Leaving {
        fn drop(&mut self) {
            let _ = self.1.send(io::Read::read(&mut self.0, &mut [0]));
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_cut_off_before_it_is_dropped() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let driver = StdStream::connect(listener.local_addr().expect("a port")).expect("it listens");
        driver.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a limit");
        let knife = Knife(listener.accept().expect("a connection").0);
        let ((tell, told), (left, way)) = (oneshot::channel(), std::sync::mpsc::channel());
        let mut waiting = Box::pin(knife.wait(told));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(tell.send(Leaving(driver, left)).is_ok());
        drop(waiting);
        assert_eq!(way.recv().expect("it was dropped").ok(), Some(0));
    }

    #[test]
    fn the_driver_does_not_ask_for_what_nests() {
        for words in NESTING {
            let all = [b"some words before ", words, b" and behind"].concat();
            for at in 0..all.len() {
                let (first, second) = all.split_at(at);
                let mut said = Vec::new();
                let seen = refuse_nesting(&mut said, first).and_then(|()| refuse_nesting(&mut said, second));
                assert_eq!(seen.expect_err("refused").code.as_deref(), Some("unsupported_type"), "{words:?}, {at}");
            }
        }
        let mut said = Vec::new();
        assert_eq!(refuse_nesting(&mut said, b"SELECT 'w' FROM dual\x01\x01\0\0"), Ok(()));
    }

    #[test]
    fn nobody_has_us_hash_for_hours() {
        let told = |digits: &str| {
            let pair = [b"\x01\x16\x16AUTH_PBKDF2_VGEN_COUNT\x01\x04\x04", digits.as_bytes()].concat();
            let length = u32::try_from(HEADER + 2 + pair.len()).expect("short");
            whole_packets(&[&length.to_be_bytes(), &[DATA, 0, 0, 0, 0, 0][..], &pair].concat()).is_ok()
        };
        assert!(told("4096") && told("1000000"));
        assert!(!told("1000001") && !told("99999999999999999999999"));
    }
}
