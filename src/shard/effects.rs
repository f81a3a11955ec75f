//! Carrying out what a room decided: events to adaptors, sources and subscriptions started and stopped, peers closed.

use std::time::Instant;

use tokio::sync::mpsc::error::TrySendError;

use super::Shard;
use super::outbound::Waiting;
use super::source::Source;
use crate::media::layers::{Layer, Wanted};
use crate::room::Effect;
use crate::room::event::Event;
use crate::room::model::{LeaveReason, TrackId};
use crate::room::participant::ParticipantKey;
use crate::wire::Mid;

impl Shard {
    /// Carries out a room's effects until it has none, puts out whoever they doomed, and arms the room's timer.
    pub(super) fn run_effects(&mut self, now: Instant, room: usize) {
        loop {
            let effects = self.rooms.get_mut(room).map(|entry| entry.state.take_effects()).unwrap_or_default();
            for effect in effects {
                self.carry_out(now, room, effect);
            }
            let doomed = std::mem::take(&mut self.doomed);
            for (key, reason) in &doomed {
                let owner = self.peers.get(*key).and_then(|peer| self.rooms.get_mut(peer.room));
                if let Some(entry) = owner {
                    entry.state.leave(now, ParticipantKey(*key), *reason);
                }
            }
            if doomed.is_empty() && self.rooms.get(room).is_none_or(|entry| !entry.state.has_effects()) {
                break;
            }
        }
        if let Some(entry) = self.rooms.get(room) {
            self.timers.arm(super::Owner::Room(room), entry.state.poll_timeout());
        }
    }

    fn carry_out(&mut self, now: Instant, room: usize, effect: Effect) {
        match effect {
            Effect::Tell { to, event } => {
                if let Event::Removed(reason) = &event {
                    tracing::info!(?reason, room = %self.room_label(room), "participant left");
                }
                self.tell(to.0, event);
            }
            Effect::StartSource { publisher, track, mid, layers } => {
                self.start_source(room, publisher.0, track, mid, layers);
            }
            Effect::StopSource { publisher, track } => self.stop_source(room, publisher.0, &track),
            Effect::StartForwarding { subscriber, publisher, track, wanted } => {
                self.start_forwarding(now, room, subscriber.0, publisher, track, wanted);
            }
            Effect::StopForwarding { subscriber, track } => self.stop_forwarding(room, subscriber.0, &track),
            Effect::SetWanted { subscriber, track, wanted } => {
                self.set_wanted(now, room, subscriber.0, &track, wanted);
            }
            Effect::Close { participant } => self.remove_peer(now, participant.0),
        }
    }

    fn room_label(&self, room: usize) -> &str {
        self.rooms.get(room).map_or("", |entry| entry.state.info().id.as_str())
    }

    /// Hands an event to the participant's adaptor. One that does not keep up is put out: a queue without bound would
    /// let a slow reader take the server's memory.
    pub(super) fn tell(&mut self, key: usize, event: Event) {
        let Some(peer) = self.peers.get(key) else { return };
        if let Err(TrySendError::Full(_)) = peer.events.try_send(event) {
            self.doomed.push((key, LeaveReason::TooSlow));
        }
    }

    fn start_source(&mut self, room: usize, publisher: usize, track: TrackId, mid: Mid, layers: Vec<Layer>) {
        let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(publisher)) else {
            return;
        };
        let Some(section) = peer.session.sections().iter().find(|section| section.mid == mid) else {
            return;
        };
        let key = entry.sources.insert(Source::new(publisher, track, section, layers));
        peer.inbound.bind(mid, key);
        self.counters.tracks.add(1);
    }

    fn stop_source(&mut self, room: usize, publisher: usize, track: &TrackId) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let Some((key, _)) = entry.sources.iter().find(|(_, source)| source.track == *track) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(publisher) {
            peer.inbound.unbind(key);
        }
        entry.sources.remove(key);
        entry.arrivals.retain(|arrived| arrived.source != key);
        self.counters.tracks.subtract(1);
    }

    fn start_forwarding(
        &mut self,
        now: Instant,
        room: usize,
        subscriber: usize,
        publisher: ParticipantKey,
        track: TrackId,
        wanted: Wanted,
    ) {
        let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
            return;
        };
        let Some(publisher) = entry.state.participant(publisher).map(|p| p.info.id.clone()) else {
            return;
        };
        let Some((key, source)) = entry.sources.iter().find(|(_, source)| source.track == track) else {
            return;
        };
        let codecs = source.codecs.clone();
        let waiting = Waiting { track, source: key, publisher, kind: source.kind, codecs, wanted };
        if peer.outbound.is_standing() {
            return self.bind_standing(now, room, subscriber, &waiting);
        }
        peer.outbound.waiting.push(waiting);
        self.counters.subscriptions.add(1);
        self.ask_for_sections(subscriber, false);
    }

    /// A peer that negotiates once gets another source in the section it has.
    fn bind_standing(&mut self, now: Instant, room: usize, subscriber: usize, waiting: &Waiting) {
        let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
            return;
        };
        if !peer.outbound.bind(&peer.session, waiting) {
            return;
        }
        self.counters.subscriptions.add(1);
        if let Some(source) = entry.sources.get_mut(waiting.source) {
            source.subscribers.push(subscriber);
        }
        self.select_layer(now, room, subscriber, waiting.source);
    }

    fn stop_forwarding(&mut self, room: usize, subscriber: usize, track: &TrackId) {
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

    fn set_wanted(&mut self, now: Instant, room: usize, subscriber: usize, track: &TrackId, wanted: Wanted) {
        let Some(peer) = self.peers.get_mut(subscriber) else {
            return;
        };
        if let Some(waiting) = peer.outbound.waiting.iter_mut().find(|waiting| waiting.track == *track) {
            waiting.wanted = wanted;
        }
        if let Some(subscription) = peer.outbound.by_track(track) {
            subscription.wanted = wanted;
            let source = subscription.source;
            self.select_layer(now, room, subscriber, source);
        }
    }
}
