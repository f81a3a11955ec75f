//! What the packets of a frame that was sent have in common, kept once for all of them (`history`).
//!
//! What always holds: at most `limits::SENT_PACKETS` frames of 20 bytes; the ring grows only while it would give up a frame that is younger
//! than a packet that is remembered, so that in the steady state nothing is allocated; what is found under a number is what was put in
//! under it.

use crate::limits;

/// Frames at the start; doubled from here.
const FIRST_FRAMES: usize = 16;
/// Frames back that a packet is looked for in: one that was overtaken belongs to the one before.
const LOOK_BACK: u16 = 2;
/// In place of an origin: no frame.
const NONE: u8 = u8::MAX;

/// What was rewritten in all packets of a frame alike, and where they came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Common {
    pub timestamp: u32,
    pub picture_id: u16,
    pub frame_offset: u16,
    pub tl0_pic_idx: u8,
    pub template_shift: u8,
    /// The announced layer, or what stands for none.
    pub announced: u8,
    /// Which structure of the dependency descriptor was in force.
    pub structure: u8,
    /// Index of a stream of the source, below 255.
    pub origin: u8,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    number: u16,
    /// When its last packet was sent, milliseconds of the history's clock.
    at: u16,
    common: Common,
}

const _: () = assert!(size_of::<Frame>() == 20);

impl Frame {
    const NOTHING: Frame = Frame {
        number: 0,
        at: 0,
        common: Common {
            timestamp: 0,
            picture_id: 0,
            frame_offset: 0,
            tl0_pic_idx: 0,
            template_shift: 0,
            announced: 0,
            structure: 0,
            origin: NONE,
        },
    };

    fn is_nothing(&self) -> bool {
        self.common.origin == NONE
    }
}

#[derive(Debug)]
pub(super) struct Frames {
    newest: u16,
    /// At their number modulo its length, which is a power of two, or 0 before the first.
    ring: Vec<Frame>,
}

impl Frames {
    pub fn new() -> Frames {
        Frames { newest: 0, ring: Vec::new() }
    }

    /// The number of the frame that a packet sent now belongs to: the present one's, the one's before, or of a new one. A frame that is
    /// younger than `shortest` milliseconds makes room for none.
    pub fn insert(&mut self, at: u16, common: Common, shortest: u16) -> u16 {
        let newest = self.newest;
        for number in (0..LOOK_BACK).map(|back| newest.wrapping_sub(back)) {
            if let Some(frame) = self.frame(number).filter(|frame| frame.common == common) {
                frame.at = at;
                return number;
            }
        }
        self.newest = self.newest.wrapping_add(1);
        self.make_room(at, shortest);
        let (number, index) = (self.newest, self.index(self.newest));
        if let Some(slot) = self.ring.get_mut(index) {
            *slot = Frame { number, at, common };
        }
        number
    }

    pub fn get(&self, number: u16) -> Option<&Common> {
        let frame = self.ring.get(self.index(number))?;
        (!frame.is_nothing() && frame.number == number).then_some(&frame.common)
    }

    pub fn clear(&mut self) {
        self.ring.fill(Frame::NOTHING);
    }

    /// How many fit.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.ring.len()
    }

    fn frame(&mut self, number: u16) -> Option<&mut Frame> {
        let index = self.index(number);
        self.ring.get_mut(index).filter(|frame| !frame.is_nothing() && frame.number == number)
    }

    fn index(&self, number: u16) -> usize {
        usize::from(number) & self.ring.len().wrapping_sub(1)
    }

    /// Doubles the ring while the newest would take the place of a young frame.
    fn make_room(&mut self, at: u16, shortest: u16) {
        let young = |frame: &Frame| !frame.is_nothing() && at.wrapping_sub(frame.at) < shortest;
        let full = self.ring.get(self.index(self.newest)).is_none_or(young);
        if !full || self.ring.len() >= limits::SENT_PACKETS {
            return;
        }
        let doubled = (2 * self.ring.len()).max(FIRST_FRAMES);
        let before = std::mem::replace(&mut self.ring, vec![Frame::NOTHING; doubled]);
        for frame in before.into_iter().filter(|frame| !frame.is_nothing()) {
            let index = self.index(frame.number);
            if let Some(slot) = self.ring.get_mut(index) {
                *slot = frame;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u16 = 1_000;

    fn common(timestamp: u32) -> Common {
        Common { timestamp, origin: 3, ..Frame::NOTHING.common }
    }

    #[test]
    fn packets_of_a_frame_share_one_also_when_they_were_overtaken() {
        let mut frames = Frames::new();
        let numbers: Vec<u16> =
            [1, 1, 2, 1, 2, 2, 3].map(|timestamp| frames.insert(0, common(timestamp), SECOND)).into();
        assert_eq!(numbers, [1, 1, 2, 1, 2, 2, 3]);
        for (number, timestamp) in [(1, 1), (2, 2), (3, 3)] {
            assert_eq!(frames.get(number), Some(&common(timestamp)));
        }
        assert_eq!((frames.get(0), frames.get(4), frames.get(17)), (None, None, None));
        frames.clear();
        assert_eq!(frames.get(3), None);
        assert_eq!(frames.insert(0, common(3), SECOND), 4, "what was before is another frame");
    }

    #[test]
    fn young_frames_are_kept_and_the_ring_is_bounded() {
        let mut frames = Frames::new();
        for n in 0..200_000u32 {
            // 25 a second, and numbers go round.
            let number = frames.insert((40 * n) as u16, common(n), SECOND);
            for back in [0, 1, 23].into_iter().filter(|back| u32::from(*back) <= n) {
                let found = frames.get(number.wrapping_sub(back));
                assert_eq!(found, Some(&common(n - u32::from(back))));
            }
        }
        assert_eq!(frames.capacity(), 32);
        (0..5_000).for_each(|n| _ = frames.insert(0, common(n), SECOND));
        assert_eq!(frames.capacity(), limits::SENT_PACKETS);
        let counts = allocation_counter::measure(|| (0..5_000).for_each(|n| _ = frames.insert(0, common(n), SECOND)));
        assert_eq!(counts.count_total, 0);
    }
}
