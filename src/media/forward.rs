//! The way of one source to one subscriber: which encoding is forwarded, and how its packets are rewritten into one continuous stream
//! (RFC 7667, section 3.7).
//!
//! What always holds: per subscriber an extended sequence number is given once; a gap in it is a gap in the source; a new encoding
//! begins at a keyframe, later in time than all before it; of an encoding with layers whole frames are forwarded, and with a frame
//! all it refers to; [`SendStream::forward`] allocates nothing and reads no clock.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngCore;

use super::catch_up::{CatchUp, JOIN_REACH, SWITCH_REACH};
use super::keyframe::{RECENTLY_SERVED, Wish};
use super::layers::Selection;
use super::receive::ClockReference;
use crate::wire::codec::dependency_descriptor::attached_structure;
use crate::wire::codec::{Codec, Layer, PayloadInfo};
use crate::wire::extension::{Extension, ExtensionMap};
use crate::wire::rtp::Header;
use crate::wire::{Mid, PayloadType, Ssrc};

pub mod budget;
mod catch_up;
mod cushion;
mod filter;
mod frames;
mod history;
mod picture;
mod recovery;
mod reports;
mod sequence;
mod templates;
mod timestamp;
mod write;

use catch_up::Squeeze;
use cushion::Cushion;
pub use cushion::Viewer;
use filter::LayerFilter;
pub use filter::is_needed;
pub use history::Remembered;
use picture::{Counters, PictureMap, Place};
use recovery::Recovery;
pub use recovery::{Cause, Refusal, RtxTarget, is_last_time};
use sequence::SequenceMap;
use templates::Templates;
use timestamp::TimestampMap;
use write::Stamp;
pub use write::{Hop, Scratch};

/// Sender reports remembered for the round trip time: a report may be answered after the next was sent.
const SENDER_REPORTS: usize = 4;

/// A packet of a source, opened and parsed: what every subscriber's forwarding reads. `Copy`, no borrow of the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Index of the encoding in its source: 0 is the lowest.
    pub encoding: usize,
    pub header: Header,
    /// From [`ReceiveStream::receive`](super::receive::ReceiveStream::receive), one and the same as long as the SSRC is: numbers that began anew
    /// under an SSRC that is forwarded would look like late packets.
    pub extended_sequence: u64,
    pub codec: Codec,
    pub info: PayloadInfo,
    /// The newest clock reference of this encoding.
    pub clock: Option<ClockReference>,
}

/// Where and how a subscriber gets a stream.
#[derive(Clone, Debug)]
pub struct Target {
    pub ssrc: Ssrc,
    pub clock_rate: u32,
    /// The subscriber's payload type for each codec the source may come in; a packet of another codec is not forwarded.
    pub payload_types: Vec<(Codec, PayloadType)>,
    /// The subscriber's ids. Only extensions that are end-to-end are copied; mid is added by `mid`.
    pub extensions: ExtensionMap,
    /// Written as header extension until the subscriber's first reception report shows that it knows the SSRC.
    pub mid: Mid,
}

impl Target {
    fn payload_type(&self, codec: Codec) -> Option<PayloadType> {
        self.payload_types.iter().find(|(own, _)| *own == codec).map(|(_, payload_type)| *payload_type)
    }
}

/// A rewritten packet: header and prefix lie in scratch space, the payload stays where it is.
pub struct Outgoing<'a> {
    /// Low 16 bits stand in the header. Starts below 2^15.
    pub extended_sequence: u64,
    pub header: &'a [u8],
    /// Goes in the place of the payload's first bytes, never more than it has (a rewritten VP8 descriptor); often empty.
    pub prefix: &'a mut [u8],
    /// Which bytes of the source's packet are the payload, without padding.
    pub payload: Range<usize>,
}

/// A stream of the source: its encoding, and the SSRC, which a publisher may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Origin {
    encoding: usize,
    ssrc: Ssrc,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Not of the stream that is forwarded.
    Ignored,
    /// The first of the stream that is forwarded from now on.
    Joins,
    Continues,
}

/// What a packet becomes for the subscriber, beside what is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rewritten {
    extended_sequence: u64,
    timestamp: u32,
    marker: bool,
    counters: Counters,
    /// Added to template ids of the dependency descriptor.
    template_shift: u8,
    /// The highest spatial layer that is forwarded, where the packet has to tell it.
    announced: Option<u8>,
}

/// Rewrites a source's packets for one subscriber.
pub struct SendStream {
    target: Target,
    /// Video starts at keyframes.
    video: bool,
    wanted: Option<Selection>,
    /// What is forwarded, or was before the pause.
    joined: Option<Origin>,
    paused: bool,
    /// The wanted encoding goes on under another SSRC, for which a keyframe is needed.
    interrupted: bool,
    sequence: SequenceMap,
    timestamp: TimestampMap,
    pictures: PictureMap,
    templates: Templates,
    filter: LayerFilter,
    /// What is forwarded is sent at once, from a keyframe of a while ago on.
    squeeze: Option<Squeeze>,
    last_keyframe: Option<Instant>,
    /// Where the subscriber may have packets sent again.
    recovery: Option<Box<Recovery>>,
    cushion: Cushion,
    mid_known: bool,
    packets: u64,
    bytes: u64,
    fraction_lost: u8,
    /// Of the last report, timestamp units.
    jitter: u32,
    round_trip_time: Option<Duration>,
    /// Middle bits of the NTP times of the last reports and when they were made, newest first.
    sent_reports: [Option<(u32, Instant)>; SENDER_REPORTS],
}

impl SendStream {
    pub fn new(target: Target, random: &mut dyn RngCore) -> SendStream {
        // Below 2^15, so that the subscriber's SRTP cannot mistake the rollover counter at the start (RFC 3711, section 3.3.1).
        let first_sequence = u64::from(random.next_u32() & 0x7fff);
        SendStream {
            video: target.payload_types.iter().any(|(codec, _)| codec.is_video()),
            wanted: None,
            joined: None,
            paused: true,
            interrupted: false,
            sequence: SequenceMap::new(first_sequence),
            timestamp: TimestampMap::new(target.clock_rate, random.next_u32()),
            pictures: PictureMap::default(),
            templates: Templates::new(),
            filter: LayerFilter::new(),
            squeeze: None,
            last_keyframe: None,
            recovery: None,
            cushion: Cushion::default(),
            mid_known: false,
            packets: 0,
            bytes: 0,
            fraction_lost: 0,
            jitter: 0,
            round_trip_time: None,
            sent_reports: [None; SENDER_REPORTS],
            target,
        }
    }

    /// What is sent from now on may be sent again, in a stream of its own.
    pub fn retransmit_to(&mut self, target: RtxTarget, random: &mut dyn RngCore) {
        self.recovery = Some(Box::new(Recovery::new(target, random)));
    }

    /// The SSRC of its retransmissions.
    pub fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.recovery.as_ref().map(|recovery| recovery.ssrc())
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Another source of the same kind is forwarded from now on, with these payload types: to the subscriber the stream goes on, under its SSRC,
    /// numbers and time. Nothing is forwarded until an encoding is selected.
    pub fn retarget(&mut self, clock_rate: u32, payload_types: Vec<(Codec, PayloadType)>) {
        self.target.clock_rate = clock_rate;
        self.target.payload_types = payload_types;
        self.timestamp.change_source(clock_rate);
        if let Some(recovery) = &mut self.recovery {
            recovery.forget();
        }
        // The new source may have the SSRC of the old one: nothing of it continues.
        self.joined = None;
        self.squeeze = None;
        self.select(None);
    }

    /// What should be forwarded; `None` pauses. A switch happens at a keyframe of the new encoding, the old one running until then; layers
    /// of the encoding change where the stream allows it. Audio has one encoding, 0, and needs no keyframe.
    pub fn select(&mut self, selection: Option<Selection>) {
        self.wanted = selection;
        match selection {
            None => (self.paused, self.interrupted) = (true, false),
            Some(selection) if self.current() == Some(selection.encoding) => self.filter.want(selection.layers),
            Some(_) => {}
        }
    }

    /// Until what was selected begins, what is forwarded goes on with its lowest temporal layer alone.
    pub fn ease(&mut self) {
        self.filter.want(Layer { temporal: 0, ..self.filter.layers() });
    }

    /// What was selected last.
    pub fn chosen(&self) -> Option<Selection> {
        self.wanted
    }

    /// The encoding forwarded now.
    pub fn current(&self) -> Option<usize> {
        self.origin().map(|origin| origin.encoding)
    }

    /// What is forwarded now; layers the encoding does not have may be named.
    pub fn selected(&self) -> Option<Selection> {
        self.current().map(|encoding| Selection { encoding, layers: self.filter.layers() })
    }

    /// The encoding a keyframe is waited for, if any (video at the start, after a pause, during a switch, and where spatial layers cannot change
    /// without).
    ///
    /// A request for one may get lost: ask the keyframe gate again as long as this is `Some`.
    pub fn awaits_keyframe(&self) -> Option<usize> {
        let wanted = self.wanted.filter(|_| self.video)?.encoding;
        let waits = self.interrupted || self.current() != Some(wanted) || self.filter.awaits_keyframe();
        waits.then_some(wanted)
    }

    /// How old a keyframe may be for the stream to begin with, when one is waited for; `None` while the encoding is forwarded
    /// already, and only layers of it wait.
    pub fn reach(&self) -> Option<Duration> {
        let joins = self.interrupted || self.wanted.is_some_and(|wanted| self.current() != Some(wanted.encoding));
        joins.then_some(if self.current().is_some() { SWITCH_REACH } else { JOIN_REACH })
    }

    /// What is forwarded of an encoding next is this, faster than it came.
    pub fn begin_catch_up(&mut self, encoding: usize, catch_up: &CatchUp) {
        self.squeeze = Some(Squeeze::new(encoding, catch_up));
    }

    /// Part of a catch-up of this encoding was not forwarded yet.
    pub fn is_catching_up(&self, encoding: usize) -> bool {
        self.squeeze.as_ref().is_some_and(|squeeze| squeeze.is_of(encoding))
    }

    /// Whether packets of an encoding are for this subscriber, or may be soon.
    pub fn concerns(&self, encoding: usize) -> bool {
        self.current() == Some(encoding) || self.wanted.is_some_and(|wanted| wanted.encoding == encoding)
    }

    /// Whether its packets carry transport-wide numbers.
    pub fn is_numbered(&self) -> bool {
        self.target.extensions.id(Extension::TransportCc).is_some()
    }

    /// What kind of wish for a keyframe the subscriber's would be now.
    pub fn wish(&self, now: Instant) -> Wish {
        let served = self.last_keyframe.is_some_and(|last| now.saturating_duration_since(last) < RECENTLY_SERVED);
        if served { Wish::Again } else { Wish::First }
    }

    /// When the last packet that begins a keyframe was forwarded.
    pub fn last_keyframe(&self) -> Option<Instant> {
        self.last_keyframe
    }

    /// Reads what the next packet needs, and gives a number that follows from it: reading the state of several subscribers at once takes
    /// hardly longer than that of one, where none of it is in the processor's cache.
    pub fn touch(&self) -> u64 {
        let recovery = self.recovery.as_ref().map_or(0, |recovery| recovery.touch());
        let own =
            u64::from(self.target.ssrc.0) ^ self.packets ^ u64::from(self.paused) ^ u64::from(self.templates.shift);
        recovery ^ own ^ self.sequence.touch()
    }

    /// Rewrites one packet, or `None` when it is not for this subscriber (other encoding or layer, waiting for a keyframe, older than the switch, unknown codec).
    /// `packet` is the whole plain packet, `source` its publisher's extension map.
    pub fn forward<'a>(
        &mut self,
        now: Instant,
        record: &Packet,
        source: &ExtensionMap,
        packet: &[u8],
        hop: Hop,
        scratch: &'a mut Scratch,
    ) -> Option<Outgoing<'a>> {
        let fate = self.fate(record);
        if fate == Fate::Ignored {
            return None;
        }
        let Some(content) = self.content(record, packet) else {
            if fate == Fate::Continues {
                self.sequence.skip(record.extended_sequence);
            }
            return None;
        };
        if fate == Fate::Continues && self.video && !self.filter.admits(record) {
            self.sequence.skip(record.extended_sequence);
            self.pictures.withhold(&record.info);
            return None;
        }
        let rewritten = self.rewrite(now, record, fate, source, packet)?;
        let extended_sequence = rewritten.extended_sequence;
        let stamp = Stamp {
            payload_type: content.payload_type,
            sequence_number: extended_sequence as u16,
            ssrc: self.target.ssrc,
            hop,
        };
        self.write_header(scratch, stamp, record, &rewritten, source, packet);
        let prefix_len = scratch.write_prefix(&rewritten, &content);
        if record.info.starts_keyframe {
            self.last_keyframe = Some(now);
        }
        let bytes = content.payload.len();
        self.packets += 1;
        self.bytes += bytes as u64;
        if let Some(recovery) = &mut self.recovery {
            recovery.sent(now, record, &rewritten, self.templates.structure, bytes);
        }
        let (header, prefix) = scratch.written(prefix_len)?;
        Some(Outgoing { extended_sequence, header, prefix, payload: content.end.checked_sub(bytes)?..content.end })
    }

    /// The stream forwarded now.
    fn origin(&self) -> Option<Origin> {
        self.joined.filter(|_| !self.paused)
    }

    fn fate(&mut self, record: &Packet) -> Fate {
        let origin = Origin::of(record);
        if self.origin() == Some(origin) {
            self.interrupted = false; // what seemed to replace this stream was a straggler
            return Fate::Continues;
        }
        if self.wanted.is_none_or(|wanted| wanted.encoding != record.encoding) {
            return Fate::Ignored;
        }
        if self.video && !record.info.starts_keyframe {
            self.interrupted |= self.current() == Some(record.encoding);
            return Fate::Ignored;
        }
        // After a pause, a late packet of before it does not begin anything.
        if self.joined == Some(origin) && !self.sequence.is_beyond(record.extended_sequence) {
            return Fate::Ignored;
        }
        Fate::Joins
    }

    /// What a packet becomes; `None` for a duplicate or one that is too late.
    fn rewrite(
        &mut self,
        now: Instant,
        record: &Packet,
        fate: Fate,
        source: &ExtensionMap,
        packet: &[u8],
    ) -> Option<Rewritten> {
        let (extended_sequence, timestamp, place) = self.renumber(now, record, fate)?;
        let mut rewritten = Rewritten {
            extended_sequence,
            timestamp,
            marker: record.header.marker,
            counters: Counters::default(),
            template_shift: 0,
            announced: None,
        };
        if self.video {
            if record.info.starts_keyframe && place != Place::Late {
                self.take_structure(record, place, source, packet);
            }
            rewritten.marker |= self.filter.ends_picture(record);
            rewritten.counters = self.pictures.map(place, &record.info);
            rewritten.template_shift = self.templates.shift;
            rewritten.announced = self.announced(record);
        }
        Some(rewritten)
    }

    /// Keeps of the structure that comes with a keyframe what the subscriber's descriptors need.
    fn take_structure(&mut self, record: &Packet, place: Place, source: &ExtensionMap, packet: &[u8]) {
        let value = record.header.extension(packet, source, Extension::DependencyDescriptor);
        if let Some(structure) = value.and_then(attached_structure) {
            self.templates.take(&structure, place == Place::Switch);
        }
    }

    /// A keyframe tells which spatial layers there are, and so does the first frame after a change.
    fn announced(&self, record: &Packet) -> Option<u8> {
        record.info.dependency.as_ref().filter(|dependency| dependency.starts_frame)?;
        let highest = self.filter.layers().spatial;
        if record.info.starts_keyframe {
            return Some(highest).filter(|highest| self.templates.reach_above(*highest));
        }
        self.filter.announces(record)
    }

    /// The subscriber's sequence number and timestamp for a packet; `None` for a duplicate or one that is too late.
    fn renumber(&mut self, now: Instant, record: &Packet, fate: Fate) -> Option<(u64, u32, Place)> {
        let (input, timestamp) = (record.extended_sequence, record.header.timestamp);
        if fate == Fate::Joins {
            let origin = Origin::of(record);
            let resumes = self.joined == Some(origin);
            self.joined = Some(origin);
            self.paused = false;
            self.interrupted = false;
            if let Some(wanted) = self.wanted.filter(|_| self.video) {
                self.filter.join(record, wanted.layers);
            }
            self.squeeze.take_if(|squeeze| !squeeze.holds(record.encoding, input));
            let (anchor, before) = self.squeeze.map_or((timestamp, 0), |squeeze| squeeze.anchor());
            let placed = self.timestamp.start(now, anchor, before, resumes, record.clock);
            let ticks = self.squeeze.as_mut().and_then(|squeeze| squeeze.ticks_before(timestamp));
            return Some((self.sequence.start(input), placed.wrapping_sub(ticks.unwrap_or(0)), Place::Switch));
        }
        let sequence = self.sequence.map(input)?;
        let newest = self.sequence.is_newest(sequence);
        self.squeeze.take_if(|squeeze| squeeze.ends_before(record.encoding, input));
        let squeeze = self.squeeze.as_mut().filter(|squeeze| squeeze.holds(record.encoding, input));
        let output = match squeeze.and_then(|squeeze| Some((squeeze.ticks_before(timestamp)?, squeeze))) {
            Some((ticks, squeeze)) => self.timestamp.place(squeeze.anchor().0).wrapping_sub(ticks),
            None => self.timestamp.map(now, timestamp, newest, record.clock),
        };
        Some((sequence, output, if newest { Place::Newest } else { Place::Late }))
    }
}

impl Origin {
    fn of(record: &Packet) -> Origin {
        Origin { encoding: record.encoding, ssrc: record.header.ssrc }
    }
}

#[cfg(test)]
mod tests;
