//! One participant of a room: who it is, what it publishes, what it wants.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use super::command::JoinRequest;
use super::follow::Following;
use super::model::*;
use super::publication::{OfferedTrack, Publication};
use super::shared::Shared;
use crate::limits;

/// A participant's place in its shard's table; valid while it is in a room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ParticipantKey(pub usize);

pub struct Participant {
    /// Kept by all who were told of it: [`info_mut`](Self::info_mut) changes it for those told later.
    pub info: Shared<ParticipantInfo>,
    pub auto_subscribe: bool,
    pub auto_subscribe_data: bool,
    pub audience: Audience,
    /// Set for a participant that watches one publisher at a time.
    pub following: Option<Following>,
    /// Its place in the order in which the present publishers began; `None` while it publishes nothing.
    pub publishing_since: Option<u64>,
    pub publications: Vec<Publication>,
    /// What the last offer sends, matched or not.
    pub offered: Vec<OfferedTrack>,
    /// Explicit wishes; what is not here follows `auto_subscribe`.
    pub wishes: HashMap<TrackId, Wish>,
    /// How many of them are for unknown tracks.
    unknown: usize,
    /// Publications forwarded to this participant.
    pub subscribed: BTreeSet<TrackId>,
    /// Tracks a publisher's audience keeps from this participant, so that a change is told once.
    pub refused: HashSet<TrackId>,
    /// Data tracks forwarded to this participant, by the handle its packets carry.
    pub data_handles: BTreeMap<u16, TrackId>,
    /// Explicit wishes for data tracks.
    pub data_wishes: HashMap<TrackId, bool>,
    pub quality: Option<ConnectionQuality>,
}

/// What a subscriber said of one track.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    pub subscribe: Option<bool>,
    pub wanted: Option<Wanted>,
    /// Set while the track is unknown: when to give up.
    pub give_up: Option<Instant>,
}

impl Participant {
    pub fn new(id: ParticipantId, joined_at_ms: i64, request: &JoinRequest) -> Participant {
        Participant {
            info: Shared::new(ParticipantInfo {
                id,
                identity: request.identity.clone(),
                name: request.name.clone(),
                metadata: request.metadata.clone(),
                attributes: request.attributes.clone(),
                state: ParticipantState::Joined,
                joined_at_ms,
                version: 1,
                grants: request.grants.clone(),
                tracks: Vec::new(),
                data_tracks: Vec::new(),
                left: None,
                opaque: request.opaque.clone(),
            }),
            auto_subscribe: request.auto_subscribe,
            auto_subscribe_data: request.auto_subscribe_data,
            audience: Audience::Everyone,
            following: request.follow.clone().map(Following::new),
            publishing_since: None,
            publications: Vec::new(),
            offered: Vec::new(),
            wishes: HashMap::new(),
            unknown: 0,
            subscribed: BTreeSet::new(),
            refused: HashSet::new(),
            data_handles: BTreeMap::new(),
            data_wishes: HashMap::new(),
            quality: None,
        }
    }

    /// Something that others see changes.
    pub fn info_mut(&mut self) -> &mut ParticipantInfo {
        let info = self.info.make_mut();
        info.version += 1;
        info
    }

    pub fn hidden(&self) -> bool {
        self.info.grants.hidden
    }

    /// Shows the matched publications, and only them, in the public information.
    pub fn refresh_tracks(&mut self) {
        let live = self.publications.iter().filter(|p| p.is_live());
        let tracks = live.map(|p| p.info.clone()).collect();
        self.info_mut().tracks = tracks;
    }

    pub fn publication(&self, track: &TrackId) -> Option<&Publication> {
        self.publications.iter().find(|p| p.info.id == *track)
    }

    pub fn publication_mut(&mut self, track: &TrackId) -> Option<&mut Publication> {
        self.publications.iter_mut().find(|p| p.info.id == *track)
    }

    /// Whether this publisher lets `subscriber` have `track`.
    pub fn admits(&self, subscriber: &Participant, track: &TrackId) -> bool {
        if subscriber.info.grants.recorder {
            return true;
        }
        match &self.audience {
            Audience::Everyone => true,
            Audience::Only(rules) => rules.iter().any(|rule| rule.admits(subscriber, track)),
        }
    }

    /// What is wished of a track that exists.
    pub fn wish(&mut self, track: &TrackId) -> &mut Wish {
        self.wishes.entry(track.clone()).or_default()
    }

    /// Remembers that a track that does not exist yet is wanted, until `give_up`. `false` when too many are.
    pub fn wish_for_unknown(&mut self, track: &TrackId, give_up: Instant) -> bool {
        if self.unknown >= limits::PENDING_SUBSCRIPTIONS {
            return false;
        }
        self.forget_wish(track);
        self.unknown += 1;
        self.wishes.insert(track.clone(), Wish { subscribe: Some(true), wanted: None, give_up: Some(give_up) });
        true
    }

    /// The wish is for a track that is known now: it waits no more. Gives when it would have been given up.
    pub fn stop_waiting(&mut self, track: &TrackId) -> Option<Instant> {
        let give_up = self.wishes.get_mut(track)?.give_up.take()?;
        self.unknown = self.unknown.saturating_sub(1);
        Some(give_up)
    }

    /// Forgets a wish. Gives when it would have been given up, if it waited.
    pub fn forget_wish(&mut self, track: &TrackId) -> Option<Instant> {
        let give_up = self.stop_waiting(track);
        self.wishes.remove(track);
        give_up
    }

    pub fn wants(&self, track: &TrackId) -> bool {
        let explicit = self.wishes.get(track).and_then(|wish| wish.subscribe);
        let wants = match &self.following {
            Some(following) => following.watches(track),
            None => explicit.unwrap_or(self.auto_subscribe),
        };
        self.info.grants.subscribe && wants
    }

    pub fn wanted(&self, track: &TrackId) -> Wanted {
        let explicit = self.wishes.get(track).and_then(|wish| wish.wanted);
        explicit.unwrap_or(Wanted::quality(Quality::High))
    }

    pub fn wants_data(&self, track: &TrackId) -> bool {
        let explicit = self.data_wishes.get(track).copied();
        self.info.grants.subscribe && explicit.unwrap_or(self.auto_subscribe_data)
    }

    /// The lowest handle not in use, from 1.
    pub fn free_data_handle(&self) -> Option<u16> {
        // Those in use come in order: the first that is not where it would be without a gap leaves one.
        let gap = self.data_handles.keys().zip(1..=u16::MAX).find(|(used, expected)| *used != expected);
        let after_all = u16::try_from(self.data_handles.len()).ok().and_then(|used| used.checked_add(1));
        gap.map(|(_, free)| free).or(after_all)
    }
}

impl AudienceRule {
    fn admits(&self, subscriber: &Participant, track: &TrackId) -> bool {
        let named = self.identity.as_ref() == Some(&subscriber.info.identity)
            || self.participant.as_ref() == Some(&subscriber.info.id);
        named && self.tracks.as_ref().is_none_or(|tracks| tracks.contains(track))
    }
}
