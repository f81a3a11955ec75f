//! One shard: the rooms that are at home here, the peers it hosts, and everything between a datagram in and a datagram out.
//! Sans-IO: time, bytes, messages and randomness are arguments; what is to be sent is left in the [`SendBatch`].
//!
//! What always holds: nothing is shared with another shard but counters and the directory of rooms; no state is made for a
//! datagram that is not from an address which passed an authenticated ICE check; what one peer sends can only end that peer.

mod allocation;
mod beat;
mod data;
pub mod directory;
pub mod downlink;
mod effects;
pub mod event_queue;
mod fan_out;
mod flight;
mod gather;
mod home;
mod hosting;
mod inbound;
pub mod inspect;
mod joining;
pub mod leg;
pub mod links;
pub mod load;
pub mod mailbox;
pub mod milestones;
mod mirror;
mod outbound;
mod outlet;
mod pacing;
mod patience;
mod peer;
mod receive;
mod recovery;
mod reports;
mod resend;
pub mod send;
mod sessions;
mod source;
pub mod switchboard;
pub mod thread;
mod timers;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngCore;
use slab::Slab;

use crate::clock::WallClock;
use crate::media::forward::Scratch;
use crate::recorder::archive::Archive;
use crate::room::command::Command;
use crate::room::model::{LeaveReason, RoomName};
use crate::room::participant::ParticipantKey;
use crate::room::{Moment, RoomConfig};
use crate::telemetry::counters::ShardCounters;
use crate::transport::Certificate;
use crate::wire::Ssrc;
use beat::Beat;
use directory::Directory;
use fan_out::FanOut;
use gather::Gathered;
use home::Home;
use inbound::SourceKey;
use leg::{Report, RoomKey, ShardId, SourceId};
use links::Links;
use mailbox::{Message, SeatId};
use peer::Peer;
use send::SendBatch;
use source::Source;
use timers::{Owner, Timers};

/// When a room that was to close looks again, because a join is on its way to it.
const JOIN_PATIENCE: Duration = Duration::from_millis(10);

/// What a shard is made of.
pub struct ShardConfig {
    pub id: ShardId,
    pub room: RoomConfig,
    pub certificate: Arc<Certificate>,
    /// Host candidates in every answer, best first.
    pub candidates: Vec<SocketAddr>,
    pub wall: WallClock,
    pub random: Box<dyn RngCore + Send>,
    pub counters: Arc<ShardCounters>,
    /// Of all shards, this one included.
    pub directory: Arc<Directory>,
    /// Participants of one room on its home before others are hosted elsewhere; `None`: as many as it can bear.
    pub room_spread: Option<NonZeroUsize>,
    /// Headers of everybody's packets are recorded, as far as the bounds allow.
    pub record_headers: bool,
}

/// Where a datagram came from and to.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub from: SocketAddr,
    /// Index of the socket it came to.
    pub socket: usize,
    /// The machine's address it was sent to, where the kernel tells.
    pub local_ip: Option<IpAddr>,
}

pub struct Shard {
    id: ShardId,
    config: RoomConfig,
    certificate: Arc<Certificate>,
    candidates: Vec<SocketAddr>,
    wall: WallClock,
    beat: Beat,
    random: Box<dyn RngCore + Send>,
    counters: Arc<ShardCounters>,
    directory: Arc<Directory>,
    room_spread: Option<NonZeroUsize>,
    links: Links,
    peers: Slab<Peer>,
    /// What of rooms is on this shard: everything of most, a leg of others.
    rooms: Slab<RoomOnShard>,
    by_key: HashMap<RoomKey, usize>,
    by_source: HashMap<SourceId, (usize, SourceKey)>,
    /// Rooms that are at home here, by serial.
    homes: HashMap<u64, Home>,
    by_name: HashMap<RoomName, u64>,
    by_seat: HashMap<SeatId, (u64, ParticipantKey)>,
    last_serial: u64,
    by_address: HashMap<SocketAddr, usize>,
    by_ufrag: HashMap<String, usize>,
    timers: Timers,
    /// Peers to put out once the present effects are done.
    doomed: Vec<(usize, LeaveReason)>,
    /// Rooms with packets to forward.
    dirty_rooms: Vec<usize>,
    /// Rooms with packets that wait for the rest of their frame.
    waiting_rooms: Vec<usize>,
    fan_out: FanOut,
    /// What is shared out of a peer's way.
    claims: allocation::Claims,
    /// Packets to ask a publisher for: stream and number.
    requests: Vec<(Ssrc, u16)>,
    /// Where packets are rewritten.
    written: Scratch,
    /// An RTCP compound that is written, and what becomes of it.
    scratch: Vec<u8>,
    sealed: Vec<u8>,
    batch: SendBatch,
    draining: bool,
    record_headers: bool,
    /// Recorders of those who left.
    archive: Archive,
}

/// The part of a room that is hosted on this shard: peers and media, no decisions.
struct RoomOnShard {
    key: RoomKey,
    sources: Slab<Source>,
    peers: Vec<usize>,
    participants: HashMap<ParticipantKey, usize>,
    gathered: Gathered,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Shard {
        Shard {
            id: config.id,
            config: config.room,
            certificate: config.certificate,
            candidates: config.candidates,
            wall: config.wall,
            beat: Beat::new(config.wall.anchor()),
            random: config.random,
            counters: config.counters,
            links: Links::new(config.directory.shards().len()),
            directory: config.directory,
            room_spread: config.room_spread,
            peers: Slab::new(),
            rooms: Slab::new(),
            by_key: HashMap::new(),
            by_source: HashMap::new(),
            homes: HashMap::new(),
            by_name: HashMap::new(),
            by_seat: HashMap::new(),
            last_serial: 0,
            by_address: HashMap::new(),
            by_ufrag: HashMap::new(),
            timers: Timers::default(),
            doomed: Vec::new(),
            dirty_rooms: Vec::new(),
            waiting_rooms: Vec::new(),
            fan_out: FanOut::default(),
            claims: allocation::Claims::default(),
            requests: Vec::new(),
            written: Scratch::default(),
            scratch: Vec::with_capacity(2048),
            sealed: Vec::with_capacity(2048),
            batch: SendBatch::default(),
            draining: false,
            record_headers: config.record_headers,
            archive: Archive::default(),
        }
    }

    /// What is to be sent; the caller sends and clears it.
    pub fn outgoing(&mut self) -> &mut SendBatch {
        &mut self.batch
    }

    /// The beat of its timers, which its thread shares.
    pub fn beat(&self) -> Beat {
        self.beat
    }

    /// Everybody was told that the server ends.
    pub fn is_drained(&self) -> bool {
        self.draining
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let archive = self.archive.poll_timeout();
        self.timers.next().into_iter().chain(self.gathered_due()).chain(archive).min()
    }

    pub fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Join { seat, request, events, watch } => self.join(now, seat, &request, events, watch),
            Message::Command { seat, command } => self.command(now, seat, command),
            Message::Gone { seat } => self.command(now, seat, Command::Leave(LeaveReason::SignallingLost)),
            Message::Inspect(question) => self.answer_question(now, question),
            Message::LookUp => {}
            Message::MoveAway { most, told } => {
                let _ = told.send(self.move_away(now, most));
            }
            Message::Shutdown { done } => {
                self.drain(now);
                let _ = done.send(());
            }
        }
        self.mend_links(now);
        self.count();
    }

    /// Tells everybody that the server ends: those in rooms at home here, and those hosted here of rooms that are not.
    fn drain(&mut self, now: Instant) {
        self.draining = true;
        for (serial, participant) in self.by_seat.values().copied().collect::<Vec<_>>() {
            self.send_away(now, serial, participant);
        }
        let here = self.id;
        self.abandon(now, LeaveReason::ServerShutdown, |key| key.home != here);
    }

    /// Sends participants of rooms at home here away. A room is emptied before the next is begun, so that those who are in
    /// a call together soon meet again elsewhere. Gives how many it were.
    fn move_away(&mut self, now: Instant, most: usize) -> usize {
        let mut told = 0;
        while told < most {
            let occupied = self.homes.iter().filter(|(_, home)| !home.members.is_empty());
            let Some(serial) = occupied.map(|(serial, _)| *serial).min() else { break };
            let members = self.homes.get(&serial).into_iter().flat_map(|home| home.members.keys().copied());
            let members: Vec<ParticipantKey> = members.take(most - told).collect();
            told += members.len();
            members.into_iter().for_each(|participant| self.send_away(now, serial, participant));
        }
        told
    }

    fn send_away(&mut self, now: Instant, serial: u64, participant: ParticipantKey) {
        self.take_report(now, self.id, serial, Report::Left { participant, reason: LeaveReason::ServerShutdown });
        self.run_effects(now, serial);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.timers.pop_due(now) {
            match owner {
                Owner::Peer(key) => self.peer_timeout(now, key),
                Owner::Room(room) => self.room_timeout(now, room),
            }
        }
        self.archive.handle_timeout(now);
        self.end_waiting(now);
        self.mend_links(now);
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment { now, unix_ms: self.wall.unix_ms(now) }
    }

    fn peer_timeout(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.transport.handle_timeout(now);
        let report_due = peer.next_report <= now;
        if report_due {
            peer.next_report = now + reports::REPORT_INTERVAL;
        }
        let feedback_due = peer.next_feedback.is_some_and(|at| at <= now);
        let nack_due = peer.next_nack.is_some_and(|at| at <= now);
        let settled = peer.settled.take_if(|at| *at <= now).is_some();
        self.flush(now, key);
        self.repeat_keyframe_requests(now, key);
        if settled {
            self.request_awaited_keyframes(now, key);
        }
        self.send_waiting(now, key);
        self.share_if_due(now, key);
        if nack_due {
            self.ask_again(now, key);
        }
        if feedback_due {
            self.send_transport_feedback(now, key);
        }
        if report_due {
            self.report_to_peer(now, key);
            self.review_progress(now, key);
            self.share_out(now, key);
        }
        self.arm_peer(key);
    }

    fn count(&self) {
        self.counters.rooms.set(self.homes.len() as u64);
        self.counters.participants.set(self.peers.len() as u64);
    }
}
