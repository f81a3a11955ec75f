//! What an adaptor needs of the rooms, as traits, so that its tests can stand in for the shards; and how a place is taken.

use std::future::Future;
use std::time::Duration;

use super::port::{Rooms, Seat};
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;
use crate::room::model::JoinError;
use crate::shard::milestones::JoinWatch;
use crate::telemetry::traces::JoinTrace;

/// Where participants find their room. A trait, so that tests can stand in for the shards.
pub trait Port: Clone + Send + Sync + 'static {
    type Place: Place;
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

    fn join(&self, request: JoinRequest, watch: JoinWatch) -> impl Future<Output = Option<Seat>> + Send {
        Rooms::join(self, request, watch)
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

/// Why there is no place, in words for the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denial {
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
            Self::RoomFull | Self::ServerFull | Self::ShuttingDown | Self::Timeout => 503,
        }
    }
}

impl Denial {
    /// As traces call it.
    fn name(self) -> &'static str {
        match self {
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
