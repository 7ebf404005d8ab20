//! Members of replica sets that nobody can be made to be: each answers as it is told.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::bson::{Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::super::background::{Background, adopt, listener};
use super::message;

type Answers = Arc<Mutex<HashMap<&'static str, Document>>>;

type Asked = Arc<Mutex<Vec<Document>>>;

/// A server that answers commands by their names; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Scripted {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
    answers: Answers,
    asked: Asked,
    _thread: Background,
}

impl Scripted {
    /// Answers each command with its document, and all others with the error "no such command".
    pub(crate) fn start(answers: impl IntoIterator<Item = (&'static str, Document)>) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let connections = Arc::new(AtomicU64::new(0));
        let answers: Answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let asked = Asked::default();
        let (accepted, told, noted) = (Arc::clone(&connections), Arc::clone(&answers), Arc::clone(&asked));
        let accept = move || async move {
            let listener = adopt(listener);
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (answers, asked) = (Arc::clone(&told), Arc::clone(&noted));
                tokio::spawn(async move { serve(stream, &answers, &asked).await });
            }
        };
        Self { addr, connections, answers, asked, _thread: Background::spawn("scripted-mongodb", accept) }
    }

    /// A member that says this of itself and knows this of its set, with a version and the right to tell it.
    pub(crate) fn member(hello: Document, status: Document) -> Self {
        Self::start([
            ("hello", hello),
            ("replSetGetStatus", status),
            ("buildInfo", doc! { "version": "8.0.4", "ok": 1.0 }),
            ("serverStatus", doc! { "connections": { "current": 10, "available": 90 }, "uptime": 60, "ok": 1.0 }),
            ("find", doc! { "cursor": { "firstBatch": [], "id": 0_i64, "ns": "probity.canary" }, "ok": 1.0 }),
        ])
    }

    /// From now on it answers a command so.
    pub(crate) fn tell(&self, command: &'static str, answer: Document) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(command, answer);
    }

    /// The questions it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Document> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How often somebody has connected.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, answers: &Answers, asked: &Asked) -> io::Result<()> {
    loop {
        let mut header = [0; 16];
        stream.read_exact(&mut header).await?;
        let word = |at: usize| i32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let mut body = vec![0; usize::try_from(word(0)).map_err(io::Error::other)?.saturating_sub(header.len())];
        stream.read_exact(&mut body).await?;
        let question = Document::from_reader(body.get(5..).unwrap_or_default()).map_err(io::Error::other)?;
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
        let command = question.keys().next().map(String::as_str).unwrap_or_default();
        let unknown =
            doc! { "ok": 0.0, "errmsg": format!("no such command: '{command}'"), "code": 59, "codeName": "CommandNotFound" };
        let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).get(command).cloned();
        stream.write_all(&message(answer.as_ref().unwrap_or(&unknown), word(4))).await?;
    }
}
