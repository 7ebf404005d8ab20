//! The process of the stand-in: this program, started again for the one test that serves instead of testing.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::login::Login;
use super::tns::{self, Wire};
use super::ttc::{self, Column, Question};

/// Where the process finds out what it is to be.
pub(super) const SETTINGS: &str = "PROBITY_TEST_ORACLE";

/// What the stand-in is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(super) port: u16,
    pub(super) service: String,
    pub(super) sid: String,
    pub(super) accounts: Vec<Account>,
    /// The listener refuses everybody, with this code.
    pub(super) refusal: Option<u16>,
    /// It sends everybody to another port.
    pub(super) redirect: Option<u16>,
    pub(super) tls: Option<Tls>,
    /// Statements, as far as they must match, and what is answered; the first that matches counts.
    pub(super) answers: Vec<(String, Answer)>,
    /// What goes wrong, and before which answer.
    pub(super) harm: Option<(Stage, Harm)>,
}

/// Somebody who may log in, or who would but for an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(super) user: String,
    pub(super) password: String,
    /// Instead of a log-in.
    pub(super) error: Option<(u32, String)>,
    /// Together with it.
    pub(super) warning: Option<(u32, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The connection is handed from the listener to a process of its own, which begins TLS anew.
    pub(super) renegotiates: bool,
}

/// What a statement is answered with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Rows(Vec<Column>, Vec<Vec<Option<String>>>),
    Error(u32, String),
    /// After so many milliseconds, unless it is interrupted.
    Slow(u64, Box<Answer>),
    /// Nothing but that it is done.
    Done,
}

/// A step of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Connect,
    Protocol,
    LogInBegin,
    LogIn,
    Query,
}

/// What is done instead of answering.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Harm {
    Hang,
    /// The connection ends in the middle of a packet.
    Cut,
    /// These bytes, and then silence.
    Say(Vec<u8>),
    /// This message in a good packet, and then silence.
    Message(Vec<u8>),
}

/// No test: how a program of tests becomes the stand-in.
#[test]
fn serve() {
    serves();
}

/// Serves where it is told to; false where it is not. A program that starts stand-ins, and has no tests, begins with it.
pub(crate) fn serves() -> bool {
    let Some(settings) = std::env::var_os(SETTINGS) else { return false };
    let settings = serde_json::from_slice(settings.as_encoded_bytes()).expect("settings of ours");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(listen(settings)).expect("it can listen");
    true
}

/// Takes everybody; USR1 ends all sessions.
async fn listen(settings: Settings) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    let mut disconnect = signal(SignalKind::user_defined1())?;
    let acceptor = settings.tls.as_ref().map(acceptor);
    let (ended, _) = watch::channel(());
    let settings = Arc::new(settings);
    loop {
        tokio::select! {
            client = listener.accept() => {
                let (client, _) = client?;
                // It fails where the client has gone already, as who looks at the port alone has.
                let _ = client.set_nodelay(true);
                let (settings, acceptor, mut ended) = (Arc::clone(&settings), acceptor.clone(), ended.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        left = receive(client, acceptor, &settings) => if let Err(error) = left {
                            println!("warning: a client has left without a word: {error}");
                        },
                        _ = ended.changed() => {}
                    }
                });
            }
            _ = disconnect.recv() => ended.send_replace(()),
        }
    }
}

fn acceptor(tls: &Tls) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let chain = vec![CertificateDer::from_pem_file(&tls.certificate).expect("a PEM file")];
    let key = PrivateKeyDer::from_pem_file(&tls.key).expect("a PEM file");
    let config = config.expect("versions that exist").with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a usable certificate")))
}

async fn receive(mut client: TcpStream, acceptor: Option<TlsAcceptor>, settings: &Settings) -> io::Result<()> {
    let Some(acceptor) = acceptor else { return converse(client, settings).await };
    if settings.tls.as_ref().is_some_and(|tls| tls.renegotiates) {
        let mut wire = Wire::new(acceptor.accept(client).await?);
        wire.connect_data().await?;
        wire.write(tns::RESEND, tns::RENEGOTIATE, &[]).await?;
        (client, _) = wire.stream.into_inner();
    }
    converse(acceptor.accept(client).await?, settings).await
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, settings: &Settings) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    // Whoever looks at the port alone is nobody's fault.
    let Ok(wanted) = wire.connect_data().await else { return Ok(()) };
    let is = |key: &str, value: &str| wanted.to_uppercase().contains(&format!("({key}={})", value.to_uppercase()));
    if do_harm(&mut wire, Stage::Connect, settings).await? {
        return Ok(());
    }
    if let Some(code) = settings.refusal {
        return wire.refuse(code).await;
    }
    if let Some(port) = settings.redirect {
        let address = format!("(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT={port}))");
        return wire.redirect(&address, &wanted).await;
    }
    if !is("SERVICE_NAME", &settings.service) && !is("SID", &settings.sid) {
        return wire.refuse(if wanted.contains("(SID=") { 12505 } else { 12514 }).await;
    }
    wire.accept().await?;
    println!("establish {wanted}");
    let mut session = Session { settings, account: None, login: None, warned: None, canary: None };
    loop {
        let packet = wire.read().await?;
        match packet.body.get(..2) {
            _ if packet.kind == tns::MARKER => continue,
            Some(flags) if packet.kind == tns::DATA => {
                // The end of the data: a client's last word.
                if flags[1] & 0x40 != 0 {
                    return Ok(());
                }
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        let message = &packet.body[2..];
        let stage = match message {
            [ttc::PROTOCOL, ..] => Some(Stage::Protocol),
            [ttc::FUNCTION, ttc::LOG_IN_BEGIN, ..] => Some(Stage::LogInBegin),
            [ttc::FUNCTION, ttc::LOG_IN, ..] => Some(Stage::LogIn),
            [ttc::FUNCTION, ttc::EXECUTE, ..] => Some(Stage::Query),
            _ => None,
        };
        if let Some(stage) = stage
            && do_harm(&mut wire, stage, settings).await?
        {
            return Ok(());
        }
        let mut answer = session.answer(message).ok_or(io::ErrorKind::InvalidData)?;
        while let Reply::Later(pause, then) = answer {
            answer = wait(&mut wire, pause, *then).await?;
        }
        if let Reply::Now(answer) = answer {
            wire.say(&answer).await?;
        }
    }
}

/// Whether the client has got something else than its answer.
async fn do_harm<S>(wire: &mut Wire<S>, stage: Stage, settings: &Settings) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some((_, harm)) = settings.harm.as_ref().filter(|(at, _)| *at == stage) else { return Ok(false) };
    match harm {
        Harm::Hang => {}
        Harm::Cut => {
            wire.stream.write_all(&[0, 0, 1, 0, tns::DATA, 0, 0, 0, 0, 0, 4]).await?;
            wire.stream.shutdown().await?;
        }
        Harm::Say(bytes) => wire.stream.write_all(bytes).await?,
        Harm::Message(message) => wire.say(message).await?,
    }
    wire.stream.flush().await?;
    // Whatever the client makes of it.
    let _ = tokio::io::copy(&mut wire.stream, &mut tokio::io::sink()).await;
    Ok(true)
}

/// What is said next.
enum Reply {
    Now(Vec<u8>),
    Later(Duration, Box<Reply>),
}

/// An answer takes its time, unless the client interrupts it: then both begin anew, behind an error.
async fn wait<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, pause: Duration, then: Reply) -> io::Result<Reply> {
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(then),
        interrupt = wire.read() => {
            let mut marker = interrupt?;
            while marker.kind == tns::MARKER && marker.body.get(2) != Some(&tns::RESET) {
                marker = wire.read().await?;
            }
            println!("interrupted");
            wire.write(tns::MARKER, 0, &[1, 0, tns::RESET]).await?;
            Ok(Reply::Now(ttc::Answer::error(1013, "ORA-01013: user requested cancel of current operation\n")))
        }
    }
}

struct Session<'a> {
    settings: &'a Settings,
    account: Option<&'a Account>,
    login: Option<Login>,
    warned: Option<(u32, &'a str)>,
    /// The nonce of a row that is written and not removed yet.
    canary: Option<String>,
}

impl Session<'_> {
    /// None for what is not understood.
    fn answer(&mut self, message: &[u8]) -> Option<Reply> {
        Some(Reply::Now(match message {
            [ttc::PROTOCOL, ..] => ttc::Answer::protocol(),
            [ttc::DATA_TYPES, ..] => ttc::Answer::data_types(),
            [ttc::FUNCTION, ttc::LOG_IN_BEGIN, ..] => {
                let (user, _) = Question::of(message).log_in()?;
                let accounts = &self.settings.accounts;
                self.account = accounts.iter().find(|account| account.user.eq_ignore_ascii_case(&user));
                // Nobody learns here who exists.
                let password = self.account.map_or("no-such-user", |account| account.password.as_str());
                self.login.insert(Login::begin(password)).challenge()
            }
            [ttc::FUNCTION, ttc::LOG_IN, ..] => self.log_in(message)?,
            [ttc::FUNCTION, ttc::EXECUTE, ..] => {
                let statement = Question::of(message).statement()?;
                return Some(self.known(&statement).unwrap_or_else(|| self.canary(&statement)));
            }
            [ttc::FUNCTION, ttc::LOG_OFF, ..] => {
                println!("log off");
                ttc::Answer::status()
            }
            [ttc::FUNCTION, ttc::COMMIT, ..] => {
                println!("commit, with{} a canary", if self.canary.is_some() { "" } else { "out" });
                return Some(self.known("COMMIT").unwrap_or_else(|| Reply::Now(ttc::Answer::status())));
            }
            [ttc::FUNCTION, ttc::ROLLBACK, ..] => {
                println!("rollback");
                self.canary = None;
                ttc::Answer::status()
            }
            [ttc::FUNCTION, ttc::PING, ..] => ttc::Answer::status(),
            _ => return None,
        }))
    }

    /// What it was told to answer.
    fn known(&self, statement: &str) -> Option<Reply> {
        let answers = &self.settings.answers;
        answers.iter().find(|(words, _)| statement.contains(words.as_str())).map(|(_, answer)| reply(answer))
    }

    /// What the only table of its own does; there is no other.
    fn canary(&mut self, statement: &str) -> Reply {
        let written = statement.split_once("SET c.nonce = '").and_then(|(_, nonce)| nonce.split('\'').next());
        reply(&match statement.split(' ').next() {
            _ if !statement.contains("probity.canary") => Answer::Error(942, "ORA-00942: table or view does not exist\n".into()),
            Some("SELECT") => {
                let rows = self.canary.iter().map(|nonce| vec![Some(nonce.clone())]).collect();
                Answer::Rows(vec![("NONCE".into(), false)], rows)
            }
            _ => {
                self.canary = written.map(str::to_owned);
                Answer::Done
            }
        })
    }

    fn log_in(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (user, pairs) = Question::of(message).log_in()?;
        let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
        println!("log in {user}");
        let account = self.account;
        let login = self.login.take()?;
        let proof = account.and_then(|account| login.finish(&account.password, value("AUTH_SESSKEY"), value("AUTH_PASSWORD")));
        let error = account.and_then(|account| account.error.as_ref());
        let (Some(account), Some(proof)) = (account, proof) else {
            return Some(ttc::Answer::error(1017, "ORA-01017: invalid username/password; logon denied\n"));
        };
        if let Some((code, text)) = error {
            return Some(ttc::Answer::error(*code, text));
        }
        self.warned = account.warning.as_ref().map(|(code, text)| (*code, text.as_str()));
        let pairs = [
            ("AUTH_SVR_RESPONSE", proof.as_str(), 0),
            // 19.3.0.0.0
            ("AUTH_VERSION_NO", "318963712", 0),
            ("AUTH_SESSION_ID", "42", 0),
            ("AUTH_SERIAL_NUM", "4711", 0),
            ("AUTH_SC_SERVICE_NAME", &self.settings.service, 0),
            ("AUTH_SC_DBUNIQUE_NAME", "STANDIN", 0),
            ("AUTH_INSTANCENAME", &self.settings.sid, 0),
            ("AUTH_MAX_OPEN_CURSORS", "300", 0),
        ];
        Some(ttc::Answer::pairs(&pairs, self.warned))
    }
}

fn reply(answer: &Answer) -> Reply {
    match answer {
        Answer::Rows(columns, rows) => Reply::Now(ttc::Answer::rows(columns, rows)),
        Answer::Error(code, text) => Reply::Now(ttc::Answer::error(*code, text)),
        Answer::Slow(pause, then) => Reply::Later(Duration::from_millis(*pause), Box::new(reply(then))),
        Answer::Done => Reply::Now(ttc::Answer::error(0, "")),
    }
}

impl Tls {
    pub(super) fn of(certificate: &Path, key: &Path) -> Self {
        Self { certificate: certificate.into(), key: key.into(), renegotiates: false }
    }
}
