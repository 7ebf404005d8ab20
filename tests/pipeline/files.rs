//! Secret files that change, vanish, hang or are no files while the agent runs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{entry, redis, status};
use crate::support::{PATIENCE, agent::Agent, eventually, peers, process::Launch, require, scratch, servers};

/// So long that a run within a test comes from something else.
fn patient(entry: &str) -> String {
    entry.replace("interval = \"1s\"", "interval = \"20m\"")
}

fn message(view: &serde_json::Value, index: usize) -> String {
    view["dependencies"][index]["failure"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_file_that_goes_or_comes_starts_a_run() {
    let folder = scratch();
    let secret = folder.path().join("password");
    fs::write(&secret, "right").expect("a private folder");
    let gone = peers::refused();
    let keys = format!("password = {{ file = \"{}\" }}", secret.display());
    let agent = Agent::start(&patient(&entry("cache", "redis", &format!("redis://{}", gone.addr()), &keys)));
    let kind = |kind: &'static str| move |view: &serde_json::Value| view["dependencies"][0]["failure"]["kind"] == kind;
    agent.wait_for("it was asked", PATIENCE, kind("connect_refused"));
    fs::remove_file(&secret).expect("it was there");
    let view = agent.wait_for("it is missed", PATIENCE, kind("config"));
    assert_eq!(message(&view, 0), format!("the secret file {} cannot be read: it does not exist", secret.display()));
    fs::write(&secret, "right").expect("a private folder");
    agent.wait_for("it is back", PATIENCE, kind("connect_refused"));
}

#[test]
fn a_file_that_is_no_file_any_more_is_said() {
    let folder = scratch();
    let secret = folder.path().join("password");
    let gone = peers::refused();
    fs::write(&secret, "right").expect("a private folder");
    let keys = format!("password = {{ file = \"{}\" }}", secret.display());
    let names: Vec<String> = (0..8).map(|n| format!("cache-{n}")).collect();
    let url = format!("redis://{}", gone.addr());
    let catalog: String = names.iter().map(|name| patient(&entry(name, "redis", &url, &keys))).collect();
    let agent = Agent::start(&catalog);
    let all = |what: &'static str| {
        move |view: &serde_json::Value| {
            (0..8).all(|n| view["dependencies"][n]["failure"]["message"].as_str().is_some_and(|words| words.contains(what)))
        }
    };
    agent.wait_for("they were asked", PATIENCE, all("127.0.0.1"));
    let replace = |make: &dyn Fn(&Path)| {
        let new = folder.path().join("new");
        make(&new);
        fs::rename(&new, &secret).expect("a private folder");
    };
    replace(&|path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo can be started").success()));
    let view = agent.wait_for("it is a FIFO", PATIENCE, all("FIFO"));
    assert_eq!(message(&view, 0), format!("the secret file {} is not a regular file: it is a FIFO", secret.display()));
    for (bytes, how) in [
        (vec![b'x'; 64 * 1024 + 1], "is larger than 64 KiB"),
        (Vec::new(), "is empty"),
        (b"a\0b".to_vec(), "contains a NUL byte"),
        (vec![0xff, b'\n'], "is not UTF-8 text"),
    ] {
        replace(&|path| fs::write(path, &bytes).expect("a private folder"));
        let view = agent.wait_for(how, PATIENCE, all(how));
        assert_eq!(message(&view, 0), format!("the secret file {} {how}", secret.display()));
    }
    replace(&|path| fs::write(path, "right").expect("a private folder"));
    agent.wait_for("it is a secret again", PATIENCE, all("127.0.0.1"));
    assert_eq!(agent.terminate().code(), Some(0));
}

#[test]
fn a_secret_of_the_same_size_and_time_is_another_one() {
    if !require("redis") {
        return;
    }
    let server = servers::redis::Redis::builder().password().start();
    let folder = scratch();
    let (secret, new) = (folder.path().join("password"), folder.path().join("new"));
    let wrong: String = servers::PASSWORD.chars().rev().collect();
    assert!(wrong != servers::PASSWORD, "it reads the same from both ends");
    fs::write(&secret, &wrong).expect("a private folder");
    let agent = Agent::start(&patient(&redis("cache", &server, &format!("password = {{ file = \"{}\" }}", secret.display()))));
    agent.wait_for("it is rejected", PATIENCE, |view| view["dependencies"][0]["failure"]["kind"] == "auth");
    // By a tool that keeps size and time.
    fs::write(&new, servers::PASSWORD).expect("a private folder");
    let copied = Command::new("touch").arg("-r").arg(&secret).arg(&new).status().expect("touch can be started");
    assert!(copied.success());
    fs::rename(&new, &secret).expect("a private folder");
    agent.wait_for("the new one is tried", PATIENCE, |view| view["dependencies"][0]["failure"].is_null());
}

/// Has every `open` of a file wait as on a dead network mount, as long as it lives (fanotify(7), `FAN_OPEN_PERM`).
const HOLD: &str = r#"
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
group = libc.fanotify_init(4, os.O_RDONLY)
if group < 0 or libc.fanotify_mark(group, 1, 0x10000, -100, sys.argv[1].encode()) < 0:
    print("impossible: " + os.strerror(ctypes.get_errno()), flush=True)
else:
    print("held", flush=True)
time.sleep(120)
"#;

#[test]
fn a_file_that_hangs_is_said_and_delays_nobody() {
    if !require("redis") {
        return;
    }
    let (server, folder) = (servers::redis::Redis::start(), scratch());
    let secret = folder.path().join("password");
    fs::write(&secret, "right").expect("a private folder");
    let keys = format!("password = {{ file = \"{}\" }}", secret.display());
    let url = format!("redis://{}", peers::refused().addr());
    let held: String = (0..8).map(|n| entry(&format!("held-{n}"), "redis", &url, &keys)).collect();
    let agent = Agent::start(&format!("{}{held}", redis("well", &server, "")));
    agent.wait_for("they were asked", PATIENCE, |view| {
        (1..9).all(|n| view["dependencies"][n]["failure"]["kind"] == "connect_refused")
    });
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: python3 is not installed");
        return;
    }
    let holder = Launch::new("python3", folder.path().join("holder")).args(["-c", HOLD]).arg(&secret).start();
    holder.wait_until("it says how it went", || holder.log().ends_with('\n').then_some(()));
    if !holder.log().starts_with("held") {
        eprintln!("SKIPPED: files cannot be held on this machine: {}", holder.log());
        return;
    }
    let sentence = format!("reading the secret file {} did not end in time", secret.display());
    agent.wait_for("it is said", PATIENCE, |view| {
        (1..9).all(|n| view["dependencies"][n]["failure"]["message"] == sentence.as_str())
    });
    let threads = agent.threads();
    let checked = |name: &str| agent.json(&format!("/dependencies/{name}"))["checked_at"].clone();
    for _ in 0..3 {
        let before = (checked("well"), checked("held-0"));
        eventually(PATIENCE, "runs go on", || (checked("well") != before.0 && checked("held-0") != before.1).then_some(()));
    }
    assert_eq!(status(&agent, "well"), "healthy");
    assert!(!agent.log().contains("well is unhealthy"), "{}", agent.log());
    // One thread hangs over the file, however often it is wanted; others come and go.
    assert!(agent.threads() <= threads + 2, "{threads}, then {}", agent.threads());
    drop(holder);
    agent.wait_for("it is read again", PATIENCE, |view| {
        (1..9).all(|n| view["dependencies"][n]["failure"]["kind"] == "connect_refused")
    });
    assert_eq!(agent.terminate().code(), Some(0));
}
