//! The port between protocol adaptors and the shards: join a room, send commands, receive events.
//!
//! What always holds: commands of one participant reach its room in order; its events come in order, `Joined` or `Refused`
//! first and `Removed` last; dropping a [`Seat`] makes the participant leave as `SignallingLost`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::limits;
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;
use crate::shard::directory::Directory;
use crate::shard::mailbox::{Message, SeatId};
use crate::shard::milestones::JoinWatch;

/// Where adaptors find rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    shards: Arc<[mpsc::Sender<Message>]>,
    directory: Arc<Directory>,
    next_seat: Arc<AtomicU64>,
}

impl Rooms {
    /// One mailbox per shard, in the order of the directory.
    pub fn new(shards: Vec<mpsc::Sender<Message>>, directory: Arc<Directory>) -> Rooms {
        Rooms { shards: shards.into(), directory, next_seat: Arc::default() }
    }

    /// Sends the participant to the home of its room. The first event tells whether it was let in. `None` when the shard
    /// is gone.
    pub async fn join(&self, request: JoinRequest, watch: JoinWatch) -> Option<Seat> {
        let seat = SeatId(self.next_seat.fetch_add(1, Ordering::Relaxed));
        let (sender, events) = mpsc::channel(limits::EVENT_QUEUE);
        let name = request.room.clone();
        let mut join = Some(Message::Join { seat, request: Box::new(request), events: sender, watch });
        loop {
            // Room in the mailbox first: a join that is counted is sent, even if the caller stops waiting.
            let home = self.directory.home(&name)?;
            let mailbox = self.shards.get(home)?;
            let place = mailbox.reserve().await.ok()?;
            let send = || {
                if let Some(join) = join.take() {
                    place.send(join);
                }
            };
            if self.directory.enter(&name, home, send) {
                return Some(Seat { commands: Commands { seat, mailbox: mailbox.clone() }, events });
            }
        }
    }

    /// Tells every participant that the server ends; returns when the shards have done so.
    pub async fn shut_down(&self) {
        for mailbox in self.shards.iter() {
            let (done, wait) = oneshot::channel();
            if mailbox.send(Message::Shutdown { done }).await.is_ok() {
                let _ = wait.await;
            }
        }
    }
}

/// A participant's place at its room, held by its adaptor.
pub struct Seat {
    pub commands: Commands,
    /// Ends after `Removed`.
    pub events: mpsc::Receiver<Event>,
}

/// The sending half of a seat.
pub struct Commands {
    seat: SeatId,
    mailbox: mpsc::Sender<Message>,
}

impl Commands {
    /// Waits while the shard's mailbox is full: backpressure to the client. `false` when the shard is gone.
    pub async fn send(&self, command: Command) -> bool {
        self.mailbox.send(Message::Command { seat: self.seat, command }).await.is_ok()
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let gone = Message::Gone { seat: self.seat };
        // A full mailbox must not lose the farewell: the participant would stay in its room for ever.
        if let Err(mpsc::error::TrySendError::Full(gone)) = self.mailbox.try_send(gone)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let mailbox = self.mailbox.clone();
            runtime.spawn(async move {
                let _ = mailbox.send(gone).await;
            });
        }
    }
}
