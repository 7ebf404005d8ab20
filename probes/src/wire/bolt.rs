//! Neo4j's Bolt protocol, as far as a probe speaks it: a request out, its answer in.
//!
//! Spoken are Bolt 4.4 and 5.0 to 5.8. A manifest is asked for first, in which newer servers list what they speak;
//! older ones take the next offer. A version that was not offered is no answer: it may be the start of an HTTP reply.
//! Protocol: <https://neo4j.com/docs/bolt/current/bolt/>.

use std::{fmt, io, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    failure::{Failure, FailureKind, WireFault},
    wire::{packstream::Value, stream::Stream},
};

/// What the first words of a client begin with.
const MAGIC: [u8; 4] = [0x60, 0x60, 0xb0, 0x17];

/// A manifest; 5.8 and the eight below it; 4.4. Each is `0, range, minor, major` (handshake, 1 and 2).
const OFFERS: [[u8; 4]; 4] = [MANIFEST, [0, 8, 8, 5], [0, 0, 4, 4], [0; 4]];

/// The server lists what it speaks, in place of choosing.
const MANIFEST: [u8; 4] = [0, 0, 1, 0xff];

/// Longest manifest, in ranges of versions.
const LONGEST_MANIFEST: u64 = 64;

/// Longest message that is accepted, in bytes; in memory it may become 32 times as much.
const MESSAGE_LIMIT: usize = 128 * 1024;

/// How a client calls itself.
const AGENT: &str = concat!("probity/", env!("CARGO_PKG_VERSION"));

const HELLO: u8 = 0x01;
const GOODBYE: u8 = 0x02;
const RESET: u8 = 0x0f;
const RUN: u8 = 0x10;
const DISCARD: u8 = 0x2f;
const PULL: u8 = 0x3f;
const ROUTE: u8 = 0x66;
const LOGON: u8 = 0x6a;
const SUCCESS: u8 = 0x70;
const RECORD: u8 = 0x71;
const IGNORED: u8 = 0x7e;
const FAILURE: u8 = 0x7f;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u8,
    minor: u8,
}

impl Version {
    const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// The version of an answer, if it is one that was offered.
    fn chosen(answer: [u8; 4]) -> Option<Self> {
        match answer {
            [0, 0, minor @ 0..=8, 5] => Some(Self::new(5, minor)),
            [0, 0, 4, 4] => Some(Self::new(4, 4)),
            _ => None,
        }
    }

    /// The newest that we speak of a range in a manifest.
    fn of_range([_, range, minor, major]: [u8; 4]) -> Option<Self> {
        let newest = match major {
            5 => minor.min(8),
            4 => 4,
            _ => return None,
        };
        (minor.saturating_sub(range)..=minor).contains(&newest).then_some(Self::new(major, newest))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Who logs in; nobody, where the server wants to know nobody.
pub(crate) type Login<'a> = Option<(&'a str, &'a str)>;

/// What a server says to who logs in.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    /// Its name and version.
    pub(crate) server: Option<String>,
    /// The password must be changed before anything can be asked. The log-in is a success all the same.
    pub(crate) expired: bool,
}

/// A question in Cypher.
#[derive(Clone, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) text: &'a str,
    pub(crate) parameters: Vec<(&'static str, Value)>,
    /// The user's home database where there is none.
    pub(crate) database: Option<&'a str>,
    /// Whether it may write. The server holds others to it.
    pub(crate) writes: bool,
    /// After which the server is to give up.
    pub(crate) limit: Duration,
    /// What must have happened before.
    pub(crate) bookmark: Option<String>,
    /// Most rows that are fetched; the server throws the others away.
    pub(crate) most: i64,
}

/// What a question was answered with.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) fields: Vec<String>,
    /// The first rows.
    pub(crate) rows: Vec<Vec<Value>>,
    /// How many rows were fetched.
    pub(crate) count: u64,
    pub(crate) bookmark: Option<String>,
}

impl Answer {
    /// The field of a row, by its name.
    pub(crate) fn field<'a>(&self, row: &'a [Value], name: &str) -> Option<&'a Value> {
        self.fields.iter().position(|field| field == name).and_then(|at| row.get(at))
    }
}

/// Where the servers of a database are.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The database, which need not have been named.
    pub(crate) database: Option<String>,
    pub(crate) ttl_seconds: Option<i64>,
    pub(crate) readers: Vec<String>,
    pub(crate) writers: Vec<String>,
}

impl Table {
    fn read(map: &Value) -> Option<Self> {
        let map = map.get("rt")?;
        let text = |value: &Value| value.text().map(str::to_owned);
        let mut table =
            Self { database: map.get("db").and_then(text), ttl_seconds: map.get("ttl").and_then(Value::int), ..Self::default() };
        for server in map.get("servers")?.list()? {
            let addresses = server.get("addresses")?.list()?.iter().filter_map(text);
            match server.get("role")?.text()? {
                "READ" => table.readers.extend(addresses),
                "WRITE" => table.writers.extend(addresses),
                _ => {}
            }
        }
        Some(table)
    }
}

/// A conversation: what is said is sent together, once an answer is waited for.
#[derive(Debug)]
pub(crate) struct Conversation {
    inbox: Inbox,
    said: Vec<u8>,
    version: Version,
    /// Requests whose answer has not ended.
    owed: u32,
}

impl Conversation {
    /// Agrees on a version.
    pub(crate) async fn open(stream: Stream) -> Result<Self, Failure> {
        let mut inbox = Inbox { stream, bytes: Vec::new() };
        inbox.send(&[MAGIC, OFFERS[0], OFFERS[1], OFFERS[2], OFFERS[3]].concat()).await?;
        let version = match inbox.take().await? {
            MANIFEST => negotiate(&mut inbox).await?,
            [0, 0, 0, 0] => return Err(no_common_version()),
            answer => Version::chosen(answer).ok_or_else(|| lie("the peer chose a version that was not offered"))?,
        };
        Ok(Self { inbox, said: Vec::new(), version, owed: 0 })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Introduces us and logs in; `routing` is the address that was dialled, where the client is to be routed.
    pub(crate) async fn log_in(&mut self, login: Login<'_>, routing: Option<&str>) -> Result<Welcome, Failure> {
        let credentials = || match login {
            Some((user, password)) => {
                vec![("scheme", "basic".into()), ("principal", user.into()), ("credentials", password.into())]
            }
            None => vec![("scheme", "none".into())],
        };
        let mut extra: Vec<(&str, Value)> = vec![("user_agent", AGENT.into())];
        extra.extend(routing.map(|address| ("routing", Value::map(vec![("address", address.into())]))));
        if self.version >= Version::new(5, 2) {
            extra.push(("notifications_minimum_severity", "OFF".into()));
        }
        if self.version >= Version::new(5, 3) {
            extra.push(("bolt_agent", Value::map(vec![("product", AGENT.into())])));
        }
        let apart = self.version >= Version::new(5, 1);
        if !apart {
            extra.extend(credentials());
        }
        self.say(HELLO, [Value::map(extra)]);
        if apart {
            self.say(LOGON, [Value::map(credentials())]);
        }
        let first = self.success().await?;
        let second = if apart { self.success().await? } else { Value::Null };
        let expired = [&first, &second].into_iter().any(|said| said.get("credentials_expired") == Some(&Value::Bool(true)));
        Ok(Welcome { server: first.get("server").and_then(Value::text).map(str::to_owned), expired })
    }

    /// Asks where a database is served, which a server without it says at once.
    pub(crate) fn say_route(&mut self, database: Option<&str>, routing: Option<&str>) {
        let context = routing.map(|address| ("address", address.into())).into_iter().collect();
        let extra = database.map(|name| ("db", name.into())).into_iter().collect();
        self.say(ROUTE, [Value::map(context), Value::List(Vec::new()), Value::map(extra)]);
    }

    /// The answer to [`Conversation::say_route`].
    pub(crate) async fn table(&mut self) -> Result<Table, Failure> {
        let said = self.success().await?;
        Table::read(&said).ok_or_else(|| lie("the answer to ROUTE is not a routing table"))
    }

    /// Asks a question; what was said before and failed has it ignored.
    pub(crate) fn say_query(&mut self, query: &Query<'_>) {
        let millis = i64::try_from(query.limit.as_millis()).unwrap_or(i64::MAX);
        let mut extra: Vec<(&str, Value)> = vec![("tx_timeout", Value::Int(millis))];
        extra.extend(query.database.map(|name| ("db", name.into())));
        extra.extend((!query.writes).then(|| ("mode", "r".into())));
        extra.extend(query.bookmark.as_deref().map(|bookmark| ("bookmarks", Value::List(vec![bookmark.into()]))));
        self.say(RUN, [query.text.into(), Value::map(query.parameters.clone()), Value::map(extra)]);
        self.say(PULL, [Value::map(vec![("n", Value::Int(query.most))])]);
    }

    /// The answer to [`Conversation::say_query`], of which so many rows are kept.
    pub(crate) async fn answer(&mut self, keep: usize) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        let names = self.success().await?;
        let names = names.get("fields").and_then(Value::list).ok_or_else(|| lie("the answer to RUN names no fields"))?;
        answer.fields = names.iter().filter_map(Value::text).map(str::to_owned).collect();
        let end = loop {
            match self.reply().await? {
                Reply::Record(row) => {
                    answer.count += 1;
                    if answer.rows.len() < keep {
                        answer.rows.push(row);
                    }
                }
                Reply::Success(end) => break end,
                Reply::Ignored => return Err(ignored()),
            }
        };
        answer.bookmark = end.get("bookmark").and_then(Value::text).map(str::to_owned);
        if end.get("has_more") == Some(&Value::Bool(true)) {
            self.say(DISCARD, [Value::map(vec![("n", Value::Int(-1))])]);
            self.success().await?;
        }
        Ok(answer)
    }

    /// Asks a question and waits for its answer.
    pub(crate) async fn ask(&mut self, query: &Query<'_>, keep: usize) -> Result<Answer, Failure> {
        self.say_query(query);
        self.answer(keep).await
    }

    /// Goes on after a wait that was given up.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        if self.owed > 0 { self.reset().await } else { Ok(()) }
    }

    /// Goes on after a failure: reads over what is still to come, up to the server's word that all is forgotten.
    pub(crate) async fn reset(&mut self) -> Result<(), Failure> {
        self.say(RESET, []);
        while self.owed > 1 {
            match self.reply().await {
                Err(failure) if !is_answer(&failure) => return Err(failure),
                // Whatever it was, it is the past.
                _ => {}
            }
        }
        self.success().await.map(drop)
    }

    /// Takes leave, and waits until the server has closed.
    pub(crate) async fn goodbye(mut self) {
        self.say(GOODBYE, []);
        // Whatever goes wrong now, the connection ends with it.
        if self.send().await.is_ok() {
            while self.inbox.more().await.is_ok() {
                self.inbox.bytes.clear();
            }
        }
    }

    fn say<const N: usize>(&mut self, tag: u8, fields: [Value; N]) {
        let mut message = Vec::with_capacity(128);
        Value::Struct(tag, fields.into()).write(&mut message);
        for chunk in message.chunks(usize::from(u16::MAX)) {
            self.said.extend(u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes());
            self.said.extend(chunk);
        }
        self.said.extend([0, 0]);
        self.owed += 1;
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if !self.said.is_empty() {
            self.inbox.send(&self.said).await?;
            self.said.clear();
        }
        Ok(())
    }

    /// An answer that is a success, and what it says.
    async fn success(&mut self) -> Result<Value, Failure> {
        match self.reply().await? {
            Reply::Success(said) => Ok(said),
            Reply::Ignored => Err(ignored()),
            Reply::Record(_) => Err(lie("the peer sends a row that nobody asked for")),
        }
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        self.send().await?;
        let message = self.inbox.message().await?;
        let (tag, fields) = match Value::read(&message) {
            Ok(Value::Struct(tag, fields)) => (tag, fields),
            Ok(_) | Err(WireFault::Malformed) => return Err(lie("the peer's message is not one of Bolt")),
            Err(fault) => return Err(fault.to_failure()),
        };
        if tag != RECORD {
            self.owed = self.owed.saturating_sub(1);
        }
        match (tag, fields.into_iter().next()) {
            (SUCCESS, Some(said @ Value::Map(_))) => Ok(Reply::Success(said)),
            (RECORD, Some(Value::List(row))) => Ok(Reply::Record(row)),
            (IGNORED, _) => Ok(Reply::Ignored),
            (FAILURE, Some(said @ Value::Map(_))) => Err(failure(&said)),
            _ => Err(lie("the peer's message is not an answer")),
        }
    }
}

/// An answer, or a part of one, that is no failure.
enum Reply {
    Success(Value),
    Record(Vec<Value>),
    Ignored,
}

/// The newest version of a manifest that we speak: a count, so many ranges, and capabilities, of which we want none.
async fn negotiate(inbox: &mut Inbox) -> Result<Version, Failure> {
    let count = inbox.varint().await?;
    if count > LONGEST_MANIFEST {
        return Err(lie("the peer's manifest is too long"));
    }
    let mut newest = None;
    for _ in 0..count {
        newest = newest.max(Version::of_range(inbox.take().await?));
    }
    inbox.varint().await?;
    let version = newest.ok_or_else(no_common_version)?;
    inbox.send(&[0, 0, version.minor, version.major, 0]).await?;
    Ok(version)
}

/// A stream, and what has come in of it. A wait that is given up loses nothing.
#[derive(Debug)]
struct Inbox {
    stream: Stream,
    bytes: Vec<u8>,
}

impl Inbox {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn more(&mut self) -> io::Result<()> {
        self.bytes.reserve(4096);
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        loop {
            if let Some(taken) = self.bytes.first_chunk().copied() {
                self.bytes.drain(..N);
                return Ok(taken);
            }
            self.more().await?;
        }
    }

    /// A number in groups of seven bits, lowest first.
    async fn varint(&mut self) -> Result<u64, Failure> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let [byte] = self.take().await?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(lie("the peer's manifest is not one"))
    }

    async fn message(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            let signs = self.bytes.chunks_exact(2).take_while(|chunk| *chunk == [0, 0]).count();
            self.bytes.drain(..2 * signs);
            if let Some((message, length)) = first_message(&self.bytes)? {
                self.bytes.drain(..length);
                return Ok(message);
            }
            self.more().await?;
        }
    }
}

/// The message that begins here, without its chunks, and where it ends; none as long as it is not whole. Each chunk is
/// a length and as many bytes; a length of 0 ends the message, and between two of them it is a sign of life.
fn first_message(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Failure> {
    let (mut message, mut at) = (Vec::new(), 0);
    while let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        at += length.len();
        let length = usize::from(u16::from_be_bytes(*length));
        if message.len() + length > MESSAGE_LIMIT {
            return Err(lie(format!("the peer's message is longer than {MESSAGE_LIMIT} bytes")).with_code("reply_too_long"));
        }
        if length == 0 {
            return Ok(Some((message, at)));
        }
        let Some(chunk) = bytes.get(at..at + length) else { break };
        message.extend(chunk);
        at += length;
    }
    Ok(None)
}

fn no_common_version() -> Failure {
    lie("the server speaks none of Bolt 4.4 and 5.0 to 5.8")
        .with_code("no_common_version")
        .with_remedy("Servers before Neo4j 4.4 are not supported; a later one may need a newer Probity.")
}

fn lie(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

fn ignored() -> Failure {
    lie("the server ignores a request although none before it failed")
}

/// Whether the server answered with a failure, so that the conversation may go on, and no other end of it broke.
pub(crate) fn is_answer(failure: &Failure) -> bool {
    failure.kind == FailureKind::Query && failure.code.is_some()
}

/// A failure by the server's own word for it, which has another name from 5.7 on.
fn failure(said: &Value) -> Failure {
    let text = |key: &str| said.get(key).and_then(Value::text);
    match text("neo4j_code").or_else(|| text("code")) {
        Some(code) => Failure::server(code, text("message").unwrap_or_default()),
        None => lie("the peer's failure has no code"),
    }
}
