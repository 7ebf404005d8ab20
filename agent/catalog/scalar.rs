//! Texts, durations, URLs and numbers of a catalog: filled in, checked, and their secrets told apart.

use std::ops::Range;

use probity_probes::{address::Address, duration::Span};
use serde_json::Value;
use toml::de::DeValue;

use super::{
    expand::{Expanded, expand},
    known::names_a_secret,
    rules,
    walk::{Twin, Walk},
};

/// No duration of a catalog is longer; what is longer is a slip, and clocks cannot count it.
const LONGEST: Span = Span::days(3660);

impl Walk<'_> {
    /// A string with its variables filled in.
    pub(super) fn expand(&mut self, raw: &str, span: Range<usize>) -> Option<Expanded> {
        match expand(raw, self.environment) {
            Ok(expanded) => Some(expanded),
            Err(error) => {
                let written = self.source.get(span.clone()).unwrap_or_default();
                let at = written.find(&error.reference).map_or(span.clone(), |at| {
                    let start = span.start + at;
                    start..start + error.reference.len()
                });
                self.mistake(at, error.title).help = Some(error.help);
                None
            }
        }
    }

    /// A text, and whatever its format makes of it.
    pub(super) fn text(&mut self, raw: &str, span: Range<usize>, schema: &Value, path: &str) -> Option<Twin> {
        let expanded = self.expand(raw, span.clone())?;
        let text = expanded.text.as_str();
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            self.mistake(span, format!("`{path}` must not be empty"));
            return None;
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            self.mistake(span, format!("`{path}` is longer than {most} characters"));
            return None;
        }
        match schema["format"].as_str() {
            Some("duration") => self.duration(text, span, path),
            Some("url") => self.url(&expanded, span, schema, path),
            Some("socket-address") => {
                self.cleared.push(span.clone());
                if text.parse::<std::net::SocketAddr>().is_ok() {
                    return Some(Value::from(text).into());
                }
                self.mistake(span, format!("`{path}` must be {}", rules::expected(schema)));
                None
            }
            _ => {
                self.cleared.push(span);
                Some(Value::from(text).into())
            }
        }
    }

    fn duration(&mut self, text: &str, span: Range<usize>, path: &str) -> Option<Twin> {
        self.cleared.push(span.clone());
        match Span::parse(text) {
            Ok(duration) if duration <= LONGEST => Some(Value::from(text).into()),
            Ok(_) => {
                self.mistake(span, format!("`{path}` is longer than ten years"));
                None
            }
            Err(_) => {
                self.mistake(span, format!("`{path}` must be a duration with its unit, such as \"250ms\", \"3s\" or \"5m\""));
                None
            }
        }
    }

    /// A number inside its bounds.
    pub(super) fn number(&mut self, value: &DeValue<'_>, span: Range<usize>, schema: &Value, path: &str) -> Option<Twin> {
        self.cleared.push(span.clone());
        let number = match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            _ => None,
        };
        let Some(number) = number else {
            self.mistake(span, format!("`{path}` is not a number that can be used"));
            return None;
        };
        let amount = number.as_f64().unwrap_or_default();
        let bound = |word: &str| schema[word].as_f64();
        let trouble = match (bound("minimum"), bound("maximum"), bound("exclusiveMinimum")) {
            (Some(least), Some(most), _) if amount < least || amount > most => Some(format!("between {least} and {most}")),
            (Some(least), _, _) if amount < least => Some(format!("at least {least}")),
            (_, Some(most), _) if amount > most => Some(format!("at most {most}")),
            (_, _, Some(floor)) if amount <= floor => Some(format!("more than {floor}")),
            _ => None,
        };
        if let Some(trouble) = trouble {
            self.mistake(span, format!("`{path}` must be {trouble}"));
            return None;
        }
        Some(number.into())
    }

    /// A URL; what is secret in it must not have been typed.
    fn url(&mut self, expanded: &Expanded, span: Range<usize>, schema: &Value, path: &str) -> Option<Twin> {
        let text = expanded.text.as_str();
        for (what, part) in secrets_of(text, schema["x-user-is-secret"] == true && !self.names_user) {
            self.secrets.push(text[part.clone()].to_owned());
            if expanded.is_typed(part) && !self.allow_literal_secrets {
                self.typed_secret(span, path, &format!("{what} of this URL is typed into the catalog"));
                return None;
            }
        }
        match Address::parse(text) {
            Ok(address) => {
                if let Some(password) = address.password().and_then(|secret| secret.read().ok()) {
                    self.secrets.push(password.to_string());
                }
                Some(Twin { value: Value::from(text), shown: Value::from(address.to_string()) })
            }
            Err(why) => {
                self.mistake(span, format!("`{path}` is {why}"));
                None
            }
        }
    }

    pub(super) fn typed_secret(&mut self, span: Range<usize>, path: &str, title: &str) {
        let name = path.rsplit('.').next().unwrap_or(path);
        let instead = match name {
            "url" | "monitor" => "write `${NAME}` instead of it, or use the keys for secrets beside the URL".to_owned(),
            _ => format!("write `{name} = {{ file = \"PATH\" }}` or `{name} = {{ env = \"NAME\" }}`"),
        };
        let mistake = self.mistake(span, title);
        mistake.label = "a secret".into();
        mistake.help = Some(format!("{instead}; `allow_literal_secrets = true` in [agent] allows it for demonstrations"));
    }
}

/// Where secrets stand in a URL: the password, the user where that is a token, telling parameters.
fn secrets_of(text: &str, user_is_secret: bool) -> Vec<(String, Range<usize>)> {
    let mut secrets = Vec::new();
    let Some(start) = text.find("://").map(|at| at + 3) else { return secrets };
    let authority = text[start..].find(['/', '?', '#']).map_or(text.len(), |length| start + length);
    if let Some(end) = text[start..authority].rfind('@').map(|length| start + length) {
        match text[start..end].find(':').map(|length| start + length + 1) {
            Some(password) if password < end => secrets.push(("the password".into(), password..end)),
            None if user_is_secret && start < end => secrets.push(("the token".into(), start..end)),
            _ => {}
        }
    }
    let mut at = text.find('?').map_or(text.len(), |at| at + 1);
    for pair in text[at..].split('&') {
        if let Some((name, value)) = pair.split_once('=')
            && names_a_secret(name)
            && !value.is_empty()
        {
            let value = at + name.len() + 1..at + pair.len();
            secrets.push((format!("the parameter `{name}`"), value));
        }
        at += pair.len() + 1;
    }
    secrets
}
