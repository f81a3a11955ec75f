//! Which shard is a room's home. Looked at when a participant joins and when a room opens or closes, never for a packet.
//!
//! What always holds: a room has one home as long as it is open or a join is on its way to it; a new one goes to the least
//! loaded shard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::load::load;
use crate::room::model::RoomName;
use crate::telemetry::counters::ShardCounters;

pub struct Directory {
    shards: Vec<Arc<ShardCounters>>,
    entries: Mutex<Entries>,
}

struct Entries {
    rooms: HashMap<RoomName, Entry>,
    /// No room is opened any more.
    closed: bool,
    /// Joins sent and not yet read, by shard.
    coming: Vec<u64>,
}

struct Entry {
    home: usize,
    /// Joins sent and not yet read.
    coming: u64,
    /// Shards that host somebody of the room, as its home tells.
    hosts: Vec<usize>,
}

impl Directory {
    /// One set of counters per shard.
    pub fn new(shards: Vec<Arc<ShardCounters>>) -> Directory {
        let entries = Entries { rooms: HashMap::new(), closed: false, coming: vec![0; shards.len()] };
        Directory { shards, entries: Mutex::new(entries) }
    }

    /// Every shard's counters, in order.
    pub fn shards(&self) -> &[Arc<ShardCounters>] {
        &self.shards
    }

    /// Where a join of this room is to be sent. `None` without shards, and for a new room once none is opened any more.
    pub fn home(&self, room: &RoomName) -> Option<usize> {
        let entries = self.lock();
        match entries.rooms.get(room) {
            Some(entry) => Some(entry.home),
            None if entries.closed => None,
            None => {
                let loads = self.shards.iter().zip(&entries.coming).map(|(counters, coming)| load(counters, *coming));
                loads.enumerate().min_by_key(|(_, load)| *load).map(|(index, _)| index)
            }
        }
    }

    /// The home of a room that is open or about to be.
    pub fn find(&self, room: &RoomName) -> Option<usize> {
        self.lock().rooms.get(room).map(|entry| entry.home)
    }

    /// Has a join sent to the shard that [`home`](Self::home) named, unless the room has got another home since: then
    /// nothing happens and the answer is `false`. `send` must not wait.
    pub fn enter(&self, room: &RoomName, home: usize, send: impl FnOnce()) -> bool {
        let mut entries = self.lock();
        if entries.closed && !entries.rooms.contains_key(room) {
            return false;
        }
        let entry = entries.rooms.entry(room.clone()).or_insert(Entry { home, coming: 0, hosts: Vec::new() });
        if entry.home != home {
            return false;
        }
        entry.coming += 1;
        if let Some(coming) = entries.coming.get_mut(home) {
            *coming += 1;
        }
        send();
        true
    }

    /// A shard read a join.
    pub fn arrived(&self, room: &RoomName) {
        let mut entries = self.lock();
        let Some(entry) = entries.rooms.get_mut(room) else { return };
        entry.coming = entry.coming.saturating_sub(1);
        let home = entry.home;
        if let Some(coming) = entries.coming.get_mut(home) {
            *coming = coming.saturating_sub(1);
        }
    }

    /// From now on no room is opened; those that are open go on.
    pub fn close_to_new(&self) {
        self.lock().closed = true;
    }

    /// Joins that no shard has read yet.
    pub fn coming(&self) -> u64 {
        self.lock().coming.iter().sum()
    }

    /// A room's home tells which shards host somebody of it.
    pub fn set_hosts(&self, room: &RoomName, hosts: impl Iterator<Item = usize>) {
        if let Some(entry) = self.lock().rooms.get_mut(room) {
            entry.hosts.clear();
            entry.hosts.extend(hosts);
        }
    }

    /// The shards that an open room is on, its home first; `None` for a room that is not open.
    pub fn shards_of(&self, room: &RoomName) -> Option<Vec<usize>> {
        let entries = self.lock();
        let entry = entries.rooms.get(room)?;
        let hosts = entry.hosts.iter().copied().filter(|host| *host != entry.home);
        Some(std::iter::once(entry.home).chain(hosts).collect())
    }

    /// A shard wants to close a room: `false` when a join is on its way to it, which must find it open.
    pub fn release(&self, room: &RoomName) -> bool {
        let mut entries = self.lock();
        let free = entries.rooms.get(room).is_none_or(|entry| entry.coming == 0);
        if free {
            entries.rooms.remove(room);
        }
        free
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing that holds it can stop halfway.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_shards() -> (Directory, Vec<Arc<ShardCounters>>) {
        let counters: Vec<_> = (0..2).map(|_| Arc::<ShardCounters>::default()).collect();
        (Directory::new(counters.clone()), counters)
    }

    fn open(directory: &Directory, name: &str) -> usize {
        let (room, mut sent) = (RoomName::new(name), false);
        let home = directory.home(&room).unwrap();
        assert!(directory.enter(&room, home, || sent = true) && sent);
        home
    }

    #[test]
    fn rooms_opened_at_once_are_spread_before_a_shard_has_read_a_join() {
        let (directory, _) = two_shards();
        let homes: Vec<usize> = (0..6).map(|room| open(&directory, &format!("room {room}"))).collect();
        assert_eq!(homes, [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_room_stays_where_it_is_when_its_shard_becomes_busy() {
        let (directory, counters) = two_shards();
        assert_eq!(open(&directory, "a"), 0);
        directory.arrived(&RoomName::new("a"));
        counters[0].busy_percent.set(95);
        assert_eq!(open(&directory, "a"), 0);
        assert_eq!(open(&directory, "b"), 1);
    }

    #[test]
    fn a_room_to_which_a_join_is_on_its_way_is_not_released() {
        let (directory, counters) = two_shards();
        let room = RoomName::new("a");
        open(&directory, "a");
        assert!(!directory.release(&room), "the join has not been read");
        directory.arrived(&room);
        assert!(directory.release(&room));
        counters[0].participants.set(1);
        assert_eq!(directory.home(&room), Some(1), "a new life, a new choice");
    }

    #[test]
    fn once_closed_to_new_rooms_it_knows_the_way_to_open_ones_alone() {
        let (directory, _) = two_shards();
        let (open_room, new_room) = (RoomName::new("a"), RoomName::new("b"));
        let home = open(&directory, "a");
        let looked_before = directory.home(&new_room).unwrap();
        assert_eq!(directory.coming(), 1);
        directory.close_to_new();
        assert_eq!((directory.home(&open_room), directory.home(&new_room)), (Some(home), None));
        assert!(directory.enter(&open_room, home, || {}));
        assert!(!directory.enter(&new_room, looked_before, || panic!("sent")), "also for one that looked before");
        (0..2).for_each(|_| directory.arrived(&open_room));
        assert_eq!(directory.coming(), 0);
        assert!(directory.release(&open_room));
        assert_eq!(directory.home(&open_room), None, "it is new, too, now");
    }

    #[test]
    fn a_rooms_shards_are_its_home_and_who_hosts_somebody() {
        let (directory, _) = two_shards();
        let room = RoomName::new("a");
        directory.set_hosts(&room, [1].into_iter());
        assert_eq!(directory.shards_of(&room), None, "not open");
        open(&directory, "a");
        assert_eq!(directory.shards_of(&room), Some(vec![0]));
        directory.set_hosts(&room, [0, 1].into_iter());
        assert_eq!(directory.shards_of(&room), Some(vec![0, 1]));
        directory.set_hosts(&room, [1].into_iter());
        assert_eq!(directory.shards_of(&room), Some(vec![0, 1]), "the home is one of them, whoever is there");
    }

    #[test]
    fn of_two_joins_that_open_a_room_at_once_the_later_follows_the_earlier() {
        let (directory, counters) = two_shards();
        let room = RoomName::new("a");
        let first = directory.home(&room).unwrap();
        counters[0].participants.set(1);
        let second = directory.home(&room).unwrap();
        assert_eq!((first, second), (0, 1), "both looked before either was entered");
        assert!(directory.enter(&room, first, || {}));
        assert!(!directory.enter(&room, second, || panic!("sent to a shard that is not the home")));
        assert_eq!(directory.home(&room), Some(0));
    }
}
