//! What arrived for a room and was not forwarded yet: audio goes at once; a video frame that is not whole waits for its rest,
//! where there are viewers enough to make a longer run worth it (RFC 3550, section 5.1: the marker ends a frame).
//!
//! What always holds: a packet waits [`PATIENCE`] at most, and a frame that is whole not at all: nobody can show it earlier.
//! Packets of one stream keep their order; nothing is allocated in the steady state.

use std::time::{Duration, Instant};

use super::inbound::SourceKey;
use super::outlet::Cached;
use crate::media::forward::Packet;
use crate::transport::srtp::MAX_PADDING_BYTES;

/// How long the first packets of a frame wait for the others: a browser sends what it may send at once within some 100 us.
const PATIENCE: Duration = Duration::from_millis(1);
/// Viewers from which on waiting is worth it: the wake-up it may cost is as dear as some ten sends.
const WORTH: usize = 4;
/// Packets of a stream that are forwarded without waiting for more: half a run.
const ENOUGH: usize = 32;

/// A media packet in the cache of its encoding.
pub struct Arrived {
    pub source: SourceKey,
    pub encoding: usize,
    pub extended_sequence: u64,
    /// Bytes it is padded by, so that it is as long as its neighbours and leaves in one run with them.
    pub padding: u8,
    pub is_video: bool,
    /// More packets of its frame are to come.
    unfinished: bool,
    arrival: Instant,
    /// Of the plain packet, bytes.
    len: usize,
    /// Its place in the order of arrival.
    order: usize,
    ripe: bool,
}

impl Arrived {
    /// `viewers`: how many receive its source.
    pub fn new(now: Instant, source: SourceKey, packet: &Packet, len: usize, viewers: usize) -> Arrived {
        let is_video = packet.codec.is_video();
        Arrived {
            source,
            encoding: packet.encoding,
            extended_sequence: packet.extended_sequence,
            padding: 0,
            is_video,
            unfinished: is_video && !packet.header.marker && viewers >= WORTH,
            arrival: now,
            len,
            order: 0,
            ripe: false,
        }
    }

    pub fn cached(&self) -> Cached {
        Cached { encoding: self.encoding, extended_sequence: self.extended_sequence, padding: self.padding }
    }

    /// Bytes of the plain packet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// It is late already: nothing is waited for.
    pub fn at_once(self) -> Arrived {
        Arrived { unfinished: false, ..self }
    }

    fn stream(&self) -> (bool, SourceKey, usize) {
        (self.is_video, self.source, self.encoding)
    }
}

/// A room's packets.
#[derive(Default)]
pub struct Gathered {
    /// The first `ripe` of them are being forwarded.
    packets: Vec<Arrived>,
    ripe: usize,
    /// The room is on the list of those to look at.
    noticed: bool,
    due: Option<Instant>,
}

impl Gathered {
    /// Takes a packet. True when the room was not to be looked at before, and is from now on.
    pub fn push(&mut self, arrived: Arrived) -> bool {
        self.packets.push(arrived);
        self.notice()
    }

    /// As [`push`](Self::push), without a packet: what waits may be due.
    pub fn notice(&mut self) -> bool {
        !std::mem::replace(&mut self.noticed, true)
    }

    /// Settles what is forwarded now, grouped by stream, audio first.
    pub fn settle(&mut self, now: Instant) {
        self.noticed = false;
        for (order, arrived) in self.packets.iter_mut().enumerate() {
            arrived.order = order;
        }
        // Unstable sorting with the order of arrival as last key allocates nothing.
        self.packets.sort_unstable_by_key(|arrived| (arrived.stream(), arrived.order));
        for stream in self.packets.chunk_by_mut(|a, b| a.stream() == b.stream()) {
            let overdue = stream.first().is_some_and(|first| first.arrival + PATIENCE <= now);
            let ripe = overdue || stream.len() >= ENOUGH || stream.iter().any(|arrived| !arrived.unfinished);
            stream.iter_mut().for_each(|arrived| arrived.ripe = ripe);
        }
        self.packets.sort_unstable_by_key(|arrived| (!arrived.ripe, arrived.stream(), arrived.order));
        self.ripe = self.packets.iter().take_while(|arrived| arrived.ripe).count();
        equalise(self.packets.get_mut(..self.ripe).unwrap_or_default());
    }

    /// What is forwarded now.
    pub fn ripe(&self) -> &[Arrived] {
        self.packets.get(..self.ripe).unwrap_or_default()
    }

    /// When the oldest of what is forwarded now arrived.
    pub fn oldest_ripe(&self) -> Option<Instant> {
        self.ripe().iter().map(|arrived| arrived.arrival).min()
    }

    /// What was ripe is forwarded.
    pub fn done(&mut self) {
        self.packets.drain(..self.ripe);
        self.ripe = 0;
        self.due = self.packets.iter().map(|arrived| arrived.arrival + PATIENCE).min();
    }

    /// When what waits is to be forwarded at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A source is gone.
    pub fn forget(&mut self, source: SourceKey) {
        self.packets.retain(|arrived| arrived.source != source);
        self.ripe = 0;
    }
}

/// Pads neighbouring video packets of one stream to one size where they differ by no more than padding can fill.
fn equalise(arrivals: &mut [Arrived]) {
    for stream in arrivals.chunk_by_mut(|a, b| a.is_video && a.stream() == b.stream()) {
        let mut rest = stream;
        while !rest.is_empty() {
            let (stretch, longest) = stretch(rest);
            let (head, tail) = rest.split_at_mut(stretch);
            for arrived in head {
                // No more than MAX_PADDING_BYTES apart.
                arrived.padding = u8::try_from(longest - arrived.len).unwrap_or(0);
            }
            rest = tail;
        }
    }
}

/// How many packets from the first on can be made equal, and how long they become.
fn stretch(arrivals: &[Arrived]) -> (usize, usize) {
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for (count, arrived) in arrivals.iter().enumerate() {
        let (low, high) = (shortest.min(arrived.len), longest.max(arrived.len));
        if high - low > MAX_PADDING_BYTES {
            return (count, longest);
        }
        (shortest, longest) = (low, high);
    }
    (arrivals.len(), longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{Codec, PayloadInfo};
    use crate::wire::rtp::{Header, HeaderWriter};
    use crate::wire::{PayloadType, Ssrc};

    fn arrived(now: Instant, codec: Codec, source: SourceKey, sequence: u64, marker: bool, viewers: usize) -> Arrived {
        let mut writer = HeaderWriter::new(marker, PayloadType(96), sequence as u16, 0, Ssrc(1));
        let header = Header::parse(writer.finish()).unwrap();
        let info = PayloadInfo::default();
        let packet = Packet { encoding: 0, header, extended_sequence: sequence, codec, info, clock: None };
        Arrived::new(now, source, &packet, 1_000, viewers)
    }

    fn video(now: Instant, sequence: u64, marker: bool) -> Arrived {
        arrived(now, Codec::Vp8, 1, sequence, marker, WORTH)
    }

    /// What is forwarded at a moment: source and number.
    fn forwarded(gathered: &mut Gathered, now: Instant) -> Vec<(SourceKey, u64)> {
        gathered.settle(now);
        let ripe = gathered.ripe().iter().map(|arrived| (arrived.source, arrived.extended_sequence)).collect();
        gathered.done();
        ripe
    }

    #[test]
    fn an_unfinished_frame_waits_for_its_marker_and_goes_whole() {
        let (now, mut gathered) = (Instant::now(), Gathered::default());
        gathered.push(video(now, 1, false));
        assert_eq!(forwarded(&mut gathered, now), []);
        assert_eq!(gathered.due(), Some(now + PATIENCE));
        gathered.push(video(now, 2, false));
        gathered.push(video(now, 3, true));
        assert_eq!(forwarded(&mut gathered, now), [(1, 1), (1, 2), (1, 3)]);
        assert_eq!(gathered.due(), None);
    }

    #[test]
    fn a_frame_whose_end_does_not_come_waits_no_longer_than_promised() {
        let (now, mut gathered) = (Instant::now(), Gathered::default());
        gathered.push(video(now, 1, false));
        gathered.push(video(now + PATIENCE / 2, 2, false));
        assert_eq!(forwarded(&mut gathered, now + PATIENCE - Duration::from_nanos(1)), []);
        assert_eq!(forwarded(&mut gathered, now + PATIENCE), [(1, 1), (1, 2)]);
    }

    #[test]
    fn audio_and_whole_frames_of_others_do_not_wait_and_audio_goes_first() {
        let (now, mut gathered) = (Instant::now(), Gathered::default());
        gathered.push(video(now, 1, false));
        gathered.push(arrived(now, Codec::Vp8, 2, 7, true, WORTH));
        gathered.push(arrived(now, Codec::Opus, 3, 9, false, WORTH));
        assert_eq!(forwarded(&mut gathered, now), [(3, 9), (2, 7)]);
        assert_eq!(gathered.due(), Some(now + PATIENCE));
    }

    #[test]
    fn few_viewers_or_a_long_frame_are_no_reason_to_wait() {
        let (now, mut gathered) = (Instant::now(), Gathered::default());
        gathered.push(arrived(now, Codec::Vp8, 1, 1, false, WORTH - 1));
        assert_eq!(forwarded(&mut gathered, now), [(1, 1)]);
        for n in 0..ENOUGH as u64 {
            gathered.push(video(now, n, false));
        }
        assert_eq!(forwarded(&mut gathered, now).len(), ENOUGH);
    }

    #[test]
    fn a_room_is_noticed_once_until_it_is_looked_at() {
        let (now, mut gathered) = (Instant::now(), Gathered::default());
        assert!(gathered.push(video(now, 1, false)));
        assert!(!gathered.push(video(now, 2, false)) && !gathered.notice());
        gathered.settle(now);
        gathered.done();
        assert!(gathered.notice(), "its patience may end");
    }
}
