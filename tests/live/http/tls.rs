//! HTTPS: versions, certificates, and who must show one.

use probity_probes::FailureKind;
use serde_json::json;

use super::{ca, code, entry, expect, fact, secured};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::require;
use crate::support::servers::nginx::{Nginx, shared};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, State, states};

states! { "http":
    TWO = "well, with HTTP/2", "ALPN h2" => Expected::HEALTHY;
    MUTUAL = "known by our certificate", "mutual TLS" => Expected::HEALTHY;
    NO_CERTIFICATE_NGINX = "our certificate is wanted, by nginx", "it answers 400" => Expected::fails(FailureKind::Query);
    PLAIN = "the server has no TLS", "https:// to a plain port" => Expected::fails(FailureKind::Tls);
    TLS_WANTED = "the server wants TLS", "http:// to a port with TLS: nginx answers 400" => Expected::fails(FailureKind::Query);
}

certificate_tests! {
    Secured {
        kind: "http",
        start: |identity| {
            let server = Nginx::builder().identity(identity).start();
            let addr = server.https();
            (Box::new(server), addr)
        },
        entry: |addr, tls| json!({ "url": format!("https://{addr}/health"), "tls": tls }),
    }
}

#[test]
fn http_2_is_chosen_where_it_is_offered() {
    if !require("http") {
        return;
    }
    let server = Nginx::builder().http2().location("= /host", "return 200 $host$http_host;").start();
    let probe = super::probe(secured(server.https(), "/health", json!({ "expect": { "json": { "/status": "UP" } } })));
    for _ in 0..3 {
        let outcome = probe.run();
        crate::support::truth::check(&TWO, &outcome);
        assert_eq!(fact(&outcome, "http_version"), "2");
    }
    let named = json!({ "headers": { "Host": "orders.example" }, "expect": { "contains": "orders.example" } });
    expect(&TWO, secured(server.https(), "/host", named));
    for (path, state) in [("/503", super::answers::COME_BACK), ("/500", super::answers::BROKEN)] {
        expect(&state, secured(server.https(), path, json!({})));
    }
}

#[test]
fn a_client_certificate_is_shown() {
    if !require("http") {
        return;
    }
    let own = Ca::shared().issue(&Leaf::client("probity"));
    let keys = json!({ "tls": { "ca": ca(), "cert": own.certificate, "key": own.key } });
    expect(&MUTUAL, secured(shared().mutual_tls(), "/health", keys.clone()));
    expect(&NO_CERTIFICATE_NGINX, secured(shared().mutual_tls(), "/health", json!({})));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let front = TlsFront::mutual(shared().http(), &Ca::shared().issue(&Leaf::server()), version);
        expect(&MUTUAL, secured(front.addr(), "/health", keys.clone()));
    }
}

#[test]
fn plain_text_and_tls_are_told_apart() {
    if !require("http") {
        return;
    }
    let outcome = expect(&PLAIN, secured(shared().http(), "/health", json!({})));
    assert_eq!(code(&outcome), Some("plaintext"));
    let check = |state: &State| expect(state, entry(shared().https(), "/health", json!({})));
    check(&TLS_WANTED);
}
