//! Carrying out what a room decided: each effect becomes orders to the shards that host whom it concerns.

use std::sync::Arc;
use std::time::Instant;

use super::Shard;
use super::home::HomeSource;
use super::leg::{LegMessage, Order, RoomKey, ShardId, SourceDescription, SourceId};
use super::milestones::picture_awaited;
use super::sessions::codec_of;
use super::timers::Owner;
use crate::media::layers::Wanted;
use crate::room::event::Event;
use crate::room::model::{Rendition, TrackId, TrackSource};
use crate::room::participant::ParticipantKey;
use crate::room::{Effect, MatchedMedia};

impl Shard {
    /// Carries out a room's effects until it has none, puts out whoever they doomed, and arms the room's timer.
    pub(super) fn run_effects(&mut self, now: Instant, serial: u64) {
        let mut rooms = vec![serial];
        while let Some(serial) = rooms.pop() {
            loop {
                let effects = self.homes.get_mut(&serial).map(|home| home.state.take_effects()).unwrap_or_default();
                if effects.is_empty() {
                    break;
                }
                for effect in effects {
                    self.carry_out_effect(now, serial, effect);
                }
            }
            if let Some(home) = self.homes.get(&serial) {
                self.timers.arm(Owner::Room(serial), home.state.poll_timeout());
            }
            rooms.extend(self.report_doomed(now));
        }
    }

    fn carry_out_effect(&mut self, now: Instant, serial: u64, effect: Effect) {
        match effect {
            Effect::Tell { to, event } => {
                if let Event::Removed(reason) = &event {
                    let (room, participant) = self.labels(serial, to);
                    tracing::info!(%room, %participant, ?reason, "participant left");
                }
                self.order_to(now, serial, to, Order::Tell { participant: to, event });
            }
            Effect::StartSource { publisher, track, rendition, media } => {
                self.start_source(now, serial, publisher, (track, rendition), media);
            }
            Effect::StopSource { track, rendition, .. } => self.stop_source(now, serial, &(track, rendition)),
            Effect::StartForwarding { subscriber, track, rendition, wanted, .. } => {
                self.start_subscription(now, serial, subscriber, &(track, rendition), wanted);
            }
            Effect::StopForwarding { subscriber, track } => self.end_subscription(now, serial, subscriber, &track),
            Effect::SetWanted { subscriber, track, wanted } => {
                self.order_to(now, serial, subscriber, Order::SetWanted { subscriber, track, wanted });
            }
            Effect::Close { participant } => {
                self.order_to(now, serial, participant, Order::Close { participant });
                self.forget_member(serial, participant);
            }
        }
    }

    /// A room's and a member's own ids, for logs.
    fn labels(&self, serial: u64, participant: ParticipantKey) -> (&str, &str) {
        let Some(home) = self.homes.get(&serial) else { return ("", "") };
        (home.state.info().id.as_str(), home.members.get(&participant).map_or("", |member| member.id.as_str()))
    }

    /// Gives an order to the shard that hosts a participant.
    pub(super) fn order_to(&mut self, now: Instant, serial: u64, participant: ParticipantKey, order: Order) {
        let place = self.homes.get(&serial).and_then(|home| Some((home.key, home.host_of(participant)?)));
        if let Some((room, host)) = place {
            self.order(now, host, room, order);
        }
    }

    /// Gives an order to a shard, which may be this one.
    pub(super) fn order(&mut self, now: Instant, to: ShardId, room: RoomKey, order: Order) {
        if to == self.id {
            self.carry_out(now, room, order);
        } else {
            self.links.push(to, LegMessage::Order(room, order));
        }
    }

    fn start_source(
        &mut self,
        now: Instant,
        serial: u64,
        publisher: ParticipantKey,
        key: (TrackId, Rendition),
        matched: MatchedMedia,
    ) {
        let MatchedMedia { mid, layers, other } = matched;
        let other = other.and_then(|mime| codec_of(&mime));
        let id = SourceId { home: self.id, serial: self.draw_serial() };
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let (Some(host), Some(section)) = (home.host_of(publisher), home.section(publisher, mid)) else {
            return;
        };
        let Some(participant) = home.state.participant(publisher) else { return };
        let publisher_id = participant.info.id.clone();
        let screen = participant.publication(&key.0).is_some_and(|p| p.info.source == TrackSource::ScreenShare);
        let media = section.media.clone();
        let (track, rendition) = key.clone();
        let description =
            SourceDescription { id, track, rendition, other, publisher, publisher_id, mid, screen, layers, media };
        let source = HomeSource::new(Arc::new(description), host);
        let description = source.description.clone();
        home.sources.insert(key, source);
        let room = home.key;
        self.order(now, host, room, Order::StartSource { source: description, from: None });
    }

    fn stop_source(&mut self, now: Instant, serial: u64, key: &(TrackId, Rendition)) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let room = home.key;
        let Some(source) = home.sources.remove(key) else { return };
        for shard in source.mirrors.keys().chain([&source.host]) {
            self.order(now, *shard, room, Order::StopSource { source: source.description.id });
        }
    }

    fn start_subscription(
        &mut self,
        now: Instant,
        serial: u64,
        subscriber: ParticipantKey,
        key: &(TrackId, Rendition),
        wanted: Wanted,
    ) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let (room, Some(host)) = (home.key, home.host_of(subscriber)) else { return };
        let Some(source) = home.sources.get_mut(key) else { return };
        let (id, kind) = (source.description.id, source.description.media.kind);
        let publication = home.state.participant(source.description.publisher).and_then(|p| p.publication(&key.0));
        let muted = publication.is_some_and(|publication| publication.info.muted);
        if source.add_subscriber(subscriber, host) {
            let (description, from) = (source.description.clone(), source.host);
            self.order(now, from, room, Order::HandOver { source: id, to: host, begin: true });
            self.order(now, host, room, Order::StartSource { source: description, from: Some(from) });
        }
        let awaited = picture_awaited(now, kind, muted, wanted);
        self.order(now, host, room, Order::StartForwarding { subscriber, source: id, wanted, awaited });
        // After that order, since what it gets no longer may be gone with this one.
        self.leave_source(now, serial, subscriber, &(key.0.clone(), key.1.other()));
    }

    pub(super) fn end_subscription(&mut self, now: Instant, serial: u64, subscriber: ParticipantKey, track: &TrackId) {
        self.order_to(now, serial, subscriber, Order::StopForwarding { subscriber, track: track.clone() });
        for rendition in [Rendition::Primary, Rendition::Backup] {
            self.leave_source(now, serial, subscriber, &(track.clone(), rendition));
        }
    }

    /// A subscriber gets a rendition no longer; what only it needed is not handed over any more.
    fn leave_source(&mut self, now: Instant, serial: u64, subscriber: ParticipantKey, key: &(TrackId, Rendition)) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let room = home.key;
        let Some(source) = home.sources.get_mut(key) else { return };
        if let Some(host) = source.remove_subscriber(subscriber) {
            let (id, from) = (source.description.id, source.host);
            self.order(now, host, room, Order::StopSource { source: id });
            self.order(now, from, room, Order::HandOver { source: id, to: host, begin: false });
        }
    }
}

impl HomeSource {
    fn new(description: Arc<SourceDescription>, host: ShardId) -> HomeSource {
        HomeSource { description, host, subscribers: Default::default(), mirrors: Default::default() }
    }

    /// True for the first subscriber on a shard that the packets must be handed over to.
    fn add_subscriber(&mut self, subscriber: ParticipantKey, host: ShardId) -> bool {
        if self.subscribers.insert(subscriber, host).is_some() || host == self.host {
            return false;
        }
        let count = self.mirrors.entry(host).or_default();
        *count += 1;
        *count == 1
    }

    /// Gives the shard that the packets need not be handed over to any more.
    fn remove_subscriber(&mut self, subscriber: ParticipantKey) -> Option<ShardId> {
        let host = self.subscribers.remove(&subscriber)?;
        let count = self.mirrors.get_mut(&host)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.mirrors.remove(&host);
        Some(host)
    }
}
