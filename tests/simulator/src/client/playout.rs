//! When decodable frames are shown: how long a jitter buffer holds them back, and what viewers then see of freezes (W3C,
//! `freezeCount` and `totalFreezesDuration` of webrtc-stats).
//!
//! What always holds: frames are shown in order, and not before they are decodable; a picture that stands still when the
//! call ends counts as frozen.

use std::collections::VecDeque;
use std::time::Duration;

/// How a jitter buffer chooses its delay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// As libwebrtc's does: enough for the network's jitter, and for one round of retransmission once packets were lost,
    /// but for no more than [`REPAIR`] of it. Lateness by a second round is no reason for it to wait longer.
    Browser,
    /// As long as the latest of the last seconds needed, whatever the reason, up to [`LONGEST`]: what a viewer may ask of a
    /// browser by `jitterBufferTarget`.
    Patient,
}

/// Longest allowance for retransmission of [`Rule::Browser`], and the share of the round trip time it takes.
const REPAIR: Duration = Duration::from_millis(200);
const REPAIR_SHARE: f64 = 0.9;
/// Retransmitted packets from which on it makes that allowance.
const REPAIRED_PACKETS: u64 = 3;
/// Longest delay of [`Rule::Patient`].
const LONGEST: Duration = Duration::from_millis(1_500);
/// What any jitter buffer adds: decoding and rendering take time.
const LEAST: Duration = Duration::from_millis(10);
/// For how long lateness is remembered, in seconds.
const MEMORY: usize = 60;
/// A delay shrinks by this share of the time, so that nobody sees it.
const SHRINKING: f64 = 0.1;
/// Frames that the mean of the freeze's definition is taken of.
const MEAN_FRAMES: usize = 30;
/// A gap is a freeze from this on above the mean, and from three times the mean on.
const FREEZE: Duration = Duration::from_millis(150);
/// Ticks of the RTP clock of video in a second.
const CLOCK: f64 = 90_000.0;

/// Gaps between shown frames.
#[derive(Clone, Debug, Default)]
pub struct Freezes {
    shown: Option<Duration>,
    gaps: VecDeque<Duration>,
    pub frames: u64,
    pub count: u64,
    pub total: Duration,
    pub longest: Duration,
}

impl Freezes {
    pub fn show(&mut self, at: Duration) {
        if let Some(before) = self.shown.replace(at) {
            let gap = at.saturating_sub(before);
            self.judge(gap);
            self.gaps.push_back(gap);
            if self.gaps.len() > MEAN_FRAMES {
                self.gaps.pop_front();
            }
        }
        self.frames += 1;
    }

    /// The call ends.
    pub fn end(&mut self, at: Duration) {
        if let Some(before) = self.shown {
            self.judge(at.saturating_sub(before));
        }
    }

    fn judge(&mut self, gap: Duration) {
        let Some(mean) = self.gaps.iter().sum::<Duration>().checked_div(self.gaps.len() as u32) else { return };
        if gap >= (3 * mean).max(mean + FREEZE) {
            self.count += 1;
            self.total += gap;
            self.longest = self.longest.max(gap);
        }
    }
}

/// The largest value of each of the last seconds.
#[derive(Clone, Debug, Default)]
struct Peaks {
    seconds: VecDeque<(u64, f64)>,
}

impl Peaks {
    fn note(&mut self, at: Duration, value: f64) {
        match self.seconds.back_mut().filter(|(second, _)| *second == at.as_secs()) {
            Some((_, peak)) => *peak = peak.max(value),
            None => self.seconds.push_back((at.as_secs(), value)),
        }
        if self.seconds.len() > MEMORY {
            self.seconds.pop_front();
        }
    }

    fn peak(&self) -> f64 {
        self.seconds.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max)
    }
}

pub struct Playout {
    rule: Rule,
    /// Unwrapped timestamp of the newest frame, seconds, and the timestamp itself.
    newest: Option<(f64, u32)>,
    /// Negated transit times: their peak is the shortest transit.
    quickest: Peaks,
    /// Lateness against the shortest transit, seconds, of what the rule counts.
    lateness: Peaks,
    repaired: u64,
    delay: Duration,
    last: Option<Duration>,
    pub freezes: Freezes,
    /// From encoding to being shown, summed up.
    pub latency: Duration,
}

/// A frame as playout sees it.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub timestamp: u32,
    pub sent: Duration,
    /// When it was whole: it may have waited for the frame before it since.
    pub received: Duration,
    pub repaired: bool,
}

impl Playout {
    pub fn new(rule: Rule) -> Playout {
        Playout {
            rule,
            newest: None,
            quickest: Peaks::default(),
            lateness: Peaks::default(),
            repaired: 0,
            delay: LEAST,
            last: None,
            freezes: Freezes::default(),
            latency: Duration::ZERO,
        }
    }

    /// A frame became decodable. Gives when it is shown.
    pub fn decodable(&mut self, now: Duration, frame: Shown, round_trip_time: Duration) -> Duration {
        let captured = self.unwrap(frame.timestamp);
        self.quickest.note(now, captured - frame.received.as_secs_f64());
        self.repaired += u64::from(frame.repaired);
        let counts = match self.rule {
            Rule::Patient => Some(now),
            Rule::Browser => Some(frame.received).filter(|_| !frame.repaired),
        };
        if let Some(at) = counts {
            self.lateness.note(now, at.as_secs_f64() - captured + self.quickest.peak());
        }
        self.adapt(now, round_trip_time);
        let planned = Duration::from_secs_f64((captured - self.quickest.peak()).max(0.0)) + self.delay;
        let shown = planned.max(now).max(self.last.unwrap_or_default());
        self.last = Some(shown);
        self.freezes.show(shown);
        self.latency += shown.saturating_sub(frame.sent);
        shown
    }

    /// Timestamps of frames in order are at most some hours apart.
    fn unwrap(&mut self, timestamp: u32) -> f64 {
        let (before, last) = self.newest.unwrap_or((0.0, timestamp));
        let captured = before + f64::from(timestamp.wrapping_sub(last) as i32) / CLOCK;
        self.newest = Some((captured, timestamp));
        captured
    }

    /// A longer delay is taken at once: the frame that needs it is late already.
    fn adapt(&mut self, now: Duration, round_trip_time: Duration) {
        let jitter = Duration::from_secs_f64(self.lateness.peak().max(0.0));
        let target = match self.rule {
            Rule::Patient => jitter.min(LONGEST),
            Rule::Browser if self.repaired >= REPAIRED_PACKETS => {
                jitter + round_trip_time.mul_f64(REPAIR_SHARE).min(REPAIR)
            }
            Rule::Browser => jitter,
        } + LEAST;
        let elapsed = self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.delay = target.max(self.delay.saturating_sub(elapsed.mul_f64(SHRINKING)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Frames of 25 a second that become decodable so many milliseconds late.
    fn play(rule: Rule, lateness: impl IntoIterator<Item = (u64, bool)>) -> (Playout, Vec<Duration>) {
        let mut playout = Playout::new(rule);
        let mut previous = Duration::ZERO;
        let shown = lateness.into_iter().zip(0u64..).map(|((late, repaired), n)| {
            let received = ms(1_000 + 40 * n + late);
            let now = received.max(previous);
            previous = now;
            let frame = Shown { timestamp: (n as u32).wrapping_mul(3_600), sent: ms(40 * n), received, repaired };
            playout.decodable(now, frame, RTT)
        });
        let shown = shown.collect();
        (playout, shown)
    }

    #[test]
    fn an_even_stream_is_shown_evenly() {
        for rule in [Rule::Browser, Rule::Patient] {
            let (playout, shown) = play(rule, vec![(0, false); 250]);
            assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == ms(40)), "{rule:?}");
            assert_eq!((playout.freezes.count, playout.freezes.frames), (0, 250));
        }
    }

    #[test]
    fn a_gap_is_a_freeze_from_150_ms_above_the_mean() {
        let mut freezes = Freezes::default();
        (0..=25).for_each(|n| freezes.show(ms(40 * n)));
        freezes.show(ms(1_189));
        assert_eq!(freezes.count, 0);
        freezes.show(ms(1_500));
        assert_eq!((freezes.count, freezes.total), (1, ms(311)));
        freezes.end(ms(3_500));
        assert_eq!((freezes.count, freezes.longest), (2, ms(2_000)), "a picture that stands at the end");
    }

    #[test]
    fn at_a_low_rate_a_gap_is_a_freeze_from_three_times_the_mean() {
        let mut freezes = Freezes::default();
        (0..=10).for_each(|n| freezes.show(ms(200 * n)));
        freezes.show(ms(2_599));
        assert_eq!(freezes.count, 0);
        freezes.show(ms(3_400));
        assert_eq!(freezes.count, 1);
    }

    #[test]
    fn one_round_of_retransmission_is_waited_for_by_both_and_a_second_by_one() {
        let rounds = |late: u64| (0..1_000).map(move |n| if n % 50 == 20 { (late, true) } else { (0, false) });
        for (rule, late, freezes) in [
            (Rule::Browser, 100, 0..=1),
            (Rule::Patient, 100, 0..=1),
            (Rule::Patient, 280, 1..=2),
            (Rule::Browser, 280, 18..=20),
        ] {
            let (playout, _) = play(rule, rounds(late));
            assert!(freezes.contains(&playout.freezes.count), "{rule:?} {late}: {}", playout.freezes.count);
        }
    }
}
