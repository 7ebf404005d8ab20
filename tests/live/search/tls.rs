//! TLS from the first byte, by something before it.

use std::net::SocketAddr;

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{KIND, Server};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::outcome::code;
use crate::support::probe::{Asked, with};
use crate::support::require;
use crate::support::servers::search::Product;
use crate::support::tls::Ca;
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { KIND:
    TLS_TO_PLAIN = "TLS to a port of plain text", "https:// to http.port" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: KIND,
    start: |identity| {
        let front = TlsFront::start(Server::shared().addr(), identity);
        let addr = front.addr();
        (Box::new(front), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    with(json!({ "url": format!("https://{addr}") }), json!({ "tls": tls }))
}

#[test]
fn a_server_without_tls_is_told() {
    if !require(KIND) {
        return;
    }
    let tls = json!({ "ca": Ca::shared().certificate() });
    let outcome = Asked::new(KIND, secured(Server::shared().addr(), &tls)).run();
    check(&TLS_TO_PLAIN, &outcome);
    assert_eq!(code(&outcome), Some("plaintext"));
}
