//! A track in two codecs: the one its publisher prefers, and a backup for those who cannot decode that one, sent only while it is
//! needed. Both are one track to everybody.
//!
//! What always holds: a subscriber gets one rendition of a track at a time; the backup begins after the primary and ends
//! with it at the latest.

use std::time::Instant;

use bytes::Bytes;

use super::event::{Event, RequestRefusal, SubscriptionFailure};
use super::model::*;
use super::participant::ParticipantKey;
use super::{Effect, Room};
use crate::limits;

/// A publisher's word that it is about to send a track of its own in the backup codec as well.
#[derive(Clone, PartialEq, Debug)]
pub struct BackupAnnouncement {
    pub track: TrackId,
    /// The name of this rendition in the offer's msid.
    pub client_id: String,
    /// Encodings low to high, as in [`Announcement`].
    pub layers: Vec<Layer>,
    pub opaque: Bytes,
}

impl Room {
    pub(super) fn announce_backup(&mut self, now: Instant, key: ParticipantKey, announcement: BackupAnnouncement) {
        let BackupAnnouncement { track, client_id, layers, opaque } = announcement;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let outcome = match participant.publication_mut(&track) {
            _ if client_id.len() > limits::NAME_BYTES => Err(RequestRefusal::Invalid),
            None => Err(RequestRefusal::NotFound),
            Some(publication) => match &mut publication.backup {
                None => Err(RequestRefusal::Unsupported),
                Some(backup) if backup.mid.is_some() => Err(RequestRefusal::Duplicate),
                Some(backup) => {
                    backup.layers = layers;
                    publication.info.backup = Some(Box::new(BackupInfo {
                        client_id: client_id.clone(),
                        mime_type: backup.plan.mime_type,
                        mid: None,
                        opaque,
                    }));
                    publication.info.version += 1;
                    Ok(publication.info.clone())
                }
            },
        };
        match outcome {
            Err(reason) => self.tell(key, Event::AnnouncementRefused { client_id, reason }),
            Ok(track) => {
                self.tell(key, Event::TrackAnnounced { client_id, track: Box::new(track) });
                self.match_sections(now, key);
            }
        }
    }

    /// Has a subscriber get the rendition that is for it, where there is one.
    pub(super) fn forward(&mut self, subscriber: ParticipantKey, track: &TrackId) {
        let Some(entry) = self.tracks.get(track) else { return };
        let Some(need) = entry.subscribers.get(&subscriber) else { return };
        let (publisher, rendition) = (entry.publisher, entry.demand.rendition_for(*need));
        let publication = self.participants.get(&publisher).and_then(|from| from.publication(track));
        let there = publication.is_some_and(|publication| publication.mid_of(rendition).is_some());
        if let Some(to) = self.participants.get(&subscriber).filter(|_| there) {
            let wanted = to.wanted(track);
            self.effects.push(Effect::StartForwarding {
                subscriber,
                publisher,
                track: track.clone(),
                rendition,
                wanted,
            });
        }
    }

    /// The same for all subscribers that are to get a rendition and did not before.
    fn forward_to(&mut self, track: &TrackId, rendition: Rendition, lacks: Option<Rendition>) {
        let Some(entry) = self.tracks.get(track) else { return };
        let due = entry
            .subscribers
            .iter()
            .filter(|(_, need)| need.lacks == lacks && entry.demand.rendition_for(**need) == rendition);
        for subscriber in due.map(|(subscriber, _)| *subscriber).collect::<Vec<_>>() {
            self.forward(subscriber, track);
        }
    }

    /// The backup is matched to a section: those who wait for it get it.
    pub(super) fn backup_started(&mut self, now: Instant, track: &TrackId) {
        self.forward_to(track, Rendition::Backup, Some(Rendition::Primary));
        self.review_demand(now, track);
    }

    /// The publisher sends the backup no longer: whoever can goes back to the primary.
    pub(super) fn end_backup(&mut self, now: Instant, key: ParticipantKey, track: &TrackId) {
        let publication = self.participants.get_mut(&key).and_then(|participant| participant.publication_mut(track));
        let Some(publication) = publication else { return };
        publication.info.backup = None;
        publication.info.version += 1;
        if let Some(backup) = &mut publication.backup {
            backup.mid = None;
        }
        let Some(entry) = self.tracks.get_mut(track) else { return };
        let before = |need| entry.demand.rendition_for(need) == Rendition::Backup;
        let had: Vec<ParticipantKey> =
            entry.subscribers.iter().filter(|(_, need)| before(**need)).map(|(key, _)| *key).collect();
        entry.demand.set_backup_flows(false);
        for subscriber in had {
            match self.lacks(subscriber, track) {
                Some(Rendition::Primary) => {
                    self.effects.push(Effect::StopForwarding { subscriber, track: track.clone() });
                }
                _ => self.forward(subscriber, track),
            }
        }
        self.effects.push(Effect::StopSource { publisher: key, track: track.clone(), rendition: Rendition::Backup });
        self.review_demand(now, track);
    }

    /// Moves everybody who can decode it to the backup, once somebody needs it, where the publisher's policy is to send one
    /// rendition alone.
    pub(super) fn regress_if_due(&mut self, track: &TrackId) {
        let Some(policy) = self.backup_plan(track).map(|plan| plan.policy) else { return };
        if self.tracks.get_mut(track).is_some_and(|entry| entry.demand.regress(policy)) {
            self.forward_to(track, Rendition::Backup, None);
        }
    }

    /// The shard could not forward a rendition of a track: no codec that both sides have.
    pub fn forwarding_failed(&mut self, now: Instant, key: ParticipantKey, track: &TrackId, rendition: Rendition) {
        let plan = self.backup_plan(track);
        let Some(entry) = self.tracks.get_mut(track) else { return };
        let Some(need) = entry.subscribers.get(&key).copied() else { return };
        if entry.demand.rendition_for(need) != rendition {
            // Another was ordered meanwhile.
            return;
        }
        self.effects.push(Effect::StopForwarding { subscriber: key, track: track.clone() });
        let other_serves = plan.is_some_and(|plan| {
            let may = rendition == Rendition::Primary || plan.policy == BackupPolicy::PreferBackup;
            may && need.lacks.is_none()
        });
        if !other_serves {
            self.forget_subscriber(now, key, track);
            let reason = SubscriptionFailure::CodecUnsupported;
            return self.tell(key, Event::SubscriptionFailed { track: track.clone(), reason });
        }
        if let Some(entry) = self.tracks.get_mut(track) {
            entry.set_need(key, super::demand::Need { lacks: Some(rendition), ..need });
        }
        self.forward(key, track);
        self.regress_if_due(track);
        self.count_need(now, key, track);
    }

    fn lacks(&self, subscriber: ParticipantKey, track: &TrackId) -> Option<Rendition> {
        self.tracks.get(track)?.subscribers.get(&subscriber)?.lacks
    }

    fn backup_plan(&self, track: &TrackId) -> Option<BackupPlan> {
        let publisher = self.tracks.publisher_of(track)?;
        let publication = self.participants.get(&publisher)?.publication(track)?;
        publication.backup.as_ref().map(|backup| backup.plan)
    }
}
