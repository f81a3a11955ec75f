//! What a forwarder must read of each codec's RTP payload: where keyframes start, which layers a frame belongs to, and the counters
//! that are rewritten.
//!
//! Sub-modules, one RFC each: `vp8` (RFC 7741), `vp9` (RFC 9628), `h264` (RFC 6184), `h265` (RFC 7798), `av1` and
//! `dependency_descriptor` (AV1 RTP specification), `red` (RFC 2198).
//!
//! What always holds: any bytes give an answer, in time linear in their number and without allocation.

pub mod av1;
mod bits;
pub mod dependency_descriptor;
pub mod h264;
pub mod h265;
pub mod red;
pub mod vp8;
pub mod vp9;

pub use dependency_descriptor::{FrameDependency, Layer};
pub use vp8::Vp8Descriptor;
pub use vp9::Vp9Descriptor;

use dependency_descriptor::Structure;

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
    pub descriptor: PayloadDescriptor,
    /// From the dependency descriptor, where there is one whose structure is known.
    pub dependency: Option<FrameDependency>,
}

/// The part of a payload that is the payload format's, of the codecs where it says something of layers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PayloadDescriptor {
    #[default]
    None,
    Vp8(Vp8Descriptor),
    Vp9(Vp9Descriptor),
}

impl PayloadDescriptor {
    fn parse(codec: Codec, payload: &[u8]) -> PayloadDescriptor {
        let descriptor = match codec {
            Codec::Vp8 => vp8::parse(payload).map(PayloadDescriptor::Vp8),
            Codec::Vp9 => vp9::parse(payload).map(PayloadDescriptor::Vp9),
            _ => None,
        };
        descriptor.unwrap_or_default()
    }

    /// Bytes of the payload that [`write`](Self::write) may change: the first ones.
    pub fn counters_len(&self) -> usize {
        match self {
            PayloadDescriptor::None => 0,
            PayloadDescriptor::Vp8(vp8) => vp8.len.into(),
            PayloadDescriptor::Vp9(vp9) => vp9.counters_len.into(),
        }
    }

    /// Writes the counters over those of a copy of the payload, in the same form and length as they were read.
    pub fn write(&self, payload: &mut [u8]) {
        match self {
            PayloadDescriptor::None => {}
            PayloadDescriptor::Vp8(descriptor) => vp8::write(descriptor, payload),
            PayloadDescriptor::Vp9(descriptor) => vp9::write(descriptor, payload),
        }
    }
}

impl PayloadInfo {
    /// The layers of the packet's frame. All is one layer where nothing is said of layers.
    pub fn layer(&self) -> Layer {
        match (&self.dependency, &self.descriptor) {
            (Some(dependency), _) => dependency.layer,
            (None, PayloadDescriptor::Vp8(vp8)) => Layer { spatial: 0, temporal: vp8.temporal_id.unwrap_or(0) },
            (None, PayloadDescriptor::Vp9(vp9)) => vp9.layer,
            (None, PayloadDescriptor::None) => Layer::default(),
        }
    }

    /// Whether the packet is the last of its frame, as far as the payload or its description tells.
    pub fn ends_frame(&self) -> bool {
        match (&self.dependency, &self.descriptor) {
            (Some(dependency), _) => dependency.ends_frame,
            (None, PayloadDescriptor::Vp9(vp9)) => vp9.ends_frame,
            (None, _) => false,
        }
    }
}

/// Reads a payload. `dependency_descriptor` is the header extension's value, where the peer sends one: it then decides about
/// keyframes (payloads under end-to-end encryption are opaque). `structure` is what the last of them brought that had one.
pub fn inspect(
    codec: Codec,
    payload: &[u8],
    dependency_descriptor: Option<&[u8]>,
    structure: &mut Option<Box<Structure>>,
) -> PayloadInfo {
    let descriptor = PayloadDescriptor::parse(codec, payload);
    let value = dependency_descriptor.filter(|_| codec.is_video());
    let starts_keyframe = value.and_then(dependency_descriptor::starts_keyframe).unwrap_or_else(|| match codec {
        Codec::Vp8 => matches!(descriptor, PayloadDescriptor::Vp8(vp8) if vp8::starts_keyframe(&vp8, payload)),
        Codec::Vp9 => matches!(descriptor, PayloadDescriptor::Vp9(vp9) if vp9::starts_keyframe(&vp9)),
        Codec::H264 => h264::starts_keyframe(payload),
        Codec::H265 => h265::starts_keyframe(payload),
        Codec::Av1 => av1::starts_keyframe(payload),
        Codec::Opus | Codec::Red | Codec::Pcmu | Codec::Pcma | Codec::G722 => false,
    });
    let dependency = value.and_then(|value| dependency_descriptor::read(value, structure));
    PayloadInfo { starts_keyframe, descriptor, dependency }
}

#[cfg(test)]
mod tests;
