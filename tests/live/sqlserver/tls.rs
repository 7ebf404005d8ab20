//! TLS inside of PRELOGIN, TLS before it, and servers that only say that they do it.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Outcome, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, fact, plain};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::fault::{Fault, FaultProxy};
use crate::support::probe::{Asked, with};
use crate::support::servers::sqlserver::standin::{Cipher, StandIn};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, State, check, states};

states! { "sqlserver":
    MANDATORY = "TLS inside of PRELOGIN", "a stand-in, encrypt=true" => Expected::HEALTHY;
    STRICT = "TLS before PRELOGIN", "a stand-in, encrypt=strict" => Expected::HEALTHY;
    STRANGER = "a server of an unknown CA, by TLS inside of PRELOGIN", "a stand-in, another CA in tls.ca" => Expected::fails(FailureKind::Tls);
    OTHER_HOST = "a certificate for another host, by TLS inside of PRELOGIN", "a stand-in" => Expected::fails(FailureKind::Tls);
    NOT_OFFERED = "TLS that is not offered", "a stand-in that answers 'not supported', encrypt=true" => Expected::fails(FailureKind::Tls);
    DEMANDED = "plain text where TLS is demanded", "a stand-in that answers 'required', encrypt=disable"
        => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    LIE = "a server that agrees to TLS and speaks plain text", "a stand-in" => Expected::fails(FailureKind::Tls);
    LOGIN_ONLY = "a server that agrees to TLS and drops it behind the log-in", "a stand-in" => Expected::fails(FailureKind::Tls);
    NO_STRICT = "TLS to a port where PRELOGIN comes first", "a stand-in without TLS, encrypt=strict" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: "sqlserver",
    start: |identity| {
        let server = StandIn::secured(Cipher::Offered, identity);
        let addr = server.addr();
        (Box::new(server), addr)
    },
    entry: strict,
} }

/// A catalog entry for a server that speaks TLS first.
fn strict(addr: SocketAddr, tls: &Json) -> Json {
    encrypted(addr, "strict", tls)
}

fn encrypted(addr: SocketAddr, how: &str, tls: &Json) -> Json {
    entry(addr, json!({ "url": format!("sqlserver://{addr}?database=orders&encrypt={how}"), "tls": tls }))
}

fn good() -> Json {
    json!({ "ca": Ca::shared().certificate() })
}

/// One run against a stand-in with this certificate.
#[track_caller]
fn expect(state: &State, cipher: Cipher, leaf: &Leaf, how: &str, tls: &Json) -> Outcome {
    let server = StandIn::secured(cipher, &Ca::shared().issue(leaf));
    let outcome = Asked::new("sqlserver", encrypted(server.addr(), how, tls)).run();
    check(state, &outcome);
    if outcome.failure.is_some() && state.state != LOGIN_ONLY.state {
        assert!(!server.seen().iter().any(|seen| seen.starts_with("LOGIN")), "the password was not sent: {:?}", server.seen());
    }
    outcome
}

#[test]
fn tls_is_inside_of_prelogin_or_before_it() {
    for cipher in [Cipher::Offered, Cipher::Required] {
        let outcome = expect(&MANDATORY, cipher, &Leaf::server(), "true", &good());
        assert_eq!(["tls_version", "encrypted"].map(|name| fact(&outcome, name)), ["1.2", "true"]);
        assert!(outcome.phases.get(Phase::Tls).is_some(), "{outcome:#?}");
    }
    let outcome = expect(&STRICT, Cipher::Offered, &Leaf::server(), "strict", &good());
    assert_eq!(["tls_version", "encrypted"].map(|name| fact(&outcome, name)), ["1.3", "true"]);
}

/// Headers and records alike.
#[test]
fn a_handshake_inside_of_prelogin_may_come_in_any_pieces() {
    let server = StandIn::secured(Cipher::Offered, &Ca::shared().issue(&Leaf::server()));
    let network = FaultProxy::start(server.addr());
    network.set(Fault::Drip { bytes: 3, every: Duration::from_millis(1) });
    let outcome = Asked::new("sqlserver", encrypted(network.addr(), "true", &good())).run_within(Duration::from_secs(30));
    assert_eq!(outcome.failure, None);
}

#[test]
fn a_certificate_inside_of_prelogin_is_verified() {
    let other = Ca::new();
    let outcome = expect(&STRANGER, Cipher::Offered, &Leaf::server(), "true", &json!({ "ca": other.certificate() }));
    assert_eq!(code(&outcome), Some("untrusted"));
    let outcome = expect(&OTHER_HOST, Cipher::Offered, &Leaf::server().names(&["other.example"]), "true", &good());
    assert_eq!(code(&outcome), Some("hostname"));
}

#[test]
fn required_encryption_is_required_by_us_and_by_the_server() {
    let server = StandIn::start();
    let outcome = Asked::new("sqlserver", encrypted(server.addr(), "true", &good())).run();
    check(&NOT_OFFERED, &outcome);
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)), (Some("refused"), Some(Phase::Tls)));
    // Nobody has to ask for it.
    let bare = format!("sqlserver://{}?database=orders", server.addr());
    let unasked = Asked::new("sqlserver", with(plain(server.addr(), json!({})), json!({ "url": bare }))).run();
    check(&NOT_OFFERED, &unasked);
    assert_eq!(server.seen(), Vec::<String>::new(), "nobody has logged in");
    let server = StandIn::secured(Cipher::Required, &Ca::shared().issue(&Leaf::server()));
    let outcome = Asked::new("sqlserver", plain(server.addr(), json!({}))).run();
    check(&DEMANDED, &outcome);
    assert_eq!(code(&outcome), Some("required"));
    assert_eq!(server.seen(), Vec::<String>::new(), "nobody has logged in");
    let server = StandIn::start();
    check(&NO_STRICT, &Asked::new("sqlserver", strict(server.addr(), &good())).run());
}

#[test]
fn a_server_that_accepts_encryption_and_then_speaks_plain_is_not_believed() {
    let outcome = expect(&LIE, Cipher::Lie, &Leaf::server(), "true", &good());
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|it| it.phase)), (Some("plaintext"), Some(Phase::Tls)));
    expect(&LOGIN_ONLY, Cipher::LoginOnly, &Leaf::server(), "true", &good());
}
