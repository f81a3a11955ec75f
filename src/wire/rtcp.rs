//! RTCP (RFC 3550, section 6; RFC 4585; RFC 5104): compound packets read block by block, and the blocks the server writes.
//!
//! What always holds: at most `limits::RTCP_BLOCKS` blocks are read from one compound; a malformed block ends the reading.

use super::ids::Ssrc;

/// One report block (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceptionReport {
    pub ssrc: u32,
    /// Fixed point, 1/256.
    pub fraction_lost: u8,
    /// 24 bits, signed.
    pub cumulative_lost: i32,
    pub extended_highest_sequence: u32,
    /// Timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report.
    pub last_sender_report: u32,
    /// 1/65536 s.
    pub delay_since_last: u32,
}

/// Sender info (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    pub ssrc: Ssrc,
    /// 32.32 fixed point, seconds since 1900.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// One thing a compound packet says. A block with several entries (report blocks, FCI) gives several of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report<'a> {
    Sender(SenderInfo),
    Reception {
        sender: Ssrc,
        report: ReceptionReport,
    },
    /// RFC 4585, section 6.3.1 and RFC 5104, section 4.3.1: both ask for a keyframe of `media`.
    KeyframeRequest {
        media: Ssrc,
        fir: bool,
    },
    /// RFC 4585, section 6.2.1: one FCI entry (packet id and bitmask of following lost packets).
    Nack {
        media: Ssrc,
        packet_id: u16,
        bitmask: u16,
    },
    /// draft-alvestrand-rmcat-remb: bits per second.
    Remb {
        bitrate: u64,
    },
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01: the FCI, unparsed.
    TransportFeedback {
        fci: &'a [u8],
    },
    Bye {
        ssrc: Ssrc,
    },
}

/// Reads a decrypted compound packet.
pub fn read(compound: &[u8]) -> impl Iterator<Item = Report<'_>> {
    let _ = compound;
    [].into_iter()
}

/// Writes compound packets into a caller's buffer (cleared by the caller): SR/RR first, SDES CNAME after, as RFC 3550 asks.
pub struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    pub fn sender_report(&mut self, info: &SenderInfo, reports: &[ReceptionReport]) {
        todo!("{info:?} {reports:?}")
    }
    /// At most 31 reports.
    pub fn receiver_report(&mut self, sender: Ssrc, reports: &[ReceptionReport]) {
        todo!("{sender:?} {reports:?}")
    }
    pub fn cname(&mut self, ssrc: Ssrc, cname: &str) {
        todo!("{ssrc:?} {cname}")
    }
    pub fn picture_loss_indication(&mut self, sender: Ssrc, media: Ssrc) {
        todo!("{sender:?} {media:?}")
    }
    pub fn full_intra_request(&mut self, sender: Ssrc, media: Ssrc, sequence: u8) {
        todo!("{sender:?} {media:?} {sequence}")
    }
    pub fn bye(&mut self, ssrc: Ssrc) {
        todo!("{ssrc:?}")
    }
}
