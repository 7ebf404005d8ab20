//! Who may ask what, by which token, over TLS or without.

use std::net::SocketAddr;

use probity_probes::{Depth, FailureKind, Options};
use serde_json::{Value as Json, json};

use super::{code, entry, expect, fact};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::consul::{Consul, MANAGEMENT, guarded, shared};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, check, states};

/// All that a probe needs.
const LEAST: &str = "operator = \"read\"\nagent_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }\n\
                     service_prefix \"\" { policy = \"read\" }";

states! { "consul":
    OPEN = "a server without ACLs", "a single server" => Expected::HEALTHY;
    MANAGED = "a token that may do everything", "the initial management token" => Expected::HEALTHY;
    ENOUGH = "a token with the least rights", "operator, agent, node and service: read" => Expected::HEALTHY;
    RIGHTLESS = "a token without any right, and lists that are empty for that", "a policy about one key only" => Expected::HEALTHY;
    NOBODY = "no token where there are ACLs, and lists that are empty for that", "default_policy = deny" => Expected::HEALTHY;
    UNKNOWN = "a token that the servers do not know", "another one" => Expected::fails(FailureKind::Auth);
    FOUND = "an own question with the answer that is expected", "a key and its value" => Expected::HEALTHY;
    OTHER = "an own question with another answer", "another value of the key" => Expected::unfit("unexpected_value");
    GONE = "an own question about a key that is not there", "rows = 1" => Expected::unfit("unexpected_rows");
    FORBIDDEN = "an own question that the token may not ask", "key:read denied" => Expected::fails(FailureKind::Permission);
    TRIP = "a round trip", "key:write on probity/canary/" => Expected::HEALTHY;
    NO_TRIP = "a round trip without the right to write", "operator and agent: read" => Expected::fails(FailureKind::Permission);
    ELSEWHERE = "a datacenter that does not exist", "?dc=nowhere" => Expected::fails(FailureKind::Config);
    TLS_PORT = "plain text to a TLS port", "http:// to the port with TLS" => Expected::fails(FailureKind::Tls);
    PLAIN_PORT = "TLS to a plain-text port", "https:// to the port without TLS" => Expected::fails(FailureKind::Tls);
}

certificate_tests! { Secured {
    kind: "consul",
    start: |identity| {
        let server = Consul::builder().identity(identity).start();
        let addr = server.tls_addr();
        (Box::new(server), addr)
    },
    entry: |addr: SocketAddr, tls: &Json| json!({ "url": format!("https://{addr}"), "tls": tls }),
} }

#[test]
fn a_server_tells_what_it_is() {
    if !require("consul") {
        return;
    }
    let outcome = expect(&OPEN, shared().addr(), json!({}));
    assert!(outcome.missing.is_empty(), "{:?}", outcome.missing);
    assert_eq!((fact(&outcome, "datacenter").as_str(), fact(&outcome, "mode").as_str()), ("dc1", "server"));
    assert_eq!(["peers", "voters", "failure_tolerance"].map(|name| fact(&outcome, name)), ["1", "1", "0"]);
    assert!(fact(&outcome, "version").starts_with("1.22"), "{outcome:#?}");
}

#[test]
fn a_token_is_known_or_not() {
    if !require("consul") {
        return;
    }
    let addr = guarded().addr();
    assert!(expect(&MANAGED, addr, json!({ "token": MANAGEMENT })).missing.is_empty());
    let least = guarded().token(LEAST);
    let outcome = expect(&ENOUGH, addr, json!({ "token": least }));
    assert!(outcome.missing.is_empty(), "{:?}", outcome.missing);
    let outcome = expect(&UNKNOWN, addr, json!({ "token": "99999999-2222-3333-4444-555555555555" }));
    assert!(code(&outcome).is_some_and(|code| ["403 token does not exist", "403 ACL not found"].contains(&code)), "{outcome:#?}");
}

/// Its lists are empty with status 200: that is partial coverage, and no word about critical checks.
#[test]
fn an_empty_list_from_a_token_without_rights_is_partial_coverage() {
    if !require("consul") {
        return;
    }
    let addr = guarded().addr();
    guarded().register("ill", "ill-1", "critical");
    let rightless = guarded().token("key \"nothing\" { policy = \"read\" }");
    for (state, keys) in
        [(&RIGHTLESS, json!({ "token": rightless, "services": ["ill"] })), (&NOBODY, json!({ "services": ["ill"] }))]
    {
        let outcome = expect(state, addr, keys);
        for question in ["operator/autopilot/health", "health/state/critical", "health/service", "agent/self"] {
            assert!(outcome.missing.iter().any(|missing| missing == question), "{question}: {:?}", outcome.missing);
        }
        assert_eq!(fact(&outcome, "nodes_critical"), "");
    }
}

#[test]
fn a_key_has_the_value_it_must_have() {
    if !require("consul") {
        return;
    }
    let server = guarded();
    server.put("/v1/kv/app/mode", &json!("open"));
    let ask = |state, key: &str, expected: Json| {
        expect(state, server.addr(), json!({ "token": MANAGEMENT, "query": key, "expect": expected }))
    };
    ask(&FOUND, "app/mode", json!({ "value": "\"open\"", "rows": 1 }));
    ask(&OTHER, "app/mode", json!({ "value": "closed" }));
    ask(&GONE, "app/nothing", json!({ "rows": 1 }));
    let blind = server.token(LEAST);
    let outcome = expect(&FORBIDDEN, server.addr(), json!({ "token": blind, "query": "app/mode" }));
    assert!(code(&outcome).is_some_and(|code| code.starts_with("403")), "{outcome:#?}");
}

#[test]
fn round_trips_leave_nothing_behind() {
    if !require("consul") {
        return;
    }
    let server = guarded();
    let trip = |rules: &str| {
        let entry = entry(server.addr(), json!({ "token": server.token(rules) }));
        let options = Options { depth: Depth::Roundtrip, roundtrip_interval: std::time::Duration::ZERO, ..Options::default() };
        Asked::with("consul", entry, options)
    };
    let probe = trip(&format!("{LEAST}\nkey_prefix \"probity/canary/\" {{ policy = \"write\" }}"));
    for _ in 0..20 {
        check(&TRIP, &probe.run());
    }
    assert_eq!(server.get("/v1/kv/probity?keys").map(|keys| keys.status).ok(), Some(404), "a canary was left");
    check(&NO_TRIP, &trip(LEAST).run());
}

#[test]
fn plain_text_tls_and_datacenters_are_told_apart() {
    if !require("consul") {
        return;
    }
    let server = shared();
    let outcome = expect(&ELSEWHERE, server.addr(), json!({ "url": format!("http://{}?dc=nowhere", server.addr()) }));
    assert!(code(&outcome).is_some_and(|code| code.contains("No path to datacenter")), "{outcome:#?}");
    expect(&TLS_PORT, server.tls_addr(), json!({}));
    let tls = json!({ "url": format!("https://{}", server.addr()), "tls": { "ca": Ca::shared().certificate() } });
    expect(&PLAIN_PORT, server.addr(), tls);
}
