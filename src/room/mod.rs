//! Rooms, participants, publications, subscriptions, permissions, speakers: decisions, no bytes.
//!
//! A [`Room`] takes commands and what the shard observed, and leaves [`Effect`]s behind: events to tell, subscriptions to
//! start or stop, participants to close. It never calls anything.
//!
//! What always holds: a track is shown to others only while it is matched to a section of its publisher's session; a
//! subscription exists only between a live publication and a participant whose grants, wishes and the publisher's
//! audience all allow it; a hidden participant appears in nobody's events but its own.

pub mod admission;
pub mod command;
mod data_tracks;
mod demand;
pub mod event;
pub mod follow;
pub mod ids;
pub mod model;
mod news;
pub mod participant;
pub mod publication;
mod publishing;
pub mod quality;
mod receivers;
pub mod renditions;
pub mod shared;
pub mod speakers;
mod subscriptions;
mod timers;
mod tracks;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rand::RngCore;

use command::{Command, JoinRequest};
use event::{Event, JoinedRoom, RequestRefusal};
use model::*;
use news::{News, Urgency};
use participant::{Participant, ParticipantKey};
use shared::Shared;
use speakers::Speakers;
use timers::Timers;
use tracks::Tracks;

use crate::limits;
use crate::wire::Mid;

/// MIME types that publishers may send, video first (clients take the first video codec as the default).
pub const PUBLISH_CODECS: [&str; 7] =
    ["video/VP8", "video/H264", "video/VP9", "video/AV1", "video/H265", "audio/opus", "audio/red"];

/// How rooms behave.
#[derive(Clone, Debug)]
pub struct RoomConfig {
    /// How long a room lives in which nobody was ever connected.
    pub empty_timeout: Duration,
    /// How long a room outlives its last participant.
    pub departure_timeout: Duration,
    /// 0: no limit but `limits::ROOM_PARTICIPANTS`.
    pub max_participants: u32,
}

/// Something the shard must do, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Tell {
        to: ParticipantKey,
        event: Event,
    },
    /// A rendition of the publication is matched: media of this section belongs to it.
    StartSource {
        publisher: ParticipantKey,
        track: TrackId,
        rendition: Rendition,
        media: MatchedMedia,
    },
    StopSource {
        publisher: ParticipantKey,
        track: TrackId,
        rendition: Rendition,
    },
    /// In the place of the track's other rendition, where the subscriber has that.
    StartForwarding {
        subscriber: ParticipantKey,
        publisher: ParticipantKey,
        track: TrackId,
        rendition: Rendition,
        wanted: Wanted,
    },
    StopForwarding {
        subscriber: ParticipantKey,
        track: TrackId,
    },
    SetWanted {
        subscriber: ParticipantKey,
        track: TrackId,
        wanted: Wanted,
    },
    /// The participant is out of the room: release what it holds.
    Close {
        participant: ParticipantKey,
    },
}

/// Where media of a rendition is found, and what it consists of.
#[derive(Clone, PartialEq, Debug)]
pub struct MatchedMedia {
    pub mid: Mid,
    /// Encodings low to high, as announced.
    pub layers: Vec<Layer>,
    /// MIME type of the other rendition, where subscribers may come to get that instead.
    pub other: Option<String>,
}

/// The moment a decision is made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    /// Unix time, milliseconds.
    pub unix_ms: i64,
}

pub struct Room {
    info: Shared<RoomInfo>,
    config: RoomConfig,
    participants: BTreeMap<ParticipantKey, Participant>,
    by_identity: HashMap<Identity, ParticipantKey>,
    by_id: HashMap<ParticipantId, ParticipantKey>,
    tracks: Tracks,
    news: News,
    /// Those of them that follow.
    followers: BTreeSet<ParticipantKey>,
    /// How often somebody began to publish.
    publishing: u64,
    speakers: Speakers,
    timers: Timers,
    effects: Vec<Effect>,
}

impl Room {
    pub fn new(name: RoomName, config: RoomConfig, at: Moment, random: &mut dyn RngCore) -> Room {
        Room {
            info: Shared::new(RoomInfo {
                id: ids::room(random),
                name,
                metadata: String::new(),
                created_at_ms: at.unix_ms,
                participants: 0,
                publishers: 0,
                empty_timeout: whole_seconds(config.empty_timeout),
                departure_timeout: whole_seconds(config.departure_timeout),
                max_participants: config.max_participants,
            }),
            timers: Timers::new(at.now, config.empty_timeout),
            config,
            participants: BTreeMap::new(),
            by_identity: HashMap::new(),
            by_id: HashMap::new(),
            tracks: Tracks::default(),
            news: News::new(at.now),
            followers: BTreeSet::new(),
            publishing: 0,
            speakers: Speakers::default(),
            effects: Vec::new(),
        }
    }

    pub fn info(&self) -> &RoomInfo {
        &self.info
    }

    pub fn participant(&self, key: ParticipantKey) -> Option<&Participant> {
        self.participants.get(&key)
    }

    /// Those of the named that are here.
    pub fn named(&self, identities: &[Identity], ids: &[ParticipantId]) -> BTreeSet<ParticipantKey> {
        let by_identity = identities.iter().filter_map(|identity| self.by_identity.get(identity));
        by_identity.chain(ids.iter().filter_map(|id| self.by_id.get(id))).copied().collect()
    }

    pub fn participants(&self) -> impl Iterator<Item = (ParticipantKey, &Participant)> {
        self.participants.iter().map(|(key, participant)| (*key, participant))
    }

    /// What is to be done, in order; empties the list.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Lets a participant in. An older one of the same identity is put out first.
    pub fn join(
        &mut self,
        at: Moment,
        key: ParticipantKey,
        request: &JoinRequest,
        random: &mut dyn RngCore,
    ) -> Result<(), JoinError> {
        if let Some(old) = self.by_identity.get(&request.identity).copied() {
            self.leave(at.now, old, LeaveReason::DuplicateIdentity);
        }
        let configured = self.config.max_participants as usize;
        let most = if configured == 0 { limits::ROOM_PARTICIPANTS } else { configured.min(limits::ROOM_PARTICIPANTS) };
        if self.participants.len() >= most {
            return Err(JoinError::RoomFull);
        }
        let participant = Participant::new(ids::participant(random), at.unix_ms, request);
        let info = participant.info.clone();
        if participant.following.is_some() {
            self.followers.insert(key);
        }
        self.insert(key, participant);
        self.timers.occupied();
        let others = self.visible_others(key).map(|other| other.info.clone()).collect();
        let joined =
            JoinedRoom { room: self.info.clone(), participant: info, others, publish_codecs: PUBLISH_CODECS.to_vec() };
        self.tell(key, Event::Joined(Box::new(joined)));
        self.newcomer(at.now, key);
        for announcement in &request.announcements {
            self.announce(at.now, key, announcement.clone(), random);
        }
        self.subscribe_to_everything(at.now, key);
        Ok(())
    }

    /// Media of the participant is connected.
    pub fn connected(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        if participant.info.state == ParticipantState::Active {
            return;
        }
        participant.info_mut().state = ParticipantState::Active;
        self.timers.was_connected();
        self.changed(now, key, true, self.urgency_of(key));
        self.tell_known_qualities(key);
    }

    /// Puts a participant out: its subscriptions and publications end, others are told.
    pub fn leave(&mut self, now: Instant, key: ParticipantKey, reason: LeaveReason) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        let tracks: Vec<TrackId> = participant.publications.iter().map(|p| p.info.id.clone()).collect();
        let published = participant.publishing_since.is_some();
        let subscribed: Vec<TrackId> = participant.subscribed.iter().cloned().collect();
        for track in tracks {
            self.end_publication(key, &track);
        }
        self.leave_tracks(now, key);
        for track in subscribed {
            self.effects.push(Effect::StopForwarding { subscriber: key, track });
        }
        self.end_data_tracks_of(key);
        self.wait_no_more(key);
        self.refresh_tracks(key);
        let Some(participant) = self.participants.get_mut(&key) else {
            return;
        };
        let info = participant.info_mut();
        info.state = ParticipantState::Disconnected;
        info.left = Some(reason);
        self.note_change(key, false);
        self.tell(key, Event::Removed(reason));
        self.effects.push(Effect::Close { participant: key });
        self.remove(key);
        // After `Removed` nothing is told to whoever left, not even this.
        self.tell_news_in_time(now, Urgency::CanWait);
        if published {
            self.review_followers(now);
        }
        if self.participants.is_empty() {
            self.timers.emptied(now, &self.config);
        }
    }

    fn insert(&mut self, key: ParticipantKey, participant: Participant) {
        let info = participant.info.clone();
        if !participant.hidden() {
            self.info.make_mut().participants += 1;
        }
        self.by_identity.insert(info.identity.clone(), key);
        self.by_id.insert(info.id.clone(), key);
        self.participants.insert(key, participant);
    }

    fn remove(&mut self, key: ParticipantKey) {
        let Some(gone) = self.participants.remove(&key) else {
            return;
        };
        if !gone.hidden() {
            let info = self.info.make_mut();
            info.participants = info.participants.saturating_sub(1);
        }
        self.by_identity.remove(&gone.info.identity);
        self.followers.remove(&key);
        self.by_id.remove(&gone.info.id);
        self.speakers.forget(key);
        self.forget_news_of(key);
    }

    /// Takes back every wait of a participant.
    fn wait_no_more(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else {
            return;
        };
        for (track, wish) in &participant.wishes {
            if let Some(give_up) = wish.give_up {
                self.timers.wait_no_more(give_up, key, track);
            }
        }
    }

    /// A participant's command; offers and ICE are the shard's to handle, which then calls [`offered`](Self::offered).
    pub fn command(&mut self, now: Instant, key: ParticipantKey, command: Command, random: &mut dyn RngCore) {
        match command {
            Command::Offer(_) | Command::RestartIce(_) => {}
            Command::Announce(announcement) => self.announce(now, key, announcement, random),
            Command::AnnounceBackup(announcement) => self.announce_backup(now, key, announcement),
            Command::SetMuted { track, muted } => self.set_muted(now, key, &track, muted),
            Command::Subscribe { tracks, subscribe } => self.subscribe(now, key, tracks, subscribe),
            Command::Want { tracks, wanted } => self.want(now, key, tracks, wanted),
            Command::SetAudience(audience) => self.set_audience(now, key, audience),
            Command::UpdateSelf { request, name, metadata, attributes } => {
                let outcome = self.update_self(now, key, name, metadata, attributes);
                self.tell(key, Event::UpdateOutcome { request, outcome });
            }
            Command::UpdateTrack { track, opaque } => self.update_track(now, key, &track, opaque),
            Command::PublishDataTrack { handle, name, opaque } => {
                self.publish_data_track(now, key, handle, name, opaque, random);
            }
            Command::UnpublishDataTrack { handle } => self.unpublish_data_track(now, key, handle),
            Command::SubscribeDataTrack { track, subscribe } => self.subscribe_data_track(key, track, subscribe),
            Command::Leave(reason) => self.leave(now, key, reason),
        }
    }

    fn update_self(
        &mut self,
        now: Instant,
        key: ParticipantKey,
        name: Option<String>,
        metadata: Option<String>,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), RequestRefusal> {
        let participant = self.participants.get_mut(&key).ok_or(RequestRefusal::NotFound)?;
        if !participant.info.grants.update_own_metadata {
            return Err(RequestRefusal::NotAllowed);
        }
        let name = name.unwrap_or_else(|| participant.info.name.clone());
        let metadata = metadata.unwrap_or_else(|| participant.info.metadata.clone());
        let mut merged = participant.info.attributes.clone();
        merged.extend(attributes);
        merged.retain(|_, value| !value.is_empty());
        if !admission::texts_within_limits(&name, &metadata, &merged) {
            return Err(RequestRefusal::LimitExceeded);
        }
        let info = participant.info_mut();
        info.name = name;
        info.metadata = metadata;
        info.attributes = merged;
        self.changed(now, key, true, Urgency::CanWait);
        Ok(())
    }

    fn visible_others(&self, key: ParticipantKey) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(move |(other, p)| **other != key && !p.hidden()).map(|(_, p)| p)
    }

    fn tell(&mut self, to: ParticipantKey, event: Event) {
        self.effects.push(Effect::Tell { to, event });
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
