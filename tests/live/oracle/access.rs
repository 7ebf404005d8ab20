//! Listeners and log-ins that let us in, or do not.

use std::time::Duration;

use probity_probes::{FailureKind, Phase};
use serde_json::json;

use super::{entry, expect, probe};
use crate::support::outcome::{code, fact, sees};
use crate::support::probe::Asked;
use crate::support::servers::PASSWORD;
use crate::support::servers::oracle::{Oracle, SERVICE, SID, shared};
use crate::support::truth::{Expected, check, states};
use crate::support::{peers, scratch};

states! { "oracle":
    SERVICE_KNOWN = "a service that the listener knows", "a stand-in" => Expected::HEALTHY;
    SID_KNOWN = "an instance that the listener knows", "?sid= and a stand-in" => Expected::HEALTHY;
    SERVICE_UNKNOWN = "a service that the listener does not know", "a stand-in that refuses with 12514" => Expected::fails(FailureKind::Config);
    SID_UNKNOWN = "an instance that the listener does not know", "a stand-in that refuses with 12505" => Expected::fails(FailureKind::Config);
    NOT_MOUNTED = "an instance that is not mounted", "a stand-in that refuses with 12528" => Expected::fails(FailureKind::NotReady);
    NOBODY = "nobody listens behind the listener", "a stand-in that refuses with 12541" => Expected::fails(FailureKind::ConnectRefused);
    FULL = "no handler is free", "a stand-in that refuses with 12516" => Expected::fails(FailureKind::Overload);
    REDIRECTED = "the listener sends us elsewhere", "a stand-in that names another one" => Expected::HEALTHY;
    REDIRECTED_NOWHERE = "the listener sends us where nobody is", "a stand-in that names a closed port" => Expected::fails(FailureKind::ConnectRefused);
    IN_CIRCLES = "listeners send us to each other", "a stand-in that names itself" => Expected::fails(FailureKind::NotReady);
    PASSWORD_WRONG = "a wrong password", "a stand-in that answers 1017, asked four times" => Expected::fails(FailureKind::Auth);
    NOBODY_ASKS = "neither user nor password in the catalog", "a stand-in that accepts us" => Expected::fails(FailureKind::Config);
    USER_UNKNOWN = "an unknown user", "a stand-in that answers 1017" => Expected::fails(FailureKind::Auth);
    LOCKED = "a locked account", "a stand-in that answers 28000" => Expected::fails(FailureKind::Auth);
    EXPIRED = "an expired password", "a stand-in that answers 28001" => Expected::fails(FailureKind::Auth);
    EXPIRING = "a password that expires soon", "a stand-in that warns with 28002" => Expected::degraded("password_expiring");
    NO_SESSION = "a user who may not log in", "a stand-in that answers 1045" => Expected::fails(FailureKind::Permission);
    MOUNTED = "a database that is mounted and not open", "a stand-in that answers the log-in with 1033" => Expected::fails(FailureKind::NotReady);
    ARCHIVER = "the archiver has no room", "a stand-in that answers the log-in with 257" => Expected::fails(FailureKind::Overload);
}

#[test]
fn a_service_and_an_instance_are_found() {
    let outcome = expect(&SERVICE_KNOWN, shared(), json!({}));
    assert_eq!((fact(&outcome, "version").as_str(), fact(&outcome, "instance_name").as_str()), ("19.3.0.0.0", SID));
    let url = format!("oracle://{}/?sid={SID}", shared().addr());
    expect(&SID_KNOWN, shared(), json!({ "url": url }));
}

#[test]
fn without_a_user_only_the_listener_is_asked() {
    let url = |service| json!({ "url": format!("oracle://{}/{service}", shared().addr()) });
    let outcome = Asked::new("oracle", url(SERVICE)).run();
    check(&NOBODY_ASKS, &outcome);
    assert!(outcome.failure.is_some_and(|failure| failure.message.starts_with("the database is there")));
    assert_eq!(code(&Asked::new("oracle", url("nosuch")).run()), Some("ORA-12514"));
}

#[test]
fn a_listener_says_what_is_wrong() {
    for (path, state, wanted) in [("nosuch", &SERVICE_UNKNOWN, "ORA-12514"), ("?sid=NOSUCH", &SID_UNKNOWN, "ORA-12505")] {
        let url = format!("oracle://{}/{path}", shared().addr());
        let outcome = expect(state, shared(), json!({ "url": url }));
        assert_eq!(code(&outcome), Some(wanted));
        assert_eq!(outcome.failure.and_then(|failure| failure.phase), Some(Phase::Auth));
    }
    for (refusal, state) in [(12528, &NOT_MOUNTED), (12541, &NOBODY), (12516, &FULL)] {
        let outcome = expect(state, &Oracle::builder().refusing(refusal).start(), json!({}));
        assert_eq!(code(&outcome), Some(format!("ORA-{refusal}").as_str()));
    }
}

#[test]
fn we_go_where_the_listener_sends_us() {
    let listener = Oracle::builder().redirecting(shared().addr()).start();
    let probe = probe(&listener, json!({}));
    for _ in 0..2 {
        let outcome = probe.run();
        check(&REDIRECTED, &outcome);
        assert_eq!(fact(&outcome, "remote_address"), shared().addr().to_string());
    }
    assert!(!probe.lost_within(Duration::from_millis(300)), "the first listener's end is no loss");
    let absent = peers::refused();
    let outcome = expect(&REDIRECTED_NOWHERE, &Oracle::builder().redirecting(absent.addr()).start(), json!({}));
    let message = outcome.failure.map(|failure| failure.message).unwrap_or_default();
    assert!(message.contains(&absent.addr().to_string()), "{message}");
    expect(&IN_CIRCLES, &Oracle::builder().redirecting_to_itself().start(), json!({}));
}

/// The frame's clock would have to be waited for: what is held is that nothing but the second try is made, and that a
/// file which changes is tried at once.
#[test]
fn a_wrong_password_is_tried_twice_and_then_not_before_it_changes() {
    let server = Oracle::start();
    let folder = scratch();
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong").expect("a file can be written");
    let probe = probe(&server, json!({ "password": { "file": file } }));
    let first = probe.run();
    check(&PASSWORD_WRONG, &first);
    assert_eq!(code(&first), Some("ORA-01017"));
    let second = probe.run();
    check(&PASSWORD_WRONG, &second);
    assert!(second.facts.contains_key("next_attempt_in_seconds"), "{second:#?}");
    assert_eq!(server.log_ins(), 1, "the second attempt has its time");
    std::fs::write(&file, "still wrong").expect("a file can be written");
    check(&PASSWORD_WRONG, &probe.run());
    assert_eq!(server.log_ins(), 2, "a file that has changed is tried at once");
    std::fs::write(&file, PASSWORD).expect("a file can be written");
    assert_eq!(probe.run().failure, None);
    let stranger = Asked::new("oracle", entry(server.addr(), json!({ "username": "nobody" })));
    check(&USER_UNKNOWN, &stranger.run());
}

#[test]
fn an_account_says_what_is_wrong_with_it() {
    for (number, words, state) in [
        (28000, "The account is locked.", &LOCKED),
        (28001, "the password has expired", &EXPIRED),
        (1045, "user PROBE lacks CREATE SESSION privilege; logon denied", &NO_SESSION),
        (1033, "ORACLE initialization or shutdown in progress", &MOUNTED),
        (257, "Archiver error. Connect AS SYSDBA only until resolved.", &ARCHIVER),
    ] {
        let outcome = expect(state, &Oracle::builder().denied(number, words).start(), json!({}));
        assert_eq!(code(&outcome), Some(format!("ORA-{number:05}").as_str()));
        let said = outcome.failure.and_then(|failure| failure.server_message).unwrap_or_default();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_warning_of_the_log_in_is_a_finding() {
    let server = Oracle::builder().warned(28002, "the password will expire within 7 days").start();
    let probe = probe(&server, json!({}));
    for _ in 0..2 {
        let outcome = probe.run();
        check(&EXPIRING, &outcome);
        assert!(sees("password_expiring", &outcome));
    }
}
