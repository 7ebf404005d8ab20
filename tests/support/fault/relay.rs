//! What happens to one connection through the proxy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Fault, Shared};

/// Bytes that one read takes, and that a stalled client may send before it feels it.
const BUFFER: usize = 64 << 10;

/// Counts a connection as open while it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How a connection ends for its client.
enum End {
    Reset,
    Close,
}

/// One client's connection, from its acceptance to its end.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    shared.accepted.fetch_add(1, Ordering::SeqCst);
    let open = Open(Arc::clone(&shared));
    let end = tokio::select! {
        biased;
        end = ordered_end(&shared) => end,
        ended = relay(&mut client, &shared) => ended.map_or(End::Reset, |()| End::Close),
    };
    match end {
        End::Reset => {
            let _ = client.set_zero_linger();
            drop(client);
        }
        End::Close => close(client).await,
    }
    drop(open);
}

/// Ends when the connection is to be ended, rather than ill-treated.
async fn ordered_end(shared: &Shared) -> End {
    let (mut fault, mut cuts) = (shared.fault.subscribe(), shared.cuts.subscribe());
    let ending = |fault: &Fault| matches!(fault, Fault::Reset | Fault::Close);
    tokio::select! {
        found = fault.wait_for(ending) => match found.as_deref() {
            Ok(Fault::Close) => End::Close,
            _ => End::Reset,
        },
        _ = cuts.changed() => End::Reset,
    }
}

/// Sends FIN; then reads on for a while, because closing a socket with unread bytes would reset it.
async fn close(mut client: TcpStream) {
    let drained = async {
        client.shutdown().await?;
        let mut unread = [0; 4096];
        while client.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(Duration::from_secs(1), drained).await;
}

/// Carries bytes between the client and a new connection to the server until either ends.
async fn relay(client: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    /// What the server may still say after the client has closed its side.
    const LAST_WORDS: Duration = Duration::from_millis(250);
    let mut fault = shared.fault.subscribe();
    let (mut from_client, mut to_client) = client.split();
    let mut sent = Vec::new();
    if stalled(&mut from_client, &mut sent, &mut fault, shared).await? {
        return Ok(());
    }
    let mut server = TcpStream::connect(shared.upstream).await?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_server) = server.split();
    let mut up_fault = fault.clone();
    let up = async {
        up(&mut from_client, &mut to_server, sent, &mut up_fault, shared).await?;
        to_server.shutdown().await?;
        sleep(LAST_WORDS).await;
        Ok(())
    };
    let down = async {
        down(&mut from_server, &mut to_client, &mut fault, shared).await?;
        // After a half close the client goes on, as it would with a server that has.
        let half_closed = *fault.borrow() == Fault::HalfClose;
        if half_closed {
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

/// Keeps what the client sends while the network is stalled; says whether the client has closed meanwhile.
async fn stalled(
    from_client: &mut ReadHalf<'_>,
    sent: &mut Vec<u8>,
    fault: &mut watch::Receiver<Fault>,
    shared: &Shared,
) -> io::Result<bool> {
    let mut chunk = vec![0; BUFFER];
    while *fault.borrow_and_update() == Fault::Stall {
        tokio::select! {
            _ = fault.changed() => {}
            count = from_client.read(&mut chunk), if sent.len() < BUFFER => {
                let count = count?;
                if count == 0 {
                    return Ok(true);
                }
                add(&shared.bytes_up, count);
                sent.extend_from_slice(&chunk[..count]);
            }
        }
    }
    Ok(false)
}

/// Carries the client's words to the server until the client closes.
async fn up(
    from_client: &mut ReadHalf<'_>,
    to_server: &mut WriteHalf<'_>,
    mut sent: Vec<u8>,
    fault: &mut watch::Receiver<Fault>,
    shared: &Shared,
) -> io::Result<()> {
    let mut chunk = vec![0; BUFFER];
    loop {
        if stalled(from_client, &mut sent, fault, shared).await? {
            return Ok(());
        }
        to_server.write_all(&sent).await?;
        sent.clear();
        tokio::select! {
            _ = fault.changed() => {}
            count = from_client.read(&mut chunk) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                add(&shared.bytes_up, count);
                sent.extend_from_slice(&chunk[..count]);
            }
        }
    }
}

/// Carries the server's words to the client, as the fault has it, until the server closes.
async fn down(
    from_server: &mut ReadHalf<'_>,
    to_client: &mut WriteHalf<'_>,
    fault: &mut watch::Receiver<Fault>,
    shared: &Shared,
) -> io::Result<()> {
    let mut chunk = vec![0; BUFFER];
    let mut said = Vec::new();
    let mut arrived = Instant::now();
    loop {
        let now = *fault.borrow_and_update();
        let piece = match now {
            Fault::Stall | Fault::Reset | Fault::Close => {
                let _ = fault.changed().await;
                continue;
            }
            Fault::HalfClose => return to_client.shutdown().await,
            Fault::Flood => noise(BUFFER),
            _ if said.is_empty() => {
                tokio::select! {
                    _ = fault.changed() => {}
                    count = from_server.read(&mut chunk) => {
                        let count = count?;
                        if count == 0 {
                            return to_client.shutdown().await;
                        }
                        arrived = Instant::now();
                        said.extend_from_slice(&chunk[..count]);
                    }
                }
                continue;
            }
            Fault::Pass => std::mem::take(&mut said),
            Fault::Garbage => noise(std::mem::take(&mut said).len()),
            Fault::Delay(delay) => {
                tokio::select! {
                    _ = fault.changed() => continue,
                    () = sleep_until(arrived + delay) => std::mem::take(&mut said),
                }
            }
            Fault::Drip { bytes, every } => {
                tokio::select! {
                    _ = fault.changed() => continue,
                    () = sleep(every) => said.drain(..bytes.min(said.len())).collect(),
                }
            }
        };
        to_client.write_all(&piece).await?;
        add(&shared.bytes_down, piece.len());
    }
}

fn noise(count: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(count).collect()
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::SeqCst);
}
