//! The headers of a participant's packets, both ways, of the last minute, in a ring of bytes.
//!
//! Of RTP the header with its extensions is kept (RFC 3550, section 5.1; RFC 8285), of RTCP the compound, each to a bound; of
//! media never a byte of payload. What always holds: no more bytes than the ring was made for; the oldest go first; once it has its
//! size nothing is allocated.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits;

/// How far back it reaches where its memory allows.
pub const REACH: Duration = Duration::from_secs(60);
/// Bytes before each header: time, kind, bytes kept, bytes of the packet.
const PREFIX_BYTES: usize = 13;
/// Bytes of the ring at its start; it doubles from here.
const FIRST_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the participant.
    Received,
    Sent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Rtp,
    Rtcp,
}

#[derive(Debug)]
pub struct Headers {
    began: Instant,
    until: Instant,
    ring: VecDeque<u8>,
    most: usize,
    /// Of all packets, not only those that are still here.
    seen: u64,
    kept: u64,
}

/// A copy of a ring.
#[derive(Clone, Debug)]
pub struct Captured {
    bytes: Vec<u8>,
    /// Packets that were recorded and had to make room for others, by age or by number.
    pub dropped: u64,
}

/// One packet of a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Since the recorder began.
    pub at: Duration,
    pub direction: Direction,
    pub kind: Kind,
    /// Its beginning.
    pub header: &'a [u8],
    /// Bytes of the whole packet, without what SRTP adds.
    pub len: usize,
}

/// What stands before each header.
#[derive(Clone, Copy)]
struct Prefix {
    micros: u64,
    flags: u8,
    kept: u16,
    len: u16,
}

const SENT: u8 = 1;
const RTCP: u8 = 2;

impl Headers {
    /// Times are told since `began`; `most` in bytes.
    pub fn new(began: Instant, most: usize) -> Headers {
        Headers { began, until: began, ring: VecDeque::new(), most, seen: 0, kept: 0 }
    }

    /// Records until then.
    pub fn record(&mut self, now: Instant, until: Instant) {
        self.until = until.max(now);
    }

    pub fn until(&self) -> Instant {
        self.until
    }

    /// It was ended long enough ago to be forgotten.
    pub fn is_outdated(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) >= limits::RECORDING_LIFE
    }

    pub fn push(&mut self, now: Instant, direction: Direction, kind: Kind, header: &[u8], len: usize) {
        if now >= self.until {
            return;
        }
        let most = match kind {
            Kind::Rtp => limits::RECORDED_HEADER_BYTES,
            Kind::Rtcp => limits::RECORDED_COMPOUND_BYTES,
        };
        let header = header.get(..most).unwrap_or(header);
        let at = now.saturating_duration_since(self.began);
        let prefix = Prefix::new(at, direction, kind, header.len(), len);
        self.make_room(at, PREFIX_BYTES + header.len());
        self.ring.extend(prefix.to_bytes());
        self.ring.extend(header);
        self.seen += 1;
        self.kept += 1;
    }

    fn make_room(&mut self, at: Duration, needed: usize) {
        let horizon = at.saturating_sub(REACH).as_micros() as u64;
        while let Some(oldest) = self.oldest()
            && (oldest.micros < horizon || self.ring.len() + needed > self.most)
        {
            self.ring.drain(..(PREFIX_BYTES + usize::from(oldest.kept)).min(self.ring.len()));
            self.kept = self.kept.saturating_sub(1);
        }
        let (len, capacity) = (self.ring.len(), self.ring.capacity());
        if len + needed > capacity {
            let doubled = (2 * capacity).clamp(FIRST_BYTES, self.most.max(FIRST_BYTES));
            self.ring.reserve_exact(doubled.max(len + needed) - len);
        }
    }

    fn oldest(&self) -> Option<Prefix> {
        let mut bytes = [0; PREFIX_BYTES];
        if self.ring.len() < PREFIX_BYTES {
            return None;
        }
        bytes.iter_mut().zip(&self.ring).for_each(|(to, from)| *to = *from);
        Some(Prefix::from_bytes(bytes))
    }

    pub fn into_captured(self) -> Captured {
        Captured { dropped: self.seen.saturating_sub(self.kept), bytes: self.ring.into() }
    }

    pub fn captured(&self) -> Captured {
        let (first, second) = self.ring.as_slices();
        Captured { bytes: [first, second].concat(), dropped: self.seen.saturating_sub(self.kept) }
    }
}

impl Captured {
    /// Oldest first.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (prefix, after) = rest.split_first_chunk()?;
            let prefix = Prefix::from_bytes(*prefix);
            let (header, after) = after.split_at_checked(prefix.kept.into())?;
            rest = after;
            Some(prefix.packet(header))
        })
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Prefix {
    fn new(at: Duration, direction: Direction, kind: Kind, kept: usize, len: usize) -> Prefix {
        let sent = if direction == Direction::Sent { SENT } else { 0 };
        let rtcp = if kind == Kind::Rtcp { RTCP } else { 0 };
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        Prefix { micros: at.as_micros() as u64, flags: sent | rtcp, kept: short(kept), len: short(len) }
    }

    fn to_bytes(self) -> [u8; PREFIX_BYTES] {
        let mut bytes = [0; PREFIX_BYTES];
        let fields = self.micros.to_le_bytes().into_iter().chain([self.flags]);
        let all = fields.chain(self.kept.to_le_bytes()).chain(self.len.to_le_bytes());
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    fn from_bytes(bytes: [u8; PREFIX_BYTES]) -> Prefix {
        let [t0, t1, t2, t3, t4, t5, t6, t7, flags, k0, k1, l0, l1] = bytes;
        Prefix {
            micros: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            flags,
            kept: u16::from_le_bytes([k0, k1]),
            len: u16::from_le_bytes([l0, l1]),
        }
    }

    fn packet(self, header: &[u8]) -> Packet<'_> {
        Packet {
            at: Duration::from_micros(self.micros),
            direction: if self.flags & SENT != 0 { Direction::Sent } else { Direction::Received },
            kind: if self.flags & RTCP != 0 { Kind::Rtcp } else { Kind::Rtp },
            header,
            len: self.len.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(most: usize) -> (Instant, Headers) {
        let start = Instant::now();
        let mut headers = Headers::new(start, most);
        headers.record(start, start + Duration::from_secs(3_600));
        (start, headers)
    }

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let (start, mut headers) = recording(1 << 20);
        headers.push(start + Duration::from_micros(7), Direction::Received, Kind::Rtp, &[1; 20], 1_200);
        headers.push(start + Duration::from_secs(2), Direction::Sent, Kind::Rtcp, &[2; 64], 64);
        let captured = headers.captured();
        let first = Packet {
            at: Duration::from_micros(7),
            direction: Direction::Received,
            kind: Kind::Rtp,
            header: &[1; 20],
            len: 1_200,
        };
        let second = Packet {
            at: Duration::from_secs(2),
            direction: Direction::Sent,
            kind: Kind::Rtcp,
            header: &[2; 64],
            len: 64,
        };
        assert_eq!(captured.packets().collect::<Vec<_>>(), [first, second]);
        assert_eq!(captured.dropped, 0);
    }

    #[test]
    fn headers_and_compounds_are_cut_and_their_length_is_kept() {
        let (start, mut headers) = recording(1 << 20);
        headers.push(start, Direction::Sent, Kind::Rtp, &[0; 320], 1_400);
        headers.push(start, Direction::Sent, Kind::Rtcp, &[0; 1_400], 1_400);
        let captured = headers.captured();
        let kept: Vec<_> = captured.packets().map(|packet| (packet.header.len(), packet.len)).collect();
        assert_eq!(kept, [(limits::RECORDED_HEADER_BYTES, 1_400), (limits::RECORDED_COMPOUND_BYTES, 1_400)]);
    }

    #[test]
    fn the_ring_keeps_to_its_bytes_and_gives_up_the_oldest() {
        let (start, mut headers) = recording(64 * 1024);
        for n in 0..50_000u32 {
            let now = start + Duration::from_micros(u64::from(n));
            headers.push(now, Direction::Sent, Kind::Rtp, &n.to_be_bytes(), 500);
        }
        assert!(headers.ring.capacity() <= 64 * 1024, "{}", headers.ring.capacity());
        let captured = headers.captured();
        let fits = 64 * 1024 / (PREFIX_BYTES + 4);
        let numbers: Vec<u32> = captured.packets().map(|p| u32::from_be_bytes(p.header.try_into().unwrap())).collect();
        assert_eq!(numbers, (50_000 - fits as u32..50_000).collect::<Vec<_>>());
        assert_eq!(captured.dropped, 50_000 - fits as u64);
    }

    #[test]
    fn what_is_older_than_a_minute_goes_and_the_ring_does_not_grow_for_it() {
        let (start, mut headers) = recording(1 << 20);
        for n in 0..2_000 {
            headers.push(start + n * Duration::from_millis(100), Direction::Sent, Kind::Rtp, &[0; 12], 500);
        }
        let captured = headers.captured();
        assert_eq!(captured.packets().count(), 601);
        assert!(headers.ring.capacity() <= 2 * 601 * 25, "{}", headers.ring.capacity());
    }

    #[test]
    fn a_ring_that_has_its_size_allocates_nothing() {
        let (start, mut headers) = recording(32 * 1024);
        let mut push = |n: u32| {
            headers.push(start + n * Duration::from_micros(500), Direction::Sent, Kind::Rtp, &[0; 24], 900);
        };
        (0..2_000).for_each(&mut push);
        let counted = allocation_counter::measure(|| (2_000..4_000).for_each(&mut push));
        assert_eq!(counted.count_total, 0);
    }
}
