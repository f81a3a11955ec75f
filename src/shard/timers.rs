//! When a shard's peers and rooms want to be called: one ordered queue, at most one entry each.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    Peer(usize),
    /// A room at home here, by its serial.
    Room(u64),
}

#[derive(Default)]
pub struct Timers {
    queue: BTreeSet<(Instant, Owner)>,
    armed: HashMap<Owner, Instant>,
}

impl Timers {
    /// Makes sure the owner is called no later than `at`. A later time than the one armed is not taken over: the owner is
    /// called early, and arms again. So what a packet pushes back (consent) costs nothing.
    pub fn arm(&mut self, owner: Owner, at: Instant) {
        match self.armed.get(&owner) {
            Some(armed) if *armed <= at => return,
            Some(armed) => {
                self.queue.remove(&(*armed, owner));
            }
            None => {}
        }
        self.armed.insert(owner, at);
        self.queue.insert((at, owner));
    }

    pub fn disarm(&mut self, owner: Owner) {
        if let Some(armed) = self.armed.remove(&owner) {
            self.queue.remove(&(armed, owner));
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes one owner whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<Owner> {
        let (at, owner) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.disarm(owner);
        Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_an_earlier_time_replaces_the_armed_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.arm(Owner::Peer(1), at(20));
        timers.arm(Owner::Peer(1), at(30));
        timers.arm(Owner::Room(1), at(10));
        timers.arm(Owner::Peer(1), at(5));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(30)), Some(Owner::Peer(1)));
        assert_eq!(timers.pop_due(at(30)), Some(Owner::Room(1)));
        assert_eq!(timers.pop_due(at(30)), None);
    }
}
