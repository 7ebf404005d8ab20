//! A conversation with a Redis server, sentinel or node, and what each of them thinks of the whole.
//! RESP: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::collections::HashMap;

use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, aio::MultiplexedConnection};

use crate::{
    address::{Credentials, Endpoint},
    failure::{Failure, FailureKind},
    run::{Phase, Run},
    wire::{Background, dial::Target},
};

/// An open conversation.
pub(crate) struct Conversation {
    connection: MultiplexedConnection,
    _driver: Background,
}

impl Conversation {
    /// Dials and logs in; with it comes the answer to `HELLO`.
    pub(crate) async fn open(
        target: &Target,
        credentials: &Credentials,
        database: i64,
        run: &mut Run,
    ) -> Result<(Self, HashMap<String, redis::Value>), Failure> {
        let password = run.secret_if(credentials.password.as_ref()).await?;
        let login = match (credentials.user.as_deref(), password.as_deref()) {
            (None, None) => None,
            (None, Some(password)) => Some(redis::cmd("AUTH").arg(password).to_owned()),
            (Some(user), password) => Some(redis::cmd("AUTH").arg(user).arg(password.map_or("", String::as_str)).to_owned()),
        };
        let stream = run.dial(target).await?;
        // The library would call every refusal of its own log-in a wrong password: it is told of none.
        let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
        let patience = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opened = run
            .phase(Phase::Auth, async {
                let (connection, driver) =
                    MultiplexedConnection::new_with_config(&bare, stream, patience).await.map_err(|error| failure(&error))?;
                let mut conversation = Self { connection, _driver: Background::spawn(driver) };
                if let Some(login) = &login {
                    conversation.ask::<()>(login).await?;
                }
                let hello = conversation.greet().await?;
                if database != 0 {
                    conversation.ask::<()>(redis::cmd("SELECT").arg(database)).await?;
                }
                Ok::<_, Failure>((conversation, hello))
            })
            .await;
        opened.map_err(|failure| match failure.kind {
            FailureKind::ConnectionLost => unasked(&run.first_bytes()).unwrap_or(failure),
            _ => failure,
        })
    }

    /// Says who we are, and learns whom we speak to.
    async fn greet(&mut self) -> Result<HashMap<String, redis::Value>, Failure> {
        match self.ask(redis::cmd("HELLO").arg(2).arg("SETNAME").arg("probity")).await {
            // Older than 6, or not allowed to: it has answered, and that is all we need.
            Err(Failure { code: Some(code), .. })
                if ["NOPERM", "NOPROTO", "ERR unknown", "ERR Unknown", "ERR syntax"].iter().any(|no| code.starts_with(no)) =>
            {
                Ok(HashMap::new())
            }
            other => other,
        }
    }

    /// Asks a sentinel where the master of a name is.
    pub(crate) async fn master_of(&mut self, name: &str) -> Result<Endpoint, Failure> {
        let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).to_owned();
        match self.ask::<Option<(String, u16)>>(&question).await? {
            Some((host, port)) => Ok(Endpoint::Tcp { host, port }),
            None => Err(Failure::server("sentinel_unknown_master", "")),
        }
    }

    pub(crate) async fn ask<T: FromRedisValue>(&mut self, question: &Cmd) -> Result<T, Failure> {
        question.query_async(&mut self.connection).await.map_err(|error| failure(&error))
    }

    /// The server closes after QUIT; a client that just leaves is as silent, but keeps the port in TIME-WAIT.
    pub(crate) async fn quit(mut self) -> Result<(), Failure> {
        // How it ends makes no difference to anybody.
        let _ = self.ask::<String>(&redis::cmd("QUIT")).await;
        Ok(())
    }
}

/// What a sentinel or a node thinks of the whole.
#[derive(Default)]
pub(crate) struct View {
    /// Where a sentinel thinks that the master is.
    pub(crate) master: Option<Endpoint>,
    /// What it thinks of the master.
    pub(crate) flags: String,
    /// Why no fail-over would happen.
    pub(crate) no_quorum: bool,
    /// What a node thinks of its cluster.
    pub(crate) cluster_state: Option<String>,
}

impl View {
    /// What the node thinks that the run has turned to.
    pub(crate) async fn of_node(target: &Target, credentials: &Credentials, run: &mut Run) -> Result<Self, Failure> {
        let mut view = Self::default();
        let (mut session, _) = Conversation::open(target, credentials, 0, run).await?;
        let answer = run.phase(Phase::Deep, session.ask::<String>(redis::cmd("CLUSTER").arg("INFO"))).await;
        view.cluster_state =
            run.optional("CLUSTER INFO", answer)?.and_then(|text| Some(Info::read(&text).word("cluster_state")?.to_owned()));
        run.phase(Phase::Deep, session.quit()).await?;
        Ok(view)
    }

    /// What the sentinel thinks of a master that the run has turned to.
    pub(crate) async fn of_sentinel(
        target: &Target,
        credentials: &Credentials,
        master: &str,
        run: &mut Run,
    ) -> Result<Self, Failure> {
        let mut view = Self::default();
        let (mut session, _) = Conversation::open(target, credentials, 0, run).await?;
        view.master = Some(run.phase(Phase::Deep, session.master_of(master)).await?);
        let question = |word| redis::cmd("SENTINEL").arg(word).arg(master).to_owned();
        let about = run.phase(Phase::Deep, session.ask::<HashMap<String, String>>(&question("MASTER"))).await;
        let about = run.optional("SENTINEL MASTER", about)?;
        view.flags = about.and_then(|mut about| about.remove("flags")).unwrap_or_default();
        match run.phase(Phase::Deep, session.ask::<String>(&question("CKQUORUM"))).await {
            Err(refused) if refused.code.as_deref() == Some("NOQUORUM") => view.no_quorum = true,
            answer => drop(run.optional("SENTINEL CKQUORUM", answer)?),
        }
        run.phase(Phase::Deep, session.quit()).await?;
        Ok(view)
    }
}

/// What an answer can begin with, in RESP 2 and 3.
const TYPES: &[u8] = b"+-:$*_#,(!=%~>|";

/// From the library's error: the server's own prefix decides; a plain `ERR` is told apart by its text,
/// which is part of the protocol and not translated.
fn failure(error: &RedisError) -> Failure {
    match error.code() {
        Some(code) => refusal(code, error.detail().unwrap_or_default()),
        None if error.is_io_error() || error.is_connection_dropped() => Failure::from_chain(error, FailureKind::ConnectionLost),
        None => Failure::from_chain(error, FailureKind::Protocol),
    }
}

fn refusal(code: &str, words: &str) -> Failure {
    let code = if code == "ERR" { format!("ERR {words}") } else { code.to_owned() };
    Failure::server(code, words)
}

/// A server that is full or protected refuses whoever connects before it is asked anything, and closes.
/// The library drops an answer without a question, and what is none.
fn unasked(first: &[u8]) -> Option<Failure> {
    if !TYPES.contains(first.first()?) {
        return Some(Failure::new(FailureKind::Protocol, "the server does not speak RESP"));
    }
    let line = String::from_utf8_lossy(first);
    let line = line.strip_prefix('-')?.lines().next()?;
    let (code, words) = line.split_once(' ').unwrap_or((line, ""));
    Some(refusal(code, words))
}

/// The answer to `INFO`: lines of `field:value`.
pub(crate) struct Info<'a>(HashMap<&'a str, &'a str>);

impl<'a> Info<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(|line| line.trim_end().split_once(':')).collect())
    }

    pub(crate) fn word(&self, field: &str) -> Option<&'a str> {
        self.0.get(field).copied()
    }

    pub(crate) fn number(&self, field: &str) -> Option<i64> {
        self.word(field)?.parse().ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
    pub(crate) fn share(&self, part: &str, whole: &str) -> Option<f64> {
        let (part, whole) = (self.number(part)?, self.number(whole)?);
        (whole > 0).then(|| part as f64 / whole as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_nobody_asked_for_is_read() {
        let code = |first: &[u8]| unasked(first).and_then(|failure| failure.code);
        let kind = |first: &[u8]| unasked(first).map(|failure| failure.kind);
        assert_eq!(kind(b"\x07noise"), Some(FailureKind::Protocol));
        assert_eq!(kind(b""), None);
        assert_eq!(code(b"-ERR max number of clients reached\r\n").as_deref(), Some("ERR max number of clients reached"));
        assert_eq!(code(b"-DENIED Redis is running in protected mode bec").as_deref(), Some("DENIED"));
        assert_eq!(code(b"+OK\r\n"), None);
    }

    #[test]
    fn info_is_read_line_by_line() {
        let info = Info::read("# Memory\r\nused_memory:900\r\nmaxmemory:1000\r\nbroken\r\n");
        assert_eq!(info.share("used_memory", "maxmemory"), Some(0.9));
        assert_eq!(info.number("broken"), None);
    }
}
