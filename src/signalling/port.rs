//! The port between protocol adaptors and the shards: join a room, send commands, receive events.
//!
//! What always holds: commands of one participant reach its room in order; its events come in order, `Joined` or `Refused`
//! first and `Removed` last; dropping a [`Seat`] makes the participant leave as `SignallingLost`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::returning::{Returning, Stay};
use crate::lifecycle::{Asking, Lifecycle, Shed};
use crate::limits;
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;
use crate::room::model::{Identity, RoomName};
use crate::shard::directory::Directory;
use crate::shard::event_queue::{EventReceiver, event_queue};
use crate::shard::mailbox::{Message, SeatId};
use crate::shard::milestones::JoinWatch;

/// Where adaptors find rooms. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    shards: Arc<[mpsc::Sender<Message>]>,
    directory: Arc<Directory>,
    lifecycle: Arc<Lifecycle>,
    returning: Arc<Returning>,
    next_seat: Arc<AtomicU64>,
}

impl Rooms {
    /// One mailbox per shard, in the order of the directory.
    pub fn new(shards: Vec<mpsc::Sender<Message>>, directory: Arc<Directory>, lifecycle: Arc<Lifecycle>) -> Rooms {
        let (returning, next_seat) = Default::default();
        Rooms { shards: shards.into(), directory, lifecycle, returning, next_seat }
    }

    /// Whether the server takes this participant in at present.
    pub fn may_join(&self, room: &RoomName, identity: &Identity) -> Result<(), Shed> {
        let shards = self.directory.shards_of(room);
        let returning = self.returning.is_known(Instant::now(), self.returning.number(room, identity));
        self.lifecycle.judge(Asking { room: shards.as_deref(), returning })
    }

    /// Somebody was turned away.
    pub fn count_shed(&self, reason: Shed) {
        self.lifecycle.count_shed(reason);
    }

    /// Sends the participant to the home of its room. The first event tells whether it was let in. `None` when the shard
    /// is gone, or no room is opened any more.
    pub async fn join(&self, request: JoinRequest, watch: JoinWatch) -> Option<Seat> {
        let seat = SeatId(self.next_seat.fetch_add(1, Ordering::Relaxed));
        let (sender, events) = event_queue(limits::EVENT_QUEUE);
        let name = request.room.clone();
        let visitor = Visitor::Coming(self.returning.clone(), self.returning.number(&name, &request.identity));
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
                return Some(Seat { commands: Commands { seat, mailbox: mailbox.clone() }, events, visitor });
            }
        }
    }

    /// No room is opened any more; those that are open go on.
    pub fn close_to_new(&self) {
        self.directory.close_to_new();
    }

    /// Rooms, and participants that are here or on their way.
    pub fn count(&self) -> (u64, u64) {
        let shards = self.directory.shards().iter();
        let sums = shards.fold((0, 0), |(rooms, participants), counters| {
            (rooms + counters.rooms.get(), participants + counters.participants.get())
        });
        (sums.0, sums.1 + self.directory.coming())
    }

    /// Tells so many participants that the server ends, room by room. Gives how many were told.
    pub async fn move_away(&self, most: usize) -> usize {
        let mut moved = 0;
        for mailbox in self.shards.iter() {
            if moved >= most {
                break;
            }
            let (told, wait) = oneshot::channel();
            if mailbox.send(Message::MoveAway { most: most - moved, told }).await.is_ok() {
                moved += wait.await.unwrap_or(0);
            }
        }
        moved
    }

    /// Tells every participant that the server ends; returns when the shards have done so.
    pub async fn shut_down(&self) {
        // All are told before the first is waited for: one that is stuck keeps no other.
        let mut waits = Vec::new();
        for mailbox in self.shards.iter() {
            let (done, wait) = oneshot::channel();
            if mailbox.send(Message::Shutdown { done }).await.is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}

/// A participant's place at its room, held by its adaptor.
pub struct Seat {
    pub commands: Commands,
    /// Ends after `Removed`.
    events: EventReceiver,
    visitor: Visitor,
}

/// Whether the participant was let in, and so may come back.
enum Visitor {
    Coming(Arc<Returning>, u64),
    /// Until it is dropped.
    Here(#[allow(dead_code, reason = "its end matters")] Stay),
}

impl Seat {
    /// The next event; `None` after the last. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if let (Visitor::Coming(returning, who), Some(Event::Joined(_))) = (&self.visitor, &event) {
            self.visitor = Visitor::Here(returning.stays(*who));
        }
        event
    }
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
