//! Ask a backend whether it can really serve.
//!
//! This crate knows how to ask, never when, how often, or who asks: there is no HTTP server, no command
//! line, no metrics and no catalog in it.

pub mod address;
pub mod backend;
pub mod backends;
pub mod duration;
pub mod failure;
pub mod finding;
pub mod manual;
pub mod prober;
mod redact;
pub mod registry;
pub mod run;
pub mod secret;
mod session;
pub mod tls;
pub mod wire;

pub use backend::{Backend, ConfigError, ConnectionPolicy, Options, Probe};
pub use failure::{Failure, FailureKind, FaultDomain};
pub use finding::{Facts, Finding, Severity, Value};
pub use manual::Manual;
pub use prober::Prober;
pub use registry::{Entry, Registration, find, registry};
pub use run::{Depth, Outcome, Phase, Phases, Run, SessionKind, Status};
pub use secret::Secret;
