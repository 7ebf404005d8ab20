//! The table of routes: what can be asked, in one place. Whatever else names routes reads it here.

use std::borrow::Cow;

use probity_probes::address::nearest;
use serde::Serialize;

use crate::catalog::LONGEST_NAME;

/// One row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Route {
    /// Asked with.
    pub method: &'static str,
    /// `{name}` stands for one segment.
    pub path: &'static str,
    /// What it answers.
    pub summary: &'static str,
    #[serde(skip)]
    pub(super) page: Page,
}

/// What is behind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Health,
    Live,
    Ready,
    ReadyOne,
    Startup,
    Dependencies,
    Dependency,
    Metrics,
    Manifest,
    Status,
    Diagnostics,
}

/// Every route.
pub const ROUTES: [Route; 14] = [
    get("/health", "The aggregate: 200 when ready, 503 when not; `?verbose` adds every dependency.", Page::Health),
    get("/health/live", "200 while the agent's own scheduler is alive, whatever the dependencies do.", Page::Live),
    get("/health/ready", "200 when ready; `?verbose`, `?exclude=NAME`.", Page::Ready),
    get("/health/startup", "200 when every required dependency has had its first verdict.", Page::Startup),
    get("/livez", "The same as `/health/live`.", Page::Live),
    get("/readyz", "The same as `/health/ready`.", Page::Ready),
    get("/readyz/{name}", "200 when this one dependency serves.", Page::ReadyOne),
    get("/startupz", "The same as `/health/startup`.", Page::Startup),
    get("/dependencies", "Every standing; `?backend=`, `?status=`.", Page::Dependencies),
    get("/dependencies/{name}", "One standing.", Page::Dependency),
    get("/metrics", "Prometheus text; always 200.", Page::Metrics),
    get("/engine/manifest", "What runs.", Page::Manifest),
    get("/engine/status", "The agent's own state and its last failure.", Page::Status),
    get("/engine/diagnostics", "The parts of the agent, with lag and queue depth.", Page::Diagnostics),
];

const fn get(path: &'static str, summary: &'static str, page: Page) -> Route {
    Route { method: "GET", path, summary, page }
}

/// The route of a path, and the name in it, which is UTF-8 and percent-decoded.
pub(super) fn find(path: &str) -> Option<(&'static Route, Cow<'_, str>)> {
    let exact = ROUTES.iter().find(|route| route.path == path).map(|route| (route, Cow::Borrowed("")));
    exact.or_else(|| {
        ROUTES.iter().find_map(|route| {
            let name = path.strip_prefix(route.path.strip_suffix("{name}")?)?;
            let decoded = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
            (!name.is_empty() && !name.contains('/')).then_some((route, decoded))
        })
    })
}

/// The path that was most likely meant. What is longer than any word of ours is like none of them, and comparing takes time.
pub(super) fn suggest(path: &str) -> Option<&'static str> {
    if path.len() > LONGEST_NAME {
        return None;
    }
    nearest(path, ROUTES.iter().map(|route| route.path))
}

/// The words after the question mark.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn parse(query: Option<&'a str>) -> Self {
        Self(query.map(|query| url::form_urlencoded::parse(query.as_bytes()).collect()).unwrap_or_default())
    }

    /// Whether a switch is on: `?verbose`, `?verbose=true`, but not `?verbose=false`.
    pub(super) fn has(&self, switch: &str) -> bool {
        self.all(switch).any(|value| !matches!(value, "false" | "0"))
    }

    /// Every value of a key.
    pub(super) fn all<'b>(&'b self, key: &'b str) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// Every key.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_routes() {
        for (path, route, name) in [
            ("/health", "/health", ""),
            ("/readyz/orders-db", "/readyz/{name}", "orders-db"),
            ("/dependencies/a%20b+c%2Fd", "/dependencies/{name}", "a b+c/d"),
            ("/readyz/orders%2Ddb=junk&x=1", "/readyz/{name}", "orders-db=junk&x=1"),
        ] {
            let (found, with) = find(path).unwrap();
            assert_eq!((found.path, &*with), (route, name));
        }
        for path in ["/", "/health/", "/readyz/", "/readyz/a/b", "/dependencies/{name}/x", "/readyz/%ff", "health"] {
            assert!(find(path).is_none(), "{path}");
        }
        assert_eq!(suggest("/helth"), Some("/health"));
    }

    #[test]
    fn switches_are_on_unless_they_say_no() {
        for (query, on) in
            [("verbose", true), ("verbose=1", true), ("a=b&verbose=true", true), ("verbose=false", false), ("x", false)]
        {
            assert_eq!(Query::parse(Some(query)).has("verbose"), on, "{query}");
        }
        let query = Query::parse(Some("exclude=a&exclude=b%20c"));
        assert_eq!(query.all("exclude").collect::<Vec<_>>(), ["a", "b c"]);
    }
}
