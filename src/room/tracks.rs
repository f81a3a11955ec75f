//! Where each track of a room is, and whom it concerns: found without a look at everybody.
//!
//! What always holds: a track is here from its announcement to its end; whoever is noted as its subscriber has it among
//! its subscriptions, whoever has a wish about it or was refused it is noted too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::Room;
use super::demand::{Demand, Need};
use super::model::TrackId;
use super::participant::ParticipantKey;

/// One announced or published track.
pub(super) struct TrackEntry {
    pub publisher: ParticipantKey,
    /// With the need that each was counted for.
    pub subscribers: BTreeMap<ParticipantKey, Need>,
    pub demand: Demand,
    /// Those who said something of it, or were told something.
    pub concerned: BTreeSet<ParticipantKey>,
}

/// One data track, with the handle each subscriber knows it by.
pub(super) struct DataTrackEntry {
    pub publisher: ParticipantKey,
    pub subscribers: BTreeMap<ParticipantKey, u16>,
    pub concerned: BTreeSet<ParticipantKey>,
}

impl TrackEntry {
    /// A subscriber is one no longer, and needs nothing.
    pub fn remove_subscriber(&mut self, key: ParticipantKey) {
        if let Some(counted) = self.subscribers.remove(&key) {
            self.demand.count(Some(counted), None);
        }
    }

    /// What somebody, who is a subscriber from now on, needs.
    pub fn set_need(&mut self, key: ParticipantKey, need: Need) {
        let counted = self.subscribers.insert(key, need);
        self.demand.count(counted, Some(need));
    }
}

#[derive(Default)]
pub(super) struct Tracks {
    by_id: HashMap<TrackId, TrackEntry>,
    data_by_id: HashMap<TrackId, DataTrackEntry>,
    /// How many tracks of both kinds each publisher has.
    publishers: BTreeMap<ParticipantKey, usize>,
}

impl Tracks {
    pub fn add(&mut self, id: TrackId, publisher: ParticipantKey) {
        let entry = TrackEntry {
            publisher,
            subscribers: BTreeMap::new(),
            demand: Demand::default(),
            concerned: BTreeSet::new(),
        };
        self.by_id.insert(id, entry);
        self.count_one(publisher);
    }

    pub fn remove(&mut self, id: &TrackId) -> Option<TrackEntry> {
        let entry = self.by_id.remove(id)?;
        self.count_one_less(entry.publisher);
        Some(entry)
    }

    pub fn publisher_of(&self, id: &TrackId) -> Option<ParticipantKey> {
        self.by_id.get(id).map(|entry| entry.publisher)
    }

    pub fn get(&self, id: &TrackId) -> Option<&TrackEntry> {
        self.by_id.get(id)
    }

    pub fn get_mut(&mut self, id: &TrackId) -> Option<&mut TrackEntry> {
        self.by_id.get_mut(id)
    }

    pub fn add_data(&mut self, id: TrackId, publisher: ParticipantKey) {
        let entry = DataTrackEntry { publisher, subscribers: BTreeMap::new(), concerned: BTreeSet::new() };
        self.data_by_id.insert(id, entry);
        self.count_one(publisher);
    }

    pub fn remove_data(&mut self, id: &TrackId) -> Option<DataTrackEntry> {
        let entry = self.data_by_id.remove(id)?;
        self.count_one_less(entry.publisher);
        Some(entry)
    }

    /// Those with any track, announced or published, in the order of their places.
    pub fn publishers(&self) -> impl Iterator<Item = ParticipantKey> {
        self.publishers.keys().copied()
    }

    fn count_one(&mut self, publisher: ParticipantKey) {
        *self.publishers.entry(publisher).or_default() += 1;
    }

    fn count_one_less(&mut self, publisher: ParticipantKey) {
        let count = self.publishers.entry(publisher).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.publishers.remove(&publisher);
        }
    }

    pub fn data(&self, id: &TrackId) -> Option<&DataTrackEntry> {
        self.data_by_id.get(id)
    }

    pub fn data_mut(&mut self, id: &TrackId) -> Option<&mut DataTrackEntry> {
        self.data_by_id.get_mut(id)
    }
}

impl Room {
    /// Takes a participant that leaves out of every track it received or spoke of.
    pub(super) fn leave_tracks(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let subscribed: Vec<TrackId> = participant.subscribed.iter().cloned().collect();
        let concerning = participant.subscribed.iter().chain(participant.wishes.keys()).chain(&participant.refused);
        for track in concerning {
            if let Some(entry) = self.tracks.get_mut(track) {
                entry.remove_subscriber(key);
                entry.concerned.remove(&key);
            }
        }
        for track in participant.data_handles.values().chain(participant.data_wishes.keys()) {
            if let Some(entry) = self.tracks.data_mut(track) {
                entry.subscribers.remove(&key);
                entry.concerned.remove(&key);
            }
        }
        for track in subscribed {
            self.review_demand(now, &track);
        }
    }
}
