//! When what may wait leaves towards one subscriber (draft-ietf-rmcat-gcc-02, section 4): faster than the way takes it on average, so that a
//! frame is not drawn out, yet never as a burst that fills the queues on the way.
//!
//! What always holds: of what may wait no more leaves at once than [`BURST`] of the pace holds, and one packet; what may not wait (audio,
//! repairs) counts and is not held back; nothing waits much longer than [`LONGEST_WAIT`].

use std::time::{Duration, Instant};

use super::bitrate::Bitrate;

/// The pace over the rate that the way takes: libwebrtc's, at which a keyframe of five times a frame's size passes in two frames' time.
const FACTOR: f64 = 2.5;
/// What leaves at once, as time at the pace: a frame of the rate at 25 frames a second, which then leaves as few runs.
const BURST: Duration = Duration::from_millis(40);
/// What waits leaves in portions of so much time: a wake-up costs as much as several packets.
const TICK: Duration = Duration::from_millis(5);
/// The pace rises so that nothing waits much longer: what is late by more is of no use in a conversation.
const LONGEST_WAIT: Duration = Duration::from_millis(300);

pub struct Pacer {
    pace: Bitrate,
    /// Bytes that left and whose time at the pace is not over, as of `at`.
    debt: u64,
    at: Instant,
}

impl Pacer {
    /// `rate` is what the way takes.
    pub fn new(now: Instant, rate: Bitrate) -> Pacer {
        Pacer { pace: rate.scaled(FACTOR), debt: 0, at: now }
    }

    /// The way takes this from now on, and so many bytes wait.
    pub fn adapt(&mut self, now: Instant, rate: Bitrate, waiting: u64) {
        self.settle(now);
        self.pace = rate.scaled(FACTOR).max(Bitrate::of(waiting, LONGEST_WAIT));
    }

    /// Something left.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        self.settle(now);
        self.debt = self.debt.saturating_add(bytes as u64);
    }

    /// Whether what may wait may leave now.
    pub fn allows(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.debt <= self.pace.bytes_in(BURST)
    }

    /// When a portion of what waits may leave.
    pub fn resumes(&self) -> Instant {
        let portion = self.pace.bytes_in(BURST.saturating_sub(TICK));
        self.at + self.pace.time_for(self.debt.saturating_sub(portion))
    }

    fn settle(&mut self, now: Instant) {
        if now <= self.at {
            return;
        }
        // What is less than a byte is lost, once a batch at most.
        self.debt = self.debt.saturating_sub(self.pace.bytes_in(now - self.at));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PACKET: usize = 1_000;
    /// A pace of 2 Mbit/s: 10 kB in a burst, a packet every 4 ms.
    const RATE: Bitrate = Bitrate::from_kbps(800);

    /// Packets that leave at a moment when many wait.
    fn burst(pacer: &mut Pacer, now: Instant) -> usize {
        let mut packets = 0;
        while pacer.allows(now) && packets < 1_000 {
            pacer.sent(now, PACKET);
            packets += 1;
        }
        packets
    }

    #[test]
    fn a_frame_leaves_at_once_and_a_burst_at_the_pace() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, RATE);
        assert_eq!(burst(&mut pacer, start), 11);
        assert!(pacer.resumes() > start);
        let (mut now, mut packets) = (start, 0);
        while now < start + 1_000 * MS {
            now = pacer.resumes().max(now + MS);
            packets += burst(&mut pacer, now);
        }
        assert!((245..=255).contains(&packets), "{packets} in a second");
    }

    #[test]
    fn what_may_not_wait_makes_the_rest_wait_longer() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, RATE);
        (0..20).for_each(|_| pacer.sent(start, PACKET));
        assert!(!pacer.allows(start + 39 * MS));
        assert!(pacer.allows(start + 40 * MS));
    }

    #[test]
    fn a_portion_leaves_at_a_tick_and_not_packet_by_packet() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, Bitrate::from_kbps(8_000));
        burst(&mut pacer, start);
        let resumes = pacer.resumes();
        assert!(resumes >= start + TICK && resumes <= start + TICK + MS, "{:?}", resumes - start);
        assert!(burst(&mut pacer, resumes) >= 12);
    }

    #[test]
    fn what_waits_in_a_long_queue_does_not_wait_for_ever() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, Bitrate::from_kbps(50));
        let (mut now, mut waiting) = (start, 300);
        while waiting > 0 && now < start + 10_000 * MS {
            pacer.adapt(now, Bitrate::from_kbps(50), waiting * PACKET as u64);
            while waiting > 0 && pacer.allows(now) {
                pacer.sent(now, PACKET);
                waiting -= 1;
            }
            now += 5 * MS;
        }
        let took = now - start;
        assert!((LONGEST_WAIT..10 * LONGEST_WAIT).contains(&took), "{took:?}");
    }

    #[test]
    fn a_pace_that_changes_counts_from_then_on() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, RATE);
        burst(&mut pacer, start);
        let slow = pacer.resumes();
        pacer.adapt(start, Bitrate::from_kbps(8_000), 0);
        assert!(pacer.resumes() < slow && pacer.allows(start));
    }
}
