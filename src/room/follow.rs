//! Followers: participants that negotiate once, and watch one publisher at a time.
//!
//! A follower gets at most one audio and one video track, of one publisher: the one it names, or whoever published first. It
//! stays with that publisher as long as it publishes, unless it cannot read its codecs and another's it can; then the next
//! takes its place. What always holds: the old tracks stop before the new ones start.

use std::time::Instant;

use super::Room;
use super::command::Follow;
use super::model::*;
use super::participant::{Participant, ParticipantKey};
use super::publication::Publication;
use crate::negotiation::MediaKind;

/// A follower's choice, and what it chooses by.
pub struct Following {
    whom: Follow,
    /// MIME types it can read; empty until its offer was applied.
    receives: Vec<(MediaKind, &'static str)>,
    publisher: Option<ParticipantKey>,
    tracks: Vec<TrackId>,
}

impl Following {
    pub fn new(whom: Follow) -> Following {
        Following { whom, receives: Vec::new(), publisher: None, tracks: Vec::new() }
    }

    /// Whether this track is one of those watched now.
    pub fn watches(&self, track: &TrackId) -> bool {
        self.tracks.contains(track)
    }

    fn names(&self, publisher: &Participant) -> bool {
        self.whom.publisher.as_ref().is_none_or(|named| *named == publisher.info.identity)
    }

    fn reads(&self, publication: &Publication) -> bool {
        self.reads_rendition(publication, Rendition::Primary) || self.reads_rendition(publication, Rendition::Backup)
    }

    fn reads_rendition(&self, publication: &Publication, rendition: Rendition) -> bool {
        let mime_type = publication.mime_type_of(rendition);
        self.receives.iter().any(|(_, mime)| Some(*mime) == mime_type)
    }

    /// The one rendition of a publication in two that it cannot read, if it reads the other.
    pub fn lacks(&self, publication: &Publication) -> Option<Rendition> {
        let reads = |rendition| self.reads_rendition(publication, rendition);
        match (reads(Rendition::Primary), reads(Rendition::Backup)) {
            (false, true) => Some(Rendition::Primary),
            (true, false) if publication.backup.is_some() => Some(Rendition::Backup),
            _ => None,
        }
    }

    /// The publisher's track of one kind to watch: of a codec that can be read, of a person rather than a screen, the oldest.
    fn pick<'a>(&self, me: &Participant, publisher: &'a Participant, kind: MediaKind) -> Option<&'a Publication> {
        if !self.receives.iter().any(|(received, _)| *received == kind) {
            return None;
        }
        let of_kind = publisher.publications.iter().filter(|p| p.is_live() && p.info.kind == kind);
        let admitted = of_kind.filter(|p| publisher.admits(me, &p.info.id));
        admitted.min_by_key(|p| (!self.reads(p), is_screen(p.info.source)))
    }

    fn picks<'a>(&self, me: &Participant, publisher: &'a Participant) -> Vec<&'a Publication> {
        let kinds = [MediaKind::Audio, MediaKind::Video];
        kinds.into_iter().filter_map(|kind| self.pick(me, publisher, kind)).collect()
    }
}

fn is_screen(source: TrackSource) -> bool {
    matches!(source, TrackSource::ScreenShare | TrackSource::ScreenShareAudio)
}

impl Room {
    /// A follower's offer was applied: these are the codecs it can read.
    pub fn receives(&mut self, now: Instant, key: ParticipantKey, codecs: Vec<(MediaKind, &'static str)>) {
        if let Some(following) = self.participants.get_mut(&key).and_then(|p| p.following.as_mut()) {
            following.receives = codecs;
            let publishers = self.publishers();
            self.review_follower(now, key, &publishers);
        }
    }

    /// Publications came or went, or who may have them changed.
    pub(super) fn review_followers(&mut self, now: Instant) {
        if self.followers.is_empty() {
            return;
        }
        let publishers = self.publishers();
        let followers: Vec<ParticipantKey> = self.followers.iter().copied().collect();
        for key in followers {
            self.review_follower(now, key, &publishers);
        }
    }

    /// Those that publish and are shown, in the order in which they began to.
    fn publishers(&self) -> Vec<ParticipantKey> {
        let publishers = self.tracks.publishers().filter_map(|key| Some((key, self.participants.get(&key)?)));
        let shown = publishers.filter(|(_, p)| !p.hidden());
        let mut publishing: Vec<_> = shown.filter_map(|(key, p)| Some((p.publishing_since?, key))).collect();
        publishing.sort_unstable();
        publishing.into_iter().map(|(_, key)| key).collect()
    }

    fn review_follower(&mut self, now: Instant, key: ParticipantKey, publishers: &[ParticipantKey]) {
        let chosen = self.choose_publisher(key, publishers);
        let (publisher, tracks) = chosen.map_or((None, Vec::new()), |(publisher, tracks)| (Some(publisher), tracks));
        let Some(following) = self.participants.get_mut(&key).and_then(|p| p.following.as_mut()) else {
            return;
        };
        let before = std::mem::replace(&mut following.tracks, tracks.clone());
        let left = std::mem::replace(&mut following.publisher, publisher);
        for track in before.iter().filter(|track| !tracks.contains(track)) {
            if let Some(left) = left {
                self.reconcile(now, key, left, track);
            }
        }
        for track in &tracks {
            if let Some(publisher) = publisher {
                self.reconcile(now, key, publisher, track);
            }
        }
    }

    /// Whom a follower watches from now on, and what of it.
    fn choose_publisher(
        &self,
        key: ParticipantKey,
        publishers: &[ParticipantKey],
    ) -> Option<(ParticipantKey, Vec<TrackId>)> {
        let me = self.participants.get(&key)?;
        let following = me.following.as_ref()?;
        let candidates = publishers.iter().filter(|publisher| **publisher != key).filter_map(|publisher| {
            let from = self.participants.get(publisher).filter(|from| following.names(from))?;
            let picks = following.picks(me, from);
            (!picks.is_empty()).then_some((*publisher, picks))
        });
        // Of equals the first is taken, and they come in the order in which they began.
        let (publisher, picks) = candidates.min_by_key(|(publisher, picks)| {
            let unreadable = picks.iter().any(|publication| !following.reads(publication));
            (unreadable, following.publisher != Some(*publisher))
        })?;
        Some((publisher, picks.into_iter().map(|publication| publication.info.id.clone()).collect()))
    }
}
