//! The participants a shard hosts and what is forwarded to them: carrying out the orders of their rooms' homes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::data::Channels;
use super::event_queue::{EventSender, NotTaken};
use super::gather::Gathered;
use super::inbound::{Inbound, SourceKey};
use super::leg::{LegMessage, Order, Origin, Report, RoomKey, ShardId, SourceDescription, SourceId};
use super::milestones::Progress;
use super::outbound::{Outbound, Switched, Waiting};
use super::peer::Peer;
use super::source::Source;
use super::timers::Owner;
use super::{RoomOnShard, Shard, reports};
use crate::congestion::feedback::ArrivalLog;
use crate::media::layers::Wanted;
use crate::media::round_trip::RoundTrip;
use crate::negotiation::{MediaKind, Session};
use crate::recorder::decisions::Decision;
use crate::recorder::{Recorder, Subject};
use crate::room::command::DataProtocol;
use crate::room::event::Event;
use crate::room::model::{LeaveReason, ParticipantId, TrackId};
use crate::room::participant::ParticipantKey;
use crate::telemetry::quality::SubscriptionCounts;
use crate::transport::Transport;
use crate::wire::Ssrc;

/// How a participant's adaptor hears and is heard.
struct Ear {
    events: EventSender,
    data_protocol: Arc<dyn DataProtocol>,
}

impl Shard {
    /// Carries out an order of a room's home. One about somebody or something that is gone does nothing.
    pub(super) fn carry_out(&mut self, now: Instant, room: RoomKey, order: Order) {
        match order {
            Order::Host { participant, subject, events, data_protocol, standing, admission } => {
                let ear = Ear { events, data_protocol };
                self.host(now, room, participant, subject, ear, standing, Progress::new(*admission));
                self.record_newcomer(now, room, participant);
            }
            Order::Tell { participant, event } => {
                if let Some((_, key)) = self.hosted(room, participant) {
                    self.tell(key, event);
                }
            }
            Order::Offer { participant, offer, codecs } => {
                if let Some((_, key)) = self.hosted(room, participant) {
                    self.offer(now, key, &offer, codecs);
                }
            }
            Order::RestartIce { participant, remote } => {
                if let Some((_, key)) = self.hosted(room, participant) {
                    self.restart_ice(key, remote);
                }
            }
            Order::StartSource { source, from } => self.add_source(room, &source, from),
            Order::StopSource { source } => self.remove_source(source),
            Order::HandOver { source, to, begin } => self.set_handed(source, to, begin),
            Order::StartForwarding { subscriber, source, wanted, awaited } => {
                self.start_forwarding(now, room, subscriber, source, wanted, awaited);
            }
            Order::StopForwarding { subscriber, track } => self.stop_forwarding(room, subscriber, &track),
            Order::SetWanted { subscriber, track, wanted } => self.set_wanted(now, room, subscriber, &track, wanted),
            Order::Deliver { to, kind, message } => {
                for participant in to {
                    if let Some((_, key)) = self.hosted(room, participant) {
                        self.send_data(now, key, kind, &message);
                    }
                }
            }
            Order::Measure { levels, networks } => self.measure(now, room, levels, networks),
            Order::Close { participant } => {
                if let Some((_, key)) = self.hosted(room, participant) {
                    self.remove_peer(now, key);
                }
            }
        }
    }

    /// Tells the home of a participant's room about it; what comes of it is left to [`settle`](Self::settle).
    pub(super) fn report(&mut self, now: Instant, room: RoomKey, report: Report) {
        if room.home == self.id {
            self.take_report(now, self.id, room.serial, report);
        } else {
            self.links.push(room.home, LegMessage::Report(room, report));
        }
    }

    /// Has everything carried out that reports about a room and events to its participants led to.
    pub(super) fn settle(&mut self, now: Instant, room: RoomKey) {
        if room.home == self.id {
            self.run_effects(now, room.serial);
        }
        for serial in self.report_doomed(now) {
            self.run_effects(now, serial);
        }
    }

    /// Reports those who are to be put out. Gives the rooms at home here that this concerns.
    pub(super) fn report_doomed(&mut self, now: Instant) -> Vec<u64> {
        let mut concerned = Vec::new();
        for (key, reason) in std::mem::take(&mut self.doomed) {
            if let Some((room, participant)) = self.leaves(key) {
                self.report(now, room, Report::Left { participant, reason });
                concerned.extend((room.home == self.id).then_some(room.serial));
            }
        }
        concerned
    }

    /// Who a peer is that is to be put out; once, since its home may take a while.
    fn leaves(&mut self, key: usize) -> Option<(RoomKey, ParticipantKey)> {
        let peer = self.peers.get_mut(key)?;
        if std::mem::replace(&mut peer.leaving, true) { None } else { self.seat_of(key) }
    }

    /// Has a peer's room put it out, for a reason.
    pub(super) fn put_out(&mut self, now: Instant, key: usize, reason: LeaveReason) {
        if let Some((room, participant)) = self.leaves(key) {
            self.report(now, room, Report::Left { participant, reason });
            self.settle(now, room);
        }
    }

    /// A peer's room and who it is there.
    pub(super) fn seat_of(&self, key: usize) -> Option<(RoomKey, ParticipantKey)> {
        let peer = self.peers.get(key)?;
        Some((self.rooms.get(peer.room)?.key, peer.participant))
    }

    /// Places of the room and of the participant's peer in the tables here.
    pub(super) fn hosted(&self, room: RoomKey, participant: ParticipantKey) -> Option<(usize, usize)> {
        let room = *self.by_key.get(&room)?;
        Some((room, *self.rooms.get(room)?.participants.get(&participant)?))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one order")]
    fn host(
        &mut self,
        now: Instant,
        room: RoomKey,
        participant: ParticipantKey,
        subject: Subject,
        ear: Ear,
        standing: Option<ParticipantId>,
        progress: Progress,
    ) {
        self.counters.guests.add(u64::from(room.home != self.id));
        let room = self.room_here(room);
        let transport = Transport::new(now, self.certificate.clone(), self.random.as_mut());
        // A session id keeps to 62 bits, since some parsers read it as a signed number (RFC 8829, section 5.2.1).
        let mut session = Session::new(self.random.next_u64() >> 2);
        if standing.is_some() {
            session.only_send();
        }
        let key = self.peers.insert(Peer {
            participant,
            room,
            downlink: None,
            sharing: Default::default(),
            subject,
            recorder: Recorder::new(now),
            transport,
            session,
            inbound: Inbound::default(),
            outbound: Outbound::new(standing),
            channels: Channels::default(),
            data_protocol: ear.data_protocol,
            events: ear.events,
            progress,
            paths: Vec::new(),
            ufrags: Vec::new(),
            rtcp_ssrc: Ssrc(self.random.next_u32()),
            next_report: now + reports::REPORT_INTERVAL,
            arrivals: ArrivalLog::new(now),
            round_trip: RoundTrip::default(),
            next_nack: None,
            next_feedback: None,
            answered: false,
            subscription_counts: SubscriptionCounts::default(),
            settled: None,
            leaving: false,
            last_batch: 0,
        });
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.peers.push(key);
            entry.participants.insert(participant, key);
        }
        self.register_ufrag(key);
        self.arm_peer(key);
    }

    fn room_here(&mut self, key: RoomKey) -> usize {
        *self.by_key.entry(key).or_insert_with(|| self.rooms.insert(RoomOnShard::new(key)))
    }

    /// Forgets a room of which nobody and nothing is left here.
    fn forget_if_empty(&mut self, room: usize) {
        let empty = |entry: &RoomOnShard| entry.peers.is_empty() && entry.sources.is_empty();
        if self.rooms.get(room).is_some_and(empty) {
            let entry = self.rooms.remove(room);
            self.waiting_rooms.retain(|waiting| *waiting != room);
            self.by_key.remove(&entry.key);
        }
    }

    /// Makes checks for the peer's present ufrag find it.
    pub(super) fn register_ufrag(&mut self, key: usize) {
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

    pub(super) fn arm_peer(&mut self, key: usize) {
        if let Some(peer) = self.peers.get(key) {
            self.timers.arm(Owner::Peer(key), peer.poll_timeout(self.beat));
        }
    }

    /// Forgets a peer that is out of its room, with a farewell on its transport.
    fn remove_peer(&mut self, now: Instant, key: usize) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.transport.close(now);
        }
        self.flush_transmits(now, key);
        let Some(mut peer) = self.peers.try_remove(key) else { return };
        peer.progress.gone(now, &self.counters);
        self.counters.quality.layers.replace(&peer.subscription_counts, &SubscriptionCounts::default());
        for ufrag in &peer.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for (address, _) in &peer.paths {
            if self.by_address.get(address) == Some(&key) {
                self.by_address.remove(address);
            }
        }
        self.timers.disarm(Owner::Peer(key));
        if let Some(entry) = self.rooms.get_mut(peer.room) {
            entry.peers.retain(|other| *other != key);
            entry.participants.remove(&peer.participant);
            let sources: Vec<SourceKey> = peer.outbound.subscriptions().map(|s| s.source).collect();
            for source in sources {
                if let Some(source) = entry.sources.get_mut(source) {
                    source.subscribers.retain(|subscriber| *subscriber != key);
                }
            }
        }
        self.forget_if_empty(peer.room);
        self.keep_recording(now, peer.subject, peer.recorder);
    }

    /// Hands an event to the participant's adaptor. One that does not keep up is put out: a queue without bound would
    /// let a slow reader take the server's memory.
    pub(super) fn tell(&mut self, key: usize, event: Event) {
        let Some(peer) = self.peers.get(key) else { return };
        // Who only watches has no use for news, and there may be thousands of them.
        if peer.outbound.is_standing() && !event.is_of_session() {
            return;
        }
        if peer.events.try_send(event) == Err(NotTaken::Full) {
            self.doomed.push((key, LeaveReason::TooSlow));
        }
    }

    fn add_source(&mut self, room: RoomKey, description: &SourceDescription, from: Option<ShardId>) {
        let publisher = self.hosted(room, description.publisher);
        let origin = match from {
            Some(shard) => Origin::Shard(shard),
            None => match publisher {
                Some((_, key)) => Origin::Peer(key),
                None => return,
            },
        };
        let room = self.room_here(room);
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let is_video = description.media.kind == MediaKind::Video;
        let key = entry.sources.insert(Source::new(origin, description));
        self.by_source.insert(description.id, (room, key));
        if let Origin::Peer(publisher) = origin {
            if let Some(peer) = self.peers.get_mut(publisher) {
                peer.inbound.bind(description.mid, key);
            }
            self.counters.tracks.add(1);
            self.counters.video_tracks.add(is_video.into());
        }
    }

    fn remove_source(&mut self, source: SourceId) {
        let Some((room, key)) = self.by_source.remove(&source) else {
            return;
        };
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let Some(source) = entry.sources.try_remove(key) else { return };
        entry.gathered.forget(key);
        if let Origin::Peer(publisher) = source.origin {
            if let Some(peer) = self.peers.get_mut(publisher) {
                peer.inbound.unbind(key);
            }
            self.counters.tracks.subtract(1);
            self.counters.video_tracks.subtract((source.kind == MediaKind::Video).into());
        }
        self.forget_if_empty(room);
    }

    fn start_forwarding(
        &mut self,
        now: Instant,
        room: RoomKey,
        subscriber: ParticipantKey,
        source: SourceId,
        wanted: Wanted,
        awaited: Option<Instant>,
    ) {
        let Some((room, subscriber)) = self.hosted(room, subscriber) else {
            return;
        };
        let Some((_, key)) = self.by_source.get(&source).copied().filter(|(at, _)| *at == room) else {
            return;
        };
        let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
            return;
        };
        let Some(source) = entry.sources.get_mut(key) else { return };
        let waiting = Waiting { awaited, ..Waiting::new(key, source, wanted) };
        if let Some(waits) = peer.outbound.waiting.iter_mut().find(|waits| waits.track == waiting.track) {
            *waits = waiting;
            return;
        }
        if peer.outbound.by_track(&waiting.track).is_some() {
            return self.switch_rendition(now, room, subscriber, &waiting);
        }
        if !peer.outbound.is_standing() {
            peer.outbound.waiting.push(waiting);
            self.counters.subscriptions.add(1);
            return self.ask_for_sections(subscriber, false);
        }
        // A peer that negotiates once gets another source in the section it has.
        if peer.outbound.bind(&peer.session, &waiting) {
            source.subscribers.push(subscriber);
            self.counters.subscriptions.add(1);
            self.number_packets(now, subscriber);
            self.select_layers(now, room, subscriber, &[key]);
        }
    }

    /// A subscriber gets the other rendition of a track from now on, as the same stream.
    fn switch_rendition(&mut self, now: Instant, room: usize, subscriber: usize, to: &Waiting) {
        let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
            return;
        };
        let (key, participant) = (entry.key, peer.participant);
        match peer.outbound.switch(&peer.session, to) {
            Switched::From(former) => {
                let ssrc = peer.outbound.by_track(&to.track).map(|subscription| subscription.stream.target().ssrc);
                peer.recorder.decided(now, ssrc, Decision::RenditionChanged);
                if let Some(former) = entry.sources.get_mut(former) {
                    former.subscribers.retain(|other| *other != subscriber);
                }
                if let Some(source) = entry.sources.get_mut(to.source) {
                    source.subscribers.push(subscriber);
                }
                self.select_layers(now, room, subscriber, &[to.source]);
            }
            Switched::NoCommonCodec => {
                self.stop_forwarding(key, participant, &to.track);
                let (track, rendition) = (to.track.clone(), to.rendition);
                self.report(now, key, Report::ForwardingFailed { subscriber: participant, track, rendition });
            }
        }
    }

    /// Ends all that is forwarded to a participant or waits to be.
    pub(super) fn end_subscriptions(&mut self, room: RoomKey, subscriber: ParticipantKey) {
        let Some((_, key)) = self.hosted(room, subscriber) else { return };
        let Some(peer) = self.peers.get(key) else { return };
        let placed = peer.outbound.subscriptions().map(|subscription| &subscription.track);
        let waiting = peer.outbound.waiting.iter().map(|waiting| &waiting.track);
        let tracks: Vec<TrackId> = placed.chain(waiting).cloned().collect();
        for track in tracks {
            self.stop_forwarding(room, subscriber, &track);
        }
    }

    fn stop_forwarding(&mut self, room: RoomKey, subscriber: ParticipantKey, track: &TrackId) {
        let Some((room, subscriber)) = self.hosted(room, subscriber) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(subscriber) else {
            return;
        };
        let Some((key, mid)) = peer.outbound.remove(track) else {
            return;
        };
        self.counters.subscriptions.subtract(1);
        if let Some(source) = self.rooms.get_mut(room).and_then(|entry| entry.sources.get_mut(key)) {
            source.subscribers.retain(|other| *other != subscriber);
        }
        if let Some(mid) = mid {
            peer.session.remove_track(mid);
            self.ask_for_sections(subscriber, true);
        }
    }

    fn set_wanted(&mut self, now: Instant, room: RoomKey, subscriber: ParticipantKey, track: &TrackId, wanted: Wanted) {
        let Some((room, subscriber)) = self.hosted(room, subscriber) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(subscriber) else {
            return;
        };
        if let Some(waiting) = peer.outbound.waiting.iter_mut().find(|waiting| waiting.track == *track) {
            waiting.want(wanted);
        }
        if let Some(subscription) = peer.outbound.by_track(track) {
            subscription.want(wanted);
            let source = subscription.source;
            self.select_layers(now, room, subscriber, &[source]);
        }
    }
}

impl RoomOnShard {
    fn new(key: RoomKey) -> RoomOnShard {
        RoomOnShard {
            key,
            sources: Slab::new(),
            peers: Vec::new(),
            participants: HashMap::new(),
            gathered: Gathered::default(),
        }
    }
}
