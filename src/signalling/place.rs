//! What an adaptor needs of the rooms, as traits, so that its tests can stand in for the shards; and how a place is taken.

use std::future::Future;
use std::time::Duration;

use super::port::{Rooms, Seat};
use crate::lifecycle::Shed;
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;
use crate::room::model::{Identity, JoinError, RoomName};
use crate::shard::milestones::JoinWatch;
use crate::telemetry::traces::JoinTrace;

/// Where participants find their room. A trait, so that tests can stand in for the shards.
pub trait Port: Clone + Send + Sync + 'static {
    type Place: Place;
    /// Whether the server takes this participant in at present. Costs a look or two into a table.
    fn may_join(&self, room: &RoomName, identity: &Identity) -> Result<(), Shed>;
    /// Somebody was turned away.
    fn count_shed(&self, reason: Shed);
    fn join(&self, request: JoinRequest, watch: JoinWatch) -> impl Future<Output = Option<Self::Place>> + Send;
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

    fn may_join(&self, room: &RoomName, identity: &Identity) -> Result<(), Shed> {
        Rooms::may_join(self, room, identity)
    }

    fn count_shed(&self, reason: Shed) {
        Rooms::count_shed(self, reason);
    }

    fn join(&self, request: JoinRequest, watch: JoinWatch) -> impl Future<Output = Option<Seat>> + Send {
        Rooms::join(self, request, watch)
    }
}

impl Place for Seat {
    fn send(&mut self, command: Command) -> impl Future<Output = bool> + Send {
        self.commands.send(command)
    }

    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send {
        Seat::next(self)
    }
}

/// Why there is no place, in words for the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denial {
    /// Before a room was asked.
    #[error(transparent)]
    Shed(#[from] Shed),
    #[error("identity, name, metadata or attributes are too long")]
    OverLimits,
    #[error("the room is full")]
    RoomFull,
    #[error("the server is full")]
    ServerFull,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the room does not answer")]
    Timeout,
}

impl Denial {
    /// HTTP status to refuse with.
    pub fn status(self) -> u16 {
        match self {
            Self::OverLimits => 400,
            Self::Shed(_) | Self::RoomFull | Self::ServerFull | Self::ShuttingDown | Self::Timeout => 503,
        }
    }

    /// Seconds after which to try again (RFC 9110, section 10.2.3), where that may help. Drawn by lot, so that those who
    /// are refused together do not come back together.
    pub fn retry_after(self) -> Option<u32> {
        let (least, more) = match self {
            Self::OverLimits => return None,
            // Another server takes over.
            Self::Shed(Shed::Draining) | Self::ShuttingDown => (1, 4),
            // Load has to stay low for a while first.
            Self::Shed(Shed::Busy | Shed::Memory) => (10, 20),
            Self::RoomFull | Self::ServerFull | Self::Timeout => (5, 5),
        };
        Some(least + rand::random::<u32>() % (more + 1))
    }
}

/// Asks whether the server takes somebody in, before a room is asked, and counts a refusal. The token was checked by then: that is
/// a small part of what a join costs, only a token that is good says who comes back and to which room, and whoever has a bad one
/// is told so instead of trying again. What follows is dear: to inflate the request and read an offer, then keys and a handshake.
pub fn admit<P: Port>(port: &P, room: &RoomName, identity: &Identity) -> Result<(), Denial> {
    port.may_join(room, identity).inspect_err(|reason| port.count_shed(*reason))?;
    Ok(())
}

impl Denial {
    /// As traces call it.
    fn name(self) -> &'static str {
        match self {
            Self::Shed(_) => "shed",
            Self::OverLimits => "over_limits",
            Self::RoomFull => "room_full",
            Self::ServerFull => "server_full",
            Self::ShuttingDown => "shutting_down",
            Self::Timeout => "room_timed_out",
        }
    }
}

impl From<JoinError> for Denial {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::RoomFull => Self::RoomFull,
            JoinError::ServerFull => Self::ServerFull,
            JoinError::ShuttingDown => Self::ShuttingDown,
            JoinError::OverLimits => Self::OverLimits,
        }
    }
}

/// Joins, and waits for the room's first word. Who gives up meanwhile leaves, as the place is dropped.
pub async fn take<P: Port>(
    port: &P,
    request: JoinRequest,
    mut trace: JoinTrace,
    patience: Duration,
) -> Result<(P::Place, Event), Denial> {
    let watch = trace.watch();
    let joining = async {
        let mut place = port.join(request, watch).await?;
        let first = place.next().await?;
        Some((place, first))
    };
    let outcome = match tokio::time::timeout(patience, joining).await {
        Ok(Some((_, Event::Refused(error)))) => Err(error.into()),
        Ok(Some(joined)) => Ok(joined),
        Ok(None) => Err(Denial::ShuttingDown),
        Err(_) => Err(Denial::Timeout),
    };
    match &outcome {
        Ok(_) => trace.let_in(),
        Err(denial) => trace.refused(denial.name()),
    }
    outcome
}

#[cfg(test)]
pub(super) mod tests;
