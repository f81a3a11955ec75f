//! The way of one source to one subscriber: which encoding is forwarded, and how its packets are rewritten into one continuous stream.

use std::time::Instant;

use rand::RngCore;

use super::receive::ClockReference;
use crate::wire::codec::{Codec, PayloadInfo};
use crate::wire::extension::ExtensionMap;
use crate::wire::rtcp::{ReceptionReport, SenderInfo};
use crate::wire::rtp::{Header, HeaderWriter};
use crate::wire::{Mid, PayloadType, Ssrc};

/// A packet of a source, opened and parsed: what every subscriber's forwarding reads. `Copy`, no borrow of the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Index of the encoding in its source: 0 is the lowest.
    pub encoding: usize,
    pub header: Header,
    /// From [`ReceiveStream::receive`](super::receive::ReceiveStream::receive).
    pub extended_sequence: u64,
    pub codec: Codec,
    pub info: PayloadInfo,
    /// The newest clock reference of this encoding.
    pub clock: Option<ClockReference>,
}

/// What does not change while a subscription lasts.
#[derive(Clone, Debug)]
pub struct Target {
    pub ssrc: Ssrc,
    pub clock_rate: u32,
    /// The subscriber's payload type for each codec the source may come in; a packet of another codec is not forwarded.
    pub payload_types: Vec<(Codec, PayloadType)>,
    /// The subscriber's ids. Only extensions that are end-to-end are copied; mid is added by `mid`.
    pub extensions: ExtensionMap,
    /// Written as header extension until the subscriber's first reception report shows that it knows the SSRC.
    pub mid: Mid,
}

/// A rewritten packet, borrowed: header and prefix from the sender's scratch space, payload from the source's buffer.
pub struct Outgoing<'a> {
    /// Low 16 bits stand in the header. Starts below 2^15.
    pub extended_sequence: u64,
    pub header: &'a [u8],
    /// Replaces the first `prefix.len()` bytes of the source's payload (a rewritten VP8 descriptor); often empty.
    pub prefix: &'a [u8],
    pub payload: &'a [u8],
}

pub struct SendStream {}

impl SendStream {
    pub fn new(target: Target, random: &mut dyn RngCore) -> SendStream {
        let _ = (target, random);
        todo!()
    }
    pub fn target(&self) -> &Target {
        todo!()
    }
    /// The encoding that should be forwarded; `None` pauses. A switch happens at a keyframe of the new encoding, the old one running until then.
    /// Audio has one encoding, 0, and needs no keyframe.
    pub fn select(&mut self, encoding: Option<usize>) {
        let _ = encoding;
    }
    /// The encoding forwarded now.
    pub fn current(&self) -> Option<usize> {
        todo!()
    }
    /// The encoding a keyframe is waited for, if any (video at the start, after a pause, during a switch).
    pub fn awaits_keyframe(&self) -> Option<usize> {
        todo!()
    }
    /// Rewrites one packet, or `None` when it is not for this subscriber (other encoding, waiting for a keyframe, older than the switch, unknown codec).
    /// `packet` is the whole plain packet, `source` its publisher's extension map.
    pub fn forward<'a>(
        &'a mut self,
        now: Instant,
        record: &Packet,
        source: &ExtensionMap,
        packet: &'a [u8],
    ) -> Option<Outgoing<'a>> {
        let _ = (now, record, source, packet);
        todo!()
    }
    /// The subscriber reported on this SSRC.
    pub fn handle_report(&mut self, now: Instant, report: &ReceptionReport) {
        let _ = (now, report);
    }
    /// The sender report for the subscriber: publisher's NTP clock carried over where known, else `ntp_now` (32.32). `None` before the first packet.
    pub fn sender_report(&self, now: Instant, ntp_now: u64) -> Option<SenderInfo> {
        let _ = (now, ntp_now);
        todo!()
    }
    pub fn packets(&self) -> u64 {
        todo!()
    }
    /// Bytes of payload.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Loss of the last report, 0 to 255; 0 before one.
    pub fn fraction_lost(&self) -> u8 {
        todo!()
    }
    pub fn round_trip_time(&self) -> Option<std::time::Duration> {
        todo!()
    }
}
#[allow(unused)]
fn unused(_: HeaderWriter) {}
