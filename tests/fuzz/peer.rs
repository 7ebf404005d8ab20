//! Plays a conversation to a client that connects: as it was recorded, or as it was changed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::grammar::Grammar;
use super::mutator::Mutant;
use crate::support::background::{Background, adopt, listener};

/// A question that is shorter than the recorded one is over after this long without another byte.
const QUIET: Duration = Duration::from_millis(20);

/// Peers on one thread, each at an address of its own; they end with this value.
pub(super) struct Peers {
    pub(super) addrs: Vec<SocketAddr>,
    _thread: Background,
}

impl Peers {
    pub(super) fn start(mutants: Vec<(Mutant, Grammar)>) -> Self {
        let listeners: Vec<_> = mutants.iter().map(|_| listener()).collect();
        let addrs = listeners.iter().map(|listener| listener.local_addr().expect("a listener has an address")).collect();
        let serve = move || async move {
            for (listener, (mutant, grammar)) in listeners.into_iter().zip(mutants) {
                let mutant = Arc::new(mutant);
                tokio::spawn(async move {
                    let listener = adopt(listener);
                    let mut number = 0;
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(play(stream, Arc::clone(&mutant), grammar, number));
                        number += 1;
                    }
                });
            }
            std::future::pending::<()>().await;
        };
        Self { addrs, _thread: Background::spawn("fuzz-peers", serve) }
    }
}

/// One connection; those beyond the recorded ones are like the last.
async fn play(mut stream: TcpStream, mutant: Arc<Mutant>, grammar: Grammar, number: usize) {
    let talks = &mutant.conversation.0;
    let number = number.min(talks.len().saturating_sub(1));
    let Some(talk) = talks.get(number) else { return };
    let _ = stream.set_nodelay(true);
    let mut heard = Vec::new();
    for (place, turn) in talk.iter().enumerate() {
        let Some(question) = hear(&mut stream, &mut heard, turn.asked).await else { return };
        let mut answer = turn.answer.clone();
        if mutant.correlates {
            grammar.correlate(&question, &mut answer);
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        if mutant.closes == Some((number, place)) {
            let _ = stream.shutdown().await;
            break;
        }
    }
    // Silent from now on; a client that still waits has a deadline.
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
}

/// A question: as many bytes as there were once, or what comes until it gets quiet; none where the client has gone.
async fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>, asked: usize) -> Option<Vec<u8>> {
    let mut chunk = vec![0; 16 << 10];
    while heard.len() < asked {
        let read = stream.read(&mut chunk);
        let count = if heard.is_empty() {
            read.await.ok()?
        } else {
            match timeout(QUIET, read).await {
                Ok(count) => count.ok()?,
                Err(_) => break,
            }
        };
        if count == 0 {
            return None;
        }
        heard.extend_from_slice(&chunk[..count]);
    }
    let rest = heard.split_off(asked.min(heard.len()));
    Some(std::mem::replace(heard, rest))
}
