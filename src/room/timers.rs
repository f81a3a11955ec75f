//! When a room wants to be looked at again, and when it ends.

use std::time::{Duration, Instant};

use super::event::Event;
use super::quality::QUALITY_INTERVAL;
use super::speakers::SPEAKER_INTERVAL;
use super::{Room, RoomConfig};

pub(super) struct Timers {
    /// Set while nobody is in the room.
    close_at: Option<Instant>,
    connected_once: bool,
    speakers_at: Instant,
    quality_at: Instant,
    /// Earliest wish for an unknown track that runs out.
    wishes_at: Option<Instant>,
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
            wishes_at: None,
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

    pub fn wake_at(&mut self, at: Instant) {
        self.wishes_at = Some(self.wishes_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Room {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. An empty room only waits for its end.
    pub fn poll_timeout(&self) -> Instant {
        match self.timers.close_at {
            Some(close_at) => close_at,
            None => {
                let soonest = self.timers.speakers_at.min(self.timers.quality_at);
                self.timers.wishes_at.map_or(soonest, |wishes| soonest.min(wishes))
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
        if self.timers.wishes_at.is_some_and(|at| at <= now) {
            self.timers.wishes_at = self.give_up_wishes(now);
        }
        due
    }

    fn tell_counts(&mut self) {
        let counts = (self.info.participants, self.info.publishers);
        if std::mem::replace(&mut self.timers.told_counts, counts) == counts {
            return;
        }
        let everybody: Vec<_> = self.participants.keys().copied().collect();
        for to in everybody {
            self.tell(to, Event::Room(self.info.clone()));
        }
    }
}
