//! The port between protocol adaptors and the shards: join a room, send commands, receive events.
//!
//! What always holds: commands of one participant reach its room in order; its events come in order, `Joined` or `Refused`
//! first and `Removed` last; dropping a [`Seat`] makes the participant leave as `SignallingLost`.

use tokio::sync::mpsc;

use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;

/// Where adaptors find rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {/* senders of the shards' mailboxes */}

impl Rooms {
    /// Sends the participant to the shard of its room. The first event tells whether it was let in.
    pub async fn join(&self, request: JoinRequest) -> Option<Seat> {
        let _ = request;
        todo!()
    }
}

/// A participant's place at its room, held by its adaptor.
pub struct Seat {
    pub commands: Commands,
    /// Ends after `Removed`.
    pub events: mpsc::Receiver<Event>,
}

/// The sending half of a seat.
pub struct Commands {}

impl Commands {
    /// Waits while the shard's mailbox is full: backpressure to the client. `false` when the shard is gone.
    pub async fn send(&self, command: Command) -> bool {
        let _ = command;
        todo!()
    }
}
