//! The least HTTP/1.1 client that a test needs: one request, one connection, one deadline.
//!
//! Independent of the HTTP stack that Probity itself uses, so that the two cannot share a mistake.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// More than any answer in the tests; an endless body ends here.
const LIMIT: usize = 64 << 20;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without its transfer coding.
    pub(crate) body: String,
}

impl Response {
    /// The first header of this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The body as JSON; panics with the body when it is something else.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {}", self.body),
        }
    }
}

/// `GET path`, answered within `timeout` as a whole.
pub(crate) fn get(addr: SocketAddr, path: &str, timeout: Duration) -> io::Result<Response> {
    request(addr, "GET", path, &[], "", timeout)
}

/// Any request, answered within `timeout` as a whole.
pub(crate) fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    timeout: Duration,
) -> io::Result<Response> {
    let end = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&addr, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {addr}"), "Connection: close".to_owned()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let head = lines.join("\r\n");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    parse(&read_answer(&mut stream, end)?)
}

/// Reads up to the end of the stream, or of the body where its length was announced.
fn read_answer(stream: &mut TcpStream, end: Instant) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = match stream.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > LIMIT || announced_length(&bytes).is_some_and(|all| bytes.len() >= all) {
            return Ok(bytes);
        }
    }
}

/// Head and body together, when the head has arrived and has a Content-Length.
fn announced_length(bytes: &[u8]) -> Option<usize> {
    let head = head_length(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    Some(head + value?.trim().parse::<usize>().ok()?)
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    blank.map(|position| position + 4)
}

fn parse(bytes: &[u8]) -> io::Result<Response> {
    let invalid = |what: &str| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {start:?}"))
    };
    let length = head_length(bytes).ok_or_else(|| invalid("no end of the head"))?;
    let head = String::from_utf8_lossy(&bytes[..length]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid("no status line"))?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = &bytes[length..];
    let body = if chunked { dechunk(body).ok_or_else(|| invalid("a chunk is cut off"))? } else { body.to_vec() };
    Ok(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Undoes the chunked coding (RFC 9112, 7.1); `None` when it is cut off or malformed.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = line + 2;
        body.extend_from_slice(rest.get(start..start + size)?);
        rest = rest.get(start + size + 2..)?;
    }
}
