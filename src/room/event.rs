//! What a room tells a participant's adaptor, in order.

use super::model::*;
use super::shared::Shared;
use crate::transport::IceCredentials;

#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// First, unless `Refused`.
    Joined(Box<JoinedRoom>),
    Refused(JoinError),
    /// Answers the offer with the same id.
    Answer {
        id: u32,
        sdp: String,
        tracks_by_mid: Vec<(String, TrackId)>,
    },
    /// The offer cannot be served; the session is unchanged. A participant that never had an answer is closed after it.
    OfferRefused {
        id: u32,
        reason: String,
    },
    /// The server's ICE credentials after `RestartIce`: the same as before where the peer's were.
    IceRestarted(IceCredentials),
    /// Please offer this many more sections to receive in; (0, 0) asks for a mere re-offer.
    SectionsNeeded {
        audio: u32,
        video: u32,
    },
    /// Idempotent; newer `version` wins. Those that left come before a later stay of the same identity.
    Participants(Shared<Vec<Shared<ParticipantInfo>>>),
    /// The answer to an announcement. The track is shown to others once it is matched to a section.
    TrackAnnounced {
        client_id: String,
        track: Box<TrackInfo>,
    },
    AnnouncementRefused {
        client_id: String,
        reason: RequestRefusal,
    },
    /// The publisher's track was ended by the server.
    TrackEnded {
        track: TrackId,
    },
    /// Server-side mute of an own track.
    Muted {
        track: TrackId,
        muted: bool,
    },
    UpdateOutcome {
        request: u32,
        outcome: Result<(), RequestRefusal>,
    },
    /// Only those that changed; the silent ones once with `active: false`.
    Speakers(Shared<Vec<Speaker>>),
    Quality(Shared<Vec<(ParticipantId, ConnectionQuality)>>),
    Room(Shared<RoomInfo>),
    /// The first subscriber of an own track arrived.
    FirstSubscriber {
        track: TrackId,
    },
    /// What is needed of an own video track; whatever is above it need not be sent.
    LayersWanted {
        track: TrackId,
        codecs: Vec<CodecDemand>,
    },
    /// A publisher's audience decided about this participant.
    SubscriptionAllowed {
        publisher: ParticipantId,
        track: TrackId,
        allowed: bool,
    },
    SubscriptionFailed {
        track: TrackId,
        reason: SubscriptionFailure,
    },
    /// Tracks that are not sent to this participant because its way does not take them, or are sent again; those that changed.
    TracksPaused(Vec<TrackPause>),
    DataTrackPublished {
        track: Box<DataTrackInfo>,
    },
    DataTrackRefused {
        handle: u16,
        reason: RequestRefusal,
    },
    DataTrackUnpublished {
        track: Box<DataTrackInfo>,
    },
    /// All data tracks this participant is subscribed to, by the handle their packets carry.
    DataTrackHandles(Vec<DataTrackHandle>),
    /// Last: the participant is gone from the room.
    Removed(LeaveReason),
}

impl Event {
    /// Whether it is about the participant's own session, and not about what others do.
    pub fn is_of_session(&self) -> bool {
        matches!(
            self,
            Event::Joined(_)
                | Event::Refused(_)
                | Event::Answer { .. }
                | Event::OfferRefused { .. }
                | Event::IceRestarted(_)
                | Event::Removed(_)
        )
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct JoinedRoom {
    pub room: Shared<RoomInfo>,
    pub participant: Shared<ParticipantInfo>,
    pub others: Vec<Shared<ParticipantInfo>>,
    /// MIME types a publisher may send, video first.
    pub publish_codecs: Vec<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackPause {
    pub publisher: ParticipantId,
    pub track: TrackId,
    pub paused: bool,
}

/// The highest quality anybody needs of a track in one codec, those below included; `None` for nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodecDemand {
    pub mime_type: String,
    pub highest: Option<Quality>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct DataTrackHandle {
    pub handle: u16,
    pub publisher: ParticipantId,
    pub publisher_identity: Identity,
    pub track: TrackId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestRefusal {
    NotAllowed,
    NotFound,
    LimitExceeded,
    Duplicate,
    Unsupported,
    Invalid,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionFailure {
    TrackNotFound,
    CodecUnsupported,
}
