//! Who answers, and who may ask. What stands before the server is an nginx, as before many.

use probity_probes::{FailureKind, Options};
use serde_json::{Value as Json, json};

use super::{KIND, Server};
use crate::live::search::{SOON, entry};
use crate::support::eventually;
use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::require;
use crate::support::servers::nginx::{self, Nginx};
use crate::support::servers::search::{Elasticsearch, Node, Opensearch, Product};
use crate::support::servers::{PASSWORD, USER};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, State, check, states};

states! { KIND:
    LOGGED_IN = "a proxy that wants a log-in", "nginx with a password; TLS and a path of its own" => Expected::HEALTHY;
    KEY = "a proxy that wants an API key", "nginx that looks at the header" => Expected::HEALTHY;
    TOKEN = "a proxy that wants a token", "nginx that looks at the header" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    NOBODY = "no password where one is wanted", "none in the entry" => Expected::fails(FailureKind::Auth);
    WRONG_KEY = "a wrong API key", "another key in the entry" => Expected::fails(FailureKind::Auth);
    PLAIN_TO_TLS = "plain text to a port of TLS", "http:// to the port of nginx, which says so" => Expected::fails(FailureKind::Tls);
    HUNG_BEHIND = "a server that hangs behind a proxy", "SIGSTOP, and an nginx that waits for a second" => Expected::fails(FailureKind::NotReady);
    DEAD_BEHIND = "a server that is dead behind a proxy", "kill -9" => Expected::fails(FailureKind::NotReady);
    OPENSEARCH = "OpenSearch", "the port of an OpenSearch" => Expected::fails(FailureKind::Config);
    COMPATIBLE = "OpenSearch that calls itself 7.10.2", "compatibility.override_main_response_version" => Expected::fails(FailureKind::Config);
    NGINX = "the port of another HTTP server", "an nginx" => Expected::fails(FailureKind::Protocol);
}

const KEY_WORD: &str = "cHJvYmU6a2V5LXNlY3JldA";

/// An nginx before a node, with what it does besides passing on.
fn before(node: &Node<Server>, path: &str, own: &str) -> Nginx {
    let pass = format!("proxy_pass http://{}/; proxy_http_version 1.1; proxy_set_header Connection \"\";", node.addr());
    let alone = "proxy_set_header Authorization \"\"; proxy_connect_timeout 1s; proxy_read_timeout 1s;";
    Nginx::builder().location(path, &format!("{own} {pass} {alone}")).start()
}

#[test]
fn a_proxy_lets_in_who_may() {
    if !require(KIND) || !require("http") {
        return;
    }
    let proxy = before(Server::shared(), "/search/", "auth_basic security; auth_basic_user_file users;");
    let tls = json!({ "ca": Ca::shared().certificate() });
    let at = |user: &str, keys: Json| {
        Asked::new(KIND, with(json!({ "url": format!("https://{user}{}/search/", proxy.https()), "tls": tls }), keys)).run()
    };
    let outcome = at(&format!("{USER}@"), json!({ "password": PASSWORD }));
    check(&LOGGED_IN, &outcome);
    assert_eq!(fact(&outcome, "master_node"), "n1");
    for (state, outcome) in [(&WRONG, at(&format!("{USER}@"), json!({ "password": "another" }))), (&NOBODY, at("", json!({})))] {
        check(state, &outcome);
        assert_eq!(code(&outcome), Some("proxy 401"));
    }
    let plain = Asked::new(KIND, entry(proxy.https(), json!({}))).run();
    check(&PLAIN_TO_TLS, &plain);
    assert!(plain.failure.is_some_and(|failure| failure.remedy.contains("https://")));
}

#[test]
fn keys_and_tokens_are_shown() {
    if !require(KIND) || !require("http") {
        return;
    }
    let wants = |scheme: &str| {
        let wanted = format!("if ($http_authorization != \"{scheme} {KEY_WORD}\") {{ return 401; }}");
        before(Server::shared(), "/", &wanted)
    };
    let (key, token) = (wants("ApiKey"), wants("Bearer"));
    let ask = |proxy: &Nginx, keys| Asked::new(KIND, entry(proxy.http(), keys)).run();
    let outcomes: [(&State, _); 3] = [
        (&KEY, ask(&key, json!({ "api_key": KEY_WORD }))),
        (&TOKEN, ask(&token, json!({ "token": KEY_WORD }))),
        (&WRONG_KEY, ask(&key, json!({ "api_key": "another" }))),
    ];
    for (state, outcome) in outcomes {
        check(state, &outcome);
        assert!(!format!("{outcome:?}").contains(KEY_WORD), "{outcome:#?}");
    }
}

#[test]
fn a_proxy_says_that_nobody_is_behind_it() {
    if !require(KIND) || !require("http") {
        return;
    }
    let node = Node::<Server>::start();
    let proxy = before(&node, "/", "");
    let run = || Asked::new(KIND, entry(proxy.http(), json!({}))).run();
    node.process().freeze();
    let outcome = run();
    check(&HUNG_BEHIND, &outcome);
    assert_eq!(code(&outcome), Some("proxy 504"));
    node.process().kill9();
    let outcome = eventually(SOON, "the proxy notices", || Some(run()).filter(|outcome| code(outcome) == Some("proxy 502")));
    check(&DEAD_BEHIND, &outcome);
}

#[test]
fn opensearch_is_not_taken_for_elasticsearch_whatever_it_calls_itself() {
    if !require(KIND) || !require("opensearch") || !require("http") {
        return;
    }
    let at = |addr| Asked::new(KIND, entry(addr, json!({}))).run();
    let compatible = Node::<Opensearch>::builder().setting("compatibility.override_main_response_version", true).start();
    for (state, addr) in [(&OPENSEARCH, Opensearch::shared().addr()), (&COMPATIBLE, compatible.addr())] {
        let outcome = at(addr);
        check(state, &outcome);
        assert_eq!(code(&outcome), Some("opensearch"));
    }
    let nowhere = format!("http://{}/nowhere", nginx::shared().http());
    check(&NGINX, &Asked::new(KIND, json!({ "url": nowhere })).run());
    assert_eq!(code(&at(Elasticsearch::shared().addr())), None);
}

#[test]
fn one_way_to_log_in_is_enough() {
    let build = |url: &str, keys: Json| {
        let config = with(json!({ "url": url }), keys);
        let built = probity_probes::find(KIND).expect("it is built in").build(config, Options::default());
        built.err().map(|error| error.key).unwrap_or_default()
    };
    for (url, keys, key) in [
        ("http://u@h", json!({ "api_key": "k" }), "api_key"),
        ("http://h", json!({ "username": "u", "token": "t" }), "token"),
        ("http://h", json!({ "api_key": "k", "token": "t" }), "token"),
        ("http://u@h", json!({ "username": "u" }), "username"),
        ("http://h?x=1", json!({}), "url"),
        ("http://h", json!({ "indices": ["a/b"] }), "indices"),
        ("http://h", json!({ "query": "_all" }), "query"),
        ("http://h", json!({ "expect": { "value": 1 } }), "expect.value"),
        ("https://h/path", json!({ "indices": ["logs-*"], "query": "orders" }), ""),
    ] {
        assert_eq!(build(url, keys.clone()), key, "{url} {keys}");
    }
}
