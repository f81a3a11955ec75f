//! Bytes of packets in the order they came, each whole in one of a row of chunks; the oldest chunk is used again.
//!
//! What always holds: at most as many bytes as it was made for; as far as that allows, what is younger than [`RETENTION`], and a little more, is never given up;
//! a chunk is added only for that, so that in the steady state nothing is allocated; a piece is given as it was put in, or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a ring should hold where its bound on bytes allows: a subscriber asks for a packet again and again for as long as
/// its jitter buffer waits, about half a second, and a round trip comes on top.
pub const RETENTION: Duration = Duration::from_secs(1);
/// How long a chunk is kept at least: the last repetition of a packet on a way of 200 ms is asked for a little after [`RETENTION`].
pub const KEPT: Duration = Duration::from_millis(1_250);
/// Chunks of which nothing was used for so long are given back: a stream became slower for good.
const SLACK: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct Chunk {
    bytes: Box<[u8]>,
    used: usize,
    /// When the last piece was put in.
    last: Instant,
}

#[derive(Debug)]
pub struct ByteRing {
    /// In the order they were begun.
    chunks: VecDeque<Chunk>,
    /// Number of the first of them. Wrapping.
    first: u32,
    chunk_bytes: usize,
    most_chunks: usize,
}

/// Where a piece lies.
#[derive(Clone, Copy, Default, Debug)]
pub struct Place {
    chunk: u32,
    start: u32,
}

impl ByteRing {
    /// Chunks of so many bytes, which fit 32 bits; pieces are no longer. At most `most` bytes, and at least one chunk.
    pub const fn new(chunk_bytes: usize, most: usize) -> ByteRing {
        ByteRing { chunks: VecDeque::new(), first: 0, chunk_bytes, most_chunks: most / chunk_bytes }
    }

    /// Room for a new piece of `len` bytes; `None` when it is longer than pieces may be.
    pub fn push(&mut self, now: Instant, len: usize) -> Option<(Place, &mut [u8])> {
        if len > self.chunk_bytes {
            return None;
        }
        if self.chunks.back().is_none_or(|chunk| chunk.used + len > chunk.bytes.len()) {
            self.begin_chunk(now);
        }
        let behind_first = u32::try_from(self.chunks.len()).ok()?.wrapping_sub(1);
        let chunk = self.chunks.back_mut()?;
        let start = chunk.used;
        (chunk.used, chunk.last) = (start + len, now);
        let place = Place { chunk: self.first.wrapping_add(behind_first), start: u32::try_from(start).ok()? };
        Some((place, chunk.bytes.get_mut(start..start + len)?))
    }

    /// The first `len` bytes of a piece; `None` when it was given up.
    pub fn get_mut(&mut self, place: Place, len: usize) -> Option<&mut [u8]> {
        let start = place.start as usize;
        self.chunks.get_mut(self.index(place))?.bytes.get_mut(start..start.checked_add(len)?)
    }

    pub fn is_intact(&self, place: Place) -> bool {
        self.index(place) < self.chunks.len()
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.chunks.len() * self.chunk_bytes
    }

    fn index(&self, place: Place) -> usize {
        place.chunk.wrapping_sub(self.first) as usize
    }

    /// The next chunk: the oldest again where it is old enough or there may be no more, else a new one.
    fn begin_chunk(&mut self, now: Instant) {
        let age = |chunk: &Chunk| now.saturating_duration_since(chunk.last);
        while self.chunks.len() > 1 && self.chunks.get(1).is_some_and(|second| age(second) >= SLACK) {
            self.give_up_oldest();
        }
        let full = self.chunks.len() >= self.most_chunks.max(1);
        let oldest = if full || self.chunks.front().is_some_and(|oldest| age(oldest) >= KEPT) {
            self.give_up_oldest()
        } else {
            None
        };
        let bytes = oldest.map_or_else(|| vec![0; self.chunk_bytes].into_boxed_slice(), |chunk| chunk.bytes);
        self.chunks.push_back(Chunk { bytes, used: 0, last: now });
    }

    fn give_up_oldest(&mut self) -> Option<Chunk> {
        self.first = self.first.wrapping_add(1);
        self.chunks.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

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
            assert!(n < 20 || held > 400 - 4 * 60, "{held} bytes held after {n}");
        }
        assert_eq!(ring.capacity(), 400);
        assert!(ring.push(now, 101).is_none());
    }

    #[test]
    fn a_ring_that_holds_a_second_grows_no_further() {
        let (start, mut ring) = (Instant::now(), ByteRing::new(100, 100_000));
        for n in 0..1_000u32 {
            ring.push(start + n * 10 * MS, 20);
        }
        assert!((2_500..=2_700).contains(&ring.capacity()), "2,000 bytes a second: {}", ring.capacity());
    }

    #[test]
    fn a_burst_after_a_silence_is_held_whole() {
        let (start, mut ring) = (Instant::now(), ByteRing::new(100, 100_000));
        (0..3).for_each(|_| _ = ring.push(start, 20));
        let later = start + 2_500 * MS;
        let places: Vec<Place> = (0..500).map(|_| ring.push(later, 20).unwrap().0).collect();
        assert!(places.iter().all(|place| ring.is_intact(*place)));
        assert_eq!(places.iter().filter(|place| ring.get_mut(**place, 20).is_some()).count(), 500);
    }

    #[test]
    fn a_stream_that_became_slow_gives_memory_back() {
        let (start, mut ring) = (Instant::now(), ByteRing::new(100, 100_000));
        (0..1_000u32).for_each(|n| _ = ring.push(start + n * MS, 20));
        assert!(ring.capacity() >= 20_000, "{}", ring.capacity());
        (1..20u32).for_each(|n| _ = ring.push(start + n * 1_000 * MS, 90));
        assert!(ring.capacity() <= 700, "{}", ring.capacity());
    }
}
