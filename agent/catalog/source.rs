//! The text of a catalog: one file, standard input, or every `*.toml` of a folder in the order of their names.
//!
//! Every read has a limit in time and size, and only regular files are read: a wrong path must neither hang nor fill the
//! memory.

use std::{
    fs,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use probity_probes::files::{self, Trouble};

use super::mistake::Mistake;

/// More than any catalog needs.
const LIMIT: u64 = 8 * 1024 * 1024;

/// All files of a folder together.
const FOLDER_LIMIT: usize = 32 * 1024 * 1024;

/// A file system that takes longer does not respond.
const PATIENCE: Duration = Duration::from_secs(10);

/// The end of standard input must come within this time.
const STDIN_PATIENCE: Duration = Duration::from_secs(30);

/// The path that stands for standard input.
const STDIN: &str = "-";

/// One file of a catalog.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A catalog before anything in it is understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) files: Vec<File>,
    /// What was left out.
    pub(super) warnings: Vec<String>,
}

/// A stretch of one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// Reads a file, standard input, or all files of a folder.
pub(super) fn read(source: &Path) -> Result<Source, Vec<Mistake>> {
    let path = source.to_owned();
    let (patience, read) = if source == Path::new(STDIN) {
        (STDIN_PATIENCE, files::within(STDIN_PATIENCE, || read_stdin().map_err(|mistake| vec![mistake])))
    } else {
        (PATIENCE, files::within(PATIENCE, move || read_now(&path)))
    };
    read.unwrap_or_else(|_| {
        let title = format!("reading {} did not end within {} s", named(source), patience.as_secs());
        Err(vec![Mistake::general(title)])
    })
}

fn named(source: &Path) -> String {
    if source == Path::new(STDIN) {
        "the catalog from standard input".into()
    } else {
        format!("the catalog {}", source.display())
    }
}

fn read_stdin() -> Result<Source, Mistake> {
    let mut bytes = Vec::new();
    let named = named(Path::new(STDIN));
    let read = io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| Mistake::general(format!("{named} cannot be read: {error}")))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Mistake::general(Trouble::TooLarge(LIMIT).sentence_of("the catalog from standard input")));
    }
    let text = text_of(bytes, &named)?;
    Ok(Source { files: vec![File { path: "standard input".into(), text }], warnings: Vec::new() })
}

fn read_now(source: &Path) -> Result<Source, Vec<Mistake>> {
    let meta = fs::metadata(source).map_err(|error| vec![unreadable(source, &error.into())])?;
    if !meta.is_dir() {
        let file = read_file(source).map_err(|mistake| vec![mistake])?;
        return Ok(Source { files: vec![file], warnings: Vec::new() });
    }
    let listed = fs::read_dir(source).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<_> = listed
        .map_err(|error| vec![unreadable(source, &error.into())])?
        .iter()
        .map(fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    paths.sort();
    let (hidden, paths): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| is_hidden(path));
    let warning = |path: PathBuf| format!("{} is not read: its name starts with a dot", path.display());
    let warnings: Vec<_> = hidden.into_iter().map(warning).collect();
    if paths.is_empty() {
        let title = format!("the folder {} holds no `*.toml` file", source.display());
        return Err(vec![Mistake::general(title).help("put a catalog into it, or name a file with --catalog")]);
    }
    let mut files = Vec::new();
    let mut mistakes = Vec::new();
    let mut size = 0;
    for path in paths {
        match read_file(&path) {
            Ok(file) => {
                size += file.text.len();
                files.push(file);
            }
            Err(mistake) => mistakes.push(mistake),
        }
        if size > FOLDER_LIMIT {
            return Err(vec![Mistake::general(format!("the catalogs in {} are larger than 32 MiB together", source.display()))]);
        }
    }
    if mistakes.is_empty() { Ok(Source { files, warnings }) } else { Err(mistakes) }
}

/// Editors keep copies and locks under such names; a shell's `*.toml` leaves them out, too.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read_file(path: &Path) -> Result<File, Mistake> {
    let bytes = files::read(path, LIMIT).map_err(|trouble| unreadable(path, &trouble))?;
    let text = text_of(bytes.to_vec(), &named(path))?;
    Ok(File { path: path.to_owned(), text })
}

fn text_of(bytes: Vec<u8>, named: &str) -> Result<String, Mistake> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + String::from_utf8_lossy(valid).matches('\n').count();
        Mistake::general(format!("{named} is not UTF-8 text (line {line})"))
    })
}

fn unreadable(path: &Path, trouble: &Trouble) -> Mistake {
    let shown = path.display();
    // A link has something to say that the file behind it has not.
    let link = fs::read_link(path).ok().map(|target| target.display().to_string());
    match (trouble, link) {
        (Trouble::Missing, Some(target)) => {
            Mistake::general(format!("the catalog {shown} is a link to {target}, which does not exist"))
                .help("create the file behind the link, or remove the link")
        }
        (Trouble::Missing, None) => Mistake::general(format!("the catalog {shown} does not exist"))
            .help("create it, or name another file or folder with --catalog or PROBITY_CATALOG"),
        (Trouble::Io(_), Some(_)) if is_loop(path) => {
            Mistake::general(format!("the catalog {shown} is a link that leads back to itself")).help("remove the link")
        }
        (Trouble::NotRegular("FIFO" | "device" | "socket"), _) => {
            Mistake::general(trouble.sentence_of(&format!("the catalog {}", path.display())))
                .help("name a file, or read standard input with `--catalog -`")
        }
        _ => Mistake::general(trouble.sentence_of(&format!("the catalog {}", path.display()))),
    }
}

fn is_loop(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()))
}
