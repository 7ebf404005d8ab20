//! Asks cargo for the test binaries of the workspace, and has it run the documentation's tests.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::binary::Binary;

/// One of cargo's messages; what is of no interest here is left out.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the tests; the answer is every binary that has some, in the order of their names.
pub(crate) fn test_binaries() -> io::Result<Vec<Binary>> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("the tests do not compile"));
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut binaries: Vec<_> = lines.lines().filter_map(binary).collect();
    binaries.sort_by(|one, other| one.name.cmp(&other.name));
    if binaries.is_empty() {
        return Err(io::Error::other("there are no tests"));
    }
    Ok(binaries)
}

/// The test binary that a message tells of.
fn binary(line: &str) -> Option<Binary> {
    let message: Message = serde_json::from_str(line).ok()?;
    let (target, folder) = (message.target?, message.manifest_path?.parent()?.to_owned());
    if message.reason != "compiler-artifact" || !message.profile?.test {
        return None;
    }
    let name = format!("{}-{}", target.kind.first()?, target.name);
    Some(Binary { name, program: message.executable?, folder })
}

/// Runs the tests in the documentation; the answer is whether they passed.
pub(crate) fn doc_tests() -> io::Result<bool> {
    Ok(cargo().args(["test", "--workspace", "--locked", "--doc"]).status()?.success())
}

/// The cargo that started this program.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}
