//! What a backend says of itself: its example, its keys, its manual.

use std::collections::BTreeSet;

use probity_probes::failure::Failure;
use probity_probes::manual::{COMMON_FACTS, COMMON_FINDINGS};
use probity_probes::{Depth, FailureKind, Options, registry};
use serde_json::json;

use super::{backends, example};

/// Every word once, and each a word.
#[track_caller]
fn unique<'a>(what: &str, words: impl IntoIterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for word in words {
        assert!(!word.is_empty() && seen.insert(word.to_ascii_lowercase()), "{what}: {word:?} is declared twice");
    }
}

#[test]
fn kinds_are_unique_and_sorted() {
    let kinds: Vec<_> = registry().iter().map(|row| row.kind).collect();
    assert!(kinds.is_sorted_by(|a, b| a < b), "{kinds:?}");
}

#[test]
fn examples_work_as_they_stand() {
    for (kind, entry) in backends() {
        let whole: toml::Table = toml::from_str(entry.example).expect("an example is TOML");
        assert_eq!(whole["backend"].as_str(), Some(kind));
        // A file or a variable that nobody has would make it fail on every machine but the author's.
        assert!(!entry.example.contains("file") && !entry.example.contains("env"), "{kind}: {}", entry.example);
        let mut keys = example(&entry);
        // Shared keys that may stand in a table of the backend's are the agent's.
        if let Some(degraded) = keys.get_mut("degraded").and_then(serde_json::Value::as_object_mut) {
            degraded.remove("latency");
            degraded.remove("certificate");
        }
        assert!(entry.build(keys, Options::default()).is_ok(), "{kind}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    for (kind, entry) in backends() {
        for (path, key) in [("", "pasword"), ("degraded.", "latncy"), ("expect.", "rolle")] {
            let mut keys = example(&entry);
            let schema = serde_json::to_value(entry.schema()).expect("a schema is JSON");
            let table = match path.trim_end_matches('.') {
                "" => &mut keys,
                table if schema["properties"].get(table).is_none() => continue,
                table => {
                    keys[table] = json!({});
                    &mut keys[table]
                }
            };
            table[key] = "secret-that-is-not-repeated".into();
            let Err(error) = entry.build(keys, Options::default()) else { panic!("{kind}: {path}{key} was taken") };
            let text = error.to_string();
            assert!(text.contains(key) && !text.contains("not-repeated"), "{kind}: {text}");
        }
    }
}

/// The kinds of mistake that every backend meets: an empty URL, another scheme, a host that is missing.
#[test]
fn a_useless_url_is_refused_at_its_key() {
    for (kind, entry) in backends() {
        for url in ["", "localhost", "gopher://localhost", "http://", "://", "nats:4222"] {
            let mut keys = example(&entry);
            keys["url"] = url.into();
            let Err(error) = entry.build(keys, Options::default()) else { panic!("{kind}: {url:?} was taken") };
            assert_eq!(error.key, "url", "{kind}: {url:?}: {error}");
        }
    }
}

#[test]
fn every_key_is_documented() {
    fn visit(kind: &str, path: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let sentence = property["description"].as_str().unwrap_or_default();
            assert!(sentence.ends_with('.'), "{kind}: {path}{key}: {sentence:?}");
            visit(kind, &format!("{path}{key}."), property);
        }
    }
    for (kind, entry) in backends() {
        visit(kind, "", &serde_json::to_value(entry.schema()).expect("a schema is JSON"));
    }
}

#[test]
fn manuals_are_complete_and_say_each_thing_once() {
    for (kind, entry) in backends() {
        let manual = entry.manual;
        let facts = manual.facts.iter().chain(COMMON_FACTS);
        unique(kind, facts.clone().map(|row| row.name));
        let findings = manual.findings.iter().chain(COMMON_FINDINGS);
        unique(kind, findings.clone().map(|row| row.code));
        unique(kind, manual.codes.iter().map(|row| row.code));
        let mut levels: Vec<_> = manual.levels.iter().map(|row| row.level).collect();
        // A level may take several rows.
        levels.dedup();
        let every = ["connect", "handshake", "query", "deep", "roundtrip"];
        assert_eq!(levels, every[..every.len() - usize::from(!entry.roundtrip)], "{kind}");
        let texts = facts.flat_map(|row| [row.name, row.meaning]);
        let texts = texts.chain(findings.flat_map(|row| [row.code, row.meaning, row.remedy]));
        let texts = texts.chain(manual.codes.iter().flat_map(|row| [row.code, row.message]));
        let texts = texts.chain(manual.levels.iter().flat_map(|row| [row.question, row.privilege]));
        for text in texts.chain([manual.title, manual.summary]).chain(manual.unsupported.iter().copied()) {
            assert!(!text.is_empty() && text.trim() == text && !text.contains('\n'), "{kind}: {text:?}");
        }
        for name in manual.facts.iter().map(|row| row.name) {
            let is_word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(is_word, "{kind}: the fact {name:?} would not do as a metric");
        }
        for remedy in manual.codes.iter().map(|row| row.remedy).filter(|remedy| !remedy.is_empty()) {
            assert!(remedy.ends_with('.'), "{kind}: {remedy:?}");
        }
    }
}

/// A row that another one hides would never be read.
#[test]
fn every_code_row_can_be_reached() {
    for (kind, entry) in backends() {
        for row in entry.manual.codes {
            let code = row.code.trim_end_matches('*');
            let code = if row.code.ends_with('*') { format!("{code}~") } else { code.to_owned() };
            let found = entry.manual.code(&code).expect("a row for its own code");
            assert_eq!(found.code, row.code, "{kind}: {code} is explained by another row");
        }
        assert!(entry.manual.code("no such code, ever").is_none(), "{kind}");
    }
}

/// `unexpected` is left for faults of the probe: what a server calls an internal error of its own is its answer.
#[test]
fn no_code_of_a_server_is_unexpected() {
    for (kind, entry) in backends() {
        let ours = entry.manual.codes.iter().find(|row| row.kind == FailureKind::Unexpected);
        assert!(ours.is_none(), "{kind}: {ours:?}");
    }
    let internal: [(&str, &[&str]); 18] = [
        ("cassandra", &["0x0000"]),
        ("clickhouse", &["49", "1001", "1002"]),
        ("consul", &["500 rpc error"]),
        ("elasticsearch", &["500 exception"]),
        ("http", &["500"]),
        ("kafka", &["-1", "56"]),
        ("memcached", &["SERVER_ERROR internal"]),
        ("mongodb", &["1", "8"]),
        ("mqtt", &["0x80", "0x83"]),
        ("mysql", &["1105", "1815"]),
        ("nats", &["500", "Internal Server Error"]),
        ("neo4j", &["Neo.DatabaseError.General.UnknownError"]),
        ("opensearch", &["500 exception"]),
        ("oracle", &["ORA-00600", "ORA-07445"]),
        ("postgres", &["XX000", "XX001", "XX002", "58000", "58030"]),
        ("rabbitmq", &["541"]),
        ("redis", &["ERR internal error"]),
        ("sqlserver", &["823", "824", "8621", "8630", "8646"]),
    ];
    for (kind, codes) in internal {
        let Some((_, entry)) = backends().find(|(known, _)| *known == kind) else { continue };
        for code in codes {
            // A code that is not in the manual is a `query` failure.
            let found = entry.manual.code(code).map_or(FailureKind::Query, |row| row.kind);
            assert_eq!(found, FailureKind::Query, "{kind}: {code}");
        }
    }
}

#[test]
fn kinds_of_failure_have_words_for_people() {
    for kind in FailureKind::ALL {
        let failure = Failure::new(kind, "it failed");
        assert!(failure.remedy.ends_with('.'), "{kind}: {}", failure.remedy);
    }
}

#[test]
fn depths_are_ordered() {
    assert!(Depth::Connect < Depth::Handshake && Depth::Handshake < Depth::Query && Depth::Query < Depth::Deep);
}
