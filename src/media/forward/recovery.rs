//! Answering a subscriber's NACKs (RFC 4585, section 6.2.1) by retransmissions in a stream of their own (RFC 4588): its SSRC, its
//! sequence numbers, the payload type that goes with the packet's, the original sequence number in front of the payload.
//!
//! What always holds: a retransmission carries the header extensions and the payload that the packet carried; a packet is sent again
//! once per round trip at most and [`MOST_AGAIN`] times in all, within the [`Budget`]; no sequence number is given twice.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngCore;

use super::budget::Budget;
use super::history::{History, ORIGINAL_SEQUENCE_BYTES, Remembered, Source};
use super::{Outgoing, Packet};
use crate::wire::{PayloadType, Ssrc};

/// Round trip that is assumed before one was measured: receivers do as well.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Least time between two retransmissions of a packet: on the shortest ways the round trip says nothing about when a receiver
/// can know.
const LEAST_ROUND_TRIP: Duration = Duration::from_millis(10);
/// How often one packet is sent again: a receiver that still lacks it by then has given it up.
const MOST_AGAIN: u8 = 10;

/// Where and how retransmissions go.
#[derive(Clone, PartialEq, Debug)]
pub struct RtxTarget {
    pub ssrc: Ssrc,
    /// For each payload type of the stream, the one of its retransmissions (`apt`).
    pub payload_types: Vec<(PayloadType, PayloadType)>,
}

/// Why a packet that was asked for is not sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It was never sent, or too long ago; or there is no stream to send it again in.
    Gone,
    /// It was, less than a round trip ago, or often enough.
    TooSoon,
    OverBudget,
}

/// Whether it is the last time that a packet is sent again: who lacks it then needs a keyframe.
pub fn is_last_time(found: &Remembered) -> bool {
    found.again + 1 >= MOST_AGAIN
}

#[derive(Debug)]
pub struct Recovery {
    target: RtxTarget,
    next_sequence: u64,
    history: History,
    budget: Budget,
}

impl Recovery {
    pub fn new(target: RtxTarget, random: &mut dyn RngCore) -> Recovery {
        // Below 2^15 for the same reason as the stream's own.
        let next_sequence = u64::from(random.next_u32() & 0x7fff);
        Recovery { target, next_sequence, history: History::new(), budget: Budget::new() }
    }

    pub fn ssrc(&self) -> Ssrc {
        self.target.ssrc
    }

    /// A packet was forwarded, rewritten to this.
    pub fn sent(
        &mut self,
        now: Instant,
        record: &Packet,
        output: u64,
        header: &[u8],
        prefix: &[u8],
        payload: &Range<usize>,
    ) {
        let source =
            Source { encoding: record.encoding, ssrc: record.header.ssrc, extended_sequence: record.extended_sequence };
        self.history.insert(now, output, source, header, prefix, payload);
        let at = self.history.clock(now);
        self.budget.sent(at, header.len() + payload.len());
    }

    /// What was sent belongs to a source that is no longer forwarded.
    pub fn forget(&mut self) {
        self.history.clear();
    }

    /// The subscriber reported what share of the stream it lost, of 256.
    pub fn reported(&mut self, fraction_lost: u8) {
        self.budget.reported(fraction_lost);
    }

    /// The same of the retransmissions.
    pub fn reported_again(&mut self, fraction_lost: u8) {
        self.budget.reported_again(fraction_lost);
    }

    /// A packet that may be sent again now.
    pub fn find(
        &mut self,
        now: Instant,
        sequence_number: u16,
        round_trip: Option<Duration>,
    ) -> Result<Remembered, Refusal> {
        let found = self.history.find(sequence_number).ok_or(Refusal::Gone)?;
        if found.again > 0 {
            // A little less than a round trip: a repetition that is due comes early by jitter as often as late.
            let apart = (round_trip.unwrap_or(DEFAULT_ROUND_TRIP) * 7 / 8).max(LEAST_ROUND_TRIP);
            let passed = self.history.clock(now).wrapping_sub(found.again_at);
            if u128::from(passed) < apart.as_millis() || found.again >= MOST_AGAIN {
                return Err(Refusal::TooSoon);
            }
        }
        let allowed =
            if found.again > 0 { self.budget.allows_repetition(found.len) } else { self.budget.allows(found.len) };
        if allowed { Ok(found) } else { Err(Refusal::OverBudget) }
    }

    /// The retransmission of a packet that was found: its payload begins before that of the source's packet, by what the original
    /// sequence number takes.
    pub fn write(&mut self, now: Instant, found: &Remembered) -> Option<Outgoing<'_>> {
        let (header, prefix) = self.history.take(now, found)?;
        let original = PayloadType(header.get(1)? & 0x7f);
        // What was sent again before has the payload type already; none stands for two formats of a section.
        let mut own = self.target.payload_types.iter();
        let (_, payload_type) = own.find(|(media, rtx)| [*media, *rtx].contains(&original))?;
        let extended_sequence = self.next_sequence;
        rewrite(header, *payload_type, extended_sequence as u16, self.target.ssrc)?;
        self.next_sequence += 1;
        self.budget.spend(found.len);
        let payload = found.payload();
        Some(Outgoing {
            extended_sequence,
            header,
            prefix,
            payload: payload.start.checked_sub(ORIGINAL_SEQUENCE_BYTES)?..payload.end,
        })
    }
}

/// Turns a header into its retransmission's: without the padding, with the marker and the extensions it has.
fn rewrite(header: &mut [u8], payload_type: PayloadType, sequence: u16, ssrc: Ssrc) -> Option<()> {
    let [flags, type_byte, s0, s1, _, _, _, _, i0, i1, i2, i3] = header.first_chunk_mut::<12>()?;
    *flags &= !0x20;
    *type_byte = (*type_byte & 0x80) | (payload_type.0 & 0x7f);
    [*s0, *s1] = sequence.to_be_bytes();
    [*i0, *i1, *i2, *i3] = ssrc.0.to_be_bytes();
    Some(())
}
