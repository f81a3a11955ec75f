//! Publishing: announcements, their matching to offered sections, mute, and the end of a publication.

use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;

use super::admission::source_allowed;
use super::event::{Event, RequestRefusal};
use super::model::*;
use super::news::Urgency;
use super::participant::ParticipantKey;
use super::publication::{CodecPreference, OfferedTrack, Publication, ended_by, match_offered};
use super::{Effect, MatchedMedia, Room, ids};
use crate::limits;

impl Room {
    /// A participant is about to send a track: it gets its id at once; others see it when its section is matched.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        key: ParticipantKey,
        announcement: Announcement,
        random: &mut dyn RngCore,
    ) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let refusal = if !source_allowed(&participant.info.grants, announcement.source) {
            Some(RequestRefusal::NotAllowed)
        } else if participant.publications.len() >= limits::TRACKS_PER_PARTICIPANT {
            Some(RequestRefusal::LimitExceeded)
        } else if announcement.client_id.len() > limits::NAME_BYTES {
            Some(RequestRefusal::Invalid)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.tell(key, Event::AnnouncementRefused { client_id: announcement.client_id, reason });
            return;
        }
        // The same announcement again (a client that retries) is answered with the publication it already has.
        let waiting = participant
            .publications
            .iter()
            .find(|p| !p.is_live() && !p.info.client_id.is_empty() && p.info.client_id == announcement.client_id);
        let track = match waiting {
            Some(publication) => publication.info.clone(),
            None => {
                let publication = Publication::new(ids::track(random), &announcement);
                let info = publication.info.clone();
                participant.publications.push(publication);
                self.tracks.add(info.id.clone(), key);
                info
            }
        };
        self.tell(key, Event::TrackAnnounced { client_id: announcement.client_id, track: Box::new(track) });
        self.match_sections(now, key);
    }

    /// The participant's offer was applied: these are the sections it sends in now.
    pub fn offered(&mut self, now: Instant, key: ParticipantKey, offered: Vec<OfferedTrack>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let ended = ended_by(&participant.publications, &offered, Rendition::Primary);
        let backups_ended = ended_by(&participant.publications, &offered, Rendition::Backup);
        participant.offered = offered;
        for track in &ended {
            self.end_publication(key, track);
        }
        for track in &backups_ended {
            self.end_backup(now, key, track);
        }
        if !(ended.is_empty() && backups_ended.is_empty()) {
            self.publications_changed(now, key, Urgency::AtOnce);
            self.review_followers(now);
        }
        self.match_sections(now, key);
        self.repeat_demand(key);
    }

    /// The codecs in which a participant announced its tracks, for the answer to its next offer; primary renditions first.
    pub fn codec_preferences(&self, key: ParticipantKey) -> Vec<CodecPreference> {
        let published = self.participants.get(&key).map(|p| p.publications.as_slice()).unwrap_or_default();
        published.iter().flat_map(Publication::codec_preferences).collect()
    }

    pub(super) fn match_sections(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let live = match_offered(&mut participant.publications, &participant.offered);
        let started: Vec<(TrackId, Rendition, Effect)> = live
            .into_iter()
            .filter_map(|(index, rendition)| {
                let publication = participant.publications.get(index)?;
                let effect = start_source(key, publication, rendition)?;
                Some((publication.info.id.clone(), rendition, effect))
            })
            .collect();
        if started.is_empty() {
            return;
        }
        if participant.publishing_since.is_none() {
            participant.publishing_since = Some(self.publishing);
            self.publishing += 1;
        }
        // Sources first, then the news, then the subscriptions: whoever is to receive a track has heard of it.
        let mut renditions = Vec::with_capacity(started.len());
        for (track, rendition, effect) in started {
            self.effects.push(effect);
            renditions.push((track, rendition));
        }
        self.publications_changed(now, key, Urgency::AtOnce);
        for (track, rendition) in renditions {
            match rendition {
                Rendition::Primary => self.reconcile_track(now, key, &track),
                Rendition::Backup => self.backup_started(now, &track),
            }
        }
        self.review_followers(now);
    }

    pub(super) fn publications_changed(&mut self, now: Instant, key: ParticipantKey, urgency: Urgency) {
        self.refresh_tracks(key);
        self.changed(now, key, true, urgency);
    }

    /// Shows what is published as it is now.
    pub(super) fn refresh_tracks(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let published_before = !participant.info.tracks.is_empty();
        participant.refresh_tracks();
        match (published_before, !participant.info.tracks.is_empty()) {
            (false, true) => self.info.make_mut().publishers += 1,
            (true, false) => self.publisher_gone(),
            _ => {}
        }
    }

    fn publisher_gone(&mut self) {
        let info = self.info.make_mut();
        info.publishers = info.publishers.saturating_sub(1);
    }

    /// Ends a publication and every subscription of it; does not broadcast.
    pub(super) fn end_publication(&mut self, key: ParticipantKey, track: &TrackId) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(index) = participant.publications.iter().position(|p| p.info.id == *track) else {
            return;
        };
        let publication = participant.publications.remove(index);
        if !participant.publications.iter().any(Publication::is_live) {
            participant.publishing_since = None;
        }
        let Some(entry) = self.tracks.remove(track) else {
            return;
        };
        self.timers.lowering_moved(track, entry.demand.due(), None);
        for subscriber in entry.subscribers.into_keys() {
            if let Some(other) = self.participants.get_mut(&subscriber) {
                other.subscribed.remove(track);
            }
            self.effects.push(Effect::StopForwarding { subscriber, track: track.clone() });
        }
        for concerned in entry.concerned {
            self.forget_wish(concerned, track);
            if let Some(other) = self.participants.get_mut(&concerned) {
                other.refused.remove(track);
            }
        }
        for rendition in [Rendition::Backup, Rendition::Primary] {
            if publication.mid_of(rendition).is_some() {
                self.effects.push(Effect::StopSource { publisher: key, track: track.clone(), rendition });
            }
        }
    }

    pub(super) fn set_muted(&mut self, now: Instant, key: ParticipantKey, track: &TrackId, muted: bool) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(publication) = participant.publication_mut(track) else {
            return;
        };
        if publication.info.muted == muted {
            return;
        }
        publication.info.muted = muted;
        publication.info.version += 1;
        if publication.is_live() {
            self.publications_changed(now, key, Urgency::CanWait);
        }
        self.review_demand(now, track);
    }

    pub(super) fn update_track(&mut self, now: Instant, key: ParticipantKey, track: &TrackId, opaque: Bytes) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(publication) = participant.publication_mut(track) else {
            return;
        };
        publication.info.opaque = opaque;
        publication.info.version += 1;
        if publication.is_live() {
            self.publications_changed(now, key, Urgency::CanWait);
        }
    }
}

/// The media of a rendition that was matched to a section.
fn start_source(publisher: ParticipantKey, publication: &Publication, rendition: Rendition) -> Option<Effect> {
    let switches = publication.backup.as_ref().is_some_and(|backup| backup.plan.policy.regresses());
    let other = publication.mime_type_of(rendition.other()).filter(|_| switches);
    Some(Effect::StartSource {
        publisher,
        track: publication.info.id.clone(),
        rendition,
        media: MatchedMedia {
            mid: publication.mid_of(rendition)?,
            layers: publication.layers_of(rendition).to_vec(),
            other: other.map(str::to_owned),
        },
    })
}
