//! The text of a catalog: one file, or every `*.toml` of a folder in the order of their names.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::mistake::Mistake;

/// More than any catalog needs, so that a wrong path cannot fill the memory.
const LIMIT: u64 = 8 * 1024 * 1024;

/// One file of a catalog.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
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

/// Reads a file, or all files of a folder.
pub(super) fn read(source: &Path) -> Result<Vec<File>, Vec<Mistake>> {
    let meta = fs::metadata(source).map_err(|error| vec![unreadable(source, &error)])?;
    if !meta.is_dir() {
        return read_file(source).map(|file| vec![file]).map_err(|mistake| vec![mistake]);
    }
    let listed = fs::read_dir(source).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<_> = listed
        .map_err(|error| vec![unreadable(source, &error)])?
        .iter()
        .map(fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml") && path.is_file())
        .collect();
    paths.sort();
    if paths.is_empty() {
        let title = format!("the folder {} holds no `*.toml` file", source.display());
        return Err(vec![Mistake::general(title).help("put a catalog into it, or name a file with --catalog")]);
    }
    let mut files = Vec::new();
    let mut mistakes = Vec::new();
    for path in paths {
        match read_file(&path) {
            Ok(file) => files.push(file),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() { Ok(files) } else { Err(mistakes) }
}

fn read_file(path: &Path) -> Result<File, Mistake> {
    let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > LIMIT {
        return Err(Mistake::general(format!("the catalog {} is larger than 8 MiB", path.display())));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(File { path: path.to_owned(), text }),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + String::from_utf8_lossy(valid).matches('\n').count();
            Err(Mistake::general(format!("the catalog {} is not UTF-8 text (line {line})", path.display())))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Mistake {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Mistake::general(format!("the catalog {shown} does not exist"))
            .help("create it, or name another file or folder with --catalog or PROBITY_CATALOG"),
        io::ErrorKind::PermissionDenied => Mistake::general(format!("the catalog {shown} cannot be read: permission denied")),
        _ => Mistake::general(format!("the catalog {shown} cannot be read: {error}")),
    }
}
