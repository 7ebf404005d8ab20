//! A NATS connection of ours with a client library behind it.
//!
//! async-nats dials for itself, and it cannot be asked to send a `PING` and wait for *its* `PONG`. So the
//! frame dials, reads `INFO` and does TLS; the library logs in through a one-shot loopback port whose bytes
//! are copied; and the `PING` of a run is put on the wire beside it, between two operations. What the
//! server says in passing (`-ERR`, a later `INFO`) is heard here verbatim, before any library renames it.
//! Protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

pub(crate) mod jetstream;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, oneshot},
};

use crate::{
    failure::{Failure, FailureKind, WireFault},
    wire::{Background, json, stream::Stream},
};

/// Longest line that is accepted; the longest of a real server is an `INFO` with many URLs.
const LINE_LIMIT: usize = 64 * 1024;

/// What a server says of itself, as far as a probe wants to know.
#[expect(clippy::struct_excessive_bools, reason = "the fields of the protocol's own document")]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) server_name: String,
    pub(crate) version: String,
    pub(crate) cluster: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) jetstream: bool,
    pub(crate) tls_required: bool,
    pub(crate) tls_available: bool,
    pub(crate) max_payload: u64,
    pub(crate) connect_urls: Vec<String>,
    pub(crate) ldm: bool,
}

/// The greeting: what the server says, and the bytes that came behind it.
pub(crate) struct Greeting {
    pub(crate) info: ServerInfo,
    document: serde_json::Value,
    rest: Vec<u8>,
}

impl Greeting {
    /// Reads the first line of a server.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, Failure> {
        let stranger = || Failure::new(FailureKind::Protocol, "the first line of the server is not a NATS greeting");
        let mut bytes = Vec::new();
        let mut looked = 0;
        let end = loop {
            if let Some(end) = bytes[looked..].windows(2).position(|pair| pair == b"\r\n") {
                break looked + end;
            }
            looked = bytes.len().saturating_sub(1);
            if !["INFO ", "-ERR "].iter().any(|start| bytes.iter().zip(start.bytes()).all(|(seen, known)| *seen == known)) {
                return Err(stranger());
            }
            if bytes.len() > LINE_LIMIT {
                return Err(Failure::new(FailureKind::Protocol, "the greeting of the server has no end"));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        };
        let rest = bytes.split_off(end + 2);
        let line = String::from_utf8_lossy(&bytes[..end]);
        if let Some(error) = error_text(&line) {
            return Err(Failure::server(error, error));
        }
        let document = line.strip_prefix("INFO ").ok_or_else(stranger)?;
        let document = json::try_read::<serde_json::Value>(document.as_bytes()).map_err(WireFault::to_failure)?;
        let read = document.and_then(|document| Some((ServerInfo::deserialize(&document).ok()?, document)));
        let (info, document) = read.ok_or_else(stranger)?;
        Ok(Self { info, document, rest })
    }

    /// Why the server greeted and refused in one breath.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        refusal(&self.rest)
    }

    /// Whether the server went on speaking behind its greeting, in plain text.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The greeting for the library, which has nothing to do with TLS or other servers.
    fn for_library(self) -> Vec<u8> {
        let mut document = self.document;
        document["tls_required"] = false.into();
        document["tls_available"] = false.into();
        let mut bytes = format!("INFO {document}\r\n").into_bytes();
        bytes.extend(self.rest);
        bytes
    }
}

/// The failure that a `-ERR` at the start of these bytes means.
pub(crate) fn refusal(bytes: &[u8]) -> Option<Failure> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = String::from_utf8_lossy(line);
    error_text(&line).map(|error| Failure::server(error, error))
}

/// The text of a `-ERR 'text'` line.
fn error_text(line: &str) -> Option<&str> {
    line.strip_prefix("-ERR").map(|text| text.trim().trim_matches('\''))
}

/// What the server said in passing.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The last `-ERR` that ends the connection.
    pub(crate) error: Option<String>,
    /// The last `-ERR` that refuses a subject; the connection goes on.
    refused: Option<String>,
    /// The last `INFO` after the greeting.
    pub(crate) info: Option<ServerInfo>,
    /// Why the link ended.
    pub(crate) end: Option<Failure>,
    /// Whose `PING`s the server still owes an answer, in their order; the library's have nobody who waits here.
    pings: VecDeque<Option<oneshot::Sender<()>>>,
}

/// The link between a server and the library.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    refusal: Arc<Notify>,
    pings: mpsc::Sender<oneshot::Sender<()>>,
    task: Background,
}

impl Link {
    /// Opens the one-shot port; the library reads the greeting there and writes its login.
    pub(crate) async fn start(stream: Stream, greeting: Greeting) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let refusal = Arc::new(Notify::new());
        let (pings, asked) = mpsc::channel(1);
        let mut ear = Ear::new(Arc::clone(&heard), Arc::clone(&refusal));
        let task = Background::spawn(async move {
            let result = carry(listener, stream, greeting, &mut ear, asked).await;
            let mut heard = lock(&ear.heard);
            heard.end = Some(match result {
                Err(error) => Failure::from_io(&error),
                Ok(()) => Failure::from_io(&io::ErrorKind::ConnectionAborted.into()),
            });
            heard.pings.clear();
        });
        Ok(Self { address, heard, refusal, pings, task })
    }

    /// What the server said in passing so far.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    /// Sends a `PING` of ours and waits for its `PONG`.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let (pong, answered) = oneshot::channel();
        let sent = self.pings.send(pong).await.is_ok();
        if sent && answered.await.is_ok() {
            return Ok(());
        }
        Err(self.end())
    }

    /// Waits until the server refuses a subject, and says in which words.
    pub(crate) async fn refused(&self) -> String {
        loop {
            if let Some(words) = self.heard().refused.take() {
                return words;
            }
            self.refusal.notified().await;
        }
    }

    /// Waits until the library's end has reached the server.
    pub(crate) async fn closed(self) {
        self.task.finished().await;
    }

    /// Why nothing more comes: the server's last word, or how the connection ended.
    pub(crate) fn end(&self) -> Failure {
        let heard = self.heard();
        match (&heard.error, &heard.end) {
            (Some(error), _) => Failure::server(error.clone(), error.clone()),
            (None, Some(end)) => end.clone(),
            (None, None) => Failure::from_io(&io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies both ways until either side ends.
async fn carry(
    listener: TcpListener,
    stream: Stream,
    greeting: Greeting,
    ear: &mut Ear,
    mut pings: mpsc::Receiver<oneshot::Sender<()>>,
) -> io::Result<()> {
    let (library, _) = listener.accept().await?;
    drop(listener);
    library.set_nodelay(true)?;
    let (mut from_library, mut to_library): (_, _) = TcpStream::into_split(library);
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    to_library.write_all(&ear.hear(&greeting.for_library())?).await?;
    let (mut down, mut up) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = from_server.read(&mut down) => match read? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => to_library.write_all(&ear.hear(&down[..n])?).await?,
            },
            read = from_library.read(&mut up) => match read? {
                0 => return to_server.shutdown().await,
                n => {
                    ear.overhear(&up[..n])?;
                    to_server.write_all(&up[..n]).await?;
                }
            },
            // Only between two operations of the library does a line of ours fit in.
            Some(pong) = pings.recv(), if ear.library.is_between() => {
                lock(&ear.heard).pings.push_back(Some(pong));
                to_server.write_all(b"PING\r\n").await?;
            }
        }
        to_server.flush().await?;
    }
}

/// Cuts one direction of a conversation into its operations.
#[derive(Default)]
struct Operations {
    line: Vec<u8>,
    payload: usize,
}

enum Piece<'a> {
    Line(Vec<u8>),
    Payload(&'a [u8]),
}

impl Operations {
    /// The next line or piece of a payload; `None` when the rest must still come.
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> io::Result<Option<Piece<'a>>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.payload > 0 {
            let (now, later) = bytes.split_at(self.payload.min(bytes.len()));
            self.payload -= now.len();
            *bytes = later;
            return Ok(Some(Piece::Payload(now)));
        }
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let (now, later) = bytes.split_at(end);
        self.line.extend_from_slice(now);
        *bytes = later;
        if self.line.len() > LINE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line has no end"));
        }
        if !self.line.ends_with(b"\n") {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        if ["MSG ", "HMSG ", "PUB ", "HPUB "].iter().any(|operation| line.starts_with(operation.as_bytes())) {
            let text = String::from_utf8_lossy(&line);
            let length = text.split_ascii_whitespace().last().and_then(|length| length.parse::<usize>().ok());
            self.payload = length.map_or(0, |length| length.saturating_add(2));
        }
        Ok(Some(Piece::Line(line)))
    }

    /// Whether the last operation is complete.
    fn is_between(&self) -> bool {
        self.line.is_empty() && self.payload == 0
    }
}

/// Follows both directions and keeps back the `PONG`s that answer our `PING`s.
struct Ear {
    heard: Arc<Mutex<Heard>>,
    refusal: Arc<Notify>,
    server: Operations,
    library: Operations,
}

impl Ear {
    fn new(heard: Arc<Mutex<Heard>>, refusal: Arc<Notify>) -> Self {
        Self { heard, refusal, server: Operations::default(), library: Operations::default() }
    }

    /// Takes note of what the library says: the answers to its own `PING`s are not ours.
    fn overhear(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(piece) = self.library.next(&mut bytes)? {
            if matches!(piece, Piece::Line(line) if line.trim_ascii_end() == b"PING") {
                lock(&self.heard).pings.push_back(None);
            }
        }
        Ok(())
    }

    /// Takes what came in and returns what the library may see of it.
    fn hear(&mut self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut passed = Vec::with_capacity(bytes.len());
        while let Some(piece) = self.server.next(&mut bytes)? {
            match piece {
                Piece::Payload(payload) => passed.extend_from_slice(payload),
                Piece::Line(line) if self.note(&line)? => passed.extend(line),
                // The server ends the connection behind an error; its words are not for the library, which logs them.
                Piece::Line(_) if lock(&self.heard).error.is_some() => return Err(io::ErrorKind::ConnectionAborted.into()),
                Piece::Line(_) => {}
            }
        }
        Ok(passed)
    }

    /// Takes note of one line. False: it is for us alone.
    fn note(&mut self, line: &[u8]) -> io::Result<bool> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        let (operation, arguments) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        match operation {
            "PONG" => {
                if let Some(Some(waiting)) = lock(&self.heard).pings.pop_front() {
                    // Whoever waited may have given up at the deadline.
                    let _ = waiting.send(());
                    return Ok(false);
                }
            }
            "-ERR" => {
                match error_text(text).map(str::to_owned) {
                    Some(error) if error.to_ascii_lowercase().starts_with("permissions violation") => {
                        lock(&self.heard).refused = Some(error);
                        self.refusal.notify_one();
                    }
                    error => lock(&self.heard).error = error,
                }
                return Ok(false);
            }
            "INFO" => lock(&self.heard).info = json::try_read(arguments.as_bytes()).map_err(WireFault::into_io)?,
            _ => {}
        }
        Ok(true)
    }
}

/// `/varz`, as far as it is judged.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Varz {
    pub(crate) connections: u64,
    pub(crate) max_connections: u64,
    pub(crate) slow_consumers: u64,
}

/// `/jsz`, as far as it is judged.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Jsz {
    pub(crate) memory: u64,
    pub(crate) storage: u64,
    pub(crate) config: Option<Storage>,
    pub(crate) meta_cluster: Option<MetaCluster>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Storage {
    pub(crate) max_memory: i64,
    pub(crate) max_storage: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct MetaCluster {
    pub(crate) leader: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in pieces of every size; the result must not depend on where they are cut.
    fn hear(bytes: &[u8], pings: &[bool]) -> Vec<(Vec<u8>, Heard)> {
        (1..=bytes.len())
            .map(|size| {
                let mut ear = Ear::new(Arc::default(), Arc::default());
                lock(&ear.heard).pings = pings.iter().map(|ours| ours.then(|| oneshot::channel().0)).collect();
                let passed = bytes.chunks(size).flat_map(|piece| ear.hear(piece).expect("short lines")).collect();
                let heard = std::mem::take(&mut *lock(&ear.heard));
                (passed, heard)
            })
            .collect()
    }

    #[test]
    fn only_our_pongs_are_kept_back() {
        for (passed, heard) in hear(b"PONG\r\nPING\r\nPONG\r\n+OK\r\n", &[false, true]) {
            assert_eq!(passed, b"PONG\r\nPING\r\n+OK\r\n");
            assert!(heard.pings.is_empty());
        }
    }

    #[test]
    fn pings_of_the_library_are_told_from_its_payloads() {
        let bytes = b"CONNECT {}\r\nPING\r\nPUB a 6\r\nPING\r\n\r\nHPUB a b 2 6\r\nPING\r\n\r\nPING\r\nSUB x";
        for size in 1..=bytes.len() {
            let mut ear = Ear::new(Arc::default(), Arc::default());
            bytes.chunks(size).for_each(|piece| ear.overhear(piece).expect("short lines"));
            assert_eq!((lock(&ear.heard).pings.len(), ear.library.is_between()), (2, false));
            ear.overhear(b" 1\r\n").expect("a short line");
            assert!(ear.library.is_between());
        }
    }

    #[test]
    fn a_payload_is_never_taken_for_an_operation() {
        let bytes = b"MSG a.b 1 6\r\nPONG\r\n\r\n-ERR 'Permissions Violation for x'\r\nINFO {\"ldm\":true}\r\n";
        for (passed, heard) in hear(bytes, &[true]) {
            assert_eq!(passed, b"MSG a.b 1 6\r\nPONG\r\n\r\nINFO {\"ldm\":true}\r\n");
            assert_eq!((heard.pings.len(), heard.refused.as_deref()), (1, Some("Permissions Violation for x")));
            assert!(heard.info.is_some_and(|info| info.ldm));
        }
    }

    #[test]
    fn an_error_ends_the_link_and_is_kept() {
        let mut ear = Ear::new(Arc::default(), Arc::default());
        assert!(ear.hear(b"PONG\r\n-ERR 'Stale Connection'\r\n").is_err());
        assert_eq!(lock(&ear.heard).error.as_deref(), Some("Stale Connection"));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut ear = Ear::new(Arc::default(), Arc::default());
        assert!(ear.hear(&vec![b'x'; LINE_LIMIT + 1]).is_err());
    }
}
