//! The agent: arguments, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    probity::commands::run()
}
