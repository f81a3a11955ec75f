//! The receiving side of transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01): remembers
//! when each numbered packet of a publisher arrived, and reports it so that the publisher can estimate its uplink.
//!
//! What always holds: memory is one fixed ring for each publisher, whatever it sends; a packet is reported as received at
//! most once, and in order.

use std::time::{Duration, Instant};

use crate::wire::Ssrc;
use crate::wire::rtcp::transport_feedback::{Feedback, MAX_STATUSES};

/// How often feedback is sent: libwebrtc's own range is 50 to 250 ms, and below 100 ms the estimate gains little.
pub const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
/// Packets remembered between two feedbacks: 100 ms at 10,000 packets a second, a power of two for the ring.
const RING: usize = 1024;

/// Losses told before the first packet that arrived, so that one message always reaches that packet.
const TOLD_LOSSES: i64 = MAX_STATUSES as i64 / 2;

/// One publisher's arrivals.
pub struct ArrivalLog {
    epoch: Instant,
    /// By sequence number modulo [`RING`]: the extended number and when it arrived.
    ring: Vec<Option<(i64, Instant)>>,
    /// Extended number of the newest packet.
    newest: Option<i64>,
    /// First number the next feedback covers.
    next: i64,
    count: u8,
    media: Ssrc,
}

impl ArrivalLog {
    pub fn new(now: Instant) -> ArrivalLog {
        ArrivalLog { epoch: now, ring: Vec::new(), newest: None, next: 0, count: 0, media: Ssrc(0) }
    }

    /// A packet of the publisher with this transport-wide number arrived.
    pub fn arrived(&mut self, now: Instant, sequence: u16, media: Ssrc) {
        self.media = media;
        let extended = match self.newest {
            None => {
                // Memory is only taken for peers that send such numbers.
                self.ring.resize(RING, None);
                self.next = i64::from(sequence);
                i64::from(sequence)
            }
            Some(newest) => {
                let ahead = sequence.wrapping_sub(newest as u16) as i16;
                newest + i64::from(ahead)
            }
        };
        if extended < self.next {
            return;
        }
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        if let Some(slot) = self.ring.get_mut(index(extended)) {
            *slot = Some((extended, now));
        }
    }

    /// The feedback that is due, or `None` when nothing arrived since the last. Call again until `None`: one feedback
    /// covers a bounded range.
    pub fn feedback(&mut self, sender: Ssrc) -> Option<Feedback> {
        let newest = self.newest.filter(|newest| *newest >= self.next)?;
        // What fell out of the ring cannot be reported; the sender takes it as unknown.
        let oldest = self.next.max(newest - RING as i64 + 1);
        let arrived = (oldest..=newest).find(|extended| self.arrival(*extended).is_some())?;
        // Losses before the first arrival are told too, but not the whole of a jump.
        let first = oldest.max(arrived - TOLD_LOSSES);
        let last = newest.min(first + MAX_STATUSES as i64 - 1);
        let arrivals = (first..=last).map(|extended| self.arrival(extended).map(|at| self.since_epoch(at)));
        let feedback = Feedback::new(sender, self.media, first as u16, self.count, arrivals);
        self.next = first + feedback.statuses() as i64;
        self.count = self.count.wrapping_add(1);
        Some(feedback)
    }

    fn arrival(&self, extended: i64) -> Option<Instant> {
        let (stored, at) = (*self.ring.get(index(extended))?)?;
        (stored == extended).then_some(at)
    }

    fn since_epoch(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }
}

fn index(extended: i64) -> usize {
    extended.rem_euclid(RING as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn losses_reordering_and_the_wrap_are_reported_once() {
        let start = Instant::now();
        let mut log = ArrivalLog::new(start);
        for (ms, sequence) in [(0, 65_534), (5, 65_535), (9, 1), (10, 0), (20, 3)] {
            log.arrived(at(start, ms), sequence, Ssrc(7));
        }
        let feedback = log.feedback(Ssrc(1)).unwrap();
        assert_eq!((feedback.base(), feedback.statuses()), (65_534, 6));
        assert_eq!(log.feedback(Ssrc(1)).map(|f| f.base()), None);
        log.arrived(at(start, 30), 2, Ssrc(7));
        assert!(log.feedback(Ssrc(1)).is_none(), "reported as lost already");
        log.arrived(at(start, 31), 4, Ssrc(7));
        assert_eq!(log.feedback(Ssrc(1)).map(|f| (f.base(), f.statuses())), Some((4, 1)));
    }

    #[test]
    fn a_jump_of_the_sequence_costs_no_more_than_the_ring() {
        let start = Instant::now();
        let mut log = ArrivalLog::new(start);
        log.arrived(start, 0, Ssrc(7));
        log.arrived(at(start, 1), 30_000, Ssrc(7));
        let mut covered = 0;
        while let Some(feedback) = log.feedback(Ssrc(1)) {
            covered += feedback.statuses();
        }
        assert!(covered <= RING, "{covered}");
    }
}
