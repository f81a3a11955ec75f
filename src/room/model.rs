//! The nouns of a room, as every protocol adaptor sees them. Neutral words: no protocol's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use crate::media::layers::{Layer, Picture, Quality, Wanted};
use crate::negotiation::MediaKind;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A room's name, as tokens and users say it. 1 to `limits::NAME_BYTES` bytes.
    RoomName
);
text_id!(
    /// Who a participant is to the application; unique in a room. 1 to `limits::NAME_BYTES` bytes.
    Identity
);
text_id!(
    /// One life of a room, `RM_` and 12 letters or digits.
    RoomId
);
text_id!(
    /// One stay of a participant, `PA_` and 12 letters or digits.
    ParticipantId
);
text_id!(
    /// One publication of a track (`TR_…`) or data track (`DTR_…`).
    TrackId
);

/// What a token allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grants {
    pub publish: bool,
    /// Empty: every source.
    pub publish_sources: Vec<TrackSource>,
    pub publish_data: bool,
    pub subscribe: bool,
    pub update_own_metadata: bool,
    /// Not shown to others.
    pub hidden: bool,
    /// Records the room: may subscribe to everything, whatever publishers allow.
    pub recorder: bool,
    /// May speak for others in data messages.
    pub agent: bool,
}

/// Where a track comes from (W3C: camera and microphone by getUserMedia, the others by getDisplayMedia).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TrackSource {
    Unknown,
    Camera,
    Microphone,
    ScreenShare,
    ScreenShareAudio,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParticipantState {
    /// Asked to join; not connected.
    Joining,
    /// Knows the room; media not connected.
    Joined,
    /// Media connected.
    Active,
    Disconnected,
}

#[derive(Clone, PartialEq, Debug)]
pub struct ParticipantInfo {
    pub id: ParticipantId,
    pub identity: Identity,
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub state: ParticipantState,
    /// Unix time, milliseconds.
    pub joined_at_ms: i64,
    /// Grows with every change.
    pub version: u32,
    pub grants: Grants,
    pub tracks: Vec<TrackInfo>,
    pub data_tracks: Vec<DataTrackInfo>,
    /// Why it left, once `state` is disconnected.
    pub left: Option<LeaveReason>,
    /// What its adaptor wants other adaptors to know; opaque to the room.
    pub opaque: Bytes,
}

#[derive(Clone, PartialEq, Debug)]
pub struct TrackInfo {
    pub id: TrackId,
    pub kind: MediaKind,
    pub source: TrackSource,
    pub muted: bool,
    /// Section of the publisher's session, once matched.
    pub mid: Option<String>,
    /// The negotiated codec, as a MIME type such as `video/VP8`; empty until matched.
    pub mime_type: String,
    /// More than one encoding is offered.
    pub simulcast: bool,
    /// The name the publisher's adaptor gave the announcement (its `client_id`).
    pub client_id: String,
    /// Grows with every change.
    pub version: u32,
    /// The announcement in its adaptor's own form; opaque to the room.
    pub opaque: Bytes,
    /// The same track in a second codec, once that is announced.
    pub backup: Option<Box<BackupInfo>>,
}

/// One of the codecs a publisher sends a track in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Rendition {
    Primary,
    /// For those who cannot decode the primary.
    Backup,
}

impl Rendition {
    pub const fn other(self) -> Rendition {
        match self {
            Rendition::Primary => Rendition::Backup,
            Rendition::Backup => Rendition::Primary,
        }
    }
}

/// The codec in which a publisher would send a track for those who cannot decode the first one, and who gets which then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupPlan {
    /// MIME type, such as `video/VP8`.
    pub mime_type: &'static str,
    pub policy: BackupPolicy,
}

/// What becomes of the primary rendition once somebody needs the backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupPolicy {
    /// Everybody who can decode the backup gets it; the primary is sent for others only.
    PreferBackup,
    /// Both are sent, to each the one it can decode, the primary first.
    Both,
    /// The backup takes the place of the primary.
    BackupAlone,
}

impl BackupPolicy {
    /// Whether those who can decode both come to get the backup.
    pub const fn regresses(self) -> bool {
        !matches!(self, BackupPolicy::Both)
    }
}

/// A backup rendition, as others see it.
#[derive(Clone, PartialEq, Debug)]
pub struct BackupInfo {
    /// As in [`TrackInfo`].
    pub client_id: String,
    pub mime_type: &'static str,
    pub mid: Option<String>,
    pub opaque: Bytes,
}

#[derive(Clone, PartialEq, Debug)]
pub struct DataTrackInfo {
    pub id: TrackId,
    /// Chosen by the publisher, 1 to 65535, unique among its data tracks.
    pub handle: u16,
    pub name: String,
    pub opaque: Bytes,
}

#[derive(Clone, PartialEq, Debug)]
pub struct RoomInfo {
    pub id: RoomId,
    pub name: RoomName,
    pub metadata: String,
    pub created_at_ms: i64,
    /// Hidden ones left out.
    pub participants: u32,
    pub publishers: u32,
    /// Seconds.
    pub empty_timeout: u32,
    pub departure_timeout: u32,
    /// 0: no limit but the server's.
    pub max_participants: u32,
}

/// A track a participant is about to send; matched to a media section by [`client_id`](Self::client_id), else by kind in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Announcement {
    /// The client's own track id, found again in the offer's msid.
    pub client_id: String,
    pub kind: MediaKind,
    pub source: TrackSource,
    pub muted: bool,
    /// Encodings low to high with their sizes in pixels; empty when unknown.
    pub layers: Vec<Layer>,
    pub opaque: Bytes,
    /// MIME type of the codec it is to be sent in; `None` leaves that to the offer.
    pub mime_type: Option<&'static str>,
    /// The publisher would send a second codec where that is needed.
    pub backup: Option<BackupPlan>,
}

/// Who may subscribe to a participant's tracks.
#[derive(Clone, PartialEq, Debug)]
pub enum Audience {
    Everyone,
    Only(Vec<AudienceRule>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct AudienceRule {
    /// By identity or by participant id; the adaptor fills what its client named.
    pub identity: Option<Identity>,
    pub participant: Option<ParticipantId>,
    /// `None`: every track.
    pub tracks: Option<Vec<TrackId>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaveReason {
    ClientLeft,
    DuplicateIdentity,
    ServerShutdown,
    Removed,
    RoomClosed,
    /// The signalling connection ended without a farewell.
    SignallingLost,
    /// ICE, DTLS or consent failed.
    TransportFailed,
    /// The client broke a rule of the protocol or a bound.
    ProtocolError,
    /// The client read its events too slowly.
    TooSlow,
}

/// Why a join is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinError {
    RoomFull,
    /// Draining or over a bound.
    ServerFull,
    /// Identity, names, metadata or attributes over their bounds.
    OverLimits,
    ShuttingDown,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Speaker {
    pub participant: ParticipantId,
    /// 0 (silent) to 1.
    pub level: f32,
    pub active: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConnectionQuality {
    Lost,
    Poor,
    Good,
    Excellent,
}
