//! The command line from outside: texts, exit codes, what goes where.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    thread,
};

fn probity(arguments: &[&str]) -> Output {
    probity_in(Path::new("/"), arguments)
}

fn probity_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("PROBITY_CATALOG")
        .env_remove("PROBITY_LISTEN")
        .env_remove("PROBITY_LOG")
        .output()
        .expect("the program can be started")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn folder_with(catalog: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("probe-catalog.toml"), catalog).expect("the file can be written");
    folder
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = probity(&["--version"]);
    assert_eq!((code(&version), stdout(&version)), (0, format!("probity {}\n", env!("CARGO_PKG_VERSION"))));
    for arguments in [&["--help"][..], &["-h"], &["health", "--help"], &["validate", "--help"], &["schema", "--help"]] {
        let help = probity(arguments);
        assert_eq!((code(&help), stderr(&help).as_str()), (0, ""), "{arguments:?}");
        let widest = stdout(&help).lines().map(|line| line.chars().count()).max().unwrap_or_default();
        assert!(widest <= 80, "{arguments:?}: {widest} columns");
    }
    assert!(stdout(&probity(&["--help"])).contains("probity --check"));
}

#[test]
fn usage_errors_are_code_2() {
    for (arguments, words) in [
        (&["--chek"][..], "--check"),
        (&["valdate"], "validate"),
        (&["--only", "x"], "--check"),
        (&["--check", "--wait", "5"], "a duration with its unit"),
        (&["--check", "validate"], "exclude each other"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--log-level", "loud", "schema"], "unknown log level `loud`"),
        (&["health", "https://x"], "plain HTTP"),
    ] {
        let output = probity(arguments);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_missing_catalog_is_code_2_for_everyone() {
    for arguments in [&[][..], &["--check"], &["validate"]] {
        let output = probity(arguments);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: the catalog probe-catalog.toml does not exist\n"), "{}", stderr(&output));
    }
}

#[test]
#[cfg(feature = "redis")]
fn validate_says_how_many_and_warns() {
    let folder = folder_with("[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\ncriticality = \"required\"\n");
    let output = probity_in(folder.path(), &["validate"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "probe-catalog.toml: 1 dependency, no mistakes, 1 warning\n"));
    assert!(stderr(&output).starts_with("warning: a: required and shared"), "{}", stderr(&output));

    let folder = folder_with("[dependencies.a]\nbackend = \"redsi\"\nurl = \"redis://a\"\n");
    let output = probity_in(folder.path(), &["validate"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
    assert!(stderr(&output).ends_with("\nprobe-catalog.toml: 1 mistake\n"), "{}", stderr(&output));
}

#[test]
fn schema_prints_json() {
    let output = probity(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((code(&output), schema == probity::catalog::schema::catalog()), (0, true));
}

#[test]
#[cfg(feature = "redis")]
fn a_check_of_what_is_down_is_code_1_and_tells_what_to_do() {
    let port = closed_port();
    let folder = folder_with(&format!(
        "[dependencies.cache]\nbackend = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\ncriticality = \"required\"\n\
         [dependencies.other]\nbackend = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n"
    ));
    let output = probity_in(folder.path(), &["--check"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (1, ""));
    let report = stdout(&output);
    let lines: Vec<_> = report.lines().collect();
    assert!(lines[0].starts_with("name   backend  status     latency  what is wrong"), "{report}");
    assert!(lines[1].starts_with("cache  redis    unhealthy  -        connect_refused: "), "{report}");
    let last = lines.last().copied().unwrap_or_default();
    assert!(last.starts_with("NOT READY · cache: ") && last.ends_with(" · also down (optional): other"), "{report}");
    assert!(report.contains("Check that the server runs"), "{report}");
    assert!(!report.contains('\u{1b}'), "no colours in a pipe: {report:?}");

    let output = probity_in(folder.path(), &["--check", "--format", "json", "--only", "other"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(code(&output), 1, "what is named counts as required");
    assert_eq!((&document["ready"], &document["status"]), (&false.into(), &"unhealthy".into()));
    let other = &document["dependencies"][0];
    assert_eq!((&other["failure"]["kind"], &other["criticality"]), (&"connect_refused".into(), &"required".into()));

    let started = std::time::Instant::now();
    assert_eq!(code(&probity_in(folder.path(), &["--check", "--wait", "0s"])), 1, "no time to wait is no waiting");
    assert_eq!(code(&probity_in(folder.path(), &["--check", "--wait", "1200ms"])), 124);
    assert!((600..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());

    let output = probity_in(folder.path(), &["--check", "--only", "othr"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (2, "error: unknown dependency `othr`; did you mean `other`?\n"));
}

#[test]
#[cfg(feature = "http")]
fn a_check_waits_until_it_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let folder = folder_with(&format!(
        "[dependencies.web]\nbackend = \"http\"\nurl = \"http://{}/\"\ncriticality = \"required\"\nshared = false\n",
        listener.local_addr().expect("an address")
    ));
    let server = thread::spawn(move || {
        for answer in ["HTTP/1.1 500 Not Yet\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"] {
            let (mut stream, _) = listener.accept().expect("the probe comes");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            stream.write_all(answer.as_bytes()).expect("it can be answered");
            let _ = stream.read(&mut request);
        }
    });
    let output = probity_in(folder.path(), &["--check", "--wait", "20s"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).ends_with("ready · 1 of 1 healthy\n"), "{}", stdout(&output));
    server.join().expect("the server did not panic");
}

#[test]
fn health_asks_an_agent() {
    for (answer, expected, words) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"status\":\"healthy\"}", 0, "ready: healthy\n"),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 55\r\n\r\n{\"status\":\"unhealthy\",\"reason\":\"db is unhealthy: gone\"}",
            1,
            "not ready: db is unhealthy: gone\n",
        ),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1, "not ready: the answer was 404 Not Found\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("probity comes");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).expect("it asks");
            stream.write_all(answer.as_bytes()).expect("it can be answered");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let output = probity(&["health", &address]);
        assert_eq!((code(&output), stdout(&output).as_str()), (expected, words), "{}", stderr(&output));
        assert!(server.join().expect("the server did not panic").starts_with("GET /health HTTP/1.1\r\n"));
    }
}

#[test]
fn health_without_an_agent_is_code_1() {
    let address = format!("127.0.0.1:{}", closed_port());
    let output = probity(&["health", &address]);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    assert_eq!(stderr(&output), format!("error: no agent answers on {address}: the connection was refused\n"));

    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let output = probity(&["health", &address, "--timeout", "200ms"]);
    assert_eq!((code(&output), stderr(&output)), (1, format!("error: http://{address}/health did not answer within 200ms\n")));
}
