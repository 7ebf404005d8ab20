//! One kept-alive HTTP connection on our own dial, for the whole HTTP family.
//!
//! It is hyper's client connection, the engine under the usual clients, because those dial for
//! themselves: here every phase is timed, every failure typed, and the frame sees the connection end.
//! Proxies in the environment are not consulted.

use std::{error::Error, pin::pin};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, Version, header, uri::Scheme};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;

use crate::{
    failure::{Failure, FailureKind},
    run::{Phase, Run},
    wire::{Background, dial::Target, sniff::Protocol},
};

/// Offered inside TLS.
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Most bytes of headers that are accepted.
const HEADER_LIMIT: usize = 64 * 1024;

/// An open connection.
pub struct HttpConnection {
    sender: Sender,
    driver: Background,
    /// Why the connection ended between two requests.
    end: oneshot::Receiver<Failure>,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// The version it came in.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to the limit.
    pub body: Bytes,
}

impl Reply {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the server closes the connection behind this answer (RFC 9112, 9.3).
    #[must_use]
    pub fn is_last(&self) -> bool {
        let options = || self.header("connection").unwrap_or_default().split(',').map(str::trim);
        match self.version {
            Version::HTTP_11 => options().any(|option| option.eq_ignore_ascii_case("close")),
            Version::HTTP_10 => !options().any(|option| option.eq_ignore_ascii_case("keep-alive")),
            _ => false,
        }
    }
}

impl HttpConnection {
    /// Dials, and agrees on the version.
    ///
    /// # Errors
    /// A typed failure of one of the phases.
    pub async fn open(run: &mut Run, target: &Target) -> Result<Self, Failure> {
        let stream = run.dial_as(target, Protocol::Http, None).await?;
        let two = stream.alpn() == Some(b"h2");
        let io = TokioIo::new(stream);
        if two {
            let agreed = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(64 * 1024)
                .max_header_list_size(u32::try_from(HEADER_LIMIT).unwrap_or(u32::MAX))
                .handshake(io);
            let agreed = run.phase(Phase::Auth, async { agreed.await.map_err(|error| failure(&error)) });
            let (sender, connection) = agreed.await?;
            let (driver, end) = drive(connection);
            return Ok(Self { sender: Sender::Two(sender), driver, end });
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_LIMIT)
            .handshake(io)
            .await
            .map_err(|error| run.stamp(Phase::Query, failure(&error)))?;
        let (driver, end) = drive(connection);
        Ok(Self { sender: Sender::One(sender), driver, end })
    }

    /// Sends a request and reads the answer, of its body at most `limit` bytes.
    ///
    /// # Errors
    /// `connection_lost`, `protocol`, or `protocol` with the code `body_too_large`.
    pub async fn send(&mut self, request: Request<Full<Bytes>>, limit: usize) -> Result<Reply, Failure> {
        let reply = match &mut self.sender {
            Sender::One(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
            Sender::Two(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(absolute(request)?).await,
                Err(error) => Err(error),
            },
        };
        let (head, body) = match reply {
            Ok(reply) => reply.into_parts(),
            // The connection ended before it took the request, and knows why.
            Err(error) if error.is_closed() || error.is_canceled() && error.source().is_none() => {
                return Err((&mut self.end).await.unwrap_or_else(|_| failure(&error)));
            }
            Err(error) => return Err(failure(&error)),
        };
        let body = read(body, limit).await?;
        Ok(Reply { status: head.status, version: head.version, headers: head.headers, body })
    }

    /// Ends in order: no further request, then the close of the connection.
    pub async fn close(self) {
        drop(self.sender);
        self.driver.finished().await;
    }
}

fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> (Background, oneshot::Receiver<Failure>) {
    let (tell, end) = oneshot::channel();
    let driver = Background::spawn(async move {
        // Pinned here, so that it is dropped, and its requests with it, only after the cause was told.
        let mut connection = pin!(connection);
        if let Err(error) = connection.as_mut().await {
            tracing::trace!(%error, "HTTP connection ended");
            let _ = tell.send(failure(&error));
        }
    });
    (driver, end)
}

/// HTTP/2 has scheme and authority in the place of the header `Host` (RFC 9113, 8.3.1).
fn absolute(mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, Failure> {
    let unusable = || Failure::new(FailureKind::Config, "no request can be made of this URL");
    let host = request.headers_mut().remove(header::HOST).ok_or_else(unusable)?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(host.as_bytes().try_into().map_err(|_| unusable())?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| unusable())?;
    Ok(request)
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(Failure::new(FailureKind::Protocol, format!("the body is longer than {limit} bytes"))
                .with_code("body_too_large")
                .with_remedy("Point the entry at a smaller page."));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// From hyper's error: what lies beneath decides, then whether the peer broke off or broke the rules.
fn failure(error: &hyper::Error) -> Failure {
    if let Some(two) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) {
        return failure_two(two);
    }
    let broke_off = error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.is_shutdown()
        || error.is_body_write_aborted();
    let otherwise = if broke_off { FailureKind::ConnectionLost } else { FailureKind::Protocol };
    Failure::from_chain(error, otherwise)
}

/// From an error of HTTP/2 (RFC 9113, 7): a connection may end in order, or over a broken rule.
fn failure_two(error: &h2::Error) -> Failure {
    if let Some(io) = error.get_io() {
        return Failure::from_io(io);
    }
    let kind = match error.reason() {
        None | Some(h2::Reason::NO_ERROR | h2::Reason::REFUSED_STREAM) => FailureKind::ConnectionLost,
        Some(h2::Reason::ENHANCE_YOUR_CALM) => FailureKind::Overload,
        Some(h2::Reason::INADEQUATE_SECURITY) => FailureKind::Tls,
        Some(_) => FailureKind::Protocol,
    };
    Failure::new(kind, "the HTTP/2 conversation ended with an error").with_words(error.to_string())
}
