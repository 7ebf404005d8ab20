//! TDS, as far as the client library leaves it to us: PRELOGIN, the TLS inside of its packets, and Attention.
//!
//! The library is built without TLS. It gets a connection on which encryption was agreed on already, and an answer
//! of our own to its PRELOGIN, which the server never sees.
//! Protocol: <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/>.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::{
    failure::{Failure, FailureKind, FaultDomain, WireFault},
    run::{Phase, Run},
    wire::{
        dial::Target,
        stream::{Envelope, HEADER, Stream},
    },
};

/// Types of packets, and the status of the last one of a message (2.2.3.1).
const PRELOGIN: u8 = 0x12;
const REPLY: u8 = 0x04;
const LAST: u8 = 1;

/// Options of PRELOGIN (2.2.6.5).
const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const END: u8 = 0xff;

/// What is said of encryption there. "Off" means: for the log-in alone.
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// Longest PRELOGIN of a server that is read; there are eight options, of 36 bytes at most.
const LONGEST: usize = 1024;

/// What is offered inside TLS where TLS comes first.
pub(crate) const ALPN: &[&[u8]] = &[b"tds/8.0"];

/// A message of one packet.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[kind, LAST, high, low, 0, 0, 1, 0], body].concat()
}

/// PRELOGIN with an answer to the question of encryption, and nothing else but what must be there.
fn prelogin(kind: u8, encryption: u8) -> Vec<u8> {
    let options = [(VERSION, &[0; 6][..]), (ENCRYPTION, &[encryption]), (INSTANCE, &[0])];
    let (mut table, mut data) = (Vec::new(), Vec::new());
    let start = options.len() * 5 + 1;
    for (option, value) in options {
        let [place, length] = [start + data.len(), value.len()].map(|number| u16::try_from(number).unwrap_or(0).to_be_bytes());
        table.extend([[option, place[0]], [place[1], length[0]]].as_flattened());
        table.push(length[1]);
        data.extend_from_slice(value);
    }
    table.push(END);
    packet(kind, &[table, data].concat())
}

/// What a PRELOGIN says of encryption.
fn encryption(body: &[u8]) -> Option<u8> {
    let mut rest = body;
    loop {
        match rest {
            [ENCRYPTION, high, low, _, _, ..] => return body.get(usize::from(u16::from_be_bytes([*high, *low]))).copied(),
            [END, ..] => return Some(NOT_SUPPORTED),
            [_, _, _, _, _, more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// The handshake of TLS in packets of PRELOGIN's type. Servers have used that of a reply, too.
#[derive(Debug)]
pub(crate) struct InPrelogin;

impl Envelope for InPrelogin {
    fn seal(&self, records: &[u8]) -> Vec<u8> {
        packet(PRELOGIN, records)
    }

    fn open(&self, header: [u8; HEADER]) -> Result<usize, Failure> {
        let [kind, _, high, low, ..] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if ![PRELOGIN, REPLY].contains(&kind) || length <= HEADER {
            return Err(Failure::new(FailureKind::Tls, "the server agreed to encryption, and does not begin with it")
                .with_code("plaintext")
                .with_domain(FaultDomain::Backend));
        }
        Ok(length - HEADER)
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// Not at all, the log-in included.
    Disabled,
    /// TLS inside of PRELOGIN, as of TDS 7; nothing goes without it.
    Mandatory,
    /// TLS before anything else, as of TDS 8.
    Strict,
}

impl Run {
    /// From nothing to where the log-in begins.
    pub(crate) async fn dial_tds(&mut self, target: &Target, wanted: Encryption) -> Result<Stream, Failure> {
        let mut stream = self.dial(target).await?;
        let asked = match wanted {
            Encryption::Disabled => NOT_SUPPORTED,
            Encryption::Mandatory => ON,
            Encryption::Strict => REQUIRED,
        };
        let answered = self.phase(Phase::Auth, exchange(&mut stream, asked)).await?;
        let refused = match (wanted, answered) {
            (Encryption::Mandatory, ON | REQUIRED) => return self.upgrade(stream, target).await,
            (Encryption::Disabled, ON | REQUIRED) => Failure::new(FailureKind::Tls, "the server requires encryption")
                .with_code("required")
                .with_remedy("Use `?encrypt=true`, and `tls.ca` where the server's certificate is of a CA of your own.")
                .with_domain(FaultDomain::Probe),
            // Where TLS came first, there is nothing to agree on any more.
            (Encryption::Strict | Encryption::Disabled, _) => return Ok(stream),
            (Encryption::Mandatory, _) => {
                Failure::new(FailureKind::Tls, "encryption is required, and the server does not offer it")
                    .with_code("refused")
                    .with_remedy(
                        "Give the server a certificate, or use `?encrypt=disable`: the password then goes in plain text.",
                    )
            }
        };
        self.phase(Phase::Tls, async { Err(refused) }).await
    }
}

/// PRELOGIN and the answer to it.
async fn exchange(stream: &mut Stream, asked: u8) -> Result<u8, Failure> {
    let odd = || Failure::new(FailureKind::Protocol, "the first packet of the server is not an answer to PRELOGIN");
    stream.write_all(&prelogin(PRELOGIN, asked)).await?;
    stream.flush().await?;
    // Not in two steps: a stranger is known by more than a header.
    let mut reply = Vec::new();
    loop {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let [kind, status, high, low, ..] = reply[..] else { continue };
        let whole = usize::from(u16::from_be_bytes([high, low]));
        // The server waits for us now.
        if kind != REPLY || status & LAST == 0 || !(HEADER..=LONGEST).contains(&whole) || reply.len() > whole {
            return Err(odd());
        }
        if reply.len() == whole {
            return encryption(&reply[HEADER..]).ok_or_else(odd);
        }
    }
}

/// Why a connection ended, for who gets no more from the library than that it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct End(Arc<Mutex<Option<Failure>>>);

impl End {
    pub(crate) fn get(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, error: &io::Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Failure::from_io(error));
    }
}

/// The longest answer to a log-in. A row of a type without bytes takes one byte on the wire and a value for each column: while
/// it logs in, the library decodes such rows without a pause, and nobody counts them.
const LOGIN_ANSWER: u64 = 16 * 1024;

/// The longest answer to a question.
const ANSWER: u64 = 256 * 1024;

/// A connection on which PRELOGIN is over, as the library wants it.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    end: End,
    /// The library's own PRELOGIN, until all of it is there.
    hidden: Option<Vec<u8>>,
    /// What is still to be read of the answer to it.
    answer: Vec<u8>,
    /// The longest answer to what was said last, and how much of it has come.
    limit: u64,
    come: u64,
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            end: End::default(),
            hidden: Some(Vec::new()),
            answer: prelogin(REPLY, NOT_SUPPORTED),
            limit: LOGIN_ANSWER,
            come: 0,
        }
    }

    pub(crate) fn end(&self) -> End {
        self.end.clone()
    }
}

impl futures_io::AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.answer.is_empty() {
            let length = self.answer.len().min(buf.len());
            buf[..length].copy_from_slice(&self.answer[..length]);
            self.answer.drain(..length);
            return Poll::Ready(Ok(length));
        }
        let mut buf = ReadBuf::new(buf);
        let mut read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
        self.come += buf.filled().len() as u64;
        if self.come > self.limit {
            read = Err(WireFault::AnswerTooLong { limit: self.limit }.into_io());
        }
        match &read {
            Ok(()) if buf.filled().is_empty() => self.end.set(&io::ErrorKind::UnexpectedEof.into()),
            Ok(()) => {}
            Err(error) => self.end.set(error),
        }
        Poll::Ready(read.map(|()| buf.filled().len()))
    }
}

impl futures_io::AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(hidden) = &mut self.hidden {
            let mut taken = 0;
            for byte in buf {
                hidden.push(*byte);
                taken += 1;
                let whole = hidden.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
                if whole.is_some_and(|whole| hidden.len() >= whole.max(HEADER)) {
                    self.hidden = None;
                    break;
                }
            }
            return Poll::Ready(Ok(taken));
        }
        // What was answered before was the log-in, at least.
        if self.come > 0 {
            (self.limit, self.come) = (ANSWER, 0);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prelogin_is_as_the_protocol_has_it() {
        // 4.1 of the protocol, without the options that need not be there
        let expected = b"\x12\x01\0\x20\0\0\x01\0\0\0\x10\0\x06\x01\0\x16\0\x01\x02\0\x17\0\x01\xff\0\0\0\0\0\0\x01\0";
        assert_eq!(prelogin(PRELOGIN, ON), expected);
        assert_eq!(encryption(&expected[HEADER..]), Some(ON));
        assert_eq!(encryption(b"\0\0\x06\0\x01\xff\0"), Some(NOT_SUPPORTED), "it says nothing of it");
        for broken in [&b""[..], b"\x01\0\xff\0\x01\xff", b"\x01\0", b"\0\0\x06\0\x01"] {
            assert_eq!(encryption(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn records_travel_in_packets() {
        assert_eq!(InPrelogin.seal(b"\x16\x03\x01"), b"\x12\x01\0\x0b\0\0\x01\0\x16\x03\x01");
        assert_eq!(InPrelogin.open(*b"\x12\x01\x01\x08\0\0\0\0").ok(), Some(256));
        for header in [b"\x16\x03\x03\0\x7a\x02\0\0", b"\x12\x01\0\x07\0\0\0\0"] {
            let failure = InPrelogin.open(*header).expect_err("it is no packet of a handshake");
            assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Tls, Some("plaintext")));
        }
    }
}
