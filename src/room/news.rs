//! What everybody is told of the others: who joined, changed, left. At once while the room is quiet; what changes soon after
//! is gathered and told together, so that a thousand joins in a second are some messages to each, not a thousand.
//!
//! What always holds: all that were there are told the same message, kept once; whoever joined meanwhile hears of no stay
//! that ended before; what must be known before something else happens (a track before it is forwarded) is told at once,
//! with all that waited.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::Event;
use super::model::{ParticipantInfo, ParticipantState};
use super::participant::ParticipantKey;
use super::shared::Shared;
use super::{Effect, Room};
use crate::limits;

/// From one telling to the next, when it can wait. Short enough that nobody sees a face late.
pub(super) const NEWS_INTERVAL: Duration = Duration::from_millis(100);

/// Whether a change can wait for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Urgency {
    /// For at most [`NEWS_INTERVAL`].
    CanWait,
    AtOnce,
}

/// What is to be told.
pub(super) struct News {
    items: Vec<Item>,
    /// Where in `items` a participant is, while it is in the room.
    places: HashMap<ParticipantKey, usize>,
    /// Who joined since the last telling, and how many changes there had been then.
    newcomers: HashMap<ParticipantKey, u64>,
    changes: u64,
    not_before: Instant,
}

struct Item {
    of: ParticipantKey,
    info: Shared<ParticipantInfo>,
    /// The number of its last change.
    change: u64,
    /// The participant itself is to hear of it too.
    itself: bool,
}

impl News {
    pub fn new(now: Instant) -> News {
        News { items: Vec::new(), places: HashMap::new(), newcomers: HashMap::new(), changes: 0, not_before: now }
    }

    /// Notes a change; a later one of the same stay takes its place.
    fn note(&mut self, of: ParticipantKey, info: Shared<ParticipantInfo>, itself: bool) {
        self.changes += 1;
        let change = self.changes;
        match self.places.get(&of).and_then(|place| self.items.get_mut(*place)) {
            Some(item) => {
                item.info = info;
                item.change = change;
                item.itself |= itself;
            }
            None => {
                self.places.insert(of, self.items.len());
                self.items.push(Item { of, info, change, itself });
            }
        }
    }

    /// The participant has been told how the room is now.
    fn joined(&mut self, key: ParticipantKey) {
        self.newcomers.insert(key, self.changes);
    }

    /// The participant is out of the room; its place may soon be another's.
    fn left(&mut self, key: ParticipantKey) {
        self.places.remove(&key);
        self.newcomers.remove(&key);
    }

    /// When there is something to tell.
    pub fn due(&self) -> Option<Instant> {
        (!self.items.is_empty()).then_some(self.not_before)
    }

    /// That the participant is here is still to be told.
    fn is_untold(&self, key: ParticipantKey) -> bool {
        self.newcomers.contains_key(&key) && self.places.contains_key(&key)
    }
}

/// Messages of a bounded number of participants each.
fn messages<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<Event> {
    let infos: Vec<Shared<ParticipantInfo>> = items.map(|item| item.info.clone()).collect();
    infos.chunks(limits::PARTICIPANTS_PER_EVENT).map(|chunk| Event::Participants(Shared::new(chunk.to_vec()))).collect()
}

impl Room {
    /// A participant that others see changed, came or went.
    pub(super) fn changed(&mut self, now: Instant, key: ParticipantKey, itself: bool, urgency: Urgency) {
        self.note_change(key, itself);
        self.tell_news_in_time(now, urgency);
    }

    /// Notes a change, to be told in time.
    pub(super) fn note_change(&mut self, key: ParticipantKey, itself: bool) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let info = participant.info.clone();
        if participant.hidden() {
            if itself {
                self.tell(key, Event::Participants(Shared::new(vec![info])));
            }
            return;
        }
        self.news.note(key, info, itself);
    }

    /// Tells what is noted, unless it can wait and must.
    pub(super) fn tell_news_in_time(&mut self, now: Instant, urgency: Urgency) {
        if urgency == Urgency::AtOnce || now >= self.news.not_before {
            self.tell_news(now);
        }
    }

    /// The participant was told of everybody; everybody is to be told of it.
    pub(super) fn newcomer(&mut self, now: Instant, key: ParticipantKey) {
        self.news.joined(key);
        self.changed(now, key, false, Urgency::CanWait);
    }

    /// A participant that was not told of yet begins to speak to others: they must know it.
    pub(super) fn urgency_of(&self, key: ParticipantKey) -> Urgency {
        if self.news.is_untold(key) { Urgency::AtOnce } else { Urgency::CanWait }
    }

    /// A participant is gone from the table; its last news stays.
    pub(super) fn forget_news_of(&mut self, key: ParticipantKey) {
        self.news.left(key);
    }

    /// Tells all that is to be told.
    pub(super) fn tell_news(&mut self, now: Instant) {
        let items = std::mem::take(&mut self.news.items);
        let newcomers = std::mem::take(&mut self.news.newcomers);
        self.news.places.clear();
        if items.is_empty() {
            return;
        }
        // To a newcomer the end of a stay before its own would look like the end of the next one of that identity.
        let ended = items.iter().any(|item| item.info.state == ParticipantState::Disconnected);
        let late = if ended { newcomers } else { HashMap::new() };
        let common = messages(items.iter());
        // Nobody needs to hear that it came itself.
        let only_of = match items.as_slice() {
            [item] if !item.itself => Some(item.of),
            _ => None,
        };
        for to in self.participants.keys().copied().filter(|to| Some(*to) != only_of) {
            self.news.not_before = now + NEWS_INTERVAL;
            match late.get(&to) {
                Some(joined) => {
                    let later = messages(items.iter().filter(|item| item.change > *joined));
                    self.effects.extend(later.into_iter().map(|event| Effect::Tell { to, event }));
                }
                None => self.effects.extend(common.iter().map(|event| Effect::Tell { to, event: event.clone() })),
            }
        }
    }
}
