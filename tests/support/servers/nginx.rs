//! nginx as the HTTP service that is asked for its health: plain, with TLS, and with TLS that wants a certificate.
//!
//! | path | answer |
//! | --- | --- |
//! | `/health` | 200 `{"status":"UP"}`, JSON |
//! | `/text` | 200 `I am well` |
//! | `/204`, `/400`, `/401`, `/403`, `/404`, `/500`, `/502`, `/504` | that status |
//! | `/429`, `/503` | that status, with `Retry-After: 5` |
//! | `/auth` | 200 for [`USER`] with [`PASSWORD`], else 401 |
//! | `/redir`, `/loop` | 302 to `/health`, 302 to itself |
//! | `/big` | 200 and 3 MiB |
//! | `/headers` | 200 with `X-Region: eu` |

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::super::http;
use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, program};

const PLAIN_STATUSES: [u16; 8] = [204, 400, 401, 403, 404, 500, 502, 504];
const STATUSES_WITH_RETRY: [u16; 2] = [429, 503];

const BIG: u64 = 3 << 20;

/// An nginx that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    identity: Option<Identity>,
    locations: Vec<String>,
    http2: bool,
}

impl Builder {
    /// The certificate of both TLS ports; without this a good one of [`Ca::shared`].
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// One more location, such as `("= /teapot", "return 418;")`.
    pub(crate) fn location(mut self, path: &str, directives: &str) -> Self {
        self.locations.push(location(path, directives));
        self
    }

    /// Offers HTTP/2 on the TLS ports.
    pub(crate) fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Starts it and waits until `/health` answers.
    #[track_caller]
    pub(crate) fn start(self) -> Nginx {
        let folder = scratch();
        let ports = Ports { http: free_port(), https: free_port(), mutual: free_port() };
        let good = || Ca::shared().issue(&Leaf::server());
        install(folder.path(), &self.identity.unwrap_or_else(good));
        let conf = conf(folder.path(), &ports, &self.locations, self.http2);
        let file = |name: &str| folder.path().join(name);
        fs::write(file("nginx.conf"), conf).expect("nginx.conf can be written");
        fs::write(file("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).expect("the password file can be written");
        fs::write(file("ok"), "ok\n").expect("a small file can be made");
        let big = File::create(file("big")).and_then(|big| big.set_len(BIG));
        big.expect("the big file can be made");
        let launch = Launch::new(program("nginx"), file("log"))
            .arg("-p")
            .arg(folder.path())
            // The log that is compiled in is opened before the configuration is read, and is root's.
            .args(["-e", "stderr", "-c", "nginx.conf"]);
        let nginx = Nginx { process: launch.start(), ports, folder };
        nginx.wait_until_answering();
        nginx
    }
}

#[derive(Debug)]
struct Ports {
    http: u16,
    https: u16,
    mutual: u16,
}

/// A running nginx: one process, so that a freeze or a kill hits all of it.
#[derive(Debug)]
pub(crate) struct Nginx {
    process: Server,
    ports: Ports,
    folder: TempDir,
}

impl Nginx {
    /// One with the locations above, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { identity: None, locations: fixed_locations(), http2: false }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// One whose TLS ports show a certificate of [`Ca::shared`] like this.
    #[track_caller]
    pub(crate) fn with_certificate(leaf: &Leaf) -> Self {
        Self::builder().identity(&Ca::shared().issue(leaf)).start()
    }

    /// Where it listens without TLS, as other servers call it.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.http()
    }

    /// Where it listens without TLS.
    pub(crate) fn http(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    /// Where it listens with TLS.
    pub(crate) fn https(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.https).into()
    }

    /// Where it listens with TLS and answers 400 to whoever shows no certificate of [`Ca::shared`].
    pub(crate) fn mutual_tls(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.mutual).into()
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

    /// Shows another certificate from now on; it is restarted for that.
    #[track_caller]
    pub(crate) fn set_identity(&self, identity: &Identity) {
        install(self.folder.path(), identity);
        self.restart();
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        let ask = || http::get(self.http(), "/health", Duration::from_secs(1));
        self.process.wait_until("/health answers", || ask().ok());
    }
}

/// A healthy one, which many tests may ask at once.
pub(crate) fn shared() -> &'static Nginx {
    static SHARED: LazyLock<Nginx> = LazyLock::new(Nginx::start);
    &SHARED
}

/// Puts a certificate where the configuration says.
fn install(folder: &Path, identity: &Identity) {
    for (from, to) in [(&identity.certificate, "tls.crt"), (&identity.key, "tls.key")] {
        fs::copy(from, folder.join(to)).expect("a PEM file can be copied");
    }
}

/// The configuration. Every path is spelled out: the compiled-in ones lie in folders that only root may write.
fn conf(folder: &Path, ports: &Ports, locations: &[String], http2: bool) -> String {
    let ca = Ca::shared().certificate();
    let (ca, folder) = (ca.display(), folder.display());
    let (plain, secure, mutual) = (ports.http, ports.https, ports.mutual);
    let tls = if http2 { "ssl http2" } else { "ssl" };
    let locations = locations.join("\n");
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {folder}/{kind};")).join("\n");
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
access_log off;
default_type text/plain;
root {folder};
ssl_certificate {folder}/tls.crt;
ssl_certificate_key {folder}/tls.key;
{temporary}
server {{
listen 127.0.0.1:{plain};
listen 127.0.0.1:{secure} {tls};
{locations}
}}
server {{
listen 127.0.0.1:{mutual} {tls};
ssl_client_certificate {ca};
ssl_verify_client on;
{locations}
}}
}}
"
    )
}

fn fixed_locations() -> Vec<String> {
    let named = [
        ("health", "default_type application/json; return 200 '{\"status\":\"UP\"}';"),
        ("text", "return 200 'I am well';"),
        ("auth", "auth_basic probity; auth_basic_user_file users; try_files /ok =404;"),
        ("redir", "return 302 /health;"),
        ("loop", "return 302 /loop;"),
        ("headers", "add_header X-Region eu; return 200;"),
    ];
    let named = named.map(|(path, directives)| location(&format!("= /{path}"), directives));
    let plain = PLAIN_STATUSES.map(|status| location(&format!("= /{status}"), &format!("return {status};")));
    let retried = STATUSES_WITH_RETRY.map(|status| {
        let directives = format!("add_header Retry-After 5 always; return {status};");
        location(&format!("= /{status}"), &directives)
    });
    named.into_iter().chain(plain).chain(retried).collect()
}

fn location(path: &str, directives: &str) -> String {
    format!("location {path} {{ {directives} }}")
}
