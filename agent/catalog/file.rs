//! The catalog as written: the tables of all its files, each with its place.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use probity_probes::{address::nearest, plain};
use toml::de::{DeTable, DeValue};

use super::{
    mistake::Mistake,
    source::{File, Place},
    unsupported::{self, Where},
};

/// One table of the catalog.
pub(super) struct Section<'a> {
    pub(super) name: String,
    pub(super) file: usize,
    /// Where its name stands.
    pub(super) header: Range<usize>,
    pub(super) table: DeTable<'a>,
}

/// All tables of all files.
#[derive(Default)]
pub(super) struct Document<'a> {
    pub(super) agent: Option<Section<'a>>,
    pub(super) defaults: Option<Section<'a>>,
    /// In the order of the files.
    pub(super) dependencies: Vec<Section<'a>>,
    pub(super) mistakes: Vec<Mistake>,
    /// Names and values that may be secrets.
    pub(super) hidden: Vec<Place>,
    /// Where the parser stumbled.
    pub(super) broken: Vec<Place>,
    /// Where a file is no TOML, up to the next table: what is read there is a guess. The end of each stretch, by its
    /// file and start; those that begin in one table end together.
    doubtful: BTreeMap<(usize, usize), usize>,
    /// The places of dependencies in the list, by their names.
    named: HashMap<String, usize>,
}

const TABLES: [&str; 3] = ["agent", "defaults", "dependencies"];

impl<'a> Document<'a> {
    /// Parses every file; what is no TOML becomes a mistake, and the rest is read all the same.
    pub(super) fn parse(files: &'a [File]) -> Self {
        let mut document = Self::default();
        for (index, file) in files.iter().enumerate() {
            let (table, errors) = DeTable::parse_recoverable(&file.text);
            let mut syntax = Syntax::of(index, &file.text);
            for error in errors {
                document.note_syntax(&mut syntax, &error);
            }
            document.sort_tables(index, table.into_inner());
        }
        document.dependencies.sort_by_key(|section| (section.file, section.header.start));
        document
    }

    /// Whether any file is no TOML.
    pub(super) fn is_broken(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// Whether a mistake stands where the file cannot be read for certain.
    pub(super) fn is_doubtful(&self, mistake: &Mistake) -> bool {
        mistake.place.as_ref().is_some_and(|place| {
            let before = self.doubtful.range((place.file, 0)..=(place.file, place.start)).next_back();
            before.is_some_and(|(_, end)| place.start < *end)
        })
    }

    fn note_syntax(&mut self, syntax: &mut Syntax<'_>, error: &toml::de::Error) {
        let Syntax { file, text, .. } = *syntax;
        let span = error.span().unwrap_or(0..0);
        let line = text[..text.floor_char_boundary(span.start)].rfind('\n').map_or(0, |at| at + 1);
        let repeated = error.message() == "duplicate key";
        let place = Place::new(file, span.clone());
        // One slip makes the parser stumble several times: only the first stumble of a line is told.
        let cascade = error.message().starts_with("missing comma between")
            && self.mistakes.last().is_some_and(|last| last.title.ends_with(error.message()));
        let told = cascade || syntax.told.get(&line).is_some_and(|first| *first <= span.start);
        if !repeated {
            self.broken.push(place.clone());
            self.doubtful.insert((file, line), syntax.table_after(span.start));
        }
        if told {
            return;
        }
        let first = syntax.told.entry(line).or_insert(span.start);
        *first = span.start.min(*first);
        let mistake = if repeated {
            // A name of a table, or a key.
            let word = text.get(span).unwrap_or_default();
            let is_header = text[line..].trim_start().starts_with('[');
            let is_shown = plain::is_key(word) || is_header && plain::is_name(word);
            if !is_shown {
                self.hidden.push(place.clone());
            }
            let shown = if is_shown { format!("`{word}`") } else { "this key".to_owned() };
            Mistake::at(place, format!("{shown} is defined twice")).label("given before")
        } else {
            Mistake::at(place, format!("this is not TOML: {}", error.message()))
        };
        self.mistakes.push(mistake);
    }

    fn sort_tables(&mut self, file: usize, table: DeTable<'a>) {
        for (key, item) in table {
            let name = key.get_ref().to_string();
            let header = key.span();
            let place = Place::new(file, header.clone());
            let item_place = Place::new(file, item.span());
            if !TABLES.contains(&name.as_str()) {
                if !is_shown(&name) {
                    self.hidden.push(place.clone());
                }
                if !item.get_ref().is_table() {
                    self.hidden.push(item_place);
                }
                self.mistakes.push(unknown_table(&name, place, &item));
                continue;
            }
            let DeValue::Table(table) = item.into_inner() else {
                self.hidden.push(item_place);
                let shape = if name == "dependencies" { "[dependencies.NAME]".to_owned() } else { format!("[{name}]") };
                self.mistakes.push(Mistake::at(place, format!("`{name}` must be a table")).label(format!("write `{shape}`")));
                continue;
            };
            match name.as_str() {
                "dependencies" => self.sort_dependencies(file, table),
                "agent" => take_once(&mut self.agent, Section { name, file, header, table }, &mut self.mistakes),
                _ => take_once(&mut self.defaults, Section { name, file, header, table }, &mut self.mistakes),
            }
        }
    }

    fn sort_dependencies(&mut self, file: usize, table: DeTable<'a>) {
        for (key, item) in table {
            let name = key.get_ref().to_string();
            let header = key.span();
            let place = Place::new(file, header.clone());
            let item_place = Place::new(file, item.span());
            let DeValue::Table(table) = item.into_inner() else {
                self.hidden.push(item_place);
                if !plain::is_name(&name) {
                    self.hidden.push(place.clone());
                }
                let name = if plain::is_name(&name) { name.as_str() } else { "NAME" };
                let title = format!("`dependencies.{name}` must be a table");
                self.mistakes.push(Mistake::at(place, title).label(format!("write `[dependencies.{name}]`")));
                continue;
            };
            if let Some(first) = self.named.get(&name) {
                let first = &self.dependencies[*first];
                if !plain::is_name(&name) {
                    self.hidden.extend([place.clone(), Place::new(first.file, first.header.clone())]);
                }
                self.mistakes.push(twice(&name, place, first));
                continue;
            }
            self.named.insert(name.clone(), self.dependencies.len());
            self.dependencies.push(Section { name, file, header, table });
        }
    }
}

/// What is known of one file while its mistakes are sorted.
struct Syntax<'a> {
    file: usize,
    text: &'a str,
    /// Where lines begin that look like the head of a table.
    tables: Vec<usize>,
    /// Where the first mistake of a line stands, by the start of the line.
    told: HashMap<usize, usize>,
}

impl<'a> Syntax<'a> {
    fn of(file: usize, text: &'a str) -> Self {
        Self { file, text, tables: text.match_indices("\n[").map(|(at, _)| at + 1).collect(), told: HashMap::new() }
    }

    /// Where the next table begins, or beyond the end.
    fn table_after(&self, at: usize) -> usize {
        let next = self.tables.partition_point(|table| *table <= at);
        self.tables.get(next).copied().unwrap_or(self.text.len() + 1)
    }
}

fn take_once<'a>(seat: &mut Option<Section<'a>>, section: Section<'a>, mistakes: &mut Vec<Mistake>) {
    match seat {
        Some(first) => mistakes.push(twice(&section.name, Place::new(section.file, section.header), first)),
        None => *seat = Some(section),
    }
}

fn twice(name: &str, place: Place, first: &Section<'_>) -> Mistake {
    let shown = if plain::is_name(name) { format!("`{name}`") } else { "this".to_owned() };
    Mistake::at(place, format!("{shown} is defined twice"))
        .label("the second")
        .beside(Place::new(first.file, first.header.clone()), "the first")
}

/// Whether a table or key that nobody knows may be named.
fn is_shown(name: &str) -> bool {
    plain::near(name, TABLES).is_some() || plain::is_key(name)
}

fn unknown_table(name: &str, place: Place, item: &toml::Spanned<DeValue<'_>>) -> Mistake {
    if unsupported::is_planned(Where::Top, name) {
        return Mistake::at(place, unsupported::sentence(name)).label("remove it");
    }
    let what = if item.get_ref().is_table() { "table" } else { "key" };
    let mistake = Mistake::at(place, if is_shown(name) { format!("unknown {what} `{name}`") } else { format!("unknown {what}") });
    match nearest(name, TABLES) {
        Some(near) => mistake.suggest(Some(near)),
        None => mistake.help("the tables of a catalog are [agent], [defaults] and [dependencies.NAME]"),
    }
}
