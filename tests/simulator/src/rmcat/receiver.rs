//! The receiving side of a media flow: transport-wide feedback as a browser sends it, and the model of a viewer.
//!
//! What always holds: what is told to the sender crosses the network as RTCP, and takes its room there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sfumato::congestion::feedback::ArrivalLog;
use sfumato::wire::Ssrc;
use sfumato::wire::rtcp::Writer;

use super::{Content, Departure, End, MediaPacket, UDP_BYTES};
use crate::client::receiver::{Packet, VideoReceiver, Wishes};

/// Feedback comes so often; faster where more than [`FAST_FROM`] arrives, as libwebrtc's does.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
const FAST_INTERVAL: Duration = Duration::from_millis(50);
/// Reports of what was lost come so often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes in an interval from which on feedback comes fast: 1 Mbit/s.
const FAST_FROM: f64 = 125_000.0;
/// What SRTCP adds to a compound packet, bytes.
const SRTCP_BYTES: usize = 20;
/// Freezes count by what a browser's own buffer makes of the frames: the second of the viewer's playouts.
const BROWSER: usize = 1;
const OWN: Ssrc = Ssrc(2);
const MEDIA: Ssrc = Ssrc(1);

pub struct Receiver {
    base: Instant,
    delay: Duration,
    arrivals: ArrivalLog,
    feedback_due: Option<Duration>,
    /// Bytes since the last feedback, and when that was.
    arrived_bytes: usize,
    told: Duration,
    reported: Duration,
    pub video: Option<VideoReceiver>,
    round_trip_time: Duration,
}

impl Receiver {
    pub fn new(base: Instant, delay: Duration) -> Receiver {
        Receiver {
            base,
            delay,
            arrivals: ArrivalLog::new(base),
            feedback_due: None,
            arrived_bytes: 0,
            told: Duration::ZERO,
            reported: Duration::ZERO,
            video: None,
            round_trip_time: 2 * delay,
        }
    }

    pub fn receive(&mut self, now: Duration, packet: MediaPacket, out: &mut Vec<Departure>) {
        self.arrivals.arrived(self.base + now, packet.number, MEDIA);
        self.arrived_bytes += packet.payload.len();
        self.feedback_due.get_or_insert(now + FEEDBACK_INTERVAL);
        // What it took to come, queues included, and the way back without.
        self.round_trip_time = now.saturating_sub(packet.left) + self.delay;
        let MediaPacket { sequence, timestamp, marker, repaired, .. } = packet;
        let read = Packet { sequence, timestamp, marker, payload: &packet.payload, repaired };
        let video = self.video.get_or_insert_with(|| VideoReceiver::new(now, MEDIA.0, sequence, true));
        let wishes = video.receive(now, read, self.round_trip_time);
        video.decoded.clear();
        ask(wishes, out);
    }

    pub fn due(&self) -> Option<Duration> {
        self.feedback_due.into_iter().chain(self.video.as_ref().map(VideoReceiver::due)).min()
    }

    pub fn on_timeout(&mut self, now: Duration, out: &mut Vec<Departure>) {
        if let Some(video) = self.video.as_mut().filter(|video| video.due() <= now) {
            let wishes = video.on_timeout(now, self.round_trip_time);
            ask(wishes, out);
        }
        if self.feedback_due.is_some_and(|due| due <= now) {
            self.tell(now, out);
        }
    }

    fn tell(&mut self, now: Duration, out: &mut Vec<Departure>) {
        let rate = self.arrived_bytes as f64 / (now - self.told).as_secs_f64().max(0.001);
        let interval = if rate > FAST_FROM { FAST_INTERVAL } else { FEEDBACK_INTERVAL };
        (self.arrived_bytes, self.told) = (0, now);
        self.feedback_due = Some(now + interval);
        if let Some(video) = self.video.as_mut().filter(|_| now >= self.reported + REPORT_INTERVAL) {
            self.reported = now;
            let report = video.report(self.base + now);
            send(out, |compound| Writer { out: compound }.receiver_report(OWN, &[report]));
        }
        while let Some(feedback) = self.arrivals.feedback(OWN) {
            send(out, |compound| feedback.write(compound));
        }
    }

    /// How long pictures have stood still.
    pub fn frozen(&self) -> Duration {
        let playout = self.video.as_ref().and_then(|video| video.playouts.get(BROWSER));
        playout.map_or(Duration::ZERO, |playout| playout.freezes.total)
    }

    pub fn end(&mut self, now: Duration) {
        let playouts = self.video.iter_mut().flat_map(|video| &mut video.playouts);
        playouts.for_each(|playout| playout.freezes.end(now));
    }
}

fn ask(wishes: Wishes, out: &mut Vec<Departure>) {
    if !wishes.nack.is_empty() {
        send(out, |compound| Writer { out: compound }.nack(OWN, MEDIA, wishes.nack));
    }
    if wishes.keyframe {
        send(out, |compound| Writer { out: compound }.picture_loss_indication(OWN, MEDIA));
    }
}

/// A compound packet that begins as RFC 3550 asks.
fn send(out: &mut Vec<Departure>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut compound = Vec::new();
    Writer { out: &mut compound }.receiver_report(OWN, &[]);
    write(&mut compound);
    let bytes = compound.len() + SRTCP_BYTES + UDP_BYTES;
    out.push(Departure { towards: End::Sender, bytes, content: Content::Control(Bytes::from(compound)) });
}
