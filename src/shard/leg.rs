//! What a room's home and the shards that host its participants say to each other: orders out, reports back. Plain values,
//! never a handle: a room can have legs wherever such values get to.
//!
//! What always holds: the home alone decides; a host carries out orders in the order they were given, and what it tells one
//! participant is in that order too. A room, participant or source that is gone is named by nothing else afterwards, so that
//! what crosses its end is ignored.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::event_queue::EventSender;
use super::milestones::Admission;
use crate::media::keyframe::Wish;
use crate::media::layers::{Layer, Wanted};
use crate::negotiation::{CodecDescription, MediaKind};
use crate::recorder::Subject;
use crate::room::command::{DataChannelKind, DataProtocol, Offer};
use crate::room::event::Event;
use crate::room::model::{LeaveReason, ParticipantId, Rendition, TrackId};
use crate::room::participant::ParticipantKey;
use crate::room::publication::{CodecPreference, OfferedTrack};
use crate::room::quality::MeasuredNetwork;
use crate::room::speakers::MeasuredLevel;
use crate::transport::IceCredentials;
use crate::wire::codec::Codec;
use crate::wire::extension::ExtensionMap;
use crate::wire::{Mid, Rid};

/// A shard's place among the shards of its server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub usize);

/// One life of a room, by its home and a number the home uses once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RoomKey {
    pub home: ShardId,
    pub serial: u64,
}

/// The media of one rendition of a publication, by its room's home and a number the home uses once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceId {
    pub home: ShardId,
    pub serial: u64,
}

/// All that forwarding must know of a rendition of a publication, wherever its publisher is.
#[derive(Debug)]
pub struct SourceDescription {
    pub id: SourceId,
    pub track: TrackId,
    pub rendition: Rendition,
    /// The codec of the other rendition, where a subscriber may come to get that instead.
    pub other: Option<Codec>,
    pub publisher: ParticipantKey,
    pub publisher_id: ParticipantId,
    pub mid: Mid,
    /// It shows a screen and not a camera.
    pub screen: bool,
    /// Encodings low to high with their sizes, as announced.
    pub layers: Vec<Layer>,
    pub media: SectionMedia,
}

/// What a publisher sends in a section, as negotiated.
#[derive(Clone, Debug)]
pub struct SectionMedia {
    pub kind: MediaKind,
    pub codecs: Vec<CodecDescription>,
    /// The publisher's ids.
    pub extensions: ExtensionMap,
    /// Encodings in the order offered; empty without simulcast.
    pub rids: Vec<Rid>,
}

/// A section in which a participant sends.
#[derive(Clone, Debug)]
pub struct OfferedSection {
    pub track: OfferedTrack,
    pub media: SectionMedia,
}

/// Where a source's packets come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A peer of this shard, by its place in the table.
    Peer(usize),
    /// The shard that hosts the publisher hands them over.
    Shard(ShardId),
}

/// What the home has a host do.
pub enum Order {
    /// Take a participant in: make its transport and session.
    Host {
        participant: ParticipantKey,
        subject: Subject,
        events: EventSender,
        data_protocol: Arc<dyn DataProtocol>,
        /// Set for one that negotiates once: the name of the stream it gets whatever it carries.
        standing: Option<ParticipantId>,
        admission: Box<Admission>,
    },
    /// Hand this to the participant's adaptor.
    Tell {
        participant: ParticipantKey,
        event: Event,
    },
    /// Apply this offer and answer it, with these codecs where they are offered.
    Offer {
        participant: ParticipantKey,
        offer: Offer,
        codecs: Vec<CodecPreference>,
    },
    /// Take these ICE credentials, and tell the ones to use from now on.
    RestartIce {
        participant: ParticipantKey,
        remote: IceCredentials,
    },
    /// The publication begins: bind it to its section, or wait for what `from` hands over.
    StartSource {
        source: Arc<SourceDescription>,
        from: Option<ShardId>,
    },
    StopSource {
        source: SourceId,
    },
    /// Hand the packets of a source whose publisher is here over to a shard with subscribers, or do so no longer.
    HandOver {
        source: SourceId,
        to: ShardId,
        begin: bool,
    },
    /// In the place of the track's other rendition, where the subscriber has that.
    StartForwarding {
        subscriber: ParticipantKey,
        source: SourceId,
        wanted: Wanted,
        /// Since when its first picture is waited for, where that is to be measured.
        awaited: Option<Instant>,
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
    /// Send a data channel message to these.
    Deliver {
        to: Vec<ParticipantKey>,
        kind: DataChannelKind,
        message: Bytes,
    },
    /// Report how loud and how well connected the participants here are.
    Measure {
        levels: bool,
        networks: bool,
    },
    /// The participant is out of the room: release what it holds.
    Close {
        participant: ParticipantKey,
    },
}

/// What a host tells the home.
#[derive(Debug)]
pub enum Report {
    /// An offer was applied, and these are the sections it sends in; `None` when it was refused.
    Offered {
        participant: ParticipantKey,
        sections: Option<Vec<OfferedSection>>,
    },
    /// A participant that negotiates once can receive these: MIME types by kind of section.
    Receives {
        participant: ParticipantKey,
        codecs: Vec<(MediaKind, &'static str)>,
    },
    /// Its media is connected.
    Connected {
        participant: ParticipantKey,
    },
    /// It is to be put out.
    Left {
        participant: ParticipantKey,
        reason: LeaveReason,
    },
    /// Publisher and subscriber have no codec in common.
    ForwardingFailed {
        subscriber: ParticipantKey,
        track: TrackId,
        rendition: Rendition,
    },
    /// Media of a track whose publisher is here begins to arrive, for the first time or again.
    Flows {
        track: TrackId,
        rendition: Rendition,
    },
    /// A data channel message of this participant.
    Data {
        participant: ParticipantKey,
        kind: DataChannelKind,
        message: Bytes,
    },
    /// Everybody here who is not silent.
    Levels(Vec<MeasuredLevel>),
    Networks(Vec<MeasuredNetwork>),
}

/// What one shard says to another.
pub enum LegMessage {
    Order(RoomKey, Order),
    Report(RoomKey, Report),
    /// To the shard that hosts a source's publisher: a subscriber elsewhere needs a keyframe of this encoding.
    KeyframeNeeded {
        source: SourceId,
        encoding: usize,
        wish: Wish,
    },
    /// Messages before this one were lost: whatever was shared is over.
    Lost,
}

impl LegMessage {
    /// What it takes of a backlog, bytes: its own size and that of what it carries.
    pub fn weight(&self) -> usize {
        let carried = match self {
            LegMessage::Order(_, Order::Offer { offer, codecs, .. }) => {
                offer.sdp.len() + size_of_val(codecs.as_slice())
            }
            LegMessage::Order(_, Order::Deliver { to, message, .. }) => size_of_val(to.as_slice()) + message.len(),
            LegMessage::Report(_, Report::Data { message, .. }) => message.len(),
            LegMessage::Report(_, Report::Offered { sections: Some(sections), .. }) => size_of_val(sections.as_slice()),
            LegMessage::Report(_, Report::Levels(levels)) => size_of_val(levels.as_slice()),
            LegMessage::Report(_, Report::Networks(networks)) => size_of_val(networks.as_slice()),
            _ => 0,
        };
        size_of::<LegMessage>() + carried
    }
}
