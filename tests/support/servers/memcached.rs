//! Memcached (1.6 and later): healthy, full of connections, full of items.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A Memcached that is about to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    args: Vec<String>,
    login: bool,
    identity: Option<Identity>,
    socket: bool,
}

impl Builder {
    /// Arguments of the command line.
    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(str::to_owned));
        self
    }

    /// Only [`USER`] with [`PASSWORD`] may ask anything.
    pub(crate) fn login(mut self) -> Self {
        self.login = true;
        self
    }

    /// With TLS, and a good certificate of [`Ca::shared`].
    pub(crate) fn tls(self) -> Self {
        self.identity(&Ca::shared().issue(&Leaf::server()))
    }

    /// With TLS, showing this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// On a unix socket instead of a port.
    pub(crate) fn socket(mut self) -> Self {
        self.socket = true;
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> Memcached {
        let folder = scratch();
        let port = free_port();
        let socket = folder.path().join("socket");
        let mut launch = Launch::new(program("memcached"), folder.path().join("log"));
        launch = if self.socket {
            launch.arg("-s").arg(&socket)
        } else {
            launch.args(["-l", "127.0.0.1", "-U", "0", "-p"]).arg(port.to_string())
        };
        if rustix::process::geteuid().is_root() {
            launch = launch.args(["-u", "root"]);
        }
        if self.login {
            let file = folder.path().join("users");
            std::fs::write(&file, format!("{USER}:{PASSWORD}\n")).expect("a file can be written");
            launch = launch.arg("-Y").arg(file);
        }
        if let Some(identity) = &self.identity {
            let (chain, key) = (identity.certificate.display(), identity.key.display());
            launch = launch.args(["-Z", "-o"]).arg(format!("ssl_chain_cert={chain},ssl_key={key}"));
        }
        let process = launch.args(["-t", "2"]).args(self.args).start();
        let tls = self.identity.is_some();
        let memcached = Memcached { process, port, socket: self.socket.then_some(socket), tls, _folder: folder };
        memcached.wait_until_answering();
        memcached
    }
}

/// A running Memcached.
#[derive(Debug)]
pub(crate) struct Memcached {
    process: Server,
    port: u16,
    socket: Option<PathBuf>,
    tls: bool,
    _folder: TempDir,
}

impl Memcached {
    /// One as Debian starts it, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder::default()
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

    /// Its unix socket, if it has one.
    #[track_caller]
    pub(crate) fn socket(&self) -> &PathBuf {
        self.socket.as_ref().expect("this Memcached was started with a socket")
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_answering();
    }

    /// A client that has connected and been answered.
    pub(crate) fn connect(&self) -> io::Result<Client> {
        let mut client = Client::connect(self.addr())?;
        client.ask("version\r\n").map(|_| client)
    }

    /// One value of `stats`.
    #[track_caller]
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stats = self.connect().and_then(|mut client| client.stats()).expect("it answers");
        let value = stats.lines().find_map(|line| line.strip_prefix("STAT ")?.strip_prefix(name)?.trim().parse().ok());
        value.expect("the statistic is there")
    }

    /// Clients until one is refused, or not answered; they stay until the value is dropped.
    #[track_caller]
    pub(crate) fn fill_with_clients(&self) -> Vec<Client> {
        const MOST: usize = 100;
        const IGNORED: Duration = Duration::from_millis(300);
        let mut clients = Vec::new();
        while clients.len() < MOST {
            let answer = Client::connect(self.addr()).and_then(|mut client| {
                client.patience(IGNORED)?;
                let answer = client.ask("version\r\n")?;
                Ok((client, answer))
            });
            match answer {
                Ok((client, answer)) if answer.starts_with("VERSION") => clients.push(client),
                _ => return clients,
            }
        }
        panic!("{MOST} clients do not fill it");
    }

    /// Writes items of 100 kB until one is refused, or so many are written; says how many were refused.
    #[track_caller]
    pub(crate) fn write_items(&self, count: usize) -> usize {
        let mut client = self.connect().expect("it answers");
        let value = "x".repeat(100_000);
        let refused = |number: usize| {
            let answer = client.ask(&format!("set item{number} 0 0 {}\r\n{value}\r\n", value.len()));
            answer.expect("it answers").starts_with("SERVER_ERROR out of memory")
        };
        (0..count).map(refused).filter(|refused| *refused).count()
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.process.wait_until("version is answered", || match &self.socket {
            Some(path) => std::os::unix::net::UnixStream::connect(path).ok().map(drop),
            // With TLS a client of ours cannot ask; that it listens has to do.
            None if self.tls => TcpStream::connect(self.addr()).ok().map(drop),
            None => self.connect().ok().map(drop),
        });
    }
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Memcached {
    static SHARED: LazyLock<Memcached> = LazyLock::new(Memcached::start);
    &SHARED
}

/// A client of the text protocol.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn patience(&self, patience: Duration) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(Some(patience))
    }

    /// Says something and reads the line that answers it.
    pub(crate) fn ask(&mut self, words: &str) -> io::Result<String> {
        self.0.get_mut().write_all(words.as_bytes())?;
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn stats(&mut self) -> io::Result<String> {
        let mut stats = self.ask("stats\r\n")?;
        while !stats.ends_with("END\r\n") {
            stats.push('\n');
            self.0.read_line(&mut stats)?;
        }
        Ok(stats)
    }
}
