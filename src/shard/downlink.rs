//! The way to one subscriber whose packets are numbered: what it takes, what waits for its turn, and what is sent to find out
//! whether it takes more.
//!
//! What always holds: what waits leaves in the order it came; no more than `limits::PACED_PACKETS` wait; a probe ends when its bytes
//! were sent or its time is over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::inbound::SourceKey;
pub use super::outlet::Cached;
use crate::congestion::bitrate::Bitrate;
use crate::congestion::estimator::{Estimator, Probe};
use crate::congestion::pacer::Pacer;
use crate::limits;
use crate::wire::rtcp::transport_feedback::ReceivedFeedback;

/// What a way is taken for until it told: the pace of the first packets follows from it, and how far the first probe reaches.
pub const START: Bitrate = Bitrate::from_kbps(2_000);
/// A probe's packets leave in portions of so much time.
const PROBE_TICK: Duration = Duration::from_millis(5);
/// Packets there is room for where none wait: a frame that is a little too large comes again and again, a catch-up does not.
const WAITING_KEPT: usize = 64;

/// Without anything numbered for so long, a starving way gets a packet of padding: 4 kbit/s.
const QUIET: Duration = Duration::from_millis(500);
/// A subscriber that tells nothing of its first numbered packets for so long never will: nothing is known of its way, and nothing
/// is held back.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// A packet of a source's cache that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub source: SourceKey,
    pub cached: Cached,
    /// Bytes, of the packet as it was received.
    pub len: usize,
}

/// A probe that is under way.
#[derive(Clone, Copy, Debug)]
struct Probing {
    probe: Probe,
    began: Instant,
    packets: usize,
    bytes: u64,
}

pub struct Downlink {
    pub estimator: Estimator,
    pacer: Pacer,
    waiting: VecDeque<Waiting>,
    /// Of all that waits.
    waiting_bytes: u64,
    probing: Option<Probing>,
    /// When the first and the last numbered packets were sent.
    first_sent: Option<Instant>,
    last_sent: Option<Instant>,
    /// Something is paused because the way does not take it.
    pub starves: bool,
    /// How many packets probes have repeated, wrapping.
    repeated: u16,
    /// In the place of what was measured.
    #[cfg(test)]
    pub assumed: Option<Bitrate>,
}

impl Downlink {
    pub fn new(now: Instant) -> Downlink {
        Downlink {
            estimator: Estimator::new(START),
            pacer: Pacer::new(now, START),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            probing: None,
            first_sent: None,
            last_sent: None,
            starves: false,
            repeated: 0,
            #[cfg(test)]
            assumed: None,
        }
    }

    /// A packet of so many bytes leaves now; with the number that comes next where it carries one.
    pub fn sent(&mut self, now: Instant, bytes: usize, numbered: bool) {
        self.pacer.sent(now, bytes);
        if numbered {
            self.first_sent.get_or_insert(now);
            self.last_sent = Some(now);
            self.estimator.sent(now, bytes);
        }
        // Of what carries no number nobody tells.
        if let Some(probing) = self.probing.as_mut().filter(|_| numbered) {
            probing.packets += 1;
            probing.bytes += bytes as u64;
        }
    }

    /// What may be sent; `None` where the subscriber does not tell.
    pub fn rate(&self, now: Instant) -> Option<Bitrate> {
        #[cfg(test)]
        if self.assumed.is_some() {
            return self.assumed;
        }
        let deaf = || self.first_sent.is_some_and(|first| now.saturating_duration_since(first) > DEAF_AFTER);
        (self.estimator.is_measured() || !deaf()).then(|| self.estimator.target())
    }

    /// The subscriber tells what arrives.
    pub fn is_measured(&self) -> bool {
        #[cfg(test)]
        if self.assumed.is_some() {
            return true;
        }
        self.estimator.is_measured()
    }

    /// More is sent than the way takes.
    pub fn is_congested(&self) -> bool {
        #[cfg(test)]
        if self.assumed.is_some() {
            return true;
        }
        self.estimator.is_congested()
    }

    /// Whether a packet of video has to wait: others do, or the pace says so.
    pub fn holds_back(&mut self, now: Instant) -> bool {
        !self.waiting.is_empty() || !self.allows(now)
    }

    /// Lets a packet wait. False when too many do already.
    pub fn push(&mut self, now: Instant, packet: Waiting) -> bool {
        if self.waiting.len() >= limits::PACED_PACKETS {
            return false;
        }
        self.waiting_bytes += packet.len as u64;
        self.waiting.push_back(packet);
        self.adapt(now);
        true
    }

    /// The next packet whose turn it is.
    pub fn pop(&mut self, now: Instant) -> Option<Waiting> {
        if self.waiting.is_empty() || !self.allows(now) {
            return None;
        }
        let packet = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(packet.len as u64);
        if self.waiting.is_empty() {
            self.waiting.shrink_to(WAITING_KEPT);
            self.adapt(now);
        }
        Some(packet)
    }

    /// How many packets wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Packets of a source wait.
    pub fn has_of(&self, source: SourceKey) -> bool {
        self.waiting.iter().any(|packet| packet.source == source)
    }

    /// The subscriber told what arrived.
    pub fn on_feedback(&mut self, now: Instant, fci: &[u8]) {
        let Some(feedback) = ReceivedFeedback::parse(fci) else { return };
        self.estimator.on_feedback(now, &feedback);
        self.adapt(now);
    }

    /// Begins a probe that is due. True when one began.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.estimator.handle_timeout(now);
        self.adapt(now);
        self.probing.take_if(|probing| probing.is_over(now));
        if self.probing.is_some() {
            return false;
        }
        self.probing = self.estimator.poll_probe(now).map(|probe| Probing { probe, began: now, packets: 0, bytes: 0 });
        self.probing.is_some()
    }

    /// Whether a probe lacks packets now, which nothing that waits can be.
    pub fn lacks(&mut self, now: Instant) -> bool {
        self.probing.take_if(|probing| probing.is_over(now));
        self.waiting.is_empty() && self.probing.is_some_and(|probing| probing.allows(now))
    }

    /// Whether a packet is to be sent lest the subscriber has nothing to tell of: where all is paused nobody would learn that the
    /// way takes more again. Once each [`QUIET`].
    pub fn take_quiet(&mut self, now: Instant) -> bool {
        let quiet = self.quiet_ends().is_some_and(|at| now >= at);
        if quiet {
            self.last_sent = Some(now);
        }
        quiet
    }

    fn quiet_ends(&self) -> Option<Instant> {
        self.last_sent.filter(|_| self.starves).map(|at| at + QUIET)
    }

    /// Which of the last packets, counted back from the newest, a probe repeats next; of so many in turn.
    pub fn next_repeated(&mut self, of: u16) -> u16 {
        self.repeated = self.repeated.wrapping_add(1);
        self.repeated % of.max(1)
    }

    /// Reads what sending a packet needs.
    pub fn touch(&self) -> u64 {
        u64::from(self.estimator.next_number()) ^ self.waiting_bytes
    }

    /// Nothing can be sent for a probe.
    pub fn give_up_probe(&mut self) {
        self.probing = None;
    }

    /// When the next of what waits may leave; `None` when nothing waits.
    pub fn waits_until(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.probing.as_ref().map_or_else(|| self.pacer.resumes(), Probing::next))
    }

    /// When something is to be sent: what waits, or what a probe lacks.
    pub fn next_send(&self) -> Option<Instant> {
        self.probing.as_ref().map(Probing::next).or_else(|| self.waits_until())
    }

    /// When the estimate wants to be looked at, or a way that was silent for long gets a packet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.quiet_ends().into_iter().chain(self.estimator.poll_timeout()).min()
    }

    fn allows(&mut self, now: Instant) -> bool {
        match &self.probing {
            Some(probing) if !probing.is_over(now) => probing.allows(now),
            _ => self.pacer.allows(now) || self.rate(now).is_none(),
        }
    }

    fn adapt(&mut self, now: Instant) {
        self.pacer.adapt(now, self.estimator.target(), self.waiting_bytes);
    }
}

impl Probing {
    /// Bytes that are to have left by now.
    fn due(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.began) + PROBE_TICK;
        self.probe.rate.bytes_in(elapsed.min(self.probe.duration)).max(1)
    }

    fn allows(&self, now: Instant) -> bool {
        self.bytes < self.due(now) || (self.packets < self.probe.least_packets && self.is_late(now))
    }

    /// All its bytes should have left.
    fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) + PROBE_TICK >= self.probe.duration
    }

    fn is_over(&self, now: Instant) -> bool {
        let sent = self.bytes >= self.probe.rate.bytes_in(self.probe.duration);
        (sent && self.packets >= self.probe.least_packets)
            || now.saturating_duration_since(self.began) >= self.probe.duration * Probe::PATIENCE
    }

    fn next(&self) -> Instant {
        let elapsed = self.probe.rate.time_for(self.bytes).min(self.probe.duration * Probe::PATIENCE);
        self.began + elapsed
    }
}
