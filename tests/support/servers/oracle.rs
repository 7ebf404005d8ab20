//! A stand-in for Oracle Database, which can be had from no registry: a listener, and behind it as much of a database
//! as a probe asks. It is shaped as 19c. That it is no invention of ours is shown by the vendor's own clients, which
//! log in to it and ask (`tests/live/oracle/vendors.rs`).

mod login;
pub(crate) mod stand_in;
mod tns;
mod ttc;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::super::process::{Launch, Server, Signal};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER};

use stand_in::{Account, Answer, SETTINGS, Settings, Tls};
pub(crate) use stand_in::{Harm, Stage};

/// The service that it is asked for, and the identifier of its instance.
pub(crate) const SERVICE: &str = "standin.example";
pub(crate) const SID: &str = "STANDIN1";

/// The path of the test that is the process.
const SERVE: &str = "support::servers::oracle::stand_in::serve";

/// A stand-in that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    settings: Settings,
    role: &'static str,
    open_mode: &'static str,
}

impl Builder {
    fn new() -> Self {
        let (service, sid) = (SERVICE.into(), SID.into());
        let settings = Settings { port: free_port(), service, sid, ..Settings::default() };
        Self { settings, role: "PRIMARY", open_mode: "READ WRITE" }.account(USER, None, None)
    }

    fn account(mut self, user: &str, error: Option<(u32, &str)>, warning: Option<(u32, &str)>) -> Self {
        let words = |(code, text): (u32, &str)| (code, format!("ORA-{code:05}: {text}\n"));
        let account =
            Account { user: user.into(), password: PASSWORD.into(), error: error.map(words), warning: warning.map(words) };
        self.settings.accounts.insert(0, account);
        self
    }

    /// [`USER`] gets this error with the right password.
    pub(crate) fn denied(self, code: u32, text: &str) -> Self {
        self.account(USER, Some((code, text)), None)
    }

    /// [`USER`] gets this warning with the log-in.
    pub(crate) fn warned(self, code: u32, text: &str) -> Self {
        self.account(USER, None, Some((code, text)))
    }

    /// The listener refuses everybody.
    pub(crate) fn refusing(mut self, code: u16) -> Self {
        self.settings.refusal = Some(code);
        self
    }

    /// The listener sends everybody to another one.
    pub(crate) fn redirecting(mut self, to: SocketAddr) -> Self {
        self.settings.redirect = Some(to.port());
        self
    }

    /// The listener sends everybody to itself.
    pub(crate) fn redirecting_to_itself(mut self) -> Self {
        self.settings.redirect = Some(self.settings.port);
        self
    }

    /// As `V$DATABASE` has them.
    pub(crate) fn role(mut self, role: &'static str, open_mode: &'static str) -> Self {
        (self.role, self.open_mode) = (role, open_mode);
        self
    }

    /// Something goes wrong.
    pub(crate) fn harm(mut self, stage: Stage, harm: Harm) -> Self {
        self.settings.harm = Some((stage, harm));
        self
    }

    /// Statements with these words get these rows; a column whose name ends with `#` is a number.
    pub(crate) fn rows(self, words: &str, columns: &[&str], rows: &[&[Option<&str>]]) -> Self {
        let column = |name: &&str| (name.trim_end_matches('#').to_owned(), name.ends_with('#'));
        let row = |row: &&[Option<&str>]| row.iter().map(|value| value.map(str::to_owned)).collect();
        self.answer(words, Answer::Rows(columns.iter().map(column).collect(), rows.iter().map(row).collect()))
    }

    /// Statements with these words fail.
    pub(crate) fn error(self, words: &str, code: u32, text: &str) -> Self {
        self.answer(words, Answer::Error(code, format!("ORA-{code:05}: {text}\n")))
    }

    /// Statements with these words take so long.
    pub(crate) fn slow(self, words: &str, milliseconds: u64) -> Self {
        let answer = Answer::Rows(vec![("1".into(), true)], vec![vec![Some("1".into())]]);
        self.answer(words, Answer::Slow(milliseconds, Box::new(answer)))
    }

    fn answer(mut self, words: &str, answer: Answer) -> Self {
        self.settings.answers.push((words.to_owned(), answer));
        self
    }

    /// With TLS, and a good certificate of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// With TLS, showing this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.settings.tls = Some(Tls::of(&identity.certificate, &identity.key));
        self
    }

    /// With TLS that is begun anew once the listener has handed the connection over.
    pub(crate) fn renegotiating(self) -> Self {
        let mut builder = self.tls();
        if let Some(tls) = &mut builder.settings.tls {
            tls.renegotiates = true;
        }
        builder
    }

    /// Starts it and waits until it listens: what it answers is what is tested.
    #[track_caller]
    pub(crate) fn start(self) -> Oracle {
        let Self { mut settings, role, open_mode } = self;
        settings.answers.extend(usual(role, open_mode));
        let folder = scratch();
        let own = std::env::current_exe().expect("a process knows its program");
        let process = Launch::new(own, folder.path().join("alert.log"))
            .args(["--exact", SERVE, "--test-threads=1", "--nocapture"])
            .env(SETTINGS, serde_json::to_string(&settings).expect("settings of ours"))
            .start();
        let oracle = Oracle { process, port: settings.port, _folder: folder };
        oracle.wait_until_listening();
        oracle
    }
}

/// What a database that is well answers; the views are asked by names that only Probity's own questions have.
fn usual(role: &str, open_mode: &str) -> Vec<(String, Answer)> {
    let row = |columns: &[(&str, &str)]| {
        let names = columns.iter().map(|(name, _)| (name.trim_end_matches('#').to_owned(), name.ends_with('#'))).collect();
        Answer::Rows(names, vec![columns.iter().map(|(_, value)| Some((*value).to_owned())).collect()])
    };
    let context = [
        ("DATABASE_ROLE", role),
        ("DB_UNIQUE_NAME", "STANDIN"),
        ("INSTANCE_NAME", SID),
        ("SERVICE_NAME", SERVICE),
        ("CON_NAME", "PDB1"),
    ];
    let instance = [
        ("STATUS", if open_mode == "MOUNTED" { "MOUNTED" } else { "OPEN" }),
        ("LOGINS", "ALLOWED"),
        ("SHUTDOWN_PENDING", "NO"),
        ("ARCHIVER", "STARTED"),
        ("UPTIME#", "86400"),
    ];
    let account = [("ACCOUNT_STATUS", "OPEN"), ("EXPIRES_IN#", "7776000")];
    let limits = |name: &str, current: &str, limit: &str| [name, current, limit].map(|value| Some(value.to_owned())).to_vec();
    let columns = vec![("RESOURCE_NAME".into(), false), ("CURRENT_UTILIZATION".into(), true), ("LIMIT_VALUE".into(), false)];
    let limits = Answer::Rows(columns, vec![limits("processes", "75", "       300"), limits("sessions", "90", "       472")]);
    let mut answers = vec![
        ("SET TRANSACTION READ ONLY".into(), Answer::Done),
        ("V$INSTANCE".into(), row(&instance)),
        // Behind it: who asks for the mode names the container, too.
        ("V$DATABASE".into(), row(&[("OPEN_MODE", open_mode)])),
        ("SYS_CONTEXT".into(), row(&context)),
        ("V$DATAGUARD_STATS".into(), Answer::Rows(vec![("NAME".into(), false), ("VALUE".into(), false)], Vec::new())),
        ("V$RESOURCE_LIMIT".into(), limits),
        ("USER_USERS".into(), row(&account)),
        ("SELECT 1 FROM DUAL".into(), row(&[("1#", "1")])),
        // node-oracledb asks for it with each log-in.
        ("DBTIMEZONE".into(), row(&[("DBTIMEZONE", "+00:00")])),
    ];
    if open_mode == "MOUNTED" {
        let closed = "ORA-01219: database or pluggable database not open: queries allowed on fixed tables or views only\n";
        answers.insert(0, ("USER_USERS".into(), Answer::Error(1219, closed.into())));
    }
    answers
}

/// A running stand-in.
#[derive(Debug)]
pub(crate) struct Oracle {
    process: Server,
    port: u16,
    _folder: TempDir,
}

impl Oracle {
    /// One that is well, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it listens.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_listening();
    }

    /// Ends all sessions and goes on listening, as `ALTER SYSTEM DISCONNECT SESSION` does.
    pub(crate) fn disconnect(&self) {
        self.process.signal(Signal::USR1);
    }

    /// How often somebody has tried to log in.
    pub(crate) fn log_ins(&self) -> usize {
        self.process.log_lines().iter().filter(|line| line.starts_with("log in ")).count()
    }

    #[track_caller]
    fn wait_until_listening(&self) {
        self.process.wait_until("it listens", || TcpStream::connect(self.addr()).ok().map(drop));
    }
}

/// One that is well, for many tests at once.
pub(crate) fn shared() -> &'static Oracle {
    static SHARED: LazyLock<Oracle> = LazyLock::new(Oracle::start);
    &SHARED
}
