//! What is said of a wrong catalog: exactly, all of it, and never with a secret in it.

mod leaks;

use std::{fs, path::Path};

use probity::catalog::{load_with, plan::Criticality};
use tempfile::TempDir;

const SENTINEL: &str = "sentinel-hunter2";

/// A catalog in a folder of its own. Paths in messages start with `DIR`.
struct Catalog {
    folder: TempDir,
}

impl Catalog {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("the file can be written");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn clean(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "DIR")
    }

    /// What is wrong with the catalog at a path.
    fn mistakes_at(&self, path: &Path) -> String {
        match load_with(path, &environment) {
            Ok(_) => "nothing".into(),
            Err(mistakes) => self.clean(&mistakes.to_string()),
        }
    }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("db.internal".into()),
        "DATABASE_URL" => Some(format!("postgres://probe:{SENTINEL}@db/orders")),
        "DB_PASSWORD" => Some(SENTINEL.into()),
        _ => None,
    }
}

/// What is wrong with a catalog that is one file.
fn mistakes_in(text: &str) -> String {
    let catalog = Catalog::of(&[("c.toml", text)]);
    catalog.mistakes_at(&catalog.path("c.toml"))
}

/// Only the sentences.
fn sentences_in(text: &str) -> Vec<String> {
    let sentence = |line: &str| line.strip_prefix("error: ").map(str::to_owned);
    mistakes_in(text).lines().filter_map(sentence).collect()
}

fn load(text: &str) -> probity::catalog::plan::Plan {
    let catalog = Catalog::of(&[("c.toml", text)]);
    match load_with(&catalog.path("c.toml"), &environment) {
        Ok(plan) => plan,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
#[cfg(all(feature = "postgres", feature = "redis", feature = "http", feature = "nats"))]
fn every_mistake_is_shown_in_one_go() {
    let text = r#"[agent]
listen = "localhost"
readines = "strict"

[dependencies.orders-db]
backend = "postgres"
url = "postgres://probe@db.internal/orders"
password = { file = "/nowhere/orders-db" }
criticality = "requird"
interval = "2s"
fall = 0
degraded = { latency = 250, connections = 0.9 }
depends_on = ["vpn"]
owner = "${OWNER}"

[dependencies.cache]
backend = "redis"
url = "rediss:/cache"
labels = { role = "x" }

[dependencies.broker]
backend = "nat"
url = "nats://h"

[groups.all]
members = ["cache"]
"#;
    insta::assert_snapshot!(mistakes_in(text), @r#"
    error: `listen` must be an address and a port, such as "127.0.0.1:8686"
     --> DIR/c.toml:2:10
      |
    2 | listen = "localhost"
      |          ^^^^^^^^^^^

    error: unknown key `readines`
     --> DIR/c.toml:3:1
      |
    3 | readines = "******"
      | ^^^^^^^^ did you mean `readiness`?

    error: the secret file /nowhere/orders-db cannot be read: it does not exist
     --> DIR/c.toml:8:21
      |
    8 | password = { file = "/nowhere/orders-db" }
      |                     ^^^^^^^^^^^^^^^^^^^^

    error: unknown word "requird" for `criticality`
     --> DIR/c.toml:9:15
      |
    9 | criticality = "requird"
      |               ^^^^^^^^^ did you mean "required"?

    error: `timeout` (3s) must be shorter than `interval` (2s)
      --> DIR/c.toml:10:12
       |
    10 | interval = "2s"
       |            ^^^^ `timeout` is 3s

    error: `fall` must be between 1 and 100
      --> DIR/c.toml:11:8
       |
    11 | fall = 0
       |        ^

    error: `degraded.latency` must be a duration with its unit, such as "10s"
      --> DIR/c.toml:12:24
       |
    12 | degraded = { latency = 250, connections = 0.9 }
       |                        ^^^ write "250s" or "250ms"

    error: `depends_on` is not supported by this version yet
      --> DIR/c.toml:13:1
       |
    13 | depends_on = *******
       | ^^^^^^^^^^ remove it

    error: the environment variable OWNER is not set
      --> DIR/c.toml:14:10
       |
    14 | owner = "${OWNER}"
       |          ^^^^^^^^
       |
       = help: set it, or give a default: `${OWNER:-…}`

    error: `url` is not a URL: it begins with a scheme and `://`
      --> DIR/c.toml:18:7
       |
    18 | url = "rediss:/cache"
       |       ^^^^^^^^^^^^^^^

    error: the label `role` is taken by Probity or Prometheus
      --> DIR/c.toml:19:12
       |
    19 | labels = { role = "x" }
       |            ^^^^

    error: unknown backend `nat`; did you mean `nats`?
      --> DIR/c.toml:22:11
       |
    22 | backend = "nat"
       |           ^^^^^

    error: `groups` is not supported by this version yet
      --> DIR/c.toml:25:2
       |
    25 | [groups.all]
       |  ^^^^^^ remove it
    "#);
}

#[test]
fn a_file_that_is_no_toml_is_shown_with_the_rest() {
    let text = "[agent]\nid = \"x\n\n[dependencies.a]\nbackend = \"redsi\"\nurl = \"redis://a\"\nurl = \"redis://b\"\n";
    insta::assert_snapshot!(mistakes_in(text), @r#"
    error: this is not TOML: invalid basic string, expected `"`
     --> DIR/c.toml:2:8
      |
    2 | id = "x
      |        ^

    error: unknown backend `redsi`; did you mean `redis`?
     --> DIR/c.toml:5:11
      |
    5 | backend = "redsi"
      |           ^^^^^^^

    error: `url` is defined twice
     --> DIR/c.toml:7:1
      |
    7 | url = "redis://b"
      | ^^^ given before
    "#);
}

#[test]
#[cfg(all(feature = "postgres", feature = "http", feature = "nats"))]
fn a_typed_secret_is_refused_and_never_shown() {
    for entry in [
        "backend = \"postgres\"\nurl = \"postgres://u:§@h/db\"",
        "backend = \"postgres\"\nurl = \"postgres://u:§@h/db\"\nintervall = 3",
        "backend = \"postgres\"\nurl = \"postgres//u:§@h/db\"",
        "backend = \"postgres\"\nurl = \"postgres://u:§\"",
        "backend = \"postgres\"\nurl = \"postgres://u:§/§@h/db\"",
        "backend = \"postgres\"\nurl = \"mysql://u:§@h/db\"",
        "backend = \"postgres\"\nurl = \"postgres://h/db?password=§\"",
        "backend = \"postgres\"\nurl = \"${NONE:-postgres://u:§@h/db}\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = \"§\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = '''§'''",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = \"\"\"\n§\"\"\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = §",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword: §",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword §",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = \"§",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = [\"§\"]",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = { value = \"§\" }",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = { file = \"/x\", value = \"§\" }",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword.value = \"§\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\n[dependencies.x.password]\nvalue = \"§\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npassword = \"${NONE:-§}\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npasword = \"§\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\npw = \"§\"",
        "backend = \"postgres\"\nurl = \"postgres://h\"\ntls = { password = \"§\" }",
        "backend = \"postgres\"\nurl = \"postgres://h\"\ncriticality = \"required\", password = \"§\"",
        "backend = \"unknown\"\npassword = \"§\"\nurl = \"x://u:§@h\"",
        "password = \"§\"",
        "backend = \"nats\"\nurl = \"nats://§@h\"",
        "backend = \"nats\"\nurl = \"nats://h\"\ntoken = \"§\"",
        "backend = \"http\"\nurl = \"http://h\"\nheaders = { Authorization = \"Bearer §\" }",
        "backend = \"http\"\nurl = \"http://h\"\nheaders = { X-Api-Key = \"§\" }",
        "backend = \"http\"\nurl = \"http://h/?token=§\"",
    ] {
        let shown = mistakes_in(&format!("[dependencies.x]\n{}\n", entry.replace('§', SENTINEL)));
        assert_ne!(shown, "nothing", "{entry}");
        assert!(!shown.contains(SENTINEL), "{entry}\n{shown}");
        assert!(!shown.contains("hunter2"), "{entry}\n{shown}");
    }
}

#[test]
#[cfg(all(feature = "postgres", feature = "http"))]
fn a_secret_from_outside_is_welcome_and_never_shown() {
    let plan = load(
        "[dependencies.a]\nbackend = \"postgres\"\nurl = \"${DATABASE_URL}\"\n\
         [dependencies.b]\nbackend = \"postgres\"\nurl = \"postgres://probe:${DB_PASSWORD}@${HOST}:${PORT:-6432}/orders\"\n\
         [dependencies.c]\nbackend = \"postgres\"\nurl = \"postgres://probe@h/db\"\npassword = \"${DB_PASSWORD}\"\n\
         [dependencies.d]\nbackend = \"postgres\"\nurl = \"postgres://probe@h/db\"\npassword = { env = \"DB_PASSWORD\" }\n\
         [dependencies.e]\nbackend = \"http\"\nurl = \"http://h/\"\nheaders = { Accept = \"text/plain\", Authorization = \"${DB_PASSWORD}\" }\n",
    );
    let shown: Vec<_> = plan.dependencies.iter().map(|dependency| dependency.resolved.to_string()).collect();
    assert!(shown.iter().all(|text| !text.contains(SENTINEL)), "{shown:?}");
    assert_eq!(plan.dependencies[1].resolved["url"], "postgres://db.internal:6432/orders");
    assert_eq!(plan.dependencies[2].resolved["password"], "[secret]");
    assert_eq!(plan.dependencies[3].resolved["password"]["env"], "DB_PASSWORD");
}

#[test]
#[cfg(feature = "postgres")]
fn a_typed_secret_may_be_allowed() {
    let plan = load(
        "[agent]\nallow_literal_secrets = true\n\
         [dependencies.a]\nbackend = \"postgres\"\nurl = \"postgres://u:sentinel-hunter2@h/db\"\n",
    );
    assert!(!plan.dependencies[0].resolved.to_string().contains(SENTINEL));
}

#[test]
#[cfg(feature = "redis")]
fn defaults_are_filled_in_and_overridden() {
    let plan = load(
        "[defaults]\ninterval = \"20s\"\ntimeout = \"5s\"\ndegraded = { certificate = \"30d\" }\n\
         [dependencies.b]\nbackend = \"redis\"\nurl = \"redis://b\"\ntimeout = \"1s\"\ndegraded = { latency = \"9ms\", memory = 0.5 }\n\
         [dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\ncriticality = \"required\"\nshared = false\nlabels = { team = \"core\" }\n",
    );
    let names: Vec<_> = plan.dependencies.iter().map(|dependency| &*dependency.name).collect();
    assert_eq!(names, ["b", "a"], "in the order of the file");
    let [b, a] = plan.dependencies.as_slice() else { panic!("two dependencies") };
    assert_eq!((b.timing.interval.as_secs(), b.timing.timeout.as_secs()), (20, 1));
    assert_eq!((a.timing.timeout.as_secs(), a.timing.fall, a.timing.rise), (5, 2, 2));
    assert_eq!((a.criticality, b.criticality), (Criticality::Required, Criticality::Optional));
    assert_eq!(a.words.labels["team"], "core");
    assert_eq!(b.resolved["degraded"]["latency"], "9ms");
    assert_eq!(b.resolved["degraded"]["memory"], 0.5);
    assert_eq!(a.resolved["degraded"]["certificate"], "30days");
    assert_eq!(a.resolved["degraded"]["latency"], "250ms");
    assert_eq!(plan.agent.listen.to_string(), "127.0.0.1:8686");
}

#[test]
#[cfg(feature = "redis")]
fn a_timeout_must_be_shorter_than_its_interval_wherever_it_is_written() {
    let entry = "[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\n";
    let place = |text: &str| {
        let shown = mistakes_in(text);
        shown.lines().find_map(|line| line.trim().strip_prefix("--> DIR/c.toml:").map(str::to_owned)).unwrap_or(shown)
    };
    assert_eq!(place(&format!("{entry}timeout = \"10s\"\n")), "4:11");
    assert_eq!(place(&format!("{entry}interval = \"3s\"\n")), "4:12");
    assert_eq!(place(&format!("{entry}interval = \"3s\"\ntimeout = \"4s\"\n")), "5:11");
    assert_eq!(place(&format!("[defaults]\ntimeout = \"1m\"\n{entry}")), "2:11");
    assert_eq!(place(&format!("[defaults]\ntimeout = \"9s\"\n{entry}interval = \"5s\"\n")), "6:12");
    assert_eq!(sentences_in(&format!("[defaults]\ntimeout = \"1m\"\n{entry}{}", entry.replace("s.a]", "s.b]"))).len(), 1);
    assert_eq!(
        sentences_in(&format!("{entry}interval = \"50ms\"\ntimeout = \"1ms\"\n")),
        ["`interval` must be between 100ms and 1day"]
    );
    assert_eq!(sentences_in(&format!("{entry}timeout = \"0s\"\n")), ["`timeout` must be at least 10ms"]);
}

#[test]
#[cfg(feature = "redis")]
fn what_cannot_be_honoured_yet_is_refused_by_name() {
    let text = "[groups.x]\nmembers = []\n[failure_policy]\nstartup = \"fail-fast\"\n[agent]\nadmin_token = \"x\"\n\
        [dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\ndepends_on = []\ntargets = \"all\"\n\
        on_probe_fault = \"hold\"\n";
    let mut sentences = sentences_in(text);
    sentences.sort();
    let refused = ["admin_token", "depends_on", "failure_policy", "groups", "on_probe_fault"];
    let mut expected: Vec<_> = refused.map(|word| format!("`{word}` is not supported by this version yet")).to_vec();
    expected.push("targets = \"all\" is not supported by this version yet".into());
    assert_eq!(sentences, expected);
}

#[test]
#[cfg(feature = "redis")]
fn a_key_that_cannot_be_asked_for_is_shown_where_it_is() {
    let entry = "[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\n";
    assert_eq!(shown_at(&format!("{entry}query = \"\"\n")), ("4:9".into(), "the question is empty".into()));
    let (place, sentence) = shown_at(&format!("{entry}expect = {{ rows = 1 }}\n"));
    assert_eq!((place.as_str(), sentence.as_str()), ("4:19", "`expect.rows` needs `query` beside it"));
    let long = "x".repeat(4097);
    let (place, sentence) = shown_at(&format!("{entry}query = \"key\"\nexpect = {{ value = \"{long}\" }}\n"));
    assert_eq!((place.as_str(), sentence.as_str()), ("5:20", "no more than 4096 bytes of a value are read"));
}

#[test]
#[cfg(feature = "memcached")]
fn a_key_that_memcached_cannot_have_is_shown_where_it_is() {
    let entry = "[dependencies.a]\nbackend = \"memcached\"\nurl = \"memcached://a\"\n";
    for key in ["two words", "a\\r\\nflush_all", &"k".repeat(251)] {
        let (place, sentence) = shown_at(&format!("{entry}query = \"{key}\"\n"));
        assert_eq!((place.as_str(), sentence.as_str()), ("4:9", "a key has up to 250 bytes, none of them a space or control"));
    }
    let (place, sentence) = shown_at(&format!("{entry}query = \"key\"\nexpect = {{ rows = 2 }}\n"));
    assert_eq!((place.as_str(), sentence.as_str()), ("5:19", "`expect.rows` must be between 0 and 1"));
}

/// The only mistake of a catalog: where it is, and its sentence.
#[track_caller]
fn shown_at(text: &str) -> (String, String) {
    let shown = mistakes_in(text);
    let place = shown.lines().find_map(|line| line.trim().strip_prefix("--> DIR/c.toml:")).expect("it has a place").to_owned();
    let [sentence] = sentences_in(text).try_into().expect("one mistake");
    (place, sentence)
}

#[test]
#[cfg(feature = "http")]
fn a_round_trip_takes_a_backend_that_has_one() {
    let text = "[dependencies.a]\nbackend = \"http\"\nurl = \"http://a\"\ndepth = \"roundtrip\"\n";
    assert_eq!(sentences_in(text), ["`http` has no round trip: its deepest questions are `deep`"]);
}

#[test]
#[cfg(feature = "postgres")]
fn an_expectation_of_an_answer_takes_a_question() {
    let text = "[dependencies.a]\nbackend = \"postgres\"\nurl = \"postgres://a\"\nexpect = { role = \"primary\", value = 1 }\n";
    assert_eq!(
        mistakes_in(text),
        "error: `expect.value` needs `query` beside it
 --> DIR/c.toml:4:38
  |
4 | expect = { role = \"primary\", value = 1 }
  |                                      ^"
    );
    let whole = |keys: &str| format!("[dependencies.a]\nbackend = \"postgres\"\nurl = \"postgres://a\"\n{keys}\n");
    assert_eq!(sentences_in(&whole("query = \" \"")), ["the question is empty"]);
    assert_eq!(
        sentences_in(&whole("query = \"SELECT 1\"\nexpect = { rows = 1000001 }")),
        ["`expect.rows` must be between 0 and 1000000"]
    );
}

#[test]
fn a_folder_is_one_document() {
    let catalog = Catalog::of(&[
        ("b.toml", "[dependencies.x]\nbackend = \"redis\"\nurl = \"redis://x\"\n[agent]\n"),
        ("a.toml", "[agent]\nid = \"one\"\n\n[dependencies.x]\nbackend = \"redis\"\nurl = \"redis://x\"\n"),
        ("c.txt", "not read"),
    ]);
    insta::assert_snapshot!(catalog.mistakes_at(catalog.folder.path()), @r#"
    error: `x` is defined twice
     --> DIR/b.toml:1:15
      |
    1 | [dependencies.x]
      |               ^ the second
      |
     ::: DIR/a.toml:4:15
      |
    4 | [dependencies.x]
      |               - the first

    error: `agent` is defined twice
     --> DIR/b.toml:4:2
      |
    4 | [agent]
      |  ^^^^^ the second
      |
     ::: DIR/a.toml:1:2
      |
    1 | [agent]
      |  ----- the first
    "#);
}

#[test]
fn what_is_no_catalog_is_said_in_one_sentence() {
    let catalog = Catalog::of(&[("empty.toml", ""), ("bytes.toml", "x")]);
    fs::write(catalog.path("bytes.toml"), b"a = 1\nb = \"\xff\"\n").expect("the file can be written");
    fs::create_dir(catalog.path("folder")).expect("the folder can be made");
    let said = |name: &str| catalog.mistakes_at(&catalog.path(name));
    assert_eq!(
        said("none.toml"),
        "error: the catalog DIR/none.toml does not exist\n |\n = help: create it, or name another file or folder with --catalog or PROBITY_CATALOG"
    );
    assert_eq!(
        said("folder"),
        "error: the folder DIR/folder holds no `*.toml` file\n |\n = help: put a catalog into it, or name a file with --catalog"
    );
    assert_eq!(said("bytes.toml"), "error: the catalog DIR/bytes.toml is not UTF-8 text (line 2)");
    assert_eq!(
        said("empty.toml"),
        "error: DIR/empty.toml declares no dependency\n |\n = help: add at least one [dependencies.NAME]"
    );
}

#[test]
#[cfg(all(unix, feature = "redis"))]
fn secret_files_are_looked_at() {
    use std::os::unix::fs::PermissionsExt;
    let catalog = Catalog::of(&[("secret", "x")]);
    let secret = catalog.path("secret");
    let entry =
        format!("[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\npassword = {{ file = \"{}\" }}\n", secret.display());
    fs::write(catalog.path("c.toml"), &entry).expect("the file can be written");
    fs::write(catalog.path("strict.toml"), format!("[agent]\nstrict_secret_files = true\n{entry}")).expect("likewise");

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("the mode can be set");
    let plan = load_with(&catalog.path("c.toml"), &environment).expect("a warning only");
    let warnings: Vec<_> = plan.warnings.iter().map(|warning| catalog.clean(warning)).collect();
    assert_eq!(warnings, ["a: `password`: the secret file DIR/secret can be read by every user of this machine"]);
    assert!(catalog.mistakes_at(&catalog.path("strict.toml")).contains("can be read by every user of this machine"));

    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("the mode can be set");
    assert_eq!(catalog.mistakes_at(&catalog.path("strict.toml")), "nothing");
    fs::remove_file(&secret).expect("the file can be removed");
    assert!(
        catalog.mistakes_at(&catalog.path("c.toml")).contains("the secret file DIR/secret cannot be read: it does not exist")
    );
}

#[test]
#[cfg(feature = "redis")]
fn what_is_allowed_but_risky_is_warned_of() {
    let warnings = |text: &str| load(text).warnings;
    let entry = "[dependencies.a]\nbackend = \"redis\"\nurl = \"rediss://a\"\n";
    assert_eq!(warnings(entry), [""; 0]);
    assert_eq!(
        warnings(&format!("{entry}criticality = \"required\"\n")),
        ["a: required and shared: every replica will leave the Service together when it fails; say `shared = false`, \
          or `readiness = \"startup-only\"` in [agent], or `shared = true` if that is wanted"]
    );
    assert_eq!(warnings(&format!("{entry}criticality = \"required\"\nshared = true\n")), [""; 0]);
    assert_eq!(
        warnings(&format!("{entry}tls = {{ insecure = true }}\n")),
        ["a: `tls.insecure = true`: any certificate is accepted, from anyone"]
    );
}

#[test]
#[cfg(all(feature = "postgres", feature = "redis", feature = "http", feature = "nats"))]
fn the_repository_s_own_catalog_works_and_follows_its_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe-catalog.toml");
    let plan = match load_with(&path, &environment) {
        Ok(plan) => plan,
        Err(mistakes) => panic!("{mistakes}"),
    };
    assert_eq!(plan.dependencies.len(), probity_probes::registry().len());
    let text = fs::read_to_string(path).expect("it was read before");
    let document: toml::Table = text.parse().expect("it is TOML");
    let document = serde_json::to_value(document).expect("TOML is JSON");
    let schema = probity::catalog::schema::catalog();
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
#[cfg(feature = "redis")]
fn the_schema_refuses_what_the_agent_refuses() {
    let schema = probity::catalog::schema::catalog();
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let entry = |more: serde_json::Value| {
        let mut entry = serde_json::json!({ "backend": "redis", "url": "redis://a" });
        entry.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        validator.is_valid(&serde_json::json!({ "dependencies": { "a": entry } }))
    };
    assert!(entry(serde_json::json!({ "interval": "5s", "password": { "env": "X" }, "expect": { "role": "primary" } })));
    assert!(entry(serde_json::json!({ "interval": "${INTERVAL:-5s}" })));
    for wrong in [
        serde_json::json!({ "intervall": "5s" }),
        serde_json::json!({ "interval": "5" }),
        serde_json::json!({ "interval": 5 }),
        serde_json::json!({ "backend": "redsi" }),
        serde_json::json!({ "fall": 0 }),
        serde_json::json!({ "expect": { "role": "leader" } }),
        serde_json::json!({ "password": { "value": "x" } }),
        serde_json::json!({ "depends_on": ["b"] }),
    ] {
        assert!(!entry(wrong.clone()), "{wrong}");
    }
}

#[test]
#[cfg(all(feature = "postgres", feature = "http", feature = "nats"))]
fn no_slip_of_the_pen_shows_a_secret_or_panics() {
    const TEXT: &str = "[agent]\nid = \"é\"\n[dependencies.a]\nbackend = \"postgres\"\nurl = \"postgres://u:sentinel-hunter2@h/db\"\n\
        criticality = \"required\"\n[dependencies.b]\nbackend = \"postgres\"\nurl = 'postgres://h'\n\
        password = \"sentinel-hunter2\"\ntls = { ca = \"/x\" }\n[dependencies.c]\nbackend = \"http\"\nurl = \"http://h/ü\"\n\
        headers = { Accept = \"x\", Authorization = \"sentinel-hunter2\" }\nexpect = { status = [200, \"3xx\"] }\n\
        [dependencies.d]\nbackend = \"nats\"\nurl = \"nats://h\"\ntoken = '''sentinel-hunter2'''\n[dependencies.d.tls]\nkey = \"/y\"\n";
    const SLIPS: [&str; 16] = ["", "\"", "'", "=", "[", "]", "{", "}", ":", "#", "@", "/", " ", "\n", "é", "${"];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.toml");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let mut text: Vec<char> = TEXT.chars().collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..text.len());
            let gone = random.usize(..2);
            // Whoever tears the secret itself apart may see the pieces.
            let torn = |at: usize| {
                text[at.saturating_sub(20)..(at + 20).min(text.len())].iter().collect::<String>().contains("sentinel")
            };
            if torn(at) && gone == 1 && text[at].is_alphanumeric() {
                continue;
            }
            text.splice(at..at + gone, random.choice(SLIPS).unwrap_or_default().chars());
        }
        let text: String = text.into_iter().collect();
        fs::write(&path, &text).expect("the file can be written");
        if let Err(mistakes) = load_with(&path, &environment) {
            let shown = mistakes.to_string();
            assert!(!shown.contains(SENTINEL), "{text}\n{shown}");
        }
    }
}
