//! Who is in a room, or was a moment ago: whoever lost a connection is not turned away when it comes back, however busy
//! the server has become meanwhile.
//!
//! What always holds: of those who left at most `limits::RETURNING` are remembered, for [`REMEMBERED`]; names are kept as
//! hashes alone.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;
use crate::room::model::{Identity, RoomName};

/// Longer than clients try to come back.
pub const REMEMBERED: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Returning {
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<u64, Entry>,
    /// Who left, in order.
    left: VecDeque<(Instant, u64)>,
}

#[derive(Default)]
struct Entry {
    /// Two while one connection replaces another.
    present: u32,
    left: Option<Instant>,
}

/// Somebody is in a room, until this is dropped.
pub struct Stay {
    returning: Arc<Returning>,
    who: u64,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.returning.left(Instant::now(), self.who);
    }
}

impl Returning {
    /// A participant's number here.
    pub fn number(&self, room: &RoomName, identity: &Identity) -> u64 {
        self.hasher.hash_one((room.as_str(), identity.as_str()))
    }

    /// Somebody was let in.
    pub fn stays(self: &Arc<Self>, who: u64) -> Stay {
        self.lock().entries.entry(who).or_default().present += 1;
        Stay { returning: self.clone(), who }
    }

    pub fn is_known(&self, now: Instant, who: u64) -> bool {
        let remembers = |left: Instant| now.saturating_duration_since(left) < REMEMBERED;
        self.lock().entries.get(&who).is_some_and(|entry| entry.present > 0 || entry.left.is_some_and(remembers))
    }

    fn left(&self, now: Instant, who: u64) {
        let mut known = self.lock();
        if let Some(entry) = known.entries.get_mut(&who) {
            entry.present = entry.present.saturating_sub(1);
            entry.left = Some(now);
            known.left.push_back((now, who));
        }
        known.forget(now);
    }

    /// Nothing is done under the lock that can panic.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget(&mut self, now: Instant) {
        let old = |left: Instant| now.saturating_duration_since(left) >= REMEMBERED;
        while self.left.front().is_some_and(|(left, _)| old(*left)) || self.left.len() > limits::RETURNING {
            let Some((left, who)) = self.left.pop_front() else { return };
            // Who left again later, or is back, stays known.
            let gone = |entry: &Entry| entry.present == 0 && entry.left == Some(left);
            if self.entries.get(&who).is_some_and(gone) {
                self.entries.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(returning: &Returning, identity: &str) -> u64 {
        returning.number(&RoomName::new("den"), &Identity::new(identity))
    }

    #[test]
    fn who_is_here_or_was_a_moment_ago_is_known_in_that_room_alone() {
        let returning = Arc::new(Returning::default());
        let (anna, start) = (who(&returning, "anna"), Instant::now());
        assert!(!returning.is_known(start, anna));
        let stay = returning.stays(anna);
        assert!(returning.is_known(start, anna));
        assert!(!returning.is_known(start, who(&returning, "bert")));
        assert!(!returning.is_known(start, returning.number(&RoomName::new("attic"), &Identity::new("anna"))));
        drop(stay);
        assert!(returning.is_known(Instant::now(), anna));
        assert!(!returning.is_known(Instant::now() + REMEMBERED, anna));
    }

    #[test]
    fn who_comes_back_before_the_old_connection_is_gone_is_here() {
        let returning = Arc::new(Returning::default());
        let (anna, later) = (who(&returning, "anna"), Instant::now() + 2 * REMEMBERED);
        let (old, new) = (returning.stays(anna), returning.stays(anna));
        drop(old);
        // Forgetting whoever is too long gone does not concern her.
        returning.left(later, who(&returning, "stranger"));
        assert!(returning.is_known(later, anna));
        drop(new);
    }

    #[test]
    fn no_more_are_remembered_than_the_bound_allows() {
        let returning = Arc::new(Returning::default());
        let all: Vec<u64> = (0..=limits::RETURNING).map(|number| who(&returning, &number.to_string())).collect();
        all.iter().for_each(|who| drop(returning.stays(*who)));
        let known = returning.lock();
        assert_eq!((known.entries.len(), known.left.len()), (limits::RETURNING, limits::RETURNING));
        assert!(!known.entries.contains_key(&all[0]), "the first who left is forgotten");
    }
}
