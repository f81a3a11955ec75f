//! A ring of bytes in which pieces lie in the order they came, whole each; the oldest are overwritten.
//!
//! What always holds: at most as many bytes as it was made for; it grows only while it holds less than [`RETENTION`], so that in the
//! steady state nothing is allocated; a piece is given as it was put in, or not at all.

use std::time::{Duration, Instant};

/// How long a ring should hold where its bound on bytes allows: a subscriber asks for a packet again and again for as long as
/// its jitter buffer waits, about half a second, and a round trip comes on top.
pub const RETENTION: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct ByteRing {
    bytes: Vec<u8>,
    /// Where the next piece goes.
    head: usize,
    /// How often the ring began anew.
    lap: u32,
    lap_began: Option<Instant>,
    /// Bytes at its start, from which it grows, and the most it has.
    first: usize,
    most: usize,
}

/// Where a piece lies.
#[derive(Clone, Copy, Default, Debug)]
pub struct Place {
    lap: u32,
    start: u32,
}

impl ByteRing {
    /// `most` fits 32 bits; pieces are no longer than `first`.
    pub const fn new(first: usize, most: usize) -> ByteRing {
        ByteRing { bytes: Vec::new(), head: 0, lap: 0, lap_began: None, first, most }
    }

    /// Room for a new piece of `len` bytes; `None` when it is longer than pieces may be.
    pub fn push(&mut self, now: Instant, len: usize) -> Option<(Place, &mut [u8])> {
        if len > self.first {
            return None;
        }
        self.make_room(now, len);
        let (lap, start) = (self.lap, self.head);
        self.head += len;
        let place = Place { lap, start: u32::try_from(start).ok()? };
        Some((place, self.bytes.get_mut(start..start + len)?))
    }

    /// The first `len` bytes of a piece; `None` when it was overwritten.
    pub fn get_mut(&mut self, place: Place, len: usize) -> Option<&mut [u8]> {
        let start = place.start as usize;
        self.is_intact(place).then(|| self.bytes.get_mut(start..start.checked_add(len)?)).flatten()
    }

    pub fn is_intact(&self, place: Place) -> bool {
        let before = place.lap.wrapping_add(1) == self.lap && place.start as usize >= self.head;
        place.lap == self.lap || before
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Makes the next `len` bytes from `head` writable: by growing while the ring holds less than it should, else by
    /// beginning anew. A ring that is extended keeps what it has, since its lap has just filled it.
    fn make_room(&mut self, now: Instant, len: usize) {
        let began = *self.lap_began.get_or_insert(now);
        if self.head + len <= self.bytes.len() {
            return;
        }
        let short = now.saturating_duration_since(began) < RETENTION;
        if short && self.bytes.len() < self.most {
            // By half, and no more than that: it is all written to in the end, and every stream of every publisher has one.
            let len = (self.bytes.len() / 2 * 3).clamp(self.first, self.most);
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        } else {
            self.lap = self.lap.wrapping_add(1);
            self.head = 0;
            self.lap_began = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_or_gone() {
        let (now, mut ring) = (Instant::now(), ByteRing::new(100, 400));
        let mut places = Vec::new();
        for n in 0..200u8 {
            let len = 10 + usize::from(n % 50);
            let (place, piece) = ring.push(now, len).unwrap();
            piece.fill(n);
            places.push((place, n, len));
            let mut held = 0;
            for (place, n, len) in &places {
                if let Some(piece) = ring.get_mut(*place, *len) {
                    assert!(piece.iter().all(|byte| byte == n));
                    held += len;
                }
            }
            assert!(n < 20 || held > 400 - 2 * 60, "{held} bytes held after {n}");
        }
        assert_eq!(ring.capacity(), 400);
        assert!(ring.push(now, 101).is_none());
    }

    #[test]
    fn what_a_ring_takes_is_little_more_than_a_second_needs() {
        for packets in [10u32, 25, 50, 100, 250, 400, 700] {
            let (start, mut ring) = (Instant::now(), ByteRing::new(8_192, 1 << 20));
            for n in 0..5 * packets {
                ring.push(start + n * Duration::from_secs(1) / packets, 1_100);
            }
            let needed = 1_100 * packets as usize;
            assert!(
                ring.bytes.capacity() <= (needed + needed * 6 / 10).max(12_300),
                "{packets}: {}",
                ring.bytes.capacity()
            );
            assert!(ring.bytes.capacity() > needed, "{packets}: {}", ring.bytes.capacity());
        }
    }

    #[test]
    fn a_ring_that_holds_a_second_grows_no_further() {
        let (start, mut ring) = (Instant::now(), ByteRing::new(100, 100_000));
        for n in 0..1_000u32 {
            ring.push(start + n * Duration::from_millis(10), 20);
        }
        assert!((2_000..=4_000).contains(&ring.capacity()), "2,000 bytes a second: {}", ring.capacity());
    }
}
