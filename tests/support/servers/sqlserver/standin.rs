//! A stand-in for SQL Server: as much of one as other people's clients need to take it for one, and all that can be
//! wrong with it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use serde_json::{Value as Json, json};

use super::super::super::tls::Identity;
use super::super::{PASSWORD, USER};
use super::tokens::{
    APPLICATION_AT, DATABASE_AT, HEADER, PASSWORD_AT, USER_AT, done, error, field, let_in, packets, prelogin, sent_on, table,
    transaction,
};

/// Types of packets.
const BATCH: u8 = 1;
const REPLY: u8 = 4;
const ATTENTION: u8 = 6;
const PRELOGIN: u8 = 0x12;

/// What is said of encryption in PRELOGIN.
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// What it does when somebody logs in or asks.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Error number, state, words.
    Refuse(u32, u8),
    /// Sends who logs in to another address.
    SendOn(String, u16),
    /// Answers with these columns and rows.
    Tell(&'static [&'static str], Vec<Vec<Json>>),
    /// Answers nothing.
    BeSilent,
    /// Closes in the middle of its answer.
    Cut,
    /// Says this instead of an answer.
    Say(Vec<u8>),
}

/// What it says of encryption, and whether that is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// It has none.
    None,
    /// It does what the client wants, TLS before all else included.
    Offered,
    /// The client must want it.
    Required,
    /// It agrees, and then answers the handshake in plain text.
    Lie,
    /// It agrees, and goes on in plain text once the log-in is through.
    LoginOnly,
}

/// What is true of it, for its threads and for the test.
#[derive(Debug, Default)]
struct State {
    over: bool,
    sockets: Vec<TcpStream>,
    /// What is done to who logs in to any database, or to a certain one.
    logins: HashMap<Option<String>, Deed>,
    /// What is done to questions with these words in them: the first that fits.
    questions: Vec<(&'static str, Deed)>,
    /// Rows of `probity.canary`.
    canaries: HashMap<String, String>,
    seen: Vec<String>,
}

/// A running stand-in on a free port of 127.0.0.1, which ends with its value.
#[derive(Debug)]
pub(crate) struct StandIn {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    /// A healthy one without TLS.
    pub(crate) fn start() -> Self {
        Self::with(Cipher::None, None)
    }

    /// One that does TLS with this certificate.
    pub(crate) fn secured(cipher: Cipher, identity: &Identity) -> Self {
        Self::with(cipher, Some(identity))
    }

    fn with(cipher: Cipher, identity: Option<&Identity>) -> Self {
        let config = |version| identity.map(|identity| Arc::new(configuration(identity, version)));
        // TDS 7 knows of TLS up to 1.2 only.
        let configs = [config(&rustls::version::TLS12), config(&rustls::version::TLS13)];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
        let addr = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(socket), mut now) = (socket, lock(&shared)) else { return };
                if now.over {
                    return;
                }
                now.sockets.extend(socket.try_clone());
                drop(now);
                let (state, configs) = (Arc::clone(&shared), configs.clone());
                thread::spawn(move || {
                    let mut line = Line { socket, tls: None };
                    // Whatever went wrong, the client sees the end of it.
                    let _ = serve(&mut line, cipher, configs, &state);
                    let _ = line.socket.shutdown(Shutdown::Both);
                });
            }
        });
        Self { addr, state }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on who logs in to this database, or to any, has this done to him.
    pub(crate) fn at_login(&self, database: Option<&str>, deed: Deed) {
        lock(&self.state).logins.insert(database.map(str::to_owned), deed);
    }

    /// From now on a question with these words in it has this done to it.
    pub(crate) fn at_question(&self, words: &'static str, deed: Deed) {
        let mut state = lock(&self.state);
        state.questions.retain(|(known, _)| *known != words);
        state.questions.insert(0, (words, deed));
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        let mut state = lock(&self.state);
        state.logins.clear();
        state.questions.clear();
    }

    /// Ends all sessions, and goes on listening.
    pub(crate) fn end_sessions(&self) {
        lock(&self.state).sockets.drain(..).for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }

    /// What was seen: log-ins, questions, attentions.
    pub(crate) fn seen(&self) -> Vec<String> {
        lock(&self.state).seen.clone()
    }

    /// How many rows of `probity.canary` there are.
    pub(crate) fn canaries(&self) -> usize {
        lock(&self.state).canaries.len()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        lock(&self.state).over = true;
        self.end_sessions();
        // Wakes the listener, which then sees that it is over.
        drop(TcpStream::connect(self.addr));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn configuration(identity: &Identity, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_file(&identity.certificate).expect("a PEM file")];
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a PEM file");
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).expect("it exists");
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).expect("a usable certificate");
    config.alpn_protocols = if version.version == rustls::ProtocolVersion::TLSv1_3 { vec![b"tds/8.0".to_vec()] } else { vec![] };
    config
}

/// A connection, in plain text or under TLS.
struct Line {
    socket: TcpStream,
    tls: Option<ServerConnection>,
}

impl Line {
    fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).read_exact(bytes),
            None => self.socket.read_exact(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.socket).write_all(bytes),
            None => self.socket.write_all(bytes),
        }
    }

    /// The type and the body of a message.
    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut body = Vec::new();
        loop {
            let mut header = [0; HEADER];
            self.read_exact(&mut header)?;
            let [kind, status, high, low, ..] = header;
            let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(HEADER).ok_or(io::ErrorKind::InvalidData)?;
            let start = body.len();
            body.resize(start + length, 0);
            self.read_exact(&mut body[start..])?;
            if status & 1 == 1 {
                return Ok((kind, body));
            }
        }
    }

    fn reply(&mut self, body: &[u8]) -> io::Result<()> {
        self.write_all(&packets(REPLY, body))
    }

    /// A handshake inside of packets.
    fn shake_hands(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            let (_, records) = self.message()?;
            let mut records = records.as_slice();
            while !records.is_empty() {
                tls.read_tls(&mut records)?;
                if let Err(why) = tls.process_new_packets() {
                    // With an alert, as servers do.
                    let mut alert = Vec::new();
                    tls.write_tls(&mut alert)?;
                    self.socket.write_all(&packets(PRELOGIN, &alert))?;
                    return Err(io::Error::other(why));
                }
            }
            let mut flight = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut flight)?;
            }
            if !flight.is_empty() {
                self.socket.write_all(&packets(PRELOGIN, &flight))?;
            }
        }
        self.tls = Some(tls);
        Ok(())
    }
}

fn serve(line: &mut Line, cipher: Cipher, [two, three]: [Option<Arc<ServerConfig>>; 2], state: &Mutex<State>) -> io::Result<()> {
    let mut first = [0];
    line.socket.peek(&mut first)?;
    let strict = first == [0x16] && cipher == Cipher::Offered;
    if !strict && first != [PRELOGIN] {
        return Ok(());
    }
    if strict {
        line.tls = Some(ServerConnection::new(three.ok_or(io::ErrorKind::Unsupported)?).map_err(io::Error::other)?);
    }
    let (_, asked) = line.message()?;
    let wanted = encryption(&asked).unwrap_or(NOT_SUPPORTED);
    let wants = matches!(wanted, ON | REQUIRED);
    let answer = match cipher {
        Cipher::None => NOT_SUPPORTED,
        _ if strict => ON,
        Cipher::Required => REQUIRED,
        _ if wants => ON,
        _ => NOT_SUPPORTED,
    };
    line.reply(&prelogin(answer))?;
    if answer != NOT_SUPPORTED && !strict {
        if cipher == Cipher::Lie {
            line.message()?;
            return line.reply(&let_in("master", [0x74, 0, 0, 4]));
        }
        line.shake_hands(two.ok_or(io::ErrorKind::Unsupported)?)?;
    }
    let (_, login) = line.message()?;
    if cipher == Cipher::LoginOnly {
        line.tls = None;
    }
    if !log_in(line, &login, state)? {
        return Ok(());
    }
    loop {
        let (kind, body) = line.message()?;
        match kind {
            BATCH => {
                let skipped = usize::from(body[0]) | usize::from(body[1]) << 8;
                let wide: Vec<_> = body[skipped..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                if !answer_question(line, &String::from_utf16_lossy(&wide), state)? {
                    return Ok(());
                }
            }
            ATTENTION => {
                lock(state).seen.push("ATTENTION".into());
                line.reply(&done(0x20, 0))?;
            }
            other => line.reply(&error(2812, 1, &format!("no packets of type {other} here")))?,
        }
    }
}

/// The value of the option of PRELOGIN.
fn encryption(body: &[u8]) -> Option<u8> {
    let option = body.chunks_exact(5).take_while(|option| option[0] != 0xff).find(|option| option[0] == 1)?;
    body.get(usize::from(u16::from_be_bytes([option[1], option[2]]))).copied()
}

/// Whether somebody is let in.
fn log_in(line: &mut Line, login: &[u8], state: &Mutex<State>) -> io::Result<bool> {
    let text = |at| field(login, at).unwrap_or_default();
    let [user, password, application, database] = [USER_AT, PASSWORD_AT, APPLICATION_AT, DATABASE_AT].map(text);
    let read_only = login.get(26).is_some_and(|flags| flags & 0x20 != 0);
    let deed = {
        let mut state = lock(state);
        state.seen.push(format!("LOGIN {user} {application} {database}{}", if read_only { " ReadOnly" } else { "" }));
        state.logins.get(&Some(database.clone())).or(state.logins.get(&None)).cloned()
    };
    let version = [login[7], login[6], login[5], login[4]];
    let open = if database.is_empty() { "master" } else { &database };
    match deed {
        _ if (user.as_str(), password.as_str()) != (USER, PASSWORD) => {
            line.reply(&error(18456, 1, &format!("Login failed for user '{user}'.")))?;
            Ok(false)
        }
        None => line.reply(&let_in(open, version)).map(|()| true),
        // As servers do, which say first why, and then what came of it.
        Some(Deed::Refuse(4060, class)) => {
            let both = [error(4060, class, "Cannot open database"), error(18456, 1, "Login failed for user.")];
            line.reply(&both.concat()).map(|()| false)
        }
        Some(Deed::Refuse(number, class)) => line.reply(&error(number, class, "It is refused.")).map(|()| false),
        Some(Deed::SendOn(host, port)) => line.reply(&sent_on(&host, port, version)).map(|()| true),
        Some(Deed::Cut) => {
            let whole = packets(REPLY, &let_in(open, version));
            line.write_all(&whole[..whole.len() / 2]).map(|()| false)
        }
        Some(Deed::Say(bytes)) => line.write_all(&bytes).map(|()| true),
        Some(Deed::BeSilent | Deed::Tell(..)) => Ok(true),
    }
}

/// Whether the session goes on.
fn answer_question(line: &mut Line, question: &str, state: &Mutex<State>) -> io::Result<bool> {
    let deed = {
        let mut state = lock(state);
        state.seen.push(question.to_owned());
        state.questions.iter().find(|(words, _)| question.contains(words)).map(|(_, deed)| deed.clone())
    };
    let answer = match deed {
        None => well(question, &mut lock(state)),
        Some(Deed::Refuse(number, class)) => error(number, class, "It is refused."),
        Some(Deed::Tell(columns, rows)) => table(columns, &rows),
        Some(Deed::BeSilent | Deed::SendOn(..)) => return Ok(true),
        Some(Deed::Cut) => {
            let whole = packets(REPLY, &table(&["one"], &[vec![json!(1)]]));
            return line.write_all(&whole[..whole.len() / 2]).map(|()| false);
        }
        Some(Deed::Say(bytes)) => return line.write_all(&bytes).map(|()| true),
    };
    line.reply(&answer).map(|()| true)
}

/// What a healthy server answers.
fn well(question: &str, state: &mut State) -> Vec<u8> {
    let quoted: Vec<_> = question.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    if question.contains("SERVERPROPERTY") {
        let columns = properties();
        return table(columns.0, &[columns.1]);
    }
    if question.contains("probity.canary") {
        return canary(question, &quoted, state);
    }
    match question.split_whitespace().next().unwrap_or_default().to_uppercase().as_str() {
        "SELECT" if question.contains("@@") || question.trim_end() == "SELECT 1" || question.contains("AS one") => {
            table(&["one"], &[vec![json!(1)]])
        }
        "SELECT" => error(208, 1, "Invalid object name."),
        "BEGIN" => transaction(8),
        "COMMIT" => transaction(9),
        "SET" if question.contains("BEGIN TRANSACTION") => transaction(8),
        "IF" => transaction(10),
        _ => done(0, 0),
    }
}

/// What a healthy database says of itself: the columns, and the row.
pub(crate) fn properties() -> (&'static [&'static str], Vec<Json>) {
    (
        &["name", "server", "state", "updateability", "access", "collation", "auto_close", "version", "edition", "hadr"],
        vec![
            json!("orders"),
            json!("standin"),
            json!("ONLINE"),
            json!("READ_WRITE"),
            json!("MULTI_USER"),
            json!("Latin1_General_CI_AS"),
            json!(0),
            json!("stand-in"),
            json!("a stand-in"),
            json!(0),
        ],
    )
}

fn canary(question: &str, quoted: &[String], state: &mut State) -> Vec<u8> {
    match (question.split_whitespace().next(), quoted) {
        (Some("INSERT"), [id, nonce, ..]) => {
            state.canaries.insert(id.clone(), nonce.clone());
            done(0x10, 1)
        }
        (Some("SELECT"), [id, ..]) => {
            let rows: Vec<_> = state.canaries.get(id).map(|nonce| vec![json!(nonce)]).into_iter().collect();
            table(&["nonce"], &rows)
        }
        (Some("DELETE"), [id, ..]) => {
            state.canaries.remove(id);
            done(0x10, 1)
        }
        _ => error(102, 1, "Incorrect syntax."),
    }
}
