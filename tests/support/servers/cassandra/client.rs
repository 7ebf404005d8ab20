//! A client of CQL that shares no code with the one that Probity uses.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::ANSWER;

/// Consistencies, by their numbers.
pub(crate) const ONE: u16 = 1;
pub(crate) const QUORUM: u16 = 4;
pub(crate) const ALL: u16 = 5;

/// The least client of version 4 of the protocol.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Logs in, where the server wants that.
    pub(crate) fn log_in(addr: SocketAddr, user: &str, password: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut client = Self(BufReader::new(stream));
        let (kind, _) = client.ask(1, b"\0\x01\0\x0bCQL_VERSION\0\x053.0.0")?;
        if kind == 3 {
            let login = format!("\0{user}\0{password}");
            client.ask(15, &[&length(login.len())[..], login.as_bytes()].concat())?;
        }
        Ok(client)
    }

    /// Says something that need not be answered with rows.
    pub(crate) fn run(&mut self, text: &str, consistency: u16) -> io::Result<Vec<u8>> {
        let statement = [&length(text.len())[..], text.as_bytes(), &consistency.to_be_bytes(), &[0]].concat();
        self.ask(7, &statement).map(|(_, body)| body)
    }

    /// The rows that `SELECT JSON` is answered with.
    pub(crate) fn rows(&mut self, text: &str, consistency: u16) -> io::Result<Vec<Value>> {
        let body = self.run(text, consistency)?;
        let mut rest = &body[..];
        // kind, flags, columns; one table, one column named [json] of text
        take(&mut rest, 12);
        for _ in 0..3 {
            let named = usize::from(u16::from_be_bytes(take(&mut rest, 2).try_into().expect("two bytes")));
            take(&mut rest, named);
        }
        take(&mut rest, 2);
        let mut number = || u32::from_be_bytes(take(&mut rest, 4).try_into().expect("four bytes")) as usize;
        let rows = number();
        let row = |_| {
            let size = u32::from_be_bytes(take(&mut rest, 4).try_into().expect("four bytes")) as usize;
            serde_json::from_slice(take(&mut rest, size)).map_err(Into::into)
        };
        (0..rows).map(row).collect()
    }

    /// The kind of the answer and what is in it; an error has its code first.
    fn ask(&mut self, opcode: u8, body: &[u8]) -> io::Result<(u8, Vec<u8>)> {
        self.0.get_mut().write_all(&frame(4, opcode, body))?;
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes([head[5], head[6], head[7], head[8]]) as usize];
        self.0.read_exact(&mut body)?;
        match head[4] {
            0 => {
                let code = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
                Err(io::Error::other(format!("{code:#06x} {}", String::from_utf8_lossy(&body[6..]))))
            }
            kind => Ok((kind, body)),
        }
    }
}

/// A frame of stream 0; the version of an answer is 0x84.
pub(crate) fn frame(version: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
    [&[version, 0, 0, 0, opcode][..], &length(body.len()), body].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("it is short").to_be_bytes()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
