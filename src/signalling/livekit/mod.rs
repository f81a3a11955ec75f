//! The LiveKit signalling protocol, version 1 (single peer connection). LiveKit's words live in this folder only.
//!
//! Works with LiveKit client SDKs; not affiliated with LiveKit, Inc. The messages are those of the crate `livekit-protocol`.
//! What always holds: a token is checked before anything else is read; what a room hands back as `opaque` was encoded
//! here; no request of a client is answered by more than one message of its kind.
//!
//! The way of a message: `http` checks the token and the join request (`token`, `join`) and takes a seat at the room; then
//! `socket` moves frames between the `websocket` and `session`, which is sans-IO: `requests` turns what the client says into
//! commands, `responses` and `model` turn the room's events into what the client reads, `encoded`
//! once for all where many read the same. `data` reads the data channels.

mod counters;
mod data;
mod dev_token;
mod encoded;
mod http;
mod join;
pub mod metrics;
mod model;
mod requests;
mod responses;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod websocket;

pub use counters::Counters;
pub use data::LivekitData;
pub use http::router;

use super::place::{Place, Port};
use super::token;

/// The protocol's *compatibility level*, in the form of the version of the server whose behaviour it names: clients
/// switch features by it, refuse an empty one, and some parse it as a semantic version. It is not this server's version.
pub const COMPATIBLE_VERSION: &str = "1.13.0";
/// The newest protocol whose messages are all understood here.
pub const PROTOCOL: i32 = 17;

/// Milliseconds of Unix time. Only for what clients are told, never for a decision.
fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
