//! Values nested in values, as deep as a peer likes, and as many: at each step of a conversation they are refused before
//! a decoder that recurses could exhaust a stack, which would end the process, or fill the memory.

use std::time::Duration;

use probity_probes::testing::{Peer, Script};
use probity_probes::wire::guard::{DEEPEST, MOST_VALUES};
use probity_probes::{Depth, Failure, FailureKind, Options, Phase, find};
use serde_json::{Value, json};

use crate::support::agent::{Agent, check};
use crate::support::probe::{Asked, with};
use crate::support::procfs;
use crate::support::servers::cassandra::client::frame;
use crate::support::servers::neo4j::script;

/// Far deeper than the stack of a thread of ours goes, and what a peer fits into 40 kB and more.
const ABYSS: usize = 5000;

/// One answer of one peer that nests.
struct Case {
    kind: &'static str,
    /// Where in the conversation it comes.
    step: &'static str,
    phase: Phase,
    scheme: &'static str,
    keys: Value,
    /// The conversation with values nested so deep, all enclosing ones counted.
    script: Box<dyn Fn(usize) -> Script>,
}

impl Case {
    fn entry(&self, peer: &Peer) -> Value {
        with(json!({ "url": format!("{}://{}", self.scheme, peer.addr()) }), self.keys.clone())
    }

    /// What comes of the answer.
    fn failure(&self, levels: usize) -> Option<Failure> {
        let peer = Peer::start([(self.script)(levels)]);
        let options = Options { depth: Depth::Query, ..Options::default() };
        Asked::with(self.kind, self.entry(&peer), options).run_within(Duration::from_millis(1500)).failure
    }
}

/// Those of the backends of this build.
fn cases() -> Vec<Case> {
    let all = [mongodb(), rabbitmq(), redis(), cassandra(), neo4j(), json_family(), nats()];
    all.into_iter().flatten().filter(|case| find(case.kind).is_ok()).collect()
}

fn document(levels: usize, kind: u8) -> Vec<u8> {
    let (mut size, mut heads) = (5, Vec::new());
    for _ in 1..levels {
        size += 8;
        heads.push([&u32::to_le_bytes(size)[..], &[kind], b"a\0"].concat());
    }
    heads.reverse();
    [heads.concat(), b"\x05\0\0\0\0".to_vec(), vec![0; levels - 1]].concat()
}

/// A document as field `a` of another one with `ok`.
fn refusing(levels: usize) -> Vec<u8> {
    let inner = document(levels - 1, 3);
    let body = [&b"\x01ok\0\0\0\0\0\0\0\0\0\x10code\0\x0d\0\0\0\x03a\0"[..], &inner, b"\0"].concat();
    [&u32::try_from(body.len() + 4).expect("short").to_le_bytes()[..], &body].concat()
}

fn op_msg(number: u32, document: &[u8]) -> Vec<u8> {
    let length = u32::try_from(21 + document.len()).expect("short");
    [[length, 7, number, 2013, 0].map(u32::to_le_bytes).as_flattened(), &[0], document].concat()
}

/// Up to the answer to `hello`, whose question ends so.
fn greeted(end: &[u8]) -> Script {
    let hello = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f\x08isWritablePrimary\0\x01\x10maxWireVersion\0\x15\0\0\0\
        \x04saslSupportedMechs\0\x1a\0\0\0\x020\0\x0e\0\0\0SCRAM-SHA-256\0\0\0";
    let hello = [&u32::try_from(hello.len() + 4).expect("short").to_le_bytes()[..], hello].concat();
    Script::new().wait_for(end).say(op_msg(1, &hello))
}

/// The end of a `hello` that names no user.
const HELLO: &[u8] = b"$db\0\x06\0\0\0admin\0\0";

fn mongodb() -> Vec<Case> {
    type Step = (&'static str, Value, Box<dyn Fn(usize) -> Script>);
    let login = json!({ "username": "u", "password": "p" });
    let first = || Script::new().wait_for(HELLO);
    let steps: Vec<Step> = vec![
        ("greeting, documents", json!({}), Box::new(move |levels| first().say(op_msg(1, &document(levels, 3))))),
        ("greeting, arrays", json!({}), Box::new(move |levels| first().say(op_msg(1, &document(levels, 4))))),
        ("error", json!({}), Box::new(move |levels| first().say(op_msg(1, &refusing(levels))))),
        ("log-in", login, Box::new(|levels| greeted(b"admin.u\0\0").wait_for("saslStart").say(op_msg(9, &document(levels, 3))))),
        ("question", json!({}), Box::new(|levels| greeted(HELLO).wait_for("buildInfo").say(op_msg(9, &refusing(levels))))),
        (
            "split after each byte",
            json!({}),
            Box::new(move |levels| {
                let answer = op_msg(1, &document(levels.min(200), 3));
                answer.iter().fold(first(), |script, byte| script.say([*byte]))
            }),
        ),
    ];
    let case = |(step, keys, script): Step| Case { kind: "mongodb", step, phase: Phase::Auth, scheme: "mongodb", keys, script };
    steps.into_iter().map(case).collect()
}

/// A table of so many levels, of tables or arrays.
fn table(levels: usize, kind: u8) -> Vec<u8> {
    let per = if kind == b'F' { 7 } else { 5 };
    let mut table = Vec::new();
    // From the outside in, each length is that of all that follow.
    for inner in (0..levels).rev() {
        let named = kind == b'F' || inner + 1 == levels;
        let length = match (inner, kind) {
            (0, _) => 0,
            (_, b'F') => per * inner,
            _ => per * inner + if inner + 1 == levels { 2 } else { 0 },
        };
        table.extend(u32::try_from(length).expect("short").to_be_bytes());
        if inner > 0 {
            if named {
                table.extend(b"\x01a");
            }
            table.push(kind);
        }
    }
    table
}

fn amqp(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0][..], &u32::try_from(body.len()).expect("short").to_be_bytes(), body, b"\xce"].concat()
}

fn start(table: &[u8]) -> Vec<u8> {
    amqp(1, &[b"\0\x0a\0\x0a\0\x09", table, b"\0\0\0\x05PLAIN\0\0\0\x05en_US"].concat())
}

fn rabbitmq() -> Vec<Case> {
    let case = |step, script| Case {
        kind: "rabbitmq",
        step,
        phase: Phase::Auth,
        scheme: "amqp",
        keys: json!({ "username": "u", "password": "p" }),
        script,
    };
    let header = |levels| amqp(2, &[&b"\0\x3c\0\0\0\0\0\0\0\0\0\x01\x20\0"[..], &table(levels, b'F')].concat());
    let hello = || Script::new().wait_for("AMQP\0\0\x09\x01");
    vec![
        case("greeting, arrays", Box::new(move |levels| hello().say(start(&table(levels, b'A'))))),
        case("greeting, tables", Box::new(move |levels| hello().say(start(&table(levels, b'F'))))),
        case(
            "header of a content",
            Box::new(move |levels| hello().say(start(&table(1, b'F'))).wait_for("PLAIN").say(header(levels))),
        ),
    ]
}

fn redis() -> Vec<Case> {
    let case = |step, phase, script| Case { kind: "redis", step, phase, scheme: "redis", keys: json!({}), script };
    let nested = |head: &'static str| move |levels: usize| format!("{}:1\r\n", head.repeat(levels));
    let first = |head: &'static str| -> Box<dyn Fn(usize) -> Script> {
        Box::new(move |levels| Script::new().wait_for("probity\r\n").say(nested(head)(levels)))
    };
    let hello = "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n";
    vec![
        case("greeting, arrays", Phase::Auth, first("*1\r\n")),
        case("greeting, maps", Phase::Auth, first("%1\r\n+k\r\n")),
        case("greeting, sets", Phase::Auth, first("~1\r\n")),
        case("greeting, pushes", Phase::Auth, first(">2\r\n+k\r\n")),
        case("greeting, attributes", Phase::Auth, first("|1\r\n+k\r\n+v\r\n")),
        case(
            "question",
            Phase::Query,
            Box::new(move |levels| {
                Script::new().wait_for("probity\r\n").say(hello).wait_for("PING\r\n").say(nested("*1\r\n")(levels))
            }),
        ),
    ]
}

fn cassandra() -> Vec<Case> {
    let case = |step, level: &'static [u8]| Case {
        kind: "cassandra",
        step,
        phase: Phase::Query,
        scheme: "cassandra",
        keys: json!({}),
        script: Box::new(move |levels| {
            let types = [&level.repeat(levels - 1)[..], b"\0\x0d"].concat();
            let result = [&b"\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x01k\0\x01t\0\x01c"[..], &types, b"\0\0\0\0"].concat();
            let let_in = Script::new().wait_for("DRIVER_VERSION").say(frame(0x84, 2, b"")).wait_for("key = 'local'");
            let_in.say(frame(0x84, 8, &result))
        }),
    };
    vec![case("lists", b"\0\x20"), case("tuples", b"\0\x31\0\x01"), case("types of a user", b"\0\x30\0\0\0\0\0\x01\0\0")]
}

fn bolt(message: &[u8]) -> Vec<u8> {
    let chunk = |chunk: &[u8]| [&u16::try_from(chunk.len()).expect("short").to_be_bytes()[..], chunk].concat();
    [message.chunks(60_000).flat_map(chunk).collect(), vec![0, 0]].concat()
}

fn neo4j() -> Vec<Case> {
    let case = |step, phase, script| Case { kind: "neo4j", step, phase, scheme: "bolt", keys: json!({}), script };
    // SUCCESS { "a": … }: a structure and a map enclose what follows.
    let said = |levels: usize| bolt(&[&b"\xb1\x70\xa1\x81a"[..], &vec![0x91; levels - 2], b"\xc0"].concat());
    vec![
        case("greeting", Phase::Auth, Box::new(move |levels| script::agreed().wait_for("user_agent").say(said(levels)))),
        case("question", Phase::Auth, Box::new(move |levels| script::asked(script::let_in()).say(said(levels)))),
    ]
}

fn page(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}Content-Length: {length}\r\n\r\n{body}")
}

fn nested(levels: usize) -> String {
    format!("{}0{}", "{\"a\":[".repeat(levels / 2) + &"[".repeat(levels % 2), "]".repeat(levels % 2) + &"]}".repeat(levels / 2))
}

/// A value as it stands in a catalog.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Object(keys) => {
            let keys: Vec<_> = keys.iter().map(|(key, value)| format!("\"{key}\" = {}", toml_of(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        other => other.to_string(),
    }
}

fn json_family() -> Vec<Case> {
    let case = |kind, step, phase, keys, head: &'static str| Case {
        kind,
        step,
        phase,
        scheme: "http",
        keys,
        script: Box::new(move |levels| Script::new().wait_for("\r\n\r\n").say(page(head, &nested(levels)))),
    };
    vec![
        case("http", "schema", Phase::Query, json!({ "body_schema": "ietf" }), ""),
        case("http", "pointer", Phase::Query, json!({ "expect": { "json": { "/a": 1 } } }), ""),
        case("http", "query", Phase::Query, json!({ "query": "/a" }), ""),
        case("elasticsearch", "greeting", Phase::Auth, json!({}), "X-elastic-product: Elasticsearch\r\n"),
        case("opensearch", "greeting", Phase::Auth, json!({}), ""),
        case("consul", "leader", Phase::Auth, json!({}), ""),
    ]
}

fn nats() -> Vec<Case> {
    let case = |step, phase, script| Case { kind: "nats", step, phase, scheme: "nats", keys: json!({}), script };
    let info = |levels: usize| format!("INFO {{\"version\":\"2.9.10\",\"max_payload\":9,\"a\":{}}}\r\n", nested(levels - 1));
    vec![
        case("greeting", Phase::Auth, Box::new(move |levels| Script::new().say(info(levels)))),
        case(
            "later",
            Phase::Query,
            Box::new(move |levels| {
                let let_in = Script::new().say("INFO {\"version\":\"2.9.10\",\"max_payload\":9}\r\n").wait_for("PING\r\n");
                let_in.say("PONG\r\n").say(info(levels))
            }),
        ),
    ]
}

/// One level more than the limit is refused by name, and everywhere in the same words; the limit itself is no offence.
#[test]
fn depth_has_one_limit_at_each_step_of_each_backend() {
    for case in cases() {
        let (kind, step) = (case.kind, case.step);
        for levels in [DEEPEST + 1, ABYSS] {
            let failure = case.failure(levels).unwrap_or_else(|| panic!("{kind}, {step}: {levels} levels are passed"));
            let seen = (failure.kind, failure.code.as_deref(), failure.message.as_str());
            let wanted = (FailureKind::Protocol, Some("nested_too_deep"), "the peer nested values more than 64 levels deep");
            assert_eq!(seen, wanted, "{kind}, {step}, {levels}: {failure:#?}");
            assert_eq!(failure.phase.unwrap_or(case.phase), case.phase, "{kind}, {step}");
        }
        let code = case.failure(DEEPEST).and_then(|failure| failure.code);
        assert_ne!(code.as_deref(), Some("nested_too_deep"), "{kind}, {step}");
    }
}

/// The program itself: a stack that overflows would end it by a signal.
#[test]
fn no_peer_ends_the_program_by_nesting() {
    let cases = cases();
    let peers: Vec<_> = cases.iter().map(|case| Peer::start([(case.script)(ABYSS)])).collect();
    let entries = cases.iter().zip(&peers).enumerate().map(|(at, (case, peer))| {
        let entry = with(case.entry(peer), json!({ "backend": case.kind, "criticality": "required" }));
        let keys = entry.as_object().into_iter().flatten().map(|(key, value)| format!("{key} = {}\n", toml_of(value)));
        format!("[dependencies.d{at}]\n{}", keys.collect::<String>())
    });
    let catalog = format!("[agent]\nallow_literal_secrets = true\n{}", entries.collect::<String>());
    let ended = check(&catalog, &["--format", "json"]);
    assert_eq!(ended.code(), Some(1), "{} {}", ended.stdout, ended.stderr);
    let document: Value = serde_json::from_str(&ended.stdout).expect("a document");
    let failures = document["dependencies"].as_array().expect("a list").iter().map(|dependency| &dependency["failure"]);
    for (case, failure) in cases.iter().zip(failures) {
        assert_eq!(failure["code"], "nested_too_deep", "{}, {}: {failure:#}", case.kind, case.step);
    }
}

/// What takes one or two bytes on the wire takes a hundred and more once it is decoded.
#[test]
fn values_without_end_are_refused_in_bounded_memory() {
    const MOST: u64 = 64 << 20;
    let nulls = [0x0a, 0].repeat(500_000);
    let many = [&u32::try_from(nulls.len() + 5).expect("short").to_le_bytes()[..], &nulls, b"\0"].concat();
    let voids = |count: u32| [&b"\x01aA"[..], &count.to_be_bytes(), &vec![b'V'; count as usize]].concat();
    let voids = voids(2_000_000);
    let voids = start(&[&u32::try_from(voids.len()).expect("short").to_be_bytes()[..], &voids].concat());
    let list = |item: &str| page("", &format!("[{}0]", item.repeat(1_000_000 / item.len())));
    let first = || Script::new().wait_for("\r\n\r\n");
    let cases = [
        ("mongodb", "mongodb", "", greeted(HELLO).wait_for("buildInfo").say(op_msg(9, &many))),
        ("rabbitmq", "amqp", "username = \"u\"\npassword = \"p\"", Script::new().wait_for("AMQP").say(voids)),
        ("redis", "redis", "", Script::new().wait_for("probity\r\n").say("*400000\r\n").say("$-1\r\n".repeat(400_000))),
        (
            "neo4j",
            "bolt",
            "",
            script::agreed()
                .wait_for("user_agent")
                .say(bolt(&[&b"\xb1\x70\xd6\0\x01\xf0\0"[..], &vec![0xc0; 0x1_f000]].concat())),
        ),
        ("http", "http", "body_schema = \"ietf\"", first().say(list("[0],"))),
        ("elasticsearch", "http", "", first().say(list("[],"))),
        ("consul", "http", "", first().say(list("{\"a\":0},"))),
    ];
    for (kind, scheme, keys, script) in cases {
        if find(kind).is_err() {
            continue;
        }
        let peer = Peer::start([script]);
        let entry = format!("backend = \"{kind}\"\nurl = \"{scheme}://{}\"\n{keys}\n", peer.addr());
        let defaults = "[agent]\nallow_literal_secrets = true\n[defaults]\ninterval = \"1s\"\ntimeout = \"900ms\"\n";
        let agent = Agent::start(&format!("{defaults}[dependencies.hostile]\n{entry}"));
        let document = agent.wait_for("the values are refused", Duration::from_secs(30), |document| {
            document.to_string().contains("too_many_values")
        });
        let most = procfs::status_field(agent.process().pid(), "VmHWM:") * 1024;
        assert!(most < MOST, "{kind}: {} MiB; {document:#}", most >> 20);
    }
    assert_eq!(MOST_VALUES, 65_536);
}
