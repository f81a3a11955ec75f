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

#[cfg(test)]
mod tests {
    use super::super::network::{Network, Step, Way};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DELAY: Duration = Duration::from_millis(50);

    /// A flow that sends what it sends at first, 2 Mbit/s, over a path of some rate.
    fn run(rate: u64, steps: &[(u64, Step)], seconds: u32) -> Network {
        let mut network = Network::new(1, rate, Duration::from_millis(300));
        network.media(Way::Forward, DELAY, Duration::ZERO, Control::Fixed);
        steps.iter().for_each(|(at, step)| network.at(SECOND * *at as u32, *step));
        network.run_until(SECOND * seconds);
        network
    }

    #[test]
    fn over_an_ample_path_every_frame_is_shown() {
        let network = run(10_000_000, &[], 20);
        let flow = &network.flows[0];
        let rate = flow.meter.arrival_rate(SECOND, 20 * SECOND);
        assert!((1.9e6..2.3e6).contains(&rate), "{rate}");
        let video = flow.media().and_then(|media| media.receiver.video.as_ref()).expect("video");
        assert!((595..=600).contains(&video.playouts[0].freezes.frames), "{}", video.playouts[0].freezes.frames);
        assert_eq!((video.damaged, video.discontinuities, video.nack.asked), (0, 0, 0));
        assert_eq!((flow.meter.loss(), flow.media().map(|media| media.receiver.frozen())), (0.0, Some(Duration::ZERO)));
    }

    #[test]
    fn what_overflows_is_asked_for_and_sent_again() {
        let dip = [(10, Step::Rate(Way::Forward, 1_500_000)), (11, Step::Rate(Way::Forward, 10_000_000))];
        let network = run(10_000_000, &dip, 20);
        let flow = &network.flows[0];
        let video = flow.media().and_then(|media| media.receiver.video.as_ref()).expect("video");
        assert!(flow.meter.loss() > 0.0 && video.repaired > 0);
        assert_eq!((video.gaps(), video.keyframe_requests), (0, 0), "all came at last");
    }

    #[test]
    fn a_flow_that_pauses_sends_nothing_and_goes_on() {
        let network = run(10_000_000, &[(5, Step::Pause(0, true)), (8, Step::Pause(0, false))], 12);
        let rate = |from: u32, to: u32| network.flows[0].meter.arrival_rate(SECOND * from, SECOND * to);
        assert_eq!(rate(6, 8), 0.0);
        assert!(rate(9, 12) > 1.9e6, "{}", rate(9, 12));
    }
}
