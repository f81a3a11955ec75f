//! How long it takes from a request for a packet until the packet is here: the round trip to a publisher, what it takes to answer
//! included, and from it the time after which to ask again.
//!
//! What always holds: only an answer that can be told from one to another request is measured (RFC 6298, section 3: Karn's
//! algorithm), and where none can, the time grows until one can.

use std::time::Duration;

use super::nack::Recovered;

/// Taken before anything was measured.
const INITIAL: Duration = Duration::from_millis(100);
/// Bounds of the time after which to ask again: a publisher handles what it gets in batches of some milliseconds; and a packet should be
/// asked for at least twice while it is of use.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(500);
/// Answers are this much later than usual now and then.
const LEAST_SLACK: Duration = Duration::from_millis(5);
/// Answers in a row to packets asked for twice, after which it is likely that the first request would have done.
const SUSPICIOUS: u32 = 3;

/// The round trip to one publisher, over all its streams.
#[derive(Debug, Default)]
pub struct RoundTrip {
    /// As in RFC 6298, section 2.
    smoothed: Option<Duration>,
    /// Answers in a row that could be to either of several requests.
    unclear: u32,
}

impl RoundTrip {
    /// A packet that was missing is here.
    pub fn observe(&mut self, recovered: &Recovered) {
        match recovered.requests {
            0 => {}
            1 => {
                let smoothed = self.smoothed.unwrap_or(recovered.waited);
                self.smoothed = Some((smoothed * 7 + recovered.waited) / 8);
                self.unclear = 0;
            }
            _ => self.unclear = self.unclear.saturating_add(1),
        }
    }

    /// When to repeat a request that was not answered. `otherwise`: a round trip measured in another way.
    pub fn retry_after(&self, otherwise: Option<Duration>) -> Duration {
        let round_trip = self.smoothed.or(otherwise).unwrap_or(INITIAL);
        let doubled = (self.unclear / SUSPICIOUS).min(3);
        // Each round that is spared gives a lost packet another chance in the time that it has.
        let slack = (round_trip / 8).max(LEAST_SLACK);
        ((round_trip + slack) * (1 << doubled)).clamp(SOONEST, LATEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn answer(requests: u32, waited: u64) -> Recovered {
        Recovered { requests, waited: ms(waited) }
    }

    #[test]
    fn the_time_is_an_eighth_above_what_answers_took() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.retry_after(None), INITIAL * 9 / 8);
        assert_eq!(round_trip.retry_after(Some(ms(40))), ms(45));
        assert_eq!(round_trip.retry_after(Some(ms(24))), ms(29));
        round_trip.observe(&answer(0, 5));
        assert_eq!(round_trip.retry_after(None), INITIAL * 9 / 8, "nobody had asked");
        round_trip.observe(&answer(1, 80));
        assert_eq!(round_trip.retry_after(Some(ms(40))), ms(90), "what was measured goes before");
        round_trip.observe(&answer(1, 160));
        assert_eq!(round_trip.retry_after(None), ms(90) * 9 / 8);
    }

    #[test]
    fn the_time_stays_within_bounds() {
        let mut round_trip = RoundTrip::default();
        round_trip.observe(&answer(1, 1));
        assert_eq!(round_trip.retry_after(None), SOONEST);
        let mut round_trip = RoundTrip::default();
        round_trip.observe(&answer(1, 900));
        assert_eq!(round_trip.retry_after(None), LATEST);
    }

    #[test]
    fn a_long_round_trip_is_found_though_requests_are_repeated_before_their_answer() {
        const TRUE: u64 = 380;
        let mut round_trip = RoundTrip::default();
        for _ in 0..12 {
            let retry = round_trip.retry_after(None).as_millis() as u64;
            let requests = TRUE.div_ceil(retry);
            round_trip.observe(&answer(requests as u32, TRUE - (requests - 1) * retry));
        }
        assert_eq!(round_trip.smoothed, Some(ms(TRUE)));
        assert_eq!(round_trip.retry_after(None), ms(TRUE) * 9 / 8);
    }

    #[test]
    fn a_lossy_path_does_not_seem_a_long_one() {
        let mut round_trip = RoundTrip::default();
        for n in 0..100 {
            round_trip.observe(&answer(if n % 3 == 2 { 1 } else { 2 }, 60));
            assert!(round_trip.retry_after(None) <= ms(125));
        }
        assert_eq!(round_trip.retry_after(None), ms(60) * 9 / 8);
    }
}
