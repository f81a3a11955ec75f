//! The whole transport against a peer made of other implementations, in virtual time.

mod connecting;
mod data;
pub(in crate::transport) mod dtls_peer;
mod hostile;
mod link;
mod paths;
