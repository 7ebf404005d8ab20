//! Who logs in, and how: SCRAM, or a certificate.

use md5::{Digest, Md5};
use mongodb::{
    bson::{Binary, Document, doc, spec::BinarySubtype},
    options::{AuthMechanism, Credential},
};
use zeroize::Zeroizing;

use super::{Hello, Lenient, exchange, refusal};
use crate::{
    address::{Address, Credentials},
    backend::ConfigError,
    failure::{Failure, FailureKind},
    run::Run,
    secret::Secret,
    wire::{
        scram::{FEWEST_ITERATIONS, Hash, Scram},
        stream::Stream,
    },
};

/// Who logs in.
#[derive(Clone)]
pub(crate) enum Login {
    /// Nobody has to.
    Nobody,
    /// A user with a password.
    Scram { user: String, password: Secret, mechanism: Option<AuthMechanism> },
    /// Whom the certificate names.
    Certificate { user: Option<String> },
}

impl Login {
    pub(crate) fn of(url: &Address, credentials: Credentials, has_certificate: bool) -> Result<Self, ConfigError> {
        let mechanism = match url.parameter("authMechanism").as_deref() {
            None => None,
            Some("SCRAM-SHA-256") => Some(AuthMechanism::ScramSha256),
            Some("SCRAM-SHA-1") => Some(AuthMechanism::ScramSha1),
            Some("MONGODB-X509") if !has_certificate => {
                return Err(ConfigError::new("url", "`authMechanism=MONGODB-X509` needs `tls.cert` and `tls.key`"));
            }
            Some("MONGODB-X509") if credentials.password.is_some() => {
                return Err(ConfigError::new("password", "`authMechanism=MONGODB-X509` takes no password"));
            }
            Some("MONGODB-X509") => return Ok(Self::Certificate { user: credentials.user }),
            Some(other) => {
                let known = ["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509"];
                return Err(ConfigError::new("url", url.mistaken("authMechanism", other, &known)));
            }
        };
        match credentials {
            Credentials { user: Some(user), password: Some(password) } => Ok(Self::Scram { user, password, mechanism }),
            Credentials { user: Some(_), password: None } => {
                Err(ConfigError::new("password", "a user needs a password beside it"))
            }
            Credentials { user: None, password: Some(_) } => {
                Err(ConfigError::new("password", "`password` needs `username` beside it"))
            }
            Credentials { .. } if url.parameter("authSource").is_some() || mechanism.is_some() => {
                Err(ConfigError::new("url", "`authSource` and `authMechanism` need a user and a password"))
            }
            Credentials { .. } => Ok(Self::Nobody),
        }
    }

    /// Who of this database logs in, as servers name them.
    pub(crate) fn account(&self, source: &str) -> Option<String> {
        match self {
            Self::Scram { user, mechanism: None, .. } => Some(format!("{source}.{user}")),
            _ => None,
        }
    }

    /// The present password, for who logs in by one.
    pub(crate) async fn password(&self, run: &mut Run) -> Result<Option<Zeroizing<String>>, Failure> {
        match self {
            Self::Scram { password, .. } => run.secret(password).await.map(Some),
            Self::Nobody | Self::Certificate { .. } => Ok(None),
        }
    }

    /// What the library logs in by. It is not told of passwords: it would hash them where it is polled.
    pub(crate) fn credential(&self) -> Option<Credential> {
        match self {
            Self::Nobody | Self::Scram { .. } => None,
            Self::Certificate { user } => {
                Some(Credential::builder().username(user.clone()).mechanism(AuthMechanism::MongoDbX509).build())
            }
        }
    }

    /// Logs in by a password, before the library comes in. Servers before 4.4, and clones, want one more question without
    /// contents behind their proof.
    pub(crate) async fn prove(
        &self,
        stream: &mut Stream,
        hello: &Hello,
        source: &str,
        password: Zeroizing<String>,
    ) -> Result<(), Failure> {
        let Self::Scram { user, mechanism, .. } = self else { return Ok(()) };
        let hash = match mechanism {
            Some(AuthMechanism::ScramSha1) => Hash::Sha1,
            None if !hello.has_mechanism("SCRAM-SHA-256") => Hash::Sha1,
            _ => Hash::Sha256,
        };
        let (name, password) = match hash {
            Hash::Sha1 => ("SCRAM-SHA-1", digested(user, &password)),
            _ => ("SCRAM-SHA-256", prepared(&password)?),
        };
        let scram = Scram::new(hash, user, password, FEWEST_ITERATIONS)?;
        let binary = |bytes: &[u8]| Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
        let start = doc! {
            "saslStart": 1,
            "mechanism": name,
            "payload": binary(scram.first().as_bytes()),
            "options": { "skipEmptyExchange": true },
            "$db": source,
        };
        let said = accepted(stream, &start, 3).await?;
        let id = said.get("conversationId").cloned();
        let next =
            |payload: &[u8]| doc! { "saslContinue": 1, "conversationId": id.clone(), "payload": binary(payload), "$db": source };
        let (proof, verifier) = scram.prove(payload(&said)).await?;
        let said = accepted(stream, &next(proof.as_bytes()), 4).await?;
        verifier.check(payload(&said))?;
        if said.flag("done") == Some(false) && accepted(stream, &next(b""), 5).await?.flag("done") == Some(false) {
            return Err(Failure::new(FailureKind::Protocol, "the server does not end the log-in"));
        }
        Ok(())
    }
}

/// An answer that is no refusal.
async fn accepted(stream: &mut Stream, question: &Document, number: i32) -> Result<Document, Failure> {
    let answer = exchange(stream, question, number).await?;
    refusal(&answer).map_or(Ok(answer), Err)
}

fn payload(answer: &Document) -> &[u8] {
    answer.get_binary_generic("payload").map_or(&[], Vec::as_slice)
}

/// What SCRAM-SHA-1 hashes here, as the log-in of MongoDB before it did.
fn digested(user: &str, password: &str) -> Zeroizing<String> {
    let text = Zeroizing::new(format!("{user}:mongo:{password}"));
    let digits = Md5::digest(text.as_bytes()).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Zeroizing::new(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
}

/// What SCRAM-SHA-256 hashes.
fn prepared(password: &str) -> Result<Zeroizing<String>, Failure> {
    let prepared = stringprep::saslprep(password);
    prepared.map(|password| Zeroizing::new(password.into_owned())).map_err(|_| {
        Failure::new(FailureKind::Config, "the password has characters that SCRAM-SHA-256 does not allow (RFC 4013)")
    })
}
