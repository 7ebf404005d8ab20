//! A client of MQTT 3.1.1, for what the tests do to a broker.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Connected, with a clean session.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects; an empty id lets the broker choose one.
    pub(super) fn connect(addr: SocketAddr, id: &str, login: Option<(&str, &str)>) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let flags = if login.is_some() { 0xc2 } else { 0x02 };
        let mut body = [b"\0\x04MQTT\x04".as_slice(), &[flags, 0, 60], &text(id)].concat();
        if let Some((user, password)) = login {
            body.extend([text(user), text(password)].concat());
        }
        stream.write_all(&packet(0x10, &body))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        match answer {
            [0x20, 2, _, 0] => Ok(Self(stream)),
            other => Err(io::Error::other(format!("CONNACK {other:?}"))),
        }
    }

    /// Keeps a session that nobody reads, so that messages for it are dropped: a subscription with `QoS` 0.
    pub(crate) fn subscribe(&mut self, topic: &str) -> io::Result<()> {
        let body = [b"\0\x01".as_slice(), &text(topic), &[0]].concat();
        self.0.write_all(&packet(0x82, &body))?;
        let mut answer = [0; 5];
        self.0.read_exact(&mut answer)
    }

    /// Publishes with `QoS` 0.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        self.0.write_all(&packet(0x30, &[&text(topic), payload].concat()))
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// A packet with its length, seven bits to a byte.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).expect("seven bits");
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}
