//! One incoming RTP stream (one SSRC): extended sequence numbers, loss and jitter (RFC 3550, A.1, A.3, A.8), and its sender reports.
//!
//! Packets that are sent again as a stream of their own (RFC 4588, section 4) fill its gaps and are not counted as received.
//!
//! What always holds: packets given here are authenticated and not replayed, so A.1's probation is not needed; extended sequence
//! numbers are at least 2^15 and go no further back than 2^15 behind the highest.

use std::time::{Duration, Instant};

use super::clock;
use super::nack::{MissingPackets, Recovered, Repair};
use crate::wire::Ssrc;
use crate::wire::rtcp::{ReceptionReport, SenderInfo};
use crate::wire::rtp;

/// Added to the first sequence number, so that what arrives from before it is still above zero.
const FIRST_CYCLE: u64 = 1 << 16;
/// A jump over more packets than this is a restart or a hole in the network, not loss to report (RFC 3550, A.1: MAX_DROPOUT).
const MAX_DROPOUT: u64 = 3_000;

/// The pair of clocks a sender report ties together, for rewriting timestamps between encodings of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockReference {
    /// 32.32 fixed point NTP time of the publisher.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    /// When the report arrived here.
    pub arrival: Instant,
}

/// Packets at some moment.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    expected: u64,
    received: u64,
    /// Not received, but sent again beside the stream.
    recovered: u64,
}

/// State and statistics of one SSRC.
#[derive(Debug)]
pub struct ReceiveStream {
    ssrc: Ssrc,
    clock_rate: u32,
    /// First extended sequence number, moved up by what [`MAX_DROPOUT`] excuses.
    base: u64,
    highest: u64,
    packets: u64,
    bytes: u64,
    last_arrival: Option<Instant>,
    transit: Option<Transit>,
    /// Interarrival jitter in timestamp units, times 16 (A.8).
    jitter: u64,
    reported: Counts,
    fraction_lost: u8,
    fraction_passed_on: u8,
    clock: Option<ClockReference>,
    recovered: u64,
    /// Where the publisher sends packets again when asked to.
    missing: Option<MissingPackets>,
}

/// Relative transit time of the last packet: local time, in timestamp units since `epoch`, minus RTP timestamp.
#[derive(Clone, Copy, Debug)]
struct Transit {
    epoch: Instant,
    last: u32,
}

impl ReceiveStream {
    pub fn new(ssrc: Ssrc, clock_rate: u32) -> ReceiveStream {
        ReceiveStream {
            ssrc,
            clock_rate,
            base: 0,
            highest: 0,
            packets: 0,
            bytes: 0,
            last_arrival: None,
            transit: None,
            jitter: 0,
            reported: Counts::default(),
            fraction_lost: 0,
            fraction_passed_on: 0,
            clock: None,
            recovered: 0,
            missing: None,
        }
    }

    /// The publisher sends packets again in this way.
    pub fn with_repair(self, repair: Repair) -> ReceiveStream {
        ReceiveStream { missing: MissingPackets::new(repair), ..self }
    }

    /// What is missing, where it can be asked for.
    pub fn missing(&mut self) -> Option<&mut MissingPackets> {
        self.missing.as_mut()
    }

    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Accounts for an authenticated packet and gives its 64-bit extended sequence number (starting near 2^16 so that reordering at the start
    /// never underflows).
    pub fn receive(&mut self, now: Instant, header: &rtp::Header, packet_len: usize) -> u64 {
        let extended = self.extend(header.sequence_number);
        self.packets += 1;
        self.bytes += packet_len as u64;
        self.last_arrival = Some(now);
        self.update_jitter(now, header.timestamp);
        extended
    }

    /// The extended number of a packet that was sent again beside the stream, if it was missing. It counts as lost in reports all the same.
    pub fn recover(&mut self, now: Instant, sequence_number: u16) -> Option<(u64, Recovered)> {
        let extended = self.nearest(sequence_number);
        let recovered = self.missing.as_mut()?.recovered(now, extended)?;
        self.recovered += 1;
        Some((extended, recovered))
    }

    /// The number nearest to the highest one so far.
    fn nearest(&self, sequence_number: u16) -> u64 {
        let step = sequence_number.wrapping_sub(self.highest as u16) as i16;
        self.highest.saturating_add_signed(step.into())
    }

    /// A.1.
    fn extend(&mut self, sequence_number: u16) -> u64 {
        if self.packets == 0 {
            self.base = FIRST_CYCLE + u64::from(sequence_number);
            self.highest = self.base;
            return self.base;
        }
        let extended = self.nearest(sequence_number);
        if extended > self.highest {
            let skipped = extended - self.highest - 1;
            if skipped > MAX_DROPOUT {
                self.base += skipped;
            }
            self.highest = extended;
        }
        extended
    }

    /// A.8, in integers.
    fn update_jitter(&mut self, now: Instant, timestamp: u32) {
        let epoch = self.transit.map_or(now, |transit| transit.epoch);
        let arrival = clock::units(now.saturating_duration_since(epoch), self.clock_rate) as u32;
        let last = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit {
            let difference = u64::from((last.wrapping_sub(before.last) as i32).unsigned_abs());
            self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
        }
        self.transit = Some(Transit { epoch, last });
    }

    /// A report of another SSRC, or one without wall clock (NTP 0, RFC 3550, section 6.4.1), says nothing about this stream.
    pub fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        if info.ssrc != self.ssrc || info.ntp == 0 {
            return;
        }
        self.clock = Some(ClockReference { ntp: info.ntp, rtp_timestamp: info.rtp_timestamp, arrival: now });
    }

    pub fn clock_reference(&self) -> Option<ClockReference> {
        self.clock
    }

    /// The report block for the publisher; resets the interval counters.
    pub fn report(&mut self, now: Instant) -> ReceptionReport {
        let counts = self.counts();
        self.fraction_lost = fraction_lost(self.reported, counts, 0);
        self.fraction_passed_on = fraction_lost(self.reported, counts, counts.recovered - self.reported.recovered);
        self.reported = counts;
        let (last_sender_report, delay_since_last) = self.clock.map_or((0, 0), |clock| {
            let delay = now.saturating_duration_since(clock.arrival);
            (clock::ntp_middle(clock.ntp), clock::to_short(delay))
        });
        ReceptionReport {
            ssrc: self.ssrc.0,
            fraction_lost: self.fraction_lost,
            cumulative_lost: cumulative_lost(counts),
            extended_highest_sequence: self.highest.saturating_sub(FIRST_CYCLE) as u32,
            jitter: u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX),
            last_sender_report,
            delay_since_last,
        }
    }

    fn counts(&self) -> Counts {
        let expected = if self.packets == 0 { 0 } else { self.highest - self.base + 1 };
        Counts { expected, received: self.packets, recovered: self.recovered }
    }

    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of whole packets.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Time of the last packet.
    pub fn last_arrival(&self) -> Option<Instant> {
        self.last_arrival
    }

    /// Share of packets lost over the last report interval, 0 to 255 as in a report block.
    pub fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }

    /// The same without those that were sent again.
    pub fn fraction_passed_on(&self) -> u8 {
        self.fraction_passed_on
    }

    /// Interarrival jitter (A.8).
    pub fn jitter(&self) -> Duration {
        let nanos = (self.jitter >> 4).saturating_mul(1_000_000_000) / u64::from(self.clock_rate.max(1));
        Duration::from_nanos(nanos)
    }
}

/// A.3: lost over expected of one interval, in 1/256, but for some that do not count as lost; 0 when late packets outnumber the lost ones.
fn fraction_lost(before: Counts, now: Counts, excused: u64) -> u8 {
    let expected = now.expected.saturating_sub(before.expected);
    let received = now.received.saturating_sub(before.received);
    let lost = expected.saturating_sub(received).saturating_sub(excused);
    (lost * 256).checked_div(expected).map_or(0, |share| share.min(255) as u8)
}

/// A.3: expected less received, within 24 bits.
fn cumulative_lost(counts: Counts) -> i32 {
    let lost = counts.expected as i64 - counts.received as i64;
    lost.clamp(-0x80_0000, 0x7f_ffff) as i32
}

#[cfg(test)]
mod tests;
