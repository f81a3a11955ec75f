//! Who hears or sees whom, and telling just those of changes.
//!
//! What always holds: a change costs as much as it has receivers; those to whom the same changes matter are told the same
//! message, kept once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::event::Event;
use super::participant::ParticipantKey;
use super::shared::Shared;
use super::{Effect, Room};

impl Room {
    /// Who hears or sees `publisher`: itself, and those subscribed to any of its tracks.
    pub(super) fn receivers_of(&self, publisher: ParticipantKey) -> BTreeSet<ParticipantKey> {
        let published = self.participants.get(&publisher).map(|p| p.publications.as_slice()).unwrap_or_default();
        let entries = published.iter().filter_map(|publication| self.tracks.get(&publication.info.id));
        let mut receivers: BTreeSet<_> = entries.flat_map(|entry| entry.subscribers.iter().copied()).collect();
        receivers.insert(publisher);
        receivers
    }

    /// Tells each participant those of the changes that are of somebody it receives.
    pub(super) fn tell_receivers<C: Clone>(
        &mut self,
        changes: &[(ParticipantKey, C)],
        event: impl Fn(Shared<Vec<C>>) -> Event,
    ) {
        let mut received: BTreeMap<ParticipantKey, Vec<usize>> = BTreeMap::new();
        for (index, (of, _)) in changes.iter().enumerate() {
            for to in self.receivers_of(*of) {
                received.entry(to).or_default().push(index);
            }
        }
        let mut messages: HashMap<Vec<usize>, Event> = HashMap::new();
        for (to, indices) in received {
            let message = messages.entry(indices).or_insert_with_key(|indices| {
                let told = indices.iter().filter_map(|index| changes.get(*index)).map(|(_, change)| change.clone());
                event(Shared::new(told.collect()))
            });
            self.effects.push(Effect::Tell { to, event: message.clone() });
        }
    }
}
