//! The law of the ring: whatever a peer says, the process lives, each run ends in its time, memory stays small, exit code
//! and document are valid, and no failure is `unexpected`.
//!
//! A stack overflow or an abort would end the tests, so a batch of peers is asked by a process of its own:
//! `probity --check`.

use std::fmt::Write;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::subjects::Subject;
use crate::support::servers::PASSWORD;
use crate::support::{agent, pace, procfs, scratch};

/// What each run of a changed conversation may take.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);

/// What it may take beyond that.
const BEYOND: Duration = Duration::from_millis(150);

/// What the whole process may hold, with a batch of runs at once.
pub(super) const MEMORY: u64 = 64 << 20;

/// How many runs that is for: each may read 2 MiB, and libraries copy.
pub(super) const BATCH: usize = 8;

/// A process that has not ended by itself by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

const KINDS: [&str; 14] = [
    "config",
    "dns",
    "connect_refused",
    "connect_timeout",
    "connect_failed",
    "tls",
    "auth",
    "permission",
    "protocol",
    "timeout",
    "query",
    "overload",
    "not_ready",
    "connection_lost",
];

/// A process that has ended.
pub(super) struct Ended {
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// The most that it held.
    pub(super) peak: u64,
    /// What plain sleeps took too long meanwhile.
    pub(super) starved: Duration,
}

impl Ended {
    /// Where libraries panicked, as the log has it.
    pub(super) fn panics(&self) -> Vec<String> {
        let place = |line: &str| Some(line.split_once("place=\"")?.1.trim_end_matches('"').to_owned());
        self.stderr.lines().filter_map(place).collect()
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) status: String,
    pub(super) kind: String,
    pub(super) phase: String,
}

/// What was broken: by one of the batch, or by the process, where nobody can tell by whom.
#[derive(Debug)]
pub(super) struct Breach {
    pub(super) who: Option<usize>,
    pub(super) what: String,
}

/// `probity --check` of such entries, in their order.
pub(super) fn check(asked: &[(&Subject, SocketAddr)], timeout: Duration, folder: &Path) -> Command {
    let timeout = timeout.as_millis();
    let mut text =
        format!("[agent]\nallow_literal_secrets = true\n[defaults]\ntimeout = \"{timeout}ms\"\ncriticality = \"required\"\n");
    for (number, (subject, addr)) in asked.iter().enumerate() {
        let _ = writeln!(text, "[dependencies.case-{number:02}]\nbackend = \"{}\"", subject.kind);
        for (key, value) in (subject.entry)(*addr).as_object().into_iter().flatten() {
            let _ = writeln!(text, "{key} = {}", inline(value));
        }
    }
    let path = folder.join("probe-catalog.toml");
    std::fs::write(&path, text).expect("the catalog can be written");
    let mut command = Command::new(agent::binary());
    command.args(["--check", "--format", "json", "--catalog"]).arg(path);
    for variable in ["PROBITY_CATALOG", "PROBITY_LISTEN", "PROBITY_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// As it stands in a line of TOML, whose texts are written like those of JSON.
fn inline(value: &Json) -> String {
    match value {
        Json::Object(keys) => {
            let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        other => other.to_string(),
    }
}

/// Runs a process to its end, and looks at what it holds.
pub(super) fn watch(mut command: Command) -> Ended {
    const LOOK: Duration = Duration::from_millis(2);
    let folder = scratch();
    let file = |name: &str| File::create(folder.path().join(name)).expect("a file can be made");
    let _ = pace::late();
    let child = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).spawn();
    let mut child = child.expect("the process can be started");
    let end = Instant::now() + PATIENCE;
    let (mut peak, mut starved) = (0, Duration::ZERO);
    let status = loop {
        peak = peak.max(1024 * procfs::status_field(child.id(), "VmHWM:"));
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break Some(status),
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(LOOK),
        }
        starved = starved.max(pace::late());
    };
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(folder.path().join(name)).unwrap_or_default()).into_owned();
    Ended { status, stdout: read("out"), stderr: read("err"), peak, starved }
}

/// Holds a process against the law: what each of its runs came to, and what was broken.
pub(super) fn judge(ended: &Ended, runs: usize, timeout: Duration) -> (Vec<Seen>, Vec<Breach>) {
    let mut breaches = Vec::new();
    let mut breach = |who, what: String| breaches.push(Breach { who, what });
    if ended.peak > MEMORY {
        breach(None, format!("the process held {} KiB", ended.peak >> 10));
    }
    if ended.stderr.contains("panicked at") || ended.stderr.contains("overflowed its stack") {
        breach(None, format!("free text on stderr: {}", ended.stderr));
    }
    if [&ended.stdout, &ended.stderr].iter().any(|text| text.contains(PASSWORD)) {
        breach(None, "a password in the output".into());
    }
    let code = ended.status.and_then(|status| status.code());
    let document = match (code, serde_json::from_str::<Json>(&ended.stdout)) {
        (Some(0 | 1), Ok(document)) => document,
        (_, document) => {
            let document = document.map_or_else(|error| format!("no document ({error})"), |_| "a document".into());
            breach(None, format!("{:?}, {document}; stderr: {}", ended.status, ended.stderr));
            return (Vec::new(), breaches);
        }
    };
    if let Some(error) = SCHEMA.iter_errors(&document).next() {
        breach(None, format!("the document is not valid: {error}"));
    }
    if (code == Some(0)) != (document["ready"] == true) {
        breach(None, format!("exit code {code:?}, ready: {}", document["ready"]));
    }
    let dependencies = document["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    if dependencies.len() != runs {
        breach(None, format!("{} of {runs} runs in the document", dependencies.len()));
    }
    let seen = dependencies.iter().enumerate().map(|(number, entry)| {
        let word = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let failure = &entry["failure"];
        let seen = Seen { status: word(&entry["status"]), kind: word(&failure["kind"]), phase: word(&failure["phase"]) };
        let took = entry["duration_seconds"].as_f64().unwrap_or(f64::INFINITY);
        let most = timeout + BEYOND + ended.starved;
        if took > most.as_secs_f64() {
            breach(Some(number), format!("a run of {took:.3} s, where {most:?} is the most: {entry}"));
        }
        if !failure.is_null() && !KINDS.contains(&seen.kind.as_str()) {
            breach(Some(number), format!("{failure}"));
        }
        seen
    });
    (seen.collect(), breaches)
}

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/document.schema.json");
    let text = std::fs::read_to_string(path).expect("the document has a schema");
    let schema = serde_json::from_str(&text).expect("a schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});
