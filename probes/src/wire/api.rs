//! An API by HTTP on one kept-alive connection: the same headers with every request, the whole answer in hand.
//!
//! It belongs to whoever speaks HTTP without being a web site. Where the server, or what stands before it, closes
//! the connection behind an answer, the next question of the run gets a new one.

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{
    address::{Address, Credentials},
    backend::ConfigError,
    failure::{Failure, FailureKind, OF_PROXY, WireFault},
    run::{Phase, Run},
    tls::TlsConfig,
    wire::{
        dial::Target,
        http::{ALPN, HttpConnection, Reply},
        json,
    },
};

/// Most bytes of an answer.
const ANSWER_LIMIT: usize = 1 << 20;

/// A connection and what every request on it has.
pub struct Api {
    connection: HttpConnection,
    target: Target,
    headers: HeaderMap,
    /// The server closes the connection behind its last answer.
    ended: bool,
    /// Whether it is the session, which then ends, too.
    is_session: bool,
}

/// Where an API is: a URL of the web, but ports of its own.
///
/// # Errors
/// No host, or TLS settings for `http://`.
pub fn target(url: &Address, plain_port: u16, tls_port: u16, tls: Option<TlsConfig>) -> Result<Target, ConfigError> {
    let secure = url.scheme() == "https";
    let port = if secure { tls_port } else { plain_port };
    let mut target = url.target(port, secure, tls)?;
    target.alpn = ALPN;
    Ok(target)
}

/// The headers of every request.
#[derive(Debug)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Those that every request has.
    ///
    /// # Errors
    /// A host that cannot stand in a header.
    pub fn of(target: &Target, run: &Run) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("probity/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::HOST, value("the host", &run.endpoint(target).to_string())?);
        Ok(Self(headers))
    }

    /// With one more.
    ///
    /// # Errors
    /// A value that cannot stand in a header.
    pub fn with(mut self, name: HeaderName, text: &str) -> Result<Self, Failure> {
        let value = value(name.as_str(), text)?;
        self.0.insert(name, value);
        Ok(self)
    }

    /// With one that nobody may print.
    ///
    /// # Errors
    /// A value that cannot stand in a header.
    pub fn with_secret(mut self, name: HeaderName, text: &str) -> Result<Self, Failure> {
        let mut value = value("the credentials", text)?;
        value.set_sensitive(true);
        self.0.insert(name, value);
        Ok(self)
    }

    /// With user and password (RFC 7617); without both nothing changes.
    ///
    /// # Errors
    /// A secret that cannot be read.
    pub async fn with_login(self, credentials: &Credentials, run: &mut Run) -> Result<Self, Failure> {
        let Credentials { user, password } = credentials;
        let password = run.secret_if(password.as_ref()).await?;
        if user.is_none() && password.is_none() {
            return Ok(self);
        }
        self.with_basic(user.as_deref().unwrap_or_default(), password.as_ref().map_or("", |password| password.as_str()), run)
    }

    /// With this user and password (RFC 7617).
    ///
    /// # Errors
    /// None is known: what cannot stand in a header is encoded.
    pub fn with_basic(self, user: &str, password: &str, run: &mut Run) -> Result<Self, Failure> {
        let pair = Zeroizing::new(BASE64_STANDARD.encode(Zeroizing::new(format!("{user}:{password}")).as_bytes()));
        run.conceal(&pair);
        self.with_secret(header::AUTHORIZATION, &format!("Basic {}", *pair))
    }
}

/// How those begin whose name is shown.
const PROXIES: [&str; 12] = [
    "apache",
    "awselb",
    "caddy",
    "cloudflare",
    "envoy",
    "gunicorn",
    "haproxy",
    "istio-envoy",
    "nginx",
    "squid",
    "traefik",
    "varnish",
];

fn value(what: &str, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::new(FailureKind::Config, format!("{what} cannot be sent in a header")))
}

impl Api {
    /// Dials; who logs in is said with every request.
    ///
    /// # Errors
    /// A typed failure of one of the phases.
    pub async fn open(run: &mut Run, target: &Target, headers: Headers) -> Result<Self, Failure> {
        let connection = HttpConnection::open(run, target).await?;
        Ok(Self { connection, target: target.clone(), headers: headers.0, ended: false, is_session: true })
    }

    /// Dials a server beside the session, which goes on when this connection ends.
    ///
    /// # Errors
    /// A typed failure of one of the phases.
    pub async fn open_beside(run: &mut Run, target: &Target, headers: Headers) -> Result<Self, Failure> {
        Ok(Self { is_session: false, ..Self::open(run, target, headers).await? })
    }

    /// Asks for a page, whatever the status of the answer.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn get(&mut self, path: &str, run: &mut Run) -> Result<Reply, Failure> {
        self.send(Method::GET, path, Bytes::new(), run).await
    }

    /// Sends a request. What it says in a body is JSON.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn send(&mut self, method: Method, path: &str, body: Bytes, run: &mut Run) -> Result<Reply, Failure> {
        if self.ended {
            self.connection = HttpConnection::open(run, &self.target).await?;
        }
        let says_json = !body.is_empty();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(body))
            .map_err(|_| Failure::new(FailureKind::Config, "no request can be made of this question"))?;
        *request.headers_mut() = self.headers.clone();
        if says_json {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let phase = run.phase_now().unwrap_or(Phase::Auth);
        let answered = async {
            let reply = self.connection.send(request, ANSWER_LIMIT).await?;
            json::bound(&reply.body).map_err(WireFault::to_failure)?;
            Ok::<_, Failure>(reply)
        };
        let reply = run.phase(phase, answered).await?;
        self.ended = reply.is_last();
        if self.ended && self.is_session {
            run.last_use();
        }
        reply.of_proxy().map_or(Ok(reply), Err)
    }

    /// The answer to a question that may hang although the server is well; none when it does. What was asked is then
    /// left behind with its connection.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn try_get(&mut self, path: &str, run: &mut Run) -> Result<Option<Reply>, Failure> {
        self.try_send(Method::GET, path, Bytes::new(), run).await
    }

    /// Like [`Api::try_get`], of any request.
    ///
    /// # Errors
    /// What the connection says.
    pub async fn try_send(&mut self, method: Method, path: &str, body: Bytes, run: &mut Run) -> Result<Option<Reply>, Failure> {
        let Ok(answer) = timeout(run.question_limit(), self.send(method, path, body, run)).await else {
            self.ended = true;
            return Ok(None);
        };
        answer.map(Some)
    }

    /// Ends in order.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

impl Reply {
    /// The body as a document.
    ///
    /// # Errors
    /// `protocol` when it is not the one that was asked for.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json::read(&self.body, |error| {
            Failure::new(FailureKind::Protocol, "the answer is not the document that was asked for").with_words(error.to_string())
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether somebody says in plain text that only TLS is spoken here, as nginx and Go's servers do.
    #[must_use]
    pub fn expects_tls(&self) -> bool {
        let says = |words: &str| self.text().contains(words);
        self.status == StatusCode::BAD_REQUEST
            && (says("plain HTTP request was sent to HTTPS port") || says("HTTP request to an HTTPS server"))
    }

    /// That a proxy has answered in the server's place: no API says anything in HTML.
    fn of_proxy(&self) -> Option<Failure> {
        let text = self.body.trim_ascii_start();
        let begins = |mark: &str| text.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark.as_bytes()));
        if !(begins("<html") || begins("<!doctype html")) || self.expects_tls() {
            return None;
        }
        let (kind, remedy) = match self.status.as_u16() {
            401 | 407 => (FailureKind::Auth, "Give the credentials that the proxy wants."),
            403 => (FailureKind::Permission, "Look at whom the proxy lets pass, and where to."),
            429 => (FailureKind::Overload, "Look at how many requests the proxy lets pass."),
            502..=504 => (FailureKind::NotReady, "Look at the server behind the proxy, and at the proxy's log."),
            _ => (FailureKind::Protocol, "Check host, port and path: the proxy, or web server, may lead elsewhere."),
        };
        // Whatever else it calls itself is a word of the peer's.
        let name = self.header("server").unwrap_or_default().to_ascii_lowercase();
        let name = PROXIES.iter().find(|known| name.starts_with(**known)).map_or_else(String::new, |name| format!(" ({name})"));
        let failure = Failure::new(kind, format!("an HTTP proxy{name} answered in the server's place: {}", self.status));
        Some(failure.with_code(format!("{OF_PROXY}{}", self.status.as_u16())).with_remedy(remedy))
    }

    /// What a manual calls this status, when the body has no better name for it.
    #[must_use]
    pub fn status_code(&self) -> String {
        format!("HTTP {}", self.status.as_u16())
    }
}
