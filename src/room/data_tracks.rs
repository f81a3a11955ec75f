//! Data tracks: named streams of small frames on the data-track channel, told apart by a 16-bit handle.
//!
//! The publisher chooses its handles; every subscriber gets handles of its own, unique over all publishers.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;

use super::event::{DataTrackHandle, Event, RequestRefusal};
use super::model::*;
use super::news::Urgency;
use super::participant::ParticipantKey;
use super::{Room, ids};
use crate::limits;

impl Room {
    pub(super) fn publish_data_track(
        &mut self,
        now: Instant,
        key: ParticipantKey,
        handle: u16,
        name: String,
        opaque: Bytes,
        random: &mut dyn RngCore,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if let Err(reason) = check_data_track(&participant.info, handle, &name) {
            self.tell(key, Event::DataTrackRefused { handle, reason });
            return;
        }
        let track = DataTrackInfo { id: ids::data_track(random), handle, name, opaque };
        participant.info_mut().data_tracks.push(track.clone());
        self.tracks.add_data(track.id.clone(), key);
        let id = track.id.clone();
        self.tell(key, Event::DataTrackPublished { track: Box::new(track) });
        self.changed(now, key, true, Urgency::AtOnce);
        for subscriber in self.participants.keys().copied().collect::<Vec<_>>() {
            self.reconcile_data(subscriber, std::slice::from_ref(&id));
        }
    }

    pub(super) fn unpublish_data_track(&mut self, now: Instant, key: ParticipantKey, handle: u16) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(index) = participant.info.data_tracks.iter().position(|track| track.handle == handle) else {
            self.tell(key, Event::DataTrackRefused { handle, reason: RequestRefusal::NotFound });
            return;
        };
        let track = participant.info_mut().data_tracks.remove(index);
        let id = track.id.clone();
        self.tell(key, Event::DataTrackUnpublished { track: Box::new(track) });
        self.changed(now, key, true, Urgency::AtOnce);
        self.end_data_tracks(&[id]);
    }

    /// The participant is leaving: its data tracks end.
    pub(super) fn end_data_tracks_of(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if !participant.info.data_tracks.is_empty() {
            let ended = std::mem::take(&mut participant.info_mut().data_tracks);
            self.end_data_tracks(&ended.into_iter().map(|track| track.id).collect::<Vec<_>>());
        }
    }

    /// Takes ended data tracks from their subscribers, and tells each once.
    fn end_data_tracks(&mut self, ended: &[TrackId]) {
        let mut touched = BTreeSet::new();
        for track in ended {
            let Some(entry) = self.tracks.remove_data(track) else {
                continue;
            };
            for (subscriber, handle) in entry.subscribers {
                if let Some(participant) = self.participants.get_mut(&subscriber) {
                    participant.data_handles.remove(&handle);
                    touched.insert(subscriber);
                }
            }
            for concerned in entry.concerned {
                if let Some(participant) = self.participants.get_mut(&concerned) {
                    participant.data_wishes.remove(track);
                }
            }
        }
        for subscriber in touched {
            self.tell_data_handles(subscriber);
        }
    }

    pub(super) fn subscribe_data_track(&mut self, key: ParticipantKey, track: TrackId, subscribe: bool) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.data_wishes.len() >= limits::PENDING_SUBSCRIPTIONS {
            participant.data_wishes.retain(|wished, _| self.tracks.data(wished).is_some());
        }
        if participant.data_wishes.len() < limits::PENDING_SUBSCRIPTIONS || participant.data_wishes.contains_key(&track)
        {
            participant.data_wishes.insert(track.clone(), subscribe);
            self.reconcile_data(key, &[track]);
        }
    }

    /// Every data track against one participant.
    pub(super) fn reconcile_data_tracks(&mut self, key: ParticipantKey) {
        let publishers = self.tracks.publishers().filter_map(|key| self.participants.get(&key));
        let published: Vec<TrackId> =
            publishers.flat_map(|p| p.info.data_tracks.iter().map(|track| track.id.clone())).collect();
        self.reconcile_data(key, &published);
    }

    /// Brings one subscriber's handles of some tracks to what they should be, and tells it when they changed.
    fn reconcile_data(&mut self, key: ParticipantKey, tracks: &[TrackId]) {
        let mut changed = false;
        for track in tracks {
            changed |= self.reconcile_data_track(key, track);
        }
        if changed {
            self.tell_data_handles(key);
        }
    }

    /// Whether it changed.
    fn reconcile_data_track(&mut self, key: ParticipantKey, track: &TrackId) -> bool {
        let (Some(entry), Some(participant)) = (self.tracks.data_mut(track), self.participants.get(&key)) else {
            return false;
        };
        if participant.data_wishes.contains_key(track) {
            entry.concerned.insert(key);
        }
        let visible = self.participants.get(&entry.publisher).is_some_and(|publisher| !publisher.hidden());
        let wanted = visible && entry.publisher != key && participant.wants_data(track);
        let Some(participant) = self.participants.get_mut(&key) else {
            return false;
        };
        match (wanted, entry.subscribers.get(&key).copied()) {
            (true, None) => {
                let Some(handle) = participant.free_data_handle() else {
                    return false;
                };
                participant.data_handles.insert(handle, track.clone());
                entry.subscribers.insert(key, handle);
                true
            }
            (false, Some(handle)) => {
                participant.data_handles.remove(&handle);
                entry.subscribers.remove(&key);
                true
            }
            _ => false,
        }
    }

    fn tell_data_handles(&mut self, key: ParticipantKey) {
        let handles = self.data_handles(key);
        self.tell(key, Event::DataTrackHandles(handles));
    }

    fn data_handles(&self, key: ParticipantKey) -> Vec<DataTrackHandle> {
        let Some(participant) = self.participants.get(&key) else {
            return Vec::new();
        };
        let with_publisher = participant.data_handles.iter().filter_map(|(handle, track)| {
            let publisher = self.participants.get(&self.tracks.data(track)?.publisher)?;
            Some(DataTrackHandle {
                handle: *handle,
                publisher: publisher.info.id.clone(),
                publisher_identity: publisher.info.identity.clone(),
                track: track.clone(),
            })
        });
        with_publisher.collect()
    }

    /// Who receives a frame of the publisher's data track, and under which handle.
    pub fn data_track_recipients(&self, publisher: ParticipantKey, handle: u16) -> Vec<(ParticipantKey, u16)> {
        let track = self
            .participants
            .get(&publisher)
            .and_then(|p| p.info.data_tracks.iter().find(|track| track.handle == handle));
        let entry = track.and_then(|track| self.tracks.data(&track.id));
        entry.map(|entry| entry.subscribers.iter().map(|(key, handle)| (*key, *handle)).collect()).unwrap_or_default()
    }
}

fn check_data_track(publisher: &ParticipantInfo, handle: u16, name: &str) -> Result<(), RequestRefusal> {
    if !publisher.grants.publish_data {
        return Err(RequestRefusal::NotAllowed);
    }
    if handle == 0 || name.is_empty() || name.len() > limits::NAME_BYTES {
        return Err(RequestRefusal::Invalid);
    }
    if publisher.data_tracks.iter().any(|track| track.handle == handle || track.name == name) {
        return Err(RequestRefusal::Duplicate);
    }
    if publisher.data_tracks.len() >= limits::DATA_TRACKS {
        return Err(RequestRefusal::LimitExceeded);
    }
    Ok(())
}
