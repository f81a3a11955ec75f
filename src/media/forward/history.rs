//! What one subscriber was sent of a stream, to send it again exactly as it was: by output sequence number, the rewritten
//! header and the rewritten start of the payload, and where the rest of the payload is in the cache of the encoding.
//!
//! What always holds: at most `limits::SENT_PACKETS` packets and `limits::SENT_BYTES` bytes; both grow only while they hold less
//! than [`RETENTION`], so that in the steady state nothing is allocated; what is found is what was sent under that number.

use std::ops::Range;
use std::time::Instant;

use crate::limits;
use crate::media::ring::{ByteRing, Place, RETENTION};
use crate::wire::Ssrc;

const RETENTION_MS: u32 = RETENTION.as_millis() as u32;
/// Packets at the start; doubled from here.
const FIRST_PACKETS: usize = 64;
/// Bytes at the start: more than the longest header, payload descriptor and number together.
const FIRST_BYTES: usize = 2 * 1024;
/// The original sequence number in front of a retransmission's payload (RFC 4588, section 4).
pub const ORIGINAL_SEQUENCE_BYTES: usize = 2;

/// Where a packet that was forwarded came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    pub encoding: usize,
    /// The publisher's.
    pub ssrc: Ssrc,
    pub extended_sequence: u64,
}

/// A packet that was sent.
#[derive(Clone, Copy, Default, Debug)]
struct Sent {
    /// Extended sequence number at the publisher.
    input: u64,
    /// Low bits of the one at the subscriber.
    output: u32,
    ssrc: u32,
    place: Place,
    /// Milliseconds since the history's start.
    at: u32,
    again_at: u32,
    payload_start: u16,
    payload_end: u16,
    /// Of the header; 0 where nothing was sent.
    words: u8,
    prefix_len: u8,
    encoding: u8,
    /// How often it was sent again.
    again: u8,
}

/// A packet that may be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    pub source: Source,
    /// Which bytes of the publisher's packet are the payload.
    payload: (u16, u16),
    /// How often, and when last, in milliseconds of [`History::clock`].
    pub again: u8,
    pub again_at: u32,
    /// Bytes of header and payload.
    pub len: usize,
    index: usize,
}

impl Remembered {
    pub fn payload(&self) -> Range<usize> {
        usize::from(self.payload.0)..usize::from(self.payload.1)
    }
}

#[derive(Debug)]
pub struct History {
    start: Option<Instant>,
    /// When the clock was read last, and what it said: packets come in batches.
    read: Option<(Instant, u32)>,
    /// Highest output number.
    newest: u64,
    /// At their output number modulo the table, whose length is a power of two, or 0 before the first packet.
    sent: Vec<Sent>,
    bytes: ByteRing,
}

impl History {
    pub fn new() -> History {
        History {
            start: None,
            read: None,
            newest: 0,
            sent: Vec::new(),
            bytes: ByteRing::new(FIRST_BYTES, limits::SENT_BYTES),
        }
    }

    /// Remembers what was sent under a number: `header` and `prefix` as they were written, `payload` by its bounds in the source's
    /// packet, without what the prefix takes the place of.
    pub fn insert(
        &mut self,
        now: Instant,
        output: u64,
        source: Source,
        header: &[u8],
        prefix: &[u8],
        payload: &Range<usize>,
    ) {
        let at = self.clock(now);
        let fits = |len: usize| u8::try_from(len).ok();
        let (Some(words), Some(prefix_len), Some(encoding)) =
            (fits(header.len() / 4), fits(prefix.len()), fits(source.encoding))
        else {
            return;
        };
        let (Ok(payload_start), Ok(payload_end)) = (u16::try_from(payload.start), u16::try_from(payload.end)) else {
            return;
        };
        let len = header.len() + ORIGINAL_SEQUENCE_BYTES + prefix.len();
        self.make_record(at, output);
        let index = self.index(output);
        let (Some((place, bytes)), Some(slot)) = (self.bytes.push(now, len), self.sent.get_mut(index)) else {
            return;
        };
        write(bytes, header, prefix);
        *slot = Sent {
            input: source.extended_sequence,
            output: output as u32,
            ssrc: source.ssrc.0,
            place,
            at,
            again_at: 0,
            payload_start,
            payload_end,
            words,
            prefix_len,
            encoding,
            again: 0,
        };
        self.newest = self.newest.max(output);
    }

    /// What was sent last under a number as it stands in headers.
    pub fn find(&self, sequence_number: u16) -> Option<Remembered> {
        let behind = (self.newest as u16).wrapping_sub(sequence_number);
        let output = self.newest.checked_sub(u64::from(behind))?;
        let index = self.index(output);
        let sent = self.sent.get(index).filter(|sent| sent.words > 0 && sent.output == output as u32)?;
        let payload_len = usize::from(sent.payload_end).checked_sub(usize::from(sent.payload_start))?;
        self.bytes.is_intact(sent.place).then(|| Remembered {
            source: Source {
                encoding: usize::from(sent.encoding),
                ssrc: Ssrc(sent.ssrc),
                extended_sequence: sent.input,
            },
            payload: (sent.payload_start, sent.payload_end),
            again: sent.again,
            again_at: sent.again_at,
            len: 4 * usize::from(sent.words) + ORIGINAL_SEQUENCE_BYTES + payload_len,
            index,
        })
    }

    /// The header, and the original sequence number with the prefix behind it; both as they were written, or as they were changed
    /// since. Counts as sent again.
    pub fn take(&mut self, now: Instant, remembered: &Remembered) -> Option<(&mut [u8], &mut [u8])> {
        let at = self.clock(now);
        let sent = self.sent.get_mut(remembered.index)?;
        sent.again = sent.again.saturating_add(1);
        sent.again_at = at;
        let header_len = 4 * usize::from(sent.words);
        let len = header_len + ORIGINAL_SEQUENCE_BYTES + usize::from(sent.prefix_len);
        self.bytes.get_mut(sent.place, len)?.split_at_mut_checked(header_len)
    }

    /// Nothing of before is sent again.
    pub fn clear(&mut self) {
        self.sent.fill(Sent::default());
    }

    /// Milliseconds since the first packet, wrapping.
    pub fn clock(&mut self, now: Instant) -> u32 {
        if let Some((_, at)) = self.read.filter(|(read, _)| *read == now) {
            return at;
        }
        let passed = now.saturating_duration_since(*self.start.get_or_insert(now));
        let at = (passed.as_secs() as u32).wrapping_mul(1_000).wrapping_add(passed.subsec_millis());
        self.read = Some((now, at));
        at
    }

    /// Bytes of memory.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.bytes.capacity() + self.sent.len() * size_of::<Sent>()
    }

    fn index(&self, output: u64) -> usize {
        output as usize & self.sent.len().wrapping_sub(1)
    }

    /// Doubles the table while it would give up a packet that is younger than [`RETENTION`].
    fn make_record(&mut self, at: u32, output: u64) {
        let young = |sent: &Sent| sent.words > 0 && at.wrapping_sub(sent.at) < RETENTION_MS;
        let full = self.sent.get(self.index(output)).is_none_or(young);
        if !full || self.sent.len() >= limits::SENT_PACKETS {
            return;
        }
        let doubled = (2 * self.sent.len()).max(FIRST_PACKETS);
        let before = std::mem::replace(&mut self.sent, vec![Sent::default(); doubled]);
        for sent in before.into_iter().filter(|sent| sent.words > 0) {
            let index = self.index(sent.output.into());
            if let Some(slot) = self.sent.get_mut(index) {
                *slot = sent;
            }
        }
    }
}

/// The header, its sequence number once more, the prefix.
fn write(bytes: &mut [u8], header: &[u8], prefix: &[u8]) {
    let Some((head, rest)) = bytes.split_at_mut_checked(header.len()) else { return };
    let Some((number, tail)) = rest.split_at_mut_checked(ORIGINAL_SEQUENCE_BYTES) else { return };
    head.copy_from_slice(header);
    if let Some(sequence) = header.get(2..4) {
        number.copy_from_slice(sequence);
    }
    if tail.len() == prefix.len() {
        tail.copy_from_slice(prefix);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(input: u64) -> Source {
        Source { encoding: 1, ssrc: Ssrc(7), extended_sequence: input }
    }

    fn header(output: u64) -> [u8; 20] {
        let mut header = [output as u8; 20];
        header[2..4].copy_from_slice(&(output as u16).to_be_bytes());
        header
    }

    fn insert(history: &mut History, now: Instant, output: u64) {
        history.insert(now, output, source(2 * output), &header(output), &[1, 2, output as u8], &(24..1_100));
    }

    #[test]
    fn what_was_sent_under_a_number_is_found_with_its_header_and_prefix() {
        let (start, mut history) = (Instant::now(), History::new());
        assert!(history.find(9).is_none(), "nothing was sent");
        for n in 0..3_000u64 {
            let now = start + Duration::from_millis(4 * n);
            insert(&mut history, now, 60_000 + n);
            for back in [0, 1, 100, 250].into_iter().filter(|back| *back <= n) {
                let output = 60_000 + n - back;
                let found = history.find(output as u16).unwrap();
                assert_eq!((found.source, found.payload(), found.len), (source(2 * output), 24..1_100, 20 + 2 + 1_076));
                let (head, prefix) = history.take(now, &found).unwrap();
                assert_eq!(head, header(output));
                assert_eq!((&prefix[..2], &prefix[2..]), (&head[2..4], &[1, 2, output as u8][..]));
            }
        }
        assert!(history.find(63_000).is_none(), "not sent yet");
        assert!(history.find(60_000).is_none(), "too long ago");
        // 250 packets a second of 25 bytes.
        assert_eq!(history.capacity(), 256 * 40 + 8 * 1024);
    }

    #[test]
    fn it_counts_how_often_and_when_a_packet_was_sent_again() {
        let (start, mut history) = (Instant::now(), History::new());
        insert(&mut history, start, 5);
        for n in 0..3 {
            let found = history.find(5).unwrap();
            assert_eq!((found.again, found.again_at), (n, if n == 0 { 0 } else { 100 * u32::from(n) }));
            history.take(start + Duration::from_millis(100 * (u64::from(n) + 1)), &found);
        }
        insert(&mut history, start, 6);
        history.clear();
        assert!(history.find(5).is_none() && history.find(6).is_none());
    }

    #[test]
    fn a_late_packet_has_its_place_and_gaps_have_none() {
        let (now, mut history) = (Instant::now(), History::new());
        for output in [10, 13, 12] {
            insert(&mut history, now, output);
        }
        let found: Vec<bool> = (9..15).map(|output| history.find(output).is_some()).collect();
        assert_eq!(found, [false, true, false, true, true, false]);
    }

    #[test]
    fn it_is_bounded_however_much_is_sent_and_allocates_nothing_once_it_has_its_size() {
        let (start, mut history) = (Instant::now(), History::new());
        (0..20_000).for_each(|n| insert(&mut history, start, n));
        assert_eq!(history.capacity(), limits::SENT_PACKETS * 40 + limits::SENT_BYTES);
        assert!(history.find(20_000u64.wrapping_sub(1) as u16).is_some());
        let counts = allocation_counter::measure(|| (20_000..30_000).for_each(|n| insert(&mut history, start, n)));
        assert_eq!(counts.count_total, 0, "{counts:?}");
        let long = [0; 300];
        history.insert(start, 40_000, source(1), &long, &long, &(24..1_100));
        assert!(history.find(40_000).is_none(), "a prefix that no codec has");
        history.insert(start, 40_001, source(1), &long, &[], &(24..70_000));
        assert!(history.find(40_001).is_none(), "a payload that no datagram has");
    }
}
