//! Rollover estimation and replay protection (RFC 3711, section 3.3): pure values, moved only by the caller once a packet
//! has authenticated.

/// Packets behind the newest that are still accepted, each once. RFC 3711 asks for at least 64; a burst of retransmitted
/// or reordered video packets is longer.
pub(super) const WINDOW: u32 = u128::BITS;

/// Indices are 48 bits: a 32-bit rollover counter and a 16-bit sequence number.
pub(super) const MAX_INDEX: u64 = (1 << 48) - 1;

/// Which indices were accepted: the newest, and a bit for each of the [`WINDOW`] up to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    highest: u64,
    /// Bit n stands for `highest - n`.
    seen: u128,
}

impl Window {
    /// A window whose only accepted index is `index`.
    pub fn starting_at(index: u64) -> Window {
        Window { highest: index, seen: 1 }
    }

    /// A window in which everything up to `highest` counts as accepted.
    pub fn after(highest: u64) -> Window {
        Window { highest, seen: u128::MAX }
    }

    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` was not accepted before and is not older than the window.
    pub fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) if age < u64::from(WINDOW) => self.seen & (1 << age) == 0,
            Some(_) => false,
        }
    }

    /// Marks `index`, whose packet authenticated, as accepted.
    pub fn accept(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            None | Some(0) => {
                let age = self.highest.wrapping_sub(index);
                if age < u64::from(WINDOW) {
                    self.seen |= 1 << age;
                }
            }
            Some(ahead) => {
                let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
                self.highest = index;
            }
        }
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
        let mut window = Window::starting_at(1000);
        for index in (1000 - u64::from(WINDOW) + 1..1000).rev() {
            assert!(window.is_fresh(index));
            window.accept(index);
            assert!(!window.is_fresh(index));
        }
        assert!(!window.is_fresh(1000 - u64::from(WINDOW)), "older than the window");
        window.accept(1001);
        assert!(!window.is_fresh(1001) && !window.is_fresh(1000));
        assert_eq!(window.highest(), 1001);
    }

    #[test]
    fn a_jump_longer_than_the_window_forgets_all_and_accepts_none_of_the_old() {
        let mut window = Window::starting_at(5);
        window.accept(5 + 10 * u64::from(WINDOW));
        assert!(!window.is_fresh(5));
        assert!(window.is_fresh(4 + 10 * u64::from(WINDOW)));
        window.accept(u64::from(u32::MAX) * 8);
        assert!(!window.is_fresh(4 + 10 * u64::from(WINDOW)));
    }

    #[test]
    fn accepting_behind_the_window_moves_nothing() {
        let mut window = Window::starting_at(1000);
        window.accept(3);
        assert_eq!(window.highest(), 1000);
        assert!(window.is_fresh(999));
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
