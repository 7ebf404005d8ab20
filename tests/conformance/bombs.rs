//! Work that a peer chooses: hashing and arithmetic of a log-in. What is too much is refused by name, and what is not
//! keeps nobody else waiting.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use probity_probes::testing::{Peer, Script};
use probity_probes::{Depth, Failure, FailureKind, Options, Phase, find};
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::probe::{Asked, with};
use crate::support::servers::sqlserver::tokens;

/// Serves each connection on a thread of its own, for as long as the tests run.
fn serve(talk: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let addr = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let talk = talk.clone();
            thread::spawn(move || talk(stream));
        }
    });
    addr
}

/// A Redis that is well.
fn healthy_redis() -> SocketAddr {
    serve(|mut stream| {
        let mut said = [0; 4096];
        loop {
            let read = stream.read(&mut said)?;
            if read == 0 {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&said[..read]);
            let answer = if said.contains("HELLO") { "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n" } else { "+PONG\r\n" };
            stream.write_all(answer.as_bytes())?;
        }
    })
}

/// Fields of a BSON document.
fn bson(fields: &[u8]) -> Vec<u8> {
    [&u32::try_from(fields.len() + 5).expect("short").to_le_bytes()[..], fields, b"\0"].concat()
}

/// A MongoDB that wants a password hashed so often.
fn greedy_mongodb(iterations: u64) -> SocketAddr {
    serve(move |mut stream| {
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head)?;
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let mut body = vec![0; length.saturating_sub(16)];
            stream.read_exact(&mut body)?;
            let ok = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";
            let text = String::from_utf8_lossy(&body);
            let fields = if let Some((_, nonce)) = text.split_once(",r=").filter(|_| text.contains("saslStart")) {
                let nonce: String =
                    nonce.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "+/=".contains(*letter)).collect();
                let words = format!("r={nonce}XYZ,s=QSXCR+Q6sek8bf92,i={iterations}");
                let length = u32::try_from(words.len()).expect("short").to_le_bytes();
                [&ok[..], b"\x10conversationId\0\x01\0\0\0\x08done\0\0\x05payload\0", &length, b"\0", words.as_bytes()].concat()
            } else {
                let mechanisms = bson(b"\x020\0\x0e\0\0\0SCRAM-SHA-256\0");
                [&ok[..], b"\x08isWritablePrimary\0\x01\x10maxWireVersion\0\x15\0\0\0\x04saslSupportedMechs\0", &mechanisms]
                    .concat()
            };
            let document = bson(&fields);
            let length = u32::try_from(21 + document.len()).expect("short");
            let number = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            stream.write_all(&[[length, 7, number, 2013, 0].map(u32::to_le_bytes).as_flattened(), &[0], &document].concat())?;
        }
    })
}

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(body.len()).expect("short").to_le_bytes();
    [&[a, b, c, number], body].concat()
}

/// A MySQL up to where the client has introduced itself.
fn mysql() -> Script {
    let greeting =
        b"\x0a8.0.0\0\x01\0\0\0abcdefgh\0\xff\xf7\x21\x02\0\xff\xc3\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0";
    Script::new().say(packet(0, greeting)).wait_for("probity")
}

/// A DER value of so many bytes, all of them ones.
fn number(bytes: usize) -> Vec<u8> {
    [&[2, 0x84][..], &u32::try_from(bytes + 1).expect("short").to_be_bytes(), b"\0", &vec![0xff; bytes]].concat()
}

/// A MySQL whose key has so many bits.
fn key_of(modulus: usize, exponent: usize) -> Script {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let numbers = [number(modulus / 8), number(exponent / 8)].concat();
    let der = [&[0x30, 0x84][..], &u32::try_from(numbers.len()).expect("short").to_be_bytes(), &numbers].concat();
    let pem = format!("\x01-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", BASE64_STANDARD.encode(der));
    mysql().say(packet(2, b"\x01\x04")).wait_for([1, 0, 0, 3, 2]).say(packet(4, pem.as_bytes()))
}

/// A MariaDB whose `parsec` hashes 1024 times this power of two.
fn parsec_of(power: u8) -> Script {
    let switch = [&b"\xfeparsec\0"[..], &[7; 32]].concat();
    let salt = [&[b'P', power][..], &[9; 18]].concat();
    mysql().say(packet(2, &switch)).wait_for([0, 0, 0, 3]).say(packet(4, &salt))
}

/// A Postgres that wants a password hashed so often.
fn postgres(iterations: &str) -> Script {
    let sasl = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    let words = format!("\0\0\0\x0br=nonce,s=QSXCR+Q6sek8bf92,i={iterations}");
    let length = u32::try_from(words.len() + 4).expect("short").to_be_bytes();
    Script::new()
        .wait_for("probity\0")
        .wait_for("\0")
        .say(sasl)
        .wait_for(",r=")
        .say([b"R", &length[..], words.as_bytes()].concat())
}

fn ask(kind: &str, url: &str) -> Option<Failure> {
    let entry = with(json!({ "url": url }), json!({ "username": "u", "password": "not a secret" }));
    let options = Options { depth: Depth::Query, ..Options::default() };
    Asked::with(kind, entry, options).run_within(Duration::from_secs(5)).failure
}

#[test]
fn work_beyond_its_limit_is_refused_by_name() {
    let mut cases = vec![
        ("mysql", "mysql", key_of(100_000, 24), "the peer asked for 100000 bits of an RSA key, the limit is 16384"),
        ("mysql", "mysql", key_of(16_392, 24), "the peer asked for 16392 bits of an RSA key, the limit is 16384"),
        ("mysql", "mysql", key_of(2048, 2048), "the peer asked for 2048 bits of an RSA key's exponent, the limit is 64"),
        ("mysql", "mysql", parsec_of(20), "the peer asked for 1073741824 iterations of the password hash, the limit is 1000000"),
        (
            "postgres",
            "postgres",
            postgres("2000000000"),
            "the peer asked for 2000000000 iterations of the password hash, the limit is 1000000",
        ),
        (
            "postgres",
            "postgres",
            postgres("1000001"),
            "the peer asked for 1000001 iterations of the password hash, the limit is 1000000",
        ),
    ];
    cases.retain(|(kind, ..)| find(kind).is_ok());
    let scripted = cases.into_iter().map(|(kind, scheme, script, message)| {
        let peer = Peer::start([script]);
        (kind, ask(kind, &format!("{scheme}://{}", peer.addr())), message.to_owned())
    });
    let mongodb = [2_000_000_000, 1_000_001, u64::MAX].into_iter().filter(|_| find("mongodb").is_ok()).map(|asked| {
        let message = format!("the peer asked for {asked} iterations of the password hash, the limit is 1000000");
        ("mongodb", ask("mongodb", &format!("mongodb://{}", greedy_mongodb(asked))), message)
    });
    for (kind, failure, message) in scripted.chain(mongodb) {
        let failure = failure.unwrap_or_else(|| panic!("{kind}: {message}"));
        let seen = (failure.kind, failure.phase, failure.code.as_deref(), failure.message.as_str());
        assert_eq!(
            seen,
            (FailureKind::Protocol, Some(Phase::Auth), Some("too_much_work"), message.as_str()),
            "{kind}: {failure:#?}"
        );
    }
}

/// What is allowed is done, and ends in another way.
#[test]
fn work_within_its_limit_is_done() {
    for (kind, scheme, script) in [
        ("mysql", "mysql", Some(key_of(2048, 24))),
        ("mysql", "mysql", Some(parsec_of(3))),
        ("postgres", "postgres", Some(postgres("4096"))),
        ("mongodb", "mongodb", None),
    ] {
        if find(kind).is_err() {
            continue;
        }
        let peer = script.map(|script| Peer::start([script.close()]));
        let addr = peer.as_ref().map_or_else(|| greedy_mongodb(1_000_000), Peer::addr);
        let failure = ask(kind, &format!("{scheme}://{addr}")).expect("no peer ends the log-in");
        assert_ne!(failure.code.as_deref(), Some("too_much_work"), "{kind}: {failure:#?}");
        assert_ne!(failure.kind, FailureKind::Unexpected, "{kind}: {failure:#?}");
    }
}

/// One that is refused, and several that compute all the time, next to ten that are well.
#[test]
fn no_other_dependency_waits_for_a_log_in() {
    if find("mongodb").is_err() || find("redis").is_err() {
        return;
    }
    let (refused, busy) = (greedy_mongodb(2_000_000_000), greedy_mongodb(1_000_000));
    let mut catalog =
        "[agent]\nallow_literal_secrets = true\n[defaults]\ninterval = \"1s\"\ntimeout = \"900ms\"\ndepth = \"query\"\n"
            .to_owned();
    for (name, addr) in [("refused", refused), ("busy-a", busy), ("busy-b", busy), ("busy-c", busy), ("busy-d", busy)] {
        catalog.extend([format!(
            "[dependencies.{name}]\nbackend = \"mongodb\"\nurl = \"mongodb://{addr}\"\nusername = \"u\"\npassword = \"p\"\n\
             criticality = \"informational\"\n"
        )]);
    }
    let redis: Vec<_> = (0..10).map(|_| healthy_redis()).collect();
    for (at, addr) in redis.iter().enumerate() {
        catalog.extend([format!(
            "[dependencies.redis-{at}]\nbackend = \"redis\"\nurl = \"redis://{addr}\"\ncriticality = \"required\"\n"
        )]);
    }
    let agent = Agent::start(&catalog);
    let of = |document: &Value, prefix: &str| -> Vec<Value> {
        let all = document["dependencies"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|dependency| dependency["name"].as_str().is_some_and(|name| name.starts_with(prefix))).collect()
    };
    agent.wait_for("the first is refused, and all others are known", Duration::from_secs(30), |document| {
        document.to_string().contains("too_much_work") && of(document, "redis").iter().all(|redis| redis["status"] == "healthy")
    });
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        let document = agent.json("/health?verbose");
        for redis in of(&document, "redis") {
            assert_eq!(redis["status"], "healthy", "{redis:#}");
            assert_eq!(redis["failure"], Value::Null, "{redis:#}");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// A row of SQL Server's null type takes one byte on the wire, and a value for each of its columns.
#[test]
fn rows_without_bytes_are_counted_and_answers_are_bounded() {
    /// What PRELOGIN says of encryption that there is not.
    const NO_TLS: u8 = 2;
    if find("sqlserver").is_err() {
        return;
    }
    let rows = |count: usize| {
        let columns = 2_000_u16;
        let column = [0, 0, 0, 0, 0, 0, 0x1f, 0];
        [&[0x81][..], &columns.to_le_bytes(), &column.repeat(columns.into()), &[0xd1].repeat(count), &tokens::done(0, 0)].concat()
    };
    let let_in = || [tokens::let_in("master", [0x74, 0, 0, 4]), tokens::done(0, 0)].concat();
    let greeted = || {
        let prelogin = Script::new().wait_for([NO_TLS]).say(tokens::packets(4, &tokens::prelogin(NO_TLS)));
        prelogin.wait_for("m\0a\0s\0t\0e\0r\0")
    };
    for (script, phase, code) in [
        (greeted().say(tokens::packets(4, &[let_in(), rows(100_000)].concat())), Phase::Auth, "reply_too_long"),
        (
            greeted().say(tokens::packets(4, &let_in())).wait_for("L\0O\0C\0K\0").say(tokens::packets(4, &rows(100_000))),
            Phase::Auth,
            "too_many_values",
        ),
    ] {
        let peer = Peer::start([script]);
        let keys = json!({
            "url": format!("sqlserver://probe@{}?database=master&encrypt=disable", peer.addr()), "password": "p"
        });
        let outcome = Asked::new("sqlserver", keys).run();
        let failure = outcome.failure.expect("it is too much");
        let seen = (failure.kind, failure.phase, failure.code.as_deref());
        assert_eq!(seen, (FailureKind::Protocol, Some(phase), Some(code)), "{failure:?}");
        assert!(!outcome.abandoned);
    }
}
