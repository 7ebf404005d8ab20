//! A secret goes to the server, and nowhere else.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::doc;
use probity_probes::testing::{Peer, Script};
use probity_probes::{Entry, Options, Outcome};
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::{at, backends};
use crate::support::alone::alone;
use crate::support::probe::Asked;
use crate::support::servers::cassandra::client::frame;
use crate::support::servers::mongodb::message;
use crate::support::servers::neo4j::script;
use crate::support::servers::sqlserver::tokens;

const SENTINEL: &str = "probe-sentinel-4711";

/// What PRELOGIN says of encryption that there is not.
const NO_TLS: u8 = 2;

/// A peer that repeats the secret in every place where its protocol has room for words.
fn echo(kind: &str) -> Script {
    match kind {
        "clickhouse" | "http" => Script::new().wait_for("\r\n\r\n").say(format!(
            "HTTP/1.1 500 {SENTINEL}\r\nServer: {SENTINEL}\r\nLast-Modified: {SENTINEL}\r\nContent-Length: 19\r\n\r\n{SENTINEL}"
        )),
        "elasticsearch" | "opensearch" => {
            let body = format!("{{\"error\":{{\"type\":\"{SENTINEL}\",\"reason\":\"{SENTINEL}\"}},\"status\":500}}");
            Script::new().wait_for("\r\n\r\n").say(format!("HTTP/1.1 500 No\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        }
        "cassandra" => {
            let length = u8::try_from(SENTINEL.len()).expect("a short secret");
            let words = [&[0, length][..], SENTINEL.as_bytes()].concat();
            let refusal = frame(0x84, 0, &[&[0, 0, 1, 0][..], &words].concat());
            Script::new().wait_for("DRIVER_VERSION").say(frame(0x84, 3, &words)).wait_for(SENTINEL).say(refusal).close()
        }
        "kafka" => {
            let framed = |words: &[u8]| [&u32::try_from(words.len()).expect("a short answer").to_be_bytes(), words].concat();
            // The number of the question, no error, two questions that are answered, no throttling, nothing more.
            let versions = b"\0\0\0\x01\0\0\x03\0\x11\0\0\0\x01\0\0\x24\0\0\0\x02\0\0\0\0\0\0";
            let length = u8::try_from(SENTINEL.len()).expect("a short secret");
            let refusal = [&[0, 0, 0, 2, 0, 33, 0, 0, 0, 1, 0, length], SENTINEL.as_bytes()].concat();
            Script::new().wait_for("probity").say(framed(versions)).wait_for("SCRAM").say(framed(&refusal)).close()
        }
        "mysql" => {
            // an ERR packet instead of the greeting
            let words = [&[0xff, 0x10, 0x04][..], SENTINEL.as_bytes()].concat();
            let length = u8::try_from(words.len()).expect("a short message");
            Script::new().say([&[length, 0, 0, 0][..], &words].concat()).close()
        }
        "nats" => Script::new()
            .say(format!("INFO {{\"server_name\":\"{SENTINEL}\",\"version\":\"{SENTINEL}\",\"auth_required\":true}}\r\n"))
            .wait_for("\r\n")
            .say(format!("-ERR 'Authorization Violation {SENTINEL}'\r\n"))
            .close(),
        "postgres" => {
            let fields = format!("SFATAL\0C28P01\0M{SENTINEL} is wrong\0\0");
            let length = u32::try_from(fields.len() + 4).expect("a short message");
            Script::new().wait_for("\0\0").say([b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).close()
        }
        "memcached" => {
            let login = Script::new().wait_for("version\r\n").say("CLIENT_ERROR unauthenticated\r\n").wait_for(SENTINEL);
            login.say(format!("SERVER_ERROR {SENTINEL}\r\n"))
        }
        "mongodb" => {
            let refusal = doc! { "ok": 0.0, "code": 18, "codeName": SENTINEL, "errmsg": SENTINEL, "setName": SENTINEL };
            Script::new().wait_for("admin").say(message(&refusal, 1))
        }
        "mqtt" => {
            let length = u8::try_from(SENTINEL.len()).expect("a short secret");
            let head = [0x20, length + 6, 0, 0x87, length + 3, 31, 0, length];
            Script::new().wait_for(SENTINEL).say([&head, SENTINEL.as_bytes()].concat())
        }
        "neo4j" => {
            let hello = script::success(&json!({ "server": SENTINEL }));
            let refusal = script::failure("Neo.ClientError.Security.Unauthorized", SENTINEL);
            script::agreed().wait_for(SENTINEL).say([hello, refusal].concat()).close()
        }
        "rabbitmq" => {
            let length = u8::try_from(SENTINEL.len()).expect("a short secret");
            let head = [1, 0, 0, 0, 0, 0, length + 11, 0, 10, 0, 50, 1, 0x93, length];
            Script::new().wait_for("AMQP\0\0\x09\x01").say([&head, SENTINEL.as_bytes(), &[0, 0, 0, 0, 0xce]].concat())
        }
        "redis" => Script::new().wait_for("\r\n").say(format!("-WRONGPASS {SENTINEL}\r\n")),
        "sqlserver" => {
            let prelogin = Script::new().wait_for([NO_TLS]).say(tokens::packets(4, &tokens::prelogin(NO_TLS)));
            prelogin.wait_for("m\0a\0s\0t\0e\0r\0").say(tokens::packets(4, &tokens::error(18456, 1, SENTINEL))).close()
        }
        _ => Script::new().say(SENTINEL).close(),
    }
}

/// The example with the secret in one of all the places where it may be given.
fn places(entry: &Entry, place: &str) -> Vec<Value> {
    let mut base = at(entry, place);
    if entry.manual.title == "SQL Server" {
        // Under TLS nothing of it could be echoed.
        base["url"] = format!("{}&encrypt=disable", base["url"].as_str().unwrap_or_default()).into();
    }
    let schema = serde_json::to_value(entry.schema()).expect("a schema is JSON");
    let properties = schema["properties"].as_object().expect("an entry is a table");
    let mut found = Vec::new();
    // A user without a password is a token to NATS, and a name to all others.
    let token = (entry.manual.title == "NATS").then(|| format!("://{SENTINEL}@"));
    for url in [Some(format!("://probe:{SENTINEL}@")), token].into_iter().flatten() {
        let mut keys = base.clone();
        let plain = ["postgres@", "root@", "probe@"].iter().fold(keys["url"].to_string(), |url, user| url.replace(user, ""));
        let plain = plain.trim_matches('"');
        keys["url"] = plain.replacen("://", &url, 1).into();
        found.push(keys);
    }
    for (key, property) in properties.iter().filter(|(_, property)| property.to_string().contains("\"writeOnly\":true")) {
        let mut keys = base.clone();
        keys[key] = if property["type"] == "object" { json!({ "X-Secret": SENTINEL }) } else { SENTINEL.into() };
        if key == "password" && properties.contains_key("username") && !base["url"].as_str().unwrap_or_default().contains('@') {
            keys["username"] = "probe".into();
        }
        found.push(keys);
    }
    assert!(found.len() > 1, "no key takes a secret");
    found
}

/// Everything that a surface could show of an outcome.
fn everything(outcome: &Outcome) -> String {
    let json = |value: Result<Value, serde_json::Error>| value.expect("it can be serialized").to_string();
    let parts = [
        json(serde_json::to_value(&outcome.failure)),
        json(serde_json::to_value(&outcome.findings)),
        json(serde_json::to_value(&outcome.facts)),
        outcome.missing.join(" "),
        outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
        format!("{outcome:?}"),
    ];
    parts.join("\n")
}

/// The log of the whole process is read, so nothing else may run in it.
#[test]
fn a_secret_is_in_no_outcome_and_no_log() {
    if !alone("conformance::secrets::a_secret_is_in_no_outcome_and_no_log") {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    // Libraries print what they read and write at DEBUG and TRACE, lapin and tiberius even at ERROR: the agent keeps them quiet.
    let own = Targets::new().with_target("probity_probes", LevelFilter::TRACE).with_default(LevelFilter::WARN);
    let own = own.with_target("lapin", LevelFilter::OFF).with_target("tiberius", LevelFilter::OFF);
    let all = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(own);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(all)).expect("the first subscriber");
    tracing::warn!("begin");
    let mut told = 0;
    for (kind, entry) in backends() {
        let peer = Peer::start([echo(kind)]);
        for keys in places(&entry, &peer.addr().to_string()) {
            match entry.build(keys.clone(), Options::default()) {
                Ok(probe) => {
                    let probe = Asked::of(probe);
                    for outcome in [probe.run_within(Duration::from_millis(400)), probe.run_within(Duration::from_millis(400))] {
                        let text = everything(&outcome);
                        assert!(!text.contains(SENTINEL), "{kind}: {keys}: {text}");
                        told += usize::from(text.contains("[secret]"));
                    }
                    probe.close();
                }
                // Not every combination makes sense; but the refusal does not repeat it.
                Err(error) => assert!(!format!("{error} {error:?}").contains(SENTINEL), "{kind}: {error}"),
            }
        }
    }
    // Else the peers did not say what they should have, and nothing was tested.
    assert!(told >= 2 * backends().count(), "the secret was masked in {told} outcomes");
    let log = log.text();
    assert!(log.contains("begin"), "nothing was logged: {log}");
    let leak = log.lines().find(|line| line.contains(SENTINEL));
    assert_eq!(leak, None);
}

/// A mistake in one key must not print the others.
#[test]
fn a_mistake_in_the_catalog_repeats_no_secret() {
    for (kind, entry) in backends() {
        for mut keys in places(&entry, "localhost:1") {
            keys["no_such_key"] = SENTINEL.into();
            let Err(error) = entry.build(keys, Options::default()) else { panic!("{kind}: an unknown key was taken") };
            assert!(!format!("{error} {error:?}").contains(SENTINEL), "{kind}: {error}");
        }
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
