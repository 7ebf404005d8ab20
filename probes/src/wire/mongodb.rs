//! MongoDB's messages, and what a server says of itself in `hello`.
//! Protocol: <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>.

pub(crate) mod link;
pub(crate) mod login;
pub(crate) mod query;
pub(crate) mod seedlist;
pub(crate) mod set;
use std::io;

use mongodb::bson::{Bson, Document, doc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// Length, number of the request, number of what it answers, operation.
const HEADER: usize = 16;

/// The one operation of today, in which a document stands behind its flags (4) and the kind of its section (1).
const OP_MSG: i32 = 2013;
const BODY: usize = HEADER + 4 + 1;

/// Above what any answer of ours needs.
const LONGEST: usize = 1 << 20;

/// The oldest version of the protocol that the library takes; what it is used for here is older.
const OLDEST_FOR_LIBRARY: i64 = 9;

/// The server has no such command.
pub(crate) const UNKNOWN_COMMAND: &str = "59";

/// A document whose numbers come in whatever type, and whose fields may be missing, as they are in clones.
pub(crate) trait Lenient {
    fn number(&self, key: &str) -> Option<f64>;
    fn text(&self, key: &str) -> Option<&str>;
    fn flag(&self, key: &str) -> Option<bool>;
    /// Milliseconds since 1970.
    fn time(&self, key: &str) -> Option<i64>;

    fn count(&self, key: &str) -> Option<i64> {
        #[expect(clippy::cast_possible_truncation, reason = "a count is far below 2^53")]
        self.number(key).map(|number| number as i64)
    }
}

impl Lenient for Document {
    #[expect(clippy::cast_precision_loss, reason = "counts and seconds are far below 2^53")]
    fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Bson::Int32(number) => Some((*number).into()),
            Bson::Int64(number) => Some(*number as f64),
            Bson::Double(number) => Some(*number),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn time(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_datetime().map(|time| time.timestamp_millis())
    }
}

/// What a server says of itself before and after any log-in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello {
    answer: Document,
    /// The word that it is asked by: servers before 4.4 know only the old one.
    pub(crate) word: &'static str,
}

impl Hello {
    /// Asks over a new connection, and for the mechanisms that `user` (`database.name`) can log in by. Behind a load
    /// balancer servers refuse who does not know that it is there.
    pub(crate) async fn ask(stream: &mut Stream, user: Option<String>, load_balanced: bool) -> Result<Self, Failure> {
        let question = |word: &str| {
            let mut question = doc! {
                word: 1,
                "client": {
                    "application": { "name": "probity" },
                    "driver": { "name": "probity", "version": env!("CARGO_PKG_VERSION") },
                    "os": { "type": std::env::consts::OS },
                },
                "$db": "admin",
            };
            if let Some(user) = &user {
                question.insert("saslSupportedMechs", user);
            }
            if load_balanced {
                question.insert("loadBalanced", true);
            }
            question
        };
        let answer = exchange(stream, &question("hello"), 1).await?;
        match refusal(&answer) {
            None => Ok(Self::of(answer, "hello")),
            Some(failure) if failure.code.as_deref() == Some(UNKNOWN_COMMAND) => {
                let answer = exchange(stream, &question("isMaster"), 2).await?;
                refusal(&answer).map_or_else(|| Ok(Self::of(answer, "isMaster")), Err)
            }
            Some(failure) => Err(failure),
        }
    }

    pub(crate) fn of(answer: Document, word: &'static str) -> Self {
        Self { answer, word }
    }

    pub(crate) fn is_writable(&self) -> bool {
        ["isWritablePrimary", "ismaster"].iter().any(|key| self.answer.flag(key) == Some(true))
    }

    pub(crate) fn is_router(&self) -> bool {
        self.answer.text("msg") == Some("isdbgrid")
    }

    pub(crate) fn set_name(&self) -> Option<&str> {
        self.answer.text("setName")
    }

    pub(crate) fn primary(&self) -> Option<&str> {
        self.answer.text("primary")
    }

    pub(crate) fn me(&self) -> Option<&str> {
        self.answer.text("me")
    }

    /// Whether it is a secondary, where it says so.
    pub(crate) fn secondary(&self) -> Option<bool> {
        self.answer.flag("secondary")
    }

    pub(crate) fn is_arbiter(&self) -> bool {
        self.answer.flag("arbiterOnly") == Some(true)
    }

    /// Whether it would belong to a replica set, if it had one.
    pub(crate) fn lacks_set(&self) -> bool {
        self.answer.flag("isreplicaset") == Some(true) && self.set_name().is_none()
    }

    /// Whether the user that was asked for can log in so.
    pub(crate) fn has_mechanism(&self, name: &str) -> bool {
        let known = self.answer.get_array("saslSupportedMechs");
        known.is_ok_and(|known| known.iter().any(|known| known.as_str() == Some(name)))
    }

    pub(crate) fn max_wire_version(&self) -> Option<i64> {
        self.answer.count("maxWireVersion")
    }

    /// The members that it knows, hidden ones aside.
    pub(crate) fn members(&self) -> Option<usize> {
        let lists = ["hosts", "passives", "arbiters"].map(|key| self.answer.get_array(key).ok().map(Vec::len));
        lists[0].map(|_| lists.into_iter().flatten().sum())
    }

    /// What the library needs to know: how to ask this server, and which mechanisms there are. Without the life of
    /// sessions it opens none at the server.
    fn for_library(&self) -> Document {
        let mut answer = doc! {
            "helloOk": true,
            "isWritablePrimary": self.is_writable(),
            "secondary": !self.is_writable(),
            "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "minWireVersion": 0,
            "maxWireVersion": i32::try_from(self.max_wire_version().unwrap_or(0).max(OLDEST_FOR_LIBRARY)).unwrap_or(i32::MAX),
            "ok": 1.0,
        };
        for key in ["setName", "msg"] {
            if let Some(value) = self.answer.get(key) {
                answer.insert(key, value);
            }
        }
        answer
    }
}

/// The failure in an answer, if it is one: of the command as a whole, of the first write, or of its acknowledgement.
pub(crate) fn refusal(answer: &Document) -> Option<Failure> {
    let of = |error: &Document| match error.count("code") {
        Some(code) => Failure::server(code.to_string(), error.text("errmsg").unwrap_or_default()),
        None => Failure::new(FailureKind::Query, "the server answered with an error")
            .with_words(error.text("errmsg").unwrap_or_default()),
    };
    if answer.number("ok") != Some(1.0) {
        return Some(of(answer));
    }
    let write = answer.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
    write.or_else(|| answer.get_document("writeConcernError").ok()).map(of)
}

/// One question and its answer, before the library comes in.
async fn exchange(stream: &mut Stream, question: &Document, number: i32) -> Result<Document, Failure> {
    let answer = forward(stream, &message(question, number, 0).map_err(io::Error::other)?).await?;
    if word(&answer, 8) != number {
        return Err(Failure::new(FailureKind::Protocol, "the server answered another question than ours"));
    }
    document(&answer)
        .ok_or_else(|| Failure::new(FailureKind::Protocol, "the answer of the server is not of the MongoDB protocol"))
}

fn message(document: &Document, number: i32, answers: i32) -> mongodb::bson::error::Result<Vec<u8>> {
    let body = document.to_vec()?;
    let length = i32::try_from(BODY + body.len()).unwrap_or(i32::MAX);
    let header = [length, number, answers, OP_MSG, 0].map(i32::to_le_bytes);
    Ok([header.as_flattened(), &[0], &body].concat())
}

/// One of the numbers of the header.
fn word(message: &[u8], at: usize) -> i32 {
    message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_le_bytes)
}

/// A question in its bytes, and the answer.
async fn forward(server: &mut Stream, question: &[u8]) -> io::Result<Vec<u8>> {
    server.write_all(question).await?;
    server.flush().await?;
    read_message(server).await
}

/// A whole message with its header.
async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message).await?;
    let length = usize::try_from(word(&message, 0)).unwrap_or(0);
    if word(&message, 12) != OP_MSG || !(BODY..=LONGEST).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not a message of the MongoDB protocol"));
    }
    message.resize(length, 0);
    stream.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

fn document(message: &[u8]) -> Option<Document> {
    (message.get(BODY - 1) == Some(&0)).then(|| Document::from_reader(&message[BODY..]).ok()).flatten()
}
