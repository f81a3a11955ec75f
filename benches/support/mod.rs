//! Packets as a browser sends them: VP8 of 1,100 bytes with the extensions of a camera, Opus of 100.

#![allow(dead_code, reason = "each benchmark takes its part")]

use std::time::Duration;

use criterion::Criterion;
use sfumato::media::forward::Packet;
use sfumato::wire::codec::{Codec, inspect};
use sfumato::wire::extension::{Extension, ExtensionMap};
use sfumato::wire::rtp::{Header, HeaderWriter};
use sfumato::wire::{PayloadType, Ssrc};

/// Bytes of a video packet.
pub const VIDEO_BYTES: usize = 1_100;
pub const SSRC: Ssrc = Ssrc(0x1234_5678);

/// Enough samples for figures that repeat within a few percent on a shared machine, in some seconds each.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
        .without_plots()
}

/// The ids that Chromium gives.
pub fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (id, extension) in [
        (2, Extension::AbsSendTime),
        (3, Extension::TransportCc),
        (4, Extension::Mid),
        (13, Extension::VideoOrientation),
    ] {
        map.insert(id, extension);
    }
    map
}

/// A plain VP8 packet; the first of all starts a keyframe.
pub fn video(sequence: u64, len: usize) -> Vec<u8> {
    let mut writer = HeaderWriter::new(true, PayloadType(96), sequence as u16, 3_000 * sequence as u32, SSRC);
    for (id, value) in [(2, &[1, 2, 3][..]), (3, &(sequence as u16).to_be_bytes()), (4, b"0"), (13, &[0])] {
        writer.extension(id, value);
    }
    let mut packet = writer.finish().to_vec();
    let [high, low] = (sequence as u16).to_be_bytes();
    packet.extend([0x90, 0xe0, high | 0x80, low, sequence as u8, 0x20, u8::from(sequence > 0)]);
    packet.resize(len, 7);
    packet
}

/// What the receive path makes of it.
pub fn record(packet: &[u8], sequence: u64) -> Option<Packet> {
    let header = Header::parse(packet).ok()?;
    let info = inspect(Codec::Vp8, header.payload(packet).ok()?, None, &mut None);
    Some(Packet { encoding: 0, header, extended_sequence: 70_000 + sequence, codec: Codec::Vp8, info, clock: None })
}
