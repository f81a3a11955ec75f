//! One incoming RTP stream (one SSRC): extended sequence numbers, loss and jitter (RFC 3550, A.1, A.3, A.8), and its sender reports.

use std::time::Instant;

use crate::wire::Ssrc;
use crate::wire::rtcp::{ReceptionReport, SenderInfo};
use crate::wire::rtp;

/// The pair of clocks a sender report ties together, for rewriting timestamps between encodings of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockReference {
    /// 32.32 fixed point NTP time of the publisher.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    /// When the report arrived here.
    pub arrival: Instant,
}

pub struct ReceiveStream {}

impl ReceiveStream {
    pub fn new(ssrc: Ssrc, clock_rate: u32) -> ReceiveStream {
        todo!("{ssrc:?} {clock_rate}")
    }
    pub fn ssrc(&self) -> Ssrc {
        todo!()
    }
    /// Accounts for an authenticated packet and gives its 64-bit extended sequence number (starting near 2^16 so that reordering at the start
    /// never underflows).
    pub fn receive(&mut self, now: Instant, header: &rtp::Header, packet_len: usize) -> u64 {
        let _ = (now, header, packet_len);
        todo!()
    }
    pub fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        let _ = (now, info);
    }
    pub fn clock_reference(&self) -> Option<ClockReference> {
        todo!()
    }
    /// The report block for the publisher; resets the interval counters.
    pub fn report(&mut self, now: Instant) -> ReceptionReport {
        let _ = now;
        todo!()
    }
    pub fn packets(&self) -> u64 {
        todo!()
    }
    /// Bytes of whole packets.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Time of the last packet.
    pub fn last_arrival(&self) -> Option<Instant> {
        todo!()
    }
    /// Share of packets lost over the last report interval, 0 to 255 as in a report block.
    pub fn fraction_lost(&self) -> u8 {
        todo!()
    }
}
