//! Servers that hang, break off in the middle, or send what the driver panics on: nothing of a run outlives it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use probity_probes::{FailureKind, Outcome};
use serde_json::json;

use super::{entry, expect, probe};
use crate::support::agent::Agent;
use crate::support::alone::alone;
use crate::support::pace::{is_slow, late};
use crate::support::probe::Asked;
use crate::support::procfs::fds;
use crate::support::servers::oracle::{Harm, Oracle, SERVICE, Stage};
use crate::support::servers::{PASSWORD, USER};
use crate::support::truth::{Expected, State, check, states};
use crate::support::{PATIENCE, eventually};

states! { "oracle":
    HANGS = "hangs at a step", "a stand-in that stops answering at the listener, the log-in or the question" => Expected::fails(FailureKind::Timeout);
    BREAKS_OFF = "breaks off in the middle of a packet", "a stand-in that closes there, at each step" => Expected::fails(FailureKind::ConnectionLost);
    MALFORMED = "packets that are none", "a stand-in whose packets are too short, too long or of no kind" => Expected::fails(FailureKind::Protocol).blames_anybody();
    PANICS = "messages that the driver panics on", "a stand-in that leaves out what the driver takes for granted" => Expected::fails(FailureKind::Protocol);
    UNKNOWN = "a message of a type that there is not", "a stand-in whose answer to the question it is" => Expected::fails(FailureKind::Protocol);
    HASHES = "a password that is to be hashed for hours", "a stand-in that wants 4 000 000 000 rounds" => Expected::fails(FailureKind::Protocol);
    ENCRYPTED = "native encryption is demanded", "a stand-in whose ACCEPT says so" => Expected::fails(FailureKind::Config);
}

/// How long a run may take that gets no answer.
const WITHIN: Duration = Duration::from_secs(1);

/// How soon the driver must have given up that was cut off.
const PROMPT: Duration = Duration::from_secs(1);

const STAGES: [Stage; 5] = [Stage::Connect, Stage::Protocol, Stage::LogInBegin, Stage::LogIn, Stage::Query];

/// A message of pairs: keys and values of a log-in.
fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("short");
        [&[1, length, length], text.as_bytes()].concat()
    };
    let pair = |(key, value): &(&str, &str)| [text(key), text(value), vec![0]].concat();
    let count = u8::try_from(pairs.len()).expect("few");
    [vec![8, 1, count], pairs.iter().flat_map(pair).collect(), vec![9, 0, 0]].concat()
}

/// Threads of the driver in this process.
fn driver_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("it has threads").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "oracle-driver").count()
}

/// On a machine that is busy with other things the net around a run may end it, and between two steps.
#[track_caller]
fn hangs(outcome: &Outcome) {
    if !(outcome.abandoned && is_slow()) {
        check(&State { within: WITHIN, ..HANGS }, outcome);
    }
}

/// Each step of a session, and each of the ways in which a thread could be left behind.
#[test]
fn nothing_of_a_run_outlives_it() {
    if !alone("live::oracle::harm::nothing_of_a_run_outlives_it") {
        return;
    }
    // Who is asked first how busy the machine is has not looked yet.
    late();
    let own = std::process::id();
    for stage in STAGES {
        let server = Oracle::builder().harm(stage, Harm::Hang).start();
        let probe = probe(&server, json!({}));
        hangs(&probe.run_within(WITHIN));
        let before = fds(own);
        for _ in 0..4 {
            hangs(&probe.run_within(WITHIN));
            // Not the deadline's: a moment for the driver to see that it was cut off.
            eventually(PROMPT + late(), "the driver's threads have ended", || (driver_threads() == 0).then_some(()));
        }
        eventually(PROMPT + late(), "the descriptors are as before", || (fds(own) <= before).then_some(()));
    }
}

/// Whoever asked has given up in the middle of a step.
#[test]
fn what_is_dropped_gives_its_thread_back() {
    if !alone("live::oracle::harm::what_is_dropped_gives_its_thread_back") {
        return;
    }
    for stage in STAGES {
        let server = Oracle::builder().harm(stage, Harm::Hang).start();
        let probe = probe(&server, json!({}));
        for _ in 0..10 {
            assert!(probe.dropped_after(Duration::from_millis(100)), "{stage:?}: the run ended by itself");
            eventually(PROMPT + late(), "the driver's threads have ended", || (driver_threads() == 0).then_some(()));
        }
    }
}

/// While the driver is asked it is counted by its name, for whoever scrapes the agent; and no longer.
#[test]
fn the_threads_of_the_driver_are_seen_from_outside() {
    let server = Oracle::builder().slow("SELECT 1 FROM DUAL", 2000).start();
    let catalog = format!(
        "[dependencies.orders]\nbackend = \"oracle\"\nurl = \"oracle://{USER}@{}/{SERVICE}\"\npassword = {{ env = \"PW\" }}\n\
         interval = \"5s\"\ntimeout = \"4s\"\n",
        server.addr()
    );
    let agent = Agent::builder(&catalog).env("PW", PASSWORD).start();
    let threads = || agent.json("/engine/diagnostics")["process"]["threads"]["oracle-driver"].as_u64();
    eventually(PATIENCE, "it is named", || {
        let is_exported = agent.get("/metrics").body.contains("probity_threads{name=\"oracle-driver\"} 1");
        (is_exported && threads() == Some(1)).then_some(())
    });
    eventually(PATIENCE, "it is gone", || threads().is_none().then_some(()));
}

#[test]
fn what_breaks_off_is_lost() {
    for stage in STAGES {
        let keys = json!({});
        // The listener's packets have another header: what is cut there is no packet at all.
        let state = if stage == Stage::Connect { &MALFORMED } else { &BREAKS_OFF };
        expect(state, &Oracle::builder().harm(stage, Harm::Cut).start(), keys);
    }
}

#[test]
fn packets_that_are_none_never_reach_the_driver() {
    for packet in [
        vec![0, 0, 0, 4, 6, 0, 0, 0],
        vec![0, 0, 0, 9, 6, 0, 0, 0, 0],
        vec![0, 0, 0, 8, 12, 0, 0, 0],
        vec![0x7f, 0xff, 0xff, 0xff, 6, 0, 0, 0],
        vec![0, 0, 0, 12, 99, 0, 0, 0, 0, 0, 0, 0],
    ] {
        for stage in STAGES {
            expect(&MALFORMED, &Oracle::builder().harm(stage, Harm::Say(packet.clone())).start(), json!({}));
        }
    }
}

/// An error with a list of errors, of which there is none.
fn many_errors() -> Vec<u8> {
    [&[4][..], &[0; 25], &[1, 1]].concat()
}

#[test]
fn a_panic_of_the_driver_is_a_failure_like_any_other() {
    let no_abilities = [&[1, 6, 0, 0, 0x69, 3, 1, 0, 0, 0, 11][..], &[0; 11], &[1, 0, 1, 0]].concat();
    for (stage, message) in [
        (Stage::Protocol, no_abilities),
        (Stage::LogInBegin, pairs(&[("AUTH_SESSKEY", "00")])),
        (Stage::LogInBegin, pairs(&[("AUTH_PBKDF2_VGEN_COUNT", "many")])),
        (Stage::LogIn, pairs(&[("AUTH_VERSION_NO", "x")])),
        (Stage::Query, many_errors()),
    ] {
        let server = Oracle::builder().harm(stage, Harm::Message(message)).start();
        let probe = Asked::new("oracle", entry(server.addr(), json!({})));
        for _ in 0..3 {
            let outcome = probe.run();
            check(&PANICS, &outcome);
            let failure = outcome.failure.expect("it fails");
            assert_eq!(failure.message, "the client library could not read the peer's answer", "{stage:?}");
            assert_eq!(failure.code.as_deref(), Some("library_panic"), "{stage:?}");
        }
    }
    let odd = Oracle::builder().harm(Stage::Query, Harm::Message(vec![99])).start();
    expect(&UNKNOWN, &odd, json!({}));
}

/// A stand-in on which the driver panics, and a catalog that has it.
fn panicking() -> (Oracle, String) {
    let server = Oracle::builder().harm(Stage::LogIn, Harm::Message(pairs(&[("AUTH_VERSION_NO", "x")]))).start();
    let catalog = format!(
        "[agent]\nallow_literal_secrets = true\n[dependencies.orders]\nbackend = \"oracle\"\n\
         url = \"oracle://{USER}@{}/{SERVICE}\"\npassword = \"{PASSWORD}\"\ncriticality = \"required\"\n",
        server.addr()
    );
    (server, catalog)
}

/// Where it began, and nothing that it says: a panic may repeat what a peer sent, or a secret.
#[test]
fn a_panic_of_the_driver_is_one_line_of_the_log() {
    let (_server, catalog) = panicking();
    let ended = crate::support::agent::check(&catalog, &["--format", "json"]);
    assert!(ended.stdout.contains("library_panic"), "{}", ended.stdout);
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [line] = lines[..] else { panic!("not one line: {}", ended.stderr) };
    let (_, line) = line.split_once("WARN ").expect("a warning");
    let start = "a panic in a library thread=\"oracle-driver\" place=\"oracledb-";
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let place = line.strip_prefix(start).and_then(|rest| rest.strip_suffix('"'));
    assert!(place.and_then(|place| place.rsplit_once(".rs:")).is_some_and(|(_, number)| digits(number)), "{line}");
}

/// A log line that cannot be written would panic inside of the panic, which ends the process.
#[test]
fn a_panic_ends_nothing_where_nobody_reads_the_log() {
    let (_server, catalog) = panicking();
    let folder = crate::support::scratch();
    let path = folder.path().join("probe-catalog.toml");
    std::fs::write(&path, catalog).expect("the catalog can be written");
    let mut child = Command::new(crate::support::agent::binary());
    child.args(["--check", "--format", "json", "--catalog"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("it can be started");
    drop(child.stderr.take());
    let ended = child.wait_with_output().expect("it ends");
    let document = String::from_utf8_lossy(&ended.stdout);
    // It is required.
    assert!(ended.status.code() == Some(1) && document.contains("library_panic"), "{:?}: {document}", ended.status);
}

/// What the fence is for: the driver itself, as it is meant to be asked, and all panics caught.
#[test]
fn without_the_fence_a_panic_in_an_answer_ends_the_process() {
    const MARK: &str = "PROBITY_TEST_ORACLE_UNFENCED";
    if let Ok(place) = std::env::var(MARK) {
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            std::process::exit(0);
        });
        let config = oracledb::Config::default().set_credentials(USER, PASSWORD).set_connect_string(&place);
        let connection = oracledb::connect(config.expect("a connect string")).expect("it lets us in");
        let asked = std::panic::AssertUnwindSafe(|| connection.query("SELECT 1 FROM DUAL", &[]).is_ok());
        panic!("it lives, and says {:?}", std::panic::catch_unwind(asked));
    }
    let server = Oracle::builder().harm(Stage::Query, Harm::Message(many_errors())).start();
    let name = "live::oracle::harm::without_the_fence_a_panic_in_an_answer_ends_the_process";
    let mut child = Command::new(std::env::current_exe().expect("a process knows its program"));
    child.args(["--exact", name, "--test-threads=1", "--nocapture"]).env(MARK, format!("{}/{SERVICE}", server.addr()));
    let ended = child.output().expect("the tests can be started again");
    assert_eq!(ended.status.signal(), Some(6), "not SIGABRT: {}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn what_the_driver_would_do_for_hours_or_not_at_all_is_refused() {
    let rounds = pairs(&[("AUTH_PBKDF2_VGEN_COUNT", "4000000000")]);
    expect(&HASHES, &Oracle::builder().harm(Stage::LogInBegin, Harm::Message(rounds)).start(), json!({}));
    let mut accept = vec![0; 45];
    accept[..10].copy_from_slice(&[0, 45, 0, 0, 2, 0, 0, 0, 1, 62]);
    accept[22] = 0x10;
    let outcome = expect(&ENCRYPTED, &Oracle::builder().harm(Stage::Connect, Harm::Say(accept)).start(), json!({}));
    assert_eq!(crate::support::outcome::code(&outcome), Some("native_encryption"));
}
