//! A process of its own for a test that counts what the whole process holds: threads, descriptors, memory.
//!
//! Beside other tests such counts mean nothing, and one test at a time would make all of them slow.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the process that was started for one test.
const MARK: &str = "PROBITY_TEST_ALONE";

/// How long a test may take that runs alone.
const LIMIT: Duration = Duration::from_mins(5);

/// True in a process that runs nothing but the test of this name (`module::test`). Everywhere else that process is
/// started and waited for, its failure is this one's, and the answer is false: `if !alone("a::b") { return; }`.
#[track_caller]
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("a process knows its program");
    let mut command = Command::new(own);
    command.args(["--exact", test, "--test-threads=1", "--nocapture"]).env(MARK, "1");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tests can be started again");
    let readers = [child.stdout.take().map(read), child.stderr.take().map(read)];
    let end = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                break child.wait().expect("a killed child ends");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let output: String = readers.into_iter().flatten().map(|reader| reader.join().unwrap_or_default()).collect();
    assert!(status.success(), "{test} failed in a process of its own ({status}):\n{output}");
    assert!(output.contains("1 passed"), "there is no test called {test}:\n{output}");
    false
}

/// Reads a pipe to its end on a thread, so that a child that writes much is not held up.
fn read(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}
