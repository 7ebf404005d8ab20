//! Oracle's packets, seen from the server: what the listener says, and the envelope of everything else.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) const CONNECT: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const REFUSE: u8 = 4;
pub(super) const REDIRECT: u8 = 5;
pub(super) const DATA: u8 = 6;
pub(super) const RESEND: u8 = 11;
pub(super) const MARKER: u8 = 12;

/// In the header of a RESEND: begin TLS anew on the same connection.
pub(super) const RENEGOTIATE: u8 = 8;

/// In a MARKER: both sides forget what was under way.
pub(super) const RESET: u8 = 2;

/// Above what any client sends at once.
const LONGEST: usize = 1 << 16;

/// Connect data that is longer comes in a packet of its own.
const LONGEST_INLINE: usize = 230;

/// A packet without its header.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

/// A connection, whose lengths are two bytes long until it is accepted, and four from then on.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    accepted: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, accepted: false }
    }

    /// The next packet; an error at the end of the connection.
    pub(super) async fn read(&mut self) -> io::Result<Packet> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).await?;
        let [a, b, c, d, kind, ..] = header;
        let length = if self.accepted { u32::from_be_bytes([a, b, c, d]) } else { u32::from(u16::from_be_bytes([a, b])) };
        let length = usize::try_from(length).ok().filter(|length| (8..=LONGEST).contains(length));
        let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)? - 8];
        self.stream.read_exact(&mut body).await?;
        Ok(Packet { kind, body })
    }

    /// What a client wants to be connected with.
    pub(super) async fn connect_data(&mut self) -> io::Result<String> {
        let packet = self.read().await?;
        let Some([high, low]) = packet.body.get(16..18).filter(|_| packet.kind == CONNECT) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let data = if length > LONGEST_INLINE { self.read().await?.body.split_off(2) } else { packet.body[66..].to_vec() };
        Ok(String::from_utf8_lossy(&data).into_owned())
    }

    pub(super) async fn write(&mut self, kind: u8, flags: u8, body: &[u8]) -> io::Result<()> {
        let length = body.len() + 8;
        let size = u32::try_from(length).map_err(io::Error::other)?;
        let size = if self.accepted { size } else { size << 16 };
        let packet = [&size.to_be_bytes(), &[kind, flags, 0, 0][..], body].concat();
        self.stream.write_all(&packet).await?;
        self.stream.flush().await
    }

    /// A message to a client that was accepted.
    pub(super) async fn say(&mut self, message: &[u8]) -> io::Result<()> {
        self.write(DATA, 0, &[&[0, 0], message].concat()).await
    }

    pub(super) async fn refuse(&mut self, code: u16) -> io::Result<()> {
        let words = format!(
            "(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4)(ARGS='(CONNECT_DATA=)'))))"
        );
        self.write(REFUSE, 0, &with_length(&[4, 0], &words)).await
    }

    /// To an address, which is asked with this connect data.
    pub(super) async fn redirect(&mut self, address: &str, data: &str) -> io::Result<()> {
        let text = format!("{address}\0{data}");
        self.write(REDIRECT, 0, &with_length(&[], &text)[..2]).await?;
        self.say(text.as_bytes()).await
    }

    /// As 19c does: version 318 of the protocol, without native encryption, fast log-ins or ends of answers.
    pub(super) async fn accept(&mut self) -> io::Result<()> {
        const SDU: [u8; 4] = 8192_u32.to_be_bytes();
        let mut body = vec![0; 37];
        body[..2].copy_from_slice(&318_u16.to_be_bytes());
        body[14..16].copy_from_slice(&[4, 4]);
        body[24..28].copy_from_slice(&SDU);
        body[28..32].copy_from_slice(&SDU);
        self.write(ACCEPT, 0, &body).await?;
        self.accepted = true;
        Ok(())
    }
}

fn with_length(before: &[u8], text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [before, &length.to_be_bytes(), text.as_bytes()].concat()
}
