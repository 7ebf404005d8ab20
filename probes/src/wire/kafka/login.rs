//! Who logs in, and how: SASL, whose mechanism is named first (KIP-43), each step in a question of its own (KIP-152).
//!
//! The broker's own code says what was wrong; client libraries try again and in the end speak of a time-out.

use bytes::Bytes;
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslHandshakeRequest},
    protocol::StrBytes,
};
use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Conversation, known};
use crate::{
    failure::{Failure, FailureKind},
    wire::scram::{FEWEST_ITERATIONS, Hash, Scram},
};

/// How a user logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Mechanism {
    /// The password as it is: for TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password, by SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    /// A proof of the password, by SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

impl Mechanism {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

/// A user with the present password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

/// The listener has no log-in, or one that is over.
const NO_LOGIN_HERE: &str = "34";

/// The listener has log-ins, but not by this mechanism.
const ANOTHER_MECHANISM: &str = "33";

impl Conversation {
    /// Logs in.
    pub(crate) async fn log_in(&mut self, login: &Login) -> Result<(), Failure> {
        self.name_mechanism(login.mechanism.as_str()).await?;
        match login.mechanism {
            Mechanism::Plain => {
                let words = format!("\0{}\0{}", login.user, login.password.as_str());
                self.authenticate(words.into()).await.map(drop)
            }
            Mechanism::Scram256 | Mechanism::Scram512 => self.prove(login).await,
        }
    }

    /// Where a log-in is wanted the broker hangs up on the first question without a word. This one it answers.
    pub(crate) async fn needs_no_login(&mut self) -> Result<(), Failure> {
        match self.name_mechanism("").await {
            Err(failure) if failure.code.as_deref() == Some(NO_LOGIN_HERE) => Ok(()),
            Err(failure) if failure.code.as_deref() == Some(ANOTHER_MECHANISM) => {
                let words = failure.server_message.unwrap_or_default();
                Err(Failure::new(FailureKind::Auth, "the listener wants a log-in, and the entry has none")
                    .with_code(ANOTHER_MECHANISM)
                    .with_remedy("Add `username`, `password` and `mechanism`, or take the port of another listener.")
                    .with_words(words))
            }
            other => other,
        }
    }

    async fn name_mechanism(&mut self, name: &'static str) -> Result<(), Failure> {
        let question = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(name));
        let answer = self.ask_in(&question, 1).await?;
        let enabled: Vec<_> = answer.mechanisms.iter().map(|name| &**name).collect();
        known(answer.error_code, Some(&format!("enabled: {}", enabled.join(", ")).into()))
    }

    async fn authenticate(&mut self, words: Bytes) -> Result<Bytes, Failure> {
        let answer = self.ask(&SaslAuthenticateRequest::default().with_auth_bytes(words), 2).await?;
        known(answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.auth_bytes)
    }

    /// SCRAM: the password does not leave this machine, and the broker proves that it knows it, too.
    async fn prove(&mut self, login: &Login) -> Result<(), Failure> {
        let hash = if login.mechanism == Mechanism::Scram256 { Hash::Sha256 } else { Hash::Sha512 };
        // Brokers hash the bytes of a password as they are (`ScramFormatter`).
        let scram = Scram::new(hash, &login.user, login.password.clone(), FEWEST_ITERATIONS)?;
        let said = self.authenticate(scram.first().into()).await?;
        let (proof, verifier) = scram.prove(&said).await?;
        let said = self.authenticate(proof.into()).await?;
        verifier.check(&said)
    }
}
