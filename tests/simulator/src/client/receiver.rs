//! What a model client makes of a video stream it receives: reports, requests for lost packets and keyframes, frames, and what
//! its viewer sees under each rule of playout.
//!
//! What always holds: every payload is compared with what publishers make; nothing is asked for before the first packet.

use std::time::{Duration, Instant};

use sfumato::wire::codec::vp8;
use sfumato::wire::rtcp::ReceptionReport;
use sfumato_load::client::format::Kind;
use sfumato_load::client::payload::{HEAD_BYTES, Head, Picture, stamp};
use sfumato_load::client::receive::ReceiveStream;
use sfumato_load::client::send::FILLER;

use super::EPOCH;
use super::frames::{Frame, FrameBuffer, Piece};
use super::nack::NackRequester;
use super::playout::{Playout, Rule, Shown};

/// Without a first frame a keyframe is asked for this often.
const FIRST_FRAME_PATIENCE: Duration = Duration::from_millis(200);
/// With none decodable for so long, one is asked for.
const PATIENCE: Duration = Duration::from_secs(3);
/// A decoder's errors lead to a request no sooner than this after the one before.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);

/// A packet as it came.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    pub repaired: bool,
}

/// What a packet leads to.
#[derive(Default, Debug)]
pub struct Wishes {
    pub nack: Vec<u16>,
    pub keyframe: bool,
}

/// A frame that was decoded, and when it is shown under each rule.
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    pub frame: Frame,
    pub at: Duration,
    pub shown: [Duration; 2],
}

pub struct VideoReceiver {
    pub ssrc: u32,
    statistics: ReceiveStream,
    pub nack: NackRequester,
    frames: FrameBuffer,
    /// Under [`Rule::Patient`] and [`Rule::Browser`].
    pub playouts: [Playout; 2],
    began: Duration,
    newest: i64,
    /// When there was progress last, or a keyframe was asked for.
    progress: Duration,
    asked_keyframe: Option<Duration>,
    asks: bool,
    picture_id: Option<u16>,
    pub first_frame: Option<Duration>,
    pub decoded: Vec<Decoded>,
    pub packets: u64,
    pub bytes: u64,
    pub repaired: u64,
    pub keyframe_requests: u64,
    /// Payloads that no publisher made, and picture ids that do not follow each other.
    pub damaged: u64,
    pub discontinuities: u64,
}

impl VideoReceiver {
    /// `asks`: whether lost packets are asked for.
    pub fn new(now: Duration, ssrc: u32, first: u16, asks: bool) -> VideoReceiver {
        VideoReceiver {
            ssrc,
            statistics: ReceiveStream::new(ssrc, Kind::Video, first),
            nack: NackRequester::default(),
            frames: FrameBuffer::default(),
            playouts: [Rule::Patient, Rule::Browser].map(Playout::new),
            began: now,
            newest: i64::from(first) - 1,
            progress: now,
            asked_keyframe: None,
            asks,
            picture_id: None,
            first_frame: None,
            decoded: Vec::new(),
            packets: 0,
            bytes: 0,
            repaired: 0,
            keyframe_requests: 0,
            damaged: 0,
            discontinuities: 0,
        }
    }

    pub fn receive(&mut self, now: Duration, packet: Packet<'_>, round_trip_time: Duration) -> Wishes {
        if !packet.repaired {
            // What it takes for a duplicate may be a packet that is very late: the frames tell.
            self.statistics.accept(packet.sequence, packet.timestamp, now);
        }
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.repaired += u64::from(packet.repaired);
        let sequence = self.newest + i64::from(packet.sequence.wrapping_sub(self.newest as u16) as i16);
        self.newest = self.newest.max(sequence);
        let Some(piece) = self.read(now, packet) else {
            self.damaged += 1;
            return Wishes::default();
        };
        let mut nack = self.nack.arrived(now, sequence, piece.keyframe, packet.repaired);
        self.frames.insert(sequence, piece);
        while let Some(frame) = self.frames.next_frame() {
            self.decode(now, frame, round_trip_time);
        }
        if !self.asks {
            nack.clear();
        }
        let keyframe = std::mem::take(&mut self.nack.overflowed) && self.may_ask(now);
        Wishes { nack: numbers(nack), keyframe }
    }

    /// `None` for what no publisher made.
    fn read(&self, received: Duration, packet: Packet<'_>) -> Option<Piece> {
        let payload = packet.payload;
        let Packet { timestamp, marker, repaired, .. } = packet;
        let descriptor = vp8::parse(payload)?;
        let stamp = stamp(Kind::Video, payload)?;
        let keyframe = vp8::starts_keyframe(&descriptor, payload);
        let first = descriptor.starts_frame;
        let picture = Picture { keyframe, first, encoding: stamp.encoding, ..Picture::default() };
        let mut head = Head::video(picture, stamp.sent);
        let behind = usize::from(descriptor.len);
        // The descriptor's counters are the server's to rewrite; all behind it is the publisher's.
        let same_head = head.bytes_mut().get(behind..) == payload.get(behind..HEAD_BYTES);
        let same_rest = payload.get(HEAD_BYTES..) == FILLER.get(HEAD_BYTES..payload.len());
        (same_head && same_rest).then_some(Piece {
            timestamp,
            marker,
            starts_frame: first,
            keyframe,
            picture_id: descriptor.picture_id,
            encoding: stamp.encoding,
            payload_bytes: payload.len(),
            sent: stamp.sent,
            received,
            repaired,
        })
    }

    fn decode(&mut self, now: Duration, frame: Frame, round_trip_time: Duration) {
        let follows = |before: u16| frame.picture_id == Some((before + 1) & 0x7fff);
        if frame.continuous && self.picture_id.is_some_and(|before| !follows(before)) {
            self.discontinuities += 1;
        }
        self.picture_id = frame.picture_id;
        self.nack.clear_before(frame.last);
        self.progress = now;
        self.first_frame.get_or_insert(now);
        let Frame { timestamp, received, repaired, .. } = frame;
        let frame_shown = Shown { timestamp, received, repaired, sent: frame.sent.saturating_sub(EPOCH) };
        let show = |playout: &mut Playout| playout.decodable(now, frame_shown, round_trip_time);
        let shown = self.playouts.each_mut().map(show);
        self.decoded.push(Decoded { frame, at: now, shown });
    }

    /// What is due to be asked for.
    pub fn on_timeout(&mut self, now: Duration, round_trip_time: Duration) -> Wishes {
        let mut nack = self.nack.poll(now, round_trip_time);
        if !self.asks {
            nack.clear();
        }
        let keyframe = self.keyframe_due() <= now && self.may_ask(now);
        if keyframe {
            self.progress = now;
        }
        Wishes { nack: numbers(nack), keyframe }
    }

    fn may_ask(&mut self, now: Duration) -> bool {
        if self.asked_keyframe.is_some_and(|asked| asked + REQUEST_INTERVAL > now) {
            return false;
        }
        self.asked_keyframe = Some(now);
        self.keyframe_requests += 1;
        true
    }

    fn keyframe_due(&self) -> Duration {
        self.progress + if self.first_frame.is_none() { FIRST_FRAME_PATIENCE } else { PATIENCE }
    }

    pub fn due(&self) -> Duration {
        self.nack.due().map_or(self.keyframe_due(), |due| due.min(self.keyframe_due()))
    }

    pub fn began(&self) -> Duration {
        self.began
    }

    pub fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.statistics.on_sender_report(now, ntp);
    }

    pub fn report(&mut self, now: Instant) -> ReceptionReport {
        self.statistics.report(now)
    }

    /// Packets of the stream that never came, and were not repaired either.
    pub fn gaps(&self) -> u64 {
        self.statistics.expected().saturating_sub(self.statistics.received + self.repaired)
    }
}

fn numbers(sequences: Vec<i64>) -> Vec<u16> {
    sequences.into_iter().map(|sequence| sequence as u16).collect()
}
