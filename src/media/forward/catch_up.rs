//! Timestamps of frames that are sent all at once because a subscriber begins with a keyframe of a while ago (see
//! [`CatchUp`]): one tick apart, the newest in its natural place. With their own distances a receiver would play them at
//! their pace, and stay behind by the keyframe's age for good.

use crate::media::catch_up::CatchUp;

#[derive(Clone, Copy, Debug)]
pub struct Squeeze {
    encoding: usize,
    /// Number of the last packet of it.
    last: u64,
    /// Timestamp of the newest frame, as it came.
    newest: u32,
    /// Frames before the newest that were not begun yet.
    before: u32,
    /// The frame that was begun last.
    begun: Option<u32>,
}

impl Squeeze {
    pub fn new(encoding: usize, catch_up: &CatchUp) -> Squeeze {
        let before = catch_up.frames.saturating_sub(1);
        Squeeze { encoding, last: *catch_up.numbers.end(), newest: catch_up.newest, before, begun: None }
    }

    pub fn is_of(&self, encoding: usize) -> bool {
        self.encoding == encoding
    }

    /// Whether a packet belongs to it.
    pub fn holds(&self, encoding: usize, extended_sequence: u64) -> bool {
        self.encoding == encoding && extended_sequence <= self.last
    }

    /// Whether it ends before this packet of its encoding.
    pub fn ends_before(&self, encoding: usize, extended_sequence: u64) -> bool {
        self.encoding == encoding && extended_sequence > self.last
    }

    /// Where the timeline is to be placed: the newest frame's timestamp, and how many ticks before it are needed.
    pub fn anchor(&self) -> (u32, u32) {
        (self.newest, self.before)
    }

    /// How many ticks before the newest frame a packet's frame is; `None` when it is of the newest one.
    pub fn ticks_before(&mut self, timestamp: u32) -> Option<u32> {
        if timestamp == self.newest {
            return None;
        }
        if self.begun.is_some_and(|begun| begun != timestamp) {
            self.before = self.before.saturating_sub(1);
        }
        self.begun = Some(timestamp);
        Some(self.before.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_a_tick_apart_and_packets_of_one_frame_are_not() {
        let mut squeeze = Squeeze::new(0, &CatchUp { numbers: 1..=6, frames: 4, newest: 9_000 });
        assert_eq!(squeeze.anchor(), (9_000, 3));
        let ticks = [0, 0, 3_000, 6_000, 6_000, 9_000, 9_000].map(|timestamp| squeeze.ticks_before(timestamp));
        assert_eq!(ticks, [Some(3), Some(3), Some(2), Some(1), Some(1), None, None]);
        assert_eq!(squeeze.ticks_before(7_000), Some(1), "never at or after the newest");
    }
}
