//! What one subscriber was sent of a stream, to send it again as it was: by output sequence number, which packet of the source it
//! was and what was rewritten in it. From these and the cache of the encoding it is written anew.
//!
//! What always holds: at most `limits::SENT_PACKETS` packets of 12 bytes and their frames; the table grows only while it holds less than [`SHORTEST`], and
//! gives back what it does not need for [`KEPT`] ever more rarely, so that in the steady state nothing is allocated; what is found is what
//! was sent under that number.

use std::time::{Duration, Instant};

use super::frames::{Common, Frames};
use super::picture::Counters;
use super::{Origin, Packet, Rewritten};
use crate::limits;
use crate::media::ring::KEPT;

/// The table grows before it gives up a packet that is younger: some less than [`KEPT`], so that what it was cut to is enough for a rate
/// that varies.
const SHORTEST: Duration = KEPT.saturating_sub(Duration::from_millis(125));
/// Of a clock of 16 bits, which goes round in a minute: no record is as old while packets are sent.
const SHORTEST_MS: u16 = SHORTEST.as_millis() as u16;
const RETENTION_MS: u16 = KEPT.as_millis() as u16;
/// Times round the table, a part of which would have done, before it gives memory back for the last time; the first time takes one, each
/// further time twice as many.
const MOST_PATIENCE: u16 = 1 << 12;
/// Packets at the start; doubled from here.
const FIRST_PACKETS: usize = 64;
/// Streams of the source that records may belong to. With one more all is forgotten: nobody asks for what was sent so many switches ago.
const ORIGINS: usize = 16;
/// In place of an announced layer: none.
const NONE: u8 = u8::MAX;
/// In the state of a packet: there is one; it has the marker bit; when it was sent again last, in milliseconds since it was sent first,
/// where the longest means more; how often that was.
const PRESENT: u16 = 0x8000;
const MARKER: u16 = 0x4000;
const AGAIN_AFTER: u16 = 0x03ff;
const AGAIN_SHIFT: u32 = 10;
const MOST_AGAIN: u16 = 0x0f;

/// A packet that was sent; small, since there are as many for each subscriber as a second has packets.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Low bits of the extended sequence number at the publisher.
    input: u32,
    /// Milliseconds since the history's start, wrapping.
    at: u16,
    output: u16,
    /// What it has in common with others, in [`History::frames`].
    frame: u16,
    state: u16,
}

const _: () = assert!(size_of::<Sent>() == 12);

impl Sent {
    const NOTHING: Sent = Sent { input: 0, at: 0, output: 0, frame: 0, state: 0 };

    fn is_nothing(&self) -> bool {
        self.state & PRESENT == 0
    }

    /// How often it was sent again.
    fn again(&self) -> u16 {
        (self.state >> AGAIN_SHIFT) & MOST_AGAIN
    }

    /// It is sent again now.
    fn count(&mut self, at: u16) {
        let again = (self.again() + 1).min(MOST_AGAIN);
        let after = at.wrapping_sub(self.at).min(AGAIN_AFTER);
        self.state = (self.state & (PRESENT | MARKER)) | (again << AGAIN_SHIFT) | after;
    }

    /// What was rewritten, under its whole output number.
    fn rewritten(&self, extended_sequence: u64, common: &Common) -> Rewritten {
        Rewritten {
            extended_sequence,
            timestamp: common.timestamp,
            marker: self.state & MARKER != 0,
            counters: Counters {
                picture_id: common.picture_id,
                tl0_pic_idx: common.tl0_pic_idx,
                frame_offset: common.frame_offset,
            },
            template_shift: common.template_shift,
            announced: Some(common.announced).filter(|layer| *layer != NONE),
        }
    }
}

/// A packet that may be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    pub(super) origin: Origin,
    /// Low bits of its extended sequence number at the publisher.
    pub input: u32,
    pub(super) rewritten: Rewritten,
    pub(super) structure: u8,
    /// How often, and when last, in milliseconds of [`History::clock`], but no more than a second after it was sent first.
    pub(super) again: u8,
    pub(super) again_at: u16,
    index: usize,
}

impl Remembered {
    /// The sequence number it was sent under.
    #[cfg(test)]
    pub fn output(&self) -> u16 {
        self.rewritten.extended_sequence as u16
    }

    /// Index of the encoding it belongs to.
    pub fn encoding(&self) -> usize {
        self.origin.encoding
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
    frames: Frames,
    origins: Vec<Origin>,
    /// Times round the table in a row for which a part of it would have done, and after how many it gives the rest back.
    roomy: u16,
    patience: u16,
}

impl History {
    pub fn new() -> History {
        let (sent, frames, origins) = (Vec::new(), Frames::new(), Vec::new());
        History { start: None, read: None, newest: 0, sent, frames, origins, roomy: 0, patience: 1 }
    }

    /// Remembers what was made of a packet. `structure`: which of the dependency descriptor was in force.
    pub fn insert(&mut self, now: Instant, record: &Packet, rewritten: &Rewritten, structure: u8) {
        let at = self.clock(now) as u16;
        let origin = self.origin(Origin::of(record));
        let output = rewritten.extended_sequence;
        self.give_back(at, output);
        self.make_record(at, output);
        let index = self.index(output);
        let common = Common {
            timestamp: rewritten.timestamp,
            picture_id: rewritten.counters.picture_id,
            frame_offset: rewritten.counters.frame_offset,
            tl0_pic_idx: rewritten.counters.tl0_pic_idx,
            template_shift: rewritten.template_shift,
            announced: rewritten.announced.unwrap_or(NONE),
            structure,
            origin,
        };
        let frame = self.frames.insert(at, common, SHORTEST_MS);
        let (input, output16) = (record.extended_sequence as u32, output as u16);
        let state = PRESENT | if rewritten.marker { MARKER } else { 0 };
        let Some(slot) = self.sent.get_mut(index) else { return };
        *slot = Sent { input, at, output: output16, frame, state };
        self.newest = self.newest.max(output);
    }

    /// What was sent last under a number as it stands in headers.
    pub fn find(&self, sequence_number: u16) -> Option<Remembered> {
        let behind = (self.newest as u16).wrapping_sub(sequence_number);
        let output = self.newest.checked_sub(u64::from(behind))?;
        let index = self.index(output);
        let sent = self.sent.get(index).filter(|sent| !sent.is_nothing() && sent.output == sequence_number)?;
        let common = self.frames.get(sent.frame)?;
        Some(Remembered {
            origin: *self.origins.get(usize::from(common.origin))?,
            input: sent.input,
            rewritten: sent.rewritten(output, common),
            structure: common.structure,
            again: sent.again() as u8,
            again_at: sent.at.wrapping_add(sent.state & AGAIN_AFTER),
            index,
        })
    }

    /// What was sent so many packets before the newest.
    pub fn recent(&self, back: u16) -> Option<Remembered> {
        self.find((self.newest as u16).wrapping_sub(back))
    }

    /// It is sent again now.
    pub fn count(&mut self, now: Instant, remembered: &Remembered) {
        let at = self.clock(now) as u16;
        if let Some(sent) = self.sent.get_mut(remembered.index) {
            sent.count(at);
        }
    }

    /// Nothing of before is sent again.
    pub fn clear(&mut self) {
        self.sent.fill(Sent::NOTHING);
        self.frames.clear();
        self.origins.clear();
    }

    /// Reads the place of the next record.
    pub fn touch(&self) -> u64 {
        self.sent.get(self.index(self.newest.wrapping_add(1))).map_or(0, |sent| u64::from(sent.at))
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

    /// How many packets fit.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.sent.len()
    }

    /// The index of a stream of the source.
    fn origin(&mut self, origin: Origin) -> u8 {
        if let Some(known) = self.origins.iter().position(|known| *known == origin) {
            return known as u8;
        }
        if self.origins.len() >= ORIGINS {
            self.clear();
        }
        self.origins.push(origin);
        (self.origins.len() - 1) as u8
    }

    fn index(&self, output: u64) -> usize {
        output as usize & self.sent.len().wrapping_sub(1)
    }

    /// Doubles the table while it would give up a packet that is younger than [`SHORTEST`].
    fn make_record(&mut self, at: u16, output: u64) {
        let young = |sent: &Sent| !sent.is_nothing() && at.wrapping_sub(sent.at) < SHORTEST_MS;
        let full = self.sent.get(self.index(output)).is_none_or(young);
        if full && self.sent.len() < limits::SENT_PACKETS {
            self.resize((2 * self.sent.len()).max(FIRST_PACKETS));
        }
    }

    /// Makes the table smaller where a part of it is enough: a joiner is sent the packets of up to two seconds at once, and no such many
    /// again. Looked at once each time round. A rate that goes up and down makes it more patient each time, so that what it costs ends.
    fn give_back(&mut self, at: u16, output: u64) {
        let len = self.sent.len();
        let is_round = output > self.newest && (output ^ self.newest) >= len as u64;
        if !is_round || self.patience > MOST_PATIENCE {
            return;
        }
        let enough = self.enough(at);
        self.roomy = if enough < len { self.roomy + 1 } else { 0 };
        if self.roomy >= self.patience {
            self.roomy = 0;
            self.patience *= 2;
            self.resize(enough);
        }
    }

    /// The least length that holds [`KEPT`], or the present one.
    fn enough(&self, at: u16) -> usize {
        let is_old = |sent: &Sent| !sent.is_nothing() && at.wrapping_sub(sent.at) >= RETENTION_MS;
        let is_enough = |len: &usize| {
            let oldest = self.newest.checked_sub(*len as u64).and_then(|output| self.sent.get(self.index(output)));
            oldest.is_some_and(is_old)
        };
        let lengths = std::iter::successors(Some(FIRST_PACKETS), |len| Some(2 * len));
        lengths.take_while(|len| *len < self.sent.len()).find(is_enough).unwrap_or(self.sent.len())
    }

    /// Gives the table another length, a power of two, and keeps of the records the newest that fit.
    fn resize(&mut self, len: usize) {
        let newest = self.newest as u16;
        let before = std::mem::replace(&mut self.sent, vec![Sent::NOTHING; len]);
        let stays = |sent: &Sent| !sent.is_nothing() && usize::from(newest.wrapping_sub(sent.output)) < len;
        for sent in before.into_iter().filter(stays) {
            let index = self.index(sent.output.into());
            if let Some(slot) = self.sent.get_mut(index) {
                *slot = sent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::forward::tests::delta;
    use crate::wire::Ssrc;

    fn rewritten(output: u64) -> Rewritten {
        Rewritten {
            extended_sequence: output,
            timestamp: (3_000 * output) as u32,
            marker: output.is_multiple_of(3),
            counters: Counters { picture_id: (7 * output) as u16, tl0_pic_idx: output as u8, frame_offset: 9 },
            template_shift: (output % 64) as u8,
            announced: output.is_multiple_of(5).then_some(2),
        }
    }

    fn record(ssrc: Ssrc, input: u64) -> Packet {
        let mut sent = delta(1, input);
        sent.ssrc = ssrc;
        sent.record(&sent.bytes())
    }

    fn insert(history: &mut History, now: Instant, output: u64) {
        history.insert(now, &record(Ssrc(7), 2 * output), &rewritten(output), 4);
    }

    #[test]
    fn what_was_sent_under_a_number_is_found_as_it_was_rewritten() {
        let (start, mut history) = (Instant::now(), History::new());
        assert!(history.find(9).is_none(), "nothing was sent");
        for n in 0..3_000u64 {
            let now = start + Duration::from_millis(4 * n);
            insert(&mut history, now, 60_000 + n);
            for back in [0, 1, 100, 250].into_iter().filter(|back| *back <= n) {
                let output = 60_000 + n - back;
                let found = history.find(output as u16).unwrap();
                assert_eq!((found.origin, found.input), (Origin { encoding: 1, ssrc: Ssrc(7) }, 2 * output as u32));
                assert_eq!((found.rewritten, found.structure), (rewritten(output), 4));
            }
        }
        assert!(history.find(63_000).is_none(), "not sent yet");
        assert!(history.find(60_000).is_none(), "too long ago");
        assert_eq!(history.capacity(), 512, "250 packets a second");
    }

    #[test]
    fn it_counts_how_often_and_when_a_packet_was_sent_again() {
        let (start, mut history) = (Instant::now(), History::new());
        insert(&mut history, start, 5);
        for n in 0..3 {
            let found = history.find(5).unwrap();
            assert_eq!((found.again, found.again_at), (n, 100 * u16::from(n)));
            history.count(start + Duration::from_millis(100 * (u64::from(n) + 1)), &found);
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
    fn each_packet_belongs_to_its_stream_of_the_source_and_very_many_streams_are_forgotten() {
        let (now, mut history) = (Instant::now(), History::new());
        for n in 0..ORIGINS as u64 {
            history.insert(now, &record(Ssrc(n as u32), n), &rewritten(n), 0);
        }
        let ssrc = |history: &History, n: u64| history.find(n as u16).map(|found| found.origin.ssrc);
        assert!((0..ORIGINS as u64).all(|n| ssrc(&history, n) == Some(Ssrc(n as u32))));
        let more = ORIGINS as u64;
        history.insert(now, &record(Ssrc(77), more), &rewritten(more), 0);
        assert_eq!((ssrc(&history, more - 1), ssrc(&history, more)), (None, Some(Ssrc(77))));
    }

    /// Frames of ten packets, `rate` packets a second, from `output` on; gives the number after the last.
    fn frames(history: &mut History, record: &Packet, start: Instant, rate: u64, output: u64, time: Duration) -> u64 {
        let frame = Duration::from_millis(10_000 / rate);
        let frames = (time.as_millis() / frame.as_millis()) as u64;
        for n in 0..frames {
            let at = start + n as u32 * frame;
            (0..10).for_each(|packet| history.insert(at, record, &rewritten(output + 10 * n + packet), 4));
        }
        output + 10 * frames
    }

    #[test]
    fn what_a_catch_up_took_is_given_back_and_no_packet_of_the_last_second_with_it() {
        let (start, mut history) = (Instant::now(), History::new());
        (0..500).for_each(|output| insert(&mut history, start, output));
        assert_eq!(history.capacity(), 512);
        for n in 0..150u64 {
            let first = 500 + 10 * n;
            let now = start + Duration::from_millis(40 * (n + 1));
            (first..first + 10).for_each(|output| insert(&mut history, now, output));
            let held = (first + 10).saturating_sub(if n < 25 { 500 } else { 220 })..first + 10;
            let lost: Vec<u64> = held.filter(|output| history.find(*output as u16).is_none()).collect();
            assert!(lost.is_empty(), "{lost:?} lost after {n} frames");
        }
        assert_eq!(history.capacity(), 512, "250 packets a second");
        let (record, later) = (record(Ssrc(7), 1), start + Duration::from_secs(7));
        let counts = allocation_counter::measure(|| {
            frames(&mut history, &record, later, 250, 2_000, Duration::from_secs(60));
        });
        assert_eq!((history.capacity(), counts.count_total), (512, 0));
    }

    #[test]
    fn a_rate_that_goes_up_and_down_comes_to_rest_at_what_its_busy_times_need() {
        let (start, mut history) = (Instant::now(), History::new());
        let (mut output, record) = (0, record(Ssrc(7), 1));
        let mut minutes = |history: &mut History, minutes: std::ops::Range<u32>| {
            for minute in minutes {
                let start = start + minute * Duration::from_secs(60);
                output = frames(history, &record, start, 500, output, Duration::from_secs(5));
                output = frames(history, &record, start + Duration::from_secs(5), 100, output, Duration::from_secs(55));
            }
        };
        minutes(&mut history, 0..60);
        let counts = allocation_counter::measure(|| minutes(&mut history, 60..90));
        assert_eq!((history.capacity(), counts.count_total), (1024, 0));
    }

    #[test]
    fn it_is_bounded_however_much_is_sent_and_allocates_nothing_once_it_has_its_size() {
        let (start, mut history) = (Instant::now(), History::new());
        let record = record(Ssrc(7), 1);
        let mut send = |outputs: std::ops::Range<u64>| {
            outputs.for_each(|n| history.insert(start, &record, &rewritten(n), 0));
        };
        send(0..20_000);
        let counts = allocation_counter::measure(|| send(20_000..30_000));
        assert_eq!(history.capacity(), limits::SENT_PACKETS);
        assert_eq!(counts.count_total, 0, "{counts:?}");
        assert!(history.find(29_999).is_some());
    }
}
