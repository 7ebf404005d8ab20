//! House rules that no compiler knows. Each failure says which file to put right, and how.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, without the tests at its end, and without the manual of a backend, which is a table for people.
const LONGEST: usize = 600;

/// What is not ours.
const SKIPPED: &[&str] = &["target", ".git"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder, by their path from the root.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // In a worktree `.git` is a file.
            if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).expect("it is below the root").to_owned());
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is nothing in {below}");
    found
}

fn sources(below: &str) -> impl Iterator<Item = PathBuf> {
    files(below).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// A source file up to its tests.
fn code(path: &Path) -> String {
    let whole = text(path);
    whole.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

fn is_for_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem == "testing")
}

/// The mistakes of all files in one go.
#[track_caller]
fn none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

fn backends() -> Vec<String> {
    let names = sources("probes/src/backends").map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

#[test]
fn a_backend_is_named_wherever_it_must_be() {
    let table = text("probes/src/backends/mod.rs");
    let [probes, agent] = ["probes/Cargo.toml", "Cargo.toml"].map(|manifest| {
        let manifest: toml::Table = toml::from_str(&text(manifest)).expect("a manifest is TOML");
        manifest["features"].clone()
    });
    let listed = |features: &toml::Value, set: &str, name: &str| {
        let set = features.get(set).and_then(toml::Value::as_array);
        set.is_some_and(|set| set.iter().any(|feature| feature.as_str() == Some(name)))
    };
    // Whose client libraries are large.
    let is_heavy = |name: &str| ["cassandra", "kafka", "mongodb", "oracle"].contains(&name);
    let catalog: toml::Table = toml::from_str(&text("probe-catalog.toml")).expect("the sample catalog is TOML");
    let entries = catalog["dependencies"].as_table().expect("it has dependencies");
    let mut mistakes = Vec::new();
    for name in backends() {
        let forwarded = agent.get(&name).and_then(toml::Value::as_array);
        let forwards = forwarded.is_some_and(|to| to.iter().any(|to| to.as_str() == Some(&format!("probity-probes/{name}"))));
        for (is_there, what) in [
            (
                table.contains(&format!("#[cfg(feature = \"{name}\")]\npub mod {name};")),
                "its module in probes/src/backends/mod.rs",
            ),
            (table.contains(&format!("row!(\"{name}\", {name}::")), "its row in probes/src/backends/mod.rs"),
            (probes.get(&name).is_some(), "its feature in probes/Cargo.toml"),
            (listed(&probes, "all", &name), "its feature among `all` in probes/Cargo.toml"),
            (forwards, "its feature, forwarded, in Cargo.toml"),
            (listed(&agent, "all", &name), "its feature among `all` in Cargo.toml"),
            (
                listed(&agent, "light", &name) != is_heavy(&name),
                "its feature among `light` in Cargo.toml, or its place among the heavy ones",
            ),
            (
                entries.values().any(|entry| entry.get("backend").and_then(toml::Value::as_str) == Some(&name)),
                "its entry in probe-catalog.toml",
            ),
            (root().join(format!("docs/reference/backends/{name}.md")).exists(), "its page docs/reference/backends/"),
        ] {
            if !is_there {
                mistakes.push(format!("probes/src/backends/{name}.rs lacks {what}"));
            }
        }
    }
    none(&mistakes);
}

#[test]
fn a_backend_names_no_other() {
    let names = backends();
    let mut mistakes = Vec::new();
    for own in &names {
        let code = code(Path::new(&format!("probes/src/backends/{own}.rs")));
        for other in names.iter().filter(|other| *other != own) {
            for path in ["backends", "super"].map(|module| format!("{module}::{other}")) {
                if code.contains(&path) {
                    mistakes.push(format!("probes/src/backends/{own}.rs names {path}: what both need belongs into wire/"));
                }
            }
        }
    }
    none(&mistakes);
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let mut mistakes = Vec::new();
    for path in sources("probes/src").chain(sources("agent")).filter(|path| !is_for_tests(path)) {
        for (number, line) in code(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if [".unwrap()", ".expect(\""].iter().any(|call| code.contains(call)) {
                mistakes.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    none(&mistakes);
}

#[test]
fn files_open_with_what_they_are_for_and_end_in_time() {
    let mut mistakes = Vec::new();
    for folder in ["probes", "agent", "tests", "benches"] {
        for path in sources(folder) {
            if !text(&path).starts_with("//!") {
                mistakes.push(format!("{} does not open with `//!`", path.display()));
            }
            let lines = code(&path).split("\nstatic MANUAL: Manual").next().unwrap_or_default().lines().count();
            if lines > LONGEST {
                mistakes.push(format!("{} has {lines} lines of code; {LONGEST} is the most", path.display()));
            }
        }
    }
    none(&mistakes);
}

/// What works on one machine only, or would make a build depend on who is asked.
#[test]
fn nothing_depends_on_a_machine_or_a_registry() {
    let folders = ["work", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    let hosts = ["index.crates", "static.crates", "proxy.golang", "registry.npmjs", "pypi.python", "files.pythonhosted"];
    let mut mistakes = Vec::new();
    for path in files(".") {
        // Not text, then.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let found = folders.iter().map(String::as_str).chain(hosts).find(|word| line.contains(word));
            if let Some(word) = found.filter(|_| !path.ends_with("tests/tidy.rs")) {
                mistakes.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    let lock = text("Cargo.lock");
    let strange = lock.lines().filter(|line| line.starts_with("source = ") && !line.contains("rust-lang/crates.io-index"));
    mistakes.extend(strange.map(|line| format!("Cargo.lock: {line}")));
    none(&mistakes);
}
