//! Beginning without a new keyframe: the newest keyframe of a stream, and everything since, while all of it is in the cache.
//! Whoever joins then begins with what is there, and the publisher is not asked (RFC 4585, section 6.3.1, asks for restraint).
//!
//! What always holds: a catch-up has no gap and stays within [`JOIN_REACH`] and `limits::CATCH_UP_BYTES`.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::cache::PacketCache;
use super::forward::Packet;
use crate::limits;

/// Age of a keyframe that one without a picture still begins with. A decoder takes the sixty frames of two seconds in some
/// 300 ms; a new keyframe takes a round trip and a part of the publisher's quality, and waits for the gate's budget.
pub const JOIN_REACH: Duration = Duration::from_secs(2);
/// The same where another encoding is shown until then: it would be seen to jump back by the keyframe's age.
pub const SWITCH_REACH: Duration = Duration::from_millis(250);

/// Where the newest keyframe of a stream begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    extended_sequence: u64,
    timestamp: u32,
    arrival: Instant,
}

impl Beginning {
    /// What is remembered once `packet`, which starts a keyframe, arrived too. One keyframe may have several such packets (H.264's
    /// parameter sets and first slice), and an older keyframe's may be late.
    pub fn with(before: Option<Beginning>, now: Instant, packet: &Packet) -> Beginning {
        let new =
            Beginning { extended_sequence: packet.extended_sequence, timestamp: packet.header.timestamp, arrival: now };
        match before {
            Some(old) if old.timestamp == new.timestamp => {
                Beginning { extended_sequence: old.extended_sequence.min(new.extended_sequence), ..old }
            }
            Some(old) if new.extended_sequence < old.extended_sequence => old,
            _ => new,
        }
    }
}

/// A keyframe and everything after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatchUp {
    /// Extended sequence numbers, all of which the cache has.
    pub numbers: RangeInclusive<u64>,
    /// Frames, by timestamp; at least one.
    pub frames: u32,
    /// RTP timestamp of the newest packet.
    pub newest: u32,
}

impl PacketCache {
    /// The newest keyframe and all that followed, if it began to arrive no longer than `reach` ago and nothing is missing.
    pub fn since_keyframe(&self, now: Instant, reach: Duration) -> Option<CatchUp> {
        let begins = self.keyframe().filter(|begins| now.saturating_duration_since(begins.arrival) <= reach)?;
        let numbers = begins.extended_sequence..=self.newest()?;
        if numbers.clone().count() > limits::CATCH_UP_BYTES / 12 {
            return None; // more than would fit if all were but headers
        }
        let (mut bytes, mut frames, mut newest) = (0, 0, None);
        for number in numbers.clone() {
            let (packet, len) = self.find(number)?;
            bytes += len;
            if bytes > limits::CATCH_UP_BYTES {
                return None;
            }
            frames += u32::from(newest.replace(packet.header.timestamp) != Some(packet.header.timestamp));
        }
        Some(CatchUp { numbers, frames, newest: newest? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{Codec, PayloadInfo};
    use crate::wire::rtp::{Header, HeaderWriter};
    use crate::wire::{PayloadType, Ssrc};

    const FIRST: u64 = 70_000;

    struct Stream {
        cache: PacketCache,
        start: Instant,
    }

    impl Stream {
        fn new() -> Stream {
            Stream { cache: PacketCache::default(), start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// A packet of the frame that is captured at a millisecond, and arrives then.
        fn packet(&mut self, number: u64, ms: u64, starts_keyframe: bool, len: usize) {
            let mut writer = HeaderWriter::new(true, PayloadType(96), number as u16, 90 * ms as u32, Ssrc(1));
            let mut bytes = writer.finish().to_vec();
            let header = Header::parse(&bytes).unwrap();
            bytes.resize(len, 0);
            let info = PayloadInfo { starts_keyframe, ..PayloadInfo::default() };
            let packet =
                Packet { encoding: 0, header, extended_sequence: number, codec: Codec::H264, info, clock: None };
            self.cache.insert(self.at(ms), packet, &bytes);
        }

        fn since(&self, ms: u64) -> Option<CatchUp> {
            self.cache.since_keyframe(self.at(ms), JOIN_REACH)
        }
    }

    #[test]
    fn everything_from_the_newest_keyframe_on_is_given() {
        let mut stream = Stream::new();
        assert_eq!(stream.since(0), None, "nothing came");
        stream.packet(FIRST, 0, false, 500);
        assert_eq!(stream.since(0), None, "no keyframe");
        stream.packet(FIRST + 1, 30, true, 500);
        let only = CatchUp { numbers: FIRST + 1..=FIRST + 1, frames: 1, newest: 2_700 };
        assert_eq!(stream.since(30), Some(only));
        stream.packet(FIRST + 2, 30, false, 500);
        stream.packet(FIRST + 3, 60, false, 500);
        let three = CatchUp { numbers: FIRST + 1..=FIRST + 3, frames: 2, newest: 5_400 };
        assert_eq!(stream.since(60), Some(three));
        stream.packet(FIRST + 4, 90, true, 500);
        assert_eq!(stream.since(90).unwrap().numbers, FIRST + 4..=FIRST + 4, "the newest");
    }

    #[test]
    fn a_gap_is_no_beginning_until_it_is_filled() {
        let mut stream = Stream::new();
        stream.packet(FIRST, 0, true, 500);
        stream.packet(FIRST + 2, 30, false, 500);
        assert_eq!(stream.since(30), None);
        stream.packet(FIRST + 1, 40, false, 500);
        assert_eq!(stream.since(40).unwrap().numbers, FIRST..=FIRST + 2);
    }

    #[test]
    fn a_keyframe_of_several_starts_begins_with_its_first_and_an_older_one_is_not_gone_back_to() {
        let mut stream = Stream::new();
        stream.packet(FIRST + 6, 30, true, 500);
        stream.packet(FIRST + 5, 30, true, 500);
        assert_eq!(stream.since(31).unwrap().numbers, FIRST + 5..=FIRST + 6);
        stream.packet(FIRST + 2, 0, true, 500);
        assert_eq!(stream.since(31).unwrap().numbers, FIRST + 5..=FIRST + 6);
    }

    #[test]
    fn the_reach_is_bounded_in_time_and_bytes_and_by_what_the_cache_holds() {
        let mut stream = Stream::new();
        stream.packet(FIRST, 0, true, 500);
        assert!(stream.since(2_000).is_some());
        assert_eq!(stream.since(2_001), None, "too old");
        let mut stream = Stream::new();
        let fit = limits::CATCH_UP_BYTES as u64 / 1_000;
        (0..fit).for_each(|n| stream.packet(FIRST + n, 1, n == 0, 1_000));
        assert!(stream.since(1).is_some());
        stream.packet(FIRST + fit, 1, false, 1_000);
        assert_eq!(stream.since(1), None, "too long");
        let mut stream = Stream::new();
        stream.packet(FIRST, 0, true, 500);
        stream.packet(FIRST + (1 << 40), 1, false, 500);
        assert_eq!(stream.since(1), None, "a jump is not walked through");
        stream.cache.clear();
        assert_eq!(stream.since(1), None, "another stream");
    }
}
