//! The keyframe gate: merges the keyframe requests of all subscribers of one encoding and limits what is asked of the publisher.

use std::time::Instant;

/// Gate of one encoding.
pub struct KeyframeGate {}

impl KeyframeGate {
    pub fn new() -> KeyframeGate {
        todo!()
    }
    /// A subscriber needs a keyframe. True when a request should be sent now; else it is remembered until [`poll`](Self::poll) lets it pass, or a keyframe arrives.
    pub fn request(&mut self, now: Instant) -> bool {
        let _ = now;
        todo!()
    }
    /// A keyframe began to arrive: whoever waited is served.
    pub fn keyframe_arrived(&mut self, now: Instant) {
        let _ = now;
    }
    /// When a remembered request may be sent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// True once when a remembered request may be sent now.
    pub fn poll(&mut self, now: Instant) -> bool {
        let _ = now;
        todo!()
    }
}
