//! Whether there is room for more, from what is measured. Sans-IO: values and time are arguments.
//!
//! What always holds: a burst shorter than [`ENTER_AFTER`] shuts nobody out; what is overloaded stays so until it was well
//! below its limit for [`LEAVE_AFTER`], so that the door does not flap; without a limit nothing is ever overloaded.

use std::time::{Duration, Instant};

use crate::config::OverloadLimits;

/// How long a figure is at its limit before it counts: a join storm of a second is spread by itself.
pub const ENTER_AFTER: Duration = Duration::from_secs(2);
/// How long it is below the lower bound before there is room again.
pub const LEAVE_AFTER: Duration = Duration::from_secs(10);
/// The lower bound, as a part of the limit.
pub const RECOVERED: f64 = 0.8;

/// What the server uses, as parts of the whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// Time that each shard's thread did not sleep.
    pub busy: Vec<f64>,
    /// `None` where the system does not tell.
    pub memory: Option<f64>,
}

/// What a measurement changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    ShardBusy(usize),
    ShardFree(usize),
    MemoryShort,
    MemoryFree,
}

#[derive(Debug)]
pub struct Overload {
    shards: Vec<Gate>,
    memory: Gate,
    memory_used: Option<f64>,
}

impl Overload {
    pub fn new(limits: &OverloadLimits, shards: usize) -> Overload {
        Overload {
            shards: vec![Gate::new(limits.shard_busy_percent); shards],
            memory: Gate::new(limits.memory_percent),
            memory_used: None,
        }
    }

    pub fn update(&mut self, now: Instant, measured: &Measured) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, (gate, busy)) in self.shards.iter_mut().zip(&measured.busy).enumerate() {
            changes.extend(gate.update(now, *busy).map(|over| match over {
                true => Change::ShardBusy(index),
                false => Change::ShardFree(index),
            }));
        }
        self.memory_used = measured.memory;
        // What is not known is no reason to turn anybody away.
        let memory = self.memory.update(now, measured.memory.unwrap_or(0.0));
        changes.extend(memory.map(|over| if over { Change::MemoryShort } else { Change::MemoryFree }));
        changes
    }

    pub fn is_busy(&self, shard: usize) -> bool {
        self.shards.get(shard).is_some_and(|gate| gate.over)
    }

    pub fn is_all_busy(&self) -> bool {
        !self.shards.is_empty() && self.shards.iter().all(|gate| gate.over)
    }

    pub fn is_short_of_memory(&self) -> bool {
        self.memory.over
    }

    pub fn memory_used(&self) -> Option<f64> {
        self.memory_used
    }
}

/// One figure with its limit.
#[derive(Clone, Debug)]
struct Gate {
    /// `None`: never over.
    limit: Option<f64>,
    over: bool,
    /// Since when the figure says otherwise.
    changing: Option<Instant>,
}

impl Gate {
    fn new(percent: u8) -> Gate {
        Gate { limit: (percent > 0).then(|| f64::from(percent) / 100.0), over: false, changing: None }
    }

    /// Gives the state when it changes.
    fn update(&mut self, now: Instant, value: f64) -> Option<bool> {
        let limit = self.limit?;
        let (changes, after) = match self.over {
            false => (value >= limit, ENTER_AFTER),
            true => (value < limit * RECOVERED, LEAVE_AFTER),
        };
        if !changes {
            self.changing = None;
            return None;
        }
        let since = *self.changing.get_or_insert(now);
        if now.saturating_duration_since(since) < after {
            return None;
        }
        self.changing = None;
        self.over = !self.over;
        Some(self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value for each second; gives in which seconds the state changed.
    fn changes(gate: &mut Gate, values: &[f64]) -> Vec<(u64, bool)> {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let seconds = (0..).zip(values);
        seconds.filter_map(|(second, value)| Some((second, gate.update(at(second), *value)?))).collect()
    }

    fn values(parts: &[(f64, usize)]) -> Vec<f64> {
        parts.iter().flat_map(|(value, seconds)| std::iter::repeat_n(*value, *seconds)).collect()
    }

    #[test]
    fn a_burst_shuts_nobody_out_and_a_load_that_lasts_does() {
        let mut gate = Gate::new(90);
        assert_eq!(changes(&mut gate, &values(&[(0.5, 3), (1.0, 2), (0.5, 3), (0.89, 30)])), []);
        assert_eq!(changes(&mut gate, &values(&[(0.5, 3), (0.9, 5)])), [(5, true)]);
    }

    #[test]
    fn the_door_opens_again_well_below_the_limit_for_a_while_and_does_not_flap() {
        let mut gate = Gate::new(90);
        changes(&mut gate, &values(&[(0.95, 5)]));
        // 0.72 is four fifths of the limit.
        assert_eq!(changes(&mut gate, &values(&[(0.73, 60)])), [], "between the bounds");
        assert_eq!(changes(&mut gate, &values(&[(0.7, 9), (0.8, 1), (0.7, 9), (0.8, 1)])), [], "never for long enough");
        assert_eq!(changes(&mut gate, &values(&[(0.7, 20)])), [(10, false)]);
    }

    #[test]
    fn a_load_that_swings_changes_the_state_at_most_every_ten_seconds() {
        let mut gate = Gate::new(90);
        let swinging: Vec<f64> = values(&[(0.95, 3), (0.1, 11)]).repeat(30);
        let seen = changes(&mut gate, &swinging);
        assert!(seen.len() > 10, "it does swing: {seen:?}");
        assert!(seen.windows(2).all(|pair| pair[0].1 || pair[1].0 - pair[0].0 >= 2), "{seen:?}");
        assert!(seen.windows(2).all(|pair| !pair[0].1 || pair[1].0 - pair[0].0 >= 10), "{seen:?}");
    }

    #[test]
    fn without_a_limit_and_without_a_figure_nothing_is_overloaded() {
        assert_eq!(changes(&mut Gate::new(0), &values(&[(1.0, 60)])), []);
        let mut overload = Overload::new(&OverloadLimits { shard_busy_percent: 0, memory_percent: 1 }, 1);
        let start = Instant::now();
        for second in 0..10 {
            let measured = Measured { busy: vec![1.0], memory: None };
            assert_eq!(overload.update(start + Duration::from_secs(second), &measured), []);
        }
        assert!(!overload.is_short_of_memory() && !overload.is_all_busy());
    }

    #[test]
    fn shards_are_judged_one_by_one() {
        let mut overload = Overload::new(&OverloadLimits { shard_busy_percent: 90, memory_percent: 90 }, 2);
        let start = Instant::now();
        let mut after = |second, busy: [f64; 2]| {
            let measured = Measured { busy: busy.to_vec(), memory: Some(0.5) };
            overload.update(start + Duration::from_secs(second), &measured)
        };
        assert_eq!(after(0, [0.95, 0.5]), []);
        assert_eq!(after(2, [0.95, 0.95]), [Change::ShardBusy(0)]);
        assert_eq!(after(4, [0.95, 0.95]), [Change::ShardBusy(1)]);
        assert!(overload.is_busy(0) && overload.is_all_busy() && !overload.is_busy(7));
    }
}
