//! The vendor's driver, fenced.
//!
//! It dials for itself, blocks its thread without end, and panics on what it does not expect. So it comes to a one-shot
//! port of this machine, where it is known by a word that only it was told; there it gets the connection that the frame
//! has dialled, in whole packets. It is asked on threads of its own, which end with what they were asked; when its link is
//! cut, it sees the end of its connection and gives up.

use std::{
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use oracledb::{Config, Connection, Error, ErrorKind, OracleTimestamp, Row};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

use super::{CONNECT, CONNECT_HEAD, DATA_LENGTH, HEADER, LONGEST_INLINE, link::Link, read_packet};
use crate::{
    canary::Canary,
    failure::{Failure, FailureKind},
    question::Answer,
    wire::stream::Stream,
};

/// Makes the driver print every packet, passwords included.
const PRINTS: &str = "RSO_DEBUG_PACKETS";

/// How many threads the driver of one dependency may have at a time: a session that is ended, and the next.
pub(crate) const MOST_THREADS: usize = 2;

/// What these threads are called, where threads are counted by their names.
const THREAD: &str = "oracle-driver";

type Opening = oneshot::Receiver<Result<Connection, Error>>;

/// A driver that waits to be let in.
pub(crate) struct Driver {
    socket: TcpStream,
    /// Its CONNECT without what it wants to be connected with.
    pub(crate) head: Vec<u8>,
    opening: Opening,
    threads: Arc<Semaphore>,
}

impl Driver {
    /// Has it come to us.
    pub(crate) async fn start(user: &str, password: &str, threads: &Arc<Semaphore>) -> Result<Self, Failure> {
        if std::env::var_os(PRINTS).is_some() {
            let message = format!("`{PRINTS}` is set, with which the driver would print the password");
            return Err(Failure::new(FailureKind::Config, message));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let word = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let descriptor = format!(
            "(DESCRIPTION=(RETRY_COUNT=0)(RETRY_DELAY=0)(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT={}))\
             (CONNECT_DATA=(SERVICE_NAME={word})))",
            listener.local_addr()?.port()
        );
        let config = Config::default().set_credentials(user, password).set_stmtcachesize(0).set_driver_name("probity");
        let config = config.set_program("probity").and_then(|config| config.set_connect_string(&descriptor));
        let config = config.map_err(|error| failure(&error, None))?;
        let mut opening = Thread::get(threads).await?.run(move || oracledb::connect(config));
        loop {
            let mut socket = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                ended = &mut opening => return Err(opened(ended.ok(), None).map_or_else(|failure| failure, |_| panicked())),
            };
            if let Ok(head) = listen(&mut socket, &word).await {
                socket.set_nodelay(true)?;
                return Ok(Self { socket, head, opening, threads: Arc::clone(threads) });
            }
        }
    }

    /// Lets it log in to a database that has accepted us.
    pub(crate) async fn log_in(self, server: Stream, accept: Vec<u8>) -> Result<Session, Failure> {
        let link = Link::start(self.socket, server, accept)?;
        let connection = opened(link.wait(self.opening).await, Some(&link))?;
        Ok(Session { link, connection: Some(connection), threads: self.threads })
    }
}

/// What came of a log-in.
fn opened(ended: Option<Result<Connection, Error>>, link: Option<&Link>) -> Result<Connection, Failure> {
    ended.ok_or_else(panicked)?.map_err(|error| failure(&error, link))
}

/// The CONNECT of whoever knows the word.
async fn listen(socket: &mut TcpStream, word: &str) -> Result<Vec<u8>, Failure> {
    let mut packet = read_packet(socket).await?;
    let foreign = || Failure::new(FailureKind::Unexpected, "somebody else came to the driver's port");
    let length =
        packet.get(DATA_LENGTH..DATA_LENGTH + 2).map_or(0, |bytes| usize::from(u16::from_be_bytes([bytes[0], bytes[1]])));
    if packet[4] != CONNECT || packet.len() < CONNECT_HEAD {
        return Err(foreign());
    }
    let mut data = packet.split_off(CONNECT_HEAD);
    if length > LONGEST_INLINE {
        data = vec![0; HEADER + 2 + length];
        socket.read_exact(&mut data).await?;
    }
    if !data.windows(word.len()).any(|window| window == word.as_bytes()) {
        return Err(foreign());
    }
    Ok(packet)
}

/// A log-in.
pub(crate) struct Session {
    /// Before the connection: dropped after it, that would wait for an answer.
    link: Link,
    /// None while it is asked, and after it has panicked.
    connection: Option<Connection>,
    threads: Arc<Semaphore>,
}

/// A row by the names of its columns, all of them as text.
pub(crate) type Record = Vec<(String, Option<String>)>;

impl Session {
    /// Looks at what the driver knows already.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Error>) -> Option<T> {
        self.connection.as_ref().and_then(|connection| look(connection).ok())
    }

    /// The rows of an answer.
    pub(crate) async fn rows(&mut self, sql: &'static str) -> Result<Vec<Record>, Failure> {
        self.ask(move |connection| connection.query(sql, &[])?.map(|row| Ok(record(&row?))).collect()).await
    }

    /// Puts a question of others in a transaction that is told to be read-only, and ended. The limit is also the
    /// server's: the driver interrupts it there.
    pub(crate) async fn put(&mut self, sql: String, most: u64, limit: Duration) -> Result<Answer, Failure> {
        self.ask(move |connection| {
            connection.set_call_timeout(Some(limit))?;
            connection.execute("SET TRANSACTION READ ONLY", &[])?;
            let (mut answer, at_once) = (Answer::default(), u32::try_from(most).unwrap_or(100).clamp(2, 100));
            for row in connection.statement(sql.as_str())?.fetch_array_size(at_once).build()?.query(&[])? {
                let row = row?;
                if answer.rows == 0 {
                    answer.value = record(&row).into_iter().next().and_then(|(_, value)| value);
                }
                answer.rows += 1;
                if answer.rows >= most {
                    break;
                }
            }
            connection.rollback()?;
            connection.set_call_timeout(None)?;
            Ok(answer)
        })
        .await
    }

    /// What was read of a row that is written, read and removed in one transaction. One that fails is rolled back:
    /// a session that takes leave commits. The limit is also the server's.
    pub(crate) async fn send(&mut self, canary: &Canary, limit: Duration) -> Result<Option<String>, Failure> {
        let (write, read, remove) = (canary.merge(), canary.read(), canary.remove());
        self.ask(move |connection| {
            connection.set_call_timeout(Some(limit))?;
            let sent = || -> Result<_, Error> {
                connection.execute(&write, &[])?;
                let read = connection.query(&read, &[])?.next().transpose()?;
                connection.execute(&remove, &[])?;
                connection.commit()?;
                Ok(read.and_then(|row| record(&row).into_iter().next()?.1))
            };
            let sent = sent().inspect_err(|_| {
                // Where even that fails the session is at its end, and the server does it.
                let _ = connection.rollback();
            })?;
            connection.set_call_timeout(None)?;
            Ok(sent)
        })
        .await
    }

    /// Ends it politely.
    pub(crate) async fn end(mut self) {
        let Ok(thread) = Thread::get(&self.threads).await else { return };
        let Some(mut connection) = self.connection.take() else { return };
        let ended = self.link.wait(thread.run(move || connection.close())).await;
        if matches!(ended, Some(Ok(()))) {
            self.link.closed().await;
        }
    }

    async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let thread = Thread::get(&self.threads).await?;
        let Some(connection) = self.connection.take() else { return Err(panicked()) };
        let asked = thread.run(move || {
            let answer = contain(|| question(&connection));
            (connection, answer)
        });
        let Some((connection, answer)) = self.link.wait(asked).await else { return Err(panicked()) };
        self.connection = Some(connection);
        // After a panic the driver cannot take leave: it is only dropped, behind its link.
        let answer = answer.ok_or_else(panicked)?;
        answer.map_err(|error| failure(&error, Some(&self.link)))
    }
}

/// A thread for the driver to block: no longer there than its work is, and of a name of its own, so that whoever counts
/// threads sees how many there are. One of the runtime's would stay for ten seconds, among others of its name.
struct Thread(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Thread {
    /// It is had before a connection is taken: one that is dropped waiting would block the runtime.
    async fn get(threads: &Arc<Semaphore>) -> Result<Self, Failure> {
        let none = |why: String| Failure::new(FailureKind::Unexpected, "no thread is to be had for the driver").with_words(why);
        let permit = Arc::clone(threads).acquire_owned().await.map_err(|error| none(error.to_string()))?;
        let (give, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let body = move || {
            let _permit = permit;
            work.recv().into_iter().for_each(|work| work());
        };
        thread::Builder::new().name(THREAD.into()).spawn(body).map_err(|error| none(error.to_string()))?;
        Ok(Self(give))
    }

    /// Runs the driver there; nothing comes of it where it panicked. What nobody waits for any more is dropped there.
    fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        let work = move || contain(|| drop(tell.send(work()))).unwrap_or_default();
        // It waits for nothing else.
        drop(self.0.send(Box::new(work)));
        told
    }
}

/// Keeps a panic of the driver from ending the process.
///
/// A panic in a question would poison the lock of the connection, and the statement that is dropped by that panic
/// panics on a poisoned lock: two at once end the process, whoever catches. A lock that was taken while its thread
/// panicked already is not poisoned (`std::sync::Mutex`); so the driver is asked while a panic of ours is on its way,
/// one that nobody hears of.
fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    struct Inside<'a, T, F: FnOnce() -> T>(Option<F>, &'a mut Option<T>);

    impl<T, F: FnOnce() -> T> Drop for Inside<'_, T, F> {
        fn drop(&mut self) {
            if let Some(work) = self.0.take() {
                *self.1 = catch_unwind(AssertUnwindSafe(work)).ok();
            }
        }
    }

    let mut done = None;
    let inside = Inside(Some(work), &mut done);
    let ours = catch_unwind(AssertUnwindSafe(|| {
        let _inside = inside;
        resume_unwind(Box::new(()))
    }));
    let Err::<(), _>(_) = ours else { return None };
    done
}

fn panicked() -> Failure {
    Failure::library_panic()
}

/// A failure of the driver; where the link has ended by itself, that is the cause.
fn failure(error: &Error, link: Option<&Link>) -> Failure {
    let lost = || Failure::new(FailureKind::ConnectionLost, "the peer closed the connection in mid-exchange");
    let end = link.and_then(Link::end);
    match error.kind() {
        ErrorKind::DbError(error) => Failure::server(format!("ORA-{:05}", error.code()), error.message()),
        _ if end.is_some() => end.unwrap_or_else(lost),
        ErrorKind::CallTimeoutExceeded => Failure::new(FailureKind::Timeout, "the question was interrupted at its limit"),
        ErrorKind::DeadConnection | ErrorKind::NotConnected | ErrorKind::StreamOperation | ErrorKind::UnableToRecover => lost(),
        ErrorKind::InvalidNetworkName(_) | ErrorKind::NoCredentials | ErrorKind::InvalidConnectString(..) => {
            Failure::new(FailureKind::Config, "the driver does not take what it is to log in with").with_words(error.to_string())
        }
        ErrorKind::UnsupportedDbType(_) | ErrorKind::UnsupportedConversion(..) => {
            Failure::new(FailureKind::Config, "the driver cannot read a type of the answer").with_words(error.to_string())
        }
        _ => Failure::new(FailureKind::Protocol, "the peer's answer does not follow the protocol").with_words(error.to_string()),
    }
}

/// Texts, numbers and times as they are; of other values their kind.
fn record(row: &Row) -> Record {
    let value = |at: usize| match row.get::<Option<String>>(at) {
        Ok(value) => value,
        Err(_) => match row.get::<Option<OracleTimestamp>>(at) {
            Ok(value) => value.map(|time| time.to_string()),
            Err(_) => {
                row.get::<Option<bool>>(at).map_or_else(|_| Some("(other)".into()), |flag| flag.map(|flag| flag.to_string()))
            }
        },
    };
    row.columns().iter().enumerate().map(|(at, column)| (column.name().to_lowercase(), value(at))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_poisons_no_lock_and_is_told_of() {
        let lock = Mutex::new(1);
        let panicked = contain(|| {
            let _held = lock.lock();
            [0][fastrand::usize(1..2)]
        });
        assert_eq!((panicked, lock.is_poisoned()), (None, false));
        assert_eq!(contain(|| 2), Some(2));
    }
}
