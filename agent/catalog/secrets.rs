//! Secrets in the catalog: by reference, checked when it is loaded, never shown.

use std::{
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use probity_probes::{
    address::nearest,
    files::{self, Trouble},
    plain,
    secret::text_of,
};
use serde_json::{Value, json};
use toml::{
    Spanned,
    de::{DeString, DeValue},
};

use super::{
    expand::NotText,
    known::names_a_secret,
    rules,
    walk::{Twin, Walk},
};

impl Walk<'_> {
    /// One of a table of secrets under names of the catalog's own, such as HTTP headers: what does not
    /// sound like a secret may be typed.
    pub(super) fn secret_of(&mut self, name: &str, item: &Spanned<DeValue<'_>>, schema: &Value, path: &str) -> Option<Twin> {
        let strict = self.allow_literal_secrets;
        self.allow_literal_secrets |= !names_a_secret(name);
        let twin = self.secret(item, schema, path);
        self.allow_literal_secrets = strict;
        twin
    }

    /// `{ file = "PATH" }`, `{ env = "NAME" }`, or a string that was not typed.
    pub(super) fn secret(&mut self, item: &Spanned<DeValue<'_>>, schema: &Value, path: &str) -> Option<Twin> {
        let span = item.span();
        match item.get_ref() {
            DeValue::String(raw) => {
                self.hidden.push(span.clone());
                let expanded = self.expand(raw, span.clone())?;
                if expanded.is_typed(0..expanded.text.len()) && !self.allow_literal_secrets {
                    self.typed_secret(span, path, &format!("`{path}` is typed into the catalog"));
                    return None;
                }
                // A header that holds no secret may be empty.
                let may_be_empty = path.rsplit_once('.').is_some_and(|(_, name)| !names_a_secret(name));
                if (expanded.text.is_empty() && !may_be_empty) || expanded.text.contains('\0') {
                    let how = if expanded.text.is_empty() { "is empty" } else { "contains a NUL byte" };
                    self.mistake(span, format!("`{path}` {how}"));
                    return None;
                }
                self.secrets.push(expanded.text.clone());
                Some(Twin { value: Value::from(expanded.text), shown: json!("[secret]") })
            }
            DeValue::Table(table) => {
                let before = self.mistakes.len();
                let references: Vec<_> = table.iter().filter_map(|(key, item)| self.reference_part(key, item, path)).collect();
                match references.as_slice() {
                    _ if self.mistakes.len() > before => None,
                    [(kind, name, at)] => self.reference(kind, name, at.clone(), path),
                    _ => {
                        self.mistake(span, format!("`{path}` must be {}", rules::expected(schema)));
                        None
                    }
                }
            }
            _ => {
                self.hidden.push(span.clone());
                self.mistake(span, format!("`{path}` must be {}", rules::expected(schema)));
                None
            }
        }
    }

    /// One key of `{ file = "PATH" }` or `{ env = "NAME" }`: the word, its value and where that stands.
    fn reference_part(
        &mut self,
        key: &Spanned<DeString<'_>>,
        item: &Spanned<DeValue<'_>>,
        path: &str,
    ) -> Option<(String, String, Range<usize>)> {
        let name = key.get_ref().as_ref();
        if !matches!(name, "file" | "env") {
            self.hidden.push(item.span());
            let words = ["file", "env"];
            if let Some(near) = plain::near(name, words).and_then(|_| nearest(name, words)).map(str::to_owned) {
                let mistake = self.mistake(key.span(), format!("unknown key `{name}` in `{path}`"));
                mistake.label = format!("did you mean `{near}`?");
            } else {
                // A key that resembles neither may be the secret itself.
                self.hidden.push(key.span());
                self.mistake(key.span(), format!("unknown key in `{path}`")).label = "must be `file` or `env`".into();
            }
            return None;
        }
        let DeValue::String(raw) = item.get_ref() else {
            self.hidden.push(item.span());
            self.mistake(item.span(), format!("`{path}.{name}` must be a text in quotes"));
            return None;
        };
        let expanded = self.expand(raw, item.span())?;
        // The secret itself may have been written in the place of its file or variable.
        let is_like = if name == "env" { plain::is_variable(&expanded.text) } else { plain::is_path(&expanded.text) };
        self.show_if(is_like && expanded.is_typed(0..expanded.text.len()), item.span());
        Some((name.to_owned(), expanded.text, item.span()))
    }

    fn reference(&mut self, kind: &str, name: &str, at: Range<usize>, path: &str) -> Option<Twin> {
        if kind == "env" {
            let how = match (self.environment)(name) {
                Ok(Some(value)) if value.is_empty() => "empty",
                Ok(Some(_)) => return Some(json!({ "env": name }).into()),
                Ok(None) => "not set",
                Err(NotText) => "not UTF-8 text",
            };
            let title = format!("the environment variable{} of `{path}` is {how}", plain::spaced_variable(name));
            let mistake = self.mistake(at, title);
            if !plain::is_variable(name) {
                mistake.help = Some("name a variable here, not the secret: `{ env = \"NAME\" }`".into());
            }
            return None;
        }
        self.file(name, at, path, Use::Secret).then(|| json!({ "file": name }).into())
    }

    /// Whether a file that the catalog names can be used; says so if not.
    pub(super) fn file(&mut self, name: &str, at: Range<usize>, path: &str, what: Use) -> bool {
        let file = PathBuf::from(name);
        let shown = plain::spaced_path(&file);
        self.show_if(!shown.is_empty(), at.clone());
        let patience = self.deadline.saturating_duration_since(Instant::now()).max(LEAST_PATIENCE);
        let look = {
            let file = file.clone();
            move || {
                let bytes = files::read(&file, files::LIMIT)?;
                Ok::<_, Trouble>((is_world_readable(&file), bytes))
            }
        };
        let (readable_by_all, bytes) = match files::within(patience, look).and_then(|look| look) {
            Ok(found) => found,
            Err(trouble) => {
                self.mistake(at, trouble.sentence(what.word(), &file));
                return false;
            }
        };
        if what == Use::Secret
            && let Err(failure) = text_of(&file, &bytes)
        {
            self.mistake(at, failure.message);
            return false;
        }
        if what != Use::Public && readable_by_all {
            let title = format!("the secret file{shown} can be read by every user of this machine");
            if self.strict_secret_files {
                self.mistake(at, title).help = Some(format!("chmod o-r{}", if shown.is_empty() { " FILE" } else { &shown }));
                return false;
            }
            self.warnings.push(format!("`{path}`: {title}"));
        }
        true
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A secret and nothing else.
    Secret,
    /// A private key.
    Key,
    /// Nothing that nobody may know.
    Public,
}

impl Use {
    const fn word(self) -> &'static str {
        match self {
            Self::Secret | Self::Key => "secret file",
            Self::Public => "file",
        }
    }
}

/// A file has this long, also when others have used up the time of all.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

fn is_world_readable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}
