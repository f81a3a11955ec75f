//! Who hears or sees whom, and telling just those of changes.
//!
//! What always holds: a change costs as much as it has receivers; those to whom the same changes matter are told the same
//! message, kept once.

use std::collections::HashMap;
use std::iter;

use super::event::Event;
use super::participant::ParticipantKey;
use super::shared::Shared;
use super::{Effect, Room};

impl Room {
    /// Who hears or sees `publisher`: itself, and those subscribed to its tracks, once for each.
    fn receivers_of(&self, publisher: ParticipantKey) -> impl Iterator<Item = ParticipantKey> {
        let published = self.participants.get(&publisher).map(|p| p.publications.as_slice()).unwrap_or_default();
        let entries = published.iter().filter_map(|publication| self.tracks.get(&publication.info.id));
        entries.flat_map(|entry| entry.subscribers.keys().copied()).chain(iter::once(publisher))
    }

    /// Tells each participant those of the changes that are of somebody it receives.
    pub(super) fn tell_receivers<C: Clone>(
        &mut self,
        changes: &[(ParticipantKey, C)],
        event: impl Fn(Shared<Vec<C>>) -> Event,
    ) {
        let of_each =
            changes.iter().zip(0..).flat_map(|((of, _), index)| iter::repeat(index).zip(self.receivers_of(*of)));
        let mut received: Vec<(ParticipantKey, usize)> = of_each.map(|(index, to)| (to, index)).collect();
        received.sort_unstable();
        received.dedup();
        let mut messages: HashMap<Vec<usize>, Event> = HashMap::new();
        let mut indices = Vec::new();
        for all in received.chunk_by(|one, next| one.0 == next.0) {
            indices.clear();
            indices.extend(all.iter().map(|(_, index)| *index));
            let Some((to, _)) = all.first() else { continue };
            let message = match messages.get(&indices) {
                Some(message) => message.clone(),
                None => {
                    let told = indices.iter().filter_map(|index| changes.get(*index)).map(|(_, change)| change.clone());
                    let message = event(Shared::new(told.collect()));
                    messages.insert(indices.clone(), message.clone());
                    message
                }
            };
            self.effects.push(Effect::Tell { to: *to, event: message });
        }
    }
}
