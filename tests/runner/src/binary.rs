//! Runs a test binary and reads what libtest prints: which tests failed, and what each of them said.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What libtest exits with when a test failed. Anything else but 0 is a crash.
const SOME_FAILED: i32 = 101;

/// How long output is waited for after the end of the binary: a process that it left may hold the pipe open.
const GRACE: Duration = Duration::from_secs(5);

/// A binary with tests.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    /// The folder of its package, in which cargo would run it.
    pub(crate) folder: PathBuf,
}

/// How a run of it went.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What it wrote, standard error included.
    pub(crate) output: String,
    pub(crate) end: End,
    pub(crate) summary: Option<Summary>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    /// These tests failed.
    Failed(Vec<String>),
    /// It did not run to its end, or did not say which tests failed.
    Broken(String),
}

/// The last line of libtest, as far as it is counted here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    rest: String,
}

impl Binary {
    /// Runs it with more arguments. Each line is shown as it comes, but for the summary of a run with failures: what counts
    /// then is known later.
    pub(crate) fn run(&self, args: &[&str], mut show: impl FnMut(&str)) -> io::Result<Ran> {
        let (reader, writer) = io::pipe()?;
        let mut command = self.command();
        let mut child = command.args(args).stdout(writer.try_clone()?).stderr(writer).spawn()?;
        // It holds the ends of the pipe that are to be written to.
        drop(command);
        let lines = read(reader);
        let mut output = String::new();
        let mut take = |line: String| {
            if Summary::parse(&line).is_none_or(|summary| summary.failed == 0) {
                show(&line);
            }
            output.push_str(&line);
            output.push('\n');
        };
        let status = loop {
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => take(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break child.wait()?,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Some(status) = child.try_wait()? {
                        break status;
                    }
                }
            }
        };
        while let Ok(line) = lines.recv_timeout(GRACE) {
            take(line);
        }
        let summary = output.lines().rev().find_map(Summary::parse);
        let end = end(status, summary.as_ref(), &output);
        Ok(Ran { output, end, summary })
    }

    /// The names of its tests.
    pub(crate) fn tests(&self) -> io::Result<BTreeSet<String>> {
        let output = self.command().arg("--list").output()?;
        let lines = String::from_utf8_lossy(&output.stdout);
        Ok(lines.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

impl End {
    /// How it broke.
    pub(crate) fn broken(&self) -> Option<&str> {
        match self {
            Self::Broken(how) => Some(how),
            _ => None,
        }
    }
}

impl Summary {
    /// Reads `test result: ok. 2 passed; 0 failed; 0 ignored; …`.
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut parts = counts.splitn(3, "; ");
        let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
        let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
        Some(Self { passed, failed, rest: parts.next()?.to_owned() })
    }

    /// The same after so many tests passed when they were run again.
    pub(crate) fn healed(&self, tests: usize) -> Self {
        Self { passed: self.passed + tests, failed: self.failed.saturating_sub(tests), rest: self.rest.clone() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, rest } = self;
        let word = if *failed == 0 { "ok" } else { "FAILED" };
        write!(formatter, "test result: {word}. {passed} passed; {failed} failed; {rest}")
    }
}

/// What a test that failed has said: its part of the output, or all of it when there is none.
///
/// A test may itself show the output of tests, so the part ends only where another of the failed ones begins, or the last
/// list of failures.
pub(crate) fn output_of<'a>(output: &'a str, test: &str, failed: &[String]) -> &'a str {
    let begin_of = |test: &str| output.find(&format!("\n---- {test} stdout ----\n"));
    let Some(begin) = begin_of(test) else { return output };
    let others = failed.iter().filter_map(|other| begin_of(other)).chain(output.rfind("\nfailures:\n"));
    let end = others.filter(|&end| end > begin).min().unwrap_or(output.len() - 1);
    &output[begin + 1..=end]
}

/// Reads lines on a thread, so that nobody has to wait for a pipe that is held open.
fn read(reader: PipeReader) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

fn end(status: ExitStatus, summary: Option<&Summary>, output: &str) -> End {
    let Some(summary) = summary.filter(|_| matches!(status.code(), Some(0 | SOME_FAILED))) else {
        return End::Broken(status.to_string());
    };
    if status.success() {
        return if summary.failed == 0 { End::Passed } else { End::Broken("its exit code contradicts its summary".to_owned()) };
    }
    let failed = failed_tests(output);
    if failed.is_empty() || failed.len() != summary.failed {
        return End::Broken(format!("{} tests failed, and it names {}", summary.failed, failed.len()));
    }
    End::Failed(failed)
}

/// The names in the last list of failures.
fn failed_tests(output: &str) -> Vec<String> {
    let list = output.rsplit("\nfailures:\n").next().unwrap_or_default();
    list.lines().map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 3 tests\ntest a::one ... FAILED\ntest a::two ... ok\ntest b ... FAILED\n\nfailures:\n\n\
        ---- a::one stdout ----\nit says\n\nfailures:\n    x\n\n---- x stdout ----\n\n---- b stdout ----\nno\n\n\nfailures:\n    a::one\n    b\n\n\
        test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n";

    #[test]
    fn the_list_of_failures_is_read() {
        assert_eq!(failed_tests(OUTPUT), ["a::one", "b"]);
        let part = |test| output_of(OUTPUT, test, &failed_tests(OUTPUT));
        assert_eq!(part("a::one"), "---- a::one stdout ----\nit says\n\nfailures:\n    x\n\n---- x stdout ----\n\n");
        assert_eq!(part("b"), "---- b stdout ----\nno\n\n\n");
        assert_eq!(part("c"), OUTPUT);
    }

    #[test]
    fn a_summary_counts_what_passed_when_run_again() {
        let line = OUTPUT.lines().rev().find_map(Summary::parse).expect("it has one");
        assert_eq!((line.passed, line.failed), (1, 2));
        let rest = "0 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(line.healed(1).to_string(), format!("test result: FAILED. 2 passed; 1 failed; {rest}"));
        assert_eq!(line.healed(2).to_string(), format!("test result: ok. 3 passed; 0 failed; {rest}"));
        assert_eq!(Summary::parse("test result: unknown"), None);
    }
}
