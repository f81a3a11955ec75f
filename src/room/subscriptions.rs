//! Subscriptions: who receives which track, from wishes, grants and the publishers' audiences.
//!
//! One function decides for one pair ([`Room::reconcile`]); everything else calls it for the pairs a change touches.

use std::time::{Duration, Instant};

use super::event::{Event, SubscriptionFailure};
use super::model::*;
use super::participant::ParticipantKey;
use super::timers::Wait;
use super::{Effect, Room};

/// How long a wish for an unknown track waits for it. As long as clients wait for a subscription.
const UNKNOWN_TRACK_TIMEOUT: Duration = Duration::from_secs(15);

impl Room {
    /// Brings one subscription to what it should be.
    pub(super) fn reconcile(&mut self, subscriber: ParticipantKey, publisher: ParticipantKey, track: &TrackId) {
        if subscriber == publisher {
            return;
        }
        let (Some(from), Some(to)) = (self.participants.get(&publisher), self.participants.get(&subscriber)) else {
            return;
        };
        // A hidden publisher's tracks would name it.
        let live = !from.hidden() && from.publication(track).is_some_and(|p| p.is_live());
        let wants = live && to.wants(track);
        let admitted = from.admits(to, track);
        let publisher_id = from.info.id.clone();
        let wanted = to.wanted(track);
        self.tell_admission(subscriber, publisher_id, track, wants, admitted);
        let Some(to) = self.participants.get_mut(&subscriber) else {
            return;
        };
        match (wants && admitted, to.subscribed.contains_key(track)) {
            (true, false) => {
                to.subscribed.insert(track.clone(), publisher);
                self.effects.push(Effect::StartForwarding { subscriber, publisher, track: track.clone(), wanted });
                self.first_subscriber(publisher, track);
            }
            (false, true) => {
                to.subscribed.remove(track);
                self.effects.push(Effect::StopForwarding { subscriber, track: track.clone() });
            }
            _ => {}
        }
    }

    /// Tells a participant once when a publisher's audience shuts it out, and once when it is let in again.
    fn tell_admission(
        &mut self,
        subscriber: ParticipantKey,
        publisher: ParticipantId,
        track: &TrackId,
        wants: bool,
        allowed: bool,
    ) {
        let Some(to) = self.participants.get_mut(&subscriber) else {
            return;
        };
        let was_refused = to.refused.contains(track);
        if wants && !allowed && !was_refused {
            to.refused.push(track.clone());
        } else if allowed && was_refused {
            to.refused.retain(|refused| refused != track);
        } else {
            return;
        }
        self.tell(subscriber, Event::SubscriptionAllowed { publisher, track: track.clone(), allowed });
    }

    fn first_subscriber(&mut self, publisher: ParticipantKey, track: &TrackId) {
        let Some(from) = self.participants.get_mut(&publisher) else {
            return;
        };
        let Some(publication) = from.publication_mut(track) else {
            return;
        };
        if !std::mem::replace(&mut publication.had_subscriber, true) {
            self.tell(publisher, Event::FirstSubscriber { track: track.clone() });
        }
    }

    /// One publication against everybody.
    pub(super) fn reconcile_track(&mut self, publisher: ParticipantKey, track: &TrackId) {
        let everybody: Vec<ParticipantKey> = self.participants.keys().copied().collect();
        for subscriber in everybody {
            let wish = self.participants.get_mut(&subscriber).and_then(|p| p.wishes.get_mut(track));
            if let Some(give_up) = wish.and_then(|wish| wish.give_up.take()) {
                self.timers.wait_no_more(give_up, Wait::Track(subscriber, track.clone()));
            }
            self.reconcile(subscriber, publisher, track);
        }
    }

    /// Everything that is published against one participant.
    pub(super) fn subscribe_to_everything(&mut self, subscriber: ParticipantKey) {
        let live: Vec<(ParticipantKey, TrackId)> = self
            .participants
            .iter()
            .flat_map(|(key, p)| {
                p.publications.iter().filter(|p| p.is_live()).map(|publication| (*key, publication.info.id.clone()))
            })
            .collect();
        for (publisher, track) in live {
            self.reconcile(subscriber, publisher, &track);
        }
        self.reconcile_data_tracks(subscriber);
    }

    pub(super) fn subscribe(&mut self, now: Instant, key: ParticipantKey, tracks: Vec<TrackId>, subscribe: bool) {
        for track in tracks {
            match self.publisher_of(&track) {
                Some(publisher) => {
                    let Some(participant) = self.participants.get_mut(&key) else { return };
                    participant.wish(&track).subscribe = Some(subscribe);
                    self.reconcile(key, publisher, &track);
                }
                None if subscribe => self.subscribe_to_unknown(now, key, track),
                None => self.forget_wish(key, track),
            }
        }
    }

    fn subscribe_to_unknown(&mut self, now: Instant, key: ParticipantKey, track: TrackId) {
        self.forget_wish(key, track.clone());
        let give_up = now + UNKNOWN_TRACK_TIMEOUT;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if participant.wish_for_unknown(&track, give_up) {
            self.timers.wait(give_up, Wait::Track(key, track));
        } else {
            self.tell(key, Event::SubscriptionFailed { track, reason: SubscriptionFailure::TrackNotFound });
        }
    }

    /// Gives up a wish for a track that did not come.
    pub(super) fn give_up_wish(&mut self, key: ParticipantKey, track: TrackId) {
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.wishes.remove(&track);
        }
        self.tell(key, Event::SubscriptionFailed { track, reason: SubscriptionFailure::TrackNotFound });
    }

    /// Forgets a wish, whether its track exists or not.
    fn forget_wish(&mut self, key: ParticipantKey, track: TrackId) {
        let wish = self.participants.get_mut(&key).and_then(|participant| participant.wishes.remove(&track));
        if let Some(give_up) = wish.and_then(|wish| wish.give_up) {
            self.timers.wait_no_more(give_up, Wait::Track(key, track));
        }
    }

    pub(super) fn want(&mut self, key: ParticipantKey, tracks: Vec<TrackId>, wanted: Wanted) {
        for track in tracks {
            let exists = self.publisher_of(&track).is_some();
            let Some(participant) = self.participants.get_mut(&key) else {
                return;
            };
            let subscribed = participant.subscribed.contains_key(&track);
            if exists {
                participant.wish(&track).wanted = Some(wanted);
            }
            if subscribed {
                self.effects.push(Effect::SetWanted { subscriber: key, track, wanted });
            }
        }
    }

    pub(super) fn set_audience(&mut self, key: ParticipantKey, audience: Audience) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.audience = audience;
        let tracks: Vec<TrackId> = participant.publications.iter().map(|p| p.info.id.clone()).collect();
        for track in tracks {
            self.reconcile_track(key, &track);
        }
        self.review_followers();
    }

    /// The shard could not forward a track: no codec that both sides have.
    pub fn forwarding_failed(&mut self, key: ParticipantKey, track: &TrackId) {
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.subscribed.remove(track);
        }
        let reason = SubscriptionFailure::CodecUnsupported;
        self.tell(key, Event::SubscriptionFailed { track: track.clone(), reason });
    }

    fn publisher_of(&self, track: &TrackId) -> Option<ParticipantKey> {
        self.participants.iter().find(|(_, p)| p.publication(track).is_some()).map(|(key, _)| *key)
    }

    /// Who hears or sees `publisher`: those subscribed to any of its tracks.
    pub(super) fn subscribers_of(&self, publisher: ParticipantKey) -> Vec<ParticipantKey> {
        let subscribed = self.participants.iter().filter(|(_, p)| p.subscribed.values().any(|from| *from == publisher));
        subscribed.map(|(key, _)| *key).collect()
    }
}
