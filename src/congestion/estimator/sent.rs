//! What was sent and is not told of yet, by transport-wide number.
//!
//! What always holds: eight bytes a packet; the ring doubles only where it would forget a packet of the last [`KEPT`] that nothing was told
//! of, and up to [`limits::UNTOLD_PACKETS`]; of each packet its loss is told once and its arrival once.

use super::Micros;
use crate::limits;

/// Packets in the beginning: a subscriber of audio alone never needs more.
const FEWEST: usize = 64;
/// Feedback that comes later than this is of no use: a way with 500 ms of queue, and 250 ms between two feedbacks.
const KEPT: u32 = 1_000_000;

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Low bits of the time, which wrap every 71 minutes.
    at: u32,
    bytes: u16,
    fate: Fate,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Untold,
    Lost,
    Arrived,
}

/// What feedback told anew of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub sent: Micros,
    pub bytes: u16,
    /// It was told to be lost before: it only came late.
    pub was_lost: bool,
}

#[derive(Default)]
pub struct SentLog {
    ring: Vec<Entry>,
    next: u16,
    /// Numbers before `next` that the ring holds.
    held: usize,
    unknown: u64,
}

impl SentLog {
    /// The number of the packet that is sent next.
    pub fn next(&self) -> u16 {
        self.next
    }

    /// Packets told of that were not sent, or too long ago.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    pub fn push(&mut self, now: Micros, bytes: usize) {
        let at = now as u32;
        if self.held == self.ring.len() {
            self.make_room(at);
        }
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        let index = self.index(self.next);
        if let Some(entry) = self.ring.get_mut(index) {
            *entry = Entry { at, bytes, fate: Fate::Untold };
        }
        self.next = self.next.wrapping_add(1);
        self.held = (self.held + 1).min(self.ring.len());
    }

    /// Feedback tells of a packet; `None` where that is nothing new.
    pub fn tell(&mut self, now: Micros, number: u16, arrived: bool) -> Option<Told> {
        let back = usize::from(self.next.wrapping_sub(number));
        if back == 0 || back > self.held {
            self.unknown = self.unknown.saturating_add(1);
            return None;
        }
        let index = self.index(number);
        let entry = self.ring.get_mut(index)?;
        let before = entry.fate;
        let news = if arrived { before != Fate::Arrived } else { before == Fate::Untold };
        if !news {
            return None;
        }
        entry.fate = if arrived { Fate::Arrived } else { Fate::Lost };
        let age = (now as u32).wrapping_sub(entry.at);
        Some(Told { sent: now - Micros::from(age), bytes: entry.bytes, was_lost: before == Fate::Lost })
    }

    /// Bytes of the ring.
    #[cfg(test)]
    pub fn heap(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>()
    }

    /// Before a packet takes the oldest one's place.
    fn make_room(&mut self, at: u32) {
        let oldest = self.ring.get(self.index(self.next));
        let needed = oldest.is_none_or(|entry| entry.fate == Fate::Untold && at.wrapping_sub(entry.at) < KEPT);
        if !needed || self.ring.len() >= limits::UNTOLD_PACKETS {
            return;
        }
        let mut larger = vec![Entry::default(); (self.ring.len() * 2).max(FEWEST)];
        let mask = larger.len() - 1;
        for back in 1..=self.held {
            let number = self.next.wrapping_sub(back as u16);
            let place = larger.get_mut(usize::from(number) & mask);
            place.into_iter().zip(self.ring.get(self.index(number))).for_each(|(place, entry)| *place = *entry);
        }
        self.ring = larger;
    }

    fn index(&self, number: u16) -> usize {
        // A power of two, or empty.
        usize::from(number) & self.ring.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    #[test]
    fn a_packet_is_told_of_once_and_found_across_the_wrap_of_numbers() {
        let mut log = SentLog { next: 65_530, ..SentLog::default() };
        (0..10).for_each(|i| log.push(i * MS, 100 + i as usize));
        assert_eq!(log.next(), 4);
        let told = log.tell(50 * MS, 2, true).unwrap();
        assert_eq!(told, Told { sent: 8 * MS, bytes: 108, was_lost: false });
        assert_eq!(log.tell(50 * MS, 2, true), None);
        assert_eq!(log.tell(50 * MS, 2, false), None, "what arrived is not lost");
        assert_eq!(log.unknown(), 0);
    }

    #[test]
    fn what_came_late_was_lost_before() {
        let mut log = SentLog::default();
        log.push(0, 100);
        assert!(!log.tell(MS, 0, false).unwrap().was_lost);
        assert_eq!(log.tell(MS, 0, false), None, "lost once");
        assert!(log.tell(2 * MS, 0, true).unwrap().was_lost);
    }

    #[test]
    fn numbers_never_sent_or_long_past_are_counted_and_nothing_else() {
        let mut log = SentLog::default();
        (0..1_000).for_each(|i| {
            log.push(i * MS, 100);
            let _ = log.tell(i * MS, i as u16, true);
        });
        for number in [1_000, 30_000, 65_535, 900] {
            assert_eq!(log.tell(1_000 * MS, number, true), None);
        }
        assert_eq!(log.unknown(), 4, "64 are held");
    }

    /// 300 packets a second, told of every 100 ms after 100 ms.
    #[test]
    fn a_usual_subscriber_takes_little_memory() {
        let mut log = SentLog::default();
        for i in 0..3_000_i64 {
            log.push(i * 10 * MS / 3, 1_200);
            if i > 30 && i % 30 == 0 {
                (i - 60..i - 30).for_each(|n| assert!(log.tell(i * 10 * MS / 3, n as u16, true).is_some() || n < 2));
            }
        }
        assert_eq!(size_of::<Entry>(), 8);
        assert!(log.ring.len() <= 128, "{}", log.ring.len());
    }

    #[test]
    fn untold_packets_grow_it_up_to_a_bound_and_stay_found() {
        let mut log = SentLog::default();
        (0..300).for_each(|i| log.push(i * MS, 100 + i as usize));
        assert_eq!(log.ring.len(), 512);
        assert_eq!(log.tell(300 * MS, 7, true).unwrap().bytes, 107);
        (0..60_000).for_each(|_| log.push(301 * MS, 100));
        assert_eq!(log.ring.len(), limits::UNTOLD_PACKETS);
        let oldest = log.next().wrapping_sub(limits::UNTOLD_PACKETS as u16);
        assert!(log.tell(301 * MS, oldest, true).is_some());
        assert!(log.tell(301 * MS, oldest.wrapping_sub(1), true).is_none());
    }

    #[test]
    fn what_is_old_is_forgotten_without_feedback() {
        let mut log = SentLog::default();
        (0..10_000).for_each(|i| log.push(i * 20 * MS, 100));
        assert_eq!(log.ring.len(), 64, "1.28 s of 50 packets a second");
    }
}
