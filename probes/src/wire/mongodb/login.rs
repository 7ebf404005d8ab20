//! Who logs in, and how: SCRAM, or a certificate.

use mongodb::options::{AuthMechanism, Credential};

use crate::{
    address::{Address, Credentials},
    backend::ConfigError,
    failure::Failure,
    run::Run,
    secret::Secret,
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

    /// What the library logs in by.
    pub(crate) async fn credential(&self, source: &str, run: &mut Run) -> Result<Option<Credential>, Failure> {
        Ok(match self {
            Self::Nobody => None,
            Self::Scram { user, password, mechanism } => Some(
                Credential::builder()
                    .username(user.clone())
                    .password(run.secret(password).await?.to_string())
                    .source(source.to_owned())
                    .mechanism(mechanism.clone())
                    .build(),
            ),
            Self::Certificate { user } => {
                Some(Credential::builder().username(user.clone()).mechanism(AuthMechanism::MongoDbX509).build())
            }
        })
    }
}
