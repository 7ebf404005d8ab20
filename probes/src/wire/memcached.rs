//! Memcached's text protocol, as far as a probe speaks it: a line out, a line, a value or a list of `STAT` lines in.
//!
//! The binary protocol is left alone: servers have deprecated it.
//! Protocol: <https://github.com/memcached/memcached/blob/master/doc/protocol.txt>.

use std::{collections::HashMap, io};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// Longest line that is accepted; the protocol's own lines are far shorter.
const LINE_LIMIT: u64 = 2048;

/// Most lines of a list; a server of 1.6 has about 120.
const MOST_LINES: usize = 1000;

/// A conversation in lines.
#[derive(Debug)]
pub(crate) struct Conversation(BufReader<Stream>);

impl Conversation {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(BufReader::with_capacity(4096, stream))
    }

    /// Says something and reads the line that answers it.
    pub(crate) async fn ask(&mut self, words: &str) -> Result<String, Failure> {
        self.say(words).await?;
        answer(self.line().await?)
    }

    /// Asks for a list of `STAT name value`, which `END` ends.
    pub(crate) async fn stats(&mut self, words: &str) -> Result<Stats, Failure> {
        self.say(words).await?;
        let mut stats = HashMap::new();
        for _ in 0..MOST_LINES {
            let line = answer(self.line().await?)?;
            if line == "END" {
                return Ok(Stats(stats));
            }
            let Some((name, value)) = line.strip_prefix("STAT ").and_then(|stat| stat.split_once(' ')) else {
                return Err(Failure::new(FailureKind::Protocol, "the answer to stats is not a list of statistics"));
            };
            stats.insert(name.to_owned(), value.to_owned());
        }
        Err(Failure::new(FailureKind::Protocol, "the list of statistics has no end"))
    }

    /// How long the value of a key is; `None` where there is no such key. Unlike `get`, it makes the item no younger.
    /// Servers before 1.6 do not know it.
    pub(crate) async fn length(&mut self, key: &str) -> Result<Option<u64>, Failure> {
        let answer = self.ask(&format!("mg {key} s u\r\n")).await?;
        match answer.strip_prefix("HD s").map(str::parse) {
            Some(Ok(length)) => Ok(Some(length)),
            None if answer == "EN" => Ok(None),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to mg is not one")),
        }
    }

    /// The value of a key, likewise without making it younger.
    pub(crate) async fn peek(&mut self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        // VA <length> <flags>*
        match self.ask(&format!("mg {key} v u\r\n")).await?.split(' ').collect::<Vec<_>>()[..] {
            ["EN"] => Ok(None),
            ["VA", length, ..] => self.block(length).await.map(Some),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to mg is not a value")),
        }
    }

    /// The value of a key, which counts as a use of it.
    pub(crate) async fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        // VALUE <key> <flags> <length>
        let value = match self.ask(&format!("get {key}\r\n")).await?.split(' ').collect::<Vec<_>>()[..] {
            ["END"] => return Ok(None),
            ["VALUE", _, _, length, ..] => self.block(length).await?,
            _ => return Err(Failure::new(FailureKind::Protocol, "the answer to get is not a value")),
        };
        match self.line().await?.as_str() {
            "END" => Ok(Some(value)),
            _ => Err(Failure::new(FailureKind::Protocol, "the answer to get has no end")),
        }
    }

    /// A block of data and the end of its line. How much of it is read is limited by the stream.
    async fn block(&mut self, length: &str) -> Result<Vec<u8>, Failure> {
        let not_a_block = || Failure::new(FailureKind::Protocol, "the value is not as long as it is said to be");
        let length: u64 = length.parse().map_err(|_| not_a_block())?;
        let mut block = Vec::new();
        (&mut self.0).take(length.saturating_add(2)).read_to_end(&mut block).await?;
        if block.len() as u64 != length.saturating_add(2) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if !block.ends_with(b"\r\n") {
            return Err(not_a_block());
        }
        block.truncate(block.len() - 2);
        Ok(block)
    }

    /// Takes leave, and waits until the server has closed.
    pub(crate) async fn quit(mut self) {
        // Whatever goes wrong now, the connection ends with it.
        if self.say("quit\r\n").await.is_ok() {
            let _ = self.0.read_u8().await;
        }
    }

    async fn say(&mut self, words: &str) -> Result<(), Failure> {
        self.0.write_all(words.as_bytes()).await?;
        Ok(self.0.flush().await?)
    }

    async fn line(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        (&mut self.0).take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(words) => Ok(String::from_utf8_lossy(words).into_owned()),
            None if line.ends_with(b"\n") || line.len() as u64 == LINE_LIMIT => {
                Err(Failure::new(FailureKind::Protocol, "the answer is not a line of Memcached's protocol"))
            }
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

/// The refusal at the start of these bytes: a full server says it before TLS begins. Other errors only show that
/// it took our TLS for words.
pub(crate) fn refusal(bytes: &[u8]) -> Option<Failure> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    line.starts_with(b"ERROR Too many").then(|| answer(String::from_utf8_lossy(line).into_owned()).err())?
}

/// The line, unless it is one of the three forms of an error; then the whole line is its code.
fn answer(line: String) -> Result<String, Failure> {
    match line.split(' ').next() {
        Some("ERROR" | "CLIENT_ERROR" | "SERVER_ERROR") => {
            let words = line.split_once(' ').map_or("", |(_, words)| words).to_owned();
            Err(Failure::server(line, words))
        }
        _ => Ok(line),
    }
}

/// A list of statistics.
#[derive(Debug, Default)]
pub(crate) struct Stats(HashMap<String, String>);

impl Stats {
    pub(crate) fn word(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// As a whole number: counters grow beyond what a double holds.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_in_plain_text_is_known() {
        let code = |bytes: &[u8]| refusal(bytes).and_then(|failure| failure.code);
        assert_eq!(code(b"ERROR Too many open connections\r\n").as_deref(), Some("ERROR Too many open connections"));
        assert_eq!(code(b"ERROR\r\n"), None);
        assert_eq!(code(b""), None);
    }
}
