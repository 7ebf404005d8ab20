//! Bytes between us and a peer: names, connections, TLS, limits, and the codecs of our own exchanges.

pub mod dial;
#[cfg(feature = "http")]
pub mod http;
pub mod relay;
pub mod resolve;
pub mod sniff;
pub mod stream;
