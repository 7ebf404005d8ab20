//! Takes down what a real server says to a probe: a relay between the two that keeps the order of things.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::corpus::{Conversation, Turn};
use crate::support::background::{Background, adopt, listener};

/// A relay in front of a server; it ends with its value.
pub(super) struct Recorder {
    addr: SocketAddr,
    heard: Arc<Mutex<Conversation>>,
    _thread: Background,
}

impl Recorder {
    pub(super) fn start(upstream: SocketAddr) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let heard = Arc::<Mutex<Conversation>>::default();
        let shared = Arc::clone(&heard);
        let accept = move || async move {
            let listener = adopt(listener);
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut heard = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.0.push(Vec::new());
                    heard.0.len() - 1
                };
                tokio::spawn(relay(client, upstream, number, Arc::clone(&shared)));
            }
        };
        Self { addr, heard, _thread: Background::spawn("recorder", accept) }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What was said so far, without connections on which nothing was.
    pub(super) fn heard(&self) -> Conversation {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for talk in &mut heard.0 {
            // A question without an answer, such as a farewell, is no turn.
            talk.retain(|turn| !turn.answer.is_empty());
        }
        heard.0.retain(|talk| !talk.is_empty());
        heard
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, number: usize, heard: Arc<Mutex<Conversation>>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let note = |change: &dyn Fn(&mut Vec<Turn>)| {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut heard.0[number]);
    };
    loop {
        let (count, is_question) = tokio::select! {
            count = client.read(&mut up) => (count.unwrap_or(0), true),
            count = server.read(&mut down) => (count.unwrap_or(0), false),
        };
        if count == 0 {
            return;
        }
        note(&|talk| {
            if talk.last().is_none_or(|turn| is_question && !turn.answer.is_empty()) {
                talk.push(Turn::default());
            }
            let Some(turn) = talk.last_mut() else { return };
            if is_question {
                turn.asked += count;
            } else {
                turn.answer.extend_from_slice(&down[..count]);
            }
        });
        let passed = if is_question { server.write_all(&up[..count]).await } else { client.write_all(&down[..count]).await };
        if passed.is_err() {
            return;
        }
    }
}
