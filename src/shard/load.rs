//! How busy a shard is, and which of several is the least: from the time its thread did not sleep.
//!
//! What always holds: an idle shard is not woken to measure; once it has told that it is idle it sleeps for good.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::leg::ShardId;
use crate::telemetry::counters::ShardCounters;

/// How long is measured before a share is told: long enough to even out bursts, short enough for a join storm of some
/// seconds to be spread.
const WINDOW: Duration = Duration::from_secs(1);
/// Shares that differ by less count as equal, percent: they move by as much from one window to the next.
const NOISE: u64 = 10;
/// Share from which on a room's home hosts no more participants if another shard can, percent: the rest is for what those
/// who are here will send and receive when they turn on their cameras.
const BUSY: u64 = 60;
/// Difference that makes it worth while to hand packets over, percent.
const CLEARLY: u64 = 20;

/// Measures one shard's thread, which says how long it slept.
#[derive(Debug)]
pub struct LoadMeter {
    began: Instant,
    slept: Duration,
    /// The share told last, percent.
    told: u64,
}

impl LoadMeter {
    pub fn new(now: Instant) -> LoadMeter {
        LoadMeter { began: now, slept: Duration::ZERO, told: 0 }
    }

    /// The thread slept; what it does after it woke is none of that.
    pub fn slept(&mut self, from: Instant, until: Instant) {
        self.slept += until.saturating_duration_since(from);
    }

    /// In each turn of the thread. Gives the busy share, percent, at the end of each window.
    pub fn turn(&mut self, now: Instant) -> Option<u64> {
        let window = now.saturating_duration_since(self.began);
        if window < WINDOW {
            return None;
        }
        let busy = window.saturating_sub(self.slept);
        self.told = u64::try_from(busy.as_micros() * 100 / window.as_micros().max(1)).unwrap_or(100);
        (self.began, self.slept) = (now, Duration::ZERO);
        Some(self.told)
    }

    /// When a sleeping thread must wake to tell that it is not busy any more; `None` once that was told.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.told > 0).then(|| self.began + WINDOW)
    }
}

/// Orders shards by load; the least loaded is the least. `coming`: participants on their way to it.
pub fn load(counters: &ShardCounters, coming: u64) -> (u64, u64) {
    (counters.busy_percent.get() / NOISE, counters.participants.get() + coming)
}

/// A shard that could host one more participant of a room.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub id: ShardId,
    /// Of the room, there.
    pub participants: usize,
    /// From [`load`].
    pub load: (u64, u64),
    /// Percent.
    pub busy: u64,
}

/// Where a room's next participant is hosted: at home as long as that is not busy; then on a shard that is clearly less
/// so, rather on one where the room has a leg already, since every further one is handed all packets. With a `spread`, once
/// so many are at home, always where the room has the fewest.
pub fn place(
    home: ShardId,
    spread: Option<NonZeroUsize>,
    candidates: impl Iterator<Item = Candidate> + Clone,
) -> ShardId {
    let Some(at_home) = candidates.clone().find(|candidate| candidate.id == home) else { return home };
    if let Some(spread) = spread {
        let full = at_home.participants >= spread.get();
        let fewest = candidates.min_by_key(|candidate| (candidate.participants, candidate.load));
        return if full { fewest.map_or(home, |candidate| candidate.id) } else { home };
    }
    if at_home.busy < BUSY {
        return home;
    }
    let better = candidates.filter(|candidate| candidate.busy + CLEARLY <= at_home.busy);
    let best = better.min_by_key(|candidate| (candidate.participants == 0 || candidate.busy >= BUSY, candidate.load));
    best.map_or(home, |candidate| candidate.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_the_part_of_a_window_without_sleep() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = LoadMeter::new(start);
        assert_eq!(meter.poll_timeout(), None);
        for wake in 1..10 {
            meter.slept(at(100 * wake - 50), at(100 * wake - 20));
            assert_eq!(meter.turn(at(100 * wake)), None, "20 ms of work after it woke");
        }
        assert_eq!(meter.turn(at(1_000)), Some(73));
        assert_eq!(meter.poll_timeout(), Some(at(2_000)), "the next window ends while it sleeps");
        meter.slept(at(1_000), at(2_000));
        assert_eq!(meter.turn(at(2_000)), Some(0));
        assert_eq!(meter.poll_timeout(), None, "idle was told");
        meter.slept(at(2_000), at(100_000));
        assert_eq!(meter.turn(at(100_000)), Some(0));
    }

    #[test]
    fn the_busier_shard_is_the_more_loaded_and_participants_decide_between_equals() {
        let shard = |busy, participants| {
            let counters = ShardCounters::default();
            counters.busy_percent.set(busy);
            counters.participants.set(participants);
            counters
        };
        assert!(load(&shard(35, 1), 0) > load(&shard(12, 90), 0));
        assert!(load(&shard(12, 1), 0) < load(&shard(17, 2), 0));
        assert!(load(&shard(17, 1), 2) > load(&shard(12, 2), 0), "who is on the way counts");
    }

    /// Shards 0 to 3 with participants of the room and busy shares; 0 is its home.
    fn placed(spread: usize, shards: [(usize, u64); 4]) -> usize {
        let candidate = |(index, (participants, busy)): (usize, (usize, u64))| Candidate {
            id: ShardId(index),
            participants,
            load: (busy / NOISE, 0),
            busy,
        };
        place(ShardId(0), NonZeroUsize::new(spread), shards.into_iter().enumerate().map(candidate)).0
    }

    #[test]
    fn a_room_stays_at_home_until_that_is_busy_and_another_shard_clearly_less() {
        assert_eq!(placed(0, [(900, 59), (0, 0), (0, 0), (0, 0)]), 0);
        assert_eq!(placed(0, [(900, 70), (0, 55), (0, 51), (0, 60)]), 0, "not clearly less");
        assert_eq!(placed(0, [(900, 70), (0, 50), (0, 12), (0, 30)]), 2);
        assert_eq!(placed(0, [(900, 70), (3, 50), (0, 12), (0, 30)]), 1, "has a leg already");
        assert_eq!(placed(0, [(900, 95), (3, 65), (0, 12), (0, 30)]), 2, "but that is busy too");
    }

    #[test]
    fn with_a_spread_the_fewest_decide_once_home_has_its_share() {
        assert_eq!(placed(2, [(1, 90), (0, 0), (0, 0), (0, 0)]), 0);
        assert_eq!(placed(2, [(2, 0), (1, 0), (0, 50), (0, 10)]), 3);
        assert_eq!(placed(2, [(2, 0), (2, 0), (2, 0), (1, 90)]), 3);
        assert_eq!(placed(2, [(2, 40), (2, 20), (2, 70), (2, 70)]), 1);
    }
}
