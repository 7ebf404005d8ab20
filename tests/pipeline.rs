//! The whole agent on real servers: from the catalog to `/health`, metrics, `--check` and a clean end.

mod beside;
mod check;
mod crowd;
mod files;
mod hostile;
mod life;
mod signals;
mod standing;
mod starved;

use crate::support::{agent::Agent, servers};

/// A catalog with an entry that looks the same for all tests: quick intervals, no grace.
fn entry(name: &str, backend: &str, url: &str, more: &str) -> String {
    format!(
        "[dependencies.{name}]\nbackend = \"{backend}\"\nurl = \"{url}\"\ninterval = \"1s\"\ntimeout = \"500ms\"\nstartup_grace = \"0s\"\nshared = false\n{more}\n"
    )
}

fn redis(name: &str, server: &servers::redis::Redis, more: &str) -> String {
    entry(name, "redis", &format!("redis://{}", server.addr()), more)
}

/// The status that the agent shows of a dependency.
fn status(agent: &Agent, name: &str) -> String {
    agent.json(&format!("/dependencies/{name}"))["status"].as_str().unwrap_or_default().to_owned()
}
