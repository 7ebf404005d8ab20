//! The security plugin: TLS, users, rights, and the time before it is set up.

use probity_probes::{FailureKind, Status};
use serde_json::{Value as Json, json};

use super::KIND;
use crate::live::search::SOON;
use crate::support::outcome::{code, fact};
use crate::support::probe::{Asked, with};
use crate::support::servers::search::Secure;
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};
use crate::support::{eventually, require};

states! { KIND:
    NOT_SET_UP = "a security plugin that was never set up", "allow_default_init_securityindex = false" => Expected::fails(FailureKind::NotReady);
    ADMIN = "a user who may do everything", "admin" => Expected::HEALTHY;
    WRONG = "a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    NOBODY = "no user where one is wanted", "none in the entry" => Expected::fails(FailureKind::Auth);
    NO_RIGHTS = "a user who may not look at the cluster", "kibanaro, and nothing else to ask" => Expected::fails(FailureKind::Permission);
    READER = "a user who may search, and nothing else", "readall, and an index to count" => Expected::HEALTHY;
    READER_NAMED = "a user who may search the indices named", "readall, and indices" => Expected::HEALTHY;
    PLAIN_TO_TLS = "plain text to a port of TLS", "http:// to its port, which closes without a word" => Expected::fails(FailureKind::ConnectionLost);
}

/// A probe of a server as a user, whose password is his name.
fn probe(server: &Secure, user: &str, keys: Json) -> Asked {
    let user = if user.is_empty() { String::new() } else { format!("{user}:{user}@") };
    let tls = json!({ "ca": Ca::shared().certificate() });
    Asked::new(KIND, with(json!({ "url": format!("https://{user}{}", server.addr()), "tls": tls }), keys))
}

#[test]
fn a_plugin_that_was_never_set_up_is_not_ready() {
    if !require(KIND) || !require("opensearch-secure") {
        return;
    }
    let server = Secure::launch(&Ca::shared().issue(&Leaf::server()), false);
    let probe = probe(&server, "admin", json!({}));
    let answered = || Some(probe.run()).filter(|outcome| code(outcome).is_some());
    let outcome = eventually(SOON, "it answers", answered);
    check(&NOT_SET_UP, &outcome);
    assert_eq!(code(&outcome), Some("503 OpenSearch Security not initialized."));
}

#[test]
fn users_may_what_they_may() {
    if !require(KIND) || !require("opensearch-secure") {
        return;
    }
    let server = Secure::launch(&Ca::shared().issue(&Leaf::server()), true);
    let admin = probe(&server, "admin", json!({}));
    let outcome = eventually(SOON * 2, "it is set up", || Some(admin.run()).filter(|outcome| outcome.status == Status::Healthy));
    check(&ADMIN, &outcome);
    assert_eq!((fact(&outcome, "security_status").as_str(), outcome.missing.len()), ("UP", 0), "{outcome:#?}");

    let wrong = json!({ "username": "admin", "password": "another-password" });
    let outcome = probe(&server, "", wrong).run();
    check(&WRONG, &outcome);
    assert_eq!(code(&outcome), Some("401"));
    check(&NOBODY, &probe(&server, "", json!({})).run());
    let outcome = probe(&server, "kibanaro", json!({})).run();
    check(&NO_RIGHTS, &outcome);
    assert_eq!(code(&outcome), Some("403 security_exception"));

    server.put("/orders", "{\"settings\":{\"number_of_replicas\":0}}").expect("the index is made");
    for (state, keys) in
        [(&READER, json!({ "query": "orders", "expect": { "value": 0 } })), (&READER_NAMED, json!({ "indices": ["orders"] }))]
    {
        let searches = || Some(probe(&server, "readall", keys.clone()).run()).filter(|outcome| outcome.failure.is_none());
        let outcome = eventually(SOON, "it can be searched", searches);
        check(state, &outcome);
        let mut missing = outcome.missing.clone();
        missing.sort_unstable();
        assert_eq!(missing, ["/", "_cat/master", "_cluster/health", "_cluster/state", "_nodes/stats"]);
    }

    let plain = Asked::new(KIND, json!({ "url": format!("http://{}", server.addr()) })).run();
    check(&PLAIN_TO_TLS, &plain);
    assert!(plain.failure.is_some_and(|failure| failure.remedy.contains("TLS")));
}
