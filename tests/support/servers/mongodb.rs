//! What speaks MongoDB's protocol and can be had: SecantusDB, which plays MongoDB 8 with its failpoints and a
//! step-down, and FerretDB, where users log in by SCRAM-SHA-1 as well. Neither has a set with two members.

mod script;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use tempfile::TempDir;

use super::super::process::{Launch, Server, Signal};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{PATIENCE, free_port, scratch};
use super::{PASSWORD, USER, farm};

pub(crate) use script::Scripted;

/// A user with [`PASSWORD`] and no role.
pub(crate) const BARE: &str = "bare";

/// The database in which the users of FerretDB are made, and that of own questions.
pub(crate) const DATABASE: &str = "app";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A server that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    args: Vec<OsString>,
    auth: bool,
}

impl Builder {
    /// A server without a replica set.
    pub(crate) fn standalone(mut self) -> Self {
        self.args.push("--standalone".into());
        self
    }

    /// Only [`USER`], who may do what a probe does, and [`BARE`] may come in, both with [`PASSWORD`]; and, by a
    /// certificate of [`Ca::shared`], whoever is called [`USER`] there.
    pub(crate) fn auth(mut self) -> Self {
        self.auth = true;
        self
    }

    /// Speaks TLS only, with a good certificate of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// Wants a certificate of [`Ca::shared`] from each client.
    pub(crate) fn mutual(mut self) -> Self {
        self.args.extend([
            "--tls-require-client-cert".into(),
            "--tls-ca-file".into(),
            Ca::shared().certificate().into_os_string(),
        ]);
        self.tls()
    }

    /// Speaks TLS only, with this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.args.extend(["--tls-cert-file".into(), identity.certificate.clone().into_os_string()]);
        self.args.extend(["--tls-key-file".into(), identity.key.clone().into_os_string()]);
        self
    }

    /// Starts it and waits until it listens, which it says.
    #[track_caller]
    pub(crate) fn start(self) -> MongoDb {
        let (folder, port) = (scratch(), free_port());
        let launch = |log: &str| {
            let venv = farm("mongodb").expect("it was fetched").join("venv/bin");
            // The script would name its Python by the folder in which it was made.
            Launch::new(venv.join("python3"), folder.path().join(log))
                .arg(venv.join("secantusd-py"))
                .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--cache-size", "64M", "--enable-test-commands"])
                .arg("--storage-path")
                .arg(folder.path().join("data"))
        };
        if self.auth {
            let open = launch("users").start();
            wait_until_it_listens(&open);
            for (user, roles) in [(USER, vec!["clusterMonitor", "readWriteAnyDatabase"]), (BARE, vec![])] {
                let user = doc! { "createUser": user, "pwd": PASSWORD, "roles": roles };
                ask((Ipv4Addr::LOCALHOST, port).into(), "admin", &user);
            }
            let certified = doc! { "createUser": format!("CN={USER}"), "roles": [], "mechanisms": ["MONGODB-X509"] };
            ask((Ipv4Addr::LOCALHOST, port).into(), "$external", &certified);
            open.signal(Signal::TERM);
            open.wait_exit(PATIENCE).expect("it ends");
        }
        let auth = self.auth.then(|| OsString::from("--auth"));
        let process = launch("log").args(self.args).args(auth).start();
        wait_until_it_listens(&process);
        MongoDb { process, port, _folder: folder }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct MongoDb {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl MongoDb {
    /// One that calls itself the only member of a replica set and lets everybody in, unless the builder is told otherwise.
    pub(crate) fn builder() -> Builder {
        Builder { args: Vec::new(), auth: false }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// FerretDB, in the replica set `rs0`; with `auth` only for [`USER`], who was made in [`DATABASE`].
    #[track_caller]
    pub(crate) fn ferretdb(auth: bool) -> Self {
        let (folder, port) = (scratch(), free_port());
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        let of = |key: &str, value: &Path, end: &str| format!("--{key}{}{end}", value.display());
        let mut launch = Launch::new(farm("ferretdb").expect("it was built").join("ferretdb"), folder.path().join("log"))
            .args(["--handler=sqlite", "--debug-addr=-", "--telemetry=disable", "--log-level=ERROR", "--repl-set-name=rs0"])
            .args([of("sqlite-url=file:", &data, "/"), of("state-dir=", folder.path(), "")])
            .arg(format!("--listen-addr=127.0.0.1:{port}"));
        if auth {
            launch = launch.arg("--test-enable-new-auth").arg(format!("--setup-username={USER}"));
            launch = launch.arg(format!("--setup-password={PASSWORD}")).arg(format!("--setup-database={DATABASE}"));
        }
        let server = Self { process: launch.start(), port, _folder: folder };
        server.wait_until_it_answers();
        server
    }

    /// Where clients connect to.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it answers. Not with TLS.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_it_answers();
    }

    /// What it answers to a command of somebody who has not logged in; panics when it refuses. Not with TLS.
    #[track_caller]
    pub(crate) fn ask(&self, database: &str, question: &Document) -> Document {
        ask(self.addr(), database, question)
    }

    /// From now on a command fails, as `data` says: `errorCode`, `closeConnection`, `blockConnection` and `blockTimeMS`.
    #[track_caller]
    pub(crate) fn fail(&self, name: &str, mut data: Document) {
        data.insert("failCommands", vec![name]);
        let fail = doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data };
        self.ask("admin", &fail);
    }

    /// No command fails any more.
    #[track_caller]
    pub(crate) fn heal(&self) {
        self.ask("admin", &doc! { "configureFailPoint": "failCommand", "mode": "off" });
    }

    /// A secondary without a primary, for so long.
    #[track_caller]
    pub(crate) fn step_down(&self, seconds: i32) {
        self.ask("admin", &doc! { "replSetStepDown": seconds, "force": true });
    }

    #[track_caller]
    fn wait_until_it_answers(&self) {
        self.process.wait_until("it answers", || command(self.addr(), "admin", &doc! { "hello": 1 }).ok());
    }
}

/// One with users, which many tests may ask at once.
pub(crate) fn shared() -> &'static MongoDb {
    static SHARED: LazyLock<MongoDb> = LazyLock::new(|| MongoDb::builder().auth().start());
    &SHARED
}

#[track_caller]
fn wait_until_it_listens(process: &Server) {
    process.wait_until("it listens", || process.log().contains("listening on").then_some(()));
}

#[track_caller]
fn ask(addr: SocketAddr, database: &str, question: &Document) -> Document {
    let answer = command(addr, database, question).expect("it answers");
    assert!(answer.get_f64("ok").is_ok_and(|ok| ok > 0.0), "{answer}");
    answer
}

/// One command over a connection of its own.
fn command(addr: SocketAddr, database: &str, question: &Document) -> io::Result<Document> {
    let mut question = question.clone();
    question.insert("$db", database);
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(&message(&question, 1))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = usize::try_from(i32::from_le_bytes(length)).map_err(io::Error::other)?.saturating_sub(4);
    let mut answer = vec![0; rest];
    stream.read_exact(&mut answer)?;
    Document::from_reader(answer.get(17..).unwrap_or_default()).map_err(io::Error::other)
}

/// A message that answers the question of this number.
pub(crate) fn message(document: &Document, answers: i32) -> Vec<u8> {
    let body = document.to_vec().expect("a document");
    let length = i32::try_from(21 + body.len()).expect("a short document");
    let header = [length, 1, answers, 2013, 0].map(i32::to_le_bytes);
    [header.as_flattened(), &[0], &body].concat()
}
