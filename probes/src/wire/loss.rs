//! What a run makes of a connection that is lost or silent: what came in before says more than the library's error.

#[cfg(feature = "postgres")]
use std::sync::Arc;

use super::stream::Connection;
#[cfg(feature = "postgres")]
use super::stream::Tether;
use crate::{
    failure::{Failure, FailureKind},
    run::{Phase, Run},
};

impl Run {
    /// Of the connection that was dialled last, for tasks that read from it.
    #[cfg(feature = "postgres")]
    pub(crate) fn tether(&self) -> Option<Arc<Tether>> {
        self.connections.last().map(|connection| Arc::clone(&connection.tether))
    }

    /// Whether a peer has sent anything on the connections of the present session.
    pub(crate) fn was_spoken_to(&self) -> bool {
        self.connections.iter().any(|connection| !connection.tether.is_silent())
    }

    /// A connection that our own end gave up, or that ends before the peer said anything, means more than a lost one.
    pub(crate) fn explain_loss(&self, phase: Phase, failure: &mut Failure) {
        let tether = self.connections.last().map(|connection| &connection.tether);
        if let Some(fault) = tether.and_then(|tether| tether.fault()) {
            *failure = Failure { phase: Some(phase), ..fault };
            return;
        }
        let silent = phase == Phase::Connect || tether.is_some_and(|tether| tether.is_silent());
        let stands = !self.connections.is_empty() && !self.connections.iter().any(Connection::has_ended);
        if stands && !silent && failure.is_mere_loss() {
            // A library that comes to the end of a message too soon says the same as at the end of a connection.
            *failure = Failure { phase: Some(phase), ..failure.clone().blames_answer() };
            return;
        }
        let words = failure.server_message.take();
        match phase {
            Phase::Tls => {
                *failure = Failure::new(FailureKind::Tls, "the server closed the connection during the TLS handshake")
                    .with_code("closed")
                    .with_remedy("The port may expect plain text, or the server may be full.");
            }
            Phase::Connect | Phase::Auth if silent && self.greets => {
                *failure = Failure::new(FailureKind::Overload, "the server closed the connection before its greeting")
                    .with_remedy("It may have reached its connection limit; otherwise read its log.");
            }
            // Where nobody logs in, the question comes first.
            Phase::Connect | Phase::Auth | Phase::Query if silent => {
                failure.message = "the server closed the connection without a word".into();
                failure.remedy = "The port may expect TLS or another protocol, or the server refuses this machine.".into();
            }
            _ => {}
        }
        failure.phase = Some(phase);
        failure.server_message = words;
    }

    /// A peer that never said a word may be waiting for one of another protocol.
    pub(crate) fn explain_silence(&self, phase: Phase, failure: &mut Failure) {
        let silent = self.connections.last().is_some_and(|connection| connection.tether.is_silent());
        if silent && matches!(phase, Phase::Auth | Phase::Query) && failure.remedy == FailureKind::Timeout.remedy() {
            failure.remedy =
                "Not a byte came: the port may expect TLS or another protocol; otherwise the server hangs: look for \
                              overload or a stopped process."
                    .into();
        }
    }
}
