//! What a peer says in words of its own is `server_message`, and nothing else; and no peer brings a secret back.

use std::time::Duration;

use mongodb::bson::doc;
use probity_probes::testing::{Peer, Script};
use probity_probes::{Options, Outcome, Secret};
use serde_json::{Value, json};

use super::{at, backends};
use crate::support::probe::{Asked, with};
use crate::support::servers::cassandra::client::frame;
use crate::support::servers::mongodb::message;
use crate::support::servers::neo4j::script;
use crate::support::servers::sqlserver::tokens;

/// Free words that no server has a code for.
const WORDS: &str = "zebra crossing 42";

const SECRET: &str = "Zq7SENTINELx9";

/// What PRELOGIN says of encryption that there is not.
const NO_TLS: u8 = 2;

fn http(status: &str, headers: &str, body: &str) -> Script {
    let length = body.len();
    Script::new().wait_for("\r\n\r\n").say(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"))
}

fn length(words: &[u8]) -> u8 {
    u8::try_from(words.len()).expect("a short text")
}

/// Peers that put the words wherever an error of their protocol has room for them.
fn talkers(kind: &str) -> Vec<Script> {
    let words = WORDS.as_bytes();
    let plain = ["400", "401", "403", "404", "409", "429", "500", "502", "503"]
        .map(|status| http(&format!("{status} {WORDS}"), "Content-Type: text/plain\r\nServer: zebra\r\n", WORDS));
    match kind {
        "clickhouse" => [
            vec![http("500 No", &format!("X-ClickHouse-Exception-Code: {WORDS}\r\n"), WORDS)],
            vec![http("500 No", "", &format!("Code: 1{WORDS}. DB::Exception: {WORDS}"))],
            plain.to_vec(),
        ]
        .concat(),
        "consul" | "http" => plain.to_vec(),
        "elasticsearch" | "opensearch" => {
            let typed = |status: &str| {
                let error = json!({ "error": { "type": WORDS, "reason": format!("blocked by: [a/{WORDS}/x]") }, "status": 500 });
                http(&format!("{status} No"), "Content-Type: application/json\r\n", &error.to_string())
            };
            [["400", "403", "429", "500", "503"].map(typed).to_vec(), plain.to_vec()].concat()
        }
        "cassandra" => {
            let text = [&[0, length(words)][..], words].concat();
            let refusal = |code: u16| {
                let code = code.to_be_bytes();
                Script::new()
                    .wait_for("DRIVER_VERSION")
                    .say(frame(0x84, 0, &[&[0, 0, code[0], code[1]][..], &text].concat()))
                    .close()
            };
            vec![refusal(0), refusal(0x100), refusal(0x4242)]
        }
        "mysql" => [1040_u16, 1045, 4242]
            .map(|code| {
                let packet = [&[0xff][..], &code.to_le_bytes(), b"#ZEBRA", words].concat();
                Script::new().say([&[length(&packet), 0, 0, 0][..], &packet].concat()).close()
            })
            .to_vec(),
        "nats" => ["-ERR 'zebra crossing 42'", "-ERR 'Permissions Violation zebra crossing 42'", "-ERR zebra crossing 42"]
            .map(|line| {
                let info = format!("INFO {{\"server_name\":\"x\",\"version\":\"{WORDS}\",\"auth_required\":true}}\r\n");
                Script::new().say(info).wait_for("\r\n").say(format!("{line}\r\n")).close()
            })
            .to_vec(),
        "postgres" => ["28P01", "08P01", "ZEBRA", WORDS]
            .map(|code| {
                let fields = format!("S{WORDS}\0C{code}\0M{WORDS}\0D{WORDS}\0H{WORDS}\0\0");
                let length = u32::try_from(fields.len() + 4).expect("a short message");
                Script::new().wait_for("\0\0").say([b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()).close()
            })
            .to_vec(),
        "memcached" => ["SERVER_ERROR", "CLIENT_ERROR", "ERROR", "SERVER_ERROR out of memory"]
            .map(|code| Script::new().wait_for("version\r\n").say(format!("{code} {WORDS}\r\n")).close())
            .to_vec(),
        "mongodb" => [18, 13, 4242]
            .map(|code| {
                let refusal = doc! { "ok": 0.0, "code": code, "codeName": WORDS, "errmsg": WORDS, "setName": WORDS };
                Script::new().wait_for("admin").say(message(&refusal, 1))
            })
            .to_vec(),
        "mqtt" => {
            let size = length(words);
            [0x80, 0x87, 0x9d]
                .map(|code| {
                    let head = [0x20, size + 6, 0, code, size + 3, 31, 0, size];
                    Script::new().wait_for("MQTT").say([&head, words].concat())
                })
                .to_vec()
        }
        "neo4j" => [WORDS, "Neo.ClientError.Zebra.Crossing", "Neo.ClientError.Security.Zebra"]
            .map(|code| {
                let hello = script::success(&json!({ "server": "Neo4j/5.0.0" }));
                let refusal = script::failure(code, WORDS);
                script::agreed().wait_for("probity").say([hello, refusal].concat()).close()
            })
            .to_vec(),
        "rabbitmq" => [403_u16, 530, 541, 4242]
            .map(|code| {
                let code = code.to_be_bytes();
                let size = length(words);
                let head = [1, 0, 0, 0, 0, 0, size + 11, 0, 10, 0, 50, code[0], code[1], size];
                Script::new().wait_for("AMQP\0\0\x09\x01").say([&head, words, &[0, 0, 0, 0, 0xce]].concat())
            })
            .to_vec(),
        "redis" => [
            "-ERR zebra crossing 42",
            "-ZEBRA crossing 42",
            "-zebra crossing 42",
            "-ERR unknown command 'zebra crossing 42'",
            "-WRONGPASS zebra crossing 42",
        ]
        .map(|line| Script::new().wait_for("\r\n").say(format!("{line}\r\n")))
        .to_vec(),
        "sqlserver" => [18456, 4060, 4242]
            .map(|code| {
                let prelogin = Script::new().wait_for([NO_TLS]).say(tokens::packets(4, &tokens::prelogin(NO_TLS)));
                prelogin.wait_for("m\0a\0s\0t\0e\0r\0").say(tokens::packets(4, &tokens::error(code, 1, WORDS))).close()
            })
            .to_vec(),
        _ => vec![Script::new().say(WORDS).close()],
    }
}

fn config(entry: &probity_probes::Entry, place: &str) -> Value {
    let mut keys = at(entry, place);
    if entry.manual.title == "SQL Server" {
        // Under TLS a script could not say anything.
        keys["url"] = format!("{}&encrypt=disable", keys["url"].as_str().unwrap_or_default()).into();
    }
    keys
}

fn serialized(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).expect("it can be serialized").to_string()
}

/// Code, message, remedy, findings and what was refused: everything that is shown without `verbose_errors`, but for
/// facts, whose texts the manual declares.
fn shown(outcome: &Outcome) -> String {
    let mut failure = outcome.failure.clone();
    if let Some(failure) = &mut failure {
        failure.server_message = None;
    }
    [serialized(&failure), serialized(&outcome.findings), outcome.missing.join(" ")].join("\n")
}

#[test]
fn free_words_of_a_server_are_in_its_message_alone() {
    let mut told = 0;
    for (kind, entry) in backends() {
        for (number, script) in talkers(kind).into_iter().enumerate() {
            let peer = Peer::start([script]);
            let probe = Asked::new(kind, config(&entry, &peer.addr().to_string()));
            let outcome = probe.run_within(Duration::from_millis(800));
            let text = shown(&outcome).to_lowercase();
            assert!(!text.contains("zebra") && !text.contains("crossing"), "{kind} {number}: {outcome:#?}");
            let words = outcome.failure.and_then(|failure| failure.server_message).unwrap_or_default();
            told += usize::from(words.to_lowercase().contains("crossing"));
            probe.close();
        }
    }
    // Else the peers did not say what they should have, and nothing was tested.
    assert!(told >= 30 || backends().count() < 18, "the words came through {told} times");
}

/// Redis repeats a secret behind so many spaces or letters that some limit would cut it.
#[test]
#[cfg(feature = "redis")]
fn no_cut_shows_the_beginning_of_a_secret() {
    for pad in (150..260).step_by(7).chain((960..1040).step_by(3)) {
        for filler in [" ", "x"] {
            let words = format!("-ERR cannot do: {}{SECRET} tail\r\n", filler.repeat(pad));
            let peer = Peer::start([Script::new().wait_for(SECRET).say(words)]);
            let config = json!({ "url": format!("redis://{}", peer.addr()), "password": SECRET });
            let outcome = Asked::new("redis", config).run_within(Duration::from_secs(2));
            let text = format!("{outcome:?}");
            assert!(text.contains("cannot do"), "{text}");
            assert!(!text.contains("Zq7S"), "{pad} of {filler:?}: {text}");
        }
    }
}

/// A service of the web repeats what it was asked: header values, the log-in, path and parameters.
#[test]
#[cfg(feature = "http")]
fn no_echo_of_a_request_brings_a_secret_back() {
    let path = "/hook/Zq7SENTINELx9-path/x?k=Zq7SENTINELx9-param";
    let echo = format!("denied: {path} ; Basic cHJvYmU6WnE3U0VOVElORUx4OQ== ; cHJvYmU6WnE3U0VOVElORUx4OQ ; probe:{SECRET}");
    let reply = format!(
        "HTTP/1.1 503 No\r\nServer: {SECRET} {path}\r\nRetry-After: {SECRET}\r\nLast-Modified: {echo}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{echo}",
        echo.len()
    );
    let peer = Peer::start([Script::new().wait_for("\r\n\r\n").say(reply).close()]);
    let url = format!("http://{}{path}", peer.addr());
    let config = json!({
        "url": { "expanded": url }, "username": "probe", "password": SECRET, "headers": { "X-Vault": format!("{SECRET}-vault") },
        "query": "/a",
    });
    let concealed = ["Zq7SENTINELx9-path", "Zq7SENTINELx9-param"].map(Secret::value).to_vec();
    let probe = Asked::with("http", config, Options { concealed, ..Options::default() });
    for outcome in [probe.run(), probe.run()] {
        let text = format!("{outcome:?}");
        assert!(text.contains("[secret]"), "{text}");
        for piece in ["Zq7", "SENT", "cHJvYmU6", "WnE3", "U0VO"] {
            assert!(!text.contains(piece), "{piece}: {text}");
        }
    }
}

/// A password that is not encoded makes a mistake of the URL, of which no piece is told; nobody is dialled.
#[test]
fn a_password_that_breaks_its_url_is_told_by_nobody() {
    for (kind, entry) in backends() {
        for sign in ["?", "/", "#", "%", "@", ":", "\\", "?x=", "/@", "#@", "%zz", " ", "&", "?x&", ":1/"] {
            for keys in ["url", "monitor", "management"] {
                let mut config = at(&entry, "localhost:1");
                if keys != "url" && !serialized(&entry.schema()).contains(&format!("\"{keys}\"")) {
                    continue;
                }
                let scheme = if keys == "url" {
                    config["url"].as_str().unwrap_or_default().split("://").next().unwrap_or_default()
                } else {
                    "http"
                };
                let url = format!("{scheme}://probe:SuperSecret{sign}SecretTail@localhost:1/x");
                for url in [json!(url), json!({ "expanded": url })] {
                    config = with(config, json!({ keys: url }));
                    match entry.build(config.clone(), Options::default()) {
                        Err(error) => {
                            let text = format!("{error} {error:?}");
                            assert!(!text.contains("SuperSecret") && !text.contains("SecretTail"), "{kind} {sign:?}: {text}");
                        }
                        Ok(probe) => {
                            let outcome = Asked::of(probe).run_within(Duration::from_millis(300));
                            let text = format!("{outcome:?}").to_lowercase();
                            assert!(!text.contains("supersecret") && !text.contains("secrettail"), "{kind} {sign:?}: {text}");
                        }
                    }
                }
            }
        }
    }
}
