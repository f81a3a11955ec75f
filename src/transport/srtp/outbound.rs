//! Sealing what is sent (RFC 3711, section 3.3).
//!
//! What always holds: per SSRC each extended sequence number is sealed once at most, so that no two plaintexts ever share an
//! (SSRC, ROC, SEQ): under AES-GCM that would give the key away. A packet that was reordered on its way here may still be
//! sealed late, within the window of a receiver's replay protection. The SRTCP index only grows.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Plain;
use super::cipher::Suite;
use super::replay::{MAX_INDEX, Window};
use crate::transport::DropReason;

/// SSRCs one association may send under one key, never forgotten: 150 bytes each. A subscriber to everything in the largest
/// room, with retransmission streams, stays below.
const SEND_STREAMS: usize = 1 << 15;
/// SRTCP indices are 31 bits.
const MAX_SRTCP_INDEX: u32 = (1 << 31) - 1;

/// The sending half of an SRTP session.
pub struct Outbound {
    suite: Suite,
    /// The extended sequence numbers sealed, by SSRC.
    sealed: HashMap<u32, Window, BuildHasherDefault<SsrcHasher>>,
    next_srtcp_index: u32,
}

impl Outbound {
    pub(super) fn new(suite: Suite) -> Outbound {
        Outbound { suite, sealed: HashMap::default(), next_srtcp_index: 1 }
    }

    /// Writes the SRTP packet to the start of `out` and gives its length. Refused with `Malformed` when sequence and header
    /// disagree or `out` is too short, with `SrtpReplayed` when the number was sealed before on this SSRC, or is too old to know.
    pub fn seal_rtp(&mut self, packet: Plain<'_>, out: &mut [u8]) -> Result<usize, DropReason> {
        let (sequence, ssrc) = sequence_and_ssrc(packet.header).ok_or(DropReason::Malformed)?;
        if sequence != packet.extended_sequence as u16 || packet.extended_sequence > MAX_INDEX {
            return Err(DropReason::Malformed);
        }
        self.claim(ssrc, packet.extended_sequence)?;
        self.suite.seal_rtp(ssrc, packet, out).ok_or(DropReason::Malformed)
    }

    /// Reads what sealing the next packet of an SSRC needs.
    pub fn touch(&self, ssrc: u32) -> u64 {
        self.sealed.get(&ssrc).map_or(0, Window::touch) ^ self.suite.touch()
    }

    /// Appends the SRTCP packet to `out`.
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> Result<(), DropReason> {
        let index = self.next_srtcp_index;
        if index > MAX_SRTCP_INDEX {
            return Err(DropReason::SrtpReplayed);
        }
        self.next_srtcp_index += 1;
        self.suite.seal_rtcp(index, compound, out)
    }

    /// Takes the number for good, before anything is sealed under it.
    fn claim(&mut self, ssrc: u32, extended_sequence: u64) -> Result<(), DropReason> {
        if let Some(sealed) = self.sealed.get_mut(&ssrc) {
            if !sealed.is_fresh(extended_sequence) {
                return Err(DropReason::SrtpReplayed);
            }
            sealed.accept(extended_sequence);
        } else {
            if self.sealed.len() >= SEND_STREAMS {
                return Err(DropReason::TooManyStreams);
            }
            self.sealed.insert(ssrc, Window::starting_at(extended_sequence));
        }
        Ok(())
    }
}

fn sequence_and_ssrc(header: &[u8]) -> Option<(u16, u32)> {
    let fixed: &[u8; 12] = header.first_chunk()?;
    let [_, _, s0, s1, _, _, _, _, a, b, c, d] = *fixed;
    Some((u16::from_be_bytes([s0, s1]), u32::from_be_bytes([a, b, c, d])))
}

/// One multiplication: the SSRCs are our own random numbers, so that nobody can make them collide.
#[derive(Default)]
struct SsrcHasher(u64);

impl Hasher for SsrcHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}
