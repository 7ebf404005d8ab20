//! A MongoDB connection of ours with the client library behind it.
//!
//! The library dials for itself, and watches each server through a second connection. So the frame dials, does TLS
//! and says `hello`, and the library comes to a local port of this process, twice: the connection that it watches by
//! is answered from what the server said of itself, and only the other one leads to the server, which so sees one
//! connection and none of the watching. A server takes the name of a client with its first `hello` only; that is why
//! the library's own is answered here, too.

use std::{
    future::pending,
    io,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mongodb::bson::Document;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::Notify,
    time::timeout,
};

use super::{Hello, Lenient, document, forward, message, read_message, refusal, word};
use crate::{
    failure::Failure,
    wire::{Background, private::PrivatePort, stream::Stream},
};

/// How long the library may take to hand on what came before the end of its link.
const GRACE: Duration = Duration::from_millis(50);

/// What the link knows better than the library.
#[derive(Debug, Default)]
struct Heard {
    /// The server's last answer, if it was an error.
    refusal: Option<Failure>,
    /// Why the link ended.
    end: Option<Failure>,
}

/// The link between a server and the library.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    heard: Arc<Mutex<Heard>>,
    over: Arc<Notify>,
    task: Background,
}

impl Link {
    /// Opens the port that the library comes to, to log in or at once to ask.
    pub(crate) fn start(server: Stream, hello: &Hello, logs_in: bool) -> io::Result<Self> {
        let port = PrivatePort::open()?;
        let path = port.name().into();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let over = Arc::new(Notify::new());
        let (told, hello, tell) = (Arc::clone(&heard), hello.for_library(), Arc::clone(&over));
        let task = Background::spawn(async move {
            let mut kept = None;
            let result = serve(port, server, &hello, logs_in, &told, &mut kept).await;
            lock(&told).end = result.err().map(|error| Failure::from_io(&error));
            tell.notify_one();
            // Only now does the library see its end, so that it finds the cause.
            drop(kept);
        });
        Ok(Self { path, heard, over, task })
    }

    /// Where the library finds it.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Why the last question failed: the server's own word, or how the connection ended.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let mut heard = lock(&self.heard);
        heard.refusal.take().or_else(|| heard.end.clone())
    }

    /// Waits for the library's answer. Where the link ends it has little time left: it would wait for another connection,
    /// up to its deadline; none is then returned.
    pub(crate) async fn wait<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            () = self.over.notified() => {
                // For the next question.
                self.over.notify_one();
                timeout(GRACE, answer).await.ok()
            }
        }
    }

    /// Waits until the library's end has reached the server.
    pub(crate) async fn closed(self) {
        self.task.finished().await;
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the library's first connection, and leads its second to the server.
async fn serve(
    port: PrivatePort,
    mut server: Stream,
    hello: &Document,
    logs_in: bool,
    heard: &Mutex<Heard>,
    kept: &mut Option<UnixStream>,
) -> io::Result<()> {
    let mut watching = port.accept().await?;
    let watched = async {
        while answer(&mut watching, hello).await.is_ok() {}
        // It watches no more, but may go on asking.
        pending::<()>().await;
    };
    let led = async {
        let library = kept.insert(port.accept().await?);
        drop(port);
        answer(library, hello).await?;
        if logs_in {
            log_in(library, &mut server, heard).await?;
        }
        carry(library, server, heard).await
    };
    tokio::select! {
        result = led => result,
        () = watched => Ok(()),
    }
}

/// Answers one `hello` of the library.
async fn answer(library: &mut UnixStream, hello: &Document) -> io::Result<()> {
    let question = read_message(library).await?;
    library.write_all(&message(hello, 0, word(&question, 4)).map_err(io::Error::other)?).await
}

/// Passes a log-in on, question by question, until it is over.
async fn log_in(library: &mut UnixStream, server: &mut Stream, heard: &Mutex<Heard>) -> io::Result<()> {
    loop {
        let question = match read_message(library).await {
            // Whoever gives up here knows better why.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return end(server).await,
            question => question?,
        };
        let answer = forward(server, &question).await?;
        let said = document(&answer);
        lock(heard).refusal = said.as_ref().and_then(refusal);
        library.write_all(&answer).await?;
        if said.is_none_or(|said| said.flag("done") != Some(false)) {
            return Ok(());
        }
    }
}

/// Copies both ways until either side ends.
async fn carry(library: &mut UnixStream, server: Stream, heard: &Mutex<Heard>) -> io::Result<()> {
    let (mut from_library, mut to_library) = library.split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        tokio::io::copy(&mut from_library, &mut to_server).await?;
        end(&mut to_server).await
    };
    let down = async {
        loop {
            let answer = read_message(&mut from_server).await?;
            lock(heard).refusal = document(&answer).as_ref().and_then(refusal);
            to_library.write_all(&answer).await?;
        }
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

async fn end(to_server: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to_server.flush().await?;
    to_server.shutdown().await
}
