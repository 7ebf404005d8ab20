//! What is wrong with a catalog: each mistake with its place, all of them in one go.
//!
//! The lines that are shown have gone through [`super::mask`]; nothing here ever sees a typed secret.

use std::{fmt, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::Place;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Where; nowhere when the file itself is the trouble.
    pub(super) place: Option<Place>,
    /// The sentence.
    pub(super) title: String,
    /// Beside the caret.
    pub(super) label: String,
    /// Below the line.
    pub(super) help: Option<String>,
    /// A second place that has to do with it, and why.
    pub(super) other: Option<Box<(Place, String)>>,
}

impl Mistake {
    /// At a place.
    pub(super) fn at(place: Place, title: impl Into<String>) -> Self {
        Self { place: Some(place), title: title.into(), label: String::new(), help: None, other: None }
    }

    /// Of the file as a whole.
    pub(super) fn general(title: impl Into<String>) -> Self {
        Self { place: None, title: title.into(), label: String::new(), help: None, other: None }
    }

    /// With words beside the caret.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a "did you mean", if there is something to suggest.
    pub(super) fn suggest(mut self, near: Option<&str>) -> Self {
        if let Some(near) = near {
            self.label = format!("did you mean `{near}`?");
        }
        self
    }

    /// With a line of help.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a second place.
    pub(super) fn beside(mut self, place: Place, words: impl Into<String>) -> Self {
        self.other = Some(Box::new((place, words.into())));
        self
    }
}

/// More mistakes than these are only counted in text.
const SHOWN: usize = 50;

/// A file as it may be shown: passwords are masked.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Everything that is wrong with a catalog.
#[derive(Clone, Debug)]
pub struct Mistakes {
    files: Vec<Shown>,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// In the order of the file.
    pub(super) fn new(files: Vec<Shown>, mut list: Vec<Mistake>) -> Self {
        list.sort_by(|a, b| a.place.cmp(&b.place));
        list.dedup();
        Self { files, list }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// For people: coloured or plain, the first 50 of them.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() }.term_width(100);
        let texts: Vec<_> = self.list.iter().take(SHOWN).map(|mistake| renderer.render(&[self.group(mistake)])).collect();
        texts.join("\n\n")
    }

    /// How many there are, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        match self.count() {
            1 => "1 mistake".to_owned(),
            some if some <= SHOWN => format!("{some} mistakes"),
            many => format!("{many} mistakes, the first {SHOWN} are shown"),
        }
    }

    fn group<'a>(&'a self, mistake: &'a Mistake) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&*mistake.title));
        if let Some((place, file)) = mistake.place.as_ref().and_then(|place| Some((place, self.files.get(place.file)?))) {
            let other = mistake.other.as_deref().filter(|(other, _)| other.file == place.file);
            let window = Window::of(&file.text, [Some(place), other.map(|(other, _)| other)].into_iter().flatten());
            let mut snippet = window.snippet(file, place, AnnotationKind::Primary, &mistake.label);
            if let Some((other, words)) = other {
                snippet = snippet.annotation(AnnotationKind::Context.span(window.span(file, other)).label(words.as_str()));
            }
            group = group.element(snippet);
        }
        if let Some((other, words)) = mistake.other.as_deref()
            && mistake.place.as_ref().is_none_or(|place| place.file != other.file)
            && let Some(file) = self.files.get(other.file)
        {
            let window = Window::of(&file.text, [other]);
            group = group.element(window.snippet(file, other, AnnotationKind::Context, words));
        }
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(&**help));
        }
        group
    }
}

/// The lines of a file that a mistake is about: the renderer goes through everything that it is given.
struct Window<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Window<'a> {
    fn of<'p>(text: &'a str, places: impl IntoIterator<Item = &'p Place>) -> Self {
        let spans: Vec<_> = places.into_iter().map(|place| first_line(text, place)).collect();
        let first = spans.iter().map(|span| span.start).min().unwrap_or_default();
        let last = spans.iter().map(|span| span.end).max().unwrap_or_default();
        let start = text[..first].rfind('\n').map_or(0, |at| at + 1);
        let end = text[last..].find('\n').map_or(text.len(), |length| last + length);
        Self { text: &text[start..end], start }
    }

    fn span(&self, file: &Shown, place: &Place) -> std::ops::Range<usize> {
        let span = first_line(&file.text, place);
        span.start - self.start..span.end - self.start
    }

    fn snippet(
        &self,
        file: &'a Shown,
        place: &Place,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let annotation = kind.span(self.span(file, place));
        let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
        let line = 1 + file.text[..self.start].matches('\n').count();
        Snippet::source(self.text).line_start(line).path(file.path.display().to_string()).annotation(annotation)
    }
}

/// A caret never spans lines, and never stands beyond the end of one.
fn first_line(text: &str, place: &Place) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(place.start.min(text.len()));
    let end = text.ceil_char_boundary(place.end.clamp(start, text.len()));
    let line = text[start..].find('\n').map_or(text.len(), |length| start + length);
    start..end.min(line).max(start)
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}
