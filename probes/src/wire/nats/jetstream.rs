//! `JetStream`'s API: requests whose answers are JSON, with an error in them or not.
//!
//! Protocol: <https://docs.nats.io/reference/reference-protocols/nats_api_reference>.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Request, RequestErrorKind};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::Link;
use crate::{
    failure::{Failure, FailureKind},
    run::Run,
    wire::json,
};

/// Nobody listens to this subject: `JetStream` is off, no stream takes it, or the stream that does has no leader.
pub(crate) const NO_RESPONDERS: &str = "no responders";

/// Asks `JetStream`, and remembers what it may not ask: each further try would be a line in the server's log.
#[derive(Default)]
pub(crate) struct Api {
    refusals: Vec<String>,
}

impl Api {
    /// The answer to a request without headers; `None` when none came within the limit of a question.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        (client, link): (&Client, &Link),
        subject: &str,
        body: String,
        run: &Run,
    ) -> Result<Option<T>, Failure> {
        self.request((client, link), subject, Request::new().payload(body.into()), run.question_limit()).await
    }

    async fn request<T: DeserializeOwned>(
        &mut self,
        (client, link): (&Client, &Link),
        subject: &str,
        request: Request,
        limit: Duration,
    ) -> Result<Option<T>, Failure> {
        let answer = client.send_request(subject.to_owned(), request.timeout(Some(limit)));
        tokio::pin!(answer);
        let message = loop {
            if let Some(words) = self.refusal(subject) {
                return Err(Failure::server(words, words));
            }
            tokio::select! {
                answer = &mut answer => break answer,
                // It may be that of an earlier request.
                words = link.refused() => self.refusals.push(words),
            }
        };
        match message {
            Ok(message) => understand(&message.payload).map(Some),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(Failure::server(NO_RESPONDERS, NO_RESPONDERS)),
            Err(_) => Ok(None),
        }
    }

    /// In which words this subject was refused, or the inbox that every answer comes to.
    fn refusal(&self, subject: &str) -> Option<&str> {
        let quoted = format!("\"{subject}\"");
        self.refusals.iter().find(|words| words.contains(&quoted) || words.contains("_INBOX.")).map(String::as_str)
    }

    /// Has a stream store a message, reads it back and removes it. `None` when the stream was silent, or has lost it.
    pub(crate) async fn store(
        &mut self,
        wires: (&Client, &Link),
        stream: &str,
        subject: &str,
        message: &str,
        run: &Run,
    ) -> Result<Option<String>, Failure> {
        let mut headers = HeaderMap::new();
        // Another stream that takes the subject must not keep the message.
        headers.insert("Nats-Expected-Stream", stream);
        let publish = Request::new().payload(message.to_owned().into()).headers(headers);
        let Some(PubAck { seq }) = self.request(wires, subject, publish, run.question_limit()).await? else { return Ok(None) };
        let place = json!({ "seq": seq }).to_string();
        let read = self.ask::<Stored>(wires, &format!("$JS.API.STREAM.MSG.GET.{stream}"), place.clone(), run).await;
        let removed = self.ask::<Removed>(wires, &format!("$JS.API.STREAM.MSG.DELETE.{stream}"), place, run).await;
        // It may have gone by itself: the stream keeps little, or not for long.
        let is_gone = |failure: &Failure| failure.code.as_deref() == Some(NO_MESSAGE);
        let read = match read {
            Err(failure) if is_gone(&failure) => None,
            read => read?,
        };
        match removed {
            Err(failure) if !is_gone(&failure) => return Err(failure),
            _ => {}
        }
        Ok(read
            .and_then(|stored| BASE64_STANDARD.decode(stored.message.data).ok())
            .map(|data| String::from_utf8_lossy(&data).into_owned()))
    }
}

/// "no message found"
const NO_MESSAGE: &str = "10037";

/// An answer of the API: an error of it is a failure with its number as the code.
fn understand<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let strange = |_| Failure::new(FailureKind::Protocol, "the answer of JetStream's API is not understood");
    let Refusable { error } = json::read(payload, strange)?;
    if let Some(ApiError { err_code, description }) = error {
        return Err(Failure::server(err_code.to_string(), description));
    }
    json::read(payload, strange)
}

#[derive(Deserialize)]
struct Refusable {
    error: Option<ApiError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiError {
    err_code: u32,
    description: String,
}

/// The answer to `$JS.API.INFO`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub(crate) memory: u64,
    pub(crate) storage: u64,
    pub(crate) streams: u64,
    pub(crate) limits: Limits,
}

/// Limits of an account; -1 is none.
#[expect(clippy::struct_field_names, reason = "the fields of the protocol's own document")]
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) max_memory: i64,
    pub(crate) max_storage: i64,
    pub(crate) max_streams: i64,
}

/// The answer to `$JS.API.STREAM.INFO.…`, as far as it is judged.
#[derive(Deserialize)]
pub(crate) struct StreamInfo {
    cluster: Option<Group>,
}

#[derive(Deserialize)]
struct Group {
    leader: Option<String>,
}

impl StreamInfo {
    /// A server without a cluster names none, and leads its streams itself.
    pub(crate) fn has_leader(&self) -> bool {
        self.cluster.as_ref().is_none_or(|group| group.leader.as_ref().is_some_and(|leader| !leader.is_empty()))
    }
}

#[derive(Deserialize)]
struct PubAck {
    seq: u64,
}

#[derive(Deserialize)]
struct Stored {
    message: StoredMessage,
}

#[derive(Deserialize)]
struct StoredMessage {
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Removed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_api_is_a_failure_with_its_number() {
        let full = br#"{"error":{"code":503,"err_code":10023,"description":"insufficient resources"},"stream":"T","seq":0}"#;
        let failure = understand::<PubAck>(full).map(drop).expect_err("it is an error");
        assert_eq!((failure.code.as_deref(), failure.server_message.as_deref()), (Some("10023"), Some("insufficient resources")));
        assert_eq!(understand::<PubAck>(br#"{"stream":"T","seq":7}"#).map(|ack| ack.seq).ok(), Some(7));
    }

    #[test]
    fn a_stream_of_a_cluster_has_a_leader_or_none() {
        for (answer, led) in [
            (r#"{"config":{}}"#, true),
            (r#"{"cluster":{"name":"t","leader":"s1"}}"#, true),
            (r#"{"cluster":{"name":"t","replicas":[]}}"#, false),
            (r#"{"cluster":{"name":"t","leader":""}}"#, false),
        ] {
            assert_eq!(understand::<StreamInfo>(answer.as_bytes()).map(|info| info.has_leader()).ok(), Some(led), "{answer}");
        }
    }

    #[test]
    fn a_refusal_is_that_of_its_subject_or_of_every_answer() {
        let publish = |subject: &str| format!("Permissions Violation for Publish to \"{subject}\"");
        let api = Api { refusals: vec![publish("$JS.API.STREAM.INFO.AB")] };
        assert_eq!(api.refusal("$JS.API.STREAM.INFO.A"), None);
        assert!(api.refusal("$JS.API.STREAM.INFO.AB").is_some());
        let api = Api { refusals: vec!["Permissions Violation for Subscription to \"_INBOX.x.*\"".to_owned()] };
        assert!(api.refusal("$JS.API.INFO").is_some());
    }
}
