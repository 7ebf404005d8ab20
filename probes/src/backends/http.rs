//! HTTP and HTTPS: one request on a kept-alive connection, judged by status, headers and body.
//!
//! Nothing is followed unless the catalog says so: a login page behind a redirect is not health.
//! HTTP: RFC 9110; health bodies: draft-inadarei-api-health-check, Spring Boot, ASP.NET Core.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Version, header};
use http_body_util::Full;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::{
    address::{Address, Credentials},
    backend::{Backend, ConfigError},
    failure::{Failure, FailureKind, WireFault},
    finding::{Finding, Severity, Value},
    manual::{CodeRow, FactRow, FindingRow, LevelRow, Manual},
    question::{Answer, Question},
    run::Run,
    secret::Secret,
    tls::TlsConfig,
    wire::{
        dial::Target,
        http::{ALPN, HttpConnection, Reply},
        json,
        sniff::Protocol,
    },
};

/// Most bytes of a body that are read.
const BODY_LIMIT: usize = 1 << 20;

/// An HTTP or HTTPS endpoint.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// `http://` or `https://`, with path and query.
    url: Address,
    /// `GET`, `HEAD` or `POST`.
    #[serde(default)]
    method: HttpMethod,
    /// Headers to send; values may be secrets by reference.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Body to send with `POST`.
    body: Option<String>,
    /// User name for basic authentication, if it is not in the URL.
    username: Option<String>,
    /// Password for basic authentication.
    password: Option<Secret>,
    /// Bearer token.
    token: Option<Secret>,
    /// How many redirects to follow. Never to another scheme or host.
    #[serde(default)]
    #[schemars(range(max = 10))]
    follow: u8,
    /// What the body means, where it is a health document.
    body_schema: Option<BodySchema>,
    /// Files and names for TLS; needs `https://`.
    tls: Option<TlsConfig>,
    /// Own question: a JSON pointer (RFC 6901) into the body, such as `/queue/0/state`; `#` is the whole body.
    query: Option<String>,
    /// What the answer must be like.
    #[serde(default)]
    expect: HttpExpect,
}

/// A request method.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// The default.
    #[default]
    Get,
    /// Headers only.
    Head,
    /// With `body`.
    Post,
}

/// A known form of health document.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodySchema {
    /// `{"status": "pass" | "warn" | "fail"}`, the IETF draft.
    Ietf,
    /// `{"status": "UP" | "DOWN" | "OUT_OF_SERVICE" | "UNKNOWN"}`, Spring Boot Actuator.
    Spring,
    /// `Healthy`, `Degraded` or `Unhealthy`, as text or as the status of a document, ASP.NET Core.
    Aspnet,
}

/// What an answer must be like.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpExpect {
    /// Status codes (`204`) and ranges (`"200-299"`); the default is 200 to 299.
    status: Vec<StatusRange>,
    /// Headers that must be there with exactly this value.
    headers: BTreeMap<String, String>,
    /// Text that the body must contain.
    contains: Option<String>,
    /// Regular expression that the body must match.
    regex: Option<String>,
    /// Regular expression that the body must not match.
    not_regex: Option<String>,
    /// Values in a JSON body, by JSON pointer (RFC 6901): `{ "/status" = "UP" }`.
    json: BTreeMap<String, serde_json::Value>,
    /// The value that `query` must lead to.
    value: Option<Value>,
    /// How many values `query` must lead to: as many as an array has, 1 for anything else, 0 for nothing.
    #[schemars(range(max = 1_000_000))]
    rows: Option<u64>,
}

/// A status code, or a range of them.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "StatusText")]
#[schemars(with = "StatusText")]
pub struct StatusRange(u16, u16);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum StatusText {
    Code(u16),
    Range(String),
}

impl TryFrom<StatusText> for StatusRange {
    type Error = String;

    fn try_from(text: StatusText) -> Result<Self, String> {
        let bounds = match &text {
            StatusText::Code(code) => Some((*code, *code)),
            StatusText::Range(range) => range
                .split_once('-')
                .map_or_else(|| range.parse().ok().map(|code| (code, code)), |(a, b)| Some((a.parse().ok()?, b.parse().ok()?))),
        };
        match bounds {
            Some((low, high)) if (100..=599).contains(&low) && (low..=599).contains(&high) => Ok(Self(low, high)),
            _ => Err("expected a status such as 204, or a range such as \"200-299\"".into()),
        }
    }
}

/// Asks an HTTP endpoint.
pub struct Http {
    url: Url,
    target: Target,
    method: Method,
    headers: Vec<(HeaderName, Secret)>,
    body: Bytes,
    login: Login,
    follow: u8,
    statuses: Vec<StatusRange>,
    assertions: Assertions,
    question: Option<Question>,
}

enum Login {
    None,
    Basic(Credentials),
    Bearer(Secret),
}

/// What is held against an answer, parsed.
struct Assertions {
    headers: Vec<(HeaderName, String)>,
    contains: Option<String>,
    regex: Option<Regex>,
    not_regex: Option<Regex>,
    json: BTreeMap<String, serde_json::Value>,
    schema: Option<BodySchema>,
}

/// A kept-alive connection and what is sent on it.
pub struct HttpSession {
    connection: HttpConnection,
    headers: http::HeaderMap,
}

impl Backend for Http {
    type Config = HttpConfig;
    type Session = HttpSession;

    const KIND: &'static str = "http";
    const EXAMPLE: &'static str = r#"backend = "http"
url = "http://localhost:80/"
expect = { status = ["200-399"] }
"#;
    const MANUAL: &'static Manual = &MANUAL;
    const SPEAKS: Protocol = Protocol::Http;
    const LATENCY: Duration = Duration::from_secs(1);

    fn build(config: HttpConfig) -> Result<Self, ConfigError> {
        let HttpConfig { url, method, headers, body, username, password, token, follow, body_schema, tls, query, mut expect } =
            config;
        // Parameters are the service's own.
        let parameters: Vec<_> = url.parameters().map(|(name, _)| name).collect();
        let parameters: Vec<_> = parameters.iter().map(String::as_str).collect();
        if let Err(why) = url.expect(&["http", "https"], &parameters) {
            return Err(ConfigError::new("url", why));
        }
        url.one_host("requests are made for one of them, so give each an entry of its own").map_err(ConfigError::at("url"))?;
        let secure = url.scheme() == "https";
        let mut target = url.target(if secure { 443 } else { 80 }, secure, tls)?;
        target.alpn = ALPN;
        let credentials = url.credentials(username, password)?;
        let login = match (credentials.user.is_some(), token) {
            (true, Some(_)) => return Err(ConfigError::new("token", "a user name and a token are given; keep one of them")),
            (true, None) => Login::Basic(credentials),
            (false, Some(token)) => Login::Bearer(token),
            (false, None) if credentials.password.is_some() => {
                return Err(ConfigError::new("password", "`password` needs `username` beside it"));
            }
            (false, None) => Login::None,
        };
        let method = match method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
            HttpMethod::Post => Method::POST,
        };
        if body.is_some() && method != Method::POST {
            return Err(ConfigError::new("body", "`body` needs `method = \"POST\"`"));
        }
        let headers = headers
            .into_iter()
            .map(|(name, value)| Ok((header_name("headers", &name)?, value)))
            .collect::<Result<_, ConfigError>>()?;
        let statuses = if expect.status.is_empty() { vec![StatusRange(200, 299)] } else { expect.status.clone() };
        let question = Question::of(query, expect.value.take(), expect.rows)?;
        if question.as_ref().is_some_and(|question| !is_pointer(pointer(question))) {
            return Err(ConfigError::new("query", "not a JSON pointer: it begins with `/`, or is `#` for the whole body"));
        }
        let assertions = Assertions::build(expect, body_schema)?;
        if method == Method::HEAD && (assertions.want_body() || question.is_some()) {
            return Err(ConfigError::new("method", "the answer to HEAD has no body to hold expectations against"));
        }
        let url = url.url().clone();
        let body = body.map(Bytes::from).unwrap_or_default();
        Ok(Self { url, target, method, headers, body, login, follow, statuses, assertions, question })
    }

    fn target(&self) -> &Target {
        &self.target
    }

    async fn open(&self, run: &mut Run) -> Result<HttpSession, Failure> {
        let mut headers = http::HeaderMap::new();
        let agent = concat!("probity/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let login = match &self.login {
            Login::None => None,
            Login::Bearer(token) => Some(format!("Bearer {}", *run.secret(token).await?)),
            Login::Basic(Credentials { user, password }) => {
                let password = run.secret_if(password.as_ref()).await?.unwrap_or_default();
                let pair = format!("{}:{}", user.as_deref().unwrap_or_default(), *password);
                let pair = BASE64_STANDARD.encode(pair);
                run.conceal(&pair);
                Some(format!("Basic {pair}"))
            }
        };
        if let Some(login) = login {
            headers.insert(header::AUTHORIZATION, sensitive("the credentials", &login)?);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), sensitive(name.as_str(), &run.secret(value).await?)?);
        }
        Ok(HttpSession { connection: HttpConnection::open(run, &self.target).await?, headers })
    }

    async fn ask(&self, session: &mut HttpSession, run: &mut Run) -> Result<(), Failure> {
        let (reply, redirects) = self.fetch(session, run).await?;
        run.fact("status_code", reply.status.as_u16());
        run.fact("redirects", redirects);
        run.fact("body_bytes", reply.body.len());
        run.fact("http_version", version(reply.version));
        run.fact_if("server_header", reply.header("server"));
        run.fact_if("last_modified", reply.header("last-modified"));
        let code = reply.status.as_u16();
        if !self.statuses.iter().any(|range| (range.0..=range.1).contains(&code)) {
            return match reply.header("retry-after") {
                Some(after) if matches!(code, 429 | 503) => {
                    run.finding(Finding::degraded("retry_later", format!("{code}, Retry-After: {after}")));
                    Ok(())
                }
                _ => Err(Failure::server(code.to_string(), reply.status.canonical_reason().unwrap_or_default())),
            };
        }
        self.assertions.judge(&reply, run)?;
        if let Some(question) = &self.question {
            question.judge(&answer(question, &reply.body)?, run);
        }
        Ok(())
    }

    /// The certificate was judged by the frame when the connection was made; there is nothing deeper to ask.
    async fn examine(&self, _: &mut HttpSession, _: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(&self, session: HttpSession) {
        session.connection.close().await;
    }
}

impl Http {
    /// Sends the request, and follows redirects as far as the catalog allows.
    async fn fetch(&self, session: &mut HttpSession, run: &mut Run) -> Result<(Reply, usize), Failure> {
        let (mut url, mut method, mut body) = (self.url.clone(), &self.method, self.body.clone());
        let mut visited = HashSet::new();
        loop {
            let request = request(method, &url, &session.headers, body.clone())?;
            let reply = session.connection.send(request, BODY_LIMIT).await?;
            if reply.is_last() {
                run.last_use();
            }
            let next = match reply.header("location") {
                Some(location) if reply.status.is_redirection() && self.follow > 0 => url.join(location).ok(),
                _ => None,
            };
            let Some(next) = next else { return Ok((reply, visited.len())) };
            visited.insert(url.to_string());
            let wrong = |code: &str, message: String| {
                Err(Failure::new(FailureKind::Config, message)
                    .with_code(code)
                    .with_remedy("Point the entry at the final address."))
            };
            if next.origin() != url.origin() {
                return wrong(
                    "redirect_elsewhere",
                    "the target redirects to another scheme or host, which is not followed".into(),
                );
            }
            if visited.contains(next.as_str()) {
                return wrong("redirect_circle", "the target redirects in a circle".into());
            }
            if visited.len() > usize::from(self.follow) {
                return wrong("redirect_limit", format!("the target redirects more than {} times", self.follow));
            }
            // What was posted is not posted again (RFC 9110, 15.4).
            if *method == Method::POST && matches!(reply.status.as_u16(), 301..=303) {
                (method, body) = (&Method::GET, Bytes::new());
            }
            if reply.is_last() {
                session.connection = HttpConnection::open(run, &self.target).await?;
            }
            url = next;
        }
    }
}

fn request(method: &Method, url: &Url, headers: &http::HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let unusable = |_| Failure::new(FailureKind::Config, "no request can be made of this URL");
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut request = Request::builder()
        .method(method)
        .uri(url[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
        .body(Full::new(body))
        .map_err(unusable)?;
    *request.headers_mut() = headers.clone();
    if !headers.contains_key(header::HOST) {
        let host =
            HeaderValue::from_str(&host).map_err(|_| Failure::new(FailureKind::Config, "the host is not usable in a header"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(request)
}

fn sensitive(what: &str, value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Failure::new(FailureKind::Config, format!("the value of {what} cannot be sent in a header")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_name(key: &str, name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|_| ConfigError::new(key, "a header has a name of letters, digits and hyphens"))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// The pointer of a question; RFC 6901 (6) marks one with `#` where an empty text would not be seen.
fn pointer(question: &Question) -> &str {
    question.text().strip_prefix('#').unwrap_or(question.text())
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

/// What a pointer leads to. Lists and tables are told as JSON.
fn answer(question: &Question, body: &[u8]) -> Result<Answer, Failure> {
    let document: serde_json::Value = json::read(body, |_| {
        Failure::new(FailureKind::Protocol, "the body is not JSON, so that `query` leads nowhere")
            .with_code("not_json")
            .with_remedy("Fetch the page: an error or maintenance page may answer in its place.")
    })?;
    Ok(document.pointer(pointer(question)).map_or_else(Answer::default, |found| Answer {
        value: match found {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        },
        rows: found.as_array().map_or(1, |list| list.len() as u64),
    }))
}

impl Assertions {
    fn build(expect: HttpExpect, schema: Option<BodySchema>) -> Result<Self, ConfigError> {
        let compile = |key: &'static str, pattern: Option<String>| {
            pattern.map(|text| Regex::new(&text)).transpose().map_err(|error| {
                let why = error.to_string();
                ConfigError::new(key, format!("not a regular expression: {}", why.lines().last().unwrap_or_default()))
            })
        };
        let headers = expect
            .headers
            .into_iter()
            .map(|(name, value)| Ok((header_name("expect.headers", &name)?, value)))
            .collect::<Result<_, ConfigError>>()?;
        if !expect.json.keys().all(|pointer| is_pointer(pointer)) {
            return Err(ConfigError::new("expect.json", "a JSON pointer begins with `/`"));
        }
        Ok(Self {
            headers,
            contains: expect.contains,
            regex: compile("expect.regex", expect.regex)?,
            not_regex: compile("expect.not_regex", expect.not_regex)?,
            json: expect.json,
            schema,
        })
    }

    fn want_body(&self) -> bool {
        self.contains.is_some() || self.regex.is_some() || self.schema.is_some() || !self.json.is_empty()
    }

    /// Holds every expectation against an answer. What the body says is never repeated: it may be private.
    fn judge(&self, reply: &Reply, run: &mut Run) -> Result<(), Failure> {
        for (name, expected) in &self.headers {
            if reply.header(name.as_str()) != Some(expected) {
                let seen = if reply.headers.contains_key(name) { "another value" } else { "absent" };
                run.finding(Finding::unhealthy("header_mismatch", format!("{name}: {seen}")).against(expected.as_str()));
            }
        }
        let text = String::from_utf8_lossy(&reply.body);
        let mut mismatch = |rule: String| run.finding(Finding::unhealthy("body_mismatch", rule));
        if self.contains.as_ref().is_some_and(|needle| !text.contains(needle.as_str())) {
            mismatch("does not contain `expect.contains`".into());
        }
        if self.regex.as_ref().is_some_and(|regex| !regex.is_match(&text)) {
            mismatch("does not match `expect.regex`".into());
        }
        if self.not_regex.as_ref().is_some_and(|regex| regex.is_match(&text)) {
            mismatch("matches `expect.not_regex`".into());
        }
        let json: Option<serde_json::Value> = if self.json.is_empty() && self.schema.is_none() {
            None
        } else {
            json::try_read(&reply.body).map_err(WireFault::to_failure)?
        };
        for (pointer, expected) in &self.json {
            match json.as_ref().map(|document| document.pointer(pointer)) {
                Some(Some(value)) if value == expected => {}
                Some(Some(_)) => mismatch(format!("{pointer} has another value")),
                Some(None) => mismatch(format!("{pointer} is absent")),
                None => mismatch("is not JSON".into()),
            }
        }
        if let Some(schema) = self.schema {
            let word = json.as_ref().and_then(|document| document.get("status")).and_then(serde_json::Value::as_str);
            match schema.severity(word.unwrap_or(text.trim())) {
                Ok(None) => {}
                Ok(Some((severity, word))) => run.finding(Finding { severity, ..Finding::degraded("reported_status", word) }),
                Err(()) => run.finding(Finding::unhealthy("body_mismatch", "is not of the form of `body_schema`")),
            }
        }
        Ok(())
    }
}

impl BodySchema {
    /// What a status word means: nothing, or how bad it is.
    fn severity(self, word: &str) -> Result<Option<(Severity, &'static str)>, ()> {
        use Severity::{Degraded, Unhealthy};
        let words: &[(&'static str, Option<Severity>)] = match self {
            Self::Ietf => &[
                ("pass", None),
                ("ok", None),
                ("up", None),
                ("warn", Some(Degraded)),
                ("fail", Some(Unhealthy)),
                ("error", Some(Unhealthy)),
                ("down", Some(Unhealthy)),
            ],
            Self::Spring => {
                &[("UP", None), ("UNKNOWN", Some(Degraded)), ("OUT_OF_SERVICE", Some(Unhealthy)), ("DOWN", Some(Unhealthy))]
            }
            Self::Aspnet => &[("Healthy", None), ("Degraded", Some(Degraded)), ("Unhealthy", Some(Unhealthy))],
        };
        let row = words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).ok_or(())?;
        Ok(row.1.map(|severity| (severity, row.0)))
    }
}

#[rustfmt::skip] // one row, one line: it is a table
static MANUAL: Manual = Manual {
    title: "HTTP",
    summary: "Any HTTP/1.1 or HTTP/2 endpoint, in plain text or under TLS. One request on a kept-alive connection; at most 1 MiB \
              of the body is read. Environment proxies are ignored.",
    levels: &[
        LevelRow { level: "connect", question: "TCP, and TLS with `https://`", privilege: "–" },
        LevelRow { level: "handshake", question: "TLS and the choice of the version (ALPN)", privilege: "–" },
        LevelRow { level: "query", question: "the request; status, headers and body are judged", privilege: "what the endpoint asks for" },
        LevelRow { level: "query", question: "with an own question (`query`): the same request, and what the pointer leads to in its JSON body", privilege: "the same" },
        LevelRow { level: "deep", question: "the certificates, when a connection is made", privilege: "–" },
    ],
    facts: &[
        FactRow { name: "status_code", metric: true, meaning: "Status of the last answer." },
        FactRow { name: "http_version", metric: false, meaning: "Version of HTTP in use." },
        FactRow { name: "redirects", metric: true, meaning: "Redirects that were followed." },
        FactRow { name: "body_bytes", metric: true, meaning: "Length of the body." },
        FactRow { name: "server_header", metric: false, meaning: "What the server calls itself." },
        FactRow { name: "last_modified", metric: false, meaning: "The header of that name." },
    ],
    findings: &[
        FindingRow { code: "retry_later", meaning: "429 or 503 with `Retry-After`: it is alive and says when to come back. Degraded.", remedy: "Wait for the time it names; look for load or maintenance." },
        FindingRow { code: "header_mismatch", meaning: "A header of `expect.headers` is absent or has another value: unhealthy.", remedy: "Check that the address leads to the right service and version." },
        FindingRow { code: "body_mismatch", meaning: "The body is not as `expect` wants it: unhealthy. The body itself is never shown.", remedy: "Fetch the page: an error or maintenance page may answer in its place." },
        FindingRow { code: "reported_status", meaning: "The health document says that it is not well (observed: its word): degraded or unhealthy, as it says.", remedy: "Read the health document of the service." },
    ],
    codes: &[
        CodeRow { code: "401", kind: FailureKind::Auth, message: "the server wants other credentials (401)", remedy: "" },
        CodeRow { code: "407", kind: FailureKind::Auth, message: "a proxy wants credentials (407)", remedy: "" },
        CodeRow { code: "403", kind: FailureKind::Permission, message: "the server denies the request (403)", remedy: "Allow the probe's account or address to read this page." },
        CodeRow { code: "400", kind: FailureKind::Query, message: "the server refused the request (400)", remedy: "Check method, path and headers of the entry; a port that expects TLS answers plain text like this, too." },
        CodeRow { code: "404", kind: FailureKind::Config, message: "the server has no such page (404)", remedy: "Correct the path of the URL." },
        CodeRow { code: "410", kind: FailureKind::Config, message: "the page is gone (410)", remedy: "Correct the path of the URL." },
        CodeRow { code: "408", kind: FailureKind::Timeout, message: "the server gave up waiting for the request (408)", remedy: "" },
        CodeRow { code: "504", kind: FailureKind::Timeout, message: "a proxy waited in vain for the server behind it (504)", remedy: "Look at the server behind the proxy." },
        CodeRow { code: "429", kind: FailureKind::Overload, message: "the server limits our requests (429)", remedy: "Probe less often, or raise the limit for the probe." },
        CodeRow { code: "503", kind: FailureKind::NotReady, message: "the server does not serve at the moment (503)", remedy: "" },
        CodeRow { code: "502", kind: FailureKind::NotReady, message: "a proxy cannot reach the server behind it (502)", remedy: "Look at the server behind the proxy." },
        CodeRow { code: "3*", kind: FailureKind::Config, message: "the server redirects, which is not followed", remedy: "Point the entry at the final address, set `follow`, or list the status in `expect.status`." },
        CodeRow { code: "5*", kind: FailureKind::Query, message: "the server answered with an error of its own", remedy: "Read the service's log." },
        CodeRow { code: "4*", kind: FailureKind::Query, message: "the server refused the request", remedy: "Check method, path and headers of the entry." },
        CodeRow { code: "2*", kind: FailureKind::Query, message: "the status is not among the expected ones", remedy: "Correct `expect.status`, or look at the service." },
        CodeRow { code: "1*", kind: FailureKind::Protocol, message: "the server answered with an interim status only", remedy: "" },
    ],
    unsupported: &["Round trips.", "Several hosts in one URL: give each an entry of its own.", "HTTP/3, forward proxies, unix sockets.", "OAuth2 client credentials, cookie log-ins, AWS signatures."],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_codes_or_ranges() {
        let range = |text: &str| serde_json::from_str::<StatusRange>(text).map(|range| (range.0, range.1)).ok();
        assert_eq!(range("204"), Some((204, 204)));
        assert_eq!(range("\"200-399\""), Some((200, 399)));
        assert_eq!(range("\"399-200\""), None);
        assert_eq!(range("\"2xx\""), None);
        assert_eq!(range("99"), None);
    }

    #[test]
    fn health_words_keep_their_meaning() {
        assert_eq!(BodySchema::Spring.severity("UP"), Ok(None));
        assert_eq!(BodySchema::Ietf.severity("warn"), Ok(Some((Severity::Degraded, "warn"))));
        assert_eq!(BodySchema::Aspnet.severity("Unhealthy"), Ok(Some((Severity::Unhealthy, "Unhealthy"))));
        assert_eq!(BodySchema::Aspnet.severity("<html>"), Err(()));
    }
}
