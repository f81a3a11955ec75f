//! The packets of one RTP stream as they arrived, opened: what the fan-out seals from, and what is retransmitted from. One
//! copy for all subscribers, found by extended sequence number.
//!
//! What always holds: at most `limits::CACHE_BYTES` of packets; a full ring gives up the oldest; it grows only where it would give up what is
//! younger than [`RETENTION`], so that in the steady state nothing is allocated; what is found is what was put in.

use std::time::Instant;

use super::catch_up::Beginning;
use super::forward::Packet;
pub use super::ring::RETENTION;
use super::ring::{ByteRing, Place};
use crate::limits;

/// Bytes that are added or used again at once: some packets of video, a second of audio.
const CHUNK_BYTES: usize = 8 * 1024;
/// Records at the start. What comes late or again is younger than [`RETENTION`], so that it never takes the place of a newer packet: the
/// table is doubled first.
const FIRST_RECORDS: usize = 128;

/// Ring of packets. Bytes lie in the order of arrival, records at their number modulo the table.
pub struct PacketCache {
    bytes: ByteRing,
    records: Vec<Option<Record>>,
    /// Highest number.
    newest: Option<u64>,
    /// Where the newest keyframe began, which may be gone.
    keyframe: Option<Beginning>,
}

struct Record {
    packet: Packet,
    place: Place,
    len: usize,
    arrival: Instant,
}

impl Default for PacketCache {
    fn default() -> PacketCache {
        let bytes = ByteRing::new(CHUNK_BYTES, limits::CACHE_BYTES);
        PacketCache { bytes, records: Vec::new(), newest: None, keyframe: None }
    }
}

impl PacketCache {
    /// Keeps a copy of an opened packet. One that is larger than `limits::DATAGRAM_BYTES` is not kept.
    pub fn insert(&mut self, now: Instant, packet: Packet, plain: &[u8]) {
        if plain.len() > limits::DATAGRAM_BYTES {
            return;
        }
        self.make_record(now, packet.extended_sequence);
        let index = self.index(packet.extended_sequence);
        let (Some((place, slot)), Some(record)) = (self.bytes.push(now, plain.len()), self.records.get_mut(index))
        else {
            return;
        };
        slot.copy_from_slice(plain);
        *record = Some(Record { packet, place, len: plain.len(), arrival: now });
        self.newest = self.newest.max(Some(packet.extended_sequence));
        if packet.info.starts_keyframe {
            self.keyframe = Some(Beginning::with(self.keyframe, now, &packet));
        }
    }

    /// A packet that is still here. The bytes may be changed while it is sealed, and must be the same after.
    pub fn get_mut(&mut self, extended_sequence: u64) -> Option<(&Packet, &mut [u8])> {
        let index = self.index(extended_sequence);
        let record = self.records.get(index)?.as_ref()?;
        if record.packet.extended_sequence != extended_sequence {
            return None;
        }
        Some((&record.packet, self.bytes.get_mut(record.place, record.len)?))
    }

    /// A packet that is still here, without its bytes, and their number.
    pub fn find(&self, extended_sequence: u64) -> Option<(&Packet, usize)> {
        let record = self.records.get(self.index(extended_sequence))?.as_ref()?;
        let here = record.packet.extended_sequence == extended_sequence && self.bytes.is_intact(record.place);
        here.then_some((&record.packet, record.len))
    }

    /// The whole of a number that was put in, of which the low bits are known.
    pub fn extended(&self, low: u32) -> u64 {
        let newest = self.newest.unwrap_or(0);
        newest.wrapping_sub(u64::from((newest as u32).wrapping_sub(low)))
    }

    /// The highest number that was put in.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Where the newest keyframe began.
    pub fn keyframe(&self) -> Option<Beginning> {
        self.keyframe
    }

    /// Forgets all packets and keeps the memory: the stream's numbers begin anew.
    pub fn clear(&mut self) {
        self.records.fill_with(|| None);
        self.newest = None;
        self.keyframe = None;
    }

    /// Bytes of memory the packets take.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    fn index(&self, extended_sequence: u64) -> usize {
        // The table's length is a power of two, or 0 before the first packet.
        extended_sequence as usize & self.records.len().wrapping_sub(1)
    }

    /// Doubles the table while it would give up a packet that is younger than [`RETENTION`].
    fn make_record(&mut self, now: Instant, extended_sequence: u64) {
        let young = |record: &Record| now.saturating_duration_since(record.arrival) < RETENTION;
        let taken = self.records.get(self.index(extended_sequence)).and_then(Option::as_ref);
        let full = self.records.is_empty() || taken.is_some_and(young);
        if !full || self.records.len() >= limits::CACHE_RECORDS {
            return;
        }
        let doubled = (2 * self.records.len()).max(FIRST_RECORDS);
        let before = std::mem::take(&mut self.records);
        self.records.resize_with(doubled, || None);
        for record in before.into_iter().flatten() {
            let index = self.index(record.packet.extended_sequence);
            if let Some(slot) = self.records.get_mut(index) {
                *slot = Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::codec::{Codec, PayloadInfo};
    use crate::wire::rtp::{Header, HeaderWriter};
    use crate::wire::{PayloadType, Ssrc};

    /// A packet whose payload tells its number.
    fn packet(sequence: u64, len: usize) -> (Packet, Vec<u8>) {
        let mut writer = HeaderWriter::new(true, PayloadType(96), sequence as u16, 0, Ssrc(1));
        let mut bytes = writer.finish().to_vec();
        bytes.resize(len, sequence as u8);
        let header = Header::parse(&bytes).unwrap();
        let (codec, info) = (Codec::Vp8, PayloadInfo::default());
        (Packet { encoding: 0, header, extended_sequence: sequence, codec, info, clock: None }, bytes)
    }

    fn insert(cache: &mut PacketCache, at: Instant, sequence: u64, len: usize) {
        let (record, bytes) = packet(sequence, len);
        cache.insert(at, record, &bytes);
    }

    fn holds(cache: &mut PacketCache, sequence: u64, len: usize) -> bool {
        let expected = packet(sequence, len).1;
        cache.get_mut(sequence).is_some_and(|(record, bytes)| {
            assert_eq!(record.extended_sequence, sequence);
            assert_eq!(bytes, expected, "{sequence}");
            true
        })
    }

    #[test]
    fn a_second_of_packets_is_found_by_number_and_older_ones_are_not() {
        let (start, mut cache) = (Instant::now(), PacketCache::default());
        let at = |n: u64| start + Duration::from_millis(2 * n);
        for n in 0..5_000 {
            insert(&mut cache, at(n), 70_000 + n, 1_100 + n as usize % 7);
            for back in (0..=n.min(400)).step_by(80) {
                assert!(holds(&mut cache, 70_000 + n - back, 1_100 + (n - back) as usize % 7), "{n} {back}");
            }
        }
        assert!(!holds(&mut cache, 70_000 + 5_000 - 2_048, 1_100));
        assert!(cache.capacity() <= 1 << 20, "500 packets a second of 1.1 kB: {}", cache.capacity());
    }

    #[test]
    fn the_bytes_stay_within_the_bound_however_much_comes() {
        let (start, mut cache) = (Instant::now(), PacketCache::default());
        for n in 0..20_000 {
            insert(&mut cache, start, 70_000 + n, 2_048);
        }
        assert_eq!(cache.capacity(), limits::CACHE_BYTES);
        assert_eq!(cache.records.len(), limits::CACHE_RECORDS);
        assert!(holds(&mut cache, 70_000 + 19_999, 2_048) && !holds(&mut cache, 70_000, 2_048));
        insert(&mut cache, start, 90_000, 2_049);
        assert!(cache.get_mut(90_000).is_none(), "too large");
    }

    #[test]
    fn reordered_packets_keep_their_own_places() {
        let (start, mut cache) = (Instant::now(), PacketCache::default());
        for n in 0..600u64 {
            let late = if n % 3 == 0 { n + 100 } else { n };
            insert(&mut cache, start + Duration::from_millis(n), 70_000 + late, 500);
            assert!(holds(&mut cache, 70_000 + late, 500));
        }
    }

    #[test]
    fn after_the_stream_began_anew_nothing_of_before_is_found() {
        let (now, mut cache) = (Instant::now(), PacketCache::default());
        (0..10).for_each(|n| insert(&mut cache, now, 70_000 + n, 500));
        cache.clear();
        assert!((0..10).all(|n| cache.get_mut(70_000 + n).is_none()));
    }

    #[test]
    fn a_steady_stream_allocates_nothing_once_the_ring_has_its_size() {
        let (start, mut cache) = (Instant::now(), PacketCache::default());
        let packets: Vec<_> = (0..4_000).map(|n| packet(70_000 + n, 1_100)).collect();
        let mut put = |from: usize, to: usize| {
            for (n, (record, bytes)) in packets.iter().enumerate().take(to).skip(from) {
                cache.insert(start + Duration::from_millis(4 * n as u64), *record, bytes);
            }
        };
        put(0, 1_000);
        assert_eq!(allocation_counter::measure(|| put(1_000, 4_000)).count_total, 0);
    }
}
