//! `probity health`: asks a running agent, in images that have no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use crate::{
    catalog::{self, default_agent},
    cli::HealthArgs,
    commands::{USAGE, complain, print},
};

/// The document of an agent is far smaller; something else may answer.
const LIMIT: usize = 1024 * 1024;

/// Asks once; ready is 0, everything else 1.
#[must_use]
pub fn run(args: &HealthArgs, listen: Option<SocketAddr>, catalog: &Path) -> ExitCode {
    let listen = || listen.or_else(|| catalog::listen(catalog)).unwrap_or_else(|| default_agent().listen);
    let uri = match address(args.url.as_deref(), listen) {
        Ok(uri) => uri,
        Err(sentence) => {
            complain(&sentence);
            return ExitCode::from(USAGE);
        }
    };
    let answer = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(ask_within(&uri, args.timeout)),
        Err(error) => Err(format!("no thread can be started: {error}")),
    };
    match answer {
        Ok((status, words)) => {
            let printed = print(&format!("{words}\n"));
            if status == StatusCode::OK { printed } else { ExitCode::FAILURE }
        }
        Err(sentence) => {
            complain(&sentence);
            ExitCode::FAILURE
        }
    }
}

/// The URL that was meant: where the agent listens, `HOST:PORT`, a URL without a path.
fn address(url: Option<&str>, listen: impl FnOnce() -> SocketAddr) -> Result<Uri, String> {
    let text = match url {
        Some(text) if text.contains("://") => text.to_owned(),
        Some(text) => format!("http://{text}"),
        None => format!("http://{}", reachable(listen())),
    };
    let wrong = || format!("`{text}` is not the address of an agent, such as http://127.0.0.1:8686");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("`{text}` is not an http:// address; an agent speaks plain HTTP"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    match uri.path() {
        "" | "/" => format!("{}/health", text.trim_end_matches('/')).parse().map_err(|_| wrong()),
        _ => Ok(uri),
    }
}

/// An agent that listens everywhere is asked on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask_within(uri: &Uri, limit: Duration) -> Result<(StatusCode, String), String> {
    timeout(limit, ask(uri))
        .await
        .unwrap_or_else(|_| Err(format!("{uri} did not answer within {}", probity_probes::duration::Span(limit))))
}

async fn ask(uri: &Uri) -> Result<(StatusCode, String), String> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let bare = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((bare, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("no agent answers on {host}:{port}: the connection was refused"),
        _ => format!("no agent answers on {host}:{port}: {error}"),
    })?;
    let strange = |_| format!("what answers on {host}:{port} does not speak HTTP");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
    tokio::spawn(connection);
    let request = Request::get(uri.path_and_query().map_or("/health", |path| path.as_str()))
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::USER_AGENT, concat!("probity/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| format!("`{uri}` cannot be asked for"))?;
    let response = sender.send_request(request).await.map_err(strange)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LIMIT).collect().await.map(http_body_util::Collected::to_bytes);
    Ok((status, words(status, &body.unwrap_or_default())))
}

/// One line: "orders-sidecar is ready: healthy", "orders-sidecar is not ready: orders-db is unhealthy: …".
fn words(status: StatusCode, body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(|text| text.replace(char::is_control, " "));
    let agent = text(&document["agent"]["id"]).map_or_else(String::new, |id| format!("{id} is "));
    let ready = match status {
        StatusCode::OK => "ready",
        StatusCode::SERVICE_UNAVAILABLE => "not ready",
        other => return format!("not ready: the answer was {other}"),
    };
    match text(&document["reason"]).or_else(|| text(&document["status"])) {
        Some(why) => format!("{agent}{ready}: {why}"),
        None => format!("{agent}{ready}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_short() {
        for (url, listen, expected) in [
            (None, Some("127.0.0.1:8686"), Ok("http://127.0.0.1:8686/health")),
            (None, Some("0.0.0.0:9000"), Ok("http://127.0.0.1:9000/health")),
            (None, Some::<&str>("[::]:9000"), Ok("http://[::1]:9000/health")),
            (Some("agent:1"), None, Ok("http://agent:1/health")),
            (Some("http://agent:1/"), None, Ok("http://agent:1/health")),
            (Some("http://agent:1/health/live"), None, Ok("http://agent:1/health/live")),
            (Some("https://agent"), None, Err("`https://agent` is not an http:// address; an agent speaks plain HTTP")),
            (Some("http://"), None, Err("`http://` is not the address of an agent, such as http://127.0.0.1:8686")),
        ] {
            let listen = || listen.expect("only asked without a URL").parse().unwrap();
            assert_eq!(address(url, listen).map(|uri| uri.to_string()).as_deref().map_err(String::as_str), expected);
        }
    }

    #[test]
    fn an_answer_is_one_line() {
        let body = br#"{"status":"unhealthy","reason":"db is\nunhealthy","agent":{"id":"orders"}}"#;
        assert_eq!(words(StatusCode::SERVICE_UNAVAILABLE, body), "orders is not ready: db is unhealthy");
        assert_eq!(words(StatusCode::OK, b"ok"), "ready");
        assert_eq!(words(StatusCode::NOT_FOUND, b""), "not ready: the answer was 404 Not Found");
    }
}
