//! Answering a subscriber's NACKs (RFC 4585, section 6.2.1) by retransmissions in a stream of their own (RFC 4588): its SSRC, its
//! sequence numbers, the payload type that goes with the packet's, the original sequence number in front of the payload.
//!
//! What always holds: a packet is sent again once per round trip at most and [`MOST_AGAIN`] times in all, within the [`Budget`]; no
//! sequence number is given twice.

use std::time::{Duration, Instant};

use rand::RngCore;

use super::budget::Budget;
use super::history::{History, Remembered};
use super::write::{Hop, ORIGINAL_SEQUENCE_BYTES, Scratch, Stamp};
use super::{Origin, Outgoing, Packet, Rewritten, SendStream};
use crate::wire::extension::ExtensionMap;
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

/// Why a packet is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The subscriber asked for it.
    Nack,
    /// Something has to be sent to find out what the way takes.
    Probe,
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
        Recovery { target, next_sequence, history: History::new(), budget: Budget::default() }
    }

    pub fn ssrc(&self) -> Ssrc {
        self.target.ssrc
    }

    /// A packet with so many bytes of payload was forwarded. `structure`: which of the dependency descriptor was in force.
    pub fn sent(&mut self, now: Instant, record: &Packet, rewritten: &Rewritten, structure: u8, bytes: usize) {
        self.history.insert(now, record, rewritten, structure);
        let at = self.history.clock(now);
        self.budget.sent(at, bytes);
    }

    /// Reads what remembering the next packet needs (see [`SendStream::touch`]).
    pub fn touch(&self) -> u64 {
        self.history.touch() ^ self.next_sequence ^ u64::from(self.budget.share())
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

    /// A packet that was sent, and not sent again just now. The round trip is the subscriber's.
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
            let passed = (self.history.clock(now) as u16).wrapping_sub(found.again_at);
            if u128::from(passed) < apart.as_millis() || found.again >= MOST_AGAIN {
                return Err(Refusal::TooSoon);
            }
        }
        Ok(found)
    }

    /// Whether a packet with so many bytes of payload may be sent again.
    pub fn allows(&self, found: &Remembered, bytes: usize) -> bool {
        if found.again > 0 { self.budget.allows_repetition(bytes) } else { self.budget.allows(bytes) }
    }

    /// The payload type of what is sent again of this one.
    pub fn payload_type(&self, media: PayloadType) -> Option<PayloadType> {
        self.target.payload_types.iter().find(|(own, _)| *own == media).map(|(_, again)| *again)
    }

    /// It is sent again now because it was asked for.
    pub fn spend(&mut self, now: Instant, found: &Remembered, bytes: usize) {
        self.history.count(now, found);
        self.budget.spend(bytes);
    }

    /// The extended sequence number of the next retransmission.
    pub fn number(&mut self) -> u64 {
        let extended_sequence = self.next_sequence;
        self.next_sequence += 1;
        extended_sequence
    }
}

impl SendStream {
    /// What the subscriber asks for by a sequence number: where it is, if it may be sent again now.
    pub fn find_lost(&mut self, now: Instant, sequence_number: u16) -> Result<Remembered, Refusal> {
        let recovery = self.recovery.as_mut().ok_or(Refusal::Gone)?;
        recovery.find(now, sequence_number, self.round_trip_time)
    }

    /// A packet that was sent lately, for a probe: so many before the newest.
    pub fn find_recent(&self, back: u16) -> Option<Remembered> {
        self.recovery.as_ref()?.history.recent(back)
    }

    /// The retransmission (RFC 4588) of what was found: the packet as it was sent, in a stream of its own. `record`, `source` and `packet` are
    /// as they were for [`forward`](Self::forward). Its payload begins before that of the source's packet, by what the original
    /// sequence number takes.
    #[expect(clippy::too_many_arguments, reason = "what was found, the packet in its parts, and where to")]
    pub fn retransmit<'a>(
        &mut self,
        now: Instant,
        found: &Remembered,
        cause: Cause,
        record: &Packet,
        source: &ExtensionMap,
        packet: &[u8],
        hop: Hop,
        scratch: &'a mut Scratch,
    ) -> Result<Outgoing<'a>, Refusal> {
        // The publisher may have begun anew under another SSRC since, with the same numbers; or with other layers.
        let outdated = found.rewritten.announced.is_some() && found.structure != self.templates.structure;
        if found.origin != Origin::of(record) || outdated {
            return Err(Refusal::Gone);
        }
        let content = self.content(record, packet).ok_or(Refusal::Gone)?;
        let bytes = content.payload.len();
        let recovery = self.recovery.as_mut().ok_or(Refusal::Gone)?;
        let payload_type = recovery.payload_type(content.payload_type).ok_or(Refusal::Gone)?;
        if cause == Cause::Nack {
            if !recovery.allows(found, bytes) {
                return Err(Refusal::OverBudget);
            }
            recovery.spend(now, found, bytes);
        }
        let extended_sequence = recovery.number();
        let stamp = Stamp { payload_type, sequence_number: extended_sequence as u16, ssrc: recovery.ssrc(), hop };
        self.write_header(scratch, stamp, record, &found.rewritten, source, packet);
        let prefix_len = scratch.write_prefix(&found.rewritten, &content);
        let original = found.rewritten.extended_sequence as u16;
        let (header, prefix) = scratch.written_again(original, prefix_len).ok_or(Refusal::Gone)?;
        let start = (content.end - bytes).checked_sub(ORIGINAL_SEQUENCE_BYTES).ok_or(Refusal::Gone)?;
        Ok(Outgoing { extended_sequence, header, prefix, payload: start..content.end })
    }

    /// A packet of padding alone, in the stream of retransmissions: its extended sequence number, header and padding.
    /// `None` where there is no such stream.
    pub fn pad<'a>(&mut self, hop: Hop, scratch: &'a mut Scratch) -> Option<(u64, &'a [u8], &'a mut [u8])> {
        let recovery = self.recovery.as_mut()?;
        let (_, payload_type) = *recovery.target.payload_types.first()?;
        let timestamp = recovery.history.recent(0).map_or(0, |newest| newest.rewritten.timestamp);
        let extended_sequence = recovery.number();
        let stamp = Stamp { payload_type, sequence_number: extended_sequence as u16, ssrc: recovery.ssrc(), hop };
        let (header, padding) = self.write_padding(scratch, stamp, timestamp);
        Some((extended_sequence, header, padding))
    }
}
