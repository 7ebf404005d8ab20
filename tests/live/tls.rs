//! Certificates, good and bad: the same for every backend.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;

use probity_probes::{FailureKind, FaultDomain, Outcome, Phase, Value};
use serde_json::{Value as Json, json};

use crate::support::peers;
use crate::support::probe::Asked;
use crate::support::tls::{Ca, Identity, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, State, check};

const GOOD: (&str, &str) = ("a good certificate", "the CA that signed it in tls.ca");
const UNTRUSTED: (&str, &str) = ("a certificate of an unknown CA", "another CA in tls.ca");
const HOSTNAME: (&str, &str) = ("a certificate for another host", "a certificate for other.example");
const RENAMED: (&str, &str) = ("a certificate for a name that is expected", "the same with tls.server_name");
const EXPIRED: (&str, &str) = ("an expired certificate", "one that ended yesterday");
const EARLY: (&str, &str) = ("a certificate of the future", "one that begins tomorrow");
const ENDING: (&str, &str) = ("a certificate near its end", "one that ends in 3 days");
const INSECURE: (&str, &str) = ("a certificate that nobody looks at", "one for another host with tls.insecure");
const NO_CA: (&str, &str) = ("a CA file that is not there", "tls.ca names a file that does not exist");
const NONE_1_2: (&str, &str) = ("no client certificate where one is wanted, by TLS 1.2", "a peer that wants one");
const NONE_1_3: (&str, &str) = ("no client certificate where one is wanted, by TLS 1.3", "the same");

/// Servers that begin in plain text, and say by themselves what they miss: they have rows of their own.
const UPGRADED: [&str; 2] = ["mysql", "postgres"];

/// What is true of each certificate, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    super::BACKENDS.into_iter().flat_map(|backend| {
        [
            (GOOD, Expected::HEALTHY),
            (UNTRUSTED, Expected::fails(FailureKind::Tls)),
            (HOSTNAME, Expected::fails(FailureKind::Tls)),
            (RENAMED, Expected::HEALTHY),
            (EXPIRED, Expected::fails(FailureKind::Tls)),
            (EARLY, Expected::fails(FailureKind::Tls)),
            (ENDING, Expected::degraded("certificate_expiring")),
            (INSECURE, Expected::HEALTHY),
            (NO_CA, Expected::fails(FailureKind::Config)),
            (NONE_1_2, Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe)),
            (NONE_1_3, Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe)),
        ]
        .into_iter()
        .filter(move |(row, _)| ![NONE_1_2, NONE_1_3].contains(row) || !UPGRADED.contains(&backend))
        .map(move |((state, made), expected)| State::new(backend, state, made, expected))
    })
}

/// How a backend's server with a certificate is had.
pub(crate) struct Secured {
    pub(crate) kind: &'static str,
    /// A server with this certificate, which lives as long as the value, and where it speaks TLS.
    pub(crate) start: fn(&Identity) -> (Box<dyn Any>, SocketAddr),
    /// The entry for a server with TLS at an address, and its `tls` table.
    pub(crate) entry: fn(SocketAddr, &Json) -> Json,
}

impl Secured {
    /// One run against a server with this certificate.
    #[track_caller]
    fn expect(&self, row: (&str, &str), leaf: &Leaf, tls: &Json) -> Outcome {
        let (_server, addr) = (self.start)(&Ca::shared().issue(leaf));
        self.ask(row, (self.entry)(addr, tls))
    }

    #[track_caller]
    fn ask(&self, row: (&str, &str), entry: Json) -> Outcome {
        let state = states().find(|state| (state.backend, state.state) == (self.kind, row.0));
        let outcome = Asked::new(self.kind, entry).run();
        check(&state.expect("every certificate has its row"), &outcome);
        outcome
    }

    /// The same, refused in the handshake with this code.
    #[track_caller]
    fn refuse(&self, row: (&str, &str), leaf: &Leaf, tls: &Json, code: &str) {
        let failure = self.expect(row, leaf, tls).failure.expect("it was refused");
        assert_eq!((failure.code.as_deref(), failure.phase), (Some(code), Some(Phase::Tls)), "{failure:#?}");
    }

    #[track_caller]
    pub(crate) fn a_good_certificate_is_told_of(&self) {
        let outcome = self.expect(GOOD, &Leaf::server(), &json!({ "ca": Ca::shared().certificate() }));
        let fact = |name: &str| outcome.facts.get(name).map(Value::to_string).unwrap_or_default();
        assert!(matches!(fact("tls_version").as_str(), "1.2" | "1.3"), "{outcome:#?}");
        assert_eq!(fact("certificate_subject"), "CN=localhost");
        assert!(fact("certificate_issuer").contains("Probity Test CA"), "{outcome:#?}");
        let left = fact("certificate_expiry_timestamp_seconds").parse().unwrap_or(0) - outcome.at.as_second();
        assert!((89 * 86_400..=90 * 86_400).contains(&left), "{left} s left");
        assert!(outcome.phases.get(Phase::Tls).is_some(), "{outcome:#?}");
    }

    #[track_caller]
    pub(crate) fn an_unknown_authority_is_refused(&self) {
        let other = Ca::new();
        self.refuse(UNTRUSTED, &Leaf::server(), &json!({ "ca": other.certificate() }), "untrusted");
    }

    #[track_caller]
    pub(crate) fn another_host_is_refused_unless_it_is_expected(&self) {
        let (leaf, ca) = (Leaf::server().names(&["other.example"]), Ca::shared().certificate());
        self.refuse(HOSTNAME, &leaf, &json!({ "ca": ca }), "hostname");
        self.expect(RENAMED, &leaf, &json!({ "ca": ca, "server_name": "other.example" }));
    }

    #[track_caller]
    pub(crate) fn an_expired_certificate_is_refused(&self) {
        self.refuse(EXPIRED, &Leaf::server().expired(), &json!({ "ca": Ca::shared().certificate() }), "expired");
    }

    #[track_caller]
    pub(crate) fn a_certificate_of_the_future_is_refused(&self) {
        let ca = Ca::shared().certificate();
        self.refuse(EARLY, &Leaf::server().not_yet_valid(), &json!({ "ca": ca }), "not_yet_valid");
    }

    #[track_caller]
    pub(crate) fn a_certificate_near_its_end_is_degraded(&self) {
        let ca = Ca::shared().certificate();
        self.expect(ENDING, &Leaf::server().days_left(3), &json!({ "ca": ca }));
    }

    #[track_caller]
    pub(crate) fn a_certificate_that_nobody_looks_at_is_said_to_be_so(&self) {
        let outcome = self.expect(INSECURE, &Leaf::server().names(&["other.example"]), &json!({ "insecure": true }));
        let verification = outcome.facts.get("tls_verification").map(Value::to_string);
        assert_eq!(verification.as_deref(), Some("off"));
    }

    /// In TLS 1.3 the refusal comes behind a handshake that seemed to be over.
    #[track_caller]
    pub(crate) fn no_client_certificate_is_refused_where_one_is_wanted(&self) {
        if UPGRADED.contains(&self.kind) {
            return;
        }
        let nobody = peers::refused();
        for (row, version) in [(NONE_1_2, &rustls::version::TLS12), (NONE_1_3, &rustls::version::TLS13)] {
            let front = TlsFront::mutual(nobody.addr(), &Ca::shared().issue(&Leaf::server()), version);
            let mut entry = (self.entry)(front.addr(), &json!({ "ca": Ca::shared().certificate() }));
            if self.kind == "nats" {
                entry["handshake_first"] = true.into();
            }
            let failure = self.ask(row, entry).failure.expect("it was refused");
            assert_eq!(failure.code.as_deref(), Some("client_cert"), "{failure:#?}");
        }
    }

    #[track_caller]
    pub(crate) fn a_missing_authority_is_a_mistake_of_the_catalog(&self) {
        let ca = Path::new("/nowhere/ca.crt");
        let outcome = self.expect(NO_CA, &Leaf::server(), &json!({ "ca": ca }));
        assert!(outcome.failure.is_some_and(|failure| failure.message.contains("/nowhere/ca.crt")));
    }
}

/// A test for each certificate of a backend's server.
macro_rules! certificate_tests {
    ($secured:expr) => {
        certificate_tests! { $secured;
            a_good_certificate_is_told_of
            an_unknown_authority_is_refused
            another_host_is_refused_unless_it_is_expected
            an_expired_certificate_is_refused
            a_certificate_of_the_future_is_refused
            a_certificate_near_its_end_is_degraded
            a_certificate_that_nobody_looks_at_is_said_to_be_so
            a_missing_authority_is_a_mistake_of_the_catalog
            no_client_certificate_is_refused_where_one_is_wanted
        }
    };
    ($secured:expr; $($certificate:ident)*) => {
        $(#[test]
        fn $certificate() {
            let secured: $crate::live::tls::Secured = $secured;
            if $crate::support::require(secured.kind) {
                secured.$certificate();
            }
        })*
    };
}
pub(crate) use certificate_tests;
