//! Extended sequence numbers of one encoding mapped to those of the subscriber's stream.
//!
//! What always holds: no output number is given twice, except that nothing is remembered further back than [`WINDOW`]: what is older
//! is refused. Output numbers are contiguous but for numbers that were missing in the input, and never more than
//! [`MAX_GAP`] are missing at once.

/// Input numbers remembered behind the highest one: late packets are mapped and duplicates recognised among these. At 1,000 packets
/// per second this is one second, longer than a retransmission takes.
pub const WINDOW: u64 = 1024;
/// A longer run of missing numbers is not passed on as it is: it would make the subscriber ask for each of them, in vain. One number is left
/// out instead, so that its decoder still knows of a loss.
pub const MAX_GAP: u64 = 1_000;

/// Maps one encoding at a time; starts again with the next at a switch.
#[derive(Debug)]
pub struct SequenceMap {
    /// Added to inputs above the newest skipped one. Wrapping: outputs may be below inputs.
    offset: u64,
    /// Where the current encoding was joined; older inputs are refused.
    first: u64,
    /// Highest input given to `map` or `skip`.
    highest: u64,
    /// One above the highest output.
    next_output: u64,
    /// Inputs that were mapped or skipped.
    handled: BitWindow,
    /// Inputs that were skipped in order: they have no output number.
    skipped: BitWindow,
    started: bool,
}

impl SequenceMap {
    /// `first_output` is the first number the subscriber sees.
    pub fn new(first_output: u64) -> SequenceMap {
        SequenceMap {
            offset: 0,
            first: 0,
            highest: 0,
            next_output: first_output,
            handled: BitWindow::default(),
            skipped: BitWindow::default(),
            started: false,
        }
    }

    /// Begins with an encoding at its packet `input`, which gets the next output number.
    pub fn start(&mut self, input: u64) -> u64 {
        let output = self.next_output;
        self.join(input, output);
        self.next_output = output.wrapping_add(1);
        output
    }

    /// The output number of a packet; `None` for a duplicate and for one from before the start or the window.
    pub fn map(&mut self, input: u64) -> Option<u64> {
        if !self.started {
            return None;
        }
        if input <= self.highest {
            return self.map_late(input);
        }
        let mut output = input.wrapping_add(self.offset);
        if output.wrapping_sub(self.next_output) > MAX_GAP {
            output = self.next_output.wrapping_add(1);
            self.join(input, output);
        } else {
            self.advance(input);
        }
        self.next_output = output.wrapping_add(1);
        Some(output)
    }

    /// A packet that is not forwarded on purpose leaves no gap, if it comes in order. When packets behind it are forwarded already, their numbers are
    /// out and the gap stays.
    pub fn skip(&mut self, input: u64) {
        if !self.started {
            return;
        }
        if input > self.highest {
            self.advance(input);
            self.skipped.set(input);
            self.offset = self.offset.wrapping_sub(1);
        } else if self.remembers(input) {
            self.handled.set(input);
        }
    }

    /// Whether `output` is the highest number given so far.
    pub fn is_newest(&self, output: u64) -> bool {
        output.wrapping_add(1) == self.next_output
    }

    /// Whether `input` is above every number so far.
    pub fn is_beyond(&self, input: u64) -> bool {
        input > self.highest
    }

    fn map_late(&mut self, input: u64) -> Option<u64> {
        if !self.remembers(input) || self.handled.get(input) {
            return None;
        }
        self.handled.set(input);
        let skipped_since = self.skipped.count(input.wrapping_add(1), self.highest);
        let output = input.wrapping_add(self.offset).wrapping_add(skipped_since);
        // Above all others when only skipped packets were ahead of it.
        self.next_output = self.next_output.max(output.wrapping_add(1));
        Some(output)
    }

    fn remembers(&self, input: u64) -> bool {
        input >= self.first && self.highest.wrapping_sub(input) < WINDOW
    }

    fn join(&mut self, input: u64, output: u64) {
        self.offset = output.wrapping_sub(input);
        (self.first, self.highest) = (input, input);
        (self.handled, self.skipped) = (BitWindow::default(), BitWindow::default());
        self.handled.set(input);
        self.started = true;
    }

    /// Reads what the next number needs (see [`SendStream::touch`](super::SendStream::touch)).
    pub fn touch(&self) -> u64 {
        let word = |window: &BitWindow| window.words.get(BitWindow::word(self.highest)).copied().unwrap_or(0);
        self.next_output ^ word(&self.handled) ^ u64::from(self.skipped.set)
    }

    /// Moves the windows so that `input` is their newest number, and marks it as handled.
    fn advance(&mut self, input: u64) {
        self.handled.clear(self.highest.wrapping_add(1), input);
        self.skipped.clear(self.highest.wrapping_add(1), input);
        self.highest = input;
        self.handled.set(input);
    }
}

/// A bit for each of the last [`WINDOW`] numbers, at the number modulo `WINDOW`.
#[derive(Debug, Default)]
struct BitWindow {
    words: [u64; WORDS],
    /// Bits set, so that the common empty window costs nothing.
    set: u32,
}

const WORDS: usize = (WINDOW / 64) as usize;

impl BitWindow {
    fn word(number: u64) -> usize {
        (number / 64) as usize % WORDS
    }

    fn get(&self, number: u64) -> bool {
        self.words.get(Self::word(number)).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    fn set(&mut self, number: u64) {
        if let Some(word) = self.words.get_mut(Self::word(number)) {
            let bit = 1 << (number % 64);
            self.set += u32::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Clears the bits of `from..=to`; all of them when these are more than the window.
    fn clear(&mut self, from: u64, to: u64) {
        if to.wrapping_sub(from) >= WINDOW {
            *self = BitWindow::default();
            return;
        }
        if self.set == 0 {
            return;
        }
        for (index, mask) in masks(from, to) {
            if let Some(word) = self.words.get_mut(index) {
                self.set -= (*word & mask).count_ones();
                *word &= !mask;
            }
        }
    }

    /// How many of `from..=to` are set; `to - from` is below the window.
    fn count(&self, from: u64, to: u64) -> u64 {
        if self.set == 0 || from > to {
            return 0;
        }
        masks(from, to)
            .filter_map(|(index, mask)| Some((self.words.get(index)? & mask).count_ones()))
            .map(u64::from)
            .sum()
    }
}

/// The words that hold `from..=to`, each with the mask of its bits.
fn masks(from: u64, to: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut next = Some(from).filter(|from| *from <= to);
    std::iter::from_fn(move || {
        let start = next?;
        let end = (start | 63).min(to);
        next = end.checked_add(1).filter(|after| *after <= to);
        let width = end - start + 1;
        let ones = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        Some((BitWindow::word(start), ones << (start % 64)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started_at(input: u64) -> SequenceMap {
        let mut map = SequenceMap::new(100);
        assert_eq!(map.start(input), 100);
        map
    }

    #[test]
    fn nothing_is_mapped_before_the_start() {
        let mut map = SequenceMap::new(100);
        map.skip(5);
        assert_eq!(map.map(5), None);
    }

    #[test]
    fn a_gap_stays_a_gap_of_the_same_size() {
        let mut map = started_at(70_000);
        assert_eq!(map.map(70_001), Some(101));
        assert_eq!(map.map(70_005), Some(105));
        assert_eq!(map.map(70_006), Some(106));
    }

    #[test]
    fn late_packets_get_their_own_number_once() {
        let mut map = started_at(70_000);
        assert_eq!(map.map(70_003), Some(103));
        assert_eq!(map.map(70_001), Some(101));
        assert_eq!(map.map(70_001), None, "duplicate of a late one");
        assert_eq!(map.map(70_003), None, "duplicate of the newest");
        assert_eq!(map.map(70_000), None, "duplicate of the first");
        assert_eq!(map.map(69_999), None, "from before the start");
        assert_eq!(map.map(70_002), Some(102));
    }

    #[test]
    fn skipped_packets_leave_no_gap_and_late_ones_keep_their_place() {
        let mut map = started_at(70_000);
        map.skip(70_002); // 70_001 is missing still
        map.skip(70_003);
        assert_eq!(map.map(70_004), Some(102));
        assert_eq!(map.map(70_001), Some(101));
        assert_eq!(map.map(70_002), None, "skipped once is skipped for good");
        assert_eq!(map.map(70_005), Some(103));
    }

    #[test]
    fn a_late_packet_behind_skipped_ones_still_counts_for_the_next_encoding() {
        let mut map = started_at(70_000);
        map.skip(70_003);
        assert_eq!(map.map(70_001), Some(101));
        assert!(map.is_newest(101));
        assert_eq!(map.map(70_002), Some(102));
        assert!(map.is_newest(102) && !map.is_newest(101));
        assert_eq!(map.start(40_000), 103);
    }

    #[test]
    fn a_late_skip_leaves_its_gap_and_is_not_mapped_afterwards() {
        let mut map = started_at(70_000);
        assert_eq!(map.map(70_002), Some(102));
        map.skip(70_001);
        assert_eq!(map.map(70_001), None);
        assert_eq!(map.map(70_003), Some(103));
    }

    #[test]
    fn a_jump_of_max_gap_is_kept_and_a_longer_one_becomes_a_gap_of_one() {
        let mut map = started_at(70_000);
        assert_eq!(map.map(70_001 + MAX_GAP), Some(101 + MAX_GAP));
        let highest = 70_001 + MAX_GAP;
        assert_eq!(map.map(highest + MAX_GAP + 2), Some(103 + MAX_GAP));
        assert_eq!(map.map(highest + MAX_GAP + 1), None, "from before the jump's end: its number is gone");
        assert_eq!(map.map(highest + MAX_GAP + 3), Some(104 + MAX_GAP));
    }

    #[test]
    fn losses_between_skips_do_not_add_up_to_a_jump() {
        let mut map = started_at(70_000);
        for round in 1..=10u64 {
            map.skip(70_000 + round * 500);
        }
        assert_eq!(map.map(75_001), Some(102), "4,990 were missing");
    }

    #[test]
    fn the_window_bounds_what_is_remembered() {
        let mut map = started_at(70_000);
        for input in 70_002..=70_001 + WINDOW {
            assert!(map.map(input).is_some());
        }
        assert_eq!(map.map(70_001), None, "1,024 behind the newest");
        let mut map = started_at(70_000);
        for input in 70_002..=70_000 + WINDOW {
            assert!(map.map(input).is_some());
        }
        assert_eq!(map.map(70_001), Some(101), "1,023 behind the newest");
    }

    #[test]
    fn the_next_encoding_continues_the_numbers_whatever_its_own() {
        let mut map = started_at(70_000);
        map.map(70_001);
        assert_eq!(map.start(40_000), 102);
        assert_eq!(map.map(39_999), None);
        assert_eq!(map.map(40_001), Some(103));
        assert_eq!(map.start(1 << 40), 104);
    }

    #[test]
    fn bit_windows_agree_with_a_plain_set() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(7);
        let (mut window, mut plain, mut highest) = (BitWindow::default(), std::collections::BTreeSet::new(), 5_000u64);
        for _ in 0..5_000 {
            let step =
                if random.random_ratio(1, 50) { random.random_range(1..2_000) } else { random.random_range(1..5) };
            window.clear(highest + 1, highest + step);
            highest += step;
            plain.retain(|number| highest - number < WINDOW);
            let number = highest - random.random_range(0..WINDOW);
            window.set(number);
            plain.insert(number);
            let from = highest - random.random_range(0..WINDOW);
            assert_eq!(window.count(from, highest), plain.range(from..).count() as u64);
            assert_eq!(window.get(from), plain.contains(&from));
            assert_eq!(window.set as usize, plain.len());
        }
    }
}
