//! TLS from the first byte, and begun anew.

use std::net::SocketAddr;
use std::time::Duration;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{entry, expect, probe};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::oracle::{Oracle, SERVICE, shared};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};

states! { "oracle":
    ANEW = "TLS is begun anew", "a stand-in that hands the connection on, as a listener with dedicated servers does" => Expected::HEALTHY;
    TLS_WANTED = "plain text to a TLS port", "oracle:// to a stand-in with TLS" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    NO_TLS = "TLS to a plain-text port", "tcps:// to a stand-in without TLS, which waits for the rest of a packet" => Expected::fails(FailureKind::Timeout);
}

certificate_tests! { Secured {
    kind: "oracle",
    start: |identity| {
        let server = Oracle::builder().identity(identity).start();
        let addr = server.addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "url": format!("tcps://{addr}/{SERVICE}"), "tls": tls }))
}

#[test]
fn tls_is_begun_anew_where_the_listener_hands_the_connection_on() {
    let server = Oracle::builder().renegotiating().start();
    let outcome = expect(&ANEW, &server, secured(server.addr(), &json!({ "ca": Ca::shared().certificate() })));
    assert!(outcome.facts.contains_key("tls_version"), "{outcome:#?}");
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("oracle") {
        return;
    }
    let server = Oracle::builder().tls().start();
    let failure = expect(&TLS_WANTED, &server, json!({})).failure.expect("it failed");
    assert!(failure.message.contains("TLS"), "{failure:?}");
    let within = Duration::from_secs(1);
    let outcome = probe(shared(), secured(shared().addr(), &json!({ "ca": Ca::shared().certificate() }))).run_within(within);
    check(&NO_TLS.within(within), &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Tls));
}
