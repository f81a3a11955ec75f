//! Writing RTCP blocks (RFC 3550, section 6; RFC 4585, sections 6.2.1 and 6.3.1; RFC 5104, section 4.3.1).
//!
//! What always holds: what is written is a whole number of 32-bit words with a true length field, whatever the arguments.

use super::packet_type::*;
use super::{REPORTS_PER_BLOCK, ReceptionReport, SenderInfo, Ssrc};
use crate::limits;

/// SDES item type of the canonical name.
const SDES_CNAME: u8 = 1;

/// Writes compound packets into a caller's buffer (cleared by the caller): SR/RR first, SDES CNAME after, as RFC 3550 asks.
pub struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// At most 31 reports; more are left out.
    pub fn sender_report(&mut self, info: &SenderInfo, reports: &[ReceptionReport]) {
        let reports = bounded(reports);
        self.block(reports.len() as u8, SENDER_REPORT, |out| {
            put(out, info.ssrc.0);
            out.extend_from_slice(&info.ntp.to_be_bytes());
            put(out, info.rtp_timestamp);
            put(out, info.packets);
            put(out, info.octets);
            reports.iter().for_each(|report| put_report(out, report));
        });
    }

    /// At most 31 reports; more are left out.
    pub fn receiver_report(&mut self, sender: Ssrc, reports: &[ReceptionReport]) {
        let reports = bounded(reports);
        self.block(reports.len() as u8, RECEIVER_REPORT, |out| {
            put(out, sender.0);
            reports.iter().for_each(|report| put_report(out, report));
        });
    }

    /// A source description with the canonical name; only its first 255 bytes are written.
    pub fn cname(&mut self, ssrc: Ssrc, cname: &str) {
        let text = cname.as_bytes();
        let text = text.get(..255).unwrap_or(text);
        self.block(1, SOURCE_DESCRIPTION, |out| {
            put(out, ssrc.0);
            out.extend_from_slice(&[SDES_CNAME, text.len() as u8]);
            out.extend_from_slice(text);
            // The list of items ends with at least one null byte (section 6.5); `block` pads the rest.
            out.push(0);
        });
    }

    pub fn picture_loss_indication(&mut self, sender: Ssrc, media: Ssrc) {
        self.block(FORMAT_PLI, PAYLOAD_FEEDBACK, |out| {
            put(out, sender.0);
            put(out, media.0);
        });
    }

    /// Asks for packets of `media` to be sent again (RFC 4585, section 6.2.1). Numbers in the order they were sent in; at most
    /// `limits::MISSING_PACKETS` are taken, more are left out.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, numbers: impl IntoIterator<Item = u16>) {
        self.block(FORMAT_NACK, TRANSPORT_FEEDBACK, |out| {
            put(out, sender.0);
            put(out, media.0);
            let mut entry: Option<(u16, u16)> = None;
            for number in numbers.into_iter().take(limits::MISSING_PACKETS) {
                entry = match entry {
                    Some((id, mask)) if id == number => Some((id, mask)),
                    Some((id, mask)) => match number.wrapping_sub(id) {
                        behind @ 1..=16 => Some((id, mask | 1 << (behind - 1))),
                        _ => {
                            put_nack(out, id, mask);
                            Some((number, 0))
                        }
                    },
                    None => Some((number, 0)),
                };
            }
            if let Some((id, mask)) = entry {
                put_nack(out, id, mask);
            }
        });
    }

    /// `sequence` grows by one with every new request for the same media source, not with repetitions.
    pub fn full_intra_request(&mut self, sender: Ssrc, media: Ssrc, sequence: u8) {
        self.block(FORMAT_FIR, PAYLOAD_FEEDBACK, |out| {
            put(out, sender.0);
            put(out, 0); // unused: the media source stands in the FCI (RFC 5104, section 4.3.1.2)
            put(out, media.0);
            out.extend_from_slice(&[sequence, 0, 0, 0]);
        });
    }

    pub fn bye(&mut self, ssrc: Ssrc) {
        self.block(1, BYE, |out| put(out, ssrc.0));
    }

    /// Header, body, zero bytes up to 32 bits, and then the length.
    fn block(&mut self, count: u8, packet_type: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0x80 | (count & 0x1f), packet_type, 0, 0]);
        body(self.out);
        let len = (self.out.len() - start).next_multiple_of(4);
        self.out.resize(start + len, 0);
        // 31 reports are 780 bytes, 256 missing packets 1,036: far from what 16 bits count.
        let words = (len / 4 - 1) as u16;
        if let Some(length) = self.out.get_mut(start + 2..start + 4) {
            length.copy_from_slice(&words.to_be_bytes());
        }
    }
}

fn bounded(reports: &[ReceptionReport]) -> &[ReceptionReport] {
    reports.get(..REPORTS_PER_BLOCK).unwrap_or(reports)
}

fn put(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

/// One packet, and which of the 16 behind it.
fn put_nack(out: &mut Vec<u8>, packet_id: u16, bitmask: u16) {
    put(out, (u32::from(packet_id) << 16) | u32::from(bitmask));
}

fn put_report(out: &mut Vec<u8>, report: &ReceptionReport) {
    put(out, report.ssrc);
    put(out, (u32::from(report.fraction_lost) << 24) | (report.cumulative_lost as u32 & 0x00ff_ffff));
    put(out, report.extended_highest_sequence);
    put(out, report.jitter);
    put(out, report.last_sender_report);
    put(out, report.delay_since_last);
}
