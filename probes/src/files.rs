//! Files that probes are configured by: secrets, certificates, resolv.conf.
//!
//! A file is read on a thread that may block, never on one that runs probes: an open on a dead network mount does not
//! return. The caller waits until its deadline. A path has at most one thread that reads it, so that a dead mount costs
//! one thread per path, not one per run. Only regular files are read, up to a limit.
//!
//! Whether a file has changed is found by one background thread that calls `stat` twice a second ([`watch`]). A run
//! only compares the result in memory.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::plain::spaced_path;

/// Largest secret, certificate or key file, in bytes.
pub const LIMIT: u64 = 64 * 1024;

/// The background thread looks at every file this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A look at all files may take this long. After that the rest is left to another thread.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// Reads that runs wait for at the same time. A thousand runs that start together queue here instead of starting a
/// thousand threads.
static SEATS: Semaphore = Semaphore::const_new(16);

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such file.
    Missing,
    /// The permissions do not allow it.
    Denied,
    /// A folder, a FIFO, a device or a socket.
    NotRegular(&'static str),
    /// It has more bytes than this.
    TooLarge(u64),
    /// The read did not end before the deadline.
    Late,
    /// Anything else that the operating system reports.
    Io(String),
}

impl Trouble {
    /// The sentence about a file that the catalog names: `the secret file /run/db is not a regular file: it is a FIFO`.
    #[must_use]
    pub fn sentence(&self, what: &str, path: &Path) -> String {
        self.sentence_of(&format!("the {what}{}", spaced_path(path)))
    }

    /// The same about a file that goes by any name: `the catalog c.toml cannot be read: it does not exist`.
    #[must_use]
    pub fn sentence_of(&self, file: &str) -> String {
        match self {
            Self::Missing => format!("{file} cannot be read: it does not exist"),
            Self::Denied => format!("{file} cannot be read: permission denied"),
            Self::NotRegular(kind) => format!("{file} is not a regular file: it is a {kind}"),
            Self::TooLarge(limit) => format!("{file} is larger than {}", Size(*limit)),
            Self::Late => format!("reading {file} did not end in time"),
            Self::Io(error) => format!("{file} cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// A limit in the unit that it was written in.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1024 * 1024) {
            write!(f, "{} MiB", self.0 / (1024 * 1024))
        } else {
            write!(f, "{} KiB", self.0 / 1024)
        }
    }
}

/// What tells one state of a file from another, also when a tool has kept size and modification time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nobody has seen it yet.
    Unknown,
    /// It cannot be looked at.
    Absent,
    /// Device, inode, size, modification time and change time, both in nanoseconds.
    Seen([u64; 3], [i128; 2]),
}

impl Look {
    fn at(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Absent, |meta| Self::of(&meta))
    }

    fn of(meta: &fs::Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self::Seen(
            [meta.dev(), meta.ino(), meta.len()],
            [nanos(meta.mtime(), meta.mtime_nsec()), nanos(meta.ctime(), meta.ctime_nsec())],
        )
    }
}

/// Reads a file on the calling thread, which may block: on a dead network mount, not on a FIFO.
///
/// # Errors
/// What is no regular file is not read, and of what is larger than `limit` nothing is returned.
pub fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    read_open(&open(path)?, limit)
}

/// To open a device may already have an effect, so its type is looked at first, and again once it is open.
fn open(path: &Path) -> Result<File, Trouble> {
    regular(&fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn read_open(mut file: &File, limit: u64) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let size = file.metadata()?.len();
    if size > limit {
        return Err(Trouble::TooLarge(limit));
    }
    // Room for all of it: a buffer that grows leaves copies behind.
    let room = usize::try_from(size.min(limit) + 1).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    // Files in /proc and /sys have no size.
    (&mut file).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(Trouble::TooLarge(limit)) } else { Ok(bytes) }
}

fn regular(meta: &fs::Metadata) -> Result<(), Trouble> {
    let kind = meta.file_type();
    let word = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "folder",
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () => "device",
    };
    Err(Trouble::NotRegular(word))
}

/// Does work that may block on a thread of its own, which is left behind when time is up. Without a thread to be had, it
/// is done here.
///
/// # Errors
/// [`Trouble::Late`].
pub fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    let (tell, told) = mpsc::channel();
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let there = Arc::clone(&work);
    let started = thread::Builder::new().name("files".into()).spawn(move || {
        if let Some(work) = take(&there) {
            // The receiver is gone when time is up.
            let _ = tell.send(work());
        }
    });
    match started {
        Ok(_) => told.recv_timeout(patience).map_err(|_| Trouble::Late),
        Err(_) => take(&work).map(|work| work()).ok_or(Trouble::Late),
    }
}

/// Work under way, by what it is done on: others that want the same meanwhile wait for it too.
pub(crate) struct Shared<T>(Mutex<Option<Underway<T>>>);

type Underway<T> = HashMap<PathBuf, watch::Receiver<Option<T>>>;

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn underway(&self) -> MutexGuard<'_, Option<Underway<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result of the work, or [`Trouble::Late`] at the deadline. The work itself goes on after that.
    pub(crate) async fn get(
        &'static self,
        path: &Path,
        deadline: tokio::time::Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        let waited = tokio::time::timeout_at(deadline, async {
            // Of those that wait for the same, one needs a seat.
            let known = self.underway().as_ref().and_then(|underway| underway.get(path).cloned());
            let (_seat, mut told) = if let Some(told) = known {
                (None, told)
            } else {
                let seat = SEATS.acquire().await.ok();
                (seat, self.start(path, work))
            };
            told.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
        });
        // Without a result its runtime has ended meanwhile, and this run with it.
        waited.await.ok().flatten().ok_or(Trouble::Late)
    }

    fn start(&'static self, path: &Path, work: impl FnOnce() -> T + Send + 'static) -> watch::Receiver<Option<T>> {
        let (tell, told) = watch::channel(None);
        {
            let mut underway = self.underway();
            let underway = underway.get_or_insert_default();
            if let Some(told) = underway.get(path) {
                return told.clone();
            }
            underway.insert(path.to_owned(), told.clone());
        }
        let ended = Ended(self, path.to_owned());
        // Tokio's own threads for this are used again, and a paused clock stands still meanwhile.
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(ended);
            tell.send_replace(Some(result));
        });
        told
    }
}

/// Forgets work that has ended, or never began because its runtime did.
struct Ended<T: 'static>(&'static Shared<T>, PathBuf);

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        if let Some(underway) = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            underway.remove(&self.1);
        }
    }
}

type Content = Result<Arc<Zeroizing<Vec<u8>>>, Trouble>;

static READS: Shared<(Look, Content)> = Shared::new();

/// Reads a file for a run, and tells how it looked when it was opened.
pub(crate) async fn read_by(deadline: tokio::time::Instant, path: &Path, limit: u64) -> (Stamp, Content) {
    let file = watch(path);
    let (watched, own) = (Arc::clone(&file), path.to_owned());
    let work = move || {
        let began = Instant::now();
        let opened = open(&own);
        let look = match &opened {
            Ok(file) => file.metadata().map_or(Look::Absent, |meta| Look::of(&meta)),
            Err(_) => Look::at(&own),
        };
        watched.note(began, look.clone());
        (look, opened.and_then(|file| read_open(&file, limit)).map(Arc::new))
    };
    match READS.get(path, deadline, work).await {
        Ok((look, content)) => (Stamp { file, look }, content),
        Err(trouble) => (Stamp { look: file.latest(), file }, Err(trouble)),
    }
}

/// A file that was read, and how it looked then.
#[derive(Clone)]
pub(crate) struct Stamp {
    file: Arc<Watched>,
    look: Look,
}

impl Stamp {
    /// Whether the file looks different now, or did at most half a second ago.
    pub(crate) fn changed(&self) -> bool {
        self.file.latest.borrow().1 != self.look
    }

    /// Completes when it does.
    pub(crate) async fn change(&self) {
        let mut latest = self.file.latest.subscribe();
        // The sender lives as long as this stamp.
        let _ = latest.wait_for(|latest| latest.1 != self.look).await;
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stamp").field(&self.file.path).field(&self.look).finish()
    }
}

/// A file that is looked at as long as somebody holds this.
pub(crate) struct Watched {
    path: PathBuf,
    /// When the latest look began, and what it saw.
    latest: watch::Sender<(Instant, Look)>,
    /// Held by the thread that looks at it, which may hang over it.
    busy: Mutex<()>,
}

impl Watched {
    fn latest(&self) -> Look {
        self.latest.borrow().1.clone()
    }

    /// A look that began before the latest one says nothing new.
    fn note(&self, began: Instant, look: Look) {
        self.latest.send_if_modified(|latest| {
            if began < latest.0 {
                return false;
            }
            latest.0 = began;
            let is_news = latest.1 != look;
            latest.1 = look;
            is_news
        });
    }

    fn look(&self) {
        let began = Instant::now();
        self.note(began, Look::at(&self.path));
    }
}

struct Watches {
    files: Option<HashMap<PathBuf, Weak<Watched>>>,
    /// Whether the background thread runs.
    watcher: bool,
}

static WATCHES: Mutex<Watches> = Mutex::new(Watches { files: None, watcher: false });

fn watches() -> MutexGuard<'static, Watches> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a file looked at twice a second.
fn watch(path: &Path) -> Arc<Watched> {
    let mut watches = watches();
    let files = watches.files.get_or_insert_default();
    if let Some(file) = files.get(path).and_then(Weak::upgrade) {
        return file;
    }
    let latest = watch::Sender::new((Instant::now(), Look::Unknown));
    let file = Arc::new(Watched { path: path.to_owned(), latest, busy: Mutex::default() });
    files.insert(path.to_owned(), Arc::downgrade(&file));
    if !watches.watcher {
        // Without a thread the next file tries again; until then a change is noticed by the next fresh session.
        watches.watcher = thread::Builder::new().name("files".into()).spawn(keep_looking).is_ok();
    }
    file
}

/// Looks until no file is left to look at.
fn keep_looking() {
    loop {
        thread::sleep(LOOK_EVERY);
        let files = {
            let mut watches = watches();
            let files = live(&mut watches);
            if files.is_empty() {
                watches.watcher = false;
                return;
            }
            files
        };
        look_at(files);
    }
}

fn live(watches: &mut Watches) -> Vec<Arc<Watched>> {
    let files = watches.files.get_or_insert_default();
    files.retain(|_, file| file.strong_count() > 0);
    files.values().filter_map(Weak::upgrade).collect()
}

/// One look at each, on another thread: one that hangs over a file is left there, and comes back when the file does.
fn look_at(files: Vec<Arc<Watched>>) {
    let left = Arc::new(AtomicBool::new(false));
    let given_up = Arc::clone(&left);
    let work = move || {
        for file in files {
            if given_up.load(Relaxed) {
                return;
            }
            // One that another thread hangs over is left to that.
            if let Ok(_busy) = file.busy.try_lock() {
                file.look();
            }
        }
    };
    if within(LOOK_PATIENCE, work).is_err() {
        left.store(true, Relaxed);
    }
}

/// Looks at every file now: for tests that change one and do not wait.
#[cfg(feature = "testing")]
pub(crate) fn look_now() {
    for file in live(&mut watches()) {
        let _busy = file.busy.lock().unwrap_or_else(PoisonError::into_inner);
        file.look();
    }
}
