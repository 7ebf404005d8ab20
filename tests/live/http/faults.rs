//! A bad network in front of a good server.
