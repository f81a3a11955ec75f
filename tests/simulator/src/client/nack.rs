//! Which packets of a received stream are missing, and when they are asked for (RFC 4585, section 6.2.1), as browsers do it: at
//! once where packets never overtake each other, after as many packets as they usually are overtaken by where they do; again
//! after each round trip; not for ever.
//!
//! What always holds: a packet is asked for [`RETRIES`] times at most; at most [`MISSING`] packets are missed at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Times one packet is asked for.
const RETRIES: u8 = 10;
/// Packets missed at a time; beyond, those before the latest keyframe are given up, or all.
const MISSING: usize = 1_000;
/// Numbers behind the newest past which a packet is given up.
const MAX_AGE: i64 = 10_000;
/// How often what was asked for already is looked at.
pub const INTERVAL: Duration = Duration::from_millis(20);
/// Overtakings are counted up to so many packets.
const DEPTHS: usize = 128;

struct Missing {
    /// The newest packet from which on it is asked for.
    wait_for: i64,
    asked: Option<Duration>,
    retries: u8,
}

#[derive(Default)]
pub struct NackRequester {
    newest: Option<i64>,
    missing: BTreeMap<i64, Missing>,
    keyframes: BTreeSet<i64>,
    /// By how many packets late ones were overtaken.
    depths: Vec<u32>,
    due: Option<Duration>,
    /// Packets asked for, repetitions included.
    pub asked: u64,
    /// Given up since they were too many: only a keyframe helps.
    pub overflowed: bool,
}

impl NackRequester {
    /// A packet came. Gives the numbers to ask for at once.
    pub fn arrived(&mut self, now: Duration, sequence: i64, keyframe: bool, repaired: bool) -> Vec<i64> {
        if keyframe {
            self.keyframes.insert(sequence);
        }
        let Some(newest) = self.newest else {
            self.newest = Some(sequence);
            return Vec::new();
        };
        if sequence <= newest {
            if self.missing.remove(&sequence).is_some() && !repaired {
                self.note_overtaken(newest - sequence);
            }
            return Vec::new();
        }
        let patience = self.usual_depth();
        let gap = newest + 1..sequence;
        self.missing.extend(gap.map(|n| (n, Missing { wait_for: n + patience, asked: None, retries: 0 })));
        self.newest = Some(sequence);
        self.bound(sequence);
        let asked = self.ask(now, |missing| missing.asked.is_none() && sequence >= missing.wait_for);
        self.arm(now);
        asked
    }

    /// What is asked for now, when it is [`due`](Self::due).
    pub fn poll(&mut self, now: Duration, round_trip_time: Duration) -> Vec<i64> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = None;
        let asked = self.ask(now, |missing| missing.asked.is_none_or(|at| at + round_trip_time <= now));
        self.arm(now);
        asked
    }

    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// What lies before was decoded or given up.
    pub fn clear_before(&mut self, sequence: i64) {
        self.missing = self.missing.split_off(&sequence);
        self.keyframes = self.keyframes.split_off(&sequence);
    }

    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    fn arm(&mut self, now: Duration) {
        if !self.missing.is_empty() {
            self.due.get_or_insert(now + INTERVAL);
        }
    }

    fn ask(&mut self, now: Duration, wanted: impl Fn(&Missing) -> bool) -> Vec<i64> {
        let mut asked = Vec::new();
        self.missing.retain(|sequence, missing| {
            if !wanted(missing) {
                return true;
            }
            asked.push(*sequence);
            missing.asked = Some(now);
            missing.retries += 1;
            missing.retries < RETRIES
        });
        self.asked += asked.len() as u64;
        asked
    }

    fn bound(&mut self, newest: i64) {
        self.missing = self.missing.split_off(&(newest - MAX_AGE));
        while self.missing.len() > MISSING {
            match self.keyframes.pop_first() {
                Some(keyframe) => self.missing = self.missing.split_off(&keyframe),
                None => {
                    self.missing.clear();
                    self.overflowed = true;
                }
            }
        }
    }

    fn note_overtaken(&mut self, depth: i64) {
        self.depths.resize(DEPTHS, 0);
        let depth = usize::try_from(depth).unwrap_or_default().min(DEPTHS - 1);
        self.depths.get_mut(depth).into_iter().for_each(|count| *count += 1);
    }

    /// The median.
    fn usual_depth(&self) -> i64 {
        let total: u32 = self.depths.iter().sum();
        let mut below = 0;
        let reaches = |count: &u32| {
            below += count;
            2 * below >= total
        };
        if total == 0 { 0 } else { self.depths.iter().position(reaches).unwrap_or_default() as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_gap_is_asked_for_at_once_and_again_each_round_trip_until_it_is_given_up() {
        let mut nack = NackRequester::default();
        assert_eq!(nack.arrived(ms(0), 10, true, false), [0; 0]);
        assert_eq!(nack.arrived(ms(1), 13, false, false), [11, 12]);
        let mut times = Vec::new();
        while let Some(due) = nack.due() {
            if !nack.poll(due, RTT).is_empty() {
                times.push(due.as_millis());
            }
        }
        assert_eq!(times.len(), usize::from(RETRIES) - 1);
        assert!(times.windows(2).all(|pair| (100..=120).contains(&(pair[1] - pair[0]))), "{times:?}");
        assert_eq!((nack.missing(), nack.asked), (0, 20));
    }

    #[test]
    fn what_comes_is_not_asked_for_again() {
        let mut nack = NackRequester::default();
        nack.arrived(ms(0), 10, true, false);
        nack.arrived(ms(1), 12, false, false);
        nack.arrived(ms(50), 11, false, true);
        assert_eq!((nack.missing(), nack.poll(ms(200), RTT)), (0, Vec::new()));
    }

    #[test]
    fn where_packets_are_overtaken_a_gap_waits() {
        let mut nack = NackRequester::default();
        nack.arrived(ms(0), 0, true, false);
        for n in 0..5 {
            nack.arrived(ms(n), 10 * n as i64 + 4, false, false);
            (1..4).for_each(|late| drop(nack.arrived(ms(n), 10 * n as i64 + late, false, false)));
        }
        nack.clear_before(44);
        assert_eq!(nack.arrived(ms(50), 46, false, false), [0; 0], "the median is 2 packets");
        assert_eq!(nack.arrived(ms(51), 47, false, false), [45]);
    }

    #[test]
    fn a_hole_larger_than_the_bound_is_given_up() {
        let mut nack = NackRequester::default();
        nack.arrived(ms(0), 0, false, false);
        assert_eq!(nack.arrived(ms(1), 2_000, false, false), [0; 0]);
        assert!(nack.overflowed && nack.missing() == 0);
    }

    #[test]
    fn what_lies_before_a_decoded_frame_is_forgotten() {
        let mut nack = NackRequester::default();
        nack.arrived(ms(0), 0, true, false);
        nack.arrived(ms(1), 5, false, false);
        nack.clear_before(3);
        assert_eq!(nack.missing(), 2);
    }
}
