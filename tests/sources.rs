//! What is read as a catalog and for it: files, folders, standard input, variables. Nothing hangs, and nothing is left
//! out silently.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    os::unix::{ffi::OsStringExt, fs::symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, process::Launch, scratch};

const ENTRY: &str = "[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://a\"\ncriticality = \"required\"\nshared = false\n";

fn probity(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probity"));
    command.args(arguments).current_dir(folder).env_remove("PROBITY_CATALOG").env_remove("PROBITY_LISTEN");
    command.env_remove("PROBITY_LOG").stdin(Stdio::null());
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
}

fn validate(folder: &Path, catalog: &str) -> (Option<i32>, String) {
    said(&probity(folder, &["validate", "--catalog", catalog]).output().expect("it can be started"))
}

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo can be started");
    assert!(made.success(), "{}", path.display());
}

#[test]
fn what_is_no_regular_file_is_no_catalog_and_stops_nobody() {
    let folder = scratch();
    fifo(&folder.path().join("fifo.toml"));
    for command in [&["validate"][..], &["--check"], &[]] {
        for (catalog, kind) in [("fifo.toml", "FIFO"), ("/dev/zero", "device")] {
            let begun = Instant::now();
            let arguments = [command, &["--catalog", catalog]].concat();
            let output = probity(folder.path(), &arguments).output().expect("it can be started");
            let sentence = format!(
                "error: the catalog {catalog} is not a regular file: it is a {kind}\n |\n = help: name a file, or read \
                 standard input with `--catalog -`\n\n{catalog}: 1 mistake"
            );
            assert_eq!(said(&output), (Some(2), sentence), "{arguments:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", begun.elapsed());
        }
    }
}

#[test]
#[cfg(feature = "redis")]
fn standard_input_is_a_catalog_within_limits() {
    let given = |text: &[u8]| {
        let mut child = probity(Path::new("/"), &["validate", "--catalog", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        // It stops reading at its limit.
        let _ = child.stdin.take().expect("it is piped").write_all(text);
        let output = child.wait_with_output().expect("it ends");
        (said(&output), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(given(ENTRY.as_bytes()), ((Some(0), String::new()), "-: 1 dependency, no mistakes\n".to_owned()));
    let ((code, told), _) = given(b"[dependencies.a]\nbackend = \"redsi\"\n");
    assert!(code == Some(2) && told.contains("--> standard input:2:11"), "{told}");
    let ((code, told), _) = given(&vec![b'#'; 9 * 1024 * 1024]);
    assert_eq!((code, told.lines().next()), (Some(2), Some("error: the catalog from standard input is larger than 8 MiB")));
    let ((code, told), _) = given(b"a = 1\n\xff");
    assert_eq!((code, told.lines().next()), (Some(2), Some("error: the catalog from standard input is not UTF-8 text (line 2)")));
}

#[test]
#[cfg(feature = "redis")]
fn nothing_that_is_called_toml_is_left_out_of_a_folder_silently() {
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let folder = scratch();
    let within = |name: &str, make: &dyn Fn(&Path)| {
        let catalogs = folder.path().join(name);
        fs::create_dir(&catalogs).expect("a private folder");
        fs::write(catalogs.join("a.toml"), ENTRY).expect("a private folder");
        make(&catalogs);
        let (code, told) = validate(folder.path(), name);
        (code, told.lines().next().unwrap_or_default().to_owned())
    };
    let cases: [Case<'_>; 5] = [
        (
            "dangling",
            &|path: &Path| symlink("nowhere.toml", path.join("b.toml")).expect("a link"),
            "error: the catalog dangling/b.toml is a link to nowhere.toml, which does not exist",
        ),
        (
            "loop",
            &|path: &Path| symlink("b.toml", path.join("b.toml")).expect("a link"),
            "error: the catalog loop/b.toml is a link that leads back to itself",
        ),
        (
            "nested",
            &|path: &Path| fs::create_dir(path.join("b.toml")).expect("a folder"),
            "error: the catalog nested/b.toml is not a regular file: it is a folder",
        ),
        ("fifo", &|path: &Path| fifo(&path.join("b.toml")), "error: the catalog fifo/b.toml is not a regular file: it is a FIFO"),
        (
            "bytes",
            &|path: &Path| fs::write(path.join("b.toml"), b"\xff").expect("a file"),
            "error: the catalog bytes/b.toml is not UTF-8 text (line 1)",
        ),
    ];
    for (name, make, sentence) in cases {
        assert_eq!(within(name, make), (Some(2), sentence.to_owned()));
    }
    let linked = within("linked", &|path| symlink("../dangling/a.toml", path.join("a2.toml")).expect("a link"));
    assert_eq!(linked, (Some(2), "error: `a` is defined twice".to_owned()), "a link to a file is read");
    let hidden = within("hidden", &|path| fs::write(path.join(".#b.toml"), "no catalog").expect("a file"));
    assert_eq!(hidden, (Some(0), "warning: hidden/.#b.toml is not read: its name starts with a dot".to_owned()));
}

#[test]
#[cfg(feature = "redis")]
fn what_cannot_be_a_secret_is_a_mistake() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    fifo(&path("fifo"));
    fs::create_dir(path("folder")).expect("a private folder");
    symlink("nowhere", path("dangling")).expect("a link");
    let large = vec![b'x'; 64 * 1024 + 1];
    for (name, bytes) in [("empty", &b""[..]), ("line", b"\n"), ("nul", b"a\0b"), ("bytes", b"\xff\xfe"), ("large", &large)] {
        fs::write(path(name), bytes).expect("a private folder");
    }
    fs::write(path("right"), [&large[1..], b""].concat()).expect("a private folder");
    for (name, sentence) in [
        ("fifo", "is not a regular file: it is a FIFO"),
        ("folder", "is not a regular file: it is a folder"),
        ("dangling", "cannot be read: it does not exist"),
        ("empty", "is empty"),
        ("line", "is empty"),
        ("nul", "contains a NUL byte"),
        ("bytes", "is not UTF-8 text"),
        ("large", "is larger than 64 KiB"),
    ] {
        fs::write(path("c.toml"), format!("{ENTRY}password = {{ file = \"./{name}\" }}\n")).expect("a private folder");
        let (code, told) = validate(folder.path(), "c.toml");
        let expected = format!("error: the secret file ./{name} {sentence}");
        assert_eq!((code, told.lines().next()), (Some(2), Some(&*expected)));
        if !matches!(name, "line" | "nul" | "bytes" | "empty") {
            let entry = ENTRY.replace("redis://", "rediss://");
            fs::write(path("c.toml"), format!("{entry}tls = {{ ca = \"./{name}\" }}\n")).expect("a private folder");
            let (code, told) = validate(folder.path(), "c.toml");
            let expected = format!("error: the file ./{name} {sentence}");
            assert_eq!((code, told.lines().next()), (Some(2), Some(&*expected)));
        }
    }
    fs::write(path("c.toml"), format!("{ENTRY}password = {{ file = \"right\" }}\n")).expect("a private folder");
    assert_eq!(validate(folder.path(), "c.toml").0, Some(0), "64 KiB are allowed");
}

#[test]
#[cfg(feature = "redis")]
fn a_variable_that_is_no_text_takes_no_default() {
    let folder = scratch();
    let with = |keys: &str, value: &[u8]| {
        fs::write(folder.path().join("c.toml"), format!("[dependencies.a]\nbackend = \"redis\"\n{keys}\n")).expect("a file");
        let mut command = probity(folder.path(), &["validate", "--catalog", "c.toml"]);
        let output = command.env("PLACE", OsString::from_vec(value.to_vec())).output().expect("it can be started");
        let (code, told) = said(&output);
        (code, told.lines().next().unwrap_or_default().to_owned())
    };
    let not_text = |of: &str| (Some(2), format!("error: the environment variable PLACE{of} is not UTF-8 text"));
    assert_eq!(with("url = \"redis://cache\"\npassword = { env = \"PLACE\" }", b"caf\xe9"), not_text(" of `password`"));
    for keys in [
        "url = \"redis://${PLACE:-cache}\"",
        "url = \"redis://${PLACE}\"",
        "url = \"redis://${NONE:-${PLACE:-cache}}\"",
        "url = \"redis://cache\"\npassword = \"${PLACE}\"",
    ] {
        assert_eq!(with(keys, b"caf\xe9"), not_text(""), "{keys}");
    }
    assert_eq!(with("url = \"redis://${NONE:-${PLACE:-cache}}\"", b"").0, Some(0));
    let empty = with("url = \"redis://cache\"\npassword = { env = \"PLACE\" }", b"");
    assert_eq!(empty, (Some(2), "error: the environment variable PLACE of `password` is empty".to_owned()));
    let empty = with("url = \"redis://cache\"\npassword = \"${PLACE}\"", b"");
    assert_eq!(empty, (Some(2), "error: `password` is empty".to_owned()));
}

/// Four times as many must not take sixteen times as long.
#[test]
#[cfg(feature = "redis")]
fn many_mistakes_take_no_longer_each() {
    let folder = scratch();
    let repeated = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let unknown = |count| format!("{ENTRY}{}", repeated(count, &|n| format!("key{n} = {n}\n")));
    let twice = |count| format!("{}{ENTRY}", repeated(count / 2, &|n| format!("[dependencies.b]\nkey{n} = 1\nkey{n} = 2\n")));
    let broken = |count| format!("{ENTRY}{}", repeated(count, &|n| format!("key{n} = = {n}\n")));
    let wrong = |count| repeated(count, &|n| format!("[dependencies.a{n}]\nbackend = \"redis\"\nurl = 7\n"));
    let kinds: [(&str, &dyn Fn(usize) -> String); 4] =
        [("unknown", &unknown), ("twice", &twice), ("broken", &broken), ("wrong", &wrong)];
    for (kind, catalog) in kinds {
        let time = |count: usize| {
            fs::write(folder.path().join("c.toml"), catalog(count)).expect("a private folder");
            let begun = Instant::now();
            let (code, told) = validate(folder.path(), "c.toml");
            let expected = format!("c.toml: {count} mistakes, the first 50 are shown");
            assert_eq!((code, told.lines().last()), (Some(2), Some(&*expected)), "{kind}");
            assert_eq!(told.lines().filter(|line| line.starts_with("error")).count(), 50, "{kind}");
            begun.elapsed()
        };
        let (some, many) = (time(2_500), time(10_000));
        eprintln!("{kind}: 2500 in {some:?}, 10000 in {many:?}");
        assert!(many < 9 * some + Duration::from_secs(2), "{kind}: 2500 in {some:?}, 10000 in {many:?}");
    }
}

/// A user of its own, whose processes nobody else starts.
const NOBODY: &str = "61234";

#[test]
fn too_few_threads_are_said() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can start a process as another user");
        return;
    }
    let folder = scratch();
    let catalog = folder.path().join("c.toml");
    fs::write(&catalog, "[dependencies.a]\nbackend = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n").expect("a private folder");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_probity"));
    for (arguments, expected) in [(&["--listen", "127.0.0.1:0"][..], Some(1)), (&["--check"], Some(1)), (&["validate"], Some(0))]
    {
        let log = folder.path().join(format!("log{}", arguments.len()));
        // The folder of the program may be closed to that user: it is opened before.
        let script = "exec 9<\"$1\" 8<\"$2\"; shift 2; exec prlimit --nproc=2:2 setpriv --reuid $0 --regid $0 --clear-groups \
                      /proc/self/fd/9 --catalog - \"$@\" <&8";
        let process = Launch::new("sh", &log)
            .args(["-c", script, NOBODY])
            .arg(&binary)
            .arg(&catalog)
            .args(arguments.iter().copied())
            .env_remove("PROBITY_CATALOG")
            .start();
        let status = process.wait_exit(PATIENCE);
        assert_eq!(status.and_then(|status| status.code()), expected, "{arguments:?}: {}", process.log());
        let sentence = "cannot start the threads for probes: Resource temporarily unavailable (os error 11); raise the limits of \
                        this process (`ulimit";
        assert!(expected == Some(0) || process.log().contains(sentence), "{arguments:?}: {}", process.log());
    }
}
