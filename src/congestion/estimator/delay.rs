//! How the way is used, as the delay of its packets tells: groups of packets, the slope of their delay, and the threshold it is held
//! against.
//!
//! What always holds: after a silence, or on another clock, it begins anew, for what was before cannot be compared.

use super::Micros;
use super::arrival_groups::ArrivalGroups;
use super::arrivals::Arrived;
use super::overuse::{OveruseDetector, Usage};
use super::trendline::Trendline;

/// Silence after which it begins anew.
const SILENCE: Micros = 2_000_000;

#[derive(Default)]
pub struct DelayDetector {
    groups: ArrivalGroups,
    trendline: Trendline,
    overuse: OveruseDetector,
    heard: Option<Micros>,
}

impl DelayDetector {
    pub fn usage(&self) -> Usage {
        self.overuse.usage()
    }

    /// Feedback came; `same_clock`: its times can be compared with those before.
    pub fn heard(&mut self, now: Micros, same_clock: bool) {
        let silent = self.heard.is_some_and(|heard| now - heard > SILENCE);
        if silent || !same_clock {
            *self = DelayDetector::default();
        }
        self.heard = Some(now);
    }

    /// A packet arrived, in order of arrival.
    pub fn add(&mut self, packet: &Arrived) {
        if let Some(delta) = self.groups.add(packet) {
            let slope = self.trendline.add(&delta);
            self.overuse.detect(slope, &delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    /// Packets every 20 ms whose arrival falls behind by `slower` us each.
    fn feed(detector: &mut DelayDetector, from: Micros, slower: Micros) {
        for i in 0..100 {
            let sent = from + i * 20 * MS;
            detector.heard(sent, true);
            detector.add(&Arrived { number: 0, bytes: 1_000, sent, arrived: sent + i * slower });
        }
    }

    #[test]
    fn a_growing_queue_is_overuse_until_it_empties() {
        let mut detector = DelayDetector::default();
        feed(&mut detector, 0, 0);
        assert_eq!(detector.usage(), Usage::Normal);
        feed(&mut detector, 2_000 * MS, 3 * MS);
        assert_eq!(detector.usage(), Usage::Over);
    }

    #[test]
    fn silence_and_another_clock_begin_anew() {
        for (pause, same_clock) in [(2_001 * MS, true), (0, false)] {
            let mut detector = DelayDetector::default();
            feed(&mut detector, 0, 3 * MS);
            assert_eq!(detector.usage(), Usage::Over);
            detector.heard(1_980 * MS + pause, same_clock);
            assert_eq!(detector.usage(), Usage::Normal);
        }
    }
}
