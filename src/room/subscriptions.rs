//! Subscriptions: who receives which track, from wishes, grants and the publishers' audiences.
//!
//! One function decides for one pair ([`Room::reconcile`]); everything else calls it for the pairs a change touches.

use std::time::{Duration, Instant};

use super::demand::Need;
use super::event::{Event, SubscriptionFailure};
use super::model::*;
use super::participant::ParticipantKey;
use super::{Effect, Room};

/// How long a wish for an unknown track waits for it. As long as clients wait for a subscription.
const UNKNOWN_TRACK_TIMEOUT: Duration = Duration::from_secs(15);

impl Room {
    /// Brings one subscription to what it should be.
    pub(super) fn reconcile(
        &mut self,
        now: Instant,
        subscriber: ParticipantKey,
        publisher: ParticipantKey,
        track: &TrackId,
    ) {
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
        self.tell_admission(subscriber, publisher_id, track, wants, admitted);
        let Some(to) = self.participants.get_mut(&subscriber) else {
            return;
        };
        match (wants && admitted, to.subscribed.contains(track)) {
            (true, false) => {
                to.subscribed.insert(track.clone());
                self.note_subscriber(subscriber, track);
                self.forward(subscriber, track);
                self.first_subscriber(publisher, track);
                self.regress_if_due(track);
                self.count_need(now, subscriber, track);
            }
            (false, true) => {
                self.forget_subscriber(now, subscriber, track);
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
            to.refused.insert(track.clone());
            self.note_concerned(subscriber, track);
        } else if allowed && was_refused {
            to.refused.remove(track);
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

    fn note_subscriber(&mut self, subscriber: ParticipantKey, track: &TrackId) {
        let Some(entry) = self.tracks.get_mut(track) else { return };
        let publication = self.participants.get(&entry.publisher).and_then(|from| from.publication(track));
        let following = self.participants.get(&subscriber).and_then(|to| to.following.as_ref());
        // Of others the shard finds out when it comes to negotiate.
        let lacks = following.zip(publication).and_then(|(following, publication)| following.lacks(publication));
        entry.set_need(subscriber, Need { quality: None, lacks });
    }

    pub(super) fn forget_subscriber(&mut self, now: Instant, subscriber: ParticipantKey, track: &TrackId) {
        if let Some(participant) = self.participants.get_mut(&subscriber) {
            participant.subscribed.remove(track);
        }
        if let Some(entry) = self.tracks.get_mut(track) {
            entry.remove_subscriber(subscriber);
            self.review_demand(now, track);
        }
    }

    /// Something of the participant is to be forgotten when the track ends.
    fn note_concerned(&mut self, participant: ParticipantKey, track: &TrackId) {
        if let Some(entry) = self.tracks.get_mut(track) {
            entry.concerned.insert(participant);
        }
    }

    /// One publication against everybody.
    pub(super) fn reconcile_track(&mut self, now: Instant, publisher: ParticipantKey, track: &TrackId) {
        let everybody: Vec<ParticipantKey> = self.participants.keys().copied().collect();
        for subscriber in everybody {
            if let Some(give_up) = self.participants.get_mut(&subscriber).and_then(|p| p.stop_waiting(track)) {
                self.timers.wait_no_more(give_up, subscriber, track);
                self.note_concerned(subscriber, track);
            }
            self.reconcile(now, subscriber, publisher, track);
        }
    }

    /// Everything that is published against one participant.
    pub(super) fn subscribe_to_everything(&mut self, now: Instant, subscriber: ParticipantKey) {
        let publishers = self.tracks.publishers().filter_map(|key| Some((key, self.participants.get(&key)?)));
        let live: Vec<(ParticipantKey, TrackId)> = publishers
            .flat_map(|(key, p)| {
                p.publications.iter().filter(|p| p.is_live()).map(move |publication| (key, publication.info.id.clone()))
            })
            .collect();
        for (publisher, track) in live {
            self.reconcile(now, subscriber, publisher, &track);
        }
        self.reconcile_data_tracks(subscriber);
    }

    pub(super) fn subscribe(&mut self, now: Instant, key: ParticipantKey, tracks: Vec<TrackId>, subscribe: bool) {
        for track in tracks {
            match self.tracks.publisher_of(&track) {
                Some(publisher) => {
                    let Some(participant) = self.participants.get_mut(&key) else { return };
                    participant.wish(&track).subscribe = Some(subscribe);
                    self.note_concerned(key, &track);
                    self.reconcile(now, key, publisher, &track);
                }
                None if subscribe => self.subscribe_to_unknown(now, key, track),
                None => self.forget_wish(key, &track),
            }
        }
    }

    fn subscribe_to_unknown(&mut self, now: Instant, key: ParticipantKey, track: TrackId) {
        self.forget_wish(key, &track);
        let give_up = now + UNKNOWN_TRACK_TIMEOUT;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if participant.wish_for_unknown(&track, give_up) {
            self.timers.wait(give_up, key, track);
        } else {
            self.tell(key, Event::SubscriptionFailed { track, reason: SubscriptionFailure::TrackNotFound });
        }
    }

    /// Gives up a wish for a track that did not come.
    pub(super) fn give_up_wish(&mut self, key: ParticipantKey, track: TrackId) {
        self.forget_wish(key, &track);
        self.tell(key, Event::SubscriptionFailed { track, reason: SubscriptionFailure::TrackNotFound });
    }

    /// Forgets a wish, whether its track exists or not.
    pub(super) fn forget_wish(&mut self, key: ParticipantKey, track: &TrackId) {
        if let Some(give_up) = self.participants.get_mut(&key).and_then(|participant| participant.forget_wish(track)) {
            self.timers.wait_no_more(give_up, key, track);
        }
    }

    pub(super) fn want(&mut self, now: Instant, key: ParticipantKey, tracks: Vec<TrackId>, wanted: Wanted) {
        for track in tracks {
            let exists = self.tracks.publisher_of(&track).is_some();
            let Some(participant) = self.participants.get_mut(&key) else {
                return;
            };
            let subscribed = participant.subscribed.contains(&track);
            if exists {
                participant.wish(&track).wanted = Some(wanted);
                self.note_concerned(key, &track);
            }
            if subscribed {
                self.count_need(now, key, &track);
                self.effects.push(Effect::SetWanted { subscriber: key, track, wanted });
            }
        }
    }

    pub(super) fn set_audience(&mut self, now: Instant, key: ParticipantKey, audience: Audience) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        participant.audience = audience;
        let tracks: Vec<TrackId> = participant.publications.iter().map(|p| p.info.id.clone()).collect();
        for track in tracks {
            self.reconcile_track(now, key, &track);
        }
        self.review_followers(now);
    }
}
