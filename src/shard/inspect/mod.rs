//! What somebody who looks into calls may ask a shard, and the answers: copies, plain values, never a handle.
//!
//! What always holds: an answer costs the loop some milliseconds at most, since what it may hold is bounded by constants of `limits`; nobody
//! waits for one who has stopped listening.

mod peers;
mod rooms;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use super::flight::Recorded;
use super::leg::RoomKey;
use super::{RoomOnShard, Shard};
use crate::limits;
use crate::recorder::Recording;
use crate::room::model::{Identity, RoomName};
use crate::room::participant::ParticipantKey;
pub use peers::{Chosen, EncodingSnapshot, PeerSnapshot, SourceSnapshot, SubscriptionSnapshot};
pub use rooms::{MemberSnapshot, RoomList, RoomSnapshot, RoomSummary, TrackSnapshot};

/// A question with the place for its answer.
pub enum Question {
    /// The rooms at home here with the most participants.
    Rooms { most: usize, answer: oneshot::Sender<RoomList> },
    /// What passes through this shard of some rooms, wherever they are at home; those of which nobody is here are left out.
    Traffic { rooms: Vec<RoomKey>, answer: oneshot::Sender<Vec<Traffic>> },
    /// A room at home here: some of its participants, from a place in the order of their joining on.
    Room { name: RoomName, from: usize, answer: oneshot::Sender<Option<RoomSnapshot>> },
    /// Those of these participants of a room that are hosted here.
    Participants { room: RoomKey, participants: Vec<ParticipantKey>, answer: oneshot::Sender<Vec<PeerSnapshot>> },
    /// Record a participant's headers for so long, or no longer and forget them. `None` when it is not hosted here.
    Record { room: RoomName, identity: Identity, time: Option<Duration>, answer: oneshot::Sender<Option<Recorded>> },
    /// What is recorded of a participant that is or was hosted here.
    Recording { room: RoomName, identity: Identity, answer: oneshot::Sender<Option<Arc<Recording>>> },
}

/// What of a room passed through one shard in the last second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    pub room: RoomKey,
    /// Bit/s, from and to the participants hosted here.
    pub received_bitrate: u64,
    pub sent_bitrate: u64,
}

impl Shard {
    pub(super) fn answer_question(&mut self, now: Instant, question: Question) {
        match question {
            Question::Rooms { most, answer } => reply(answer, || self.room_list(most)),
            Question::Traffic { rooms, answer } => reply(answer, || self.traffic(&rooms)),
            Question::Room { name, from, answer } => reply(answer, || self.room_snapshot(&name, from)),
            Question::Participants { room, participants, answer } => {
                reply(answer, || self.peer_snapshots(now, room, &participants, limits::DEBUG_SUBSCRIPTIONS));
            }
            Question::Record { room, identity, time, answer } => {
                reply(answer, || self.record(now, &room, &identity, time));
            }
            Question::Recording { room, identity, answer } => reply(answer, || self.recording(&room, &identity)),
        }
    }

    fn traffic(&self, rooms: &[RoomKey]) -> Vec<Traffic> {
        let here = rooms.iter().filter_map(|room| self.rooms.get(*self.by_key.get(room)?));
        here.map(|entry| self.traffic_of(entry)).collect()
    }

    fn traffic_of(&self, entry: &RoomOnShard) -> Traffic {
        let mut traffic = Traffic { room: entry.key, received_bitrate: 0, sent_bitrate: 0 };
        let peers = entry.peers.iter().filter_map(|peer| self.peers.get(*peer));
        for sample in peers.filter_map(|peer| peer.recorder.series().newest()) {
            traffic.received_bitrate += u64::from(sample.received_bitrate);
            traffic.sent_bitrate += u64::from(sample.sent_bitrate);
        }
        traffic
    }
}

/// Answers, unless nobody listens any more.
fn reply<T>(answer: oneshot::Sender<T>, make: impl FnOnce() -> T) {
    if !answer.is_closed() {
        let _ = answer.send(make());
    }
}
