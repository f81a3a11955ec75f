//! A model client: the session it negotiates, its transport, what it sends and what it makes of what it receives.
//!
//! What always holds: sans-IO and without a clock; what the server sends ends in a counter, never in a panic.

pub mod connection;
pub mod encoder;
mod feedback;
pub mod frames;
pub mod independent;
pub mod nack;
pub mod playout;
pub mod rate;
pub mod receiver;
pub mod sender;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfumato::congestion::feedback::{ArrivalLog, FEEDBACK_INTERVAL};
use sfumato::transport::Certificate;
use sfumato::wire::demux::{Protocol, classify};
use sfumato::wire::rtp::Header;
use sfumato_load::client::format::{self, Kind};
use sfumato_load::client::receive::ReceiveStream;
use sfumato_load::time::Now;

use connection::Connection;
use rate::RateControl;
use receiver::{Packet, VideoReceiver, Wishes};
use sender::{AudioSender, Lane, Out, VideoSender, VideoShape};
use session::Negotiation;

/// Unix time when a world begins.
pub const EPOCH: Duration = Duration::from_secs(1_795_000_000);
/// How often senders and receivers report.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Until a report tells, as libwebrtc assumes.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub identity: String,
    pub video: Option<VideoShape>,
    /// The video is sent in three encodings, q, h and f, of which the shape is the highest's; those that nobody wants are paused.
    pub simulcast: bool,
    /// The video's rate follows the server's feedback.
    pub adapts: bool,
    pub audio: bool,
    /// Sections to receive in that the first offer holds.
    pub audios: usize,
    pub videos: usize,
    /// Lost packets are asked for, and sent again.
    pub recovers: bool,
    /// What arrives is told by transport-wide feedback, where it is numbered.
    pub tells: bool,
}

impl Plan {
    /// One who watches and hears so many others.
    pub fn viewer(identity: &str, others: usize) -> Plan {
        let identity = identity.to_owned();
        Plan {
            identity,
            video: None,
            simulcast: false,
            adapts: false,
            audio: false,
            audios: others,
            videos: others,
            recovers: true,
            tells: true,
        }
    }

    /// One who speaks and shows itself at so many bits a second.
    pub fn publisher(identity: &str, rate: u64) -> Plan {
        Plan { video: Some(VideoShape { rate, fps: 30 }), audio: true, ..Plan::viewer(identity, 0) }
    }

    /// Speaks, too: so it measures the round trip time, as reports about what it sends tell it.
    pub fn speaking(self) -> Plan {
        Plan { audio: true, ..self }
    }
}

/// What came that is no media of a stream that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Oddities {
    /// Neither authentic nor new.
    pub refused: u64,
    /// Retransmissions of a stream that nothing was told of, or without the number they repeat.
    pub unmapped: u64,
    pub malformed: u64,
}

pub struct Client {
    pub plan: Plan,
    pub negotiation: Negotiation,
    pub connection: Option<Connection>,
    /// An encoding each, low to high.
    pub videos: Vec<VideoSender>,
    audio: Option<AudioSender>,
    pub rate: Option<RateControl>,
    transport_sequence: u16,
    pub receivers: BTreeMap<u32, VideoReceiver>,
    audios: BTreeMap<u32, ReceiveStream>,
    /// Media streams by the SSRC of their retransmissions.
    repairs: BTreeMap<u32, u32>,
    arrivals: Option<ArrivalLog>,
    feedback_due: Instant,
    reports_due: Instant,
    own_ssrc: u32,
    round_trip_time: Option<Duration>,
    pub joined: Duration,
    pub oddities: Oddities,
    pub audio_packets: u64,
    /// When it asked for lost packets, and for how many.
    pub asked: Vec<(Duration, usize)>,
    pub keyframe_requests: Vec<Duration>,
    base: Instant,
    tag: u16,
    random: StdRng,
    /// What is to be sent.
    pub out: Vec<Vec<u8>>,
}

impl Client {
    /// `tag` tells the clients of one world apart; `base` is when it began.
    pub fn new(base: Instant, joined: Duration, plan: Plan, tag: u16, seed: u64) -> Client {
        let mut random = StdRng::seed_from_u64(seed);
        let negotiation = Negotiation::new(&plan, &mut random);
        Client {
            negotiation,
            connection: None,
            videos: Vec::new(),
            audio: None,
            rate: plan.video.filter(|_| plan.adapts).map(|shape| RateControl::new(shape.rate)),
            transport_sequence: random.random(),
            receivers: BTreeMap::new(),
            audios: BTreeMap::new(),
            repairs: BTreeMap::new(),
            arrivals: None,
            feedback_due: base + joined,
            reports_due: base + joined,
            own_ssrc: random.random_range(1..u32::MAX),
            round_trip_time: None,
            joined,
            oddities: Oddities::default(),
            audio_packets: 0,
            asked: Vec::new(),
            keyframe_requests: Vec::new(),
            base,
            tag,
            random,
            plan,
            out: Vec::new(),
        }
    }

    fn now(&self, at: Duration) -> Now {
        Now { instant: self.base + at, unix: EPOCH + at }
    }

    pub fn round_trip_time(&self) -> Duration {
        self.round_trip_time.unwrap_or(FIRST_ROUND_TRIP)
    }

    pub fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.srtp.is_some())
    }

    /// Takes an answer. The first one starts connecting. An error says what is missing in it.
    pub fn answered(&mut self, at: Duration, certificate: &Arc<Certificate>, id: u32, sdp: &str) -> Result<(), String> {
        let answer = self.negotiation.answered(id, sdp)?;
        let Some(answer) = answer else { return Ok(()) };
        let repairs = answer.sections.iter().flat_map(|section| &section.repairs);
        self.repairs.extend(repairs.map(|(media, repair)| (*repair, *media)));
        if self.connection.is_none() {
            let local = self.negotiation.credentials.clone();
            let now = self.base + at;
            self.connection = Some(Connection::new(now, &mut self.random, certificate, local, &answer));
            self.negotiation.settle(&answer);
        }
        Ok(())
    }

    /// Media starts.
    pub fn begin(&mut self, at: Duration) {
        let start = self.base + at;
        self.reports_due = start + REPORT_INTERVAL.mul_f64(self.random.random());
        self.feedback_due = start;
        for lane in std::mem::take(&mut self.negotiation.lanes) {
            self.own_ssrc = lane.ssrc;
            self.open(start, lane);
        }
    }

    fn open(&mut self, start: Instant, lane: Lane) {
        match (lane.kind, self.plan.video) {
            (Kind::Audio, _) => self.audio = Some(AudioSender::new(start, lane, &mut self.random)),
            (Kind::Video, Some(shape)) => {
                let tag = 4 * self.tag + u16::from(lane.encoding);
                let shape = if self.plan.simulcast { shape.layer(lane.encoding) } else { shape };
                self.videos.push(VideoSender::new(start, lane, shape, self.plan.recovers, tag, &mut self.random));
            }
            (Kind::Video, None) => {}
        }
    }

    pub fn handle(&mut self, at: Duration, datagram: &mut [u8]) {
        let now = self.base + at;
        let Some(connection) = &mut self.connection else { return };
        match classify(datagram) {
            Some(Protocol::Rtp) => self.on_rtp(at, datagram),
            Some(Protocol::Rtcp) => self.on_rtcp(at, datagram),
            Some(Protocol::Stun) => connection.handle_stun(now, datagram, &mut self.out),
            Some(Protocol::Dtls) => connection.handle_dtls(now, datagram, &mut self.out),
            None => self.oddities.malformed += 1,
        }
    }

    fn on_rtp(&mut self, at: Duration, datagram: &mut [u8]) {
        let now = self.base + at;
        let Some(srtp) = self.connection.as_mut().and_then(|connection| connection.srtp.as_mut()) else { return };
        let Ok(header) = Header::parse(datagram) else {
            self.oddities.malformed += 1;
            return;
        };
        let opened = srtp.inbound.open_rtp(now, header.ssrc.0, header.sequence_number, header.len, datagram);
        let Some(plain) = opened.ok().and_then(|len| datagram.get(..len)) else {
            self.oddities.refused += 1;
            return;
        };
        self.note_arrival(now, &header, plain);
        let Ok(payload) = header.payload(plain) else {
            self.oddities.malformed += 1;
            return;
        };
        let packet = Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload,
            repaired: false,
        };
        match header.payload_type {
            format::OPUS => self.on_audio(at, header.ssrc.0, packet),
            format::VP8 => self.on_video(at, header.ssrc.0, packet),
            format::RTX => self.on_retransmission(at, header.ssrc.0, packet),
            _ => self.oddities.malformed += 1,
        }
    }

    fn note_arrival(&mut self, now: Instant, header: &Header, plain: &[u8]) {
        let element = header.extensions(plain).find(|(id, _)| *id == format::TRANSPORT_CC);
        if let Some(&[high, low]) = element.map(|(_, value)| value).filter(|_| self.plan.tells) {
            let arrivals = self.arrivals.get_or_insert_with(|| ArrivalLog::new(now));
            arrivals.arrived(now, u16::from_be_bytes([high, low]), header.ssrc);
        }
    }

    fn on_audio(&mut self, at: Duration, ssrc: u32, packet: Packet<'_>) {
        self.audio_packets += 1;
        let stream = self.audios.entry(ssrc).or_insert_with(|| ReceiveStream::new(ssrc, Kind::Audio, packet.sequence));
        stream.accept(packet.sequence, packet.timestamp, at);
    }

    fn on_video(&mut self, at: Duration, ssrc: u32, packet: Packet<'_>) {
        let round_trip_time = self.round_trip_time();
        let recovers = self.plan.recovers;
        let new = || VideoReceiver::new(at, ssrc, packet.sequence, recovers);
        let wishes = self.receivers.entry(ssrc).or_insert_with(new).receive(at, packet, round_trip_time);
        self.ask(at, ssrc, wishes);
    }

    fn on_retransmission(&mut self, at: Duration, ssrc: u32, packet: Packet<'_>) {
        let media = self.repairs.get(&ssrc).copied();
        // Padding alone: a probe.
        if packet.payload.is_empty() && media.is_some() {
            return;
        }
        let original = packet.payload.split_first_chunk::<2>();
        let (Some(media), Some((number, payload))) = (media, original) else {
            self.oddities.unmapped += 1;
            return;
        };
        // Behind the number of a mere probe there is nothing.
        if payload.is_empty() || !self.receivers.contains_key(&media) {
            return;
        }
        self.on_video(at, media, Packet { sequence: u16::from_be_bytes(*number), payload, repaired: true, ..packet });
    }

    fn ask(&mut self, at: Duration, media: u32, wishes: Wishes) {
        if !wishes.nack.is_empty() {
            self.send_nack(at, media, &wishes.nack);
        }
        if wishes.keyframe {
            self.request_keyframe(at, media);
        }
    }

    /// When [`on_timeout`](Self::on_timeout) wants to be called next, since the world's beginning.
    pub fn due(&self) -> Option<Duration> {
        let connection = self.connection.as_ref()?;
        let mut due = connection.due();
        if connection.srtp.is_some() {
            let senders = self.videos.iter().map(VideoSender::due).chain(self.audio.as_ref().map(AudioSender::due));
            let feedback = self.arrivals.as_ref().map(|_| self.feedback_due);
            let others = senders.chain(feedback).chain([self.reports_due]);
            due = others.fold(due, Instant::min);
        }
        let due = due.saturating_duration_since(self.base);
        Some(self.receivers.values().map(VideoReceiver::due).fold(due, Duration::min))
    }

    pub fn on_timeout(&mut self, at: Duration) {
        let now = self.now(at);
        let Some(connection) = &mut self.connection else { return };
        connection.on_timeout(now.instant, &mut self.out);
        self.send_media(now);
        if !self.is_connected() {
            return;
        }
        let round_trip_time = self.round_trip_time();
        let due = self.receivers.values_mut().filter(|receiver| receiver.due() <= at);
        let wishes: Vec<_> = due.map(|receiver| (receiver.ssrc, receiver.on_timeout(at, round_trip_time))).collect();
        wishes.into_iter().for_each(|(ssrc, wishes)| self.ask(at, ssrc, wishes));
        if self.arrivals.is_some() && self.feedback_due <= now.instant {
            self.feedback_due = now.instant + FEEDBACK_INTERVAL;
            self.send_feedback();
        }
        if self.reports_due <= now.instant {
            self.reports_due = now.instant + REPORT_INTERVAL;
            self.send_reports(now);
        }
    }

    fn send_media(&mut self, now: Now) {
        self.with_senders(|audio, videos, mut out| {
            audio.into_iter().for_each(|sender| sender.on_timeout(now, &mut out));
            videos.iter_mut().for_each(|sender| sender.on_timeout(now, &mut out));
        });
    }

    /// What sends, and where to; nothing before there are keys.
    fn with_senders(&mut self, act: impl FnOnce(Option<&mut AudioSender>, &mut [VideoSender], Out<'_>)) {
        let Some(srtp) = self.connection.as_mut().and_then(|connection| connection.srtp.as_mut()) else { return };
        let out = Out {
            outbound: &mut srtp.outbound,
            transport_sequence: &mut self.transport_sequence,
            datagrams: &mut self.out,
        };
        act(self.audio.as_mut(), &mut self.videos, out);
    }

    /// The server tells the highest encoding that anybody wants, by its place; those above it rest.
    pub fn layers_wanted(&mut self, highest: Option<u8>) {
        if self.plan.simulcast {
            self.videos
                .iter_mut()
                .for_each(|video| video.pause(highest.is_none_or(|highest| video.encoding() > highest)));
        }
    }

    /// The only video it receives, in worlds with one publisher.
    pub fn only_video(&self) -> Option<&VideoReceiver> {
        self.receivers.values().next()
    }
}
