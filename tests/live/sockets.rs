//! Unix sockets, good and bad: the same for every backend that takes them.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use probity_probes::{FailureKind, Outcome, Phase, SessionKind};
use serde_json::Value;

use crate::support::probe::Asked;
use crate::support::process::Server;
use crate::support::scratch;
use crate::support::truth::{Expected, State, check};

const GOOD: (&str, &str) = ("a unix socket", "the server listens there");
const ABSENT: (&str, &str) = ("a unix socket that is not there", "no such file");
const LEFT: (&str, &str) = ("a unix socket that was left behind", "a file that nobody listens at");
const SILENT: (&str, &str) = ("a unix socket of a server that hangs", "it accepts and says nothing");
const FULL: (&str, &str) = ("a unix socket whose queue is full", "a server that accepts nobody any more");

/// What is true of each, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    let rows = [
        (GOOD, Expected::HEALTHY),
        (ABSENT, Expected::fails(FailureKind::ConnectRefused)),
        (LEFT, Expected::fails(FailureKind::ConnectRefused)),
        (SILENT, Expected::fails(FailureKind::Timeout)),
        (FULL, Expected::fails(FailureKind::Overload)),
    ];
    let of = move |backend| rows.into_iter().map(move |((state, made), expected)| State::new(backend, state, made, expected));
    ["memcached", "mysql", "postgres", "redis"].into_iter().flat_map(of)
}

/// A server with a socket, and how the entry for one is written.
pub(crate) struct Subject<'a> {
    pub(crate) kind: &'static str,
    pub(crate) process: &'a Server,
    pub(crate) socket: PathBuf,
    pub(crate) entry: fn(&Path) -> Value,
}

impl Subject<'_> {
    fn probe(&self, socket: &Path) -> Asked {
        Asked::new(self.kind, (self.entry)(socket))
    }

    #[track_caller]
    fn expect(&self, row: (&str, &str), outcome: &Outcome, within: Duration) {
        let state = states().find(|state| (state.backend, state.state) == (self.kind, row.0));
        check(&state.expect("it has its row").within(within), outcome);
    }

    /// Good ones, bad ones, and the loss of a warm session.
    #[track_caller]
    pub(crate) fn all(&self) {
        const SHORT: Duration = Duration::from_millis(500);
        let (folder, probe) = (scratch(), self.probe(&self.socket));
        for session in [SessionKind::Fresh, SessionKind::Warm] {
            let outcome = probe.run();
            self.expect(GOOD, &outcome, Duration::from_secs(3));
            assert_eq!(outcome.session, Some(session));
            assert_eq!(outcome.facts["remote_address"].to_string(), self.socket.display().to_string());
        }
        // Postgres names its sockets itself.
        let name = self.socket.file_name().expect("a socket has a name");
        let other = folder.path().join(name);
        let outcome = self.probe(&other).run();
        self.expect(ABSENT, &outcome, SHORT);
        let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
        assert_eq!(message, format!("nobody listens on {}: there is no such socket", other.display()));

        let listener = UnixListener::bind(&other).expect("a socket can be bound");
        let outcome = self.probe(&other).run_within(SHORT);
        self.expect(SILENT, &outcome, SHORT);
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth));
        drop(listener);
        self.expect(LEFT, &self.probe(&other).run(), SHORT);

        let full = folder.path().join("full").join(name);
        std::fs::create_dir(full.parent().expect("it lies in a folder")).expect("a folder can be made");
        let _crowd = Crowd::at(&full);
        self.expect(FULL, &self.probe(&full).run(), SHORT);

        self.process.kill9();
        assert!(probe.lost_within(Duration::from_secs(5)), "the loss was not noticed");
        self.expect(LEFT, &probe.run(), Duration::from_secs(3));
    }
}

/// A socket that accepts nobody, and as many clients as its queue holds.
struct Crowd {
    _runtime: tokio::runtime::Runtime,
    _listener: tokio::net::UnixListener,
    _clients: Vec<UnixStream>,
}

impl Crowd {
    fn at(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let socket = tokio::net::UnixSocket::new_stream().expect("a socket can be had");
        socket.bind(path).expect("it can be bound");
        let listener = socket.listen(0).expect("it can listen");
        drop(entered);
        // A queue of length 0 holds one.
        let clients = vec![UnixStream::connect(path).expect("the first is taken in")];
        Self { _runtime: runtime, _listener: listener, _clients: clients }
    }
}
