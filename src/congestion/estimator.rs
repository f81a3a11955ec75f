//! How much the way to one subscriber takes, from its transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01): by delay and by loss (draft-ietf-rmcat-gcc-02, as libwebrtc goes on with it),
//! by probes, and less when nothing is heard. docs/congestion-control.md says why.
//!
//! What always holds: only packets that were numbered here count; nothing is allocated in the steady state; no clock is read; whatever a
//! subscriber tells, the target is at least [`FLOOR`] and grows no further than what is wanted and what arrives justify.

mod acknowledged;
mod arrival_groups;
mod arrivals;
mod blackout;
mod delay;
mod limited;
mod link_capacity;
mod loss;
mod overuse;
mod probe_cluster;
mod probing;
mod queue;
mod rate_control;
mod sent;
#[cfg(test)]
mod tests;
mod trendline;

use std::time::{Duration, Instant};

use self::acknowledged::Acknowledged;
use self::arrivals::{Arrived, Batch, ReceiverClock};
use self::blackout::Blackout;
use self::delay::DelayDetector;
use self::limited::ApplicationLimit;
use self::loss::LossControl;
use self::overuse::Usage;
use self::probing::{Belief, Prober};
use self::queue::QueueDelay;
use self::rate_control::{RateControl, Signals};
use self::sent::SentLog;
use super::bitrate::Bitrate;
use crate::wire::rtcp::transport_feedback::ReceivedFeedback;

/// Audio, and the lowest layer of one small picture: less is not worth a call.
pub const FLOOR: Bitrate = Bitrate::from_kbps(40);
/// Of what is wanted: it does not grow above.
const CEILING: f64 = 1.5;
/// The round trip until it is known, and the weight of a new one.
const FIRST_RTT: Micros = 200_000;
const RTT_WEIGHT: f64 = 0.25;
/// Beside a queue this long loss is a queue's that overflows, and probes only make it longer.
const QUEUEING: Micros = 80_000;

/// The way was full lately.
const SHARING: Micros = 5_000_000;
/// A queue no longer than this is none.
const NO_QUEUE: Micros = 15_000;
/// Of what arrives: what is measured over a fraction of a second may be more than lasts.
const PROVEN: f64 = 0.95;
/// Of the rate: so much more tells that it is wrong.
const FAR: f64 = 1.4;

/// Microseconds since an estimator's first packet, or on a subscriber's clock.
type Micros = i64;

/// Packets to be sent beyond what is to be sent anyway, to find out whether the way takes as much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// At which all packets of the time leave together, media included.
    pub rate: Bitrate,
    pub duration: Duration,
    /// Packets below which nothing can be told.
    pub least_packets: usize,
}

impl Probe {
    /// A probe whose packets could not be sent in so many times its duration is over.
    pub const PATIENCE: u32 = 4;
}

/// One subscriber's way.
pub struct Estimator {
    /// Of the first packet.
    epoch: Option<Instant>,
    log: SentLog,
    clock: ReceiverClock,
    acknowledged: Acknowledged,
    delay: DelayDetector,
    queue: QueueDelay,
    control: RateControl,
    loss: LossControl,
    limited: ApplicationLimit,
    blackout: Blackout,
    prober: Prober,
    rtt: Micros,
    wanted: Option<Bitrate>,
    target: Bitrate,
    measured: bool,
}

/// What one feedback told anew.
struct News {
    batch: Batch,
    /// When the last of the packets that arrived was sent.
    last_sent: Option<Micros>,
    /// The highest number told of.
    newest: u16,
}

impl Estimator {
    /// `start`: what is assumed until something is known.
    pub fn new(start: Bitrate) -> Estimator {
        Estimator {
            epoch: None,
            log: SentLog::default(),
            clock: ReceiverClock::default(),
            acknowledged: Acknowledged::default(),
            delay: DelayDetector::default(),
            queue: QueueDelay::default(),
            control: RateControl::new(start.max(FLOOR)),
            loss: LossControl::default(),
            limited: ApplicationLimit::new(start),
            blackout: Blackout::default(),
            prober: Prober::new(),
            rtt: FIRST_RTT,
            wanted: None,
            target: start.max(FLOOR),
            measured: false,
        }
    }

    /// The transport-wide number that the next packet carries.
    pub fn next_number(&self) -> u16 {
        self.log.next()
    }

    /// The packet with [`next_number`](Self::next_number) leaves now; `bytes` of UDP payload.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        self.epoch.get_or_insert(now);
        let now = self.micros(now);
        if let Some(cluster) = self.prober.cluster() {
            cluster.sent(now, bytes);
        }
        self.log.push(now, bytes);
        self.limited.sent(now, bytes);
        self.blackout.sent(now);
    }

    /// The subscriber told what arrived. True when [`target`](Self::target) may have changed.
    pub fn on_feedback(&mut self, now: Instant, feedback: &ReceivedFeedback<'_>) -> bool {
        let now = self.micros(now);
        let same_clock = self.clock.advance(feedback.reference());
        self.delay.heard(now, same_clock);
        if !same_clock {
            self.queue = QueueDelay::default();
        }
        let mut news = News { batch: Batch::new(), last_sent: None, newest: feedback.base() };
        for (number, ticks) in feedback.arrivals() {
            news.newest = number;
            self.told(now, number, ticks, &mut news);
        }
        self.arrived(&mut news.batch);
        let Some(last_sent) = news.last_sent else { return false };
        self.queue.read(now);
        self.round_trip(now - last_sent);
        if self.blackout.answered(now) && self.measured {
            self.prober.blacked_out(now);
        }
        let before = (self.target, std::mem::replace(&mut self.measured, true));
        self.update(now, news.newest);
        before != (self.target, self.measured)
    }

    /// What all that the subscriber wants would take at its best, with what repairs it: more is not looked for.
    pub fn want(&mut self, wanted: Bitrate) {
        self.wanted = Some(wanted);
        self.prober.want(wanted);
    }

    /// What may be sent.
    pub fn target(&self) -> Bitrate {
        self.target
    }

    /// Feedback came: the target is a measured one.
    pub fn is_measured(&self) -> bool {
        self.measured
    }

    /// More is sent than the way takes: packets wait in a queue there, or are lost for what is sent.
    pub fn is_congested(&self) -> bool {
        let lossy = !self.loss.is_clean() && self.loss.limit().is_some_and(|limit| limit < self.control.rate());
        self.measured && (lossy || self.delay.usage() == Usage::Over || self.queue.delay() > QUEUEING)
    }

    /// Packets that feedback told of and that were never sent, or long ago.
    pub fn unknown(&self) -> u64 {
        self.log.unknown()
    }

    /// A probe that is to begin now. Until its packets were sent or its time is over, all that is sent counts as of it.
    pub fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        let now = self.micros(now);
        self.probe_due().filter(|due| now >= *due)?;
        self.prober.poll(now, self.target, self.log.next())
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_probe`](Self::poll_probe) is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.probe_due().into_iter().chain(self.fall_due()).min()?;
        Some(self.epoch? + Duration::from_micros(u64::try_from(due).unwrap_or(0)))
    }

    /// Feedback that stays out lets the target fall.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.micros(now);
        while self.fall_due().is_some() && self.blackout.falls(now, self.rtt, self.target) {
            self.control.set(now, self.target.scaled(blackout::LEFT).max(FLOOR));
            self.retarget();
        }
    }

    /// Zero before the first packet.
    fn micros(&self, now: Instant) -> Micros {
        let elapsed = self.epoch.map_or(Duration::ZERO, |epoch| now.saturating_duration_since(epoch));
        // Cheaper than as_micros, which divides 128 bits.
        let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        seconds.saturating_mul(1_000_000).saturating_add(i64::from(elapsed.subsec_micros()))
    }

    fn told(&mut self, now: Micros, number: u16, ticks: Option<i64>, news: &mut News) {
        let Some(told) = self.log.tell(now, number, ticks.is_some()) else { return };
        if told.was_lost {
            self.loss.came_late();
        } else if !self.blackout.hides(told.sent) {
            self.loss.told(told.sent, told.bytes, ticks.is_none());
        }
        let Some(ticks) = ticks else { return };
        news.last_sent = news.last_sent.max(Some(told.sent));
        let packet = Arrived { number, bytes: told.bytes, sent: told.sent, arrived: self.clock.at(ticks) };
        if news.batch.push(packet) {
            self.arrived(&mut news.batch);
        }
    }

    fn arrived(&mut self, batch: &mut Batch) {
        for packet in batch.take_in_order() {
            self.acknowledged.add(packet, self.limited.is_limited());
            self.delay.add(packet);
            self.queue.add(packet);
            if let Some(cluster) = self.prober.cluster() {
                cluster.arrived(packet);
            }
        }
    }

    fn round_trip(&mut self, rtt: Micros) {
        let change = if self.measured { RTT_WEIGHT * (rtt - self.rtt) as f64 } else { (rtt - self.rtt) as f64 };
        self.rtt += change as Micros;
    }

    fn update(&mut self, now: Micros, newest: u16) {
        let over = self.delay.usage() == Usage::Over;
        if let Some(rate) = self.blackout.recovers(now, self.rtt, self.control.rate(), over) {
            self.control.set(now, rate);
        }
        let fell = self.control.fell();
        self.control.update(now, &self.signals());
        if self.control.fell() != fell {
            self.prober.fell(now);
        }
        let belief = match (over, self.is_sharing()) {
            (true, _) => Belief::None,
            (false, true) => Belief::Cautious,
            (false, false) => Belief::Full,
        };
        let found = self.prober.told(now, newest, self.rtt, self.loss.inherent(), self.target, belief);
        if let Some(rate) = found.map(|found| found.rate).filter(|rate| *rate > self.target) {
            self.control.set(now, self.control.rate().max(rate));
            self.control.forget_capacity();
            self.loss.found(rate);
        }
        self.loss.update(now, self.rtt, self.control.rate(), self.queue.delay() > QUEUEING);
        self.believe_what_arrives(now);
        self.retarget();
    }

    /// All that may be sent is sent, so others that do the same on the way leave room when this one does. Not before the way was full once.
    fn is_sharing(&self) -> bool {
        !self.limited.is_limited() && self.acknowledged.rate().is_some() && self.control.fell().is_some()
    }

    /// Who shares the way finds its share by growing slowly: probes would take what others leave for a moment.
    fn probes_from(&self) -> Micros {
        self.control.fell().filter(|_| self.is_sharing()).map_or(0, |fell| fell + SHARING)
    }

    /// What arrives with nothing lost and no queue is a rate that the way takes, however little was thought of it: after an outage the
    /// target would only grow as slowly as towards the unknown.
    fn believe_what_arrives(&mut self, now: Micros) {
        let good = self.delay.usage() != Usage::Over && self.queue.delay() < NO_QUEUE && self.loss.is_clean();
        let Some(proven) = self.acknowledged.rate().map(|rate| rate.scaled(PROVEN)).filter(|_| good) else { return };
        self.loss.found(proven);
        // A little more arrives for a moment after every fall: to believe that would undo it.
        if proven > self.control.rate().scaled(FAR) {
            self.control.set(now, proven);
        }
    }

    fn signals(&self) -> Signals {
        Signals {
            usage: self.delay.usage(),
            acknowledged: self.acknowledged.rate(),
            stretch: self.acknowledged.stretch(),
            limited: self.limited.is_limited(),
            rtt: self.rtt,
            queue: self.queue.delay(),
            ceiling: self.wanted.map_or(Bitrate::from_bps(u64::MAX), |wanted| wanted.scaled(CEILING)),
        }
    }

    fn retarget(&mut self) {
        let limit = self.loss.limit().unwrap_or(self.control.rate());
        self.target = self.control.rate().min(limit).max(FLOOR);
        self.limited.retarget(self.target);
    }

    fn probe_due(&self) -> Option<Micros> {
        let queueing = self.delay.usage() == Usage::Over || self.queue.delay() > QUEUEING;
        if !self.measured || queueing || self.blackout.is_dark() {
            return None;
        }
        let allowed = self.loss.probes_from().max(self.probes_from());
        self.prober.due(self.target).map(|due| due.max(allowed))
    }

    /// When the target falls next because nothing is heard.
    fn fall_due(&self) -> Option<Micros> {
        self.blackout.due(self.rtt).filter(|_| self.measured && self.target > FLOOR)
    }
}
