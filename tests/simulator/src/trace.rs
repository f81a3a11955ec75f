//! The trace of a run, as one number: every datagram with its time, size, RTP header and fate, and every decision of a client.
//!
//! What always holds: what is encrypted or drawn by the operating system (keys, signatures) is not in it, so that one seed
//! gives one number.

use std::time::Duration;

/// FNV-1a (draft-eastlake-fnv), 64 bits, over words.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What is traced, told apart in the hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Mark {
    Uplink = 1,
    Downlink = 2,
    Frame = 3,
    Rendered = 4,
    KeyframeRequest = 5,
    Rate = 6,
}

#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    entries: u64,
    recording: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { hash: OFFSET, entries: 0, recording: false }
    }
}

impl Trace {
    /// From here on; what came before, the connecting, is no part of it.
    pub fn begin(&mut self) {
        self.recording = true;
    }

    pub fn record(&mut self, mark: Mark, at: Duration, words: &[u64]) {
        if !self.recording {
            return;
        }
        self.entries += 1;
        self.add(mark as u64);
        self.add(nanoseconds(at));
        words.iter().for_each(|word| self.add(*word));
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn add(&mut self, word: u64) {
        for byte in word.to_be_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
}

/// Fits 64 bits for 584 years.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(entries: &[(Mark, u64, &[u64])]) -> u64 {
        let mut trace = Trace::default();
        trace.begin();
        entries.iter().for_each(|(mark, at, words)| trace.record(*mark, Duration::from_nanos(*at), words));
        trace.hash()
    }

    #[test]
    fn every_word_its_place_and_its_kind_count() {
        let one = hash(&[(Mark::Uplink, 1, &[2, 3])]);
        assert_eq!(one, hash(&[(Mark::Uplink, 1, &[2, 3])]));
        for other in [
            hash(&[(Mark::Downlink, 1, &[2, 3])]),
            hash(&[(Mark::Uplink, 2, &[2, 3])]),
            hash(&[(Mark::Uplink, 1, &[3, 2])]),
            hash(&[(Mark::Uplink, 1, &[2])]),
            hash(&[]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn what_came_before_the_beginning_does_not_count() {
        let mut trace = Trace::default();
        trace.record(Mark::Uplink, Duration::ZERO, &[1]);
        assert_eq!((trace.entries(), trace.hash()), (0, Trace::default().hash()));
    }
}
