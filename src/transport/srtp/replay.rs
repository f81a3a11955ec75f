//! Rollover estimation and replay protection (RFC 3711, section 3.3): pure values, moved only by the caller once a packet
//! has authenticated.

/// Packets behind the newest that are still accepted, each once. RFC 3711 asks for at least 64; a peer without RTX sends lost packets again
/// as they were, a round trip or several later: a second of 8 Mbit/s.
pub(super) const WINDOW: u64 = 1024;
/// Bits of a word of the window.
const WORD: u64 = u64::BITS as u64;

/// Indices are 48 bits: a 32-bit rollover counter and a 16-bit sequence number.
pub(super) const MAX_INDEX: u64 = (1 << 48) - 1;

/// Which indices were accepted: the newest, and a bit for each of the [`WINDOW`] up to it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    highest: u64,
    /// An index has its bit at itself modulo `WINDOW`.
    seen: [u64; (WINDOW / WORD) as usize],
}

impl Window {
    /// A window whose only accepted index is `index`.
    pub fn starting_at(index: u64) -> Window {
        let mut window = Window { highest: index, seen: [0; _] };
        window.mark(index, true);
        window
    }

    /// A window in which everything up to `highest` counts as accepted.
    pub fn after(highest: u64) -> Window {
        Window { highest, seen: [u64::MAX; _] }
    }

    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Reads what the next index needs.
    pub fn touch(&self) -> u64 {
        self.seen.get(Window::word(self.highest)).copied().unwrap_or(0)
    }

    /// Whether `index` was not accepted before and is not older than the window.
    pub fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) if age < WINDOW => !self.is_marked(index),
            Some(_) => false,
        }
    }

    /// Marks `index`, whose packet authenticated, as accepted.
    pub fn accept(&mut self, index: u64) {
        if index > self.highest {
            self.advance(index);
        } else if self.highest - index < WINDOW {
            self.mark(index, true);
        }
    }

    /// Between the highest so far and `index` nothing was accepted.
    fn advance(&mut self, index: u64) {
        if index - self.highest >= WINDOW {
            self.seen.fill(0);
        } else {
            (self.highest + 1..index).for_each(|skipped| self.mark(skipped, false));
        }
        self.mark(index, true);
        self.highest = index;
    }

    fn is_marked(&self, index: u64) -> bool {
        self.seen.get(Window::word(index)).is_some_and(|word| word & (1 << (index % WORD)) != 0)
    }

    fn mark(&mut self, index: u64, seen: bool) {
        if let Some(word) = self.seen.get_mut(Window::word(index)) {
            let bit = 1 << (index % WORD);
            *word = if seen { *word | bit } else { *word & !bit };
        }
    }

    fn word(index: u64) -> usize {
        (index % WINDOW / WORD) as usize
    }
}

/// The index nearest to the newest one whose low 16 bits are `sequence` (RFC 3711, section 3.3.1). A stream starts with
/// rollover counter zero. `None` where the nearest would lie before the stream's start or past its end.
pub(super) fn estimate_index(highest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(highest) = highest else {
        return Some(u64::from(sequence));
    };
    let same_rollover = (highest & !0xffff) | u64::from(sequence);
    let index = if same_rollover.saturating_add(0x8000) < highest {
        same_rollover.checked_add(0x1_0000)
    } else if same_rollover > highest.saturating_add(0x8000) {
        same_rollover.checked_sub(0x1_0000)
    } else {
        Some(same_rollover)
    };
    index.filter(|index| *index <= MAX_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_within_the_window_is_fresh_once() {
        let mut window = Window::starting_at(5000);
        for index in (5000 - WINDOW + 1..5000).rev() {
            assert!(window.is_fresh(index));
            window.accept(index);
            assert!(!window.is_fresh(index));
        }
        assert!(!window.is_fresh(5000 - WINDOW), "older than the window");
        window.accept(5001);
        assert!(!window.is_fresh(5001) && !window.is_fresh(5000));
        assert_eq!(window.highest(), 5001);
    }

    #[test]
    fn the_window_agrees_with_a_plain_set() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let mut random = StdRng::seed_from_u64(9);
        let (mut window, mut plain) = (Window::starting_at(5_000), std::collections::BTreeSet::from([5_000]));
        for _ in 0..50_000 {
            let highest = window.highest();
            let index = match random.random_range(0..40) {
                0 => highest + random.random_range(1..2_500),
                1..30 => highest + random.random_range(1..4),
                _ => highest - random.random_range(0..1_500),
            };
            let fresh = index > highest || (highest - index < WINDOW && !plain.contains(&index));
            assert_eq!(window.is_fresh(index), fresh, "{index} of {highest}");
            if fresh {
                window.accept(index);
                plain.insert(index);
            }
        }
    }

    #[test]
    fn a_jump_longer_than_the_window_forgets_all_and_accepts_none_of_the_old() {
        let mut window = Window::starting_at(5);
        window.accept(5 + 10 * WINDOW);
        assert!(!window.is_fresh(5));
        assert!(window.is_fresh(4 + 10 * WINDOW));
        window.accept(u64::from(u32::MAX) * 8);
        assert!(!window.is_fresh(4 + 10 * WINDOW));
    }

    #[test]
    fn accepting_behind_the_window_moves_nothing() {
        let mut window = Window::starting_at(5000);
        window.accept(3);
        assert_eq!(window.highest(), 5000);
        assert!(window.is_fresh(4999));
    }

    #[test]
    fn the_rollover_counter_follows_reordering_around_the_wrap() {
        assert_eq!(estimate_index(None, 65_000), Some(65_000));
        assert_eq!(estimate_index(Some(65_535), 0), Some(65_536));
        assert_eq!(estimate_index(Some(65_536), 65_535), Some(65_535));
        assert_eq!(estimate_index(Some(65_536 + 10), 65_530), Some(65_530));
        assert_eq!(estimate_index(Some(3 * 65_536 + 65_530), 4), Some(4 * 65_536 + 4));
        assert_eq!(estimate_index(Some(3 * 65_536 + 4), 65_530), Some(2 * 65_536 + 65_530));
        assert_eq!(estimate_index(Some(10), 65_530), None, "before the stream's start");
        assert_eq!(estimate_index(Some(MAX_INDEX), 3), None, "past the last index of the key");
    }

    #[test]
    fn estimation_agrees_with_the_text_of_the_rfc_for_every_sequence() {
        for s_l in [0u64, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
            let highest = 7 * 0x1_0000 + s_l;
            for sequence in (0..=u16::MAX).step_by(17).chain([0x7fff, 0x8000, 0x8001, u16::MAX]) {
                let seq = i64::from(sequence);
                let s_l = s_l as i64;
                let roc = if s_l < 0x8000 {
                    if seq - s_l > 0x8000 { 6 } else { 7 }
                } else if s_l - 0x8000 > seq {
                    8
                } else {
                    7
                };
                let expected = roc * 0x1_0000 + u64::from(sequence);
                assert_eq!(estimate_index(Some(highest), sequence), Some(expected), "{s_l} {seq}");
            }
        }
    }
}
