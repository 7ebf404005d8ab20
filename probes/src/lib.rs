//! Ask a backend whether it can really serve.
//!
//! This crate knows how to ask, never when, how often, or who asks: there is no HTTP server, no command
//! line, no metrics and no catalog in it. Any Rust host on tokio can build a probe, run it and read the outcome:
//!
//! ```
//! # #[cfg(feature = "redis")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use std::time::Duration;
//!
//! use probity_probes::{FailureKind, Options, Prober, Status, find};
//!
//! // What a backend takes is in its reference page; secrets come by reference.
//! let config = serde_json::json!({
//!     "url": "redis://127.0.0.1:1/0",
//!     "expect": { "role": "primary" },
//! });
//! let probe = find("redis")?.build(config, Options::default())?;
//!
//! // Runs go on this runtime; the deadline is kept outside of them.
//! let prober = Prober::new(probe, tokio::runtime::Handle::current());
//! let outcome = prober.run(Duration::from_secs(3)).await;
//!
//! // Nobody listens on port 1.
//! assert_eq!(outcome.status, Status::Unhealthy);
//! let failure = outcome.failure.ok_or("a run that did not finish says why")?;
//! assert_eq!(failure.kind, FailureKind::ConnectRefused);
//! println!("{failure}: {}", failure.remedy);
//!
//! // The session, had there been one, is kept for the next run, and ended politely at last.
//! prober.close().await;
//! # Ok(())
//! # })
//! # }
//! # #[cfg(not(feature = "redis"))]
//! # fn main() {}
//! ```
//!
//! What a backend provides is [`Backend`]; what a host sees is [`Prober`] and [`Outcome`]. The frame in between
//! owns deadlines, sessions that stay warm, limits on every read, panics, and the redaction of what peers say.

pub mod address;
pub mod backend;
pub mod backends;
#[cfg(any(feature = "mysql", feature = "oracle", feature = "postgres", feature = "sqlserver"))]
mod canary;
pub mod candidates;
mod code;
pub mod duration;
pub mod failure;
pub mod files;
pub mod finding;
mod idle;
pub mod manual;
pub mod panics;
pub mod plain;
pub mod prober;
pub mod question;
mod redact;
pub mod registry;
pub mod run;
pub mod secret;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
mod waiting;
pub mod wire;

pub use backend::{Backend, ConfigError, ConnectionPolicy, Options, Probe};
pub use failure::{Failure, FailureKind, FaultDomain};
pub use finding::{Facts, Finding, Severity, Value};
pub use manual::Manual;
pub use prober::Prober;
pub use registry::{Entry, Registration, find, registry};
pub use run::{Depth, Outcome, Phase, Phases, Run, SessionKind, Status};
pub use secret::Secret;
