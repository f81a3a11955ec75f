//! A media flow: a sender and its receiver.
//!
//! What always holds: they tell each other only what crosses the network.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;

use super::Departure;
use super::receiver::Receiver;
use super::sender::{Control, Sender};

pub struct MediaFlow {
    pub sender: Sender,
    pub receiver: Receiver,
}

impl MediaFlow {
    /// `delay` is one way, without queues.
    pub fn new(base: Instant, delay: Duration, control: Control, random: StdRng) -> MediaFlow {
        MediaFlow { sender: Sender::new(base, control, 2 * delay, random), receiver: Receiver::new(base, delay) }
    }

    pub fn due(&self) -> Option<Duration> {
        self.sender.due().into_iter().chain(self.receiver.due()).min()
    }

    pub fn on_timeout(&mut self, now: Duration, out: &mut Vec<Departure>) {
        if self.sender.due().is_some_and(|due| due <= now) {
            self.sender.on_timeout(now, out);
        }
        if self.receiver.due().is_some_and(|due| due <= now) {
            self.receiver.on_timeout(now, out);
        }
    }
}
