//! Real servers in private folders on free ports, and how to make them sick.
//!
//! Each is ready when it has answered in its own protocol; an open port proves nothing. A server is gone when its
//! value is dropped, and with the test process at the latest. Those from `shared()` are for many tests at once:
//! nobody may make them sick.

pub(crate) mod cassandra;
pub(crate) mod clickhouse;
pub(crate) mod consul;
pub(crate) mod kafka;
pub(crate) mod memcached;
pub(crate) mod mongodb;
pub(crate) mod mosquitto;
pub(crate) mod mysql;
pub(crate) mod nats;
pub(crate) mod neo4j;
pub(crate) mod nginx;
pub(crate) mod oracle;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;
pub(crate) mod redis;
pub(crate) mod search;
pub(crate) mod sqlserver;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What the ordinary user of every server is called, where the server has users.
pub(crate) const USER: &str = "probe";

/// That user's password; a test that finds it in any output has found a leak.
pub(crate) const PASSWORD: &str = "probe-secret-pw";

/// Backend, or what some of its states need besides; the programs that its servers need, and the Debian package that has them.
const KNOWN: &[(&str, &[&str], &str)] = &[
    ("clickhouse", &["clickhouse-server"], "clickhouse-server"),
    ("http", &["nginx"], "nginx-light"),
    ("memcached", &["memcached"], "memcached"),
    ("mqtt", &["mosquitto", "mosquitto_passwd"], "mosquitto"),
    ("mysql", &["mariadbd", "mariadb-install-db", "mariadb"], "mariadb-server"),
    ("nats", &["nats-server"], "nats-server"),
    ("oracle", &[], "nothing: it is a stand-in"),
    ("pgbouncer", &["pgbouncer", "postgres", "initdb"], "pgbouncer postgresql-15"),
    ("postgres", &["postgres", "initdb", "pg_basebackup"], "postgresql-15"),
    ("rabbitmq", &["rabbitmqctl", "epmd"], "rabbitmq-server"),
    ("redis", &["redis-server"], "redis-server"),
    ("zookeeper", &["java", "zkServer.sh"], "zookeeper"),
];

/// What Debian does not have, or, as `newest-…`, has only of an older version.
const FARM: &[&str] = &[
    "cassandra",
    "consul",
    "elasticsearch",
    "ferretdb",
    "kafka",
    "mongodb",
    "neo4j",
    "newest-nats",
    "opensearch",
    "opensearch-secure",
    "oracle-clients",
    "sqlserver",
];

/// Why the servers of a backend cannot be started here; `None` when they can.
#[track_caller]
pub(crate) fn missing(backend: &str) -> Option<String> {
    if FARM.contains(&backend) {
        let part = backend.strip_prefix("newest-").unwrap_or(backend);
        return farm(part).is_none().then(|| format!("{backend} was not fetched (make servers)"));
    }
    let known = KNOWN.iter().find(|(name, ..)| *name == backend);
    let Some((_, programs, package)) = known else {
        panic!("there is no server for the backend {backend:?} in the tests");
    };
    let absent = programs.iter().find(|program| find(program).is_none())?;
    Some(format!("{absent} is not installed (Debian: apt-get install {package})"))
}

/// The folder of a server that `make servers` has fetched or built, by the same rule as `tests/farm/build.sh`.
pub(crate) fn farm(part: &str) -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let farm = folder("PROBITY_SERVERS").or_else(|| Some(cache()?.join("probity/servers")))?;
    let built = farm.join(format!("{part}-{}", key(part)?)).canonicalize().ok()?;
    built.join(".built").is_file().then_some(built)
}

/// The beginning of the checksum of the files that a part is built from.
fn key(part: &str) -> Option<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/farm").join(part);
    let mut files: Vec<_> = std::fs::read_dir(sources).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut sum = Sha256::new();
    for file in files {
        sum.update(std::fs::read(file).ok()?);
    }
    let beginning = sum.finalize().first_chunk().copied()?;
    Some(format!("{:016x}", u64::from_be_bytes(beginning)))
}

/// The path of a program; panics, naming it, when it is not installed.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    let Some(path) = find(name) else {
        panic!("{name} is not installed");
    };
    path
}

/// Where a program is, also where an ordinary user's `PATH` does not look.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let hidden = ["/usr/sbin", "/usr/local/sbin", "/usr/share/zookeeper/bin"].map(PathBuf::from);
    // Debian keeps the programs of a Postgres server out of the way: several versions may be installed.
    let folders = postgres_folder().into_iter();
    folders
        .chain(std::env::split_paths(&path))
        .chain(hidden)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The programs of the newest Postgres that Debian has installed.
fn postgres_folder() -> Option<PathBuf> {
    let version = |path: &Path| path.file_name().and_then(OsStr::to_str)?.parse::<u32>().ok();
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest =
        installed.flatten().map(|entry| entry.path()).filter(|path| version(path).is_some()).max_by_key(|path| version(path))?;
    Some(newest.join("bin"))
}
