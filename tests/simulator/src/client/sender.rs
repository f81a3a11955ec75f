//! What a model client sends: Opus every 20 ms, and VP8 by the model of an encoder, paced as libwebrtc paces, repaired by
//! retransmissions (RFC 4588) from a history of its own.
//!
//! What always holds: a number is sealed once under an SSRC; a retransmission carries what the original carried.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfumato::transport::srtp::{MAX_OVERHEAD_BYTES, Outbound, Plain};
use sfumato::wire::rtcp::{SenderInfo, Writer};
use sfumato::wire::rtp::HeaderWriter;
use sfumato::wire::{PayloadType, Ssrc};
use sfumato_load::client::format::{self, Kind};
use sfumato_load::client::payload::{HEAD_BYTES, Head, Picture};
use sfumato_load::client::send::{FILLER, Names, write_extensions};
use sfumato_load::time::Now;

use super::encoder::Encoder;

/// Largest payload of a packet, bytes.
const PAYLOAD_BYTES: usize = 1_100;
/// The pacer sends at so many times the rate: a keyframe is spread, a delta frame hardly.
const PACING: f64 = 2.5;
/// Keyframes are at least so far apart, whatever is asked: libwebrtc's encoder does no more.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// How long what was sent can be sent again.
const HISTORY: Duration = Duration::from_secs(2);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_BYTES: usize = 80;

/// Where packets go: the transport, and what the connection numbers.
pub struct Out<'a> {
    pub outbound: &'a mut Outbound,
    pub transport_sequence: &'a mut u16,
    pub datagrams: &'a mut Vec<Vec<u8>>,
}

/// A stream as negotiated.
#[derive(Clone, Debug)]
pub struct Lane {
    pub kind: Kind,
    pub mid: String,
    pub rid: Option<String>,
    pub ssrc: u32,
    /// Where retransmissions are agreed on.
    pub repair: Option<u32>,
    pub extensions: Vec<u8>,
    /// Its place among simulcast encodings.
    pub encoding: u8,
}

/// What is common to all streams: numbers, and the header.
struct Stream {
    lane: Lane,
    header: HeaderWriter,
    sequence: u64,
    repair_sequence: u64,
    timestamp: u32,
    packets: u32,
    octets: u32,
}

impl Stream {
    fn new(lane: Lane, random: &mut StdRng) -> Stream {
        Stream {
            header: HeaderWriter::new(false, PayloadType(0), 0, 0, Ssrc(lane.ssrc)),
            // Below the half, so that the first rollover is unambiguous (RFC 3711, section 3.3.1).
            sequence: random.random_range(1..1 << 15),
            repair_sequence: random.random_range(1..1 << 15),
            timestamp: random.random(),
            packets: 0,
            octets: 0,
            lane,
        }
    }

    fn send(&mut self, now: Now, marker: bool, timestamp: u32, payload: &mut [u8], out: &mut Out<'_>) {
        let payload_type = match self.lane.kind {
            Kind::Audio => format::OPUS,
            Kind::Video => format::VP8,
        };
        self.header.restart(marker, payload_type, self.sequence as u16, timestamp, Ssrc(self.lane.ssrc));
        self.seal(now, self.sequence, false, payload, out);
        self.sequence += 1;
        self.packets += 1;
        self.octets += payload.len() as u32;
    }

    fn send_again(&mut self, now: Now, sent: &Sent, out: &mut Out<'_>) {
        let Some(ssrc) = self.lane.repair else { return };
        let mut payload = sent.sequence.to_be_bytes().to_vec();
        payload.extend(&sent.payload);
        let sequence = self.repair_sequence;
        self.header.restart(sent.marker, format::RTX, sequence as u16, sent.timestamp, Ssrc(ssrc));
        self.seal(now, sequence, true, &mut payload, out);
        self.repair_sequence += 1;
    }

    fn seal(&mut self, now: Now, sequence: u64, repaired: bool, payload: &mut [u8], out: &mut Out<'_>) {
        let Lane { extensions, mid, rid, .. } = &self.lane;
        let names = Names { mid, rid: rid.as_deref(), repaired };
        write_extensions(&mut self.header, extensions, names, now, out.transport_sequence);
        let header = self.header.finish();
        let mut datagram = vec![0; header.len() + payload.len() + MAX_OVERHEAD_BYTES];
        if let Ok(len) = out.outbound.seal_rtp(Plain::new(sequence, header, payload), &mut datagram) {
            datagram.truncate(len);
            out.datagrams.push(datagram);
        }
    }

    fn info(&self, now: Now, rtp_timestamp: u32) -> SenderInfo {
        SenderInfo {
            ssrc: Ssrc(self.lane.ssrc),
            ntp: now.ntp(),
            rtp_timestamp,
            packets: self.packets,
            octets: self.octets,
        }
    }
}

pub struct AudioSender {
    stream: Stream,
    due: Instant,
}

impl AudioSender {
    pub fn new(start: Instant, lane: Lane, random: &mut StdRng) -> AudioSender {
        let phase = AUDIO_INTERVAL.mul_f64(random.random());
        AudioSender { stream: Stream::new(lane, random), due: start + phase }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    pub fn on_timeout(&mut self, now: Now, out: &mut Out<'_>) {
        while self.due <= now.instant {
            let mut head = Head::audio(now.unix);
            let mut payload = FILLER.get(..AUDIO_BYTES).unwrap_or_default().to_vec();
            overwrite(&mut payload, head.bytes_mut());
            let timestamp = self.stream.timestamp;
            self.stream.send(now, false, timestamp, &mut payload, out);
            self.stream.timestamp = timestamp.wrapping_add(format::OPUS_CLOCK / 50);
            self.due += AUDIO_INTERVAL;
        }
    }

    pub fn report(&self, now: Now, writer: &mut Writer<'_>) {
        if self.stream.packets > 0 {
            writer.sender_report(&self.stream.info(now, self.stream.timestamp), &[]);
        }
    }

    pub fn ssrc(&self) -> u32 {
        self.stream.lane.ssrc
    }
}

/// A packet that waits for the pacer.
struct Queued {
    due: Instant,
    marker: bool,
    timestamp: u32,
    payload: Vec<u8>,
}

struct Sent {
    at: Instant,
    again: Option<Instant>,
    sequence: u16,
    marker: bool,
    timestamp: u32,
    payload: Vec<u8>,
}

/// A frame as it was encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded {
    /// Unix time, unique among all frames of a world.
    pub sent: Duration,
    pub bytes: usize,
    pub keyframe: bool,
}

pub struct VideoSender {
    stream: Stream,
    encoder: Encoder,
    picture: Picture,
    frame_interval: Duration,
    frame_due: Instant,
    /// Added to capture times below the microsecond, so that no two publishers' are the same.
    tag: Duration,
    pacer_free: Instant,
    queue: VecDeque<Queued>,
    history: VecDeque<Sent>,
    keyframe_wanted: bool,
    last_keyframe: Option<Instant>,
    /// Whether requests are answered.
    repairs: bool,
    paused: bool,
    pub keyframe_requests: Vec<Instant>,
    pub keyframes: u64,
    pub repaired: u64,
    /// Frames encoded since they were last taken.
    pub encoded: Vec<Encoded>,
}

/// What a publisher's encoding is to be.
#[derive(Clone, Copy, Debug)]
pub struct VideoShape {
    /// Bits a second.
    pub rate: u64,
    pub fps: u32,
}

impl VideoShape {
    /// One of three encodings of which this is the highest: each has about a third of the next one's rate.
    pub fn layer(self, encoding: u8) -> VideoShape {
        let share = [8, 3, 1].get(usize::from(encoding)).copied().unwrap_or(1);
        VideoShape { rate: self.rate / share, ..self }
    }
}

impl VideoSender {
    /// `tag` tells publishers of one world apart, below 1,000.
    pub fn new(
        start: Instant,
        lane: Lane,
        shape: VideoShape,
        repairs: bool,
        tag: u16,
        random: &mut StdRng,
    ) -> VideoSender {
        let frame_interval = Duration::from_secs(1) / shape.fps.max(1);
        let encoding = lane.encoding;
        VideoSender {
            stream: Stream::new(lane, random),
            encoder: Encoder::new(shape.rate, shape.fps, StdRng::seed_from_u64(random.random())),
            picture: Picture {
                id: random.random::<u16>() & 0x7fff,
                tl0_index: random.random(),
                encoding,
                ..Picture::default()
            },
            frame_interval,
            frame_due: start + frame_interval.mul_f64(random.random()),
            tag: Duration::from_nanos(u64::from(tag % 1_000)),
            pacer_free: start,
            queue: VecDeque::new(),
            history: VecDeque::new(),
            keyframe_wanted: true,
            last_keyframe: None,
            repairs,
            paused: false,
            keyframe_requests: Vec::new(),
            keyframes: 0,
            repaired: 0,
            encoded: Vec::new(),
        }
    }

    pub fn ssrc(&self) -> u32 {
        self.stream.lane.ssrc
    }

    pub fn encoding(&self) -> u8 {
        self.stream.lane.encoding
    }

    /// Nothing is encoded until it resumes, and then a keyframe first.
    pub fn pause(&mut self, paused: bool) {
        self.keyframe_wanted |= self.paused && !paused;
        self.paused = paused;
    }

    pub fn rate(&self) -> u64 {
        self.encoder.rate()
    }

    pub fn set_rate(&mut self, rate: u64) {
        self.encoder.set_rate(rate);
    }

    pub fn due(&self) -> Instant {
        self.queue.front().map_or(self.frame_due, |queued| queued.due.min(self.frame_due))
    }

    /// Keyframe requests that came from some moment on.
    pub fn requested_after(&self, moment: Instant) -> usize {
        self.keyframe_requests.iter().filter(|at| **at >= moment).count()
    }

    pub fn request_keyframe(&mut self, now: Instant) {
        self.keyframe_requests.push(now);
        if self.last_keyframe.is_none_or(|last| last + KEYFRAME_INTERVAL <= now) {
            self.keyframe_wanted = true;
        }
    }

    pub fn on_timeout(&mut self, now: Now, out: &mut Out<'_>) {
        while self.frame_due <= now.instant {
            if self.paused {
                self.pass_time();
            } else {
                self.encode(now);
            }
            self.frame_due += self.frame_interval;
        }
        while self.queue.front().is_some_and(|queued| queued.due <= now.instant) {
            let Some(mut queued) = self.queue.pop_front() else { break };
            let sequence = self.stream.sequence as u16;
            self.stream.send(now, queued.marker, queued.timestamp, &mut queued.payload, out);
            let Queued { marker, timestamp, payload, .. } = queued;
            self.history.push_back(Sent { at: now.instant, again: None, sequence, marker, timestamp, payload });
        }
        let kept = self.history.partition_point(|sent| sent.at + HISTORY < now.instant);
        self.history.drain(..kept);
    }

    fn encode(&mut self, now: Now) {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        if keyframe {
            self.last_keyframe = Some(now.instant);
            self.keyframes += 1;
        }
        let bytes = self.encoder.next_frame(keyframe);
        let sent = Duration::from_micros(now.unix.as_micros() as u64) + self.tag;
        let packets = bytes.div_ceil(PAYLOAD_BYTES);
        let mut total = 0;
        for index in 0..packets {
            // The shares differ by a byte at most.
            let len = (bytes * (index + 1) / packets - bytes * index / packets).max(HEAD_BYTES);
            total += len;
            self.enqueue(now.instant, len, keyframe, index == 0, index + 1 == packets, sent);
        }
        self.encoded.push(Encoded { sent, bytes: total, keyframe });
        self.picture.id = (self.picture.id + 1) & 0x7fff;
        self.picture.tl0_index = self.picture.tl0_index.wrapping_add(1);
        self.pass_time();
    }

    fn pass_time(&mut self) {
        let ticks = (f64::from(format::VP8_CLOCK) * self.frame_interval.as_secs_f64()).round() as u32;
        self.stream.timestamp = self.stream.timestamp.wrapping_add(ticks);
    }

    fn enqueue(&mut self, now: Instant, len: usize, keyframe: bool, first: bool, last: bool, sent: Duration) {
        let mut payload = FILLER.get(..len).unwrap_or_default().to_vec();
        let mut head = Head::video(Picture { keyframe, first, ..self.picture }, sent);
        overwrite(&mut payload, head.bytes_mut());
        let due = self.pacer_free.max(now);
        let pace = PACING * self.encoder.rate().max(1) as f64;
        self.pacer_free = due + Duration::from_secs_f64(len as f64 * 8.0 / pace);
        self.queue.push_back(Queued { due, marker: last, timestamp: self.stream.timestamp, payload });
    }

    /// Answers a request for lost packets; each at most once per round trip.
    pub fn repair(&mut self, now: Now, lost: impl Iterator<Item = u16>, round_trip_time: Duration, out: &mut Out<'_>) {
        if !self.repairs {
            return;
        }
        for number in lost {
            let Some(sent) = self.history.iter_mut().find(|sent| sent.sequence == number) else { continue };
            if sent.again.is_some_and(|again| again + round_trip_time > now.instant) {
                continue;
            }
            sent.again = Some(now.instant);
            self.stream.send_again(now, sent, out);
            self.repaired += 1;
        }
    }

    pub fn report(&self, now: Now, writer: &mut Writer<'_>) {
        if self.stream.packets > 0 && !self.paused {
            let ahead = self.frame_due.saturating_duration_since(now.instant).as_secs_f64();
            let ticks = (ahead * f64::from(format::VP8_CLOCK)) as u32;
            writer.sender_report(&self.stream.info(now, self.stream.timestamp.wrapping_sub(ticks)), &[]);
        }
    }
}

fn overwrite(payload: &mut [u8], head: &[u8]) {
    if let Some(start) = payload.get_mut(..head.len()) {
        start.copy_from_slice(head);
    }
}
