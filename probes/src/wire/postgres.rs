//! The start of a conversation with `PostgreSQL`, ahead of the library: start-up and SCRAM.
//!
//! The library hashes a password where it is polled, and 100 000 times at most. What it says of itself is swallowed here,
//! because the server has heard it already; from then on the library speaks with the server.
//! Protocol: <https://www.postgresql.org/docs/current/protocol-flow.html>.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use zeroize::Zeroizing;

use super::{
    scram::{Hash, Scram},
    stream::Stream,
};
use crate::failure::{Failure, FailureKind};

/// Version 3.0.
const VERSION: [u8; 4] = [0, 3, 0, 0];

/// The one mechanism that binds to no channel.
const MECHANISM: &str = "SCRAM-SHA-256";

/// `AuthenticationSASL`, `…Continue` and `…Final`.
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// So many bytes are read at first.
const FIRST: usize = 64;

/// Longer messages are none of a log-in.
const LONGEST: usize = 64 * 1024;

/// Asks for TLS in the protocol's own way (`SSLRequest`), and reads exactly the one byte of the answer.
pub(crate) async fn request_tls(stream: &mut Stream) -> Result<(), Failure> {
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        b'S' => Ok(()),
        b'N' => Err(Failure::new(FailureKind::Tls, "the server does not offer TLS")
            .with_code("refused")
            .with_remedy("Switch `ssl` on at the server, or use `sslmode=disable`.")),
        _ => Err(Failure::new(FailureKind::Protocol, "the answer to the request for TLS is not of the protocol")),
    }
}

/// A message with its head.
struct Message(Vec<u8>);

impl Message {
    /// Reads the next one; none where it is too long, and what was read of it.
    async fn read(stream: &mut Stream) -> io::Result<Result<Self, Vec<u8>>> {
        let mut bytes = vec![0; 5];
        stream.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let whole = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
        if !(5..=LONGEST).contains(&whole) {
            return Ok(Err(bytes));
        }
        bytes.resize(whole, 0);
        stream.read_exact(&mut bytes[5..]).await?;
        Ok(Ok(Self(bytes)))
    }

    /// The body of an authentication message of this kind.
    fn of(&self, kind: u32) -> Option<&[u8]> {
        let body = self.0.strip_prefix(b"R")?.get(4..)?;
        body.strip_prefix(&kind.to_be_bytes()[..])
    }
}

/// A connection for the library, whose start-up the server has heard already.
pub(crate) struct Begun {
    stream: Stream,
    /// The length of the library's start-up, as far as it is known.
    head: Vec<u8>,
    /// How much of it is still to be swallowed.
    left: Option<usize>,
}

impl Begun {
    /// Says these parameters, and proves the password where the server asks for SCRAM. What it asks for else, and what it
    /// refuses, is left to the library.
    pub(crate) async fn start(
        mut stream: Stream,
        parameters: &[(&str, &str)],
        password: Option<Zeroizing<String>>,
    ) -> Result<Self, Failure> {
        let texts = parameters.iter().flat_map(|(name, value)| [name, value]).flat_map(|text| [text.as_bytes(), b"\0"]);
        let body = [&VERSION[..], &texts.collect::<Vec<_>>().concat(), b"\0"].concat();
        say(&mut stream, &body, None).await?;
        // What another protocol answers is known by more than the head of a message.
        let mut seen = [0; FIRST];
        let read = stream.read(&mut seen).await?;
        stream.unread(&seen[..read]);
        let first = Message::read(&mut stream).await?;
        let unread = match (first, password) {
            (Ok(first), Some(password)) if first.of(SASL).is_some_and(offers) => prove(&mut stream, password).await?,
            (Ok(Message(first)) | Err(first), _) => first,
        };
        stream.unread(&unread);
        Ok(Self { stream, head: Vec::new(), left: None })
    }
}

/// Whether the mechanism is among these.
fn offers(mechanisms: &[u8]) -> bool {
    mechanisms.split(|byte| *byte == 0).any(|mechanism| mechanism == MECHANISM.as_bytes())
}

/// Sends a message, whose length counts itself.
async fn say(stream: &mut Stream, body: &[u8], kind: Option<u8>) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    let message = Zeroizing::new([kind.as_slice(), &length, body].concat());
    stream.write_all(&message).await?;
    stream.flush().await
}

/// Proves the password; returns the message behind the proof, or the one that came instead.
async fn prove(stream: &mut Stream, password: Zeroizing<String>) -> Result<Vec<u8>, Failure> {
    // A password that cannot be prepared is hashed as it is, by servers as well.
    let prepared = stringprep::saslprep(&password).map(|prepared| Zeroizing::new(prepared.into_owned()));
    // The server knows the user, and hashes as often as it was told to, be it once.
    let scram = Scram::new(Hash::Sha256, "", prepared.unwrap_or(password), 1)?;
    let first = scram.first();
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
    say(stream, &[MECHANISM.as_bytes(), b"\0", &length, first.as_bytes()].concat(), Some(b'p')).await?;
    let long = |_| Failure::new(FailureKind::Protocol, "a message of the log-in is too long");
    let answer = Message::read(stream).await?.map_err(long)?;
    let Some(said) = answer.of(SASL_CONTINUE) else { return Ok(answer.0) };
    let (proof, verifier) = scram.prove(said).await?;
    say(stream, proof.as_bytes(), Some(b'p')).await?;
    let answer = Message::read(stream).await?.map_err(long)?;
    let Some(said) = answer.of(SASL_FINAL) else { return Ok(answer.0) };
    verifier.check(said)?;
    Ok(Message::read(stream).await?.map_err(long)?.0)
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.left {
            Some(0) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            Some(left) => {
                let swallowed = left.min(bytes.len());
                self.left = Some(left - swallowed);
                Poll::Ready(Ok(swallowed))
            }
            None => {
                let known = bytes.len().min(4 - self.head.len());
                self.head.extend(&bytes[..known]);
                if let Ok(length) = <[u8; 4]>::try_from(self.head.as_slice()) {
                    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                    self.left = Some(length.saturating_sub(4));
                }
                Poll::Ready(Ok(known))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
