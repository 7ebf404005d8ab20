//! The cluster that every Postgres of the tests is a copy of, and the user it belongs to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::super::super::process::Launch;
use super::super::super::scratch;
use super::super::{PASSWORD, USER, program};
use super::{DATABASE, SUPERUSER, SUPERUSER_PASSWORD};

/// An initialized cluster with [`USER`] and [`DATABASE`], to be copied.
pub(super) static TEMPLATE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = owned_folder();
    let data = folder.path().join("data");
    let password = folder.path().join("password");
    write(&password, SUPERUSER_PASSWORD);
    postgres("initdb", folder.path())
        .arg("-D")
        .arg(&data)
        .arg(format!("--pwfile={}", password.display()))
        // Small segments make small copies.
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-N", "--wal-segsize=1"])
        .args(["--locale=C", "--encoding=UTF8"])
        .run();
    let conf = data.join("postgresql.conf");
    let mut lines = fs::read_to_string(&conf).expect("initdb writes postgresql.conf");
    lines += "\n# Of the tests\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
              ssl = on\nssl_ca_file = 'ca.crt'\nfsync = off\nmax_connections = 20\nshared_buffers = 16MB\n\
              min_wal_size = 2MB\n";
    write(&conf, &lines);
    let sql = folder.path().join("sql");
    let role = format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}';\n");
    let database = format!("CREATE DATABASE {DATABASE} OWNER {USER};\n");
    write(&sql, &(role + &database));
    postgres("postgres", folder.path()).args(["--single", "-D"]).arg(&data).arg(SUPERUSER).stdin(sql).run();
    folder
});

/// A private folder that the user Postgres runs as owns.
pub(super) fn owned_folder() -> TempDir {
    let folder = scratch();
    own(folder.path());
    folder
}

/// Writes a file that only the user Postgres runs as can read, as it demands of its key.
pub(super) fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file of Postgres can be written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("its mode can be set");
    own(path);
}

pub(super) fn copy(from: &Path, to: &Path) {
    let log = to.with_extension("log");
    Launch::new(program("cp"), log).arg("-a").arg(from).arg(to).run();
}

/// A program of Postgres, run as the user that may.
pub(super) fn postgres(name: &str, folder: &Path) -> Launch {
    let launch = Launch::new(program(name), folder.join(format!("{name}.log"))).env("LC_ALL", "C");
    match &*OTHER_USER {
        Some(user) => launch.user(user.name.as_str()),
        None => launch,
    }
}

fn own(path: &Path) {
    if let Some(user) = &*OTHER_USER {
        chown(path, Some(user.uid), Some(user.gid)).expect("root can give a file away");
    }
}

/// Whom root starts Postgres as; `None` for an ordinary user, who starts it as himself.
static OTHER_USER: LazyLock<Option<User>> = LazyLock::new(|| {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let named = |name: &str| users.lines().find_map(|line| User::parse(line, name));
    let user = named("postgres").or_else(|| named("nobody"));
    Some(user.expect("there is a user postgres or nobody"))
});

#[derive(Debug)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl User {
    /// The user of a line of `/etc/passwd`, if it has that name.
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        found.then(|| Self { name: name.to_owned(), uid, gid })
    }
}
