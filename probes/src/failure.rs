//! Why a run did not finish: a closed set of kinds, the phase it happened in, the server's own code,
//! one line of ours and what to do about it.
//!
//! Classification follows a fixed order: the server's own code, the phase, the operating system's error
//! or TLS alert. Never a substring of a message meant for people, except where a protocol's code *is* text.

use std::{error::Error, fmt, io, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{code, run::Phase, wire::sniff::Protocol};

/// The 15 kinds of failure: a closed set, small enough to be a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Our configuration is wrong: unknown database, missing file, unsupported option.
    Config,
    /// The name could not be resolved.
    Dns,
    /// Nobody listens on the address.
    ConnectRefused,
    /// No answer to the connection attempt in its budget.
    ConnectTimeout,
    /// No route, no permission, no local address or descriptor left.
    ConnectFailed,
    /// Negotiation or verification of TLS failed, in either direction.
    Tls,
    /// The credentials were rejected.
    Auth,
    /// Logged in, but the operation is denied.
    Permission,
    /// The peer does not speak the expected protocol, or not as it should.
    Protocol,
    /// The deadline passed after the connection stood.
    Timeout,
    /// The server executed the request and returned an error.
    Query,
    /// The server has no capacity left: connections, memory, disk.
    Overload,
    /// The server is alive but does not serve: starting, loading, draining, without leader.
    NotReady,
    /// An established connection was closed in mid-exchange.
    ConnectionLost,
    /// Nothing of the above: a fault of the probe itself.
    Unexpected,
}

impl FailureKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::Config,
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::Tls,
        Self::Auth,
        Self::Permission,
        Self::Protocol,
        Self::Timeout,
        Self::Query,
        Self::Overload,
        Self::NotReady,
        Self::ConnectionLost,
        Self::Unexpected,
    ];

    /// The word used in documents and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Dns => "dns",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Query => "query",
            Self::Overload => "overload",
            Self::NotReady => "not_ready",
            Self::ConnectionLost => "connection_lost",
            Self::Unexpected => "unexpected",
        }
    }

    /// Who most likely has to act. A single failure may know better.
    #[must_use]
    pub const fn fault_domain(self) -> FaultDomain {
        match self {
            Self::Config | Self::Auth | Self::Permission => FaultDomain::Probe,
            Self::Dns | Self::ConnectTimeout | Self::ConnectFailed | Self::ConnectionLost => FaultDomain::Network,
            Self::ConnectRefused | Self::Tls | Self::Protocol | Self::Timeout | Self::Query | Self::Overload | Self::NotReady => {
                FaultDomain::Backend
            }
            Self::Unexpected => FaultDomain::Unknown,
        }
    }

    /// What to do when nothing more specific is known.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Config => "Correct the catalog entry of this dependency.",
            Self::Dns => "Check the host name and the resolver configuration of this machine.",
            Self::ConnectRefused => "Check that the server runs and listens on this address and port.",
            Self::ConnectTimeout => "Check the route, the firewall and the network policy towards this address.",
            Self::ConnectFailed => "Check the route and the network policy, and the limits of this process.",
            Self::Tls => "Check the certificate, the CA file and that both sides agree on TLS.",
            Self::Auth => "Check the user name and the password; the account may be expired or locked.",
            Self::Permission => "Grant the probe's account what the reference page lists for this depth.",
            Self::Protocol => "Check host and port: another service may answer there.",
            Self::Timeout => "The server accepts connections but does not answer: look for overload, locks or a stopped process.",
            Self::Query => "Look up the server's code and its log.",
            Self::Overload => "Free connections, memory or disk on the server, or raise its limits.",
            Self::NotReady => "Wait until the server has started, recovered or elected; if it does not, read its log.",
            Self::ConnectionLost => "Look for restarts of the server, idle timeouts and proxies that cut connections.",
            Self::Unexpected => "Report it with the agent's log: the probe is at fault.",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who most likely has to act on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultDomain {
    /// The probe's own configuration, credentials or machine.
    Probe,
    /// What lies between the probe and the backend.
    Network,
    /// The backend itself.
    Backend,
    /// It cannot be told.
    Unknown,
}

/// Why a run did not finish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// One of the 15 kinds.
    pub kind: FailureKind,
    /// Who most likely has to act.
    pub fault_domain: FaultDomain,
    /// The phase in which it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// A code of the manual, a number or status of the server, or a code of ours: never free words of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// One sentence of ours.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The server's own words: redacted, one line, at most 256 bytes. Shown only to those who may see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_message: Option<String>,
}

/// What is said of an error of a library of which nothing else is known.
const LIBRARY_ERROR: &str = "the client library reported an error";

/// What is said of a connection that has ended, where nobody said more.
const LOST: &str = "the peer closed the connection in mid-exchange";

/// What is said where a library fails over what a peer sent.
const UNREADABLE: &str = "the client library could not read the peer's answer";

/// The same of an error of the operating system, or of a library that says that it is one.
const IO_ERROR: &str = "an input/output error occurred";

/// How the code of a failure begins that a proxy has said, of which the server knows nothing.
pub(crate) const OF_PROXY: &str = "proxy ";

impl Failure {
    /// A failure of a kind, in one sentence.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            fault_domain: kind.fault_domain(),
            phase: None,
            code: None,
            message: message.into(),
            remedy: kind.remedy().to_owned(),
            server_message: None,
        }
    }

    /// An error that the server itself reported. The backend's manual says what its code means;
    /// a code that is not in the manual is a `query` failure.
    #[must_use]
    pub fn server(code: impl Into<String>, words: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..Self::new(FailureKind::Query, SERVER_ERROR) }.with_words(words)
    }

    /// With a code of ours: one of `code::OWN_CODES`, or of the backend's manual.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Leaves of a server's code what is of a closed set or has a fixed form: `known` is what the manual calls it.
    pub(crate) fn close_code(&mut self, known: Option<&str>) {
        let Some(code) = self.code.take() else { return };
        self.code = code::closed(&code, known);
        // What is lost here is told where free words are.
        let lost = code.strip_prefix(self.code.as_deref().unwrap_or_default()).unwrap_or(&code).trim_start_matches([' ', ':']);
        let words = self.server_message.as_deref().unwrap_or_default();
        if self.code.as_ref().is_none_or(|closed| !closed.eq_ignore_ascii_case(&code)) && !words.contains(lost) {
            self.server_message = Some(if code.ends_with(words) { code } else { format!("{code}: {words}") });
        }
        if self.kind == FailureKind::Query
            && self.message == SERVER_ERROR
            && let Some(code) = &self.code
        {
            self.message = format!("{SERVER_ERROR}: {code}");
        }
    }

    /// With a remedy that is more specific than the kind's.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With the server's own words.
    #[must_use]
    pub fn with_words(mut self, words: impl Into<String>) -> Self {
        let words = words.into();
        self.server_message = (!words.is_empty()).then_some(words);
        self
    }

    /// With a domain other than the kind's.
    #[must_use]
    pub fn with_domain(mut self, domain: FaultDomain) -> Self {
        self.fault_domain = domain;
        self
    }

    /// From any error of a client library: the first error of the operating system or of TLS in its
    /// chain of sources decides; without one it is `otherwise`.
    #[must_use]
    pub fn from_chain(error: &(dyn Error + 'static), otherwise: FailureKind) -> Self {
        let mut next = Some(error);
        while let Some(current) = next {
            if let Some(io) = current.downcast_ref::<io::Error>() {
                return Self::from_io(io);
            }
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Self::from_tls(tls);
            }
            // The source of a shared error is that of what it shares, which would be passed over.
            if let Some(shared) = current.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
                next = Some(&**shared);
                continue;
            }
            next = current.source();
        }
        let message = match otherwise {
            FailureKind::Protocol => "the peer's answer does not follow the protocol",
            FailureKind::ConnectionLost => LOST,
            _ => LIBRARY_ERROR,
        };
        Self::new(otherwise, message).with_words(error.to_string())
    }

    /// From an error of the operating system, or of ours that travelled inside one.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        use FailureKind::{ConnectFailed, ConnectRefused, ConnectionLost, Protocol, Timeout, Unexpected};
        if let Some(inner) = error.get_ref() {
            if let Some(fault) = inner.downcast_ref::<WireFault>() {
                return fault.to_failure();
            }
            if let Some(failure) = inner.downcast_ref::<Self>() {
                return failure.clone();
            }
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return Self::from_tls(tls);
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Self::from_io(io);
            }
        }
        // ENOMEM, ENFILE, EMFILE: ours, not the peer's
        if let Some(12 | 23 | 24) = error.raw_os_error() {
            let message = format!("this machine has no resources left for a connection: {}", os_words(error));
            return Self::new(ConnectFailed, message)
                .with_remedy("Raise the limit of open files of this process (ulimit -n) or close what leaks them.")
                .with_domain(FaultDomain::Probe);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::new(ConnectRefused, "the connection was refused"),
            io::ErrorKind::NotFound => Self::new(ConnectRefused, "there is no such socket"),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::new(ConnectFailed, format!("the address cannot be reached: {}", os_words(error)))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => {
                Self::new(ConnectFailed, format!("this machine does not allow the connection: {}", os_words(error)))
                    .with_domain(FaultDomain::Probe)
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::WriteZero => Self::new(ConnectionLost, LOST),
            io::ErrorKind::TimedOut => Self::new(Timeout, "the connection timed out"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::new(Protocol, "the peer's answer does not follow the protocol").with_words(error.to_string())
            }
            _ => Self::new(Unexpected, IO_ERROR).with_words(error.to_string()),
        }
    }

    /// A client library panicked over what a peer had sent.
    pub(crate) fn library_panic() -> Self {
        Self::new(FailureKind::Protocol, UNREADABLE).with_code("library_panic")
    }

    /// Whether it is an error of a library of which nothing else is known.
    pub(crate) fn is_of_library(&self) -> bool {
        self.kind == FailureKind::Unexpected && [LIBRARY_ERROR, IO_ERROR].contains(&self.message.as_str())
    }

    /// Whether all that it says is that the peer has closed the connection.
    pub(crate) fn is_mere_loss(&self) -> bool {
        self.kind == FailureKind::ConnectionLost && self.code.is_none() && self.message == LOST
    }

    /// Such an error, once the peer has said something: it is about that.
    pub(crate) fn blames_answer(self) -> Self {
        Self { server_message: self.server_message, ..Self::new(FailureKind::Protocol, UNREADABLE).with_code("library_error") }
    }

    /// The server was not content with our client certificate, or with there being none.
    pub(crate) fn client_certificate(words: impl Into<String>) -> Self {
        Self::new(FailureKind::Tls, "the server does not accept our client certificate, or wants one")
            .with_code("client_cert")
            .with_remedy("Set `tls.cert` and `tls.key` to a certificate that the server's CA has signed.")
            .with_words(words)
            .with_domain(FaultDomain::Probe)
    }

    /// From an error of the TLS stack.
    #[must_use]
    pub fn from_tls(error: &rustls::Error) -> Self {
        use rustls::{AlertDescription as Alert, CertificateError as Cert};
        let tls = |code: &str, message: &str| Self::new(FailureKind::Tls, message).with_code(code);
        match error {
            rustls::Error::InvalidCertificate(reason) => match reason {
                Cert::Expired | Cert::ExpiredContext { .. } => {
                    tls("expired", "the server's certificate has expired").with_remedy("Renew the server's certificate.")
                }
                Cert::NotValidYet | Cert::NotValidYetContext { .. } => {
                    tls("not_yet_valid", "the server's certificate is not valid yet")
                        .with_remedy("Check the clocks of both machines, then the certificate.")
                }
                // The signature is bad when an authority of the same name has another key.
                Cert::UnknownIssuer | Cert::BadSignature => {
                    tls("untrusted", "the server's certificate is not signed by a trusted authority")
                        .with_remedy("Name the issuing CA in `tls.ca`, or have the server send its whole chain.")
                }
                Cert::NotValidForName | Cert::NotValidForNameContext { .. } => {
                    tls("hostname", "the server's certificate is for another host name")
                        .with_remedy("Use the name that the certificate carries, or set `tls.server_name` to it.")
                }
                Cert::Revoked => tls("revoked", "the server's certificate has been revoked"),
                _ => tls("bad_certificate", "the server's certificate is not acceptable").with_words(error.to_string()),
            },
            rustls::Error::AlertReceived(
                alert @ (Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError
                | Alert::CertificateRequired),
            ) => Self::client_certificate(format!("TLS alert {alert:?}")),
            rustls::Error::AlertReceived(alert) => {
                tls("negotiation", "the server refused the TLS handshake").with_words(format!("TLS alert {alert:?}"))
            }
            rustls::Error::InvalidMessage(_) => tls("plaintext", "the server does not speak TLS on this port")
                .with_remedy("Use the plain-text scheme, or the server's TLS port."),
            rustls::Error::NoCertificatesPresented => tls("bad_certificate", "the server presented no certificate"),
            _ => tls("negotiation", "no TLS session could be agreed on").with_words(error.to_string()),
        }
    }
}

/// What is said of an error that no manual explains.
const SERVER_ERROR: &str = "the server answered with an error";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::from_io(&error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(phase) = self.phase {
            write!(f, " in {phase}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl Error for Failure {}

/// The operating system's words for an error, without Rust's "(os error N)".
fn os_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// What our own end of a connection found wrong with the bytes that came in. It travels through client
/// libraries inside an [`io::Error`] and comes out as a typed failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// The first bytes belong to another protocol.
    Foreign {
        /// What was expected.
        expected: Protocol,
        /// What was seen.
        seen: Protocol,
    },
    /// The peer sent more than a run may read.
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// The peer sent more than the answer to one question may have.
    AnswerTooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// The peer nested values too deep.
    TooDeep {
        /// The limit in levels.
        limit: usize,
    },
    /// The peer sent more values than a run may read.
    TooMany {
        /// The limit in values.
        limit: u64,
    },
    /// The peer asked for more computation than a log-in needs.
    TooMuchWork {
        /// What it is counted in: `SCRAM iterations`.
        unit: &'static str,
        /// How much was asked for.
        asked: u64,
        /// The limit in the same unit.
        limit: u64,
    },
    /// What came in does not follow the protocol's grammar.
    Malformed,
}

impl WireFault {
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    pub(crate) fn to_failure(self) -> Failure {
        match self {
            Self::Foreign { expected: Protocol::Tls, seen } => {
                Failure::new(FailureKind::Tls, format!("the server speaks {seen} in plain text, not TLS, on this port"))
                    .with_code("plaintext")
                    .with_remedy("Use the plain-text scheme, or the server's TLS port.")
            }
            Self::Foreign { seen: Protocol::Tls, .. } => Failure::new(FailureKind::Tls, "the server expects TLS on this port")
                .with_code("tls_expected")
                .with_remedy("Switch TLS on for this dependency, or use the server's plain-text port.")
                .with_domain(FaultDomain::Probe),
            Self::Foreign { expected, seen } => {
                Failure::new(FailureKind::Protocol, format!("the peer speaks {seen}, not {expected}"))
                    .with_code("foreign_protocol")
                    .with_domain(FaultDomain::Probe)
            }
            Self::TooLong { limit } => {
                Failure::new(FailureKind::Protocol, format!("the peer sent more than {limit} bytes in one run"))
                    .with_code("reply_too_long")
            }
            Self::AnswerTooLong { limit } => {
                Failure::new(FailureKind::Protocol, format!("the peer sent more than {limit} bytes in one answer"))
                    .with_code("reply_too_long")
            }
            Self::TooDeep { limit } => {
                Failure::new(FailureKind::Protocol, format!("the peer nested values more than {limit} levels deep"))
                    .with_code("nested_too_deep")
            }
            Self::TooMany { limit } => {
                Failure::new(FailureKind::Protocol, format!("the peer sent more than {limit} values in one run"))
                    .with_code("too_many_values")
            }
            Self::TooMuchWork { unit, asked, limit } => {
                Failure::new(FailureKind::Protocol, format!("the peer asked for {asked} {unit}, the limit is {limit}"))
                    .with_code("too_much_work")
                    .with_remedy(
                        "Lower this number at the server; if it is not the server's, find out what answers at this address.",
                    )
            }
            Self::Malformed => Failure::new(FailureKind::Protocol, "the peer's answer does not follow the protocol"),
        }
    }
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_failure().message)
    }
}

impl Error for WireFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_buried_in_a_library_keeps_its_kind() {
        let buried = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(Failure::from_io(&buried).kind, FailureKind::ConnectRefused);
        let ours = io::Error::other(WireFault::TooLong { limit: 7 }.into_io());
        assert_eq!(Failure::from_io(&ours).code.as_deref(), Some("reply_too_long"));
    }

    #[test]
    fn an_error_that_a_library_shares_keeps_its_kind() {
        #[derive(Debug)]
        struct Library(Arc<dyn Error + Send + Sync>);
        impl fmt::Display for Library {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl Error for Library {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let shared = Library(Arc::new(WireFault::TooLong { limit: 7 }.into_io()));
        assert_eq!(Failure::from_chain(&shared, FailureKind::Unexpected).code.as_deref(), Some("reply_too_long"));
    }

    #[test]
    fn exhausted_descriptors_are_the_probes_own_fault() {
        let failure = Failure::from_io(&io::Error::from_raw_os_error(24));
        assert_eq!((failure.kind, failure.fault_domain), (FailureKind::ConnectFailed, FaultDomain::Probe));
    }

    #[test]
    fn words_and_serde_agree() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap_or_default(), kind.as_str());
        }
    }
}
