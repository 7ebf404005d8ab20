//! Texts, durations, URLs and numbers of a catalog: filled in, checked, and their secrets told apart.

use std::ops::Range;

use probity_probes::{address::Address, duration::Span, plain};
use serde_json::{Value, json};
use toml::de::DeValue;

use super::{
    expand::{Expanded, Unexpandable, expand},
    known::names_a_secret,
    rules,
    url::{ExpandedUrl, NoUrl, expand_url},
    walk::{Twin, Walk},
};

/// No duration of a catalog is longer; what is longer is a slip, and clocks cannot count it.
const LONGEST: Span = Span::days(3660);

impl Walk<'_> {
    /// A string with its variables filled in.
    pub(super) fn expand(&mut self, raw: &str, span: Range<usize>) -> Option<Expanded> {
        expand(raw, self.environment).map_err(|error| self.unexpandable(error, span)).ok()
    }

    /// Says why a text cannot be expanded. What does not look like the name of a variable may be a secret.
    fn unexpandable(&mut self, error: Unexpandable, span: Range<usize>) {
        let written = self.source.get(span.clone()).unwrap_or_default();
        let at = written.find(&error.reference).map_or(span.clone(), |at| {
            let start = span.start + at;
            start..start + error.reference.len()
        });
        let inner = error.reference.strip_prefix("${").unwrap_or_default().trim_end_matches('}');
        let name = inner.split(":-").next().unwrap_or_default();
        if name.is_empty() {
            // Whatever stands there instead.
            self.hidden.push(span.clone());
        }
        if name.is_empty() || plain::is_variable(name) {
            self.mistake(at, error.title).help = Some(error.help);
        } else {
            self.hidden.push(span);
            self.mistake(at, "an environment variable is not set").help =
                Some("its name is not shown, because it is not of upper-case letters, digits and `_`".into());
        }
    }

    /// A text, and whatever its format makes of it.
    pub(super) fn text(&mut self, raw: &str, span: Range<usize>, schema: &Value, path: &str) -> Option<Twin> {
        if schema["format"] == "url" {
            return self.url(raw, span, schema, path);
        }
        let expanded = self.expand(raw, span.clone())?;
        let text = expanded.text.as_str();
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least) {
            self.mistake(span, format!("`{path}` must not be empty"));
            return None;
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            self.hidden.push(span.clone());
            self.mistake(span, format!("`{path}` is longer than {most} characters"));
            return None;
        }
        match schema["format"].as_str() {
            Some("duration") => self.duration(text, span, path),
            Some("socket-address") => {
                if text.parse::<std::net::SocketAddr>().is_ok() {
                    self.clear(span);
                    return Some(Value::from(text).into());
                }
                let is_like = raw.len() <= 64
                    && plain::is_readable(raw)
                    && raw.bytes().all(|byte| byte.is_ascii_lowercase() || b"0123456789.:[]-".contains(&byte));
                self.show_if(is_like, span.clone());
                self.mistake(span, format!("`{path}` must be {}", rules::expected(schema)));
                None
            }
            _ => {
                self.clear(span);
                Some(Value::from(text).into())
            }
        }
    }

    /// Notes that a value is no secret where it stands, and shows it if it reads like words. One over several lines may have swallowed what was to stand behind it.
    pub(super) fn clear(&mut self, span: Range<usize>) {
        let is_shown = self.source.get(span.clone()).is_some_and(|text| {
            !text.contains('\n') && (plain::is_readable(text) || plain::is_path(text.trim_matches(['"', '\''])))
        });
        self.show_if(is_shown, span);
    }

    /// Shows a value or hides it.
    pub(super) fn show_if(&mut self, is_shown: bool, span: Range<usize>) {
        if is_shown { self.cleared.push(span) } else { self.hidden.push(span) }
    }

    fn duration(&mut self, text: &str, span: Range<usize>, path: &str) -> Option<Twin> {
        let written = self.source.get(span.clone()).unwrap_or_default();
        let is_like = |text: &str| {
            text.len() <= 16 && plain::is_readable(text) && text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        };
        let is_shown = Span::parse(text).is_ok() || is_like(written.trim_matches(['"', '\'']));
        self.show_if(is_shown && !written.contains('\n'), span.clone());
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
        self.show_if(span.len() <= 12, span.clone());
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
    fn url(&mut self, raw: &str, span: Range<usize>, schema: &Value, path: &str) -> Option<Twin> {
        let ExpandedUrl { expanded, has_values, has_path_value, values } = match expand_url(raw, self.environment) {
            Ok(url) => url,
            Err(NoUrl::Reference(error)) => {
                self.unexpandable(error, span);
                return None;
            }
            Err(NoUrl::Value(why)) => {
                self.no_url(raw, span, &why, path);
                return None;
            }
        };
        let text = expanded.text.as_str();
        let address = match Address::parse(text) {
            Ok(address) => address,
            Err(why) => {
                self.no_url(raw, span, &why, path);
                return None;
            }
        };
        for (what, part) in secrets_of(text, schema["x-user-is-secret"] == true && !self.names_user) {
            self.secrets.push(text[part.clone()].to_owned());
            if expanded.is_typed(part) && !self.allow_literal_secrets {
                self.typed_secret(span, path, &format!("{what} of this URL is typed into the catalog"));
                return None;
            }
        }
        if let Some(password) = address.password().and_then(|secret| secret.read().ok()) {
            self.secrets.push(password.to_string());
        }
        if !has_values {
            return Some(Twin { value: Value::from(text), shown: Value::from(address.to_string()) });
        }
        let shown = address.to_string();
        let address_path = address.url().path();
        // Of services of the web a path may be as good as a password.
        if matches!(address.scheme(), "http" | "https") {
            self.concealed.extend(values);
            if has_path_value {
                self.concealed.extend(
                    address_path
                        .split('/')
                        .filter(|part| part.len() >= 16 || part.len() >= 8 && !plain::is_readable(part))
                        .map(str::to_owned),
                );
                self.concealed.extend(address.parameters().map(|(_, value)| value));
            }
        }
        let shown = match shown.strip_suffix(address_path) {
            Some(place) if has_path_value && address_path.len() > 1 => format!("{place}/…"),
            _ => shown,
        };
        Some(Twin { value: json!({ "expanded": text }), shown: Value::from(shown) })
    }

    /// Says why a text is no URL. Then nobody knows where a password is in it, so that it is shown only if it has no
    /// room for one.
    fn no_url(&mut self, raw: &str, span: Range<usize>, why: &str, path: &str) {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ":/.,_-[]".contains(c);
        self.show_if(raw.contains(":/") && raw.chars().all(is_plain) && plain::is_readable(raw), span.clone());
        self.mistake(span, format!("`{path}` is {why}"));
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
            let what = if plain::is_parameter(name) { format!("the parameter `{name}`") } else { "a parameter".to_owned() };
            secrets.push((what, value));
        }
        at += pair.len() + 1;
    }
    secrets
}
