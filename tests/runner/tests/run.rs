//! The runner at work: on a test binary that fails, heals and crashes as it is told, which a script hands out as cargo would.
#![expect(clippy::expect_used, reason = "a test says what it takes for granted")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

/// The test binary, compiled once; removed by nobody, like everything in cargo's own temporary folder.
static FAKE: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(rustc).args(["--test", "--edition=2024", "-o"]).arg(&program).arg(source).status();
    assert!(compiled.is_ok_and(|status| status.success()), "the fake test binary compiles");
    program
});

/// A workspace of nothing but that binary.
struct Workspace {
    folder: TempDir,
}

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let workspace = Self { folder };
        let (path, fake) = (workspace.path(), FAKE.display());
        let message = format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"{}/Cargo.toml","target":{{"name":"it","kind":["test"]}},"profile":{{"test":true}},"executable":"{fake}"}}"#,
            path.display()
        );
        let script =
            format!("#!/bin/sh\ncase \"$*\" in *--no-run*) echo '{message}' ;; *--doc) exit \"${{FAKE_DOC:-0}}\" ;; esac\n");
        fs::write(path.join("cargo"), script).expect("a file can be written");
        fs::set_permissions(path.join("cargo"), Permissions::from_mode(0o755)).expect("it is our own file");
        fs::create_dir(path.join("tests")).expect("a folder can be made");
        fs::create_dir(path.join("state")).expect("a folder can be made");
        workspace
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn runner(&self, word: &str, env: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_test-runner"))
            .arg(word)
            .current_dir(self.path())
            .env("CARGO", self.path().join("cargo"))
            .env("CARGO_TARGET_DIR", "target")
            .env("FAKE_FOLDER", self.path().join("state"))
            .env_remove("RUST_TEST_THREADS")
            .envs(env.iter().copied())
            .output()
            .expect("the runner can be started");
        Ran::of(&output)
    }

    fn run(&self, env: &[(&str, &str)]) -> Ran {
        self.runner("run", env)
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.path().join("target/test-output").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

struct Ran {
    passed: bool,
    text: String,
    errors: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { passed: output.status.success(), text: text(&output.stdout), errors: text(&output.stderr) }
    }

    fn last_lines(&self, count: usize) -> Vec<&str> {
        let lines: Vec<_> = self.text.lines().collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// The counts of the summaries of libtest, as CI reads them.
    fn summaries(&self) -> Vec<&str> {
        let summaries = self.text.lines().filter_map(|line| line.strip_prefix("test result: "));
        summaries.filter_map(|line| line.split("; 0 ignored").next()).collect()
    }
}

const HINT: &str = "Flaky tests do not fail this run. Add each to tests/flaky.toml, and fix it next:";

fn flaky(test: &str) -> String {
    format!("FLAKY {test} (failed: target/test-output/{test}.first.txt; passed: target/test-output/{test}.again.txt)")
}

#[test]
fn what_passes_is_shown_as_libtest_shows_it() {
    let ran = Workspace::new().run(&[]);
    assert!(ran.passed, "{}", ran.text);
    assert!(ran.text.contains("\ntest secrets::four ... ok\n"), "{}", ran.text);
    assert_eq!(ran.summaries(), ["ok. 4 passed; 0 failed"]);
    assert!(!ran.text.contains("FLAKY"), "{}", ran.text);
}

#[test]
fn one_flaky_test_is_in_the_last_line_and_both_outputs_are_kept() {
    let workspace = Workspace::new();
    let ran = workspace.run(&[("FAKE_FAIL_ONCE", "two")]);
    assert!(ran.passed, "{}", ran.text);
    assert_eq!(ran.last_lines(2), [HINT, &flaky("two")]);
    assert_eq!(ran.summaries(), ["ok. 4 passed; 0 failed"]);
    let first = workspace.kept("two.first.txt");
    assert!(first.starts_with("---- two stdout ----\nthis is two\n") && first.contains("two fails at first"), "{first}");
    let again = workspace.kept("two.again.txt");
    assert!(again.contains("this is two") && again.contains("1 passed; 0 failed"), "{again}");
}

#[test]
fn two_flaky_tests_are_in_the_last_lines() {
    let ran = Workspace::new().run(&[("FAKE_FAIL_ONCE", "one,two")]);
    assert!(ran.passed, "{}", ran.text);
    assert_eq!(ran.last_lines(3), [HINT, &flaky("one"), &flaky("two")]);
    assert_eq!(ran.summaries(), ["ok. 4 passed; 0 failed"]);
}

#[test]
fn three_failures_are_not_run_again() {
    let workspace = Workspace::new();
    let ran = workspace.run(&[("FAKE_FAIL_ONCE", "one,two,three")]);
    assert!(!ran.passed, "{}", ran.text);
    assert!(ran.text.contains("\nNothing is run again: 3 tests failed, and at most 2 are.\n"), "{}", ran.text);
    assert_eq!(ran.last_lines(3), ["FAILED one", "FAILED three", "FAILED two"]);
    assert_eq!(ran.summaries(), ["FAILED. 1 passed; 3 failed"]);
    assert!(!workspace.path().join("target/test-output/one.again.txt").exists());
}

#[test]
fn a_test_of_secrets_is_not_run_again() {
    let ran = Workspace::new().run(&[("FAKE_FAIL_ONCE", "one,four")]);
    assert!(!ran.passed, "{}", ran.text);
    assert!(ran.text.contains("\nNothing is run again: secrets::four is of a kind that never is.\n"), "{}", ran.text);
    assert_eq!(ran.last_lines(2), ["FAILED one", "FAILED secrets::four"]);
}

#[test]
fn a_test_that_fails_twice_fails_the_run() {
    let workspace = Workspace::new();
    let ran = workspace.run(&[("FAKE_FAIL", "two"), ("FAKE_FAIL_ONCE", "one")]);
    assert!(!ran.passed, "{}", ran.text);
    assert_eq!(ran.last_lines(3), ["FAILED two", HINT, &flaky("one")]);
    assert_eq!(ran.summaries().last(), Some(&"FAILED. 3 passed; 1 failed"));
    assert!(workspace.kept("two.again.txt").contains("two always fails"));
}

#[test]
fn a_test_that_crashes_the_second_time_fails_the_run() {
    let ran = Workspace::new().run(&[("FAKE_CRASH_AGAIN", "two")]);
    assert!(!ran.passed, "{}", ran.text);
    assert_eq!(ran.last_lines(1), ["FAILED two"]);
}

#[test]
fn a_crashed_binary_fails_the_run() {
    let ran = Workspace::new().run(&[("FAKE_CRASH", "three")]);
    assert!(!ran.passed, "{}", ran.text);
    let wanted = "CRASHED test-it: signal: 6 (SIGABRT) (core dumped); its output is in target/test-output/test-it.txt";
    assert_eq!(ran.last_lines(1)[0].replace(" (core dumped)", ""), wanted.replace(" (core dumped)", ""));
    assert!(ran.text.contains("Nothing is run again: a test binary crashed, or a documentation test failed."), "{}", ran.text);
}

#[test]
fn a_failed_documentation_test_fails_the_run() {
    let ran = Workspace::new().run(&[("FAKE_DOC", "1")]);
    assert!(!ran.passed, "{}", ran.text);
}

#[test]
fn the_record_is_checked_against_the_tests_that_exist() {
    let workspace = Workspace::new();
    let check = |text: &str| {
        fs::write(workspace.path().join("tests/flaky.toml"), text).expect("a file can be written");
        workspace.runner("flaky", &[])
    };
    assert!(check("# nothing\n").passed);
    let ran = check("[[flaky]]\ntest = \"five\"\nsince = 2026-01-01\ncause = \"chance\"\n");
    assert!(!ran.passed && ran.errors.contains("tests/flaky.toml: five: there is no such test\n"), "{}", ran.errors);
    assert!(ran.errors.contains(" days, 7 are allowed: fix it\n"), "{}", ran.errors);
}

#[test]
fn a_missing_record_is_an_error() {
    let ran = Workspace::new().runner("flaky", &[]);
    assert!(!ran.passed && ran.errors.contains("tests/flaky.toml: "), "{}", ran.errors);
}
