//! The fuzz ring: recorded conversations of real servers, changed by a seed, and played to the agent.
//!
//! The tests here play a fixed set of changes; `make fuzz` plays others, for ten minutes, and says how to repeat what it
//! finds: `PROBITY_FUZZ_SEED`, `PROBITY_FUZZ_SUBJECT` and `PROBITY_FUZZ_CASE`.

mod control;
mod corpus;
mod grammar;
mod known;
mod law;
mod mutator;
mod peer;
mod plain;
mod recorder;
mod subjects;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use probity_probes::Status;

use corpus::Conversation;
use law::{BATCH, Breach, Ended, Seen, TIMEOUT};
use mutator::{Case, Mutant};
use peer::Peers;
use recorder::Recorder;
use subjects::{SUBJECTS, Subject};

use crate::support::probe::Asked;
use crate::support::{require, scratch};

/// The changes that the tests play: a seed, and how many of it for each subject.
const FIXED: &[(u64, u64)] = &[(12, 96)];

/// What each run of a conversation may take that nobody has changed.
const UNHURRIED: Duration = Duration::from_secs(8);

/// One batch, asked by a process of its own.
fn ask(asked: Vec<(&Subject, Mutant)>, timeout: Duration) -> (Ended, Vec<Seen>, Vec<Breach>) {
    let folder = scratch();
    let (subjects, mutants): (Vec<_>, Vec<_>) =
        asked.into_iter().map(|(subject, mutant)| (subject, (mutant, subject.grammar))).unzip();
    let peers = Peers::start(mutants);
    let places: Vec<_> = subjects.into_iter().zip(peers.addrs.iter().copied()).collect();
    let ended = law::watch(law::check(&places, timeout, folder.path()));
    let (seen, breaches) = law::judge(&ended, places.len(), timeout);
    (ended, seen, breaches)
}

/// What a batch of cases came to.
struct Played {
    seen: Vec<Seen>,
    /// What was broken, by whom, and how to repeat it.
    told: Vec<String>,
    /// The most that the process held.
    peak: u64,
    /// Where libraries panicked.
    panics: Vec<String>,
}

fn play(subject: &Subject, conversation: &Conversation, cases: &[Case]) -> Played {
    let mutants = |cases: &[Case]| cases.iter().map(|case| (subject, case.mutate(conversation, subject.grammar))).collect();
    let (ended, seen, breaches) = ask(mutants(cases), TIMEOUT);
    let (peak, panics) = (ended.peak, ended.panics());
    if breaches.is_empty() {
        return Played { seen, told: Vec::new(), peak, panics };
    }
    // Alone, each of them: who it was, and whether it was more than a busy machine.
    let mut told = Vec::new();
    for case in cases {
        let (_, _, again) = ask(mutants(std::slice::from_ref(case)), TIMEOUT);
        told.extend(again.iter().map(|breach| tell(case, &case.mutate(conversation, subject.grammar), &breach.what)));
    }
    if told.is_empty() {
        let (_, _, again) = ask(mutants(cases), TIMEOUT);
        for Breach { who, what } in again {
            let cases = who.map_or(cases, |who| &cases[who..=who]);
            told.extend(
                cases.iter().map(|case| {
                    tell(case, &case.mutate(conversation, subject.grammar), &format!("together with others: {what}"))
                }),
            );
        }
    }
    Played { seen, told, peak, panics }
}

fn tell(case: &Case, mutant: &Mutant, what: &str) -> String {
    let Case { subject, seed, number } = case;
    let repeat = format!("PROBITY_FUZZ_SUBJECT={subject} PROBITY_FUZZ_SEED={seed} PROBITY_FUZZ_CASE={number} make fuzz");
    format!("{repeat}\n  {}\n  {what}", mutant.deeds.join("; "))
}

fn cases(subject: &Subject, seed: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<Case> {
    numbers.into_iter().map(|number| Case { subject: subject.name, seed, number }).collect()
}

/// The fixed cases of one subject.
fn keeps_the_law(name: &str) {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name).expect("there is such a subject");
    if probity_probes::find(subject.kind).is_err() {
        return;
    }
    let conversation = Conversation::load(name);
    let fixed = FIXED.iter().flat_map(|(seed, count)| cases(subject, *seed, 0..*count));
    let all: Vec<_> = fixed.collect();
    let broken: Vec<_> = all.chunks(BATCH).flat_map(|batch| play(subject, &conversation, batch).told).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

macro_rules! subjects_keep_the_law {
    ($($name:ident = $subject:literal)*) => {
        mod keeps_the_law {
            $(#[test]
            fn $name() {
                super::keeps_the_law($subject);
            })*
        }

        #[test]
        fn every_subject_is_played() {
            let named: Vec<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
            assert_eq!(named, [$($subject),*]);
            for (kind, _) in crate::conformance::backends() {
                assert!(SUBJECTS.iter().any(|subject| subject.kind == kind), "{kind} is not played");
            }
        }
    };
}

subjects_keep_the_law! {
    cassandra = "cassandra"
    clickhouse = "clickhouse"
    consul = "consul"
    elasticsearch = "elasticsearch"
    elasticsearch_query = "elasticsearch-query"
    http = "http"
    kafka = "kafka"
    memcached = "memcached"
    memcached_query = "memcached-query"
    mongodb = "mongodb"
    mongodb_login = "mongodb-login"
    mqtt = "mqtt"
    mysql = "mysql"
    mysql_query = "mysql-query"
    nats = "nats"
    neo4j = "neo4j"
    opensearch = "opensearch"
    opensearch_query = "opensearch-query"
    oracle = "oracle"
    oracle_query = "oracle-query"
    postgres = "postgres"
    postgres_login = "postgres-login"
    postgres_query = "postgres-query"
    rabbitmq = "rabbitmq"
    redis = "redis"
    sqlserver = "sqlserver"
}

/// Those that this build has, and that `PROBITY_FUZZ_SUBJECT` names: a list with commas, or all.
fn chosen() -> Vec<&'static Subject> {
    let told = std::env::var("PROBITY_FUZZ_SUBJECT").ok();
    let is_told = |name: &str| told.as_deref().is_none_or(|told| told.split(',').any(|word| word.trim() == name));
    SUBJECTS.iter().filter(|subject| is_told(subject.name) && probity_probes::find(subject.kind).is_ok()).collect()
}

/// Records every conversation that can be recorded here, when told to (`PROBITY_UPDATE=1`); holds those that are there
/// against the law as they are: a conversation that leads nowhere would hide all that comes behind.
#[test]
fn a_recorded_conversation_is_understood() {
    let chosen = chosen();
    if std::env::var_os("PROBITY_UPDATE").is_some() {
        chosen.iter().filter(|subject| require(subject.kind)).for_each(|subject| record(subject));
    }
    for batch in chosen.chunks(BATCH) {
        let asked = batch.iter().map(|subject| (*subject, Mutant::of(Conversation::load(subject.name))));
        let (_, seen, breaches) = ask(asked.collect(), UNHURRIED);
        assert!(breaches.is_empty(), "{breaches:#?}");
        for (subject, seen) in batch.iter().zip(seen) {
            let failed = if seen.kind.is_empty() { "" } else { seen.phase.as_str() };
            assert_eq!(failed, if subject.is_login() { "auth" } else { "" }, "{}: {seen:?}", subject.name);
        }
    }
}

fn record(subject: &Subject) {
    let (addr, _server) = subject.server();
    let recorder = Recorder::start(addr);
    let probe = Asked::new(subject.kind, (subject.entry)(recorder.addr()));
    let outcome = probe.run_within(Duration::from_secs(20));
    assert_ne!(outcome.status, Status::Unhealthy, "{}: {outcome:#?}", subject.name);
    probe.close();
    let heard = plain::plain(recorder.heard(), subject);
    heard.store(subject.name, &format!("What a server of {} said; written by PROBITY_UPDATE=1.", subject.kind));
}

/// What `make fuzz` runs.
#[test]
#[ignore = "it takes as long as it is told to: make fuzz"]
fn for_a_while() {
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|error| panic!("{name}: {error}")));
    let seed = number("PROBITY_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let seconds = number("PROBITY_FUZZ_SECONDS").unwrap_or(600);
    let chosen: Vec<_> = chosen().into_iter().map(|subject| (subject, Conversation::load(subject.name))).collect();
    eprintln!("PROBITY_FUZZ_SEED={seed} PROBITY_FUZZ_SECONDS={seconds}");
    if let Some(case) = number("PROBITY_FUZZ_CASE") {
        let broken: Vec<_> =
            chosen.iter().flat_map(|(subject, talk)| play(subject, talk, &cases(subject, seed, [case])).told).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
        return;
    }
    let tally = Mutex::<BTreeMap<&str, Tally>>::default();
    let broken = Mutex::<Vec<String>>::default();
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    let end = begun + Duration::from_secs(seconds);
    let work = || {
        while Instant::now() < end {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (subject, conversation) = &chosen[turn % chosen.len()];
            let first = (turn / chosen.len() * BATCH) as u64;
            let Played { seen, told, peak, panics } =
                play(subject, conversation, &cases(subject, seed, first..first + BATCH as u64));
            let mut tally = tally.lock().expect("nobody panics with it");
            let tally = tally.entry(subject.name).or_default();
            for seen in seen {
                *tally.seen.entry(seen).or_default() += 1;
            }
            tally.peak = peak.max(tally.peak);
            for place in panics {
                *tally.panics.entry(place).or_default() += 1;
            }
            for told in &told {
                eprintln!("{told}\n");
            }
            broken.lock().expect("nobody panics with it").extend(told);
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    eprint!("{}", report(&tally.into_inner().expect("nobody panics with it"), begun.elapsed()));
    let broken = broken.into_inner().expect("nobody panics with it");
    assert!(broken.is_empty(), "the law was broken {} times:\n{}", broken.len(), broken.join("\n"));
}

/// What the cases of a subject came to, how often, the most that a process held, and where libraries panicked.
#[derive(Default)]
struct Tally {
    seen: BTreeMap<Seen, u64>,
    peak: u64,
    panics: BTreeMap<String, u64>,
}

/// How many cases a minute, and what they came to.
fn report(tally: &BTreeMap<&str, Tally>, took: Duration) -> String {
    let mut text = String::new();
    for (subject, Tally { seen, peak, panics }) in tally {
        let cases: u64 = seen.values().sum();
        let a_minute = cases * 60 / took.as_secs().max(1);
        let mut seen: Vec<_> = seen.iter().collect();
        seen.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words = seen.iter().map(|(Seen { status, kind, phase }, count)| match kind.as_str() {
            "" => format!("{status} {count}"),
            kind => format!("{kind}/{phase} {count}"),
        });
        let _ = writeln!(
            text,
            "{subject}: {cases} cases, {a_minute} a minute, {} MiB: {}",
            peak >> 20,
            words.collect::<Vec<_>>().join(", ")
        );
        for (place, count) in panics {
            let _ = writeln!(text, "  a panic at {place}, {count} times");
        }
    }
    text
}
