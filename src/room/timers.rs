//! When a room wants to be looked at again, and when it ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::event::Event;
use super::model::TrackId;
use super::news::Urgency;
use super::participant::ParticipantKey;
use super::quality::QUALITY_INTERVAL;
use super::speakers::SPEAKER_INTERVAL;
use super::{Effect, Room, RoomConfig};

pub(super) struct Timers {
    /// Set while nobody is in the room.
    close_at: Option<Instant>,
    connected_once: bool,
    speakers_at: Instant,
    quality_at: Instant,
    /// Who wants a track that nobody has announced, and until when. Who takes a wish back, or leaves, takes it out.
    waits: BTreeSet<(Instant, ParticipantKey, TrackId)>,
    /// Tracks of which less may soon be told.
    lowerings: BTreeSet<(Instant, TrackId)>,
    /// The participant counts told last.
    told_counts: (u32, u32),
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Due {
    /// Call [`Room::levels_measured`].
    pub levels: bool,
    /// Call [`Room::networks_measured`].
    pub networks: bool,
    /// Nobody came back: drop the room.
    pub close: bool,
}

impl Timers {
    pub fn new(now: Instant, empty_timeout: Duration) -> Timers {
        Timers {
            close_at: Some(now + empty_timeout),
            connected_once: false,
            speakers_at: now + SPEAKER_INTERVAL,
            quality_at: now + QUALITY_INTERVAL,
            waits: BTreeSet::new(),
            lowerings: BTreeSet::new(),
            told_counts: (0, 0),
        }
    }

    pub fn occupied(&mut self) {
        self.close_at = None;
    }

    pub fn was_connected(&mut self) {
        self.connected_once = true;
    }

    pub fn emptied(&mut self, now: Instant, config: &RoomConfig) {
        let linger = if self.connected_once { config.departure_timeout } else { config.empty_timeout };
        self.close_at = Some(now + linger);
    }

    pub fn wait(&mut self, until: Instant, key: ParticipantKey, track: TrackId) {
        self.waits.insert((until, key, track));
    }

    /// Takes back what was waited for until then.
    pub fn wait_no_more(&mut self, until: Instant, key: ParticipantKey, track: &TrackId) {
        self.waits.remove(&(until, key, track.clone()));
    }

    /// A track's lowering is due at another time, begins or is called off.
    pub fn lowering_moved(&mut self, track: &TrackId, before: Option<Instant>, after: Option<Instant>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.lowerings.remove(&(before, track.clone()));
        }
        if let Some(after) = after {
            self.lowerings.insert((after, track.clone()));
        }
    }

    /// Takes one track of which less is to be told.
    fn take_lowering(&mut self, now: Instant) -> Option<TrackId> {
        let due = self.lowerings.first().is_some_and(|(at, _)| *at <= now);
        if due { self.lowerings.pop_first().map(|(_, track)| track) } else { None }
    }

    /// Takes one wait that has run out.
    fn take_due(&mut self, now: Instant) -> Option<(ParticipantKey, TrackId)> {
        let due = self.waits.first().is_some_and(|(until, ..)| *until <= now);
        if due { self.waits.pop_first().map(|(_, key, track)| (key, track)) } else { None }
    }
}

impl Room {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. An empty room only waits for its end.
    pub fn poll_timeout(&self) -> Instant {
        match self.timers.close_at {
            Some(close_at) => close_at,
            None => {
                let soonest = self.timers.speakers_at.min(self.timers.quality_at);
                let waits = self.timers.waits.first().map(|(until, ..)| *until);
                let lowering = self.timers.lowerings.first().map(|(due, _)| *due);
                waits.into_iter().chain(lowering).chain(self.news.due()).fold(soonest, Instant::min)
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        if let Some(close_at) = self.timers.close_at {
            return Due { close: close_at <= now, ..Due::default() };
        }
        let mut due = Due::default();
        if self.timers.speakers_at <= now {
            self.timers.speakers_at = now + SPEAKER_INTERVAL;
            due.levels = true;
        }
        if self.timers.quality_at <= now {
            self.timers.quality_at = now + QUALITY_INTERVAL;
            due.networks = true;
            self.tell_counts();
        }
        self.tell_news_in_time(now, Urgency::CanWait);
        while let Some((key, track)) = self.timers.take_due(now) {
            self.give_up_wish(key, track);
        }
        while let Some(track) = self.timers.take_lowering(now) {
            self.lower_demand(now, &track);
        }
        due
    }

    fn tell_counts(&mut self) {
        let counts = (self.info.participants, self.info.publishers);
        if std::mem::replace(&mut self.timers.told_counts, counts) == counts {
            return;
        }
        for to in self.participants.keys() {
            self.effects.push(Effect::Tell { to: *to, event: Event::Room(self.info.clone()) });
        }
    }
}
