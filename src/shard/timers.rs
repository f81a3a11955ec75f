//! When a shard's peers and rooms want to be called, in order, at most once each.
//!
//! What always holds: nobody is called early; for who is on the [beat](super::beat) a thread is woken only [`SLACK`] later.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::beat::{Due, SLACK};

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    Peer(usize),
    /// A room at home here, by its serial.
    Room(u64),
}

type Queue = BTreeSet<(Instant, Owner)>;

#[derive(Default)]
pub struct Timers {
    exact: Queue,
    on_beat: Queue,
    armed: HashMap<Owner, Due>,
}

impl Timers {
    /// Makes sure the owner is called in time. A later time than the one armed is not taken over: the owner is
    /// called early, and arms again. So what a packet pushes back (consent) costs nothing.
    pub fn arm(&mut self, owner: Owner, due: impl Into<Due>) {
        let due = due.into();
        if self.armed.get(&owner).is_some_and(|armed| armed.latest <= due.latest) {
            return;
        }
        self.disarm(owner);
        self.armed.insert(owner, due);
        self.queue(due).insert((due.at, owner));
    }

    pub fn disarm(&mut self, owner: Owner) {
        if let Some(armed) = self.armed.remove(&owner) {
            self.queue(armed).remove(&(armed.at, owner));
        }
    }

    /// When a thread that sleeps is to wake.
    pub fn next(&self) -> Option<Instant> {
        let exact = self.exact.first().map(|(at, _)| *at);
        let on_beat = self.on_beat.first().map(|(at, _)| *at + SLACK);
        exact.into_iter().chain(on_beat).min()
    }

    /// Takes one owner whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<Owner> {
        let first = [self.exact.first(), self.on_beat.first()].into_iter().flatten().min();
        let (_, owner) = *first.filter(|(at, _)| *at <= now)?;
        self.disarm(owner);
        Some(owner)
    }

    fn queue(&mut self, due: Due) -> &mut Queue {
        if due.is_exact() { &mut self.exact } else { &mut self.on_beat }
    }
}

#[cfg(test)]
mod tests {
    use super::super::beat::Beat;
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

    #[test]
    fn on_the_beat_one_is_woken_for_late_and_called_as_soon_as_something_else_wakes() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut timers, beat) = (Timers::default(), Beat::new(start));
        timers.arm(Owner::Peer(1), beat.due(at(24)));
        assert_eq!(timers.next(), Some(at(30) + SLACK));
        timers.arm(Owner::Room(1), at(33));
        assert_eq!(timers.next(), Some(at(33)), "on time");
        assert_eq!(timers.pop_due(at(29)), None);
        assert_eq!(timers.pop_due(at(33)), Some(Owner::Peer(1)), "in order");
        assert_eq!(timers.pop_due(at(33)), Some(Owner::Room(1)));
        timers.arm(Owner::Peer(1), beat.due(at(40)));
        timers.arm(Owner::Peer(1), at(45));
        assert_eq!(timers.next(), Some(at(45)), "sooner than it would be woken for");
        timers.arm(Owner::Peer(1), beat.due(at(40)));
        assert_eq!(timers.pop_due(at(44)), None);
        timers.disarm(Owner::Peer(1));
        assert_eq!((timers.next(), timers.pop_due(at(99))), (None, None));
    }
}
