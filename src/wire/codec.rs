//! What a forwarder must read of each codec's RTP payload: where keyframes start, and VP8's picture counters.
//!
//! Sub-modules, one RFC each: `vp8` (RFC 7741), `vp9` (RFC 9628), `h264` (RFC 6184), `av1` (AV1 RTP specification with the
//! dependency descriptor), `red` (RFC 2198).

/// The codecs that are forwarded. Names are those of the IANA media type registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    Opus,
    /// RFC 2198, carrying Opus.
    Red,
    Pcmu,
    Pcma,
    G722,
    Vp8,
    Vp9,
    H264,
    H265,
    Av1,
}

/// What the forwarding of one packet needs to know of its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PayloadInfo {
    /// The packet starts a frame from which decoding can start.
    pub starts_keyframe: bool,
    /// VP8 only.
    pub vp8: Option<Vp8Descriptor>,
}

/// VP8 payload descriptor (RFC 7741, section 4.2): values, and where they lie so that they can be rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vp8Descriptor {
    /// Bytes of the descriptor.
    pub len: usize,
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// True when `picture_id` takes 15 bits (the M bit).
    pub long_picture_id: bool,
    pub tl0_pic_idx: Option<u8>,
    pub temporal_id: Option<u8>,
    pub starts_frame: bool,
}

/// Reads a payload. `dependency_descriptor` is the header extension's value, where the peer sends one: it then decides about
/// keyframes (payloads under end-to-end encryption are opaque).
pub fn inspect(codec: Codec, payload: &[u8], dependency_descriptor: Option<&[u8]>) -> PayloadInfo {
    todo!("{codec:?} {} {dependency_descriptor:?}", payload.len())
}

/// Writes `descriptor` over the first bytes of a copy of a VP8 payload, in the same form and length as it was read.
pub fn write_vp8(descriptor: &Vp8Descriptor, payload: &mut [u8]) {
    todo!("{descriptor:?} {}", payload.len())
}
