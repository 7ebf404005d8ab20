//! A client of Redis that shares no code with the one that Probity uses.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::ANSWER;

/// The least client of RESP2 (redis.io, "Redis serialization protocol specification").
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(super) fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        self.say(words)?;
        self.reply()
    }

    pub(super) fn say(&mut self, words: &[&str]) -> io::Result<()> {
        let strings = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let request = format!("*{}\r\n{}", words.len(), strings.collect::<String>());
        self.0.get_mut().write_all(request.as_bytes())
    }

    /// A reply as text: strings and numbers as they are, arrays one element a line.
    fn reply(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let length = || line[1..].parse::<usize>();
        match line.as_bytes().first() {
            Some(b'+' | b':') => Ok(line[1..].to_owned()),
            Some(b'-') => Ok(line.to_owned()),
            Some(b'$' | b'*') if line[1..].starts_with('-') => Ok(String::new()),
            Some(b'$') => {
                let mut bytes = vec![0; length().map_err(io::Error::other)? + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Some(b'*') => {
                let count = length().map_err(io::Error::other)?;
                let elements = (0..count).map(|_| self.reply());
                Ok(elements.collect::<io::Result<Vec<_>>>()?.join("\n"))
            }
            _ => Err(io::Error::other(format!("no RESP: {line:?}"))),
        }
    }
}
