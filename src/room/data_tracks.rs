//! Data tracks: named streams of small frames on the data-track channel, told apart by a 16-bit handle.
//!
//! The publisher chooses its handles; every subscriber gets handles of its own, unique over all publishers.

use std::collections::HashSet;

use bytes::Bytes;
use rand::RngCore;

use super::event::{DataTrackHandle, Event, RequestRefusal};
use super::model::*;
use super::participant::ParticipantKey;
use super::{Room, ids};
use crate::limits;

impl Room {
    pub(super) fn publish_data_track(
        &mut self,
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
        participant.info.data_tracks.push(track.clone());
        participant.touch();
        self.tell(key, Event::DataTrackPublished { track });
        self.broadcast(key, true);
        self.reconcile_all_data_tracks();
    }

    pub(super) fn unpublish_data_track(&mut self, key: ParticipantKey, handle: u16) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(index) = participant.info.data_tracks.iter().position(|track| track.handle == handle) else {
            self.tell(key, Event::DataTrackRefused { handle, reason: RequestRefusal::NotFound });
            return;
        };
        let track = participant.info.data_tracks.remove(index);
        participant.touch();
        self.tell(key, Event::DataTrackUnpublished { track });
        self.broadcast(key, true);
        self.reconcile_all_data_tracks();
    }

    /// The participant is leaving: its data tracks end.
    pub(super) fn end_data_tracks_of(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if !participant.info.data_tracks.is_empty() {
            participant.info.data_tracks.clear();
            self.reconcile_all_data_tracks();
        }
    }

    pub(super) fn subscribe_data_track(&mut self, key: ParticipantKey, track: TrackId, subscribe: bool) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.data_wishes.len() < limits::PENDING_SUBSCRIPTIONS || participant.data_wishes.contains_key(&track)
        {
            participant.data_wishes.insert(track, subscribe);
            self.reconcile_data_tracks(key);
        }
    }

    fn reconcile_all_data_tracks(&mut self) {
        let published =
            self.participants.values().flat_map(|p| p.info.data_tracks.iter().map(|track| track.id.clone()));
        let published: HashSet<TrackId> = published.collect();
        for participant in self.participants.values_mut() {
            participant.data_wishes.retain(|track, _| published.contains(track));
        }
        let everybody: Vec<ParticipantKey> = self.participants.keys().copied().collect();
        for key in everybody {
            self.reconcile_data_tracks(key);
        }
    }

    /// Brings one subscriber's handles to what they should be, and tells it when they changed.
    pub(super) fn reconcile_data_tracks(&mut self, key: ParticipantKey) {
        let available: Vec<TrackId> = self
            .visible_others(key)
            .flat_map(|other| other.info.data_tracks.iter().map(|track| track.id.clone()))
            .collect();
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let wanted: Vec<TrackId> = available.into_iter().filter(|track| participant.wants_data(track)).collect();
        let before = participant.data_handles.clone();
        participant.data_handles.retain(|_, track| wanted.contains(track));
        for track in wanted {
            if !participant.data_handles.values().any(|known| *known == track)
                && let Some(handle) = participant.free_data_handle()
            {
                participant.data_handles.insert(handle, track);
            }
        }
        if participant.data_handles != before {
            let handles = self.data_handles(key);
            self.tell(key, Event::DataTrackHandles(handles));
        }
    }

    fn data_handles(&self, key: ParticipantKey) -> Vec<DataTrackHandle> {
        let Some(participant) = self.participants.get(&key) else {
            return Vec::new();
        };
        let with_publisher = participant.data_handles.iter().filter_map(|(handle, track)| {
            let publisher = self.participants.values().find(|p| p.info.data_tracks.iter().any(|t| t.id == *track))?;
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
        let Some(track) = track else { return Vec::new() };
        let receiving = self.participants.iter().filter_map(|(key, participant)| {
            let (handle, _) = participant.data_handles.iter().find(|(_, known)| **known == track.id)?;
            Some((*key, *handle))
        });
        receiving.collect()
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
