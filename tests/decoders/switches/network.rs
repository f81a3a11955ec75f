//! The way from the publisher to the server: packets come in order, or some of them late, by up to a few frames.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;

use crate::receiver::Origin;

/// A late packet comes up to so many frames later.
const LATEST_FRAMES: u32 = 3;

/// Packets underway, by the frame they arrive in.
pub struct Network {
    /// Share of packets that come late.
    late: f64,
    underway: BTreeMap<u32, Vec<(Origin, Vec<u8>)>>,
}

impl Network {
    pub fn new(late: f64) -> Network {
        Network { late, underway: BTreeMap::new() }
    }

    pub fn send(&mut self, now: u32, origin: Origin, packets: Vec<Vec<u8>>, random: &mut StdRng) {
        for packet in packets {
            let delay = if random.random_bool(self.late) { random.random_range(0..=LATEST_FRAMES) } else { 0 };
            let queue = self.underway.entry(now + delay).or_default();
            // Late within its own frame: before whatever came so far.
            let place = if delay == 0 && random.random_bool(self.late) {
                random.random_range(0..=queue.len())
            } else {
                queue.len()
            };
            queue.insert(place, (origin, packet));
        }
    }

    /// What has come by now.
    pub fn arrived(&mut self, now: u32) -> Vec<(Origin, Vec<u8>)> {
        let later = self.underway.split_off(&(now + 1));
        std::mem::replace(&mut self.underway, later).into_values().flatten().collect()
    }
}
