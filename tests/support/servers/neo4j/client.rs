//! A client of Bolt that shares no code with the one that Probity uses.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::ANSWER;

/// The least client of Bolt 5.8 (neo4j.com/docs/bolt); what it says and hears is JSON.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Logs in.
    pub(crate) fn log_in(addr: SocketAddr, user: &str, password: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut client = Self(BufReader::new(stream));
        client.0.get_mut().write_all(b"\x60\x60\xb0\x17\0\0\x08\x05\0\0\0\0\0\0\0\0\0\0\0\0")?;
        let version = client.bytes::<4>()?;
        if version != [0, 0, 8, 5] {
            return Err(io::Error::other(format!("not Bolt 5.8: {version:x?}")));
        }
        let agent = json!({ "product": "probity-tests" });
        client.ask(0x01, &[json!({ "user_agent": "probity-tests", "bolt_agent": agent })])?;
        client.ask(0x6a, &[json!({ "scheme": "basic", "principal": user, "credentials": password })])?;
        Ok(client)
    }

    /// The routing table of a database.
    pub(crate) fn route(&mut self, database: &str) -> io::Result<Value> {
        self.ask(0x66, &[json!({}), json!([]), json!({ "db": database })])
    }

    /// Begins a transaction that stays open.
    pub(crate) fn begin(&mut self, database: &str) -> io::Result<()> {
        self.ask(0x11, &[json!({ "db": database })]).map(drop)
    }

    /// Asks in Cypher; the rows of the answer.
    pub(crate) fn rows(&mut self, database: &str, query: &str) -> io::Result<Vec<Value>> {
        self.ask(0x10, &[query.into(), json!({}), json!({ "db": database })])?;
        self.say(0x3f, &[json!({ "n": 1000 })])?;
        let mut rows = Vec::new();
        loop {
            match self.hear()? {
                (0x71, row) => rows.push(row),
                (0x70, _) => return Ok(rows),
                (_, said) => return Err(io::Error::other(said.to_string())),
            }
        }
    }

    fn ask(&mut self, tag: u8, fields: &[Value]) -> io::Result<Value> {
        self.say(tag, fields)?;
        match self.hear()? {
            (0x70, said) => Ok(said),
            (_, said) => Err(io::Error::other(said.to_string())),
        }
    }

    fn say(&mut self, tag: u8, fields: &[Value]) -> io::Result<()> {
        self.0.get_mut().write_all(&message(tag, fields))
    }

    /// What kind of answer it is, and its first field.
    fn hear(&mut self) -> io::Result<(u8, Value)> {
        let mut message = Vec::new();
        loop {
            let length = usize::from(u16::from_be_bytes(self.bytes()?));
            if length == 0 && !message.is_empty() {
                break;
            }
            let start = message.len();
            message.resize(start + length, 0);
            self.0.read_exact(&mut message[start..])?;
        }
        let mut rest = message.get(2..).unwrap_or_default();
        Ok((message[1], if rest.is_empty() { Value::Null } else { unpack(&mut rest) }))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map(|()| bytes)
    }
}

/// A message in one chunk.
pub(crate) fn message(tag: u8, fields: &[Value]) -> Vec<u8> {
    let mut message = vec![0xb0 + u8::try_from(fields.len()).expect("few fields"), tag];
    for field in fields {
        pack(field, &mut message);
    }
    let length = u16::try_from(message.len()).expect("a short message");
    [&length.to_be_bytes(), &message[..], &[0, 0]].concat()
}

fn pack(value: &Value, out: &mut Vec<u8>) {
    let sized = |marker: u8, length: usize, out: &mut Vec<u8>| {
        out.push(marker);
        out.extend(u32::try_from(length).expect("a short value").to_be_bytes());
    };
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
        Value::Number(number) => {
            out.push(0xcb);
            out.extend(number.as_i64().expect("a whole number").to_be_bytes());
        }
        Value::String(text) => {
            sized(0xd2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Array(list) => {
            sized(0xd6, list.len(), out);
            for value in list {
                pack(value, out);
            }
        }
        Value::Object(map) => {
            sized(0xda, map.len(), out);
            for (key, value) in map {
                pack(&key.as_str().into(), out);
                pack(value, out);
            }
        }
    }
}

/// What the server says is trusted here: a mistake in it is a panic of the test.
fn unpack(bytes: &mut &[u8]) -> Value {
    let marker = take::<1>(bytes)[0];
    let low = usize::from(marker & 0x0f);
    let length = |bytes: &mut &[u8]| match marker & 3 {
        0 => usize::from(take::<1>(bytes)[0]),
        1 => usize::from(u16::from_be_bytes(take(bytes))),
        _ => u32::from_be_bytes(take(bytes)) as usize,
    };
    match marker {
        0x00..=0x7f | 0xf0..=0xff => i8::from_be_bytes([marker]).into(),
        0xc0 => Value::Null,
        0xc1 => f64::from_be_bytes(take(bytes)).into(),
        0xc2 | 0xc3 => (marker == 0xc3).into(),
        0xc8 => i8::from_be_bytes(take(bytes)).into(),
        0xc9 => i16::from_be_bytes(take(bytes)).into(),
        0xca => i32::from_be_bytes(take(bytes)).into(),
        0xcb => i64::from_be_bytes(take(bytes)).into(),
        0x80..=0x8f => text(bytes, low),
        0xd0..=0xd2 => {
            let length = length(bytes);
            text(bytes, length)
        }
        0x90..=0x9f => (0..low).map(|_| unpack(bytes)).collect(),
        0xd4..=0xd6 => {
            let length = length(bytes);
            (0..length).map(|_| unpack(bytes)).collect()
        }
        0xa0..=0xaf => map(bytes, low),
        0xd8..=0xda => {
            let length = length(bytes);
            map(bytes, length)
        }
        0xb0..=0xbf => {
            take::<1>(bytes);
            (0..low).map(|_| unpack(bytes)).collect()
        }
        _ => panic!("the server sends a value of the kind {marker:#x}"),
    }
}

fn map(bytes: &mut &[u8], length: usize) -> Value {
    let entry = |_| (unpack(bytes).as_str().unwrap_or_default().to_owned(), unpack(bytes));
    Value::Object((0..length).map(entry).collect())
}

fn text(bytes: &mut &[u8], length: usize) -> Value {
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    String::from_utf8_lossy(text).into_owned().into()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("a whole message");
    *bytes = rest;
    *taken
}
