//! RTCP (RFC 3550, section 6; RFC 4585; RFC 5104): compound packets read block by block, and the blocks the server writes.
//!
//! What always holds: at most `limits::RTCP_BLOCKS` blocks are read from one compound; a malformed block ends the reading.

use super::bytes::{be_u16, be_u32, be_u64};
use super::ids::Ssrc;
use crate::limits;

pub mod transport_feedback;
mod writer;

pub use writer::Writer;

/// RTCP packet types and formats (IANA: RTCP Control Packet Types, FMT values of RTPFB and PSFB).
pub mod packet_type {
    pub const SENDER_REPORT: u8 = 200;
    pub const RECEIVER_REPORT: u8 = 201;
    pub const SOURCE_DESCRIPTION: u8 = 202;
    pub const BYE: u8 = 203;
    pub const TRANSPORT_FEEDBACK: u8 = 205;
    pub const PAYLOAD_FEEDBACK: u8 = 206;

    pub const FORMAT_NACK: u8 = 1;
    pub const FORMAT_TRANSPORT_CC: u8 = 15;
    pub const FORMAT_PLI: u8 = 1;
    pub const FORMAT_FIR: u8 = 4;
    pub const FORMAT_APPLICATION: u8 = 15;
}
use packet_type::*;

/// Bytes of one report block.
const REPORT_BLOCK_BYTES: usize = 24;
/// Entries a five-bit count can announce: reports of an SR or RR, sources of a BYE.
pub const REPORTS_PER_BLOCK: usize = 31;

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
pub fn read(compound: &[u8]) -> Reports<'_> {
    Reports { rest: compound, blocks: 0, entries: Entries::None }
}

/// Iterates over what a compound packet says.
#[derive(Clone, Debug)]
pub struct Reports<'a> {
    /// Blocks not begun.
    rest: &'a [u8],
    /// Blocks begun.
    blocks: usize,
    /// What is left of the block begun last.
    entries: Entries<'a>,
}

impl<'a> Iterator for Reports<'a> {
    type Item = Report<'a>;

    fn next(&mut self) -> Option<Report<'a>> {
        loop {
            if let Some(report) = self.entries.next() {
                return Some(report);
            }
            if self.blocks == limits::RTCP_BLOCKS {
                return None;
            }
            self.blocks += 1;
            // Left empty when the block is malformed: there is no telling where the next one begins.
            let (block, rest) = Block::split(std::mem::take(&mut self.rest))?;
            let (first, entries) = block.read()?;
            (self.rest, self.entries) = (rest, entries);
            if first.is_some() {
                return first;
            }
        }
    }
}

/// One packet of a compound, without its header and padding.
struct Block<'a> {
    /// The five bits after the padding bit: a count or a format.
    count: u8,
    packet_type: u8,
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// The first block and what follows it; `None` when it is malformed or nothing is left.
    fn split(compound: &'a [u8]) -> Option<(Block<'a>, &'a [u8])> {
        let [flags, packet_type, l0, l1] = *compound.first_chunk()?;
        if flags >> 6 != 2 {
            return None;
        }
        let len = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let (block, rest) = compound.split_at_checked(len)?;
        let mut body = block.get(4..)?;
        if flags & 0x20 != 0 {
            let padding = usize::from(*body.last()?);
            if padding == 0 {
                return None;
            }
            body = body.get(..body.len().checked_sub(padding)?)?;
        }
        let count = flags & 0x1f;
        Some((Block { count, packet_type, body }, rest))
    }

    /// What the block says: at most one thing at once, and entries to come. `None` when it is malformed.
    fn read(&self) -> Option<(Option<Report<'a>>, Entries<'a>)> {
        match (self.packet_type, self.count) {
            (SENDER_REPORT, count) => {
                let info = sender_info(self.body)?;
                let reports = self.body.get(24..)?.get(..REPORT_BLOCK_BYTES * usize::from(count))?;
                let sender = info.ssrc;
                Some((Some(Report::Sender(info)), Entries::Reception { sender, reports }))
            }
            (RECEIVER_REPORT, count) => {
                let sender = Ssrc(be_u32(self.body, 0)?);
                let reports = self.body.get(4..)?.get(..REPORT_BLOCK_BYTES * usize::from(count))?;
                Some((None, Entries::Reception { sender, reports }))
            }
            (BYE, count) => {
                let sources = self.body.get(..4 * usize::from(count))?;
                Some((None, Entries::Bye { sources }))
            }
            (TRANSPORT_FEEDBACK, FORMAT_NACK) => {
                let (media, fci) = self.feedback()?;
                Some((None, Entries::Nack { media, fci }))
            }
            (TRANSPORT_FEEDBACK, FORMAT_TRANSPORT_CC) => {
                let (_, fci) = self.feedback()?;
                Some((Some(Report::TransportFeedback { fci }), Entries::None))
            }
            (PAYLOAD_FEEDBACK, FORMAT_PLI) => {
                let (media, _) = self.feedback()?;
                Some((Some(Report::KeyframeRequest { media, fir: false }), Entries::None))
            }
            (PAYLOAD_FEEDBACK, FORMAT_FIR) => {
                let (_, fci) = self.feedback()?;
                Some((None, Entries::FullIntraRequest { fci }))
            }
            (PAYLOAD_FEEDBACK, FORMAT_APPLICATION) => {
                let (_, fci) = self.feedback()?;
                Some((remb(fci), Entries::None))
            }
            // SDES, XR, APP and what is not known: nothing the server acts on.
            _ => Some((None, Entries::None)),
        }
    }

    /// The common head of feedback messages (RFC 4585, section 6.1): media source and FCI.
    fn feedback(&self) -> Option<(Ssrc, &'a [u8])> {
        Some((Ssrc(be_u32(self.body, 4)?), self.body.get(8..)?))
    }
}

/// The entries of one block, taken one by one; a last piece too short for an entry is ignored.
#[derive(Clone, Debug)]
enum Entries<'a> {
    None,
    Reception { sender: Ssrc, reports: &'a [u8] },
    Nack { media: Ssrc, fci: &'a [u8] },
    FullIntraRequest { fci: &'a [u8] },
    Bye { sources: &'a [u8] },
}

impl<'a> Entries<'a> {
    fn next(&mut self) -> Option<Report<'a>> {
        match self {
            Entries::None => None,
            Entries::Reception { sender, reports } => {
                let report = reception_report(take(reports, REPORT_BLOCK_BYTES)?)?;
                Some(Report::Reception { sender: *sender, report })
            }
            Entries::Nack { media, fci } => {
                let entry = take(fci, 4)?;
                Some(Report::Nack { media: *media, packet_id: be_u16(entry, 0)?, bitmask: be_u16(entry, 2)? })
            }
            Entries::FullIntraRequest { fci } => {
                let media = Ssrc(be_u32(take(fci, 8)?, 0)?);
                Some(Report::KeyframeRequest { media, fir: true })
            }
            Entries::Bye { sources } => {
                let ssrc = Ssrc(be_u32(take(sources, 4)?, 0)?);
                Some(Report::Bye { ssrc })
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

fn sender_info(body: &[u8]) -> Option<SenderInfo> {
    Some(SenderInfo {
        ssrc: Ssrc(be_u32(body, 0)?),
        ntp: be_u64(body, 4)?,
        rtp_timestamp: be_u32(body, 12)?,
        packets: be_u32(body, 16)?,
        octets: be_u32(body, 20)?,
    })
}

fn reception_report(block: &[u8]) -> Option<ReceptionReport> {
    let lost = be_u32(block, 4)?;
    Some(ReceptionReport {
        ssrc: be_u32(block, 0)?,
        fraction_lost: (lost >> 24) as u8,
        // The shift up and the arithmetic shift down extend the sign of the 24 bits.
        cumulative_lost: ((lost << 8) as i32) >> 8,
        extended_highest_sequence: be_u32(block, 8)?,
        jitter: be_u32(block, 12)?,
        last_sender_report: be_u32(block, 16)?,
        delay_since_last: be_u32(block, 20)?,
    })
}

/// Bits 31 to 26 of the second word are an exponent, bits 17 to 0 a mantissa; the SSRC list is not needed.
fn remb(fci: &[u8]) -> Option<Report<'static>> {
    if fci.first_chunk() != Some(b"REMB") {
        return None;
    }
    let word = be_u32(fci, 4)?;
    let exponent = (word >> 18) & 0x3f;
    let mantissa = u64::from(word & 0x3_ffff);
    let bitrate = if mantissa.leading_zeros() < exponent { u64::MAX } else { mantissa << exponent };
    Some(Report::Remb { bitrate })
}

#[cfg(test)]
mod tests;
