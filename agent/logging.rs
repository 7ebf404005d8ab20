//! Logs: to stderr, as text for people or JSON for machines. stdout carries only data.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::cli::{Common, LogFormat};

/// Crates that are only heard when they warn: what they say at `info` is our own work, told twice.
const QUIET: [&str; 7] = [
    "hickory_resolver=warn",
    "hickory_proto=warn",
    "hickory_net=warn",
    "hyper=warn",
    "hyper_util=warn",
    "rustls=warn",
    "tokio_postgres=warn",
];

/// Never heard, whoever asks: at `trace` they write the login with its password, and they repeat the words of
/// servers. What matters of them is in the outcome.
const SILENT: [&str; 3] = ["async_nats", "lapin", "tiberius"];

/// Our own crates.
const OWN: [&str; 2] = ["probity", "probity_probes"];

/// Sets logging up for the whole process.
///
/// The layer does not log its own errors: it would print them to stderr, and panic where nobody reads that.
///
/// # Errors
/// What is wrong with the level, as a sentence.
pub fn start(args: &Common, default: &str) -> Result<(), String> {
    let filter = filter(args, default)?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match args.log_format {
        LogFormat::Text => {
            let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = fmt::layer().with_writer(io::stderr).with_ansi(coloured).with_target(false);
            registry.with(layer.log_internal_errors(false)).try_init()
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            registry.with(layer.log_internal_errors(false)).try_init()
        }
    };
    started.map_err(|error| format!("logging cannot be set up: {error}"))
}

/// `--log-level` or `PROBITY_LOG` wins over `-v`; quiet crates stay quiet unless they are named.
fn filter(args: &Common, default: &str) -> Result<EnvFilter, String> {
    let level = match (&args.log_level, args.verbose) {
        (Some(level), _) if !level.is_empty() => level.as_str(),
        (_, 0) => default,
        (_, 1) => "debug",
        (_, _) => "trace",
    };
    let quiet = QUIET.iter().filter(|directive| directive.split('=').next().is_none_or(|name| !level.contains(name)));
    let wanted = level.split(',').filter(|part| !SILENT.iter().any(|name| part.contains(name)));
    let silent = SILENT.map(|name| format!("{name}=off"));
    // A level alone is that of Probity: what a library writes at `trace` may be all that it sends.
    let own = |part: &str| {
        let is_loud = ["info", "debug", "trace"].contains(&part.trim().to_ascii_lowercase().as_str());
        if is_loud { OWN.map(|name| format!("{name}={part}")).join(",") + ",warn" } else { part.to_owned() }
    };
    let wanted: Vec<_> = wanted.map(own).collect();
    let wanted = wanted.iter().map(String::as_str);
    let directives = quiet.copied().chain(wanted).chain(silent.iter().map(String::as_str)).collect::<Vec<_>>().join(",");
    let known = |part: &str| {
        let word = part.rsplit('=').next().unwrap_or(part).trim();
        word.parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
    };
    if !level.split(',').all(known) {
        return Err(format!("unknown log level `{level}`: expected error, warn, info, debug or trace"));
    }
    EnvFilter::try_new(directives).map_err(|_| format!("unknown log level `{level}`: expected error, warn, info, debug or trace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(level: Option<&str>, verbose: u8) -> Common {
        Common { catalog: "x".into(), listen: None, log_level: level.map(Into::into), log_format: LogFormat::Text, verbose }
    }

    #[test]
    fn levels_are_found_and_quiet_crates_stay_quiet() {
        let shown = |level, verbose| filter(&args(level, verbose), "info").map(|filter| filter.to_string());
        assert!(shown(None, 0).is_ok_and(|text| text.contains("hyper=warn") && text.contains("info")));
        assert!(
            shown(Some("async_nats::connector=trace,info"), 0)
                .is_ok_and(|text| { text.contains("async_nats=off") && !text.contains("async_nats::connector") })
        );
        assert!(shown(None, 2).is_ok_and(|text| text.contains("probity_probes=trace") && text.ends_with("warn")));
        assert!(shown(Some("hyper=trace,info"), 0).is_ok_and(|text| !text.contains("hyper=warn")));
        assert_eq!(shown(Some("loud"), 0), Err("unknown log level `loud`: expected error, warn, info, debug or trace".into()));
    }
}
