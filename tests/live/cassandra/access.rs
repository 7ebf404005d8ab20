//! Who may ask, and how he gets there.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::cassandra::{Cassandra, KEYSPACE, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { "cassandra":
    KNOWN = "the right password, and the rights that are asked for", "GRANT SELECT ON KEYSPACE system_views" => Expected::HEALTHY;
    LOGIN_ONLY = "a role with LOGIN only", "nothing is granted to it; coverage is partial" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown role", "another role in the entry" => Expected::fails(FailureKind::Auth);
    NO_LOGIN = "a role that may not log in", "LOGIN = false" => Expected::fails(FailureKind::Auth);
    NOBODY = "no log-in where one is needed", "none in the entry" => Expected::fails(FailureKind::Auth);
    NEEDLESS = "a log-in where none is needed", "AllowAllAuthenticator" => Expected::HEALTHY;
    OPEN = "no log-in where none is needed", "the same" => Expected::HEALTHY;
    NO_KEYSPACE = "a keyspace that does not exist", "/nosuch in the URL" => Expected::fails(FailureKind::Config);
    NO_TABLE = "a canary's table that does not exist", "canary" => Expected::fails(FailureKind::Config);
    TLS_PORT = "plain text to a TLS port", "no tls table, optional: false" => Expected::fails(FailureKind::ConnectionLost);
    PLAIN_PORT = "TLS to a plain-text port", "a tls table, and no TLS" => Expected::fails(FailureKind::Tls);
    TLS_OPTIONAL = "TLS where it is optional", "optional: true" => Expected::HEALTHY;
    PLAIN_OPTIONAL = "plain text where TLS is optional", "the same" => Expected::HEALTHY;
    CERTIFIED = "a client certificate", "require_client_auth: true, tls.cert" => Expected::HEALTHY;
    UNCERTIFIED = "no client certificate where one is wanted", "require_client_auth: true"
        => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
}

certificate_tests! { Secured {
    kind: "cassandra",
    // The server itself shows only the certificate that it was started with: it is asked for below.
    start: |identity| {
        let front = TlsFront::start(shared().addr(), identity);
        let addr = front.addr();
        (Box::new(front), addr)
    },
    entry: |addr, tls| entry(addr, json!({ "tls": tls })),
} }

/// How long the first answers of a server may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// An entry without a log-in, which asks only for what is everywhere.
fn nobody(addr: SocketAddr, tls: &Json) -> Json {
    let mut entry = json!({ "url": format!("cassandra://{addr}") });
    if !tls.is_null() {
        entry["tls"] = tls.clone();
    }
    entry
}

#[test]
fn a_role_is_known_or_not() {
    if !require("cassandra") {
        return;
    }
    let outcome = expect(&KNOWN, shared().addr(), json!({}));
    assert!(fact(&outcome, "version").starts_with("5.0."), "{outcome:#?}");
    assert_eq!(
        ["authenticator", "cluster_name", "data_center", "rack", "nodes_known", "nodes_up", "nodes_down", "schema_versions"]
            .map(|name| fact(&outcome, name)),
        ["PasswordAuthenticator", "farm", "datacenter1", "rack1", "1", "1", "0", "1"]
    );
    assert_eq!(outcome.missing, [""; 0]);
    let refused = expect(&UNKNOWN_USER, shared().addr(), json!({ "username": "nobody" }));
    assert_eq!((code(&refused), fact(&refused, "process_alive")), (Some("0x0100"), "true".into()));
    shared().run(&format!("CREATE ROLE locked WITH LOGIN = false AND PASSWORD = '{PASSWORD}'"));
    assert_eq!(code(&expect(&NO_LOGIN, shared().addr(), json!({ "username": "locked" }))), Some("0x0100"));
    let refused = Asked::new("cassandra", nobody(shared().addr(), &Json::Null)).run();
    check(&NOBODY, &refused);
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("login_wanted"), Some(Phase::Auth)));
}

/// It may read `system.local` and the list of its peers.
#[test]
fn a_role_that_may_only_log_in_leaves_coverage_partial() {
    if !require("cassandra") {
        return;
    }
    let outcome = expect(&LOGIN_ONLY, shared().addr(), json!({ "username": USER }));
    assert_eq!(outcome.missing, ["canary", "gossip_info"]);
    assert_eq!(["nodes_known", "nodes_up"].map(|name| fact(&outcome, name)), ["1", ""], "nobody says that they are up");
}

#[test]
fn a_wrong_password_is_tried_once() {
    if !require("cassandra") {
        return;
    }
    let probe = Asked::new("cassandra", entry(shared().addr(), json!({ "password": "not-the-password" })));
    for _ in 0..3 {
        let outcome = probe.run();
        check(&WRONG, &outcome);
        assert_eq!(code(&outcome), Some("0x0100"));
    }
}

#[test]
fn names_that_are_not_there_are_mistakes_of_the_catalog() {
    if !require("cassandra") {
        return;
    }
    let url = |keyspace: &str| json!({ "url": format!("cassandra://{}/{keyspace}", shared().addr()) });
    let outcome = expect(&NO_KEYSPACE, shared().addr(), url("nosuch"));
    assert_eq!((code(&outcome), outcome.failure.as_ref().and_then(|f| f.phase)), (Some("0x2200"), Some(Phase::Auth)));
    let outcome = expect(&NO_TABLE, shared().addr(), json!({ "canary": "app.nosuch" }));
    assert_eq!(code(&outcome), Some("0x2200"));
    let mut keys = url(KEYSPACE);
    keys["canary"] = "probity_canary".into();
    expect(&KNOWN, shared().addr(), keys);
}

#[test]
fn where_nobody_needs_a_log_in_any_will_do_and_tls_is_optional() {
    if !require("cassandra") {
        return;
    }
    let ca = Ca::shared();
    let server = Cassandra::builder().tls(&ca.issue(&Leaf::server()), true, false).start();
    let ask = |tls: &Json| Asked::new("cassandra", nobody(server.addr(), tls)).run();
    let outcome = ask(&Json::Null);
    check(&OPEN, &outcome);
    check(&PLAIN_OPTIONAL, &outcome);
    assert_eq!(fact(&outcome, "authenticator"), "none");
    let mut needless = nobody(server.addr(), &Json::Null);
    (needless["username"], needless["password"]) = ("anybody".into(), "anything".into());
    check(&NEEDLESS, &Asked::new("cassandra", needless).run());
    let outcome = ask(&json!({ "ca": ca.certificate() }));
    check(&TLS_OPTIONAL, &outcome);
    assert_eq!(fact(&outcome, "tls_version"), "1.3");
    let plain = entry(shared().addr(), json!({ "tls": { "ca": ca.certificate() } }));
    check(&PLAIN_PORT, &Asked::new("cassandra", plain).run());
}

#[test]
fn tls_is_required_with_a_certificate_of_ours() {
    if !require("cassandra") {
        return;
    }
    let ca = Ca::shared();
    let server = Cassandra::builder().tls(&ca.issue(&Leaf::server()), false, true).start();
    let own = ca.issue(&Leaf::client("probity"));
    let ask = |tls: &Json| Asked::new("cassandra", nobody(server.addr(), tls)).run();
    let tls = json!({ "ca": ca.certificate(), "cert": own.certificate, "key": own.key });
    // Nobody has asked it anything yet.
    let first = Asked::new("cassandra", nobody(server.addr(), &tls)).run_within(SOON);
    assert_eq!(first.failure, None);
    check(&CERTIFIED, &ask(&tls));
    let outcome = ask(&json!({ "ca": ca.certificate() }));
    check(&UNCERTIFIED, &outcome);
    assert_eq!(code(&outcome), Some("client_cert"));
    let outcome = ask(&Json::Null);
    check(&TLS_PORT, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}
