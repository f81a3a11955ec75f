//! Publishing: announcements, their matching to offered sections, mute, and the end of a publication.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngCore;

use super::admission::source_allowed;
use super::event::{Event, RequestRefusal};
use super::model::*;
use super::participant::ParticipantKey;
use super::publication::{OfferedTrack, Publication, ended_by, match_offered};
use super::timers::Wait;
use super::{Effect, Room, ids};
use crate::limits;

/// How long the offer that carries an announced track may take before the client is asked for one, doubled each time. Clients
/// offer within about 0.2 s; some lose the offer when they announce a track while another one is being made, and would
/// wait for ever.
const OFFER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a client is asked.
const OFFER_REMINDERS: u32 = 3;

/// An offer that is to come.
#[derive(Clone, Copy, Debug)]
pub struct AwaitedOffer {
    until: Instant,
    /// How often the client was asked.
    asked: u32,
}

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
                info
            }
        };
        self.tell(key, Event::TrackAnnounced { client_id: announcement.client_id, track });
        self.match_sections(key);
        self.await_offer(key, AwaitedOffer { until: now + OFFER_TIMEOUT, asked: 0 });
    }

    /// Waits for the offer of what is announced and not matched; without any such, for none.
    fn await_offer(&mut self, key: ParticipantKey, awaited: AwaitedOffer) {
        self.await_no_offer(key);
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.publications.iter().any(|publication| !publication.is_live()) {
            participant.awaited_offer = Some(awaited);
            self.timers.wait(awaited.until, Wait::Offer(key));
        }
    }

    pub(super) fn await_no_offer(&mut self, key: ParticipantKey) {
        if let Some(awaited) = self.participants.get_mut(&key).and_then(|p| p.awaited_offer.take()) {
            self.timers.wait_no_more(awaited.until, Wait::Offer(key));
        }
    }

    /// Asks for an offer that did not come.
    pub(super) fn offer_overdue(&mut self, key: ParticipantKey) {
        let Some(awaited) = self.participants.get(&key).and_then(|participant| participant.awaited_offer) else {
            return;
        };
        self.tell(key, Event::SectionsNeeded { audio: 0, video: 0 });
        let asked = awaited.asked + 1;
        if asked < OFFER_REMINDERS {
            self.await_offer(key, AwaitedOffer { until: awaited.until + OFFER_TIMEOUT * (1 << asked), asked });
        }
    }

    /// The participant's offer was applied: these are the sections it sends in now.
    pub fn offered(&mut self, key: ParticipantKey, offered: Vec<OfferedTrack>) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let ended = ended_by(&participant.publications, &offered);
        participant.offered = offered;
        for track in &ended {
            self.end_publication(key, track);
        }
        if !ended.is_empty() {
            self.publications_changed(key);
            self.review_followers();
        }
        self.match_sections(key);
        // What this offer lacks is still waited for.
        if let Some(awaited) = self.participants.get(&key).and_then(|participant| participant.awaited_offer) {
            self.await_offer(key, awaited);
        }
    }

    fn match_sections(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let live = match_offered(&mut participant.publications, &participant.offered);
        let started: Vec<(TrackId, Effect)> = live
            .into_iter()
            .filter_map(|index| {
                let publication = participant.publications.get(index)?;
                let track = publication.info.id.clone();
                let layers = publication.layers.clone();
                Some((track.clone(), Effect::StartSource { publisher: key, track, mid: publication.mid?, layers }))
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
        let tracks: Vec<TrackId> = started.iter().map(|(track, _)| track.clone()).collect();
        self.effects.extend(started.into_iter().map(|(_, effect)| effect));
        self.publications_changed(key);
        for track in tracks {
            self.reconcile_track(key, &track);
        }
        self.review_followers();
    }

    fn publications_changed(&mut self, key: ParticipantKey) {
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.refresh_tracks();
        }
        self.count();
        self.broadcast(key, true);
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
        for (subscriber, other) in &mut self.participants {
            if other.subscribed.remove(track).is_some() {
                self.effects.push(Effect::StopForwarding { subscriber: *subscriber, track: track.clone() });
            }
            if let Some(give_up) = other.wishes.remove(track).and_then(|wish| wish.give_up) {
                self.timers.wait_no_more(give_up, Wait::Track(*subscriber, track.clone()));
            }
            other.refused.retain(|refused| refused != track);
        }
        if publication.is_live() {
            self.effects.push(Effect::StopSource { publisher: key, track: track.clone() });
        }
    }

    pub(super) fn set_muted(&mut self, key: ParticipantKey, track: &TrackId, muted: bool) {
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
            self.publications_changed(key);
        }
    }

    pub(super) fn update_track(&mut self, key: ParticipantKey, track: &TrackId, opaque: Bytes) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let Some(publication) = participant.publication_mut(track) else {
            return;
        };
        publication.info.opaque = opaque;
        publication.info.version += 1;
        if publication.is_live() {
            self.publications_changed(key);
        }
    }
}
