//! One kept-alive HTTP connection on our own dial, for the whole HTTP family.
//!
//! It is hyper's client connection, the engine under the usual clients, because those dial for
//! themselves: here every phase is timed, every failure typed, and the frame sees the connection end.
//! Proxies in the environment are not consulted.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

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
}

impl HttpConnection {
    /// Dials, and agrees on the version.
    ///
    /// # Errors
    /// A typed failure of one of the phases.
    pub async fn open(run: &mut Run, target: &Target) -> Result<Self, Failure> {
        let stream = run.dial_as(target, Protocol::Http).await?;
        let two = stream.alpn() == Some(b"h2");
        let io = TokioIo::new(stream);
        if two {
            let agreed = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(64 * 1024)
                .max_header_list_size(u32::try_from(HEADER_LIMIT).unwrap_or(u32::MAX))
                .handshake(io);
            let agreed = run.phase(Phase::Auth, async { agreed.await.map_err(|error| failure(&error)) });
            let (sender, connection) = agreed.await?;
            return Ok(Self { sender: Sender::Two(sender), driver: drive(connection) });
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_LIMIT)
            .handshake(io)
            .await
            .map_err(|error| run.stamp(Phase::Query, failure(&error)))?;
        Ok(Self { sender: Sender::One(sender), driver: drive(connection) })
    }

    /// Sends a request and reads the answer, of its body at most `limit` bytes.
    ///
    /// # Errors
    /// `connection_lost`, `protocol`, or `protocol` with the code `body_too_large`.
    pub async fn send(&mut self, request: Request<Full<Bytes>>, limit: usize) -> Result<Reply, Failure> {
        let reply = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await.map_err(|error| failure(&error))?;
                sender.send_request(request).await
            }
            Sender::Two(sender) => {
                sender.ready().await.map_err(|error| failure(&error))?;
                sender.send_request(request).await
            }
        };
        let (head, body) = reply.map_err(|error| failure(&error))?.into_parts();
        let body = read(body, limit).await?;
        Ok(Reply { status: head.status, version: head.version, headers: head.headers, body })
    }

    /// Ends in order: no further request, then the close of the connection.
    pub async fn close(self) {
        drop(self.sender);
        self.driver.finished().await;
    }
}

fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Background {
    Background::spawn(async move {
        if let Err(error) = connection.await {
            // The request that it broke reports the cause.
            tracing::trace!(%error, "HTTP connection ended");
        }
    })
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
    let otherwise = if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        FailureKind::Protocol
    } else {
        FailureKind::ConnectionLost
    };
    Failure::from_chain(error, otherwise)
}
