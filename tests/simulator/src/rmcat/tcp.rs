//! A TCP flow, as much of it as others in the queue notice: segments and acknowledgements, CUBIC's window, selective
//! acknowledgement, fast recovery (RFC 6675) and timeouts (RFC 6298). One download without end, or one after another
//! (RFC 8867, section 4.4).
//!
//! What always holds: no more than a window is under way; every segment of a download arrives before it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::cubic::Cubic;
use super::{Content, Departure, End};

/// Payload of a segment, and the segment with its headers, bytes.
const SEGMENT_BYTES: u64 = 1_448;
const WIRE_BYTES: usize = 1_500;
const ACK_BYTES: usize = 52;
/// A segment is lost when so many that were sent after it arrived.
const OVERTAKEN: u64 = 3;
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a flow transfers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Downloads {
    Endless,
    /// Sizes evenly distributed between these bytes, and pauses exponentially about this mean.
    Short {
        least: u64,
        most: u64,
        idle: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Segment {
    number: u64,
    transmission: u64,
}

/// Tells of one segment, as selective acknowledgements together do.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    segment: Segment,
}

struct UnderWay {
    number: u64,
    sent: Duration,
}

pub struct TcpFlow {
    downloads: Downloads,
    random: StdRng,
    cubic: Cubic,
    /// Segments of this download that were never sent; `None`: without end.
    unsent: Option<u64>,
    next_number: u64,
    next_transmission: u64,
    /// By transmission.
    under_way: BTreeMap<u64, UnderWay>,
    lost: BTreeSet<u64>,
    /// Losses of what was sent before this transmission were answered.
    recovered: u64,
    round_trip: Option<(Duration, Duration)>,
    timeout: Duration,
    progress: Duration,
    idle_until: Option<Duration>,
    pub finished: u64,
    pub timeouts: u64,
}

impl TcpFlow {
    pub fn new(downloads: Downloads, random: StdRng) -> TcpFlow {
        TcpFlow {
            downloads,
            random,
            cubic: Cubic::default(),
            unsent: Some(0),
            next_number: 0,
            next_transmission: 0,
            under_way: BTreeMap::new(),
            lost: BTreeSet::new(),
            recovered: 0,
            round_trip: None,
            timeout: FIRST_TIMEOUT,
            progress: Duration::ZERO,
            idle_until: None,
            finished: 0,
            timeouts: 0,
        }
    }

    pub fn begin(&mut self, now: Duration) {
        self.idle_until = Some(now);
    }

    /// A window for each round trip, bits a second.
    pub fn rate(&self) -> u64 {
        let round_trip = self.round_trip.map_or(1.0, |(smoothed, _)| smoothed.as_secs_f64());
        (self.cubic.window() * WIRE_BYTES as f64 * 8.0 / round_trip) as u64
    }

    pub fn due(&self) -> Option<Duration> {
        let timeout = (!self.under_way.is_empty()).then_some(self.progress + self.timeout);
        self.idle_until.into_iter().chain(timeout).min()
    }

    pub fn on_timeout(&mut self, now: Duration, out: &mut Vec<Departure>) {
        if self.idle_until.take_if(|until| *until <= now).is_some() {
            self.begin_download();
            self.progress = now;
        }
        if !self.under_way.is_empty() && self.progress + self.timeout <= now {
            self.timeouts += 1;
            self.lost.extend(std::mem::take(&mut self.under_way).into_values().map(|segment| segment.number));
            self.cubic.timed_out();
            self.recovered = self.next_transmission;
            self.timeout = (2 * self.timeout).min(LONGEST_TIMEOUT);
            self.progress = now;
        }
        self.send(now, out);
    }

    /// Each download has a connection of its own.
    fn begin_download(&mut self) {
        self.cubic = Cubic::default();
        (self.round_trip, self.timeout) = (None, FIRST_TIMEOUT);
        self.unsent = match self.downloads {
            Downloads::Endless => None,
            Downloads::Short { least, most, .. } => {
                Some(self.random.random_range(least..=most).div_ceil(SEGMENT_BYTES))
            }
        };
    }

    /// At the receiver.
    pub fn receive(&mut self, segment: Segment, out: &mut Vec<Departure>) {
        out.push(Departure { towards: End::Sender, bytes: ACK_BYTES, content: Content::Ack(Ack { segment }) });
    }

    pub fn on_ack(&mut self, now: Duration, ack: Ack, out: &mut Vec<Departure>) {
        let Segment { number, transmission } = ack.segment;
        // What was taken for lost may have come after all.
        self.lost.remove(&number);
        if let Some(arrived) = self.under_way.remove(&transmission) {
            let round_trip = now.saturating_sub(arrived.sent);
            let smoothed = self.measure(round_trip);
            self.progress = now;
            if transmission >= self.recovered {
                self.cubic.acked(now, round_trip, smoothed);
            }
        }
        self.find_lost(transmission);
        self.send(now, out);
        self.rest_when_done(now);
    }

    /// RFC 6298, section 2.
    fn measure(&mut self, round_trip: Duration) -> Duration {
        let (smoothed, variation) = match self.round_trip {
            None => (round_trip, round_trip / 2),
            Some((smoothed, variation)) => {
                let away = smoothed.abs_diff(round_trip);
                (smoothed.mul_f64(0.875) + round_trip.mul_f64(0.125), variation.mul_f64(0.75) + away.mul_f64(0.25))
            }
        };
        self.round_trip = Some((smoothed, variation));
        self.timeout = (smoothed + 4 * variation).clamp(LEAST_TIMEOUT, LONGEST_TIMEOUT);
        smoothed
    }

    fn find_lost(&mut self, arrived: u64) {
        let later = self.under_way.split_off(&(arrived + 1).saturating_sub(OVERTAKEN));
        let lost = std::mem::replace(&mut self.under_way, later);
        if lost.last_key_value().is_some_and(|(transmission, _)| *transmission >= self.recovered) {
            self.cubic.lost();
            self.recovered = self.next_transmission;
        }
        self.lost.extend(lost.into_values().map(|segment| segment.number));
    }

    fn send(&mut self, now: Duration, out: &mut Vec<Departure>) {
        while (self.under_way.len() as f64) < self.cubic.window().floor() {
            let Some(number) = self.next_to_send() else { break };
            if self.under_way.is_empty() {
                self.progress = now;
            }
            let transmission = self.next_transmission;
            self.next_transmission += 1;
            self.under_way.insert(transmission, UnderWay { number, sent: now });
            let content = Content::Segment(Segment { number, transmission });
            out.push(Departure { towards: End::Receiver, bytes: WIRE_BYTES, content });
        }
    }

    /// What was lost goes first.
    fn next_to_send(&mut self) -> Option<u64> {
        self.lost.pop_first().or_else(|| {
            self.unsent = match self.unsent {
                Some(0) => return None,
                unsent => unsent.map(|left| left - 1),
            };
            self.next_number += 1;
            Some(self.next_number)
        })
    }

    fn rest_when_done(&mut self, now: Duration) {
        let done = self.unsent == Some(0) && self.under_way.is_empty() && self.lost.is_empty();
        if let (true, None, Downloads::Short { idle, .. }) = (done, self.idle_until, self.downloads) {
            self.finished += 1;
            let pause = idle.mul_f64(-(1.0 - self.random.random::<f64>()).ln());
            self.idle_until = Some(now + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::{Agent, Network};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn run(downloads: Downloads, queue: Duration, seconds: u64) -> Network {
        let mut network = Network::new(1, 2_000_000, queue);
        network.tcp(50 * MS, Duration::ZERO, downloads);
        network.run_until(Duration::from_secs(seconds));
        network
    }

    #[test]
    fn a_long_download_fills_the_link_and_its_queue_without_timeouts() {
        let network = run(Downloads::Endless, 300 * MS, 60);
        let flow = &network.flows[0];
        let rate = flow.meter.arrival_rate(Duration::from_secs(5), Duration::from_secs(60));
        assert!((1.9e6..=2.01e6).contains(&rate), "{rate}");
        assert!(flow.meter.loss() > 0.0 && flow.meter.loss() < 0.02, "{}", flow.meter.loss());
        let longest = flow.meter.slices.iter().map(|slice| slice.queue).max();
        assert!(longest > Some(250 * MS), "{longest:?}");
        assert!(matches!(&flow.agent, Agent::Tcp(tcp) if tcp.timeouts == 0));
    }

    #[test]
    fn short_downloads_end_and_begin_again() {
        let idle = Duration::from_secs(2);
        let network = run(Downloads::Short { least: 100_000, most: 1_000_000, idle }, 300 * MS, 120);
        let flow = &network.flows[0];
        let Agent::Tcp(tcp) = &flow.agent else { panic!("a TCP flow") };
        assert!((20..40).contains(&tcp.finished), "{} of some 550 kB and 2 s each", tcp.finished);
        let rate = flow.meter.arrival_rate(Duration::ZERO, Duration::from_secs(120));
        let expected = tcp.finished as f64 * 550_000.0 * 8.0 / 120.0;
        assert!((0.6..1.5).contains(&(rate / expected)), "{rate} {expected}");
    }

    #[test]
    fn two_long_downloads_share() {
        let mut network = Network::new(1, 2_000_000, 300 * MS);
        let [_, _] = [0, 5].map(|at| network.tcp(50 * MS, Duration::from_secs(at), Downloads::Endless));
        network.run_until(Duration::from_secs(120));
        let rate = |n: usize| network.flows[n].meter.arrival_rate(Duration::from_secs(40), Duration::from_secs(120));
        assert!((0.4..2.5).contains(&(rate(0) / rate(1))), "{} {}", rate(0), rate(1));
    }
}
