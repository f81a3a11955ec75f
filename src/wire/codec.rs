//! What a forwarder must read of each codec's RTP payload: where keyframes start, and VP8's picture counters.
//!
//! Sub-modules, one RFC each: `vp8` (RFC 7741), `vp9` (RFC 9628), `h264` (RFC 6184), `h265` (RFC 7798), `av1` and
//! `dependency_descriptor` (AV1 RTP specification), `red` (RFC 2198).
//!
//! What always holds: any bytes give an answer, in time linear in their number and without allocation.

pub mod av1;
pub mod dependency_descriptor;
pub mod h264;
pub mod h265;
pub mod red;
pub mod vp8;
pub mod vp9;

pub use vp8::Vp8Descriptor;

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

impl Codec {
    /// Video needs a keyframe to begin with; audio does not.
    pub fn is_video(self) -> bool {
        match self {
            Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma | Codec::G722 => false,
            Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1 => true,
        }
    }
}

/// What the forwarding of one packet needs to know of its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PayloadInfo {
    /// The packet starts a frame from which decoding can start.
    pub starts_keyframe: bool,
    /// VP8 only.
    pub vp8: Option<Vp8Descriptor>,
}

/// Reads a payload. `dependency_descriptor` is the header extension's value, where the peer sends one: it then decides about
/// keyframes (payloads under end-to-end encryption are opaque).
pub fn inspect(codec: Codec, payload: &[u8], dependency_descriptor: Option<&[u8]>) -> PayloadInfo {
    let vp8 = match codec {
        Codec::Vp8 => vp8::parse(payload),
        _ => None,
    };
    let described = dependency_descriptor.filter(|_| codec.is_video()).and_then(dependency_descriptor::starts_keyframe);
    let starts_keyframe = described.unwrap_or_else(|| match codec {
        Codec::Vp8 => vp8.is_some_and(|descriptor| vp8::starts_keyframe(&descriptor, payload)),
        Codec::Vp9 => vp9::starts_keyframe(payload),
        Codec::H264 => h264::starts_keyframe(payload),
        Codec::H265 => h265::starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma | Codec::G722 => false,
    });
    PayloadInfo { starts_keyframe, vp8 }
}

/// Writes `descriptor` over the first bytes of a copy of a VP8 payload, in the same form and length as it was read.
pub fn write_vp8(descriptor: &Vp8Descriptor, payload: &mut [u8]) {
    vp8::write(descriptor, payload);
}

#[cfg(test)]
mod tests;
