//! A client of NATS that shares no code with the one that Probity uses.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::ANSWER;

/// The least client of the NATS protocol (docs.nats.io, "Client protocol").
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    pub(super) info: Value,
}

impl Client {
    pub(super) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut client = Self { stream: BufReader::new(stream), info: Value::Null };
        let line = client.line()?;
        let info = line.strip_prefix("INFO ").ok_or_else(|| io::Error::other(line.clone()))?;
        client.info = serde_json::from_str(info)?;
        Ok(client)
    }

    pub(super) fn log_in(&mut self, login: &str) -> io::Result<()> {
        let options = "\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true";
        let comma = if login.is_empty() { "" } else { "," };
        self.say(&format!("CONNECT {{{options}{comma}{login}}}\r\nPING\r\n"))?;
        while self.next()? != "PONG" {}
        Ok(())
    }

    pub(super) fn request(mut self, login: &str, subject: &str, body: &str) -> io::Result<String> {
        self.log_in(login)?;
        let size = body.len();
        self.say(&format!("SUB _INBOX.probity 1\r\nPUB {subject} _INBOX.probity {size}\r\n{body}\r\n"))?;
        loop {
            let line = self.next()?;
            if !line.starts_with("MSG ") && !line.starts_with("HMSG ") {
                continue;
            }
            let size = line.rsplit(' ').next().and_then(|size| size.parse().ok());
            let mut message = vec![0; size.ok_or_else(|| io::Error::other(line))?];
            self.stream.read_exact(&mut message)?;
            return Ok(String::from_utf8_lossy(&message).into_owned());
        }
    }

    /// The next line; the server's pings are answered, its errors are errors.
    fn next(&mut self) -> io::Result<String> {
        loop {
            let line = self.line()?;
            match line.as_str() {
                "PING" => self.say("PONG\r\n")?,
                error if error.starts_with("-ERR") => return Err(io::Error::other(line)),
                _ => return Ok(line),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }
}
