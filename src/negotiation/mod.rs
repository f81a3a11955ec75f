//! SDP offer/answer for an SFU that always answers (RFC 8829, RFC 3264, RFC 8843, RFC 8853).
//!
//! What always holds: offered payload types and extension ids are echoed; a section that nothing fills is answered
//! inactive, never codec-less and active; the m-lines of every answer mirror the offer's in number and order.

mod answer;
mod codecs;
mod extensions;
mod fragment;
mod offer;
mod outline;
mod parse;
mod session;
mod simulcast;
mod track;
mod transport_attributes;

use std::net::SocketAddr;

pub use fragment::{IceFragment, read_fragment};
pub use outline::{OfferedSection, outline};
pub use session::Session;

use crate::transport::{Fingerprint, IceCredentials};
use crate::wire::codec::Codec;
use crate::wire::extension::ExtensionMap;
use crate::wire::{Mid, PayloadType, Rid, Ssrc};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaKind {
    Audio,
    Video,
}

/// One payload type as offered.
#[derive(Clone, PartialEq, Debug)]
pub struct CodecDescription {
    pub payload_type: PayloadType,
    pub codec: Codec,
    pub clock_rate: u32,
    /// Format parameters as offered, e.g. `profile-level-id=42e01f;packetization-mode=1`.
    pub fmtp: String,
    /// Generic NACK (RFC 4585) is offered and answered.
    pub nack: bool,
    /// RTX payload type associated by `apt` (RFC 4588), where offered together with NACK: then it is answered too.
    pub rtx: Option<PayloadType>,
}

/// One encoding of a simulcast section (RFC 8853).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodingDescription {
    pub rid: Rid,
    /// Offered as paused (`~`).
    pub paused: bool,
}

/// What the peer sends in a section (offered sendrecv or sendonly).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RemoteTrack {
    /// From `a=msid`: stream and track identifiers; empty when absent.
    pub stream_id: String,
    pub track_id: String,
    /// Media SSRCs with their RTX partner (ssrc-group FID), when signalled.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// Simulcast encodings in the order offered (low to high for q,h,f); empty without simulcast.
    pub encodings: Vec<EncodingDescription>,
}

/// What this side sends in a section.
#[derive(Clone, PartialEq, Debug)]
pub struct LocalTrack {
    /// `a=msid` stream and track identifiers.
    pub stream_id: String,
    pub track_id: String,
    pub cname: String,
    pub ssrc: Ssrc,
    /// SSRC of its retransmissions; told where a codec of the section has an RTX payload type.
    pub rtx: Option<Ssrc>,
    /// Codecs the source may come in; the section's codecs are narrowed to these, in the offer's order.
    pub codecs: Vec<Codec>,
}

/// One audio or video section after an offer was applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Section {
    pub mid: Mid,
    pub kind: MediaKind,
    /// Codecs both sides know, in the offer's order (RTX and unknown codecs left out).
    pub codecs: Vec<CodecDescription>,
    pub extensions: ExtensionMap,
    /// `Some` while the peer offers to send here.
    pub remote: Option<RemoteTrack>,
    /// The peer offers to receive here (recvonly or sendrecv) and has not rejected the section.
    pub peer_receives: bool,
    /// What this side sends here.
    pub local: Option<LocalTrack>,
}

/// Why an offer cannot be served; nothing of the session changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OfferError {
    #[error("session description over {0} bytes or lines")]
    TooLong(usize),
    #[error("malformed session description: {0}")]
    Malformed(String),
    #[error("more than {0} media sections")]
    TooManySections(usize),
    #[error("the offer lacks {0}")]
    Missing(&'static str),
    /// Sections may be added, never removed or reordered (RFC 3264, section 8).
    #[error("media sections were removed or reordered")]
    SectionsChanged,
    /// The peer wants to send, here first, and no section it would send in has a codec that is forwarded.
    #[error("no common codec in section {0}")]
    NoCommonCodec(String),
}

/// What this side's transport says in every answer.
#[derive(Clone, Debug)]
pub struct LocalParameters {
    pub ice: IceCredentials,
    pub fingerprint: Fingerprint,
    /// Host candidates, best first.
    pub candidates: Vec<SocketAddr>,
}

#[cfg(test)]
mod tests;
