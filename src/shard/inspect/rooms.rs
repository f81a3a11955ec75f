//! Rooms as their home sees them: who is there, what is published, and on which shards everybody is hosted.

use std::cmp::Reverse;

use serde::Serialize;

use super::super::Shard;
use super::super::home::Home;
use super::super::leg::RoomKey;
use crate::limits;
use crate::negotiation::MediaKind;
use crate::room::model::{
    Identity, ParticipantId, ParticipantState, RoomId, RoomName, TrackId, TrackInfo, TrackSource,
};
use crate::room::participant::{Participant, ParticipantKey};

/// The rooms at home on a shard.
#[derive(Clone, Debug)]
pub struct RoomList {
    pub total: usize,
    /// Those with the most participants first, then by name.
    pub rooms: Vec<RoomSummary>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RoomSummary {
    #[serde(skip)]
    pub key: RoomKey,
    pub name: RoomName,
    pub id: RoomId,
    /// Unix time.
    pub created_at_ms: i64,
    pub participants: usize,
    pub tracks: usize,
    pub home_shard: usize,
    /// Shards that host its participants.
    pub shards: Vec<usize>,
}

/// A room with a part of its participants.
#[derive(Clone, Debug)]
pub struct RoomSnapshot {
    pub room: RoomSummary,
    pub members: Vec<MemberSnapshot>,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemberSnapshot {
    #[serde(skip)]
    pub key: ParticipantKey,
    pub identity: Identity,
    pub id: ParticipantId,
    pub name: String,
    pub state: &'static str,
    /// Unix time.
    pub joined_at_ms: i64,
    pub hidden: bool,
    /// The shard that hosts it.
    pub shard: usize,
    pub tracks: Vec<TrackSnapshot>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TrackSnapshot {
    pub track: TrackId,
    pub kind: &'static str,
    pub source: &'static str,
    pub muted: bool,
    pub mime_type: String,
    /// Of its second codec, once that is announced.
    pub backup_mime_type: Option<&'static str>,
}

impl Shard {
    pub(super) fn room_list(&self, most: usize) -> RoomList {
        let mut homes: Vec<&Home> = self.homes.values().collect();
        let total = homes.len();
        homes.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        homes.truncate(most.min(limits::DEBUG_ROOMS_REACH));
        RoomList { total, rooms: homes.into_iter().map(summary).collect() }
    }

    pub(super) fn room_snapshot(&self, name: &RoomName, from: usize) -> Option<RoomSnapshot> {
        let home = self.homes.get(self.by_name.get(name)?)?;
        let some = home.state.participants().skip(from).take(limits::DEBUG_PARTICIPANTS);
        let members = some.filter_map(|(key, participant)| member(home, key, participant)).collect();
        Some(RoomSnapshot { room: summary(home), members })
    }
}

fn order(home: &Home) -> (Reverse<usize>, &RoomName) {
    (Reverse(home.members.len()), &home.state.info().name)
}

fn summary(home: &Home) -> RoomSummary {
    let info = home.state.info();
    let mut shards: Vec<usize> = home.shards().map(|shard| shard.0).collect();
    shards.sort_unstable();
    RoomSummary {
        key: home.key,
        name: info.name.clone(),
        id: info.id.clone(),
        created_at_ms: info.created_at_ms,
        participants: home.members.len(),
        tracks: home.sources.len(),
        home_shard: home.key.home.0,
        shards,
    }
}

fn member(home: &Home, key: ParticipantKey, participant: &Participant) -> Option<MemberSnapshot> {
    let info = &participant.info;
    Some(MemberSnapshot {
        key,
        identity: info.identity.clone(),
        id: info.id.clone(),
        name: info.name.clone(),
        state: state(info.state),
        joined_at_ms: info.joined_at_ms,
        hidden: info.grants.hidden,
        shard: home.host_of(key)?.0,
        tracks: info.tracks.iter().map(track).collect(),
    })
}

fn track(info: &TrackInfo) -> TrackSnapshot {
    TrackSnapshot {
        track: info.id.clone(),
        kind: kind(info.kind),
        source: source(info.source),
        muted: info.muted,
        mime_type: info.mime_type.clone(),
        backup_mime_type: info.backup.as_ref().map(|backup| backup.mime_type),
    }
}

pub(super) fn kind(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}

fn source(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Unknown => "unknown",
        TrackSource::Camera => "camera",
        TrackSource::Microphone => "microphone",
        TrackSource::ScreenShare => "screen_share",
        TrackSource::ScreenShareAudio => "screen_share_audio",
    }
}

fn state(state: ParticipantState) -> &'static str {
    match state {
        ParticipantState::Joining => "joining",
        ParticipantState::Joined => "joined",
        ParticipantState::Active => "active",
        ParticipantState::Disconnected => "disconnected",
    }
}
