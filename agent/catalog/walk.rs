//! Walks what was written beside what may be written: expands strings, and collects every mistake with
//! its place. What comes out is the value to build from, and its twin that may be shown.

use std::{mem, ops::Range, time::Instant};

use probity_probes::{address::nearest, plain};
use serde_json::{Map, Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    expand::Environment,
    mistake::Mistake,
    rules::{self, Sort},
    source::Place,
    unsupported::{self, Where},
};

/// A value as it is used, and as it may be shown.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    pub(super) value: Value,
    pub(super) shown: Value,
}

impl From<Value> for Twin {
    fn from(value: Value) -> Self {
        Self { shown: value.clone(), value }
    }
}

/// One walk over one table of one file.
pub(super) struct Walk<'a> {
    pub(super) file: usize,
    pub(super) source: &'a str,
    pub(super) environment: Environment<'a>,
    pub(super) words: Where,
    /// When it is no longer waited for files.
    pub(super) deadline: Instant,
    pub(super) allow_literal_secrets: bool,
    pub(super) strict_secret_files: bool,
    /// A password stands beside the URL, so the user in the URL is a name and no token.
    pub(super) names_user: bool,
    /// What is wrong.
    pub(super) mistakes: Vec<Mistake>,
    /// What is allowed, but worth a word.
    pub(super) warnings: Vec<String>,
    /// Values that were typed at the place of a secret, or inside one.
    pub(super) hidden: Vec<Range<usize>>,
    /// Values that certainly are no secrets.
    pub(super) cleared: Vec<Range<usize>>,
    /// Secrets by value, to be kept out of other sentences.
    pub(super) secrets: Vec<String>,
    /// What came from the environment into a URL, and is to be kept out of what peers say.
    pub(super) concealed: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: usize, source: &'a str, environment: Environment<'a>, words: Where, deadline: Instant) -> Self {
        Self {
            file,
            source,
            environment,
            words,
            deadline,
            allow_literal_secrets: false,
            strict_secret_files: false,
            names_user: false,
            mistakes: Vec::new(),
            warnings: Vec::new(),
            hidden: Vec::new(),
            cleared: Vec::new(),
            secrets: Vec::new(),
            concealed: Vec::new(),
        }
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.file, span)
    }

    pub(super) fn mistake(&mut self, span: Range<usize>, title: impl Into<String>) -> &mut Mistake {
        self.mistakes.push(Mistake::at(self.place(span), title));
        let last = self.mistakes.len() - 1;
        &mut self.mistakes[last]
    }

    /// A table with named keys. `header` is where a missing key is reported. `None`: there was a mistake in it.
    pub(super) fn table(&mut self, table: &DeTable<'_>, schema: &Value, header: Range<usize>, path: &str) -> Option<Twin> {
        let before = self.mistakes.len();
        let twin = self.sound_part(table, schema, header, path);
        (self.mistakes.len() == before).then_some(twin)
    }

    /// The same, but keeps what is sound of a table that has mistakes.
    pub(super) fn sound_part(&mut self, table: &DeTable<'_>, schema: &Value, header: Range<usize>, path: &str) -> Twin {
        self.names_user |= path.is_empty() && table.contains_key("password");
        let mut value = Map::new();
        let mut shown = Map::new();
        let named = rules::properties(schema);
        for (key, item) in table {
            let name = key.get_ref().as_ref();
            let rule = named.and_then(|named| named.get(name)).or_else(|| rules::others(schema));
            let Some(rule) = rule else {
                self.hidden.push(item.span());
                self.unknown_key(key.span(), name, named, path);
                continue;
            };
            let is_known = named.is_some_and(|named| named.contains_key(name));
            let shown_name = if is_known || plain::is_name(name) { name } else { "…" };
            if shown_name != name {
                self.hidden.push(key.span());
            }
            let twin = if rules::is_secret(rule) && !is_known {
                self.secret_of(name, item, rule, &join(path, shown_name))
            } else {
                self.value(item, rule, &join(path, shown_name))
            };
            if let Some(twin) = twin {
                value.insert(name.to_owned(), twin.value);
                shown.insert(name.to_owned(), twin.shown);
            }
        }
        for name in rules::required(schema) {
            if !table.iter().any(|(key, _)| key.get_ref() == name) {
                let what = join(path, name);
                self.mistake(header.clone(), format!("`{what}` is missing")).label = format!("needs `{name}`");
            }
        }
        Twin { value: Value::Object(value), shown: Value::Object(shown) }
    }

    fn unknown_key(&mut self, span: Range<usize>, name: &str, named: Option<&Map<String, Value>>, path: &str) {
        // The rest of a dotted key.
        let behind = self.source.get(span.end..).unwrap_or_default();
        let rest = behind.find(['=', '\n', ']']).map_or(0, |end| if behind.trim_start().starts_with('.') { end } else { 0 });
        self.hidden.push(span.end..span.end + rest);
        if path.is_empty() && unsupported::is_planned(self.words, name) {
            self.mistake(span, unsupported::sentence(name)).label = "remove it".into();
            return;
        }
        let known: Vec<&str> = named.into_iter().flat_map(|named| named.keys().map(String::as_str)).collect();
        let near = nearest(name, known.iter().copied()).map(str::to_owned);
        let is_bare = self.source.get(span.clone()) == Some(name);
        let is_shown = plain::near(name, known.iter().copied()).is_some() || is_bare && plain::is_key(name);
        if !is_shown {
            self.hidden.push(span.clone());
        }
        let shown = if is_shown { format!("unknown key `{name}`") } else { "unknown key".to_owned() };
        let title = if path.is_empty() { shown } else { format!("{shown} in `{path}`") };
        let mistake = self.mistake(span, title);
        match near {
            Some(near) => mistake.label = format!("did you mean `{near}`?"),
            None if known.len() <= 8 => mistake.help = Some(format!("known here: {}", known.join(", "))),
            None => {}
        }
    }

    /// Any value beside its rule. `None`: there was a mistake in it.
    pub(super) fn value(&mut self, item: &Spanned<DeValue<'_>>, schema: &Value, path: &str) -> Option<Twin> {
        if rules::is_secret(schema) {
            return self.secret(item, schema, path);
        }
        if let Some(words) = rules::words(schema) {
            return self.word(item, &words, schema, path);
        }
        if let Some(branches) = rules::branches(schema) {
            return self.alternatives(item, branches, schema, path);
        }
        let span = item.span();
        match (rules::sort(schema), item.get_ref()) {
            (Sort::Table, DeValue::Table(table)) => self.table(table, schema, span, path),
            (Sort::List, DeValue::Array(list)) => {
                let items = schema.get("items").unwrap_or(&Value::Null);
                let twins: Vec<_> = list.iter().map(|item| self.value(item, items, path)).collect();
                if let Some(least) = schema["minItems"].as_u64()
                    && (list.len() as u64) < least
                {
                    self.mistake(span, format!("`{path}` is empty")).label = format!("needs at least {least}");
                    return None;
                }
                let twins: Option<Vec<_>> = twins.into_iter().collect();
                let (value, shown): (Vec<_>, Vec<_>) = twins?.into_iter().map(|twin| (twin.value, twin.shown)).unzip();
                Some(Twin { value: value.into(), shown: shown.into() })
            }
            (Sort::Text, DeValue::String(raw)) => self.text(raw, span, schema, path),
            (Sort::Switch, DeValue::Boolean(switch)) => Some(json!(switch).into()),
            (Sort::Whole | Sort::Number, DeValue::Integer(_)) | (Sort::Number, DeValue::Float(_)) => {
                self.number(item.get_ref(), span, schema, path)
            }
            (Sort::Anything, value) => self.anything(value, span, path),
            _ => {
                self.wrong(span, schema, item.get_ref(), path);
                None
            }
        }
    }

    fn wrong(&mut self, span: Range<usize>, schema: &Value, found: &DeValue<'_>, path: &str) {
        let title = format!("`{path}` must be {}", rules::expected(schema));
        let is_harmless = match found {
            DeValue::String(text) => {
                text.len() <= 12 && plain::is_readable(text) && text.starts_with(|c: char| c.is_ascii_digit())
            }
            DeValue::Array(_) | DeValue::Table(_) => false,
            _ => span.len() <= 12,
        };
        self.show_if(is_harmless, span.clone());
        let label = match (schema["format"].as_str(), found) {
            (Some("duration"), DeValue::Integer(number)) if number.as_str().len() <= 6 => {
                format!("write \"{number}s\" or \"{number}ms\"")
            }
            _ => format!("this is {}", found_sort(found)),
        };
        self.mistake(span, title).label = label;
    }

    fn alternatives(&mut self, item: &Spanned<DeValue<'_>>, branches: &[Value], schema: &Value, path: &str) -> Option<Twin> {
        let fitting: Vec<_> = branches.iter().filter(|branch| fits(branch, item.get_ref())).collect();
        match fitting.as_slice() {
            [] => {
                self.wrong(item.span(), schema, item.get_ref(), path);
                None
            }
            [only] => self.value(item, only, path),
            several => {
                let mistakes = mem::take(&mut self.mistakes);
                let mut first = None;
                for branch in several {
                    let twin = self.value(item, branch, path);
                    let complaints = mem::take(&mut self.mistakes);
                    if twin.is_some() && complaints.is_empty() {
                        self.mistakes = mistakes;
                        return twin;
                    }
                    first.get_or_insert(complaints);
                }
                self.mistakes = mistakes;
                if item.get_ref().is_str() {
                    self.wrong(item.span(), schema, item.get_ref(), path);
                } else {
                    self.mistakes.extend(first.unwrap_or_default());
                }
                None
            }
        }
    }

    fn word(&mut self, item: &Spanned<DeValue<'_>>, words: &[&str], schema: &Value, path: &str) -> Option<Twin> {
        let DeValue::String(raw) = item.get_ref() else {
            self.wrong(item.span(), schema, item.get_ref(), path);
            return None;
        };
        let expanded = self.expand(raw, item.span())?;
        let is_typed = expanded.is_typed(0..expanded.text.len());
        let text = expanded.text;
        if words.contains(&text.as_str()) {
            self.clear(item.span());
            return Some(Value::from(text).into());
        }
        if let Some(instead) = unsupported::instead(path, &text) {
            let title = format!("{path} = \"{text}\" is not supported by this version yet");
            self.mistake(item.span(), title).label = instead.into();
            return None;
        }
        let expected = rules::expected(schema);
        let same = words.iter().copied().find(|word| word.eq_ignore_ascii_case(&text));
        let near = same.or_else(|| nearest(&text, words.iter().copied())).map(str::to_owned);
        // What resembles no word that is known here may be anything.
        let is_shown = is_typed && near.is_some() && plain::is_word(&text);
        self.show_if(is_shown, item.span());
        let shown = if is_shown { format!(" \"{text}\"") } else { String::new() };
        let mistake = self.mistake(item.span(), format!("unknown word{shown} for `{path}`"));
        mistake.label = near.map_or_else(|| format!("must be {expected}"), |near| format!("did you mean \"{near}\"?"));
        None
    }

    fn anything(&mut self, value: &DeValue<'_>, span: Range<usize>, path: &str) -> Option<Twin> {
        match value {
            DeValue::String(raw) => self.expand(raw, span).map(|expanded| Value::from(expanded.text).into()),
            DeValue::Boolean(switch) => Some(json!(switch).into()),
            DeValue::Integer(_) | DeValue::Float(_) => self.number(value, span, &Value::Null, path),
            DeValue::Array(_) => self.value(&Spanned::new(span, value.clone()), &json!({ "type": "array", "items": {} }), path),
            DeValue::Table(table) => self.table(table, &json!({ "additionalProperties": true }), span, path),
            DeValue::Datetime(date) => Some(Value::from(date.to_string()).into()),
        }
    }
}

/// `a` and `a.b`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn fits(schema: &Value, value: &DeValue<'_>) -> bool {
    match rules::sort(schema) {
        Sort::Text => value.is_str(),
        Sort::Whole => value.is_integer(),
        Sort::Number => value.is_integer() || value.is_float(),
        Sort::Switch => value.is_bool(),
        Sort::List => value.is_array(),
        Sort::Table => value.is_table(),
        Sort::Anything => rules::branches(schema).is_none_or(|branches| branches.iter().any(|branch| fits(branch, value))),
    }
}

fn found_sort(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
