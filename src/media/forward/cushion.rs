//! How long a subscriber that loses packets is asked to hold pictures back (the playout-delay header extension of libwebrtc), so
//! that what is sent again comes in time.
//!
//! A browser makes room for one repetition by itself once it knows its round trip time, which it learns from reports on what it sends,
//! and a while after losses for none. One that sends nothing asks again after a fixed time and holds back for none of it.
//!
//! What always holds: nobody who does not lose packets is asked; who speaks is never asked for more than a conversation bears, who
//! watches for no more than [`MOST_WATCHED`]; who is asked once is told again when it is over.

use std::time::{Duration, Instant};

/// What a subscriber does beside watching decides what delay it bears, and how soon its browser asks again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Viewer {
    /// Sends nothing.
    Watches,
    /// Is seen or heard by others.
    Speaks,
}

/// The interval in which a browser looks for what it misses.
const LOOK: Duration = Duration::from_millis(20);
/// Round trip time that a browser assumes that does not know it.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Longest delay: what is watched is not talked with, but it should not be of the past.
const MOST_WATCHED: Duration = Duration::from_secs(1);
/// Delay from mouth to ear that a conversation bears (ITU-T G.114).
const CONVERSATION: Duration = Duration::from_millis(400);
/// Loss from which on pictures are held back: below, a freeze is as rare as the delay is unpleasant.
const LOSSY: f32 = 0.005;
/// Loss must have been below for so long before they are no longer.
const CALM: Duration = Duration::from_secs(30);
/// Over which the mean is taken: browsers report several times a second, of a few packets each.
const SMOOTHING: Duration = Duration::from_secs(3);
/// What the first report is taken to be about, since there is none before it to count from.
const FIRST: Duration = Duration::from_secs(1);
/// Unit of the extension, and its greatest value, which sets no bound.
const UNIT: Duration = Duration::from_millis(10);
const UNBOUNDED: u32 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Cushion {
    /// Mean loss, 0 to 1, as of the last report.
    loss: f32,
    reported: Option<Instant>,
    lossy_at: Option<Instant>,
    delay: Duration,
    /// The extension's value; `None` while nobody was ever asked.
    value: Option<[u8; 3]>,
}

impl Cushion {
    /// The subscriber reported a share of packets as lost, in 1/256.
    pub fn reported(&mut self, now: Instant, viewer: Viewer, fraction_lost: u8, round_trip_time: Duration) {
        let since = self.reported.map_or(FIRST, |before| now.saturating_duration_since(before));
        self.reported = Some(now);
        let weight = 1.0 - (-since.div_duration_f32(SMOOTHING)).exp();
        self.loss += (f32::from(fraction_lost) / 256.0 - self.loss) * weight;
        if self.loss >= LOSSY {
            self.lossy_at = Some(now);
            // A longer one at once, a shorter one when all is over: each change is seen. Who begins to speak is no longer kept behind.
            let delay = self.delay.max(viewer.needed(self.loss, round_trip_time));
            self.set(delay.min(viewer.most(round_trip_time)));
        } else if self.lossy_at.is_some_and(|at| now.saturating_duration_since(at) >= CALM) {
            self.lossy_at = None;
            self.set(Duration::ZERO);
        }
    }

    /// What is written into every packet: 12 bits of least and 12 of greatest delay.
    pub fn value(&self) -> Option<[u8; 3]> {
        self.value
    }

    /// The least delay it asks for; `None` while nobody was ever asked.
    pub fn delay(&self) -> Option<Duration> {
        self.value.map(|_| self.delay)
    }

    fn set(&mut self, delay: Duration) {
        self.delay = delay;
        let units = u32::try_from(delay.as_millis() / UNIT.as_millis()).unwrap_or(UNBOUNDED);
        let [_, high, middle, low] = ((units.min(UNBOUNDED) << 12) | UNBOUNDED).to_be_bytes();
        self.value = Some([high, middle, low]);
    }
}

impl Viewer {
    /// Pictures are held back for as many rounds as leave one packet of so many unanswered: one in a minute at 250 packets a second,
    /// or one in six seconds for who would rather answer than see everything.
    fn packets(self) -> f64 {
        match self {
            Viewer::Watches => 15_000.0,
            Viewer::Speaks => 1_500.0,
        }
    }

    /// From one request of its browser for a packet to the next.
    fn round(self, round_trip_time: Duration) -> Duration {
        LOOK + match self {
            Viewer::Watches => ASSUMED_ROUND_TRIP,
            Viewer::Speaks => round_trip_time,
        }
    }

    fn most(self, round_trip_time: Duration) -> Duration {
        match self {
            Viewer::Watches => MOST_WATCHED,
            Viewer::Speaks => CONVERSATION.saturating_sub(round_trip_time / 2),
        }
    }

    fn needed(self, loss: f32, round_trip_time: Duration) -> Duration {
        let rounds = (self.packets().ln() / -f64::from(loss.min(0.5)).ln()).ceil();
        self.round(round_trip_time).mul_f64(rounds - 1.0) + round_trip_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ROUND_TRIP: Duration = Duration::from_millis(100);

    fn least_ms(cushion: &Cushion) -> Option<u64> {
        let [high, middle, low] = cushion.value()?;
        let value = u32::from_be_bytes([0, high, middle, low]);
        assert_eq!(value & 0xfff, UNBOUNDED);
        Some(u64::from(value >> 12) * 10)
    }

    #[test]
    fn nobody_is_asked_who_loses_nothing() {
        let (start, mut cushion) = (Instant::now(), Cushion::default());
        (0..100).for_each(|n| cushion.reported(start + n * SECOND, Viewer::Watches, 1, ROUND_TRIP));
        assert_eq!(least_ms(&cushion), None);
    }

    /// Least delays after 30 s of 2, 5, 10, 20 and 100 % loss.
    fn delays(viewer: Viewer, round_trip: Duration) -> [Option<u64>; 5] {
        [5u8, 13, 26, 51, 255].map(|lost| {
            let (start, mut cushion) = (Instant::now(), Cushion::default());
            (0..30).for_each(|n| cushion.reported(start + n * SECOND, viewer, lost, round_trip));
            least_ms(&cushion)
        })
    }

    #[test]
    fn more_loss_is_held_back_for_longer_and_within_the_bound() {
        assert_eq!(delays(Viewer::Watches, ROUND_TRIP), [340, 460, 580, 700, 1_000].map(Some));
    }

    #[test]
    fn who_speaks_is_held_back_for_no_longer_than_a_conversation_bears() {
        assert_eq!(delays(Viewer::Speaks, Duration::from_millis(20)), [60, 100, 140, 180, 390].map(Some));
        assert_eq!(delays(Viewer::Speaks, ROUND_TRIP), [220, 340, 350, 350, 350].map(Some));
        let far = Duration::from_secs(1);
        assert_eq!(delays(Viewer::Speaks, far), [0; 5].map(Some));
    }

    #[test]
    fn many_short_reports_hold_back_no_longer_than_few_long_ones() {
        let (start, mut cushion) = (Instant::now(), Cushion::default());
        // A tenth is lost: all of it in one of four reports a second, by turns.
        for n in 0..120u32 {
            let lost = if n % 4 == 0 { 104 } else { 0 };
            cushion.reported(start + n * SECOND / 4, Viewer::Watches, lost, ROUND_TRIP);
        }
        assert!((580..=700).contains(&least_ms(&cushion).unwrap()), "{:?}", least_ms(&cushion));
    }

    #[test]
    fn who_begins_to_speak_is_no_longer_kept_behind() {
        let (start, mut cushion) = (Instant::now(), Cushion::default());
        (0..30).for_each(|n| cushion.reported(start + n * SECOND, Viewer::Watches, 51, ROUND_TRIP));
        assert_eq!(least_ms(&cushion), Some(700));
        cushion.reported(start + 30 * SECOND, Viewer::Speaks, 51, ROUND_TRIP);
        assert_eq!(least_ms(&cushion), Some(350));
    }

    #[test]
    fn the_delay_stays_while_packets_are_lost_now_and_then_and_ends_when_none_are() {
        let (start, mut cushion) = (Instant::now(), Cushion::default());
        (0..10).for_each(|n| cushion.reported(start + n * SECOND, Viewer::Watches, 26, ROUND_TRIP));
        let held = least_ms(&cushion);
        let mut ended = None;
        for n in 10..80 {
            cushion.reported(start + n * SECOND, Viewer::Watches, 0, ROUND_TRIP);
            if least_ms(&cushion) != held {
                ended.get_or_insert(n);
            }
        }
        let ended = ended.unwrap();
        assert!((45..55).contains(&ended), "{ended}");
        assert_eq!(least_ms(&cushion), Some(0), "said again, or it would stay for ever");
    }
}
