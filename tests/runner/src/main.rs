//! Runs the project's tests for `make test`, and runs up to two tests that failed once more.
//!
//! `test-runner run` builds and runs every test of the workspace. `test-runner flaky` checks `tests/flaky.toml`.
//! It has no options: what it may run again is decided in [`verdict`], in one place, and never on a command line.

mod binary;
mod build;
mod flaky;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use binary::{Binary, End, Ran};
use verdict::Plan;

/// The record of flaky tests, below the root of the workspace.
const RECORD: &str = "tests/flaky.toml";

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("run") => run(),
        Some("flaky") => check_record(),
        _ => Err(io::Error::other("usage: test-runner run|flaky")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("test-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A test that failed, and the binary that has it.
struct Failed<'a> {
    binary: &'a Binary,
    test: &'a str,
    output: &'a str,
}

/// Runs everything; the answer is whether all tests passed, at the second attempt where that is allowed.
fn run() -> io::Result<bool> {
    let kept = kept_folder()?;
    let binaries = build::test_binaries()?;
    let mut runs = Vec::new();
    for binary in &binaries {
        println!("     Running {} ({})", binary.name, binary.program.display());
        let ran = binary.run(&[], |line| println!("{line}"))?;
        fs::write(kept.join(format!("{}.txt", binary.name)), &ran.output)?;
        runs.push((binary, ran));
    }
    let documented = build::doc_tests()?;

    let failed: Vec<_> = runs.iter().flat_map(|(binary, ran)| failures(binary, ran)).collect();
    let broken: Vec<_> = runs.iter().filter_map(|(binary, ran)| Some((binary, ran.end.broken()?))).collect();
    let names: Vec<_> = failed.iter().map(|failed| failed.test).collect();
    let mut passed = documented && broken.is_empty();
    let mut flaky = Vec::new();
    match verdict::plan(&names, passed) {
        Plan::Done => {}
        Plan::Again => {
            println!("\nRunning again, alone:");
            for failed in &failed {
                match again(failed, &kept)? {
                    Some(line) => flaky.push((failed, line)),
                    None => passed = false,
                }
            }
        }
        Plan::Fail(reason) => {
            println!("\nNothing is run again: {reason}.");
            passed = false;
        }
    }
    println!();
    for (binary, ran) in &runs {
        let healed = flaky.iter().filter(|(failed, _)| failed.binary.program == binary.program).count();
        if let Some(summary) = ran.summary.as_ref().filter(|summary| summary.failed > 0) {
            let note = if healed == 0 { String::new() } else { format!(", of which {healed} passed when run again") };
            println!("{}{note}:\n{}", binary.name, summary.healed(healed));
        }
    }
    for (binary, how) in broken {
        println!("CRASHED {}: {how}; its output is in {}", binary.name, kept.join(format!("{}.txt", binary.name)).display());
    }
    for failed in failed.iter().filter(|failed| !flaky.iter().any(|(other, _)| std::ptr::eq(*other, *failed))) {
        println!("FAILED {}", failed.test);
    }
    if !flaky.is_empty() {
        println!("Flaky tests do not fail this run. Add each to {RECORD}, and fix it next:");
    }
    for (_, line) in flaky {
        println!("{line}");
    }
    Ok(passed)
}

fn failures<'a>(binary: &'a Binary, ran: &'a Ran) -> Vec<Failed<'a>> {
    let End::Failed(tests) = &ran.end else { return Vec::new() };
    tests.iter().map(|test| Failed { binary, test, output: binary::output_of(&ran.output, test, tests) }).collect()
}

/// Runs one test again; the answer is its line in the list of flaky tests, or nothing when it failed again.
fn again(failed: &Failed, kept: &Path) -> io::Result<Option<String>> {
    let Failed { binary, test, output } = failed;
    let [first, second] = ["first", "again"].map(|attempt| kept.join(format!("{}.{attempt}.txt", test.replace("::", "."))));
    fs::write(&first, output)?;
    let ran = binary.run(&["--exact", test, "--test-threads=1", "--show-output"], |_| {})?;
    fs::write(&second, &ran.output)?;
    let has_passed = ran.end == End::Passed && ran.summary.is_some_and(|summary| summary.passed == 1);
    println!("{test} ... {}", if has_passed { "ok" } else { "FAILED" });
    if !has_passed {
        println!("{}", ran.output);
        return Ok(None);
    }
    Ok(Some(format!("FLAKY {test} (failed: {}; passed: {})", first.display(), second.display())))
}

/// Where outputs are kept, without those of an earlier run.
fn kept_folder() -> io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("test-output");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Whether the record of flaky tests is in order; says on standard error what is not.
fn check_record() -> io::Result<bool> {
    let text = fs::read_to_string(RECORD).map_err(|error| io::Error::other(format!("{RECORD}: {error}")))?;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let mistakes = flaky::mistakes(&text, today, known_tests)?;
    for mistake in &mistakes {
        eprintln!("{RECORD}: {mistake}");
    }
    Ok(mistakes.is_empty())
}

/// The name of every test of the workspace.
fn known_tests() -> io::Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for binary in build::test_binaries()? {
        known.extend(binary.tests()?);
    }
    Ok(known)
}
