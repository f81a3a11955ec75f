//! What a participant's adaptor asks of its room.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::model::*;
use super::renditions::BackupAnnouncement;
use crate::transport::IceCredentials;

/// A token was checked; its owner wants in.
#[derive(Clone)]
pub struct JoinRequest {
    pub room: RoomName,
    pub identity: Identity,
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub grants: Grants,
    /// Subscribe to everything that is published.
    pub auto_subscribe: bool,
    /// Subscribe to every data track.
    pub auto_subscribe_data: bool,
    /// Receive one publisher at a time, in sections that are negotiated once; the fields before then say nothing.
    pub follow: Option<Follow>,
    /// The first offer, when the protocol carries it in the join.
    pub offer: Option<Offer>,
    /// Tracks the offer sends.
    pub announcements: Vec<Announcement>,
    pub opaque: Bytes,
    /// How this participant's data channel messages are read and addressed.
    pub data_protocol: Arc<dyn DataProtocol>,
}

/// Whom a participant watches that cannot negotiate again (see [`super::follow`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Follow {
    /// `None`: whoever publishes first, and after it the next.
    pub publisher: Option<Identity>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Echoed in the answer.
    pub id: u32,
    pub sdp: String,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    Offer(Offer),
    /// The peer's new ICE credentials, outside of an offer. Answered by `IceRestarted`.
    RestartIce(IceCredentials),
    Announce(Announcement),
    /// An own track is about to be sent in its backup codec too. Answered like an announcement.
    AnnounceBackup(BackupAnnouncement),
    SetMuted {
        track: TrackId,
        muted: bool,
    },
    /// Wishes for tracks that do not exist yet are kept (bounded) until they do.
    Subscribe {
        tracks: Vec<TrackId>,
        subscribe: bool,
    },
    /// The same for whole participants' present tracks is resolved by the adaptor's client naming tracks.
    Want {
        tracks: Vec<TrackId>,
        wanted: Wanted,
    },
    SetAudience(Audience),
    /// `None` leaves a field; an attribute with an empty value is removed.
    UpdateSelf {
        request: u32,
        name: Option<String>,
        metadata: Option<String>,
        attributes: BTreeMap<String, String>,
    },
    /// Replaces the announcement's opaque part (features that only clients read).
    UpdateTrack {
        track: TrackId,
        opaque: Bytes,
    },
    PublishDataTrack {
        handle: u16,
        name: String,
        opaque: Bytes,
    },
    UnpublishDataTrack {
        handle: u16,
    },
    SubscribeDataTrack {
        track: TrackId,
        subscribe: bool,
    },
    Leave(LeaveReason),
}

/// A channel a participant's messages travel on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DataChannelKind {
    Reliable,
    Lossy,
    /// Frames of data tracks, lossy.
    Track,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub struct DataSender<'a> {
    pub id: &'a ParticipantId,
    pub identity: &'a Identity,
    pub agent: bool,
}

/// A message stamped with its sender and ready for the recipients.
#[derive(Clone, PartialEq, Debug)]
pub struct RoutedData {
    pub message: Bytes,
    pub recipients: Recipients,
    /// For de-duplication on the reliable channel: messages with a sequence not above the sender's last are dropped. 0: none.
    pub sequence: u32,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Recipients {
    /// All but the sender.
    Everyone,
    Only {
        identities: Vec<Identity>,
        participants: Vec<ParticipantId>,
    },
    /// Nobody: for the server itself.
    Nobody,
}

/// Why a data message is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DataError {
    #[error("malformed message")]
    Malformed,
    #[error("not allowed")]
    NotAllowed,
}

/// A protocol's own reading of its data channels. Pure functions: no state, no clock.
pub trait DataProtocol: Send + Sync {
    /// Which kind a channel is, by label; `None` for a channel this protocol does not know, whose messages are dropped.
    fn channel_kind(&self, label: &str) -> Option<DataChannelKind>;

    /// Reads, checks, stamps and addresses a message on a reliable or lossy channel.
    fn route(&self, sender: DataSender<'_>, kind: DataChannelKind, message: &[u8]) -> Result<RoutedData, DataError>;

    /// The publisher's handle in a data track packet.
    fn track_handle(&self, packet: &[u8]) -> Option<u16>;

    /// The packet with the subscriber's handle in place.
    fn with_track_handle(&self, packet: &[u8], handle: u16) -> Bytes;
}

/// The reading of those who have no data channels: nothing is read and nothing addressed.
#[derive(Clone, Copy, Debug)]
pub struct NoData;

impl DataProtocol for NoData {
    fn channel_kind(&self, _label: &str) -> Option<DataChannelKind> {
        None
    }

    fn route(&self, _: DataSender<'_>, _: DataChannelKind, _: &[u8]) -> Result<RoutedData, DataError> {
        Err(DataError::NotAllowed)
    }

    fn track_handle(&self, _packet: &[u8]) -> Option<u16> {
        None
    }

    fn with_track_handle(&self, packet: &[u8], _handle: u16) -> Bytes {
        Bytes::copy_from_slice(packet)
    }
}
