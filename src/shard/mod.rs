//! One shard: the rooms it owns, their peers, and everything between a datagram in and a datagram out. Sans-IO: time, bytes,
//! messages and randomness are arguments; what is to be sent is left in the [`SendBatch`].
//!
//! What always holds: nothing is shared with another shard but counters; no state is made for a datagram that is not from
//! an address which passed an authenticated ICE check; what one peer sends can only end that peer.

mod data;
mod effects;
mod inbound;
pub mod mailbox;
mod outbound;
mod peer;
mod receive;
mod reports;
pub mod send;
mod sessions;
mod source;
pub mod thread;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand::RngCore;
use slab::Slab;
use tokio::sync::mpsc;

use crate::clock::WallClock;
use crate::congestion::feedback::ArrivalLog;
use crate::media::forward::Packet;
use crate::room::command::{Command, JoinRequest};
use crate::room::event::Event;
use crate::room::model::{JoinError, LeaveReason, RoomName};
use crate::room::participant::ParticipantKey;
use crate::room::{Moment, Room, RoomConfig, admission};
use crate::telemetry::counters::ShardCounters;
use crate::transport::{Certificate, Transport};
use crate::wire::Ssrc;
use inbound::{Inbound, SourceKey};
use mailbox::{Message, SeatId};
use outbound::Outbound;
use peer::Peer;
use send::SendBatch;
use source::Source;
use timers::{Owner, Timers};

/// What a shard is made of.
pub struct ShardConfig {
    pub room: RoomConfig,
    pub certificate: Arc<Certificate>,
    /// Host candidates in every answer, best first.
    pub candidates: Vec<SocketAddr>,
    pub wall: WallClock,
    pub random: Box<dyn RngCore + Send>,
    pub counters: Arc<ShardCounters>,
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
    config: RoomConfig,
    certificate: Arc<Certificate>,
    candidates: Vec<SocketAddr>,
    wall: WallClock,
    random: Box<dyn RngCore + Send>,
    counters: Arc<ShardCounters>,
    peers: Slab<Peer>,
    rooms: Slab<RoomOnShard>,
    by_name: HashMap<RoomName, usize>,
    by_seat: HashMap<SeatId, usize>,
    by_address: HashMap<SocketAddr, usize>,
    by_ufrag: HashMap<String, usize>,
    timers: Timers,
    /// Peers to put out once the present effects are done.
    doomed: Vec<(usize, LeaveReason)>,
    /// Rooms with packets of the present batch to forward.
    dirty_rooms: Vec<usize>,
    scratch: Vec<u8>,
    batch: SendBatch,
    draining: bool,
}

/// A room and its media.
struct RoomOnShard {
    state: Room,
    sources: Slab<Source>,
    peers: Vec<usize>,
    /// Packets of the present batch, in order of arrival.
    arrivals: Vec<Arrived>,
}

/// A media packet of the present batch: parsed, opened in its receive buffer.
struct Arrived {
    source: SourceKey,
    packet: Packet,
    /// Where the plain packet lies in the receive buffer.
    range: std::ops::Range<usize>,
}

impl Shard {
    pub fn new(config: ShardConfig) -> Shard {
        Shard {
            config: config.room,
            certificate: config.certificate,
            candidates: config.candidates,
            wall: config.wall,
            random: config.random,
            counters: config.counters,
            peers: Slab::new(),
            rooms: Slab::new(),
            by_name: HashMap::new(),
            by_seat: HashMap::new(),
            by_address: HashMap::new(),
            by_ufrag: HashMap::new(),
            timers: Timers::default(),
            doomed: Vec::new(),
            dirty_rooms: Vec::new(),
            scratch: Vec::with_capacity(2048),
            batch: SendBatch::default(),
            draining: false,
        }
    }

    /// What is to be sent; the caller sends and clears it.
    pub fn outgoing(&mut self) -> &mut SendBatch {
        &mut self.batch
    }

    /// Everybody was told that the server ends.
    pub fn is_drained(&self) -> bool {
        self.draining
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub fn handle_message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Join { seat, request, events } => self.join(now, seat, *request, events),
            Message::Command { seat, command } => {
                if let Some(key) = self.by_seat.get(&seat).copied() {
                    self.command(now, key, command);
                }
            }
            Message::Gone { seat } => {
                if let Some(key) = self.by_seat.get(&seat).copied() {
                    self.put_out(now, key, LeaveReason::SignallingLost);
                }
            }
            Message::Shutdown { done } => {
                self.draining = true;
                for key in self.peers.iter().map(|(key, _)| key).collect::<Vec<_>>() {
                    self.put_out(now, key, LeaveReason::ServerShutdown);
                }
                let _ = done.send(());
            }
        }
        self.count();
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.timers.pop_due(now) {
            match owner {
                Owner::Peer(key) => self.peer_timeout(now, key),
                Owner::Room(room) => self.room_timeout(now, room),
            }
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment { now, unix_ms: self.wall.unix_ms(now) }
    }

    fn join(&mut self, now: Instant, seat: SeatId, request: JoinRequest, events: mpsc::Sender<Event>) {
        self.counters.joins.add(1);
        if let Err(error) = self.try_join(now, seat, &request, events.clone()) {
            self.counters.joins_refused.add(1);
            let _ = events.try_send(Event::Refused(error));
        }
    }

    fn try_join(
        &mut self,
        now: Instant,
        seat: SeatId,
        request: &JoinRequest,
        events: mpsc::Sender<Event>,
    ) -> Result<(), JoinError> {
        if self.draining {
            return Err(JoinError::ShuttingDown);
        }
        if !admission::join_within_limits(request) {
            return Err(JoinError::OverLimits);
        }
        let room = self.room_named(now, &request.room);
        let at = self.moment(now);
        let key = self.insert_peer(now, seat, room, request, events);
        let Some(entry) = self.rooms.get_mut(room) else {
            return Err(JoinError::ServerFull);
        };
        entry.peers.push(key);
        let joined = entry.state.join(at, ParticipantKey(key), request, self.random.as_mut());
        if joined.is_err() {
            self.remove_peer(now, key);
        }
        self.run_effects(now, room);
        joined?;
        if let Some(offer) = &request.offer {
            self.offer(now, key, offer);
            self.run_effects(now, room);
        }
        self.log_joined(key);
        Ok(())
    }

    fn log_joined(&self, key: usize) {
        let entry = self.peers.get(key).and_then(|peer| self.rooms.get(peer.room));
        let Some(room) = entry.map(|entry| &entry.state) else { return };
        if let Some(participant) = room.participant(ParticipantKey(key)) {
            tracing::info!(room = %room.info().id, participant = %participant.info.id, "participant joined");
        }
    }

    fn room_named(&mut self, now: Instant, name: &RoomName) -> usize {
        if let Some(room) = self.by_name.get(name) {
            return *room;
        }
        let at = self.moment(now);
        let state = Room::new(name.clone(), self.config.clone(), at, self.random.as_mut());
        tracing::info!(room = %state.info().id, "room opened");
        let close_at = state.poll_timeout();
        let entry = RoomOnShard { state, sources: Slab::new(), peers: Vec::new(), arrivals: Vec::new() };
        let room = self.rooms.insert(entry);
        self.by_name.insert(name.clone(), room);
        self.timers.arm(Owner::Room(room), close_at);
        room
    }

    fn insert_peer(
        &mut self,
        now: Instant,
        seat: SeatId,
        room: usize,
        request: &JoinRequest,
        events: mpsc::Sender<Event>,
    ) -> usize {
        let transport = Transport::new(now, self.certificate.clone(), self.random.as_mut());
        // A session id keeps to 62 bits, since some parsers read it as a signed number (RFC 8829, section 5.2.1).
        let mut session = crate::negotiation::Session::new(self.random.next_u64() >> 2);
        let mut outbound = Outbound::default();
        if request.follow.is_some() {
            session.only_send();
            outbound = Outbound::standing();
        }
        let peer = Peer {
            seat,
            room,
            transport,
            session,
            inbound: Inbound::default(),
            outbound,
            channels: data::Channels::default(),
            data_protocol: request.data_protocol.clone(),
            events,
            paths: Vec::new(),
            ufrags: Vec::new(),
            rtcp_ssrc: Ssrc(self.random.next_u32()),
            next_report: now + reports::REPORT_INTERVAL,
            arrivals: ArrivalLog::new(now),
            next_feedback: None,
            answered: false,
        };
        let key = self.peers.insert(peer);
        self.by_seat.insert(seat, key);
        self.register_ufrag(key);
        self.arm_peer(key);
        key
    }

    /// Makes checks for the peer's present ufrag find it.
    fn register_ufrag(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let ufrag = &peer.transport.local_ice().ufrag;
        if !peer.ufrags.contains(ufrag) {
            peer.ufrags.push(ufrag.clone());
            self.by_ufrag.insert(ufrag.clone(), key);
            // Of a restart only the credentials before it stay valid for a while.
            if peer.ufrags.len() > 2 {
                self.by_ufrag.remove(&peer.ufrags.remove(0));
            }
        }
    }

    fn arm_peer(&mut self, key: usize) {
        if let Some(peer) = self.peers.get(key) {
            self.timers.arm(Owner::Peer(key), peer.poll_timeout());
        }
    }

    fn command(&mut self, now: Instant, key: usize, command: Command) {
        let Some(room) = self.peers.get(key).map(|peer| peer.room) else {
            return;
        };
        match command {
            Command::Offer(offer) => self.offer(now, key, &offer),
            Command::RestartIce(remote) => self.restart_ice(key, remote),
            other => {
                if let Some(entry) = self.rooms.get_mut(room) {
                    entry.state.command(now, ParticipantKey(key), other, self.random.as_mut());
                }
            }
        }
        self.run_effects(now, room);
    }

    /// Makes a peer leave its room, for a reason.
    fn put_out(&mut self, now: Instant, key: usize, reason: LeaveReason) {
        let Some(room) = self.peers.get(key).map(|peer| peer.room) else {
            return;
        };
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.state.leave(now, ParticipantKey(key), reason);
        }
        self.run_effects(now, room);
    }

    /// Forgets a peer that is out of its room, with a farewell on its transport.
    fn remove_peer(&mut self, now: Instant, key: usize) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.transport.close(now);
        }
        self.flush_transmits(now, key);
        let Some(peer) = self.peers.try_remove(key) else { return };
        self.by_seat.remove(&peer.seat);
        for ufrag in &peer.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        self.by_address.retain(|_, owner| *owner != key);
        self.timers.disarm(Owner::Peer(key));
        if let Some(entry) = self.rooms.get_mut(peer.room) {
            entry.peers.retain(|other| *other != key);
            let sources: Vec<SourceKey> = peer.outbound.subscriptions().map(|s| s.source).collect();
            for source in sources {
                if let Some(source) = entry.sources.get_mut(source) {
                    source.subscribers.retain(|subscriber| *subscriber != key);
                }
            }
        }
    }

    fn peer_timeout(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.transport.handle_timeout(now);
        let report_due = peer.next_report <= now;
        if report_due {
            peer.next_report = now + reports::REPORT_INTERVAL;
        }
        let feedback_due = peer.next_feedback.is_some_and(|at| at <= now);
        self.flush(now, key);
        self.repeat_keyframe_requests(now, key);
        if feedback_due {
            self.send_transport_feedback(key);
        }
        if report_due {
            self.report(now, key);
        }
        self.arm_peer(key);
    }

    fn room_timeout(&mut self, now: Instant, room: usize) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let due = entry.state.handle_timeout(now);
        if due.close {
            let name = entry.state.info().name.clone();
            tracing::info!(room = %entry.state.info().id, "room closed");
            self.rooms.remove(room);
            self.by_name.remove(&name);
            self.count();
            return;
        }
        if due.levels {
            self.measure_levels(now, room);
            self.review_layers(now, room);
        }
        if due.networks {
            self.measure_networks(room);
        }
        self.run_effects(now, room);
    }

    fn count(&self) {
        self.counters.rooms.set(self.rooms.len() as u64);
        self.counters.participants.set(self.peers.len() as u64);
    }
}
