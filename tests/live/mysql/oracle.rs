//! Oracle's MySQL, where `PROBITY_TEST_MYSQLD` names one.

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::{code, expect, fact};
use crate::support::servers::mysql::{BARE, Flavor, Mysql, oracle};
use crate::support::tls::Ca;
use crate::support::truth::{Expected, states};

states! { "mysql":
    SHA2_PLAIN = "Oracle's MySQL, in plain text", "caching_sha2_password with the server's RSA key" => Expected::HEALTHY;
    SHA2_TLS = "Oracle's MySQL, with TLS", "caching_sha2_password with the password inside TLS" => Expected::HEALTHY;
    SHA2_WRONG = "Oracle's MySQL, and a wrong password", "another password in the entry" => Expected::fails(FailureKind::Auth);
    SUPER_READ_ONLY = "Oracle's MySQL, read-only even for administrators", "super_read_only, expect.writable" => Expected::unfit("read_only");
    OFFLINE = "Oracle's MySQL, offline", "SET GLOBAL offline_mode = 1" => Expected::fails(FailureKind::NotReady);
    DEMANDED = "Oracle's MySQL that demands TLS", "require_secure_transport, plain text" => Expected::fails(FailureKind::Tls);
    LOCKED = "Oracle's MySQL, and a locked account", "ALTER USER … ACCOUNT LOCK" => Expected::fails(FailureKind::Auth);
    FOLLOWING = "Oracle's MySQL, a replica that follows", "CHANGE REPLICATION SOURCE" => Expected::HEALTHY;
    NOT_APPLYING = "Oracle's MySQL, a replica that does not apply", "STOP REPLICA SQL_THREAD" => Expected::degraded("replication_broken");
}

/// A server of its own; without one the test is skipped aloud.
fn server() -> Option<Mysql> {
    if oracle().is_none() {
        eprintln!("SKIPPED mysql: PROBITY_TEST_MYSQLD names no mysqld of Oracle's");
        return None;
    }
    Some(Mysql::of(Flavor::Oracle).start())
}

fn trusting() -> Json {
    json!({ "tls": { "ca": Ca::shared().certificate() } })
}

#[test]
fn passwords_go_by_the_servers_key_or_inside_tls() {
    let Some(server) = server() else { return };
    // Nobody has logged in since the server started, so it has nothing cached and wants the password itself.
    let plain = expect(&SHA2_PLAIN, &server, json!({}));
    assert_eq!((fact(&plain, "flavor").as_str(), fact(&plain, "role").as_str()), ("mysql", "source"));
    assert!(plain.missing.is_empty(), "{plain:#?}");
    server.sql("FLUSH PRIVILEGES");
    let secure = expect(&SHA2_TLS, &server, trusting());
    assert!(!fact(&secure, "tls_cipher").is_empty(), "{secure:#?}");
    expect(&SHA2_TLS, &server, trusting());
    for keys in [json!({ "password": "another" }), json!({ "password": "another", "tls": trusting()["tls"] })] {
        assert_eq!(code(&expect(&SHA2_WRONG, &server, keys)), Some("1045"));
    }
    let long = "p".repeat(200);
    server.sql(&format!("CREATE USER lengthy@'%' IDENTIFIED BY '{long}'; GRANT REPLICATION CLIENT ON *.* TO lengthy@'%'"));
    for (state, tls) in [(&SHA2_PLAIN, Json::Null), (&SHA2_TLS, trusting()["tls"].clone())] {
        expect(state, &server, json!({ "url": format!("mysql://lengthy@{}", server.addr()), "password": long, "tls": tls }));
        server.sql("FLUSH PRIVILEGES");
    }
}

#[test]
fn states_that_only_this_one_has() {
    let Some(server) = server() else { return };
    server.sql("SET GLOBAL super_read_only = 1");
    let outcome = expect(&SUPER_READ_ONLY, &server, json!({ "expect": { "writable": true } }));
    assert_eq!(outcome.findings[0].observed.to_string(), "super_read_only");
    server.sql("SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0; SET GLOBAL offline_mode = 1");
    let outcome = expect(&OFFLINE, &server, json!({}));
    assert_eq!((code(&outcome), fact(&outcome, "process_alive").as_str()), (Some("3032"), "true"));
    server.sql("SET GLOBAL offline_mode = 0; SET GLOBAL require_secure_transport = 1");
    assert_eq!(code(&expect(&DEMANDED, &server, json!({}))), Some("3159"));
    server.sql(&format!("SET GLOBAL require_secure_transport = 0; ALTER USER {BARE}@'%' ACCOUNT LOCK"));
    let url = format!("mysql://{BARE}@{}", server.addr());
    assert_eq!(code(&expect(&LOCKED, &server, json!({ "url": url }))), Some("3118"));
}

#[test]
fn replication_has_other_words() {
    let (Some(source), Some(replica)) = (server(), server()) else { return };
    source.lead(&replica);
    assert_eq!(fact(&expect(&FOLLOWING, &replica, json!({})), "role"), "replica");
    replica.sql("STOP REPLICA SQL_THREAD");
    expect(&NOT_APPLYING, &replica, json!({}));
}
