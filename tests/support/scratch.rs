//! Private folders and free ports.
//!
//! Folders of one test process share a root that a file lock marks as in use. Values in statics are never dropped,
//! and a killed process drops nothing; so the next process removes the roots whose lock nobody holds any more.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "probity-tests-";

/// Below Linux' usual ephemeral range: no outgoing connection can take a port between its choice and its use.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

/// Nobody listens here.
const RESERVING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 254);

/// A new, empty folder that only this user can read; gone when the value is dropped.
pub(crate) fn scratch() -> TempDir {
    static ROOT: LazyLock<Root> = LazyLock::new(Root::claim);
    TempDir::new_in(&ROOT.folder).expect("a folder can be made in the scratch root")
}

/// A TCP and UDP port of 127.0.0.1 that nobody uses.
///
/// The same UDP port of another loopback address is kept bound for the life of the process: that reserves the number
/// against test processes that run beside this one, while a server can bind it, leave it and bind it again.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..)));
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    for _ in 0..PORTS {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let Ok(reservation) = UdpSocket::bind((RESERVING, port)) else {
            continue;
        };
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
            reserved.push(reservation);
            return port;
        }
    }
    panic!("no free port of 127.0.0.1 from {FIRST_PORT} on");
}

/// The folder that holds the folders of this process, and the lock that says that it is alive.
struct Root {
    folder: PathBuf,
    _lock: File,
}

impl Root {
    fn claim() -> Self {
        let base = std::env::temp_dir();
        sweep(&base);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            // A server that runs as another user must be able to pass through to its own folder.
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(base)
            .expect("a folder can be made in the system's temporary folder")
            .keep();
        let lock = File::create(folder.join("lock")).expect("a lock file can be made");
        lock.lock().expect("a new lock file can be locked");
        Self { folder, _lock: lock }
    }
}

/// Removes what killed test processes left; what cannot be removed belongs to somebody else.
fn sweep(base: &Path) {
    /// Younger ones may be about to be locked.
    const YOUNG: Duration = Duration::from_secs(10);
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join("lock")) else {
            continue;
        };
        let age = lock.metadata().and_then(|found| found.modified());
        let is_old = age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG));
        if is_old && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
