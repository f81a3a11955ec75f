//! What other threads say to a shard: joins, commands, farewells. Never a packet, never a handle to anything inside.

use tokio::sync::oneshot;

use super::event_queue::EventSender;
use super::inspect::Question;
use super::milestones::JoinWatch;
use crate::room::command::{Command, JoinRequest};

/// A participant's signalling connection, unique in the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SeatId(pub u64);

pub enum Message {
    Join {
        seat: SeatId,
        request: Box<JoinRequest>,
        events: EventSender,
        watch: JoinWatch,
    },
    Command {
        seat: SeatId,
        command: Command,
    },
    /// The signalling connection is gone.
    Gone {
        seat: SeatId,
    },
    /// Somebody looks into calls; answered with copies.
    Inspect(Question),
    /// Only wakes a shard that sleeps, which shows in its turns.
    LookUp,
    /// So many participants of rooms at home here are told that the server ends, room by room; answered with how many were.
    MoveAway {
        most: usize,
        told: oneshot::Sender<usize>,
    },
    /// Every participant is told that the server ends; answered when that is done.
    Shutdown {
        done: oneshot::Sender<()>,
    },
}
