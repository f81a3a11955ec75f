//! How long a subscriber that loses packets and only watches is asked to hold pictures back (the playout-delay header extension of
//! libwebrtc). A browser makes room for retransmissions by itself once it knows its round trip time, which it learns from reports
//! on what it sends. One that sends nothing asks again after a fixed time and holds back for none of it.
//!
//! What always holds: nobody who does not lose packets is asked; the delay is bounded by [`MOST`]; who is asked once is told again
//! when it is over.

use std::time::{Duration, Instant};

/// From one request of such a browser for a packet to the next: 100 ms for the round trip time that it assumes, and the 20 ms in
/// which it looks.
const ROUND: Duration = Duration::from_millis(120);
/// Pictures are held back for as many rounds as leave one packet of so many unanswered: one in a minute at 250 packets a second.
const PACKETS: f64 = 15_000.0;
/// Longest delay: what is watched is not talked with, but it should not be of the past.
const MOST: Duration = Duration::from_secs(1);
/// Loss from which on pictures are held back: below, a freeze is as rare as the delay is unpleasant.
const LOSSY: f32 = 0.01;
/// Loss must have been below for so long before they are no longer.
const CALM: Duration = Duration::from_secs(30);
/// Weight of a new report in the mean.
const SMOOTHING: f32 = 0.25;
/// Unit of the extension, and its greatest value, which sets no bound.
const UNIT: Duration = Duration::from_millis(10);
const UNBOUNDED: u32 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Cushion {
    /// Mean loss, 0 to 1.
    loss: f32,
    lossy_at: Option<Instant>,
    delay: Duration,
    /// The extension's value; `None` while nobody was ever asked.
    value: Option<[u8; 3]>,
}

impl Cushion {
    /// The subscriber, which sends nothing itself, reported a share of packets as lost, in 1/256.
    pub fn reported(&mut self, now: Instant, fraction_lost: u8, round_trip_time: Duration) {
        self.loss += (f32::from(fraction_lost) / 256.0 - self.loss) * SMOOTHING;
        if self.loss >= LOSSY {
            self.lossy_at = Some(now);
            // A longer one at once, a shorter one when all is over: each change is seen.
            self.set(self.delay.max(needed(self.loss, round_trip_time)));
        } else if self.lossy_at.is_some_and(|at| now.saturating_duration_since(at) >= CALM) {
            self.lossy_at = None;
            self.set(Duration::ZERO);
        }
    }

    /// What is written into every packet: 12 bits of least and 12 of greatest delay.
    pub fn value(&self) -> Option<[u8; 3]> {
        self.value
    }

    fn set(&mut self, delay: Duration) {
        self.delay = delay;
        let units = u32::try_from(delay.as_millis() / UNIT.as_millis()).unwrap_or(UNBOUNDED);
        let [_, high, middle, low] = ((units.min(UNBOUNDED) << 12) | UNBOUNDED).to_be_bytes();
        self.value = Some([high, middle, low]);
    }
}

fn needed(loss: f32, round_trip_time: Duration) -> Duration {
    let rounds = (PACKETS.ln() / -f64::from(loss.min(0.5)).ln()).ceil();
    (ROUND.mul_f64(rounds - 1.0) + round_trip_time).min(MOST)
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
        (0..100).for_each(|n| cushion.reported(start + n * SECOND, 2, ROUND_TRIP));
        assert_eq!(least_ms(&cushion), None);
    }

    #[test]
    fn more_loss_is_held_back_for_longer_and_within_the_bound() {
        let delays = [5u8, 13, 26, 51, 255].map(|lost| {
            let (start, mut cushion) = (Instant::now(), Cushion::default());
            (0..30).for_each(|n| cushion.reported(start + n * SECOND, lost, ROUND_TRIP));
            least_ms(&cushion).unwrap()
        });
        assert_eq!(delays, [340, 460, 580, 700, 1_000]);
    }

    #[test]
    fn the_delay_stays_while_packets_are_lost_now_and_then_and_ends_when_none_are() {
        let (start, mut cushion) = (Instant::now(), Cushion::default());
        (0..10).for_each(|n| cushion.reported(start + n * SECOND, 26, ROUND_TRIP));
        let held = least_ms(&cushion);
        let mut ended = None;
        for n in 10..80 {
            cushion.reported(start + n * SECOND, 0, ROUND_TRIP);
            if least_ms(&cushion) != held {
                ended.get_or_insert(n);
            }
        }
        let ended = ended.unwrap();
        assert!((45..55).contains(&ended), "{ended}");
        assert_eq!(least_ms(&cushion), Some(0), "said again, or it would stay for ever");
    }
}
