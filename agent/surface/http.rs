//! The thread that answers HTTP. No probe can block it: it shares nothing with them but a published
//! snapshot and a few atomic numbers.
//!
//! Heads are bounded, bodies are never read, connections are counted and none may dawdle.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::TcpListener as StdListener,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    answer::{Answer, Question, answer, is_heavy, wants_draft},
    connection::{Attended, Patience},
    engine::About,
    room::Room,
};
use crate::{snapshot::Snapshot, vitals::Vitals};

/// The head of a request may be so long.
const HEAD_LIMIT: usize = 16 * 1024;

/// After a connection could not be accepted.
const BREATH: Duration = Duration::from_millis(100);

/// Such failures are logged at most this often.
pub(super) const QUIET: Duration = Duration::from_mins(1);

/// When the agent stops, answers that are under way get so long.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// Said to whom there is no room for.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Connections that wait to be accepted: a burst of as many is not refused.
const BACKLOG: i32 = 1024;

/// Longer paths and queries are not looked at.
const PATH_LIMIT: usize = 1024;
const QUERY_LIMIT: usize = 8 * 1024;

/// What is served.
pub struct Surface {
    /// The latest snapshot.
    pub reader: watch::Receiver<Arc<Snapshot>>,
    /// The agent's own state.
    pub vitals: Arc<Vitals>,
    /// What is fixed.
    pub about: About,
}

/// Serves until told to stop. Blocks its thread.
///
/// # Errors
/// The listener or the runtime could not be set up.
pub fn serve(listener: StdListener, surface: Surface, stop: watch::Receiver<bool>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2).thread_name("surface-heavy").build()?;
    runtime.block_on(accept(listener, Arc::new(Served { surface, withdrawn: Mutex::default() }), stop))?;
    runtime.shutdown_timeout(LAST_ANSWERS);
    Ok(())
}

async fn accept(listener: StdListener, served: Arc<Served>, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // The standard library listens with a backlog of its own.
    rustix::net::listen(&listener, BACKLOG)?;
    let listener = TcpListener::from_std(listener)?;
    let vitals = Arc::clone(&served.surface.vitals);
    let room = Arc::new(Room::new(served.surface.about.connection_limit, Arc::clone(&vitals)));
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let patience = Patience::new();
                if let Some(guest) = room.admit(&patience) {
                    let (served, stop) = (Arc::clone(&served), stop.clone());
                    tokio::spawn(async move {
                        attend(stream, patience, served, stop).await;
                        drop(guest);
                    });
                } else {
                    // A client that does not take these few bytes is not told.
                    let _ = stream.into_std().and_then(|mut stream| stream.write(NO_ROOM));
                }
            }
            Err(error) => {
                vitals.accept_errors.fetch_add(1, Relaxed);
                if told.is_none_or(|at| at.elapsed() >= QUIET) {
                    told = Some(Instant::now());
                    tracing::warn!(
                        %error,
                        connections = vitals.connections.load(Relaxed),
                        "a connection to the agent could not be accepted; if files are short, raise `ulimit -n`"
                    );
                }
                sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    let all_gone = async {
        while vitals.connections.load(Relaxed) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // What is still being read by then is cut.
    let _ = timeout(LAST_ANSWERS, all_gone).await;
    Ok(())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn attend(stream: TcpStream, patience: Patience, served: Arc<Served>, mut stop: watch::Receiver<bool>) {
    // Answers are small and whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Attended { stream, patience: patience.clone() });
    let service = service_fn(|request: Request<Incoming>| {
        patience.asked();
        respond(Arc::clone(&served), request)
    });
    let connection = async {
        let mut connection = std::pin::pin!(http1::Builder::new().max_buf_size(HEAD_LIMIT).serve_connection(io, service));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "a connection ended badly");
        }
    };
    if !patience.endure(connection).await {
        tracing::trace!("a connection took too long and was cut");
    }
}

/// What all connections share.
struct Served {
    surface: Surface,
    /// The snapshot as it is shown while the agent stops or stands still.
    withdrawn: Mutex<Option<(bool, Arc<Snapshot>)>>,
}

impl Served {
    /// The latest snapshot, unless the agent itself is not to be believed.
    fn view(&self) -> Arc<Snapshot> {
        let vitals = &self.surface.vitals;
        let snapshot = Arc::clone(&self.surface.reader.borrow());
        let is_stalled = vitals.is_stalled();
        if !is_stalled && !vitals.is_stopping() {
            return snapshot;
        }
        let mut withdrawn = self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
        match &*withdrawn {
            Some((stalled, view)) if *stalled == is_stalled && view.revision == snapshot.revision => Arc::clone(view),
            _ => {
                let reason = if is_stalled { "the agent's scheduler has stopped" } else { "the agent is stopping" };
                let view = Arc::new(snapshot.withdrawn(is_stalled, reason, vitals.now().at));
                *withdrawn = Some((is_stalled, Arc::clone(&view)));
                view
            }
        }
    }
}

async fn respond(served: Arc<Served>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    served.surface.vitals.requests.fetch_add(1, Relaxed);
    let snapshot = served.view();
    let has_body = !request.body().is_end_stream();
    let answer = if let Some(refusal) = refused(&request) {
        refusal
    } else if is_heavy(&question(&request), &snapshot) {
        let served = Arc::clone(&served);
        let (head, _) = request.into_parts();
        let work =
            move || answer(&question(&Request::from_parts(head, ())), &snapshot, &served.surface.vitals, &served.surface.about);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a response could not be rendered");
            Answer::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                "the response could not be rendered; see the agent's log",
            )
        })
    } else {
        answer(&question(&request), &snapshot, &served.surface.vitals, &served.surface.about)
    };
    Ok(response(answer, has_body))
}

/// The answer to a request that is not looked at: its target is too long, or it does not name one host (RFC 9112, 3.2).
fn refused<B>(request: &Request<B>) -> Option<Answer> {
    let uri = request.uri();
    if uri.path().len() > PATH_LIMIT || uri.query().is_some_and(|query| query.len() > QUERY_LIMIT) {
        let error = format!("the path is longer than {PATH_LIMIT} bytes, or the query longer than {QUERY_LIMIT}");
        return Some(Answer::refusal(StatusCode::URI_TOO_LONG, &error));
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    // HTTP/1.0 has none, and haproxy's checks are written in it.
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        return Some(Answer::refusal(StatusCode::BAD_REQUEST, "an HTTP/1.1 request has exactly one Host header"));
    }
    None
}

fn question<B>(request: &Request<B>) -> Question<'_> {
    let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    Question { method: request.method(), path: request.uri().path(), query: request.uri().query(), draft: wants_draft(accept) }
}

fn response(answer: Answer, has_body: bool) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(allow) = answer.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if has_body {
        // Nobody reads it, so nobody waits for its end.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
