//! TLS from the first byte.

use std::net::SocketAddr;

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{code, with};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::clickhouse::{Clickhouse, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};

states! { "clickhouse":
    PLAIN_TO_TLS = "plain text to the port of TLS", "http:// with https_port, which closes without a word" => Expected::fails(FailureKind::ConnectionLost);
    TLS_TO_PLAIN = "TLS to the port of plain text", "https:// with http_port" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: "clickhouse",
    start: |identity| {
        let server = Clickhouse::builder().identity(identity).start();
        let addr = server.tls_addr();
        (Box::new(server), addr)
    },
    entry: secured,
} }

/// A catalog entry for a server with TLS.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    with(json!({ "url": format!("https://{USER}@{addr}"), "password": PASSWORD }), json!({ "tls": tls }))
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("clickhouse") {
        return;
    }
    let server = shared();
    let plain = Asked::new("clickhouse", super::entry(server.tls_addr(), json!({}))).run();
    check(&PLAIN_TO_TLS, &plain);
    assert!(plain.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
    let secure = Asked::new("clickhouse", secured(server.addr(), &json!({ "ca": Ca::shared().certificate() }))).run();
    check(&TLS_TO_PLAIN, &secure);
    assert_eq!(code(&secure), Some("plaintext"));
}
