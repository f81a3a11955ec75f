//! Who joins, what each sends, and what each is to receive.
//!
//! What always holds: a scenario is bounded by [`CLIENTS`], and knows how many streams its clients receive in all.

use std::time::Duration;

use crate::client::format::Kind;
use crate::client::send::Shape;
use crate::signalling::session::{Encoding, Plan, TrackPlan};

/// Most clients of one run: each takes two file descriptors.
pub const CLIENTS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One publishes, all others watch.
    Fanout { viewers: usize },
    /// Everybody publishes and watches everybody else.
    Meeting { participants: usize },
}

/// The media of one publisher.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    pub video: Option<Shape>,
    pub audio: Option<Shape>,
}

/// How much of what arrives is decrypted.
#[derive(Clone, Copy, Debug)]
pub struct Verification {
    /// Of the first so many clients every packet is.
    pub whole_clients: usize,
    /// Of the others every so many-th packet of a stream is; 0 is none.
    pub every: u32,
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Fanout { .. } => "fanout",
            Scenario::Meeting { .. } => "meeting",
        }
    }

    pub fn describe(self) -> String {
        match self {
            Scenario::Fanout { viewers } => format!("fan-out 1 -> {viewers}"),
            Scenario::Meeting { participants } => format!("meeting of {participants}"),
        }
    }

    pub fn publishers(self) -> usize {
        match self {
            Scenario::Fanout { .. } => 1,
            Scenario::Meeting { participants } => participants,
        }
    }

    pub fn clients(self) -> usize {
        match self {
            Scenario::Fanout { viewers } => 1 + viewers,
            Scenario::Meeting { participants } => participants,
        }
    }

    /// Clients that receive what one publishes.
    pub fn receivers(self) -> usize {
        self.clients().saturating_sub(1)
    }

    /// Streams that all clients receive together.
    pub fn streams(self, media: &Media) -> u64 {
        (self.publishers() * self.receivers() * media.tracks()) as u64
    }

    /// All clients, publishers first.
    pub fn plans(self, media: &Media, verification: Verification) -> Vec<Plan> {
        let publishers = self.publishers();
        let mut receivers = 0;
        let plan = |index: usize| {
            let publishes = index < publishers;
            // A publisher in a fan-out receives nothing.
            let receives = !publishes || publishers > 1;
            let whole = receives && receivers < verification.whole_clients;
            receivers += usize::from(receives);
            Plan {
                identity: if publishes { format!("publisher-{index}") } else { format!("viewer-{index}") },
                tracks: if publishes { media.plans() } else { Vec::new() },
                subscribes: true,
                verify_every: if whole { 1 } else { verification.every },
                phase: index as f64 / publishers.max(1) as f64 % 1.0,
            }
        };
        (0..self.clients()).map(plan).collect()
    }
}

impl Media {
    fn tracks(&self) -> usize {
        usize::from(self.video.is_some()) + usize::from(self.audio.is_some())
    }

    fn plans(&self) -> Vec<TrackPlan> {
        let track = |kind, shape| TrackPlan { kind, encodings: vec![Encoding { rid: None, shape }] };
        let audio = self.audio.map(|shape| track(Kind::Audio, shape));
        let video = self.video.map(|shape| track(Kind::Video, shape));
        audio.into_iter().chain(video).collect()
    }

    /// RTP packets one publisher sends in a second.
    pub fn packets_per_second(&self) -> f64 {
        [self.video, self.audio].into_iter().flatten().map(Shape::packets_per_second).sum()
    }
}

impl Shape {
    /// Bursts of `burst` packets that make `rate` packets a second.
    pub fn of_rate(rate: f64, burst: u32, packet_bytes: usize, uneven: bool) -> Shape {
        let every = Duration::from_secs_f64(f64::from(burst) / rate.max(0.001));
        Shape { every, burst, packet_bytes, uneven }
    }

    fn packets_per_second(self) -> f64 {
        f64::from(self.burst) / self.every.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media() -> Media {
        Media { video: Some(Shape::of_rate(250.0, 10, 1_100, false)), audio: Some(Shape::of_rate(50.0, 1, 100, false)) }
    }

    const VERIFICATION: Verification = Verification { whole_clients: 2, every: 16 };

    #[test]
    fn a_fan_out_has_one_publisher_and_a_stream_of_each_kind_for_each_viewer() {
        let scenario = Scenario::Fanout { viewers: 50 };
        let plans = scenario.plans(&media(), VERIFICATION);
        assert_eq!(plans.len(), 51);
        assert_eq!(plans.iter().filter(|plan| !plan.tracks.is_empty()).count(), 1);
        assert_eq!(scenario.streams(&media()), 100);
        assert_eq!(plans[0].tracks.len(), 2);
        let verified: Vec<u32> = plans[1..5].iter().map(|plan| plan.verify_every).collect();
        assert_eq!(verified, [1, 1, 16, 16]);
    }

    #[test]
    fn in_a_meeting_everybody_receives_everybody_else() {
        let scenario = Scenario::Meeting { participants: 10 };
        assert_eq!(scenario.streams(&media()), 180);
        let phases: Vec<f64> = scenario.plans(&media(), VERIFICATION).iter().map(|plan| plan.phase).collect();
        assert_eq!((phases[0], phases[5]), (0.0, 0.5), "bursts are spread over the interval");
    }

    #[test]
    fn rates_are_what_was_asked() {
        assert!((media().packets_per_second() - 300.0).abs() < 1e-6);
        assert_eq!(media().video.unwrap().every, Duration::from_millis(40));
        assert_eq!(media().audio.unwrap().every, Duration::from_millis(20));
    }
}
