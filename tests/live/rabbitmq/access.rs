//! Who may log in, where to, and what he may ask.

use std::net::SocketAddr;

use probity_probes::{FailureKind, FaultDomain, Phase};
use serde_json::{Value as Json, json};

use super::{code, deep, entry, expect, fact, managed, observed};
use crate::live::tls::{Secured, certificate_tests};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::rabbitmq::{Rabbitmq, shared};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::{Ca, Leaf};
use crate::support::tls_front::TlsFront;
use crate::support::truth::{Expected, check, states};

states! { "rabbitmq":
    WELL = "well", "a broker as it starts" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    UNKNOWN_USER = "an unknown user", "a user that the broker does not have" => Expected::fails(FailureKind::Auth);
    NO_VHOST = "a virtual host that does not exist", "another path in the URL" => Expected::fails(FailureKind::Config);
    NOT_ALLOWED = "a virtual host that the user may not use", "a user without permissions" => Expected::fails(FailureKind::Permission);
    LEAST = "a user with the least rights", "permissions on nothing" => Expected::HEALTHY;
    UNMANAGED = "a user without the management API", "permissions on nothing, no tag" => Expected::HEALTHY;
    MUTE = "a user who may not publish", "permissions on nothing, expect.writable" => Expected::HEALTHY;
    VHOST_FULL = "a virtual host at its limit of connections", "max-connections 0 of the virtual host" => Expected::fails(FailureKind::Overload);
    USER_FULL = "a user at his limit of connections", "max-connections 0 of the user" => Expected::fails(FailureKind::Overload);
    VHOST_DOWN = "a virtual host that is down", "its processes stopped" => Expected::fails(FailureKind::NotReady);
    OTHER_VHOST_DOWN = "another virtual host is down", "the same, seen from the first" => Expected::degraded("vhost_down");
    SECURED = "well, with TLS", "amqps:// and our own CA" => Expected::HEALTHY;
    EXTERNAL = "a client certificate that says who we are", "mechanism = external" => Expected::HEALTHY;
    UNKNOWN_CERTIFICATE = "a client certificate of an unknown user", "the same with another name" => Expected::fails(FailureKind::Auth);
    MISCERTIFIED = "a client certificate of an unknown CA", "mechanism = external, signed by another CA" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    TLS_PORT = "plain text to a TLS port", "amqp:// to the port with TLS" => Expected::fails(FailureKind::Tls).blames(FaultDomain::Probe);
    PLAIN_PORT = "TLS to a plain-text port", "amqps:// to the port without TLS" => Expected::fails(FailureKind::Tls);
}

// A broker starts for seconds: its own TLS is tried below, certificates are those of a TLS in front of it.
certificate_tests! { Secured {
    kind: "rabbitmq",
    start: |identity| {
        let front = TlsFront::start(shared().addr(), identity);
        let addr = front.addr();
        (Box::new(front), addr)
    },
    entry: secured,
} }

/// A catalog entry for a broker at its TLS port.
fn secured(addr: SocketAddr, tls: &Json) -> Json {
    entry(addr, json!({ "url": format!("amqps://{addr}"), "tls": tls }))
}

#[test]
fn a_broker_that_is_well_tells_what_it_is() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    let outcome = expect(&WELL, server, managed(server));
    assert_eq!((fact(&outcome, "product").as_str(), fact(&outcome, "nodes").as_str()), ("RabbitMQ", "1"));
    assert!(fact(&outcome, "version").starts_with("3."), "{outcome:#?}");
    for (name, value) in [("nodes_running", "1"), ("mem_alarm", "false"), ("disk_alarm", "false"), ("partitions", "0")] {
        assert_eq!(fact(&outcome, name), value, "{name}");
    }
    assert!(fact(&outcome, "cluster_name").starts_with("probity"), "{outcome:#?}");
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
}

#[test]
fn passwords_are_right_or_wrong() {
    if !require("rabbitmq") {
        return;
    }
    let refused = expect(&WRONG, shared(), json!({ "password": "not-the-password" }));
    assert_eq!((code(&refused), refused.failure.as_ref().and_then(|f| f.phase)), (Some("403 login"), Some(Phase::Auth)));
    assert_eq!(fact(&refused, "process_alive"), "true");
    expect(&UNKNOWN_USER, shared(), json!({ "username": "nobody-at-all" }));
}

#[test]
fn virtual_hosts_are_there_and_open_or_not() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    let addr = server.addr();
    expect(&WELL, server, json!({ "url": format!("amqp://{addr}/%2f") }));
    let outcome = expect(&NO_VHOST, server, json!({ "url": format!("amqp://{addr}/nowhere") }));
    assert_eq!(code(&outcome), Some("530 not found"));
    let outcome = expect(&NO_VHOST, server, json!({ "url": format!("amqp://{addr}/") }));
    assert!(outcome.failure.is_some_and(|failure| failure.remedy.contains("without a name")));

    server.set("PUT", "/api/users/stranger", &json!({ "password": PASSWORD, "tags": "" }).to_string());
    let outcome = expect(&NOT_ALLOWED, server, json!({ "username": "stranger" }));
    assert_eq!(code(&outcome), Some("530 refused"));
}

#[test]
fn the_least_rights_are_enough_and_fewer_lower_coverage() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    server.set("PUT", "/api/users/least", &json!({ "password": PASSWORD, "tags": "" }).to_string());
    let nothing = json!({ "configure": "^$", "write": "^$", "read": "^$" }).to_string();
    server.set("PUT", "/api/permissions/%2f/least", &nothing);
    let outcome = expect(&LEAST, server, json!({ "username": "least" }));
    assert!(outcome.missing.is_empty(), "{outcome:#?}");
    let mut keys = managed(server);
    keys["username"] = "least".into();
    assert_eq!(expect(&UNMANAGED, server, keys).missing, ["management"]);

    let probe = deep(server, json!({ "username": "least", "expect": { "writable": true } }));
    for _ in 0..2 {
        let outcome = probe.run();
        check(&MUTE, &outcome);
        assert_eq!(outcome.missing, ["publish"], "{outcome:#?}");
    }
}

#[test]
fn limits_of_connections_are_overload() {
    if !require("rabbitmq") {
        return;
    }
    let server = shared();
    let everything = json!({ "configure": ".*", "write": ".*", "read": ".*" }).to_string();
    let none = json!({ "value": 0 }).to_string();
    server.set("PUT", "/api/vhosts/limited", "");
    server.set("PUT", &format!("/api/permissions/limited/{USER}"), &everything);
    server.set("PUT", "/api/vhost-limits/limited/max-connections", &none);
    let outcome = expect(&VHOST_FULL, server, json!({ "url": format!("amqp://{}/limited", server.addr()) }));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("530 limit"), "true"));

    server.set("PUT", "/api/users/limited", &json!({ "password": PASSWORD, "tags": "" }).to_string());
    server.set("PUT", "/api/permissions/%2f/limited", &everything);
    server.set("PUT", "/api/user-limits/limited/max-connections", &none);
    expect(&USER_FULL, server, json!({ "username": "limited" }));
}

#[test]
fn a_virtual_host_that_is_down_is_not_ready() {
    if !require("rabbitmq") {
        return;
    }
    let server = Rabbitmq::start();
    server.set("PUT", "/api/vhosts/fallen", "");
    server.control(&["eval", "rabbit_vhost_sup_sup:stop_and_delete_vhost(<<\"fallen\">>)."]);
    let outcome = expect(&VHOST_DOWN, &server, json!({ "url": format!("amqp://{}/fallen", server.addr()) }));
    assert_eq!(code(&outcome), Some("541 down"));
    let outcome = expect(&OTHER_VHOST_DOWN, &server, managed(&server));
    assert_eq!(observed(&outcome, "vhost_down"), "fallen");
}

#[test]
fn certificates_say_who_we_are() {
    if !require("rabbitmq") {
        return;
    }
    let addr = shared().tls_addr();
    let outcome = Asked::new("rabbitmq", secured(addr, &json!({ "ca": Ca::shared().certificate() }))).run();
    check(&SECURED, &outcome);
    assert_eq!(fact(&outcome, "tls_version"), "1.3");
    let external = |by: &Ca, user: &str| {
        let client = by.issue(&Leaf::client(user));
        let tls = json!({ "ca": Ca::shared().certificate(), "cert": client.certificate, "key": client.key });
        Asked::new("rabbitmq", json!({ "url": format!("amqps://{addr}"), "mechanism": "external", "tls": tls })).run()
    };
    check(&EXTERNAL, &external(Ca::shared(), USER));
    check(&UNKNOWN_CERTIFICATE, &external(Ca::shared(), "somebody-else"));
    let outcome = external(&Ca::new(), USER);
    check(&MISCERTIFIED, &outcome);
    assert_eq!(code(&outcome), Some("client_cert"));
}

#[test]
fn tls_and_plain_text_are_told_apart() {
    if !require("rabbitmq") {
        return;
    }
    let outcome = Asked::new("rabbitmq", entry(shared().tls_addr(), json!({}))).run();
    check(&TLS_PORT, &outcome);
    let ca = json!({ "ca": Ca::shared().certificate() });
    check(&PLAIN_PORT, &Asked::new("rabbitmq", secured(shared().addr(), &ca)).run());
}
