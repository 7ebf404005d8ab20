//! From a request to an answer: a function of the snapshot and the agent's vitals, without a socket.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{Method, StatusCode};
use probity_probes::address::unknown;
use serde::Serialize;
use serde_json::json;

use super::{
    draft, engine, kubernetes, metrics,
    routes::{Page, Query, ROUTES, find, suggest},
};
use crate::{
    catalog::LONGEST_NAME,
    document::{DependencyEntry, Detail, Document},
    judge::{Standing, ViewStatus},
    snapshot::Snapshot,
    vitals::Vitals,
};

pub(super) const JSON: &str = "application/json";
const HEALTH_JSON: &str = "application/health+json";

/// A response without its connection.
#[derive(Debug)]
pub struct Answer {
    /// Of the response.
    pub status: StatusCode,
    /// Of its body.
    pub content_type: &'static str,
    /// The methods that would work, where this one does not.
    pub allow: Option<&'static str>,
    /// What it says.
    pub body: Bytes,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, allow: None, body: body.into() }
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Self::new(status, JSON, to_json(value))
    }

    pub(super) fn refusal(status: StatusCode, error: &str) -> Self {
        Self::json(status, &json!({ "error": error }))
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// GET or HEAD, or something that does not work.
    pub method: &'a Method,
    /// Percent signs and all.
    pub path: &'a str,
    /// After the question mark.
    pub query: Option<&'a str>,
    /// Whether the IETF draft's shape is wanted.
    pub draft: bool,
}

/// Whether `Accept` headers ask for the IETF draft's shape: it is named, not refused by `q=0`, and plain JSON is not
/// preferred to it (RFC 9110, 12.5.1).
#[must_use]
pub(super) fn wants_draft<'a>(accept: impl Iterator<Item = &'a str>) -> bool {
    let (mut draft, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|accept| accept.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| weight.trim().parse::<f32>().unwrap_or(0.0))
        });
        if media.eq_ignore_ascii_case(HEALTH_JSON) {
            draft = draft.max(weight.unwrap_or(1.0));
        } else if media.eq_ignore_ascii_case(JSON) {
            plain = plain.max(weight.unwrap_or(1.0));
        }
    }
    draft > 0.0 && draft >= plain
}

/// Whether an answer is so much work that it should not be done on the thread that answers `/health`.
#[must_use]
pub(super) fn is_heavy(question: &Question<'_>, snapshot: &Snapshot) -> bool {
    let Some((route, name)) = find(question.path) else { return false };
    let is_long = match route.page {
        Page::Metrics | Page::Dependencies | Page::Manifest => true,
        Page::Health => question.query.is_some(),
        // An unknown name is held against every other one.
        Page::ReadyOne | Page::Dependency => snapshot.find(&name).is_none(),
        _ => false,
    };
    is_long && snapshot.standings.len() > 50
}

/// The answer to a question.
#[must_use]
pub fn answer(question: &Question<'_>, snapshot: &Snapshot, vitals: &Vitals, about: &engine::About) -> Answer {
    let Some((route, name)) = find(question.path) else { return no_route(question.path) };
    if !matches!(*question.method, Method::GET | Method::HEAD) {
        let error = format!("`{}` answers GET and HEAD, not {}", route.path, question.method);
        let refusal = Answer::refusal(StatusCode::METHOD_NOT_ALLOWED, &error);
        return Answer { allow: Some("GET, HEAD"), ..refusal };
    }
    let query = Query::parse(question.query);
    match route.page {
        Page::Health if question.draft => {
            let body = snapshot.bodies.health_draft.get_or_init(|| draft::render(snapshot).into());
            Answer::new(readiness(snapshot), HEALTH_JSON, body.clone())
        }
        Page::Health if query.has("verbose") => Answer::new(readiness(snapshot), JSON, whole(snapshot)),
        Page::Health => {
            let body = snapshot.bodies.health.get_or_init(|| to_json(&Document::aggregate(snapshot)));
            Answer::new(readiness(snapshot), JSON, body.clone())
        }
        Page::Live => kubernetes::live(vitals, &query),
        Page::Ready => kubernetes::ready(snapshot, &query),
        Page::ReadyOne => match snapshot.find(&name) {
            Some(standing) => kubernetes::ready_one(standing, &query),
            None => no_dependency(snapshot, &name),
        },
        Page::Startup => kubernetes::startup(snapshot, &query),
        Page::Dependencies => dependencies(snapshot, &query),
        Page::Dependency => match snapshot.find(&name) {
            Some(standing) => Answer::new(StatusCode::OK, JSON, fragment(standing, snapshot).clone()),
            None => no_dependency(snapshot, &name),
        },
        Page::Metrics => Answer::new(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(snapshot, vitals)),
        Page::Manifest => Answer::json(StatusCode::OK, &engine::manifest(snapshot, about)),
        Page::Status => Answer::json(StatusCode::OK, &engine::status(snapshot, vitals)),
        Page::Diagnostics => Answer::json(StatusCode::OK, &engine::diagnostics(snapshot, vitals, about)),
    }
}

pub(super) fn readiness(snapshot: &Snapshot) -> StatusCode {
    if snapshot.aggregate.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn dependencies(snapshot: &Snapshot, query: &Query<'_>) -> Answer {
    if let Some(key) = query.keys().find(|key| !matches!(*key, "backend" | "status")) {
        return Answer::refusal(StatusCode::BAD_REQUEST, &unknown("filter", key, &["backend", "status"]));
    }
    let mut statuses = BTreeSet::new();
    for word in query.all("status") {
        let Some(status) = ViewStatus::find(word) else {
            let known = ViewStatus::ALL.map(ViewStatus::as_str);
            return Answer::refusal(StatusCode::BAD_REQUEST, &unknown("status", word, &known));
        };
        statuses.insert(status);
    }
    let backends: BTreeSet<_> = query.all("backend").collect();
    let known: Vec<_> = probity_probes::registry().iter().map(|registration| registration.kind).collect();
    let in_use = |word: &str| snapshot.standings.iter().any(|standing| standing.dependency.backend == word);
    if let Some(word) = backends.iter().find(|word| !known.contains(word) && !in_use(word)) {
        return Answer::refusal(StatusCode::BAD_REQUEST, &unknown("backend", word, &known));
    }
    if statuses.is_empty() && backends.is_empty() {
        return Answer::new(StatusCode::OK, JSON, whole(snapshot));
    }
    let is_wanted = |standing: &&Arc<Standing>| {
        (statuses.is_empty() || statuses.contains(&standing.status))
            && (backends.is_empty() || backends.contains(&standing.dependency.backend))
    };
    let some = put_together(snapshot, snapshot.standings.iter().filter(is_wanted));
    Answer::new(StatusCode::OK, JSON, some)
}

/// The document with every dependency, made once per revision.
fn whole(snapshot: &Snapshot) -> Bytes {
    snapshot.bodies.dependencies.get_or_init(|| put_together(snapshot, snapshot.standings.iter())).clone()
}

/// The document out of its head and the fragments of some dependencies.
fn put_together<'a>(snapshot: &Snapshot, standings: impl Iterator<Item = &'a Arc<Standing>>) -> Bytes {
    let head = to_json(&Document::aggregate(snapshot));
    let mut body = head.strip_suffix(b"}").unwrap_or(&head).to_vec();
    body.extend_from_slice(br#","dependencies":["#);
    for (index, standing) in standings.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(fragment(standing, snapshot));
    }
    body.extend_from_slice(b"]}");
    body.into()
}

fn fragment<'a>(standing: &'a Standing, snapshot: &Snapshot) -> &'a Bytes {
    let detail = if snapshot.agent.verbose_errors { Detail::Verbose } else { Detail::Plain };
    standing.fragment(|standing| to_json(&DependencyEntry::of(standing, detail)))
}

fn to_json(value: &impl Serialize) -> Bytes {
    match serde_json::to_vec(value) {
        Ok(json) => json.into(),
        Err(error) => {
            tracing::error!(%error, "a document could not be written");
            Bytes::from_static(br#"{"error":"the document could not be written; see the agent's log"}"#)
        }
    }
}

fn no_route(path: &str) -> Answer {
    let hint = suggest(path).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Answer::json(StatusCode::NOT_FOUND, &json!({ "error": format!("there is no route `{path}`{hint}"), "routes": ROUTES }))
}

fn no_dependency(snapshot: &Snapshot, name: &str) -> Answer {
    let names: Vec<_> = snapshot.standings.iter().map(|standing| &*standing.dependency.name).collect();
    if name.len() > LONGEST_NAME {
        let error = format!("no dependency has a name longer than {LONGEST_NAME} characters");
        return Answer::refusal(StatusCode::NOT_FOUND, &error);
    }
    Answer::json(StatusCode::NOT_FOUND, &json!({ "error": unknown("dependency", name, &names), "dependencies": names }))
}
