//! A link (rate, drop-tail queue, delay, jitter, loss), a receiver that tells by our own feedback writer, and a sender that follows the
//! target as an SFU does: evenly up to it, or in steps as layers come.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::{Estimator, Probe};
use crate::congestion::bitrate::Bitrate;
use crate::congestion::feedback::ArrivalLog;
use crate::wire::Ssrc;
use crate::wire::rtcp::transport_feedback::ReceivedFeedback;

const PACKET: usize = 1_100;
pub const START: Bitrate = Bitrate::from_kbps(2_000);
const MS: Duration = Duration::from_millis(1);

/// How the way is at a moment.
#[derive(Clone, Copy)]
pub struct Way {
    pub kbps: u64,
    pub queue: Duration,
    /// Of one direction.
    pub delay: Duration,
    /// Some wait up to so much longer; they stay in order.
    pub jitter: Duration,
    /// Of a hundred packets.
    pub lost: u64,
    pub feedback: bool,
}

impl Default for Way {
    fn default() -> Way {
        Way { kbps: 5_000, queue: 300 * MS, delay: 25 * MS, jitter: Duration::ZERO, lost: 0, feedback: true }
    }
}

pub struct Call {
    pub estimator: Estimator,
    start: Instant,
    /// Milliseconds since the start.
    pub now: u64,
    pub wanted: Bitrate,
    /// Rates to choose from, ascending; none: all.
    pub steps: Vec<u64>,
    /// What is to be sent and what was not yet, bytes.
    credit: f64,
    probing: Option<(u64, Probe, usize, u64)>,
    pub probes: Vec<(u64, u64)>,
    /// When the link is free, and what arrives when.
    free: f64,
    arriving: VecDeque<(f64, u16)>,
    last_arrival: f64,
    receiver: ArrivalLog,
    answers: VecDeque<(u64, Vec<u8>)>,
    random: u64,
    pub trace: Vec<Sample>,
}

/// Of each 100 ms.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sample {
    pub at: u64,
    pub target: u64,
    /// Sent, kbit/s.
    pub sent: u64,
    /// The queue's longest, ms.
    pub queue: f64,
    pub dropped: u32,
    /// What arrives as it is estimated, kbit/s.
    pub acknowledged: u64,
}

impl Call {
    pub fn new(wanted_kbps: u64) -> Call {
        let start = Instant::now();
        let wanted = Bitrate::from_kbps(wanted_kbps);
        let mut estimator = Estimator::new(START);
        estimator.want(wanted);
        Call {
            estimator,
            start,
            now: 0,
            wanted,
            steps: Vec::new(),
            credit: 0.0,
            probing: None,
            probes: Vec::new(),
            free: 0.0,
            arriving: VecDeque::new(),
            last_arrival: 0.0,
            receiver: ArrivalLog::new(start),
            answers: VecDeque::new(),
            random: 7,
            trace: vec![Sample::default()],
        }
    }

    pub fn instant(&self) -> Instant {
        self.start + MS * self.now as u32
    }

    /// Goes on for so long; the way by the time in milliseconds.
    pub fn run(&mut self, seconds: f64, way: impl Fn(u64) -> Way) -> &mut Call {
        let until = self.now + (seconds * 1_000.0) as u64;
        while self.now < until {
            let way = way(self.now);
            self.tick(&way);
            self.now += 1;
        }
        self
    }

    fn tick(&mut self, way: &Way) {
        let now = self.instant();
        while self.answers.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, fci) = self.answers.pop_front().unwrap();
            self.estimator.on_feedback(now, &ReceivedFeedback::parse(&fci).unwrap());
        }
        if self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.estimator.handle_timeout(now);
            self.begin_probe(now);
        }
        // A pacer's ticks of 5 ms.
        if self.now.is_multiple_of(5) {
            self.send(way);
        }
        while self.arriving.front().is_some_and(|(at, _)| *at <= self.now as f64) {
            let (at, number) = self.arriving.pop_front().unwrap();
            self.receiver.arrived(self.start + MS.mul_f64(at), number, Ssrc(1));
        }
        if self.now % 100 == 99 {
            self.answer(way);
            self.sample();
        }
    }

    fn begin_probe(&mut self, now: Instant) {
        if let Some(probe) = self.estimator.poll_probe(now) {
            self.probes.push((self.now, probe.rate.bps() / 1_000));
            self.probing = Some((self.now, probe, 0, 0));
        }
    }

    fn send(&mut self, way: &Way) {
        let target = (self.estimator.target().bps() / 1_000).min(self.wanted.bps() / 1_000);
        let chosen = self.steps.iter().rev().find(|step| **step * 11 / 10 <= target);
        let kbps = if self.steps.is_empty() { target } else { chosen.copied().unwrap_or(30) };
        self.credit += kbps as f64 * 5.0 / 8.0;
        while self.credit >= PACKET as f64 {
            self.credit -= PACKET as f64;
            self.packet(way);
        }
        while self.probe_lacks() {
            self.packet(way);
        }
    }

    fn probe_lacks(&mut self) -> bool {
        let Some((began, probe, packets, bytes)) = self.probing else { return false };
        let elapsed = (MS * (self.now - began + 5) as u32).min(probe.duration);
        let over = bytes >= probe.rate.bytes_in(probe.duration) && packets >= probe.least_packets;
        if over {
            self.probing = None;
        }
        !over && bytes < probe.rate.bytes_in(elapsed)
    }

    fn packet(&mut self, way: &Way) {
        let number = self.estimator.next_number();
        self.estimator.sent(self.instant(), PACKET);
        if let Some((_, _, packets, bytes)) = &mut self.probing {
            (*packets, *bytes) = (*packets + 1, *bytes + PACKET as u64);
        }
        let now = self.now as f64;
        let waits = (self.free - now).max(0.0);
        let sample = self.trace.last_mut().unwrap();
        sample.sent += PACKET as u64 * 8 / 100;
        sample.queue = sample.queue.max(waits);
        if waits > way.queue.as_secs_f64() * 1_000.0 || way.kbps == 0 {
            sample.dropped += 1;
            return;
        }
        self.free = now + waits + (PACKET * 8) as f64 / way.kbps as f64;
        if self.dice() % 100 < way.lost {
            return;
        }
        let jitter = (self.dice() % 1_000) as f64 / 1_000.0 * way.jitter.as_secs_f64() * 1_000.0;
        let arrives = (self.free + way.delay.as_secs_f64() * 1_000.0 + jitter).max(self.last_arrival);
        self.last_arrival = arrives;
        self.arriving.push_back((arrives, number));
    }

    fn answer(&mut self, way: &Way) {
        while let Some(feedback) = self.receiver.feedback(Ssrc(2)) {
            let mut bytes = Vec::new();
            feedback.write(&mut bytes);
            if way.feedback {
                self.answers.push_back((self.now + way.delay.as_millis() as u64, bytes.split_off(12)));
            }
        }
    }

    fn sample(&mut self) {
        let sample = self.trace.last_mut().unwrap();
        (sample.at, sample.target) = (self.now, self.estimator.target().bps() / 1_000);
        sample.acknowledged = self.estimator.acknowledged.rate().map_or(0, |rate| rate.bps() / 1_000);
        self.trace.push(Sample::default());
    }

    fn dice(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    pub fn target(&self) -> u64 {
        self.estimator.target().bps() / 1_000
    }

    /// Samples of a time in seconds.
    fn samples(&self, from: f64, to: f64) -> Vec<Sample> {
        let within = |sample: &&Sample| sample.at as f64 >= from * 1_000.0 && (sample.at as f64) < to * 1_000.0;
        self.trace.iter().filter(within).copied().collect()
    }

    /// Means and extremes of a time in seconds.
    pub fn mean_sent(&self, from: f64, to: f64) -> u64 {
        let samples = self.samples(from, to);
        samples.iter().map(|sample| sample.sent).sum::<u64>() / samples.len().max(1) as u64
    }

    pub fn least_target(&self, from: f64, to: f64) -> u64 {
        self.samples(from, to).iter().map(|sample| sample.target).min().unwrap()
    }

    pub fn most_target(&self, from: f64, to: f64) -> u64 {
        self.samples(from, to).iter().map(|sample| sample.target).max().unwrap()
    }

    /// The queue that 95 of 100 samples stayed below, ms.
    pub fn p95_queue(&self, from: f64, to: f64) -> f64 {
        let mut queues: Vec<f64> = self.samples(from, to).iter().map(|sample| sample.queue).collect();
        queues.sort_by(f64::total_cmp);
        queues[queues.len() * 95 / 100]
    }

    /// When the target was first at least (or at most) so much after a time, in seconds.
    pub fn reached(&self, from: f64, holds: impl Fn(u64) -> bool) -> f64 {
        let found = self.samples(from, 1e9).into_iter().find(|sample| holds(sample.target));
        found.map_or(f64::INFINITY, |sample| sample.at as f64 / 1_000.0 - from)
    }

    /// A line for each second, for whoever looks why something failed.
    pub fn told(&self) -> String {
        let lines = self.trace.chunks(10).map(|chunk| {
            let sent = chunk.iter().map(|sample| sample.sent).sum::<u64>() / chunk.len() as u64;
            let queue = chunk.iter().map(|sample| sample.queue).fold(0.0, f64::max);
            let dropped: u32 = chunk.iter().map(|sample| sample.dropped).sum();
            let targets: Vec<u64> = chunk.iter().map(|sample| sample.target).collect();
            let acknowledged: Vec<u64> = chunk.iter().step_by(3).map(|sample| sample.acknowledged).collect();
            format!(
                "{:>6} sent {sent} queue {queue:.0} dropped {dropped} target {targets:?} arrives {acknowledged:?}",
                chunk[0].at / 1_000
            )
        });
        format!("\n{}\nprobes {:?}", lines.collect::<Vec<_>>().join("\n"), self.probes)
    }
}
