//! The rate that arrives (libwebrtc's Bayesian estimate), and whether it arrives slower than it was sent.
//!
//! What always holds: what waited on the way and arrives at once moves the rate a little; a pause is no low rate.

use super::Micros;
use super::arrivals::Arrived;
use crate::congestion::bitrate::Bitrate;

/// A first sample takes longer, so that it can be built upon.
const FIRST_WINDOW: Micros = 500_000;
const WINDOW: Micros = 150_000;
/// How little a sample far from the estimate counts; less where little is sent on purpose, and it tells nothing of the way.
const UNCERTAINTY: f64 = 10.0;
const UNCERTAINTY_LIMITED: f64 = 20.0;
/// Variance of the first estimate, and what time adds to it with each sample, (kbit/s)^2.
const FIRST_VARIANCE: f64 = 50.0;
const DRIFT: f64 = 5.0;
/// Added where the rate is expected to change: little was sent on purpose, and now it is not.
const CHANGE: f64 = 200.0;
/// A stretch beyond which the last window tells without doubt.
const STRETCHED: f64 = 1.3;
/// Weight of the last window in the stretch.
const STRETCH_WEIGHT: f64 = 0.5;

/// Packets that arrived since a moment.
#[derive(Clone, Copy)]
struct Window {
    began: Micros,
    bytes: u64,
    /// The packet before the window: times between packets begin there.
    before: Arrived,
}

pub struct Acknowledged {
    kbps: Option<f64>,
    variance: f64,
    window: Option<Window>,
    /// Of the last window alone.
    latest: f64,
    stretch: f64,
    was_limited: bool,
}

impl Default for Acknowledged {
    fn default() -> Acknowledged {
        Acknowledged {
            kbps: None,
            variance: FIRST_VARIANCE,
            window: None,
            latest: 0.0,
            stretch: 1.0,
            was_limited: false,
        }
    }
}

impl Acknowledged {
    /// `None` until half a second of packets arrived.
    pub fn rate(&self) -> Option<Bitrate> {
        // Packets that take much longer to arrive than to be sent fill the way: what arrives is what it takes, without doubt.
        let doubtless = if self.stretch > STRETCHED { self.latest } else { f64::INFINITY };
        self.kbps.map(|kbps| Bitrate::from_bps((kbps.min(doubtless) * 1_000.0) as u64))
    }

    /// How much longer packets took to arrive than to be sent, lately: above one while a queue grows.
    pub fn stretch(&self) -> f64 {
        self.stretch
    }

    /// A packet arrived, in order of arrival; `limited`: less is sent than may be.
    pub fn add(&mut self, packet: &Arrived, limited: bool) {
        if self.was_limited && !limited {
            self.variance += CHANGE;
        }
        self.was_limited = limited;
        let length = if self.kbps.is_some() { WINDOW } else { FIRST_WINDOW };
        let Some(window) = &mut self.window else { return self.restart(packet) };
        let (before, elapsed) = (window.before, packet.arrived - window.began);
        // The clock went back, or nothing arrived for longer than a window.
        if elapsed < 0 || elapsed >= 2 * length {
            return self.restart(packet);
        }
        if elapsed < length {
            window.bytes += u64::from(packet.bytes);
            return;
        }
        let spans = (packet.sent - before.sent, packet.arrived - before.arrived);
        let sample = (window.bytes * 8_000) as f64 / length as f64;
        *window = Window { began: window.began + length, bytes: u64::from(packet.bytes), before: *packet };
        self.sampled(sample, limited);
        self.stretched(spans);
    }

    fn restart(&mut self, packet: &Arrived) {
        self.window = Some(Window { began: packet.arrived, bytes: u64::from(packet.bytes), before: *packet });
        self.stretch = 1.0;
    }

    fn sampled(&mut self, sample: f64, limited: bool) {
        self.latest = sample;
        let Some(estimate) = self.kbps else {
            self.kbps = Some(sample);
            return;
        };
        let scale = if limited && sample < estimate { UNCERTAINTY_LIMITED } else { UNCERTAINTY };
        let uncertainty = scale * (estimate - sample).abs() / estimate.max(1.0);
        let (doubt, variance) = (uncertainty * uncertainty, self.variance + DRIFT);
        self.kbps = Some((doubt * estimate + variance * sample) / (doubt + variance));
        self.variance = doubt * variance / (doubt + variance);
    }

    fn stretched(&mut self, (sent, arrived): (Micros, Micros)) {
        if sent > 0 && arrived > 0 {
            let stretch = (arrived as f64 / sent as f64).clamp(0.2, 5.0);
            self.stretch += STRETCH_WEIGHT * (stretch - self.stretch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    /// Feeds packets of 1,250 bytes: `(sent, arrived)` in milliseconds.
    fn feed(acknowledged: &mut Acknowledged, limited: bool, packets: impl Iterator<Item = (Micros, Micros)>) {
        for (sent, arrived) in packets {
            let packet = Arrived { number: 0, bytes: 1_250, sent: sent * MS, arrived: arrived * MS };
            acknowledged.add(&packet, limited);
        }
    }

    fn kbps(acknowledged: &Acknowledged) -> u64 {
        acknowledged.rate().unwrap().bps() / 1_000
    }

    #[test]
    fn a_steady_rate_is_found_after_half_a_second() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, false, (0..49).map(|i| (10 * i, 10 * i + 50)));
        assert_eq!(acknowledged.rate(), None);
        feed(&mut acknowledged, false, (49..60).map(|i| (10 * i, 10 * i + 50)));
        assert_eq!(kbps(&acknowledged), 1_000);
        assert!((acknowledged.stretch() - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_fall_is_followed_and_shows_as_stretch_while_the_queue_grows() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, false, (0..100).map(|i| (10 * i, 10 * i)));
        feed(&mut acknowledged, false, (0..50).map(|i| (1_000 + 10 * i, 1_000 + 20 * i)));
        assert!((450..700).contains(&kbps(&acknowledged)), "{}", kbps(&acknowledged));
        assert!(acknowledged.stretch() > 1.7, "{}", acknowledged.stretch());
    }

    #[test]
    fn what_was_held_up_and_arrives_at_once_is_no_high_rate() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, false, (0..100).map(|i| (10 * i, 10 * i)));
        // 140 ms held up, then all within 20 ms.
        feed(&mut acknowledged, false, (100..114).map(|i| (10 * i, 1_140 + (i - 100))));
        feed(&mut acknowledged, false, (115..150).map(|i| (10 * i, 10 * i)));
        assert!(kbps(&acknowledged) <= 1_100, "{}", kbps(&acknowledged));
    }

    #[test]
    fn a_pause_and_a_clock_that_goes_back_change_nothing() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, false, (0..100).map(|i| (10 * i, 10 * i)));
        feed(&mut acknowledged, false, (0..10).map(|i| (5_000 + 10 * i, 5_000 + 10 * i)));
        feed(&mut acknowledged, false, (0..10).map(|i| (6_000 + 10 * i, 10 * i)));
        assert_eq!(kbps(&acknowledged), 1_000);
    }

    #[test]
    fn little_sent_on_purpose_counts_less() {
        let after_little = |limited| {
            let mut acknowledged = Acknowledged::default();
            feed(&mut acknowledged, false, (0..100).map(|i| (10 * i, 10 * i)));
            feed(&mut acknowledged, limited, (0..10).map(|i| (1_000 + 50 * i, 1_000 + 50 * i)));
            kbps(&acknowledged)
        };
        assert!(after_little(true) > after_little(false) + 50);
    }

    #[test]
    fn arrivals_all_at_one_moment_give_no_rate() {
        let mut acknowledged = Acknowledged::default();
        feed(&mut acknowledged, false, (0..1_000).map(|i| (i, 7)));
        assert_eq!(acknowledged.rate(), None);
    }
}
