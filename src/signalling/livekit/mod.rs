//! The LiveKit signalling protocol, version 1 (single peer connection). LiveKit's words live in this folder only.
//!
//! Works with LiveKit client SDKs; not affiliated with LiveKit, Inc. The messages are those of the crate `livekit-protocol`.
//! What always holds: a token is checked before anything else is read; what a room hands back as `opaque` was encoded
//! here; no request of a client is answered by more than one message of its kind.
//!
//! The way of a message: `http` checks the token and the join request (`token`, `join`) and takes a seat at the room; then
//! `socket` moves frames between the WebSocket and `session`, which is sans-IO: `requests` turns what the client says into
//! commands, `responses` and `model` turn the room's events into what the client reads, `encoded`
//! once for all where many read the same. `data` reads the data channels.

mod counters;
mod data;
mod dev_token;
mod encoded;
mod http;
mod join;
mod model;
mod requests;
mod responses;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod token;

use std::future::Future;

pub use counters::Counters;
pub use data::LivekitData;
pub use http::router;
pub use token::{Claims, TokenError, TokenRequest, mint, verify};

use super::port::{Rooms, Seat};
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;

/// The protocol's *compatibility level*, in the form of the version of the server whose behaviour it names: clients
/// switch features by it, refuse an empty one, and some parse it as a semantic version. It is not this server's version.
pub const COMPATIBLE_VERSION: &str = "1.13.0";
/// The newest protocol whose messages are all understood here.
pub const PROTOCOL: i32 = 17;

/// Where participants find their room. A trait, so that tests can stand in for the shards.
pub trait Port: Clone + Send + Sync + 'static {
    type Place: Place;
    fn join(&self, request: JoinRequest) -> impl Future<Output = Option<Self::Place>> + Send;
}

/// A participant's place at its room.
pub trait Place: Send + 'static {
    /// `false` when the room is gone.
    fn send(&mut self, command: Command) -> impl Future<Output = bool> + Send;
    /// Cancel-safe. `None` after the last event.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;
}

impl Port for Rooms {
    type Place = Seat;

    fn join(&self, request: JoinRequest) -> impl Future<Output = Option<Seat>> + Send {
        Rooms::join(self, request)
    }
}

impl Place for Seat {
    fn send(&mut self, command: Command) -> impl Future<Output = bool> + Send {
        self.commands.send(command)
    }

    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send {
        self.events.recv()
    }
}

/// Milliseconds of Unix time. Only for what clients are told, never for a decision.
fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
