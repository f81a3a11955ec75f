//! The sending side of a media flow: a model codec that follows what the server's congestion control says (RFC 8593, section 5), and the
//! server's own numbering, estimator, pacer and probes.
//!
//! What always holds: the codec follows a new rate from the next frame on; all that is sent is numbered and counted, what is sent again and
//! what a probe lacks included.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfumato::congestion::bitrate::Bitrate;
use sfumato::media::forward::budget::Budget;
use sfumato::shard::downlink::{self, Cached, Downlink, Waiting};
use sfumato::wire::rtcp::{self, Report};
use sfumato_load::client::format::VP8_CLOCK;
use sfumato_load::client::payload::{HEAD_BYTES, Head, Picture};
use sfumato_load::client::send::FILLER;

use super::{Content, Departure, End, MediaPacket, UDP_BYTES};
use crate::client::EPOCH;
use crate::client::encoder::Encoder;

/// Bytes of a packet that is full, without IP and UDP; of these RTP, its extensions and SRTP take [`HEADER_BYTES`].
const PACKET_BYTES: usize = 1_200;
const HEADER_BYTES: usize = 40;
const PAYLOAD_BYTES: usize = PACKET_BYTES - HEADER_BYTES;
const FPS: u32 = 30;
/// What the codec makes at least and at most, bits a second: no path of RFC 8867 takes as much as the most.
pub const LEAST_RATE: u64 = 150_000;
pub const GREATEST_RATE: u64 = 5_000_000;
/// Keyframes are at least so far apart, whatever is asked.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// Packets that can be sent again: two seconds of the greatest rate.
const HISTORY: usize = 1_200;
/// So many of the packets sent last are repeated for a probe, by turns.
const REPEATED: u16 = 32;
/// Over which time it is looked at what repairs take of the rate.
const REPAIR_WINDOW: Duration = Duration::from_secs(1);

/// Whether a flow is controlled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Control {
    #[default]
    Estimated,
    /// Feedback is ignored and the rate stays what it was at first: what depends on an estimate must fail.
    Fixed,
}

/// A packet as it was made.
#[derive(Clone)]
struct Made {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
    sent: bool,
    again: Option<Duration>,
}

pub struct Sender {
    base: Instant,
    control: Control,
    downlink: Downlink,
    encoder: Encoder,
    round_trip_time: Duration,
    /// Packets that wait and packets that were sent, the first of which has the index `oldest`.
    made: VecDeque<Made>,
    oldest: u64,
    frame_due: Option<Duration>,
    paused: bool,
    paused_at: Duration,
    timestamp: u32,
    picture: Picture,
    keyframe_wanted: bool,
    last_keyframe: Option<Duration>,
    /// Index of the first packet of the last keyframe: what lies before is of no use any more.
    useful: u64,
    /// What may be sent again.
    budget: Budget,
    /// When bytes were sent again.
    repairs: VecDeque<(Duration, usize)>,
    /// What the codec follows from the next frame on, bits a second.
    rate: u64,
    pub dropped: u64,
    pub probe_bytes: u64,
}

impl Sender {
    pub fn new(base: Instant, control: Control, round_trip_time: Duration, mut random: StdRng) -> Sender {
        let rate = downlink::START.bps();
        let phase = Duration::from_secs(1).mul_f64(random.random::<f64>() / f64::from(FPS));
        Sender {
            base,
            control,
            downlink: Downlink::new(base),
            encoder: Encoder::new(rate, FPS, StdRng::seed_from_u64(random.random())),
            round_trip_time,
            made: VecDeque::new(),
            oldest: 0,
            frame_due: Some(phase),
            paused: true,
            paused_at: Duration::ZERO,
            timestamp: 0,
            picture: Picture::default(),
            keyframe_wanted: true,
            last_keyframe: None,
            useful: 0,
            budget: Budget::default(),
            repairs: VecDeque::new(),
            rate,
            dropped: 0,
            probe_bytes: 0,
        }
    }

    pub fn begin(&mut self, now: Duration) {
        let phase = self.frame_due.unwrap_or_default();
        self.downlink = Downlink::new(self.base + now);
        self.frame_due = Some(now + phase);
        self.paused = false;
        self.want();
    }

    /// A paused flow wants nothing, and sends nothing but what still waits.
    pub fn pause(&mut self, now: Duration, paused: bool) {
        // The clock of media goes on while nothing is shown.
        let away = self.frame_due.map_or_else(|| now.saturating_sub(self.paused_at), |_| Duration::ZERO);
        self.timestamp = self.timestamp.wrapping_add((away.as_secs_f64() * f64::from(VP8_CLOCK)) as u32);
        (self.paused, self.paused_at) = (paused, now);
        self.keyframe_wanted |= !paused;
        self.frame_due = (!paused).then_some(now);
        self.want();
    }

    fn want(&mut self) {
        let wanted = if self.paused { Bitrate::ZERO } else { Bitrate::from_bps(GREATEST_RATE) };
        self.downlink.estimator.want(wanted);
    }

    /// What the way is taken for.
    pub fn target(&self, now: Duration) -> u64 {
        self.downlink.rate(self.base + now).map_or(GREATEST_RATE, Bitrate::bps)
    }

    pub fn due(&self) -> Option<Duration> {
        let downlink = self.downlink.poll_timeout().into_iter().chain(self.downlink.next_send()).min();
        let downlink = downlink.map(|at| at.saturating_duration_since(self.base));
        self.frame_due.into_iter().chain(downlink).min()
    }

    pub fn on_timeout(&mut self, now: Duration, out: &mut Vec<Departure>) {
        if self.frame_due.is_some_and(|due| due <= now) {
            self.encode(now, out);
        }
        self.send_waiting(now, out);
    }

    /// What came back.
    pub fn on_control(&mut self, now: Duration, compound: &[u8], out: &mut Vec<Departure>) {
        for report in rtcp::read(compound) {
            match report {
                Report::TransportFeedback { fci } if self.control == Control::Estimated => {
                    self.downlink.on_feedback(self.base + now, fci);
                }
                Report::Nack { packet_id, bitmask, .. } => {
                    let following = (0..16u16).filter(|bit| bitmask & (1 << bit) != 0);
                    let lost = std::iter::once(packet_id).chain(following.map(|bit| packet_id.wrapping_add(bit + 1)));
                    lost.for_each(|number| self.repair(now, number, out));
                }
                Report::Reception { report, .. } => self.budget.reported(report.fraction_lost),
                Report::KeyframeRequest { .. } => self.keyframe_wanted = true,
                _ => {}
            }
        }
        self.send_waiting(now, out);
    }

    fn encode(&mut self, now: Duration, out: &mut Vec<Departure>) {
        self.frame_due = self.frame_due.map(|due| due + Duration::from_secs(1) / FPS);
        let keyframe = self.keyframe_wanted && self.last_keyframe.is_none_or(|at| at + KEYFRAME_INTERVAL <= now);
        if keyframe {
            self.keyframe_wanted = false;
            self.last_keyframe = Some(now);
            self.useful = self.oldest + self.made.len() as u64;
        }
        self.encoder.set_rate(self.rate);
        let bytes = self.encoder.next_frame(keyframe);
        self.picture = Picture { id: (self.picture.id + 1) & 0x7fff, keyframe, ..self.picture };
        self.timestamp = self.timestamp.wrapping_add(VP8_CLOCK / FPS);
        let packets = bytes.div_ceil(PAYLOAD_BYTES).max(1);
        for index in 0..packets {
            let len = (bytes * (index + 1) / packets - bytes * index / packets).max(HEAD_BYTES);
            let payload = self.payload(now, len, index == 0);
            self.forward(now, payload, index + 1 == packets, out);
        }
        if self.control == Control::Estimated {
            self.rate = self.affordable(now);
        }
        self.want();
    }

    fn payload(&self, now: Duration, len: usize, first: bool) -> Bytes {
        let mut payload = FILLER.get(..len).unwrap_or_default().to_vec();
        let mut head = Head::video(Picture { first, ..self.picture }, EPOCH + now);
        let head = head.bytes_mut();
        payload.get_mut(..head.len()).into_iter().for_each(|start| start.copy_from_slice(head));
        payload.into()
    }

    /// What is left for the codec: without headers, and without what is sent again.
    fn affordable(&mut self, now: Duration) -> u64 {
        self.repairs.retain(|(at, _)| *at + REPAIR_WINDOW > now);
        let repairs = Bitrate::of(self.repairs.iter().map(|(_, bytes)| *bytes as u64).sum(), REPAIR_WINDOW);
        let target = Bitrate::from_bps(self.target(now)).minus(repairs);
        let payload = PAYLOAD_BYTES as f64 / PACKET_BYTES as f64;
        target.scaled(payload).bps().clamp(LEAST_RATE, GREATEST_RATE)
    }

    /// Sends a packet now, or lets it wait.
    fn forward(&mut self, now: Duration, payload: Bytes, marker: bool, out: &mut Vec<Departure>) {
        if self.made.len() >= HISTORY {
            self.made.pop_front();
            self.oldest += 1;
        }
        let index = self.oldest + self.made.len() as u64;
        let len = payload.len() + HEADER_BYTES;
        let timestamp = self.timestamp;
        self.made.push_back(Made { sequence: index as u16, timestamp, marker, payload, sent: false, again: None });
        if !self.downlink.holds_back(self.base + now) {
            return self.transmit(now, index, out);
        }
        let cached = Cached { encoding: 0, extended_sequence: index, padding: 0 };
        if !self.downlink.push(self.base + now, Waiting { source: 0, cached, len }) {
            self.dropped += 1;
        }
    }

    fn get(&mut self, index: u64) -> Option<&mut Made> {
        self.made.get_mut(usize::try_from(index.checked_sub(self.oldest)?).ok()?)
    }

    fn transmit(&mut self, now: Duration, index: u64, out: &mut Vec<Departure>) {
        let Some(made) = self.get(index) else { return };
        let repaired = std::mem::replace(&mut made.sent, true);
        let Made { sequence, timestamp, marker, payload, .. } = made.clone();
        let bytes = payload.len() + HEADER_BYTES;
        if !repaired {
            self.budget.sent(now.as_millis() as u32, bytes);
        }
        let number = self.downlink.estimator.next_number();
        self.downlink.sent(self.base + now, bytes, self.control == Control::Estimated);
        let packet = MediaPacket { number, sequence, timestamp, marker, payload, repaired, left: now };
        out.push(Departure { towards: End::Receiver, bytes: bytes + UDP_BYTES, content: Content::Media(packet) });
    }

    /// Sends a packet again, once for each round trip and within the budget. Where that does not reach, a keyframe is the sooner remedy.
    fn repair(&mut self, now: Duration, number: u16, out: &mut Vec<Departure>) {
        let newest = self.oldest + self.made.len() as u64;
        let back = (newest as u16).wrapping_sub(number);
        let Some(index) = newest.checked_sub(u64::from(back)) else { return };
        let round_trip_time = self.round_trip_time;
        let made = self.get(index).filter(|made| made.sent).cloned();
        let Some(Made { payload, again, .. }) = made.filter(|_| index >= self.useful) else { return };
        let bytes = payload.len() + HEADER_BYTES;
        let affordable = if again.is_some() { self.budget.allows_repetition(bytes) } else { self.budget.allows(bytes) };
        self.keyframe_wanted |= !affordable;
        if !affordable || again.is_some_and(|again| again + round_trip_time > now) {
            return;
        }
        self.get(index).into_iter().for_each(|made| made.again = Some(now));
        self.budget.spend(bytes);
        self.repairs.push_back((now, bytes));
        self.transmit(now, index, out);
    }

    fn send_waiting(&mut self, now: Duration, out: &mut Vec<Departure>) {
        let instant = self.base + now;
        self.downlink.handle_timeout(instant);
        while let Some(waiting) = self.downlink.pop(instant) {
            self.transmit(now, waiting.cached.extended_sequence, out);
        }
        while self.downlink.lacks(instant) {
            let back = u64::from(self.downlink.next_repeated(REPEATED));
            let newest = self.oldest + self.made.len() as u64;
            let index = newest.checked_sub(1 + back).filter(|index| self.get(*index).is_some_and(|made| made.sent));
            let Some(index) = index else {
                self.downlink.give_up_probe();
                break;
            };
            self.transmit(now, index, out);
            self.probe_bytes += out.last().map_or(0, |departure| departure.bytes as u64);
        }
    }
}
