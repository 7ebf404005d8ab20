//! A proxy in front of a server that speaks HTTP, which answers in its place: the same for each of them.

use std::net::SocketAddr;

use probity_probes::FailureKind;
use serde_json::json;

use crate::support::outcome::{code, fact};
use crate::support::probe::Asked;
use crate::support::servers::nginx::Nginx;
use crate::support::servers::{clickhouse, consul, search, search::Product};
use crate::support::truth::{Expected, State, check};
use crate::support::{peers, require};

/// Those that are an API, and so never speak HTML themselves. Of a web site nobody can tell.
const APIS: [&str; 4] = ["clickhouse", "consul", "elasticsearch", "opensearch"];

const PASSED: (&str, &str) = ("a proxy that passes everything on", "nginx before it");
const LOGIN: (&str, &str) = ("a proxy that wants a log-in of its own", "nginx with a password, and none given");
const ASTRAY: (&str, &str) = ("a proxy that leads elsewhere", "nginx that knows no such path");
const ALONE: (&str, &str) = ("a proxy that reaches nobody", "nginx before a closed port");
const IN_VAIN: (&str, &str) = ("a proxy that waits in vain", "nginx before a server that hangs, which waits for a second");

/// What is true of each, for the truth table.
pub(crate) fn states() -> impl Iterator<Item = State> {
    let rows = [
        (PASSED, Expected::HEALTHY),
        (LOGIN, Expected::fails(FailureKind::Auth)),
        (ASTRAY, Expected::fails(FailureKind::Protocol)),
        (ALONE, Expected::fails(FailureKind::NotReady)),
        (IN_VAIN, Expected::fails(FailureKind::NotReady)),
    ];
    APIS.into_iter().flat_map(move |backend| {
        rows.into_iter().map(move |((state, made), expected)| State::new(backend, state, made, expected))
    })
}

fn address(kind: &str) -> SocketAddr {
    match kind {
        "clickhouse" => clickhouse::shared().addr(),
        "consul" => consul::shared().addr(),
        "elasticsearch" => search::Elasticsearch::shared().addr(),
        _ => search::Opensearch::shared().addr(),
    }
}

/// An nginx that does this with whatever it is asked.
fn front(directives: &str) -> Nginx {
    Nginx::builder().location("/", directives).start()
}

fn pass(addr: SocketAddr) -> String {
    format!("proxy_pass http://{addr}; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_read_timeout 1s;")
}

#[test]
fn a_proxy_that_answers_itself_is_named() {
    if !require("http") {
        return;
    }
    let (gone, hung) = (peers::refused(), peers::black_hole());
    let cases = [
        (LOGIN, front(&format!("auth_basic proxy; auth_basic_user_file users; {}", pass(gone.addr()))), "proxy 401"),
        (ASTRAY, front("return 404;"), "proxy 404"),
        (ALONE, front(&pass(gone.addr())), "proxy 502"),
        (IN_VAIN, front(&pass(hung.addr())), "proxy 504"),
    ];
    for kind in APIS.into_iter().filter(|kind| require(kind)) {
        let row = |name: &str| states().find(|state| (state.backend, state.state) == (kind, name)).expect("it has its row");
        let ask = |proxy: &Nginx| Asked::new(kind, json!({ "url": format!("http://{}", proxy.http()) })).run();
        check(&row(PASSED.0), &ask(&front(&pass(address(kind)))));
        for ((name, _), proxy, expected) in &cases {
            let outcome = ask(proxy);
            check(&row(name), &outcome);
            assert_eq!(code(&outcome), Some(*expected), "{outcome:#?}");
            let message = &outcome.failure.as_ref().expect("it failed").message;
            assert!(message.starts_with("an HTTP proxy (nginx) "), "{message}");
            // Of the server itself nothing is known.
            assert_eq!(fact(&outcome, "process_alive"), "");
        }
    }
}

/// Its statuses are the site's own, but for those that only a proxy gives.
#[test]
fn of_a_web_site_s_proxy_its_status_tells() {
    if !require("http") {
        return;
    }
    let gone = peers::refused();
    let proxy = front(&pass(gone.addr()));
    let outcome = Asked::new("http", json!({ "url": format!("http://{}/", proxy.http()) })).run();
    assert!(outcome.failure.is_some_and(|failure| failure.message.starts_with("a proxy cannot reach")));
}
