//! How much the way to one subscriber takes, from its transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! What always holds: only packets that were numbered here count; nothing is allocated in the steady state when a packet is sent;
//! no clock is read.

use std::time::{Duration, Instant};

use super::bitrate::Bitrate;
use crate::wire::rtcp::transport_feedback::ReceivedFeedback;

/// Packets to be sent beyond what is to be sent anyway, to find out whether the way takes as much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// At which all packets of the time leave together, media included.
    pub rate: Bitrate,
    pub duration: Duration,
    /// Packets below which nothing can be told.
    pub least_packets: usize,
}

/// One subscriber's way.
pub struct Estimator {
    next: u16,
    target: Bitrate,
}

impl Estimator {
    /// `start`: what is assumed until something is known.
    pub fn new(start: Bitrate) -> Estimator {
        Estimator { next: 0, target: start }
    }

    /// The transport-wide number that the next packet carries.
    pub fn next_number(&self) -> u16 {
        self.next
    }

    /// The packet with [`next_number`](Self::next_number) leaves now; `bytes` of UDP payload.
    pub fn sent(&mut self, _now: Instant, _bytes: usize) {
        self.next = self.next.wrapping_add(1);
    }

    /// The subscriber told what arrived. True when [`target`](Self::target) may have changed.
    pub fn on_feedback(&mut self, _now: Instant, _feedback: &ReceivedFeedback<'_>) -> bool {
        false
    }

    /// What all that the subscriber wants would take at its best, with what repairs it: more is not looked for.
    pub fn want(&mut self, _now: Instant, _wanted: Bitrate) {}

    /// What may be sent.
    pub fn target(&self) -> Bitrate {
        self.target
    }

    /// Feedback came: the target is a measured one.
    pub fn is_measured(&self) -> bool {
        false
    }

    /// A probe that is to begin now. Until its packets were sent or its time is over, all that is sent counts as of it.
    pub fn poll_probe(&mut self, _now: Instant) -> Option<Probe> {
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_probe`](Self::poll_probe) is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Feedback that stays out lets the target fall.
    pub fn handle_timeout(&mut self, _now: Instant) {}
}
