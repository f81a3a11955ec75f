//! What every offer of this tool says of its media: payload types and header extension ids, as Chrome numbers them.
//!
//! What always holds: a server must answer with the offered numbers (RFC 3264, section 6.1; RFC 8285, section 5), so packets
//! are read by these.

use sfumato::wire::PayloadType;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Audio,
    Video,
}

pub const OPUS: PayloadType = PayloadType(111);
pub const VP8: PayloadType = PayloadType(96);
/// Retransmissions of VP8 (RFC 4588).
pub const RTX: PayloadType = PayloadType(97);

/// Timestamp units a second.
pub const OPUS_CLOCK: u32 = 48_000;
pub const VP8_CLOCK: u32 = 90_000;

pub const AUDIO_LEVEL: u8 = 1;
pub const ABS_SEND_TIME: u8 = 2;
pub const TRANSPORT_CC: u8 = 3;
pub const MID: u8 = 4;
pub const RID: u8 = 10;
pub const REPAIRED_RID: u8 = 11;

/// Ids and names of the header extensions offered for audio.
pub const AUDIO_EXTENSIONS: [(u8, &str); 4] = [
    (AUDIO_LEVEL, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    (ABS_SEND_TIME, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
    (TRANSPORT_CC, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    (MID, "urn:ietf:params:rtp-hdrext:sdes:mid"),
];

/// The same for video.
pub const VIDEO_EXTENSIONS: [(u8, &str); 10] = [
    (14, "urn:ietf:params:rtp-hdrext:toffset"),
    AUDIO_EXTENSIONS[1],
    (13, "urn:3gpp:video-orientation"),
    AUDIO_EXTENSIONS[2],
    (5, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    (6, "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type"),
    (7, "http://www.webrtc.org/experiments/rtp-hdrext/video-timing"),
    AUDIO_EXTENSIONS[3],
    (RID, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
    (REPAIRED_RID, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
];

impl Kind {
    /// By its name in a session description.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Audio, Kind::Video].into_iter().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
        }
    }

    pub fn clock(self) -> u32 {
        match self {
            Kind::Audio => OPUS_CLOCK,
            Kind::Video => VP8_CLOCK,
        }
    }

    /// The kind of media a payload type carries; `None` for retransmissions and what was never offered.
    pub fn of(payload_type: PayloadType) -> Option<Kind> {
        match payload_type {
            OPUS => Some(Kind::Audio),
            VP8 => Some(Kind::Video),
            _ => None,
        }
    }

    pub fn extensions(self) -> &'static [(u8, &'static str)] {
        match self {
            Kind::Audio => &AUDIO_EXTENSIONS,
            Kind::Video => &VIDEO_EXTENSIONS,
        }
    }
}
