//! RTP timestamps of a source's encodings mapped to one continuous timeline, and the sender reports that tie it to the
//! publisher's clock (RFC 3550, section 6.4.1; RFC 7667, section 3.7).
//!
//! What always holds: the first packet after a switch is later than everything before it, and an offset stays as it is between two
//! switches, so that distances between frames are the publisher's.

use std::time::{Duration, Instant};

use crate::media::clock;
use crate::media::receive::ClockReference;

/// How far the publisher's clocks may lead away from the time that passed here before they are taken for nonsense. Network delay,
/// encoder delay and pacing differ between encodings by less; drift takes hours for it.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// Least step when only elapsed time is known: a frame at 30 per second.
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);

#[derive(Debug)]
pub struct TimestampMap {
    clock_rate: u32,
    /// Added to input timestamps. Wrapping.
    offset: u32,
    /// How far the present stream's timestamps lie ahead of the timeline, because its first was not later than what went before. Forgotten at
    /// the next switch: else many switches would add up to a timeline that runs fast.
    ahead: u32,
    /// Newest output timestamp, and when the first packet that bore it came.
    newest: Option<(u32, Instant)>,
    /// The last clock reference that was read, as it came.
    source_clock: Option<ClockReference>,
    /// The same on the timeline, in output timestamps.
    reference: Option<ClockReference>,
}

impl TimestampMap {
    /// `first_offset` is random (RFC 3550, section 5.1).
    pub fn new(clock_rate: u32, first_offset: u32) -> TimestampMap {
        TimestampMap { clock_rate, offset: first_offset, ahead: 0, newest: None, source_clock: None, reference: None }
    }

    /// What follows is another source's, whose clock is not that of the one before; the timeline goes on at this rate.
    pub fn change_source(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate;
        self.ahead = 0;
        self.source_clock = None;
        self.reference = None;
    }

    /// Begins with a source stream at its timestamp `input`, before which the timeline needs `before` free ticks. `resumes` when it
    /// is the stream that was mapped before, whose offset still fits.
    pub fn start(
        &mut self,
        now: Instant,
        input: u32,
        before: u32,
        resumes: bool,
        clock: Option<ClockReference>,
    ) -> u32 {
        if let Some((newest, arrival)) = self.newest {
            let elapsed = now.saturating_duration_since(arrival);
            let by_elapsed = newest.wrapping_add(self.units(elapsed.max(FRAME)));
            let candidate =
                if resumes { Some(input.wrapping_add(self.line_offset())) } else { self.by_clocks(input, clock) };
            let due = candidate.filter(|candidate| self.is_plausible(*candidate, by_elapsed)).unwrap_or(by_elapsed);
            // Both encodings may have captured the same moment. One tick then keeps the order and the lip sync.
            let least = newest.wrapping_add(before);
            let output = if clock::is_later(due, least) { due } else { least.wrapping_add(1) };
            self.offset = output.wrapping_sub(input);
            self.ahead = output.wrapping_sub(due);
        }
        self.newest = Some((input.wrapping_add(self.offset), now));
        self.follow(clock);
        input.wrapping_add(self.offset)
    }

    /// Maps a packet of the stream that was started. `newest` when no later one in the source's order was mapped yet.
    pub fn map(&mut self, now: Instant, input: u32, newest: bool, clock: Option<ClockReference>) -> u32 {
        self.follow(clock);
        let output = input.wrapping_add(self.offset);
        if newest && self.newest.is_none_or(|(before, _)| self.replaces(output, before)) {
            self.newest = Some((output, now));
        }
        output
    }

    /// Where a timestamp of the stream that was started lies.
    pub fn place(&self, input: u32) -> u32 {
        input.wrapping_add(self.offset)
    }

    /// NTP time and the output timestamp that belongs to it: the publisher's where it is known, else `ntp_now`. `None` before the first packet.
    pub fn report(&self, now: Instant, ntp_now: u64) -> Option<(u64, u32)> {
        let (newest, arrival) = self.newest?;
        let (ntp, timestamp, since) = match self.reference {
            Some(reference) => {
                let elapsed = now.saturating_duration_since(reference.arrival);
                (clock::ntp_after(reference.ntp, elapsed), reference.rtp_timestamp.wrapping_add(self.ahead), elapsed)
            }
            None => (ntp_now, newest, now.saturating_duration_since(arrival)),
        };
        Some((ntp, timestamp.wrapping_add(self.units(since))))
    }

    /// Added to inputs to find them on the timeline.
    fn line_offset(&self) -> u32 {
        self.offset.wrapping_sub(self.ahead)
    }

    /// Carries a new clock reference over to the timeline.
    fn follow(&mut self, clock: Option<ClockReference>) {
        if clock.is_none() || clock == self.source_clock {
            return;
        }
        self.source_clock = clock;
        self.reference = clock.map(|clock| ClockReference {
            rtp_timestamp: clock.rtp_timestamp.wrapping_add(self.line_offset()),
            ..clock
        });
    }

    /// Where `input` lies on the timeline when both streams' clocks are known.
    fn by_clocks(&self, input: u32, clock: Option<ClockReference>) -> Option<u32> {
        let (old, new) = (self.reference?, clock?);
        let between = clock::units_between(old.ntp, new.ntp, self.clock_rate);
        let since_report = input.wrapping_sub(new.rtp_timestamp);
        Some(old.rtp_timestamp.wrapping_add(between).wrapping_add(since_report))
    }

    fn is_plausible(&self, candidate: u32, by_elapsed: u32) -> bool {
        let apart = (candidate.wrapping_sub(by_elapsed) as i32).unsigned_abs();
        apart <= self.units(CLOCK_TOLERANCE)
    }

    /// Forward always; backward only far, when the publisher began its timestamps anew.
    fn replaces(&self, output: u32, before: u32) -> bool {
        clock::is_later(output, before) || before.wrapping_sub(output) > self.units(CLOCK_TOLERANCE)
    }

    fn units(&self, duration: Duration) -> u32 {
        clock::units(duration, self.clock_rate) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;
    const SECOND: Duration = Duration::from_secs(1);
    const NTP: u64 = 3_900_000_000 << 32;

    fn reference(ntp: u64, rtp_timestamp: u32, arrival: Instant) -> Option<ClockReference> {
        Some(ClockReference { ntp, rtp_timestamp, arrival })
    }

    #[test]
    fn the_first_stream_has_the_random_offset_and_keeps_its_distances() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, u32::MAX);
        assert_eq!(map.start(start, 1_000, 0, false, None), 999);
        assert_eq!(map.map(start, 4_000, true, None), 3_999);
    }

    #[test]
    fn clocks_place_the_next_encoding_exactly() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 1_000, 0, false, reference(NTP, 1_000, start));
        // The other encoding's clock reads 500,000 half a second later; its keyframe was captured 1 s after the first frame, but came late.
        let late = start + SECOND + Duration::from_millis(150);
        let clock = reference(NTP + (1 << 31), 500_000, start);
        assert_eq!(map.start(late, 545_000, 0, false, clock), 91_000);
        assert_eq!(map.map(late, 548_000, true, clock), 94_000);
    }

    #[test]
    fn without_clocks_the_time_that_passed_decides() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 1_000, 0, false, None);
        assert_eq!(map.start(start + SECOND, 7, 0, false, None), 91_000);
        let at_once = map.start(start + SECOND, 70_000, 0, false, None);
        assert_eq!(at_once, 91_000 + 2_999, "at least a frame");
    }

    #[test]
    fn clocks_that_disagree_with_the_time_that_passed_are_not_believed() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 1_000, 0, false, reference(NTP, 1_000, start));
        let an_hour_ahead = reference(NTP + (3_600 << 32), 500_000, start);
        assert_eq!(map.start(start + SECOND, 500_000, 0, false, an_hour_ahead), 91_000);
    }

    #[test]
    fn the_same_moment_in_two_encodings_is_one_tick_apart() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 1_000, 0, false, reference(NTP, 1_000, start));
        assert_eq!(map.start(start, 9_000, 0, false, reference(NTP, 9_000, start)), 1_001);
        let earlier = map.start(start, 70_000, 0, false, reference(NTP, 73_000, start));
        assert_eq!(earlier, 1_002, "captured before the last frame");
    }

    #[test]
    fn a_resumed_stream_keeps_its_offset_unless_its_timestamps_began_anew() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 5);
        map.start(start, 1_000, 0, false, None);
        assert_eq!(map.start(start + 10 * SECOND, 901_000, 0, true, None), 901_005);
        assert_eq!(map.start(start + 11 * SECOND, 77, 0, true, None), 991_005);
    }

    #[test]
    fn a_pause_of_a_day_still_steps_forward() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 1_000, 0, false, None);
        let output = map.start(start + 86_400 * SECOND, 77, 0, false, None);
        assert!(clock::is_later(output, 1_000));
    }

    #[test]
    fn reports_carry_the_publishers_clock_over() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 100);
        assert_eq!(map.report(start, 42), None, "no packet yet");
        map.start(start, 1_000, 0, false, None);
        assert_eq!(map.report(start + SECOND, 42), Some((42, 91_100)), "own clock at first");
        map.map(start + SECOND, 91_000, true, reference(NTP, 50_000, start + SECOND));
        let (ntp, timestamp) = map.report(start + 3 * SECOND, 42).unwrap();
        assert_eq!((ntp, timestamp), (NTP + (2 << 32), 50_100 + 180_000));
    }

    #[test]
    fn being_ahead_is_forgotten_at_the_next_switch_and_told_in_reports() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 0);
        map.start(start, 0, 0, false, reference(NTP, 0, start));
        map.map(start, 9_000, true, None);
        // Captured at the first frame's moment, so 9,001 units ahead.
        let other = reference(NTP, 70_000, start);
        assert_eq!(map.start(start, 70_000, 0, false, other), 9_001);
        assert_eq!(map.report(start, 0), Some((NTP, 9_001)));
        let first = reference(NTP, 0, start);
        assert_eq!(map.start(start + SECOND, 90_000, 0, false, first), 90_000);
        assert_eq!(map.report(start, 0), Some((NTP, 0)));
    }

    #[test]
    fn reports_after_a_switch_stay_on_the_same_line() {
        let start = Instant::now();
        let mut map = TimestampMap::new(RATE, 100);
        map.start(start, 1_000, 0, false, reference(NTP, 1_000, start));
        let before = map.report(start + SECOND, 0);
        map.start(start + SECOND, 545_000, 0, false, reference(NTP + (1 << 31), 500_000, start + SECOND / 2));
        assert_eq!(map.report(start + SECOND, 0), before);
    }
}
