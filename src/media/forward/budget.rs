//! How much may be sent again: a share of what is sent, by bytes (RFC 4588, section 7, asks that retransmission be
//! congestion-controlled).
//!
//! What always holds: in the long run retransmissions are at most half of what is sent, and a fifth for a subscriber that reports
//! no loss, however much it asks for.

/// Share of the bytes sent that may be sent again whatever is reported, of 256: a fifth, which makes up for a loss of a
/// sixth. A receiver may ask before its first report, or count what was repaired as received.
const FLOOR: u32 = 51;
/// The most, of 256: a loss of a third, every repetition lost at the same rate. A link worse than that needs less, not more.
const CEILING: u32 = 128;
/// Saved up at least, bytes: ten packets at once, on a stream of any rate.
const BURST_BYTES: u32 = 12_000;
/// Over which the rate is taken, milliseconds: what is sent meanwhile is saved up at most. Loss in bursts takes that much: a
/// second of it may lose half of what is sent, and reports tell of it when it is over.
const WINDOW: u32 = 500;

/// A bucket filled by what is sent.
#[derive(Debug)]
pub struct Budget {
    /// Bytes times 256.
    saved: u64,
    share: u32,
    /// Of the last two reports, of 256: on the stream, and on its retransmissions.
    lost: [u8; 2],
    lost_again: [u8; 2],
    /// When the present window began, the bytes sent in it, and in the one before.
    began: u32,
    present: u32,
    before: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            saved: u64::from(BURST_BYTES) << 8,
            share: FLOOR,
            lost: [0; 2],
            lost_again: [0; 2],
            began: 0,
            present: 0,
            before: 0,
        }
    }
}

impl Budget {
    /// Something was sent for the first time; `at` in wrapping milliseconds.
    pub fn sent(&mut self, at: u32, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(0);
        if at.wrapping_sub(self.began) >= WINDOW {
            (self.began, self.before, self.present) = (at, self.present, 0);
        }
        self.present = self.present.saturating_add(bytes);
        let most = BURST_BYTES.max(self.before.max(self.present));
        self.saved = (self.saved + u64::from(bytes) * u64::from(self.share)).min(u64::from(most) << 8);
    }

    /// The subscriber reported what share it lost of the stream, of 256. Twice that may be needed: of what is sent again as much is
    /// lost, and for a while more than on average.
    pub fn reported(&mut self, fraction_lost: u8) {
        self.lost = [fraction_lost, self.lost[0]];
        self.settle();
    }

    /// The same of the retransmissions: what no receiver counts as received by being repaired.
    pub fn reported_again(&mut self, fraction_lost: u8) {
        self.lost_again = [fraction_lost, self.lost_again[0]];
        self.settle();
    }

    fn settle(&mut self) {
        let lost = self.lost.iter().chain(&self.lost_again).copied().max().unwrap_or(0);
        self.share = (u32::from(lost) * 2).clamp(FLOOR, CEILING);
    }

    /// Of what is sent, of 256.
    pub fn share(&self) -> u32 {
        self.share
    }

    pub fn allows(&self, bytes: usize) -> bool {
        self.saved >> 8 >= bytes as u64
    }

    /// The same of what was sent again before: who asks again and again, whatever comes, leaves enough for what is asked for the
    /// first time.
    pub fn allows_repetition(&self, bytes: usize) -> bool {
        self.allows(bytes + BURST_BYTES as usize / 2)
    }

    pub fn spend(&mut self, bytes: usize) {
        self.saved = self.saved.saturating_sub((bytes as u64) << 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 1_100;

    /// Bytes sent again for each hundred sent, over so many seconds at 250 packets a second, asking for `wanted` packets for
    /// every hundred.
    fn spent(budget: &mut Budget, seconds: u32, wanted: usize) -> usize {
        let (mut spent, mut owed) = (0, 0);
        for n in 0..250 * seconds {
            budget.sent(4 * n, PACKET);
            owed += wanted;
            while owed >= 100 {
                owed -= 100;
                if budget.allows(PACKET) {
                    budget.spend(PACKET);
                    spent += 1;
                }
            }
        }
        100 * spent / (250 * seconds as usize)
    }

    #[test]
    fn who_asks_for_everything_and_reports_no_loss_gets_a_fifth() {
        let mut budget = Budget::default();
        let share = spent(&mut budget, 10, 400);
        assert!((19..=24).contains(&share), "{share} %");
    }

    #[test]
    fn who_loses_three_of_ten_gets_what_that_takes() {
        let mut budget = Budget::default();
        budget.reported(77);
        // 0.3 + 0.09 + ... of what is sent.
        assert_eq!(spent(&mut budget, 60, 43), 43);
        budget.reported(0);
        assert_eq!(spent(&mut budget, 10, 43), 43, "one report without loss is no proof");
        budget.reported(0);
        assert!(spent(&mut budget, 60, 43) < 25);
        budget.reported_again(77);
        assert_eq!(spent(&mut budget, 60, 43), 43, "what is sent again is lost as often");
    }

    #[test]
    fn who_claims_to_lose_everything_gets_half() {
        let mut budget = Budget::default();
        budget.reported(255);
        budget.reported_again(255);
        let share = spent(&mut budget, 60, 1_000);
        assert!((49..=51).contains(&share), "{share} %");
    }

    #[test]
    fn repetitions_leave_room_for_what_was_never_repeated() {
        let mut budget = Budget::default();
        while budget.allows_repetition(PACKET) {
            budget.spend(PACKET);
        }
        assert!(budget.allows(4 * PACKET) && !budget.allows(6 * PACKET));
    }

    #[test]
    fn a_burst_is_served_at_once_on_a_stream_of_any_rate() {
        let mut slow = Budget::default();
        for _ in 0..10 {
            assert!(slow.allows(PACKET));
            slow.spend(PACKET);
        }
        assert!(!slow.allows(PACKET));
        let mut fast = Budget::default();
        (0..1_000).for_each(|n| fast.sent(4 * n, PACKET));
        assert!(fast.allows(120 * PACKET), "half a second");
        assert!(!fast.allows(200 * PACKET));
    }
}
